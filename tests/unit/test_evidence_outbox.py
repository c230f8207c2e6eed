"""The outbox: durable, in order, once; mended by the next flush wherever it was killed."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from evidence import durable
from evidence import outbox as outbox_room
from evidence.bundle import Sealed, seal
from evidence.errors import AlreadyDifferent, EvidenceError, StoreError, StoreUnreachable
from evidence.keys import ensure_key_pair, load_signer
from evidence.outbox import Delivery, Outbox, Sent
from evidence.stores import DirectoryStore, Receipt, open_store
from evidence.verify import verify


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "signing.pem"
    ensure_key_pair(path)
    return path


@pytest.fixture
def make(private: Path, tmp_path: Path) -> Callable[[str], Sealed]:
    signer = load_signer(private)

    def make(name: str, content: bytes = b"{}") -> Sealed:
        return seal({"journal.jsonl": content}, {"run": name}, signer, tmp_path / "runs" / f"{name}.tar.gz", {})

    return make


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


class Away:
    """A store that cannot be reached, or that refuses the keys it is told to."""

    def __init__(self, inner: DirectoryStore, refuse: str = "") -> None:
        self.inner, self.refuse = inner, refuse

    def put(self, key: str, path: Path, sha256: str) -> Receipt:
        if not self.refuse:
            raise StoreUnreachable("nobody answers", "try later")
        if key == self.refuse:
            raise StoreError("no permission", "ask for it")
        return self.inner.put(key, path, sha256)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.name.endswith(".lock"))


def test_a_bundle_is_sent_once_and_its_local_copy_verifies(
    outbox: Outbox, store: DirectoryStore, make: Callable[[str], Sealed], private: Path
) -> None:
    sealed = make("r1")
    waiting = outbox.add(sealed, "runs/r1.tar.gz")
    sealed.path.unlink()
    assert outbox.path_of("runs/r1.tar.gz") == waiting
    assert verify(waiting, private.with_suffix(".pub")).verdict == "pass"
    delivery = outbox.flush(store)
    assert delivery == Delivery((Receipt("runs/r1.tar.gz", sealed.sha256, sealed.size, created=True),), ())
    kept = outbox.path_of("runs/r1.tar.gz")
    assert kept == outbox.folder / "sent" / "runs" / "r1.tar.gz"
    assert verify(kept, private.with_suffix(".pub")).verdict == "pass"
    receipt = json.loads(kept.with_name("r1.tar.gz.receipt.json").read_bytes())
    assert Receipt.from_json(receipt) == delivery.sent[0]
    assert store.keys() == ("runs/r1.tar.gz",)
    assert outbox.flush(store) == Delivery((), ())
    assert _tree(outbox.folder) == [
        "sent", "sent/runs", "sent/runs/r1.tar.gz", "sent/runs/r1.tar.gz.receipt.json", "waiting",
    ]  # fmt: skip


def test_what_waits_is_sent_in_order_when_the_store_comes_back(
    outbox: Outbox, store: DirectoryStore, make: Callable[[str], Sealed]
) -> None:
    names = ["c", "a", "b"]
    paths = [outbox.add(make(name), name) for name in names]
    away = outbox.flush(Away(store))
    assert away.sent == ()
    assert [(w.key, w.path, w.why) for w in away.waiting] == [
        (name, path, "nobody answers") for name, path in zip(names, paths, strict=True)
    ]
    assert all(path.is_file() for path in paths)
    assert [receipt.key for receipt in outbox.flush(store).sent] == names


def test_one_that_is_refused_does_not_stop_the_others(
    outbox: Outbox, store: DirectoryStore, make: Callable[[str], Sealed]
) -> None:
    for name in ("a", "b", "c"):
        outbox.add(make(name), name)
    delivery = outbox.flush(Away(store, refuse="b"))
    assert [receipt.key for receipt in delivery.sent] == ["a", "c"]
    assert [(w.key, w.path.is_file()) for w in delivery.waiting] == [("b", True)]
    assert "no permission" in delivery.waiting[0].why
    assert [receipt.key for receipt in outbox.flush(store).sent] == ["b"]


def test_other_bytes_under_the_key_wait_and_are_never_sent_over_it(
    outbox: Outbox, store: DirectoryStore, make: Callable[[str], Sealed], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    store.put("r1", other, durable.sha256_of(other))
    outbox.add(make("r1"), "r1")
    delivery = outbox.flush(store)
    assert delivery.sent == ()
    assert "other bytes" in delivery.waiting[0].why
    assert store.head("r1") == Receipt("r1", durable.sha256_of(other), 5)


def test_a_bundle_already_in_the_store_is_a_success(
    outbox: Outbox, store: DirectoryStore, make: Callable[[str], Sealed]
) -> None:
    sealed = make("r1")
    store.put("r1", sealed.path, sealed.sha256)
    outbox.add(sealed, "r1")
    assert [(r.key, r.created) for r in outbox.flush(store).sent] == [("r1", False)]


def test_adding_again_changes_nothing_and_another_bundle_is_refused(
    outbox: Outbox, store: DirectoryStore, make: Callable[..., Sealed]
) -> None:
    sealed = make("r1")
    assert outbox.add(sealed, "r1") == outbox.add(sealed, "r1")
    outbox.flush(store)
    assert outbox.add(sealed, "r1") == outbox.folder / "sent" / "r1"
    assert outbox.flush(store) == Delivery((), ())
    with pytest.raises(AlreadyDifferent):
        outbox.add(make("r1", b"{} "), "r1")


def test_a_bundle_that_changed_since_it_was_sealed_is_not_taken_in(
    outbox: Outbox, make: Callable[[str], Sealed]
) -> None:
    sealed = make("r1")
    sealed.path.write_bytes(b"changed")
    with pytest.raises(EvidenceError, match="not the bundle that was sealed"):
        outbox.add(sealed, "r1")
    for key in ("../r2", ".r2", "runs/bundle.json"):
        with pytest.raises(EvidenceError, match="is no key"):
            outbox.add(make("r2"), key)
    assert outbox.flush(Away(DirectoryStore(outbox.folder))) == Delivery((), ())


def test_a_bundle_damaged_or_lost_while_it_waits_is_reported(
    outbox: Outbox, store: DirectoryStore, make: Callable[[str], Sealed]
) -> None:
    damaged, lost = outbox.add(make("r1"), "r1"), outbox.add(make("r2"), "r2")
    damaged.chmod(0o644)
    damaged.write_bytes(b"damaged")
    lost.unlink()
    outbox.add(make("r3"), "r3")
    delivery = outbox.flush(store)
    assert [receipt.key for receipt in delivery.sent] == ["r3"]
    assert [w.key for w in delivery.waiting] == ["r1", "r2"]
    assert store.keys() == ("r3",)


def test_what_comes_while_another_flush_works_is_sent_by_that_one(
    outbox: Outbox, store: DirectoryStore, make: Callable[[str], Sealed]
) -> None:
    seen: list[Delivery] = []

    class Busy(Away):
        def put(self, key: str, path: Path, sha256: str) -> Receipt:
            if not seen:
                outbox.add(make("r2"), "r2")
                seen.append(Outbox(outbox.folder).flush(store))
            return store.put(key, path, sha256)

    outbox.add(make("r1"), "r1")
    assert [receipt.key for receipt in outbox.flush(Busy(store)).sent] == ["r1", "r2"]
    assert seen[0].sent == ()
    assert [(w.key, w.why) for w in seen[0].waiting] == [(k, "another process is sending") for k in ("r1", "r2")]


OPERATIONS = frozenset({"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.chmod"})


def _killed_before_operation(number: int, act: Callable[[], object]) -> bool:
    """Run `act` in a child that is killed (SIGKILL) right before its n-th operation on files; whether it was."""
    child = os.fork()
    if not child:
        countdown = iter(range(number, -1, -1))

        def watch(event: str, _: object) -> None:
            if event in OPERATIONS and next(countdown, 0) == 0:
                os.kill(os.getpid(), 9)

        try:
            sys.addaudithook(watch)
            act()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, -9}
    return code == -9


def test_killed_at_every_point_of_a_flush_the_next_one_mends_it(
    tmp_path: Path, make: Callable[[str], Sealed], private: Path
) -> None:
    sealed = [make("r1"), make("r2")]
    number, killed = 0, True
    while killed:
        outbox, store = Outbox(tmp_path / f"o{number}"), open_store(str(tmp_path / f"s{number}"))
        for bundle in sealed:
            outbox.add(bundle, f"runs/{bundle.path.name}")
        killed = _killed_before_operation(number, lambda o=outbox, s=store: o.flush(s))  # type: ignore[misc]
        delivery = outbox.flush(store)
        assert delivery.waiting == ()
        assert len(delivery.sent) <= (2 if killed else 0)
        assert store.keys() == ("runs/r1.tar.gz", "runs/r2.tar.gz")
        assert _tree(outbox.folder) == [
            "sent",
            "sent/runs",
            "sent/runs/r1.tar.gz",
            "sent/runs/r1.tar.gz.receipt.json",
            "sent/runs/r2.tar.gz",
            "sent/runs/r2.tar.gz.receipt.json",
            "waiting",
        ]
        for bundle in sealed:
            kept = outbox.path_of(f"runs/{bundle.path.name}")
            assert kept == outbox.folder / "sent" / "runs" / bundle.path.name
            assert verify(kept, private.with_suffix(".pub")).verdict == "pass"
            assert Receipt.from_json(json.loads((kept.parent / f"{kept.name}.receipt.json").read_bytes())).sha256 == (
                bundle.sha256
            )
        assert sum(p.endswith(".tar.gz") for p in _tree(tmp_path / f"s{number}")) == 2
        number += 1
    assert number > 20, "the kill points were not reached"


def test_killed_at_every_point_of_an_add_the_next_one_mends_it(tmp_path: Path, make: Callable[[str], Sealed]) -> None:
    sealed = make("r1")
    number, killed = 0, True
    while killed:
        outbox, store = Outbox(tmp_path / f"o{number}"), open_store(str(tmp_path / f"s{number}"))
        killed = _killed_before_operation(number, lambda o=outbox: o.add(sealed, "r1"))  # type: ignore[misc]
        outbox.add(sealed, "r1")
        assert len([p for p in _tree(outbox.folder) if p.startswith("waiting/")]) == 3
        assert [receipt.key for receipt in outbox.flush(store).sent] == ["r1"]
        assert _tree(outbox.folder) == ["sent", "sent/r1", "sent/r1.receipt.json", "waiting"]
        number += 1
    assert number > 8, "the kill points were not reached"


def test_many_flushers_at_once_send_each_bundle_once(
    tmp_path: Path, outbox: Outbox, store: DirectoryStore, make: Callable[[str], Sealed]
) -> None:
    for number in range(12):
        outbox.add(make(f"r{number}"), f"r{number}")
    children = []
    for _ in range(6):
        child = os.fork()
        if not child:
            created = [r.key for r in outbox.flush(store).sent if r.created]
            (tmp_path / f"child-{os.getpid()}").write_text(json.dumps(created))
            os._exit(0)
        children.append(child)
    assert {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children} == {0}
    sent = [key for child in children for key in json.loads((tmp_path / f"child-{child}").read_text())]
    assert outbox.flush(store) == Delivery((), ())
    assert sorted(sent) == sorted(f"r{number}" for number in range(12)) == sorted(store.keys())


def test_who_is_told_hears_again_when_the_first_time_was_cut_short(
    outbox: Outbox, store: DirectoryStore, make: Callable[[str], Sealed]
) -> None:
    heard: list[str] = []

    def hear(sent: Sequence[Sent]) -> dict[str, str]:
        heard.extend(one.receipt.key for one in sent)
        return {}

    def cut_short(sent: Sequence[Sent]) -> dict[str, str]:
        hear(sent)
        raise KeyboardInterrupt

    waiting = outbox.add(make("r1"), "r1")
    with pytest.raises(KeyboardInterrupt):
        outbox.flush(store, cut_short)
    assert waiting.is_file()
    outbox.flush(store, hear)
    outbox.flush(store, hear)
    assert heard == ["r1", "r1"]
    assert store.keys() == ("r1",)


class Ear:
    """Remembers what it was told, batch by batch, and says that some have to stay."""

    def __init__(self, *stay: str) -> None:
        self.stay, self.batches = set(stay), list[list[str]]()

    def __call__(self, sent: Sequence[Sent]) -> dict[str, str]:
        assert all(durable.sha256_of(one.path) == one.receipt.sha256 for one in sent)
        self.batches.append([one.receipt.key for one in sent])
        return {key: f"{key} is not for us" for key in self.batches[-1] if key in self.stay}


def test_a_backlog_is_told_in_batches_of_bounded_count_in_order(
    outbox: Outbox, store: DirectoryStore, make: Callable[[str], Sealed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_room, "MOST_AT_ONCE", 3)
    names = ["c", "a", "e", "b", "d", "g", "f"]
    for name in names:
        outbox.add(make(name), name)
    ear = Ear()
    assert outbox.flush(Away(store), ear).sent == ()
    assert ear.batches == []
    assert [receipt.key for receipt in outbox.flush(store, ear).sent] == names
    assert ear.batches == [["c", "a", "e"], ["b", "d", "g"], ["f"]]


def test_a_batch_ends_where_its_bundles_are_large(
    outbox: Outbox, store: DirectoryStore, make: Callable[..., Sealed], monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = {name: make(name, os.urandom(size)) for name, size in (("a", 10), ("b", 5000), ("c", 10), ("d", 10))}
    monkeypatch.setattr(outbox_room, "ENOUGH_BYTES", sealed["b"].size)
    for name, bundle in sealed.items():
        outbox.add(bundle, name)
    ear = Ear()
    outbox.flush(store, ear)
    assert ear.batches == [["a", "b"], ["c", "d"]]


def test_one_that_has_to_stay_waits_with_its_reason_and_is_told_again(
    outbox: Outbox, store: DirectoryStore, make: Callable[[str], Sealed]
) -> None:
    for name in ("a", "b", "c"):
        outbox.add(make(name), name)
    ear = Ear("b")
    delivery = outbox.flush(store, ear)
    assert [receipt.key for receipt in delivery.sent] == ["a", "c"]
    assert [(w.key, w.path.is_file(), w.why) for w in delivery.waiting] == [("b", True, "b is not for us")]
    assert ear.batches == [["a", "b", "c"]]
    well = Ear()
    delivery = outbox.flush(store, well)
    assert (well.batches, [(r.key, r.created) for r in delivery.sent]) == ([["b"]], [("b", True)])
    assert outbox.flush(store, well) == Delivery((), ())


def test_what_was_sent_before_the_store_went_away_is_told_and_the_rest_waits(
    outbox: Outbox, store: DirectoryStore, make: Callable[[str], Sealed]
) -> None:
    class Going(Away):
        def put(self, key: str, path: Path, sha256: str) -> Receipt:
            if key == "c":
                raise StoreUnreachable("nobody answers", "try later")
            return store.put(key, path, sha256)

    for name in ("a", "b", "c", "d"):
        outbox.add(make(name), name)
    ear = Ear()
    delivery = outbox.flush(Going(store), ear)
    assert (ear.batches, [receipt.key for receipt in delivery.sent]) == ([["a", "b"]], ["a", "b"])
    assert [(w.key, w.why) for w in delivery.waiting] == [(name, "nobody answers") for name in "cd"]


@pytest.mark.parametrize(
    ("error", "told"), [(StoreUnreachable("away", ""), 1), (StoreError("no permission", ""), 2)], ids=["away", "no"]
)
def test_what_nobody_could_hear_of_waits(
    outbox: Outbox,
    store: DirectoryStore,
    make: Callable[[str], Sealed],
    monkeypatch: pytest.MonkeyPatch,
    error: StoreError,
    told: int,
) -> None:
    monkeypatch.setattr(outbox_room, "MOST_AT_ONCE", 2)
    heard = []

    def deaf(sent: Sequence[Sent]) -> dict[str, str]:
        heard.append(sent)
        raise error

    for name in ("a", "b", "c", "d"):
        outbox.add(make(name), name)
    delivery = outbox.flush(store, deaf)
    assert (delivery.sent, len(heard)) == ((), told)
    assert [(w.key, w.why) for w in delivery.waiting] == [(name, error.message) for name in "abcd"]
    ear = Ear()
    assert [receipt.key for receipt in outbox.flush(store, ear).sent] == ["a", "b", "c", "d"]
    assert ear.batches == [["a", "b"], ["c", "d"]]


def test_killed_at_every_point_of_a_flush_of_batches_all_are_told_before_they_leave(
    tmp_path: Path, make: Callable[[str], Sealed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is told writes a line for each, and syncs it: whatever left the outbox has one, in the order of adding."""
    monkeypatch.setattr(outbox_room, "MOST_AT_ONCE", 2)
    sealed = {name: make(name) for name in ("c", "a", "b")}
    number, killed = 0, True
    while killed:
        outbox, store = Outbox(tmp_path / f"o{number}"), open_store(str(tmp_path / f"s{number}"))
        told = os.open(tmp_path / f"told-{number}", os.O_RDWR | os.O_CREAT | os.O_APPEND)

        def tell(sent: Sequence[Sent], told: int = told) -> dict[str, str]:
            os.write(told, b"".join(f"{one.receipt.key}\n".encode() for one in sent))
            return {}

        for name, bundle in sealed.items():
            outbox.add(bundle, name)
        killed = _killed_before_operation(number, lambda o=outbox, s=store, t=tell: o.flush(s, t))  # type: ignore[misc]
        heard = os.pread(told, 1 << 16, 0).decode().split()
        assert {*sealed} - {*outbox.waiting()} <= {*heard}
        assert outbox.flush(store, tell).waiting == ()
        heard = os.pread(told, 1 << 16, 0).decode().split()
        os.close(told)
        assert list(dict.fromkeys(heard)) == [*sealed]
        assert {*store.keys()} == {*sealed}
        assert all(outbox.path_of(name) == outbox.folder / "sent" / name for name in sealed)
        number += 1
    assert number > 30, "the kill points were not reached"
