"""The notary: everything sealed is entered once and proved, whoever asks, however often, wherever it was killed."""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evidence.bundle import Sealed, seal
from evidence.errors import EvidenceError, KeyProblem, StoreUnreachable
from evidence.keyring import EVERY_ROLE, Action, Role
from evidence.keys import ensure_key_pair, load_signer, public_key_of
from evidence.notary import Hands, Notary, proof_key, read_keyring
from evidence.receipts import parse_receipt
from evidence.sealed import NotSealed
from evidence.slots import slot_key
from evidence.statement import PredicateType
from evidence.stores import Store, open_store
from evidence.verify import check_inclusion, leaf_hash, parse_checkpoint, parse_note, parse_tlog_proof

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
