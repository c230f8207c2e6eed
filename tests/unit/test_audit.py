"""The audit: a store that nobody touched has no findings, and every way of touching it has its own."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.audit import Audit, Fault, Finding, audit, judge
from evidence.errors import StoreUnreachable
from evidence.keys import PublicKey, ensure_key_pair, load_public, load_signer
from evidence.log import Bundle, Entry, ForkAlarm, package_draft, record_draft
from evidence.log.entries import make_entry
from evidence.places import is_bundle, is_place, is_written_once
from evidence.receipts import PutReceipt, receipt_key, signed_receipt
from evidence.stores import DirectoryStore, Receipt, S3Store, Store, Version
from tests.paper_s3 import PaperS3, error

NOW = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)
BUNDLES = ("orders/orders-1.tar.gz", "orders/orders-2.tar.gz", "billing/billing-1.tar.gz")
OTHERS = ("log/heads/00000000000000000003", "keys/00000000.dsse.json", f"proofs/{BUNDLES[0]}.tlog-proof")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        ensure_key_pair(folder / f"{name}.pem")
    return folder


@pytest.fixture
def ours(keys: Path) -> PublicKey:
    return load_public(keys / "ours.pub")


class Ticking:
    """A clock that never says the same twice."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


def _fill(store: Store, keys: Path) -> None:
    signer = load_signer(keys / "ours.pem")
    for key in (*BUNDLES, *OTHERS):
        store.put_bytes(key, key.encode())
    for key in BUNDLES:
        digest = hashlib.sha256(key.encode()).hexdigest()
        store.put_bytes(receipt_key(key), signed_receipt(store, key, digest, "s3://evidence", NOW, signer))


@pytest.fixture
def bucket() -> PaperS3:
    return PaperS3(clock=Ticking(), may_bypass=True)


@pytest.fixture
def store(bucket: PaperS3, keys: Path) -> S3Store:
    client: Any = bucket
    store = S3Store(client, "evidence", "", 30, "COMPLIANCE", lambda: NOW, legal_hold=True)
    _fill(store, keys)
    return store


def _told(found: Audit) -> list[tuple[Fault, str]]:
    assert all(one.seen and one.advice for one in found.findings)
    return [(one.fault, one.key) for one in found.findings]


@pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])
def test_a_store_that_nobody_touched_has_no_findings(store: S3Store, tmp_path: Path, keys: Path, *, deep: bool) -> None:
    ours = load_public(keys / "ours.pub")
    assert audit(store, lambda: [ours], deep=deep) == Audit((), 9, 3, 3, deep)
    folder = DirectoryStore(tmp_path)
    _fill(folder, keys)
    assert audit(folder, lambda: [ours], deep=deep) == Audit((), 9, 3, 3, deep)


def test_what_is_not_evidence_may_come_and_go(store: S3Store, bucket: PaperS3, ours: PublicKey) -> None:
    for key in ("canaries/20261126T030000.000000Z", "portal/index.html", "portal/runs/1.html"):
        bucket.keep(key, b"1")
        bucket.keep(key, b"2")
        bucket.keep(key, None)
    assert audit(store, lambda: [ours], deep=True).findings == ()


BUNDLE = BUNDLES[0]
Change = Callable[[PaperS3], object]


def _kept(bucket: PaperS3, key: str = BUNDLE) -> Any:
    return next(one for one in bucket.kept if one.name == key and one.body is not None)


def _set(key: str = BUNDLE, **values: Any) -> Change:
    return lambda bucket: vars(_kept(bucket, key)).update(values)


def _remove(key: str) -> Change:
    return lambda bucket: bucket.kept.remove(_kept(bucket, key))


def _both(*changes: Change) -> Change:
    return lambda bucket: [change(bucket) for change in changes]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda b: b.delete_object(Key=BUNDLE), [(Fault.MARKER, BUNDLE)]),
        (lambda b: b.delete_object(Key=OTHERS[0]), [(Fault.MARKER, OTHERS[0])]),
        (lambda b: b.delete_object(Key=receipt_key(BUNDLE)), [(Fault.MARKER, receipt_key(BUNDLE))]),
        (lambda b: b.delete_object(Key="orders/none.tar.gz"), [(Fault.MARKER, "orders/none.tar.gz")]),
        (lambda b: b.keep(BUNDLE, b"another"), [(Fault.SECOND_VERSION, BUNDLE)]),
        (lambda b: b.keep(OTHERS[1], OTHERS[1].encode()), [(Fault.SECOND_VERSION, OTHERS[1])]),
        (
            _both(
                lambda b: b.delete_object(Key=BUNDLE), lambda b: b.put_object(Key=BUNDLE, Body=b"2", IfNoneMatch="*")
            ),
            [(Fault.MARKER, BUNDLE), (Fault.SECOND_VERSION, BUNDLE)],
        ),
        (lambda b: b.keep("notes.txt", b"1"), [(Fault.STRAY, "notes.txt")]),
        (lambda b: b.keep("orders/ab\u0455.tar.gz", b"1"), [(Fault.STRAY, "orders/ab\u0455.tar.gz")]),
        (lambda b: b.keep("log/../x", b"1"), [(Fault.STRAY, "log/../x")]),
        (_remove(BUNDLE), [(Fault.MISSING, BUNDLE)]),
        (
            _both(_remove(BUNDLE), lambda b: b.keep(BUNDLE, b"another")),
            [(Fault.SECOND_VERSION, BUNDLE), (Fault.MISSING, BUNDLE)],
        ),
        (_set(body=b"orders/orders-0.tar.gz"), [(Fault.DIFFERENT, BUNDLE)]),
        (_set(until=NOW + timedelta(days=29)), [(Fault.SHORTENED, BUNDLE)]),
        (_set(mode="GOVERNANCE"), [(Fault.DOWNGRADED, BUNDLE)]),
        (_set(mode=None, until=None), [(Fault.DOWNGRADED, BUNDLE), (Fault.SHORTENED, BUNDLE)]),
        (_set(hold=False), [(Fault.HOLD_LIFTED, BUNDLE)]),
        (_set(until=NOW + timedelta(days=31)), []),
    ],
)
def test_what_was_done_to_it_is_found(
    store: S3Store, bucket: PaperS3, ours: PublicKey, change: Change, expected: list[tuple[Fault, str]]
) -> None:
    change(bucket)
    assert _told(audit(store, lambda: [ours])) == expected


def test_a_server_that_vouches_for_bytes_it_lost_is_found_by_a_deep_audit(
    store: S3Store, bucket: PaperS3, ours: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = bucket.head_object(Key=BUNDLE)
    _kept(bucket).body = b"orders/orders-0.tar.gz"
    answer = bucket.head_object
    monkeypatch.setattr(bucket, "head_object", lambda **more: true if more["Key"] == BUNDLE else answer(**more))
    assert _told(audit(store, lambda: [ours])) == []
    assert _told(audit(store, lambda: [ours], deep=True)) == [(Fault.DIFFERENT, BUNDLE)]


def test_what_is_kept_without_a_lock_is_found_by_a_deep_audit(store: S3Store, bucket: PaperS3, ours: PublicKey) -> None:
    _set(OTHERS[0], mode=None, until=None, hold=False)(bucket)
    assert _told(audit(store, lambda: [ours])) == []
    assert _told(audit(store, lambda: [ours], deep=True)) == [(Fault.UNLOCKED, OTHERS[0])]


def test_a_listing_that_leaves_out_what_the_store_holds_is_found(
    store: S3Store, ours: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = store.versions

    def cut_short(_: Store, prefix: str = "") -> Iterator[Version]:
        return (one for one in listing(prefix) if one.key != BUNDLE)

    monkeypatch.setattr(S3Store, "versions", cut_short)
    found = audit(store, lambda: [ours])
    assert _told(found) == [(Fault.UNLISTED, BUNDLE)]


@pytest.mark.parametrize("size", [0, 100, 2 << 20])
def test_what_only_looks_like_a_receipt_is_found(store: S3Store, ours: PublicKey, size: int) -> None:
    place = receipt_key("orders/orders-9.tar.gz")
    store.put_bytes(place, bytes(size))
    assert _told(audit(store, lambda: [ours])) == [(Fault.FALSE_RECEIPT, place)]


def test_a_receipt_by_another_key_or_in_another_place_is_false(store: S3Store, ours: PublicKey, keys: Path) -> None:
    digest = hashlib.sha256(BUNDLE.encode()).hexdigest()
    places = [receipt_key(f"orders/orders-{number}.tar.gz") for number in (8, 9)]
    for place, key in zip(places, ("ours", "theirs"), strict=True):
        signer = load_signer(keys / f"{key}.pem")
        store.put_bytes(place, signed_receipt(store, BUNDLE, digest, "s3://evidence", NOW, signer))
    assert _told(audit(store, lambda: [ours])) == [(Fault.FALSE_RECEIPT, place) for place in places]
    assert len(audit(store, lambda: []).findings) == 5


def test_a_second_receipt_does_not_take_the_place_of_the_first(
    store: S3Store, bucket: PaperS3, ours: PublicKey, keys: Path
) -> None:
    """Who holds the key shortens the lock, hides the receipt and writes another: the first one still counts."""
    _set(until=NOW + timedelta(days=1))(bucket)
    digest = hashlib.sha256(BUNDLE.encode()).hexdigest()
    second = signed_receipt(store, BUNDLE, digest, "s3://evidence", NOW, load_signer(keys / "ours.pem"))
    bucket.delete_object(Key=receipt_key(BUNDLE))
    store.put_bytes(receipt_key(BUNDLE), second)
    assert set(_told(audit(store, lambda: [ours]))) == {
        (Fault.SHORTENED, BUNDLE),
        (Fault.MARKER, receipt_key(BUNDLE)),
        (Fault.SECOND_VERSION, receipt_key(BUNDLE)),
    }


def _entries(store: Store) -> list[Entry]:
    """What a log says of the bundles in the store, as they and their receipts are now."""
    entries: list[Entry] = []
    for key in BUNDLES:
        receipt, content = hashlib.sha256(store.read(receipt_key(key))).hexdigest(), store.read(key)
        bundle = Bundle(key, hashlib.sha256(content).hexdigest(), len(content))
        draft = package_draft(bundle=bundle, envelope="ab" * 32, name=key, receipt=receipt)
        entries.append(make_entry(draft, entries[-1] if entries else None, NOW))
    other = record_draft(envelope="cd" * 32, key=OTHERS[1], predicate_type="urn:muster:key:v1")
    return [*entries, make_entry(other, entries[-1], NOW)]


def _exchange(folder: Path, store: DirectoryStore, keys: Path, content: bytes | None) -> None:
    """Who holds the sealing key and may write files puts another receipt in place, of other bytes if there are any."""
    bundle, receipt = folder / BUNDLE, folder / receipt_key(BUNDLE)
    if content is not None:
        bundle.unlink()
        bundle.write_bytes(content)
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    later = signed_receipt(store, BUNDLE, digest, "s3://evidence", NOW + timedelta(1), load_signer(keys / "ours.pem"))
    receipt.unlink()
    receipt.write_bytes(later)


@pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"another", [(Fault.NOT_AS_LOGGED, receipt_key(BUNDLE)), (Fault.NOT_AS_LOGGED, BUNDLE)]),
        (None, [(Fault.NOT_AS_LOGGED, receipt_key(BUNDLE))]),
    ],
    ids=["bundle and receipt", "receipt"],
)
def test_what_was_exchanged_by_who_may_seal_is_found_by_the_log(
    tmp_path: Path,
    keys: Path,
    ours: PublicKey,
    content: bytes | None,
    expected: list[tuple[Fault, str]],
    *,
    deep: bool,
) -> None:
    store = DirectoryStore(tmp_path)
    _fill(store, keys)
    entries = _entries(store)
    assert audit(store, lambda: [ours], entries=lambda: entries, deep=deep) == Audit((), 9, 3, 3, deep, 3)
    _exchange(tmp_path, store, keys, content)
    assert _told(audit(store, lambda: [ours], deep=deep)) == [], "its receipts alone agree with themselves"
    found = audit(store, lambda: [ours], entries=lambda: entries, deep=deep)
    assert _told(found) == expected
    assert all("entry 0 of the log" in one.seen for one in found.findings)


def test_what_the_log_names_and_is_not_there_is_found(tmp_path: Path, keys: Path, ours: PublicKey) -> None:
    store = DirectoryStore(tmp_path)
    _fill(store, keys)
    entries = _entries(store)
    (tmp_path / receipt_key(BUNDLES[0])).unlink()
    (tmp_path / receipt_key(BUNDLES[1])).unlink()
    (tmp_path / BUNDLES[1]).unlink()
    (tmp_path / receipt_key(BUNDLES[2])).unlink()
    (tmp_path / BUNDLES[2]).chmod(0o644)
    (tmp_path / BUNDLES[2]).write_bytes(b"another")
    assert audit(store, lambda: [ours]).findings == ()
    assert _told(audit(store, lambda: [ours], entries=lambda: entries)) == [
        (Fault.MISSING, receipt_key(BUNDLES[0])),
        (Fault.MISSING, receipt_key(BUNDLES[1])),
        (Fault.MISSING, BUNDLES[1]),
        (Fault.MISSING, receipt_key(BUNDLES[2])),
        (Fault.NOT_AS_LOGGED, BUNDLES[2]),
    ]


def test_of_several_receipts_the_one_that_the_log_names_counts(
    store: S3Store, bucket: PaperS3, ours: PublicKey, keys: Path
) -> None:
    """A forged one that a lying store dates back comes first in its listing, and does not count."""
    entries = _entries(store)
    assert audit(store, lambda: [ours], entries=lambda: entries).findings == ()
    place = receipt_key(BUNDLE)
    true = _kept(bucket, place)
    _set(until=NOW + timedelta(days=1))(bucket)
    digest = hashlib.sha256(BUNDLE.encode()).hexdigest()
    forged = signed_receipt(store, BUNDLE, digest, "s3://evidence", NOW, load_signer(keys / "ours.pem"))
    made = bucket.keep(place, forged, true.mode, true.until, true.hold)
    made.at = true.at - timedelta(hours=1)
    assert (Fault.SHORTENED, BUNDLE) not in _told(audit(store, lambda: [ours])), (
        "the oldest receipt fits the shortened lock"
    )
    found = audit(store, lambda: [ours], entries=lambda: entries)
    assert set(_told(found)) == {(Fault.SHORTENED, BUNDLE), (Fault.SECOND_VERSION, place)}
    assert {one.version for one in found.findings if one.key == place} == {made.version}


def test_a_receipt_that_the_log_names_and_a_listing_leaves_out_is_found(
    store: S3Store, ours: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries, listing, place = _entries(store), store.versions, receipt_key(BUNDLE)

    def cut_short(_: Store, prefix: str = "") -> Iterator[Version]:
        return (one for one in listing(prefix) if one.key not in {place, BUNDLE})

    monkeypatch.setattr(S3Store, "versions", cut_short)
    assert audit(store, lambda: [ours]).findings == ()
    told = _told(audit(store, lambda: [ours], entries=lambda: entries))
    assert set(told) == {(Fault.UNLISTED, place), (Fault.UNLISTED, BUNDLE)}


def test_a_log_that_cannot_be_read_is_a_finding_and_one_that_is_away_is_not(store: S3Store, ours: PublicKey) -> None:
    def forked() -> Iterator[Entry]:
        yield _entries(store)[0]
        raise ForkAlarm("the log needs log/tile/0/000, and the store does not hold it")

    def away() -> Iterator[Entry]:
        raise StoreUnreachable("nobody answers", "try later")

    found = audit(store, lambda: [ours], entries=forked)
    assert (_told(found), found.entries) == ([(Fault.UNREADABLE_LOG, "log/")], 1)
    with pytest.raises(StoreUnreachable):
        audit(store, lambda: [ours], entries=away)


def test_a_store_that_is_away_is_no_finding(store: S3Store, bucket: PaperS3, ours: PublicKey) -> None:
    def away(**_: Any) -> Any:
        raise error(503, "SlowDown")

    for method in ("head_object", "get_object"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bucket, method, away)
            with pytest.raises(StoreUnreachable):
                audit(store, lambda: [ours], deep=True)


def test_a_changed_or_lost_file_in_a_folder_is_found(tmp_path: Path, keys: Path, ours: PublicKey) -> None:
    store = DirectoryStore(tmp_path)
    _fill(store, keys)
    (tmp_path / BUNDLES[0]).unlink()
    (tmp_path / BUNDLES[1]).chmod(0o644)
    (tmp_path / BUNDLES[1]).write_bytes(b"another")
    (tmp_path / "notes.txt").write_bytes(b"")
    assert set(_told(audit(store, lambda: [ours]))) == {
        (Fault.MISSING, BUNDLES[0]),
        (Fault.DIFFERENT, BUNDLES[1]),
        (Fault.STRAY, "notes.txt"),
    }


def _receipt(number: int, days: int) -> PutReceipt:
    held = Receipt(f"p/r{number}.tar.gz", "ab" * 32, 3, f"v{number}", "COMPLIANCE", NOW + timedelta(days=days))
    return PutReceipt(held, "s3://evidence", NOW, 1, 0)


def _listed(one: PutReceipt) -> Version:
    return Version(one.held.key, one.held.version, True, False, NOW, one.held.size)


@given(st.dictionaries(st.integers(0, 99), st.integers(1, 99)), st.integers(0, 30))
def test_a_store_that_keeps_its_word_has_no_findings_and_one_that_keeps_more_neither(
    days: dict[int, int], more: int
) -> None:
    receipts = [_receipt(number, kept) for number, kept in days.items()]
    held = {
        (r.held.key, r.held.version): replace(r.held, locked_until=r.held.locked_until + timedelta(days=more))  # type: ignore[operator]
        for r in receipts
    }
    assert list(judge(map(_listed, receipts), receipts, held)) == []


@given(st.lists(st.integers(0, 99), unique=True, min_size=1), st.data())
def test_of_many_the_one_that_was_touched_is_found(numbers: list[int], data: st.DataObject) -> None:
    receipts = [_receipt(number, 30) for number in numbers]
    held: dict[tuple[str, str | None], Receipt | None] = {(r.held.key, r.held.version): r.held for r in receipts}
    touched = data.draw(st.sampled_from(receipts)).held
    change: Any = data.draw(
        st.sampled_from(
            [
                (Fault.MISSING, None),
                (Fault.DIFFERENT, replace(touched, sha256="cd" * 32)),
                (Fault.DIFFERENT, replace(touched, size=4)),
                (Fault.DOWNGRADED, replace(touched, lock_mode="GOVERNANCE")),
                (Fault.SHORTENED, replace(touched, locked_until=NOW)),
            ]
        )
    )
    held[(touched.key, touched.version)] = change[1]
    found = list(judge(map(_listed, receipts), receipts, held))
    assert [(one.fault, one.key) for one in found] == [(change[0], touched.key)]


HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "key",
    [
        "orders/orders-1.tar.gz",
        "receipts/orders/orders-1.tar.gz.dsse.json",
        "receipts/packages/v1.4.0.tar.gz.dsse.json",
        "proofs/orders/orders-1.tar.gz.tlog-proof",
        f"proofs/records/{HEX}.dsse.json.tlog-proof",
        "proofs/keys/00000000.dsse.json.tlog-proof",
        "log/heads/00000000000000000001",
        "log/batches/00000000000000000000",
        "log/tile/0/000",
        "log/tile/0/x001/067.p/255",
        "log/tile/entries/x001/x234/067",
        "log/times/00000000000000000001/freetsa.tsr",
        "log/cosignatures/00000000000000000001/witness.example",
        "keys/00000000.dsse.json",
        f"records/{HEX}.dsse.json",
        "packages/v1.4.0.tar.gz",
    ],
)
def test_every_key_of_the_format_has_its_place(key: str) -> None:
    assert is_written_once(key)
    assert is_place(key)
    assert not is_place(f"x/{key}/x")
    assert not is_place(key[:-1] + "é")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "orders-1.tar.gz",
        "orders/x/orders-1.tar.gz",
        "orders/orders-1.tar.gz\n",
        "orders/orders-1.tar",
        "log/orders-1.tar.gz",
        "keys/x.tar.gz",
        ".incoming/part",
        "orders/.hidden.tar.gz",
        "receipts/orders/orders-1.tar.gz",
        "proofs/log/heads/00000000000000000001.tlog-proof",
        "log/heads/1",
        "log/tile/0/67",
        "log/tile/x/000",
        "log/tile/0/000.p/0",
        "log/checkpoint",
        "keys/0.dsse.json",
        f"records/{HEX[1:]}.dsse.json",
        f"records/{HEX.upper()}.dsse.json",
        "portal/",
        "canaries/",
        "canaries/a/b",
        f"portal/{'x' * 200}",
        "con/con.tar.gz",
    ],
)
def test_what_the_format_does_not_list_has_none(key: str) -> None:
    assert not is_place(key)
    assert not is_written_once(key)


def test_what_is_no_evidence_has_a_place_all_the_same() -> None:
    assert [is_place(key) for key in ("portal/index.html", "canaries/1")] == [True, True]
    assert [is_written_once(key) for key in ("portal/index.html", "canaries/1")] == [False, False]
    assert [is_bundle(key) for key in (BUNDLE, "packages/v1.tar.gz", OTHERS[0])] == [True, True, False]


def test_a_finding_says_what_to_do() -> None:
    for fault in Fault:
        assert Finding(fault, "k", None, "seen").advice
