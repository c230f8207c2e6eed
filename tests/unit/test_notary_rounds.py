"""Rounds of the notary: what runners handed in is entered, once; who was not asked to vouch is no secret."""

import base64
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evidence.bundle import seal
from evidence.errors import StoreError, StoreUnreachable
from evidence.keys import ensure_key_pair, load_signer, public_key_of
from evidence.notary import Hands, Notary, proof_key
from evidence.receipts import receipt_key
from evidence.stores import DirectoryStore, Store, open_store
from evidence.verify import COSIGNATURE_NOTE, note_key_id
from muster.notary.policy import AuthorityPolicy, EvidencePolicy, WitnessPolicy
from muster.notary.rounds import go_round, handed_in

NOBODY = "http://127.0.0.1:9/"
NOW = datetime(2026, 11, 26, 5, tzinfo=UTC)
HandIn = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def signer(tmp_path: Path) -> Callable[[str], Any]:
    def signer(name: str) -> Any:
        ensure_key_pair(tmp_path / f"{name}.pem")
        return load_signer(tmp_path / f"{name}.pem")

    return signer


@pytest.fixture
def notary(store: Store, signer: Callable[[str], Any]) -> Notary:
    notary = Notary(store, Hands(signer("notary"), signer("notary")), now=lambda: NOW, where=store.where)
    notary.admit_runner(public_key_of(signer("runner")), "a runner of its own")
    return notary


@pytest.fixture
def hand_in(store: Store, signer: Callable[[str], Any], tmp_path: Path) -> HandIn:
    def hand_in(number: int, by: str = "runner") -> str:
        run = f"shop-{number}"
        predicate = {"run": run, "plan": "shop", "outcome": "failed", "scheduledAt": NOW.isoformat()}
        made = tmp_path / f"{run}.tar.gz"
        sealed = seal({"a": b"1"}, predicate | {"endedAt": NOW.isoformat()}, signer(by), made, {})
        return store.put(f"shop/{run}.tar.gz", sealed.path, sealed.sha256).key

    return hand_in


def test_what_runners_handed_in_is_entered_once(notary: Notary, hand_in: HandIn) -> None:
    keys = [hand_in(1), hand_in(2)]
    assert list(handed_in(notary)) == keys
    done = go_round(notary, EvidencePolicy())
    assert (list(done.entered), done.problems, done.vouched) == (keys, (), ())
    assert done.size == 4
    assert list(handed_in(notary)) == []
    assert go_round(notary, EvidencePolicy()).entered == ()


def test_what_a_stranger_put_there_is_told_and_the_rest_goes_on(notary: Notary, hand_in: HandIn, store: Store) -> None:
    hand_in(1, by="stranger")
    store.put_bytes("shop/shop-2.tar.gz", b"no bundle at all")
    third = hand_in(3)
    done = go_round(notary, EvidencePolicy())
    assert list(done.entered) == [third]
    assert [words.partition(":")[0] for words in done.problems] == ["shop/shop-1.tar.gz", "shop/shop-2.tar.gz"]


def test_a_backlog_is_entered_under_one_head_and_one_bad_bundle_does_not_hold_it_up(
    notary: Notary, hand_in: HandIn, store: Store
) -> None:
    keys = [hand_in(number) for number in range(5)]
    hand_in(9, by="stranger")
    before = store.keys("log/heads/")
    done = go_round(notary, EvidencePolicy())
    assert (list(done.entered), len(done.problems)) == (keys, 1)
    assert len(store.keys("log/heads/")) == len(before) + 1
    assert all(store.head(proof_key(key)) and store.head(receipt_key(key)) for key in keys)


def test_what_cannot_be_brought_is_told_and_a_store_that_goes_away_ends_the_round(
    notary: Notary, hand_in: HandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [hand_in(number) for number in range(3)]
    get = DirectoryStore.get
    answers: dict[str, StoreError] = {keys[1]: StoreError("no permission", "")}

    def refusing(store: DirectoryStore, key: str, to: Path, version: str | None = None) -> str:
        if key in answers:
            raise answers[key]
        return get(store, key, to, version)

    monkeypatch.setattr(DirectoryStore, "get", refusing)
    done = go_round(notary, EvidencePolicy())
    assert (list(done.entered), done.problems) == ([keys[0], keys[2]], (f"{keys[1]}: no permission",))
    answers[keys[1]] = StoreUnreachable("away", "")
    with pytest.raises(StoreUnreachable):
        go_round(notary, EvidencePolicy())
    answers.clear()
    assert list(go_round(notary, EvidencePolicy()).entered) == [keys[1]]


def test_who_cannot_be_reached_to_vouch_is_told(
    notary: Notary, hand_in: HandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    make_root(tmp_path / "root.pem")
    policy = EvidencePolicy(
        authorities=(AuthorityPolicy(name="one", url=NOBODY, certificates=tmp_path / "root.pem"),),
        witnesses=(WitnessPolicy(name="two", url=NOBODY, key=vkey("w.example", bytes(32))),),
    )
    key = hand_in(1)
    done = go_round(notary, policy)
    assert (list(done.entered), done.vouched) == ([key], ())
    assert [words.partition(":")[0] for words in done.problems] == ["no time-stamp of one", "not cosigned by two"]


def make_root(path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=root"]
    command += ["-keyout", f"{path}.key", "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def vkey(name: str, public: bytes) -> str:
    key_id = note_key_id(name, COSIGNATURE_NOTE, public)
    return f"{name}+{key_id.hex()}+{base64.b64encode(bytes([COSIGNATURE_NOTE]) + public).decode()}"
