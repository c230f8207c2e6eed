"""The notary: everything sealed is entered once and proved, whoever asks, however often, wherever it was killed."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from evidence import notary as notary_room
from evidence.bundle import Sealed, seal
from evidence.errors import EvidenceError, KeyProblem, StoreUnreachable
from evidence.keyring import EVERY_ROLE, Action, Role
from evidence.keys import ensure_key_pair, load_signer, public_key_of
from evidence.log import Log
from evidence.notary import Hands, Notary, proof_key, read_keyring
from evidence.receipts import parse_receipt
from evidence.sealed import NotSealed
from evidence.slots import slot_key
from evidence.statement import PredicateType, utc
from evidence.stores import S3Store, Store, open_store
from evidence.verify import check_inclusion, leaf_hash, parse_checkpoint, parse_note, parse_tlog_proof
from tests.paper_s3 import PaperS3

START = datetime(2026, 11, 26, 5, tzinfo=UTC)
Make = Callable[..., Any]


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def signer(tmp_path: Path) -> Make:
    def signer(name: str = "first") -> Any:
        ensure_key_pair(tmp_path / "keys" / f"{name}.pem")
        return load_signer(tmp_path / "keys" / f"{name}.pem")

    return signer


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def bundle(tmp_path: Path, signer: Make) -> Make:
    @cache
    def bundle(number: int = 1, by: str = "first") -> tuple[str, Sealed]:
        run = f"restore-shop-{number:04d}"
        predicate = {
            "run": run,
            "plan": "restore-shop",
            "outcome": "passed",
            "scheduledAt": START.isoformat(),
            "endedAt": (START + timedelta(minutes=number)).isoformat(),
        }
        sealed = seal({"journal.jsonl": b"{}\n"}, predicate, signer(by), tmp_path / "made" / f"{run}.tar.gz", {})
        return f"restore-shop/{run}.tar.gz", sealed

    return bundle


def notary_of(store: Any, seal: Any, log: Any | None = None, **more: Any) -> Notary:
    return Notary(store, Hands(seal, log or seal), now=more.pop("now", Clock()), where="a folder", **more)


def put(store: Store, key: str, sealed: Sealed) -> None:
    store.put(key, sealed.path, sealed.sha256)


def proves(proof: bytes) -> dict[str, Any]:
    """What the proven entry says, when its proof leads to the head in it."""
    parsed = parse_tlog_proof(proof)
    assert parsed is not None
    note = parse_note(parsed.checkpoint)
    assert note is not None
    head = parse_checkpoint(note.text)
    assert head is not None
    extra = next(line for line in proof.split(b"\n") if line.startswith(b"extra "))
    entry = base64.b64decode(extra.removeprefix(b"extra "))
    assert check_inclusion(parsed.index, head.size, leaf_hash(entry), parsed.hashes, head.root)
    said: dict[str, Any] = json.loads(entry)
    return said


def test_a_bundle_gets_a_receipt_an_entry_and_a_proof(store: Store, signer: Make, bundle: Make) -> None:
    key, sealed = bundle()
    put(store, key, sealed)
    notary = notary_of(store, signer())
    said = proves(notary.enter(key, sealed.path))
    receipt = store.read(f"receipts/{key}.dsse.json")
    assert said["bundle"] == {"key": key, "sha256": sealed.sha256, "size": sealed.size}
    assert said["receipt"] == hashlib.sha256(receipt).hexdigest()
    assert (said["kind"], said["outcome"], said["run"]) == ("run", "passed", "restore-shop-0001")
    assert said["slot"] == slot_key("restore-shop", START)
    answer = parse_receipt(base64.b64decode(json.loads(receipt)["payload"]))
    assert answer is not None
    assert (answer.where, answer.held.sha256) == ("a folder", sealed.sha256)
    assert [entry.kind for entry in notary.log.view().entries()] == ["record", "run"]


def test_the_first_entry_is_the_keyring(store: Store, signer: Make) -> None:
    notary = notary_of(store, signer())
    first = notary.log.view().entry(0).fields
    assert first["key"] == "keys/00000000.dsse.json"
    assert first["envelope"] == hashlib.sha256(store.read("keys/00000000.dsse.json")).hexdigest()
    assert first["predicateType"] == "urn:muster:key:v1"
    assert proves(store.read(proof_key("keys/00000000.dsse.json"))) == first


def test_a_log_key_of_its_own_is_admitted_too(store: Store, signer: Make) -> None:
    notary = notary_of(store, signer("seal"), signer("log"))
    assert notary.log.view().size == 2
    assert [key.key_id for key in notary.keyring.trusted(Role.LOG, 2)] == [public_key_of(signer("log")).key_id]
    assert notary_of(store, signer("seal"), signer("log")).log.view().size == 2


def test_asking_again_enters_nothing(store: Store, signer: Make, bundle: Make) -> None:
    key, sealed = bundle()
    put(store, key, sealed)
    proof = notary_of(store, signer()).enter(key, sealed.path)
    before = store.keys()
    again = notary_of(store, signer())
    assert again.enter(key, sealed.path) == proof
    assert store.keys() == before


class Dying:
    """A store whose process dies before or after its n-th write."""

    def __init__(self, store: Store, at: int, *, after: bool) -> None:
        self._store, self._at, self._after, self.writes = store, at, after, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_bytes(self, key: str, content: bytes) -> Any:
        self.writes += 1
        if self.writes == self._at and not self._after:
            raise StoreUnreachable("killed", "")
        done = self._store.put_bytes(key, content)
        if self.writes == self._at:
            raise StoreUnreachable("killed", "")
        return done


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("keys", [("first",), ("first", "log")], ids=["one key", "a log key of its own"])
def test_killed_at_any_write_it_is_finished_by_asking_again(
    tmp_path: Path, signer: Make, bundle: Make, after: bool, keys: tuple[str, ...]
) -> None:
    key, sealed = bundle()
    hands = [signer(name) for name in keys]
    for at in range(1, 60):
        store = open_store(str(tmp_path / f"store-{at}"))
        put(store, key, sealed)
        dying = Dying(store, at, after=after)
        try:
            notary_of(dying, *hands).enter(key, sealed.path)
        except StoreUnreachable:
            notary = notary_of(store, *hands)
            assert proves(notary.enter(key, sealed.path))["run"] == "restore-shop-0001"
            kinds = [entry.kind for entry in notary.log.view().entries()]
            assert kinds == [*("record" for _ in keys), "run"], at
        else:
            assert at > 8, "it writes more often than that"
            return
    pytest.fail("it never came to its end")


def in_memory() -> Store:
    """A store that is quick, with nothing in it."""
    paper: Any = PaperS3()
    return S3Store(paper, "evidence", "", None, "COMPLIANCE", Clock())


class DyingAnywhere:
    """A store whose process dies before or after its n-th operation, of whatever kind."""

    def __init__(self, store: Store, at: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, at, after

    @property
    def where(self) -> str:
        return self._store.where

    def __getattr__(self, name: str) -> Any:
        def act(*arguments: Any, **more: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise StoreUnreachable("killed", "")
            try:
                return getattr(self._store, name)(*arguments, **more)
            finally:
                if self._left == 0:
                    raise StoreUnreachable("killed", "")

        return act


def backlog_of(store: Store, bundle: Make, *numbers: int) -> list[tuple[str, Path]]:
    """Bundles that the store holds and nobody entered, in the order of these numbers."""
    made = [bundle(number) for number in numbers]
    for key, sealed in made:
        put(store, key, sealed)
    return [(key, sealed.path) for key, sealed in made]


def assert_entered(store: Store, log: Log, keys: list[str]) -> None:
    """Each once, in this order, with the receipt that its entry names and a proof of that entry."""
    runs = [entry.fields for entry in log.view().entries() if entry.kind == "run"]
    assert [fields["bundle"]["key"] for fields in runs] == keys
    for key, fields in zip(keys, runs, strict=True):
        assert hashlib.sha256(store.read(f"receipts/{key}.dsse.json")).hexdigest() == fields["receipt"]
        assert proves(store.read(proof_key(key))) == fields


def test_a_backlog_is_entered_in_order_as_one_by_one(store: Store, signer: Make, bundle: Make) -> None:
    backlog = backlog_of(store, bundle, 3, 1, 2)
    notary = notary_of(store, signer())
    notary.enter(*backlog[1])
    assert notary.enter_all(backlog) == {}
    assert_entered(store, notary.log, [backlog[number][0] for number in (1, 0, 2)])
    before = store.keys()
    assert notary.enter_all(backlog) == {}
    assert notary.enter_all([]) == {}
    assert store.keys() == before


@pytest.mark.parametrize(("most", "heads"), [(1, [1, 2, 3, 4, 5, 6]), (2, [1, 3, 5, 6]), (256, [1, 6])])
def test_a_batch_has_one_head_and_is_bounded_by_count(
    store: Store, signer: Make, bundle: Make, monkeypatch: pytest.MonkeyPatch, most: int, heads: list[int]
) -> None:
    monkeypatch.setattr(notary_room, "MOST_AT_ONCE", most)
    backlog = backlog_of(store, bundle, 1, 2, 3, 4, 5)
    notary = notary_of(store, signer())
    assert notary.enter_all(backlog) == {}
    assert [int(key.rpartition("/")[2]) for key in store.keys("log/heads/")] == heads
    assert_entered(store, notary.log, [key for key, _ in backlog])


def test_a_batch_ends_where_its_bundles_are_large(
    store: Store, signer: Make, bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog = backlog_of(store, bundle, 1, 2, 3)
    monkeypatch.setattr(notary_room, "ENOUGH_BYTES", backlog[0][1].stat().st_size + 1)
    notary_of(store, signer()).enter_all(backlog)
    assert [int(key.rpartition("/")[2]) for key in store.keys("log/heads/")] == [1, 3, 4]


def test_a_local_copy_is_needed_in_its_turn_only(store: Store, signer: Make, bundle: Make) -> None:
    backlog = backlog_of(store, bundle, 1, 2, 3)

    def brought() -> Iterator[tuple[str, Path]]:
        for key, path in backlog:
            yield key, path
            path.unlink()

    notary = notary_of(store, signer())
    assert notary.enter_all(brought()) == {}
    assert_entered(store, notary.log, [key for key, _ in backlog])


def test_what_cannot_be_entered_is_told_and_holds_up_no_other(store: Store, signer: Make, bundle: Make) -> None:
    """A stranger's, a changed one, one that is not in the store, one without a local copy, one that fits no entry."""
    good = backlog_of(store, bundle, 1, 2)
    strange, sealed = bundle(3, by="stranger")
    put(store, strange, sealed)
    absent, unsent = bundle(4)
    lost = backlog_of(store, bundle, 5)[0]
    lost[1].unlink()
    odd = [one for one in (odd_of(store, signer, n, says) for n, says in enumerate(ODD)) if one]
    notary = notary_of(store, signer())
    asked = [good[0], (strange, sealed.path), (absent, unsent.path), lost, *odd, good[1]]
    problems = notary.enter_all(asked)
    assert list(problems) == [key for key, _ in asked[1:-1]]
    assert all(problem.message and problem.advice for problem in problems.values())
    assert_entered(store, notary.log, [key for key, _ in good])
    for key, path in odd:
        with pytest.raises(NotSealed, match="fits no entry"):
            notary.enter(key, path)
    assert notary.log.view().size == 3
    assert [key for key, _ in asked[1:-1] if store.head(f"receipts/{key}.dsse.json")] == []


ODD: list[dict[str, Any]] = [
    {"plan": None},
    {"outcome": "x" * 70_000},
    {"outcome": 1.5},
    {"endedAt": "2026-11-26T05:00:00"},
    {"endedAt": "soon"},
    {"endedAt": "0001-01-01T00:00:00Z"},
    {"scheduledAt": 7},
]


def odd_of(store: Store, signer: Make, number: int, says: dict[str, Any]) -> tuple[str, Path]:
    """A bundle sealed by a key that may, whose statement is not one of a run."""
    said = {"run": f"odd-{number}", "plan": "odd", "outcome": "passed", "scheduledAt": None, "endedAt": utc(START)}
    predicate = {name: value for name, value in (said | says).items() if name != "plan" or value}
    folder = Path(store.where).parent / "odd"
    sealed = seal({"a": b"1"}, predicate, signer(), folder / f"odd-{number}.tar.gz", {})
    key = f"odd/odd-{number}.tar.gz"
    put(store, key, sealed)
    return key, sealed.path


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("keys", [("first",), ("first", "log")], ids=["one key", "a log key of its own"])
def test_killed_at_any_operation_a_backlog_is_finished_by_asking_again(
    signer: Make, bundle: Make, after: bool, keys: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in another order, and with one more: what was claimed in a batch is in the log once, as it was claimed."""
    monkeypatch.setattr(notary_room, "MOST_AT_ONCE", 2)
    hands = [signer(name) for name in keys]
    for at in range(1, 300):
        store = in_memory()
        backlog = backlog_of(store, bundle, 1, 2, 3)
        try:
            notary_of(DyingAnywhere(store, at, after=after), *hands).enter_all(backlog)
        except StoreUnreachable:
            notary = notary_of(store, *hands)
            done = [e.fields["bundle"]["key"] for e in notary.log.view().entries() if e.kind == "run"]
            assert done == [key for key, _ in backlog][: len(done)], at
            anew = [*backlog[::-1], *backlog_of(store, bundle, 4)]
            assert notary.enter_all(anew) == {}
            assert_entered(store, notary.log, [*done, *(key for key, _ in anew if key not in done)])
        else:
            assert at > 60, "it asks the store more often than that"
            return
    pytest.fail("it never came to its end")


class Interrupted(DyingAnywhere):
    """A store that another process uses in between, before the n-th operation of the first."""

    def __init__(self, store: Store, at: int, between: Callable[[], object]) -> None:
        super().__init__(store, at, after=False)
        self._between = between

    def __getattr__(self, name: str) -> Any:
        def act(*arguments: Any, **more: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self._between()
            return getattr(self._store, name)(*arguments, **more)

        return act


def test_two_notaries_with_one_backlog_enter_each_bundle_once(
    signer: Make, bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second enters all of its share before any operation of the first: no order loses or doubles one."""
    monkeypatch.setattr(notary_room, "MOST_AT_ONCE", 2)
    for at in range(1, 300):
        store = in_memory()
        first, shared, second = backlog_of(store, bundle, 1, 2, 3)
        notary_of(store, signer())
        came: list[dict[str, EvidenceError]] = []

        def between(store: Store = store, share: Any = (second, shared), came: Any = came) -> None:
            came.append(notary_of(store, signer()).enter_all(share))

        assert notary_of(Interrupted(store, at, between), signer()).enter_all([first, shared]) == {}
        notary = notary_of(store, signer())
        entered = [e.fields["bundle"]["key"] for e in notary.log.view().entries() if e.kind == "run"]
        assert sorted(entered) == sorted(key for key, _ in ((first, shared, second) if came else (first, shared)))
        assert_entered(store, notary.log, entered)
        if not came:
            assert at > 20, "it asks the store more often than that"
            return
        assert came == [{}]
    pytest.fail("it never came to its end")


def test_a_store_that_goes_away_costs_nothing_that_was_read_before(store: Store, signer: Make, bundle: Make) -> None:
    backlog = backlog_of(store, bundle, 1, 2)

    def brought() -> Iterator[tuple[str, Path]]:
        yield from backlog
        raise StoreUnreachable("away", "")

    notary = notary_of(store, signer())
    with pytest.raises(StoreUnreachable):
        notary.enter_all(brought())
    assert_entered(store, notary.log, [key for key, _ in backlog])


def kept_in(store: Store) -> tuple[int, int]:
    """Objects of the log, and their bytes."""
    sizes = [len(store.read(key)) for key in store.keys("log/")]
    return len(sizes), sum(sizes)


def test_a_backlog_costs_a_small_part_of_what_one_by_one_costs(
    tmp_path: Path, signer: Make, bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    stores = [open_store(str(tmp_path / name)) for name in ("one", "all")]
    backlogs = [backlog_of(store, bundle, *range(300)) for store in stores]
    one, many = (notary_of(store, signer()) for store in stores)
    for key, path in backlogs[0]:
        one.enter(key, path)
    assert many.enter_all(backlogs[1]) == {}
    assert stores[0].keys("proofs/") == stores[1].keys("proofs/")
    assert stores[0].keys("receipts/") == stores[1].keys("receipts/")
    assert_entered(stores[1], many.log, [key for key, _ in backlogs[1]])
    (objects, size), (objects_all, size_all) = map(kept_in, stores)
    assert (objects, objects_all) == (1205, 15)
    assert size_all * 20 < size
    assert size_all < 300 * 2500


def test_a_bundle_that_a_stranger_sealed_is_not_entered(store: Store, signer: Make, bundle: Make) -> None:
    key, sealed = bundle(by="stranger")
    put(store, key, sealed)
    notary = notary_of(store, signer())
    with pytest.raises(NotSealed, match="not sealed by a key"):
        notary.enter(key, sealed.path)
    assert notary.log.view().size == 1


def test_a_bundle_that_was_changed_is_not_entered(store: Store, signer: Make, bundle: Make) -> None:
    key, sealed = bundle()
    put(store, key, sealed)
    content = bytearray(sealed.path.read_bytes())
    content[len(content) // 2] ^= 1
    sealed.path.chmod(0o644)
    sealed.path.write_bytes(content)
    with pytest.raises(NotSealed):
        notary_of(store, signer()).enter(key, sealed.path)


def test_a_bundle_that_the_store_does_not_hold_is_not_entered(store: Store, signer: Make, bundle: Make) -> None:
    key, sealed = bundle()
    notary = notary_of(store, signer())
    with pytest.raises(EvidenceError, match="holds no"):
        notary.enter(key, sealed.path)
    assert notary.log.view().size == 1


def test_a_runner_of_its_own_hands_in_once_it_is_admitted(store: Store, signer: Make, bundle: Make) -> None:
    notary = notary_of(store, signer())
    key, sealed = bundle(by="runner")
    put(store, key, sealed)
    with pytest.raises(NotSealed):
        notary.enter(key, sealed.path)
    notary.admit_runner(public_key_of(signer("runner")), "the runner in the other account")
    assert proves(notary.enter(key, sealed.path))["run"] == "restore-shop-0001"
    with pytest.raises(KeyProblem, match="does not let"):
        notary_of(store, signer("runner"))


def test_keys_change_hands_and_old_entries_stay(store: Store, signer: Make, bundle: Make) -> None:
    clock = Clock()
    notary = notary_of(store, signer(), now=clock)
    first = bundle(1)
    put(store, *first)
    proof = notary.enter(first[0], first[1].path)
    notary.admit(signer("second"), EVERY_ROLE, "as planned")
    after = notary_of(store, signer("second"), now=clock)
    after.end(Action.RETIRE, public_key_of(signer()), "as planned")
    second = bundle(2, by="second")
    put(store, *second)
    assert proves(after.enter(second[0], second[1].path))["run"] == "restore-shop-0002"
    assert after.enter(first[0], first[1].path) == proof
    with pytest.raises(KeyProblem, match="does not let"):
        notary_of(store, signer(), now=clock)
    third = bundle(3)
    put(store, *third)
    with pytest.raises(NotSealed):
        after.enter(third[0], third[1].path)
    kinds = [entry.fields.get("predicateType", "run") for entry in after.log.view().entries()]
    assert kinds == ["urn:muster:key:v1", "run", "urn:muster:key:v1", "urn:muster:key:v1", "run"]


def test_another_installation_does_not_write_into_this_store(store: Store, signer: Make) -> None:
    notary_of(store, signer())
    with pytest.raises(KeyProblem, match="does not let"):
        notary_of(store, signer("other"))
    keyring = read_keyring(store)
    assert keyring is not None
    assert len(keyring.statements) == 1


def test_a_record_is_kept_and_entered(store: Store, signer: Make) -> None:
    notary = notary_of(store, signer())
    entry = notary.record(PredicateType.PROBE, {"records/canary": "0" * 64}, {"worm": False})
    assert entry.fields["predicateType"] == "urn:muster:probe:v1"
    assert hashlib.sha256(store.read(entry.fields["key"])).hexdigest() == entry.envelope
    assert proves(store.read(proof_key(entry.fields["key"]))) == entry.fields


def test_records_are_entered_at_the_size_that_was_read_and_at_no_other(store: Store, signer: Make) -> None:
    notary = notary_of(store, signer())
    said = [({"shop.yaml": "0" * 64}, {"number": number}) for number in range(2)]
    assert notary.record_at(0, PredicateType.PLAN, said) == ()
    entries = notary.record_at(1, PredicateType.PLAN, said)
    assert [entry.fields["predicateType"] for entry in entries] == ["urn:muster:plan:v1"] * 2
    assert all(proves(store.read(proof_key(entry.fields["key"]))) == entry.fields for entry in entries)
    assert notary.record_at(1, PredicateType.PLAN, said) == ()
    assert notary.log.view().size == 3


def test_a_number_that_is_missing_among_the_keys_is_an_alarm(store: Store, signer: Make, tmp_path: Path) -> None:
    notary = notary_of(store, signer())
    notary.admit(signer("second"), EVERY_ROLE, "as planned")
    (tmp_path / "store" / "keys" / "00000000.dsse.json").unlink()
    with pytest.raises(EvidenceError, match="not numbered in a row"):
        notary_of(store, signer())


class DyingAt(Dying):
    """A store whose process dies as it writes one key."""

    def __init__(self, store: Store, key: str) -> None:
        super().__init__(store, 0, after=False)
        self._key = key

    def put_bytes(self, key: str, content: bytes) -> Any:
        if key == self._key:
            raise StoreUnreachable("killed", "")
        return self._store.put_bytes(key, content)


def test_a_runner_whose_clock_is_ahead_is_entered_once(store: Store, signer: Make, bundle: Make) -> None:
    """Killed when it was entered and its proof not kept yet: it is found again, though it says to end tomorrow."""
    key, sealed = bundle(60 * 24)
    put(store, key, sealed)
    with pytest.raises(StoreUnreachable):
        notary_of(DyingAt(store, proof_key(key)), signer()).enter(key, sealed.path)
    notary = notary_of(store, signer())
    notary.enter(key, sealed.path)
    assert [entry.kind for entry in notary.log.view().entries()].count("run") == 1
