"""Receipts asked for again: what somebody did to a store is sealed, and the verifier alone finds it in a package."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from package_paper import AUGUST, DUE, JULY, OCTOBER, Paper, standing
from test_package_gather import Q3, Q4, Estate

from evidence.again import SealedAgain, seal_again
from evidence.audit import audit
from evidence.envelope import open_envelope
from evidence.errors import StoreUnreachable
from evidence.keyring import Role
from evidence.log import Entry
from evidence.outbox import Outbox
from evidence.receipts import parse_receipt
from evidence.statement import PredicateType
from evidence.stores import S3Store
from evidence.verify import Given, Report, check, load_key
from muster.package.period import Period, parse_period
from tests.paper_s3 import Kept, PaperS3

YEAR = parse_period("2026")


class Copies(Outbox):
    """The runner's own copies: a package has its bundles, whatever became of those in the store."""

    def __init__(self, paper: Paper) -> None:
        super().__init__(paper.folder / "outbox")
        self._paper = paper

    def path_of(self, key: str) -> Path | None:
        return self._paper.bundles.get(key)


@dataclass
class Bucket(Estate):
    """An estate whose store is a bucket with Object Lock, of which somebody may bypass governance."""

    days: int | None = 400
    """Of retention: longer than this story."""
    legal_hold: bool = True

    def make_store(self) -> Any:
        self.s3 = PaperS3(may_bypass=True, clock=lambda: self.now)
        client: Any = self.s3
        return S3Store(client, "evidence", "", self.days, "COMPLIANCE", lambda: self.now, self.legal_hold)

    def kept(self, key: str) -> Kept:
        return next(one for one in self.s3.kept if one.name == key and one.body is not None)


def filled(estate: Estate) -> Estate:
    estate.ledger.known = [standing("orders")]
    for due in DUE:
        estate.run("orders", due)
    return estate


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    made = Bucket(tmp_path)
    filled(made)
    return made


def seal(estate: Estate) -> SealedAgain:
    vault = estate.sources().vault
    found = audit(estate.store, lambda: vault.keys_now(Role.SEAL), entries=vault.entries)
    return seal_again(estate.notary, found.asked, estate.now)


def look(estate: Estate, release: str = "v1", period: Period = YEAR) -> Report:
    sources = estate.sources(outbox=Copies(estate.paper))
    return check(estate.package(release, period, sources).path, Given(load_key(estate.pinned)))


def failed(report: Report) -> dict[str, str]:
    return {proof.name: proof.seen for proof in report.proofs if proof.ok is False}


def again(estate: Estate) -> list[Entry]:
    return [e for e in estate.sources().vault.entries() if e.fields.get("predicateType") == PredicateType.PUT_RECEIPT]


def key_of(estate: Estate, due: Any) -> str:
    return next(key for key in estate.paper.bundles if key.startswith(f"orders/{due:%Y%m%d}"))


def test_a_store_that_nobody_touched_is_told_to_be_so_and_passes(bucket: Bucket) -> None:
    assert seal(bucket) == SealedAgain(asked=9, worse=0, over=0)
    bucket.now += timedelta(hours=2)
    assert seal(bucket) == SealedAgain(asked=9, worse=0, over=0)
    assert len(again(bucket)) == 18
    for period, release in ((Q3, "v1"), (Q4, "v2")):
        assert look(bucket, release, period).verdict == "pass"


def test_a_lock_that_was_made_longer_passes(bucket: Bucket) -> None:
    kept = bucket.kept(key_of(bucket, JULY))
    assert kept.until
    kept.until += timedelta(days=30)
    assert seal(bucket).worse == 0
    assert look(bucket).verdict == "pass"


Change = Callable[[Bucket, str], object]


def gone(bucket: Bucket, key: str) -> None:
    bucket.s3.kept.remove(bucket.kept(key))


def exchanged(bucket: Bucket, key: str) -> None:
    kept = bucket.kept(key)
    gone(bucket, key)
    bucket.s3.keep(key, kept.body, kept.mode, kept.until, kept.hold)


def gone_behind_a_marker(bucket: Bucket, key: str) -> None:
    gone(bucket, key)
    bucket.s3.delete_object(Key=key)


def changed(**values: Any) -> Change:
    return lambda bucket, key: vars(bucket.kept(key)).update(values)


def shortened(bucket: Bucket, key: str) -> None:
    kept = bucket.kept(key)
    assert kept.until
    kept.until -= timedelta(days=300)


DEEDS: dict[str, tuple[Change, str]] = {
    "a delete marker": (lambda bucket, key: bucket.s3.delete_object(Key=key), "1 delete markers"),
    "a second version": (lambda bucket, key: bucket.s3.keep(key, b"another"), "2 versions"),
    "a version that is gone": (gone, "0 versions"),
    "a version that is gone behind a marker": (gone_behind_a_marker, "1 delete markers"),
    "a version that was exchanged for the same bytes": (exchanged, "another version"),
    "other bytes": (changed(body=b"another"), "other bytes"),
    "a shortened lock": (shortened, "it was shortened"),
    "a downgraded lock": (changed(mode="GOVERNANCE"), "it was weakened"),
    "a lock that was taken away": (changed(mode=None, until=None), "it was weakened"),
    "a hold that was lifted": (changed(hold=False), "legal hold was lifted"),
}


@pytest.mark.parametrize("what", DEEDS)
def test_what_somebody_did_is_sealed_and_the_verifier_alone_finds_it(bucket: Bucket, what: str) -> None:
    change, word = DEEDS[what]
    assert seal(bucket).worse == 0
    change(bucket, key_of(bucket, JULY))
    assert look(bucket, "before").verdict == "pass", "until it is sealed, no package shows it"
    bucket.now += timedelta(hours=2)
    assert seal(bucket) == SealedAgain(asked=9, worse=1, over=0)
    seen = failed(look(bucket))
    assert seen.keys() == {"records"}
    assert word in seen["records"]
    assert key_of(bucket, JULY) in seen["records"]


@pytest.mark.parametrize("what", DEEDS)
def test_a_package_that_lacks_the_first_receipt_shows_it_too(bucket: Bucket, what: str) -> None:
    """The run is of the quarter before, and so is its receipt: the first one's words stand beside the later ones."""
    change, word = DEEDS[what]
    change(bucket, key_of(bucket, JULY))
    bucket.now += timedelta(hours=2)
    assert seal(bucket).worse == 1
    seen = failed(look(bucket, period=Q4))
    assert seen.keys() == {"records"}
    assert word in seen["records"]


def test_a_lock_that_ended_as_it_was_promised_is_no_fault(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, days=10, legal_hold=False)
    filled(bucket)
    gone(bucket, key_of(bucket, JULY))
    bucket.s3.delete_object(Key=key_of(bucket, AUGUST))
    assert seal(bucket) == SealedAgain(asked=1, worse=0, over=8), "October's is locked yet"
    assert look(bucket).verdict == "pass"
    bucket.s3.delete_object(Key=key_of(bucket, OCTOBER))
    assert seal(bucket) == SealedAgain(asked=1, worse=1, over=8)


def test_a_store_without_locks_is_asked_again_too(tmp_path: Path) -> None:
    estate = filled(Estate(tmp_path))
    assert seal(estate) == SealedAgain(asked=9, worse=0, over=0)
    assert look(estate).verdict == "pass"
    (estate.store.root / key_of(estate, JULY)).unlink()
    estate.now += timedelta(hours=2)
    assert seal(estate).worse == 1
    seen = failed(look(estate, "v2"))
    assert seen.keys() == {"records"}
    assert "0 versions" in seen["records"]


def test_a_receipt_of_what_is_gone_names_what_it_was(bucket: Bucket) -> None:
    key = key_of(bucket, JULY)
    version = bucket.kept(key).version
    gone(bucket, key)
    seal(bucket)
    said = [open_envelope(bucket.store.read(str(entry.fields["key"]))) for entry in again(bucket)]
    receipts = [parse_receipt(one.payload) for one in said if one]
    (last,) = [one for one in receipts if one and one.versions == 0]
    assert last.held.sha256 == next(
        e.fields["bundle"]["sha256"]
        for e in bucket.sources().vault.entries()
        if e.fields.get("bundle", {}).get("key") == key
    )
    assert (last.held.key, last.held.version, last.held.lock_mode, last.held.locked_until) == (key, version, None, None)


def test_many_are_sealed_in_batches_and_a_store_that_goes_away_keeps_those_before(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evidence.notary.MOST_AT_ONCE", 4)
    size = bucket.notary.log.view().size
    heads = len(bucket.store.keys("log/heads/"))
    seal(bucket)
    assert bucket.notary.log.view().size == size + 9
    assert len(bucket.store.keys("log/heads/")) == heads + 3
    bucket.now += timedelta(hours=2)
    put, count = S3Store.put_bytes, [0]

    def away_in_the_second_batch(store: S3Store, key: str, content: bytes) -> Any:
        count[0] += key.startswith("records/")
        if count[0] > 5:
            raise StoreUnreachable("nobody answers", "try later")
        return put(store, key, content)

    monkeypatch.setattr(S3Store, "put_bytes", away_in_the_second_batch)
    with pytest.raises(StoreUnreachable):
        seal(bucket)
    monkeypatch.setattr(S3Store, "put_bytes", put)
    assert bucket.notary.log.view().size == size + 9 + 4
    assert seal(bucket).asked == 9
    assert look(bucket).verdict == "pass"
