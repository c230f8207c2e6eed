"""What becomes of a sealed run: entered here, handed in to a notary apart, without what its owner withholds."""

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from evidence.bundle import seal
from evidence.keys import ensure_key_pair, load_public, load_signer
from evidence.notary import Hands, Notary, proof_key
from evidence.outbox import Outbox
from evidence.stores import Store, open_store
from evidence.vault import Vault
from evidence.verify import verify
from muster.clock import SystemClock
from muster.journal import Journal, RunState
from muster.ledger import Ledger
from muster.notary.policy import EvidencePolicy
from muster.notary.rounds import go_round
from muster.opening import Request
from muster.settings import Settings
from tests.unit.paper import PLAN, bundles_of, paper_conductor


@pytest.fixture
def told(settings: Settings, tmp_path: Path) -> Settings:
    """An installation with a policy of its own, which tests write."""
    (tmp_path / "plans").mkdir()
    return settings.model_copy(update={"plans": tmp_path / "plans"})


def store_of(settings: Settings) -> Store:
    return open_store(settings.store)


def conduct(settings: Settings, ledger: Ledger, reason: str = "a test") -> str:
    return paper_conductor(settings, ledger).conduct(PLAN, Request(reason)).run


def test_a_run_is_entered_as_it_is_sealed(told: Settings, ledger: Ledger) -> None:
    runs = [conduct(told, ledger), conduct(told, ledger)]
    vault = Vault.open(store_of(told), load_public(told.public_key_file))
    assert [entry.fields.get("run") for entry in vault.entries()] == [None, *runs]
    keys = [f"{PLAN.name}/{run}.tar.gz" for run in runs]
    assert all(store_of(told).head(proof_key(key)) for key in keys)


def test_what_waited_for_a_store_is_entered_under_one_head_and_a_bad_one_waits_on(
    told: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    conductor = paper_conductor(told, ledger)
    away = replace(conductor, open_store=lambda: open_store("/dev/null/nowhere"))
    runs = [away.conduct(PLAN, Request("a test")).run for _ in range(3)]
    ensure_key_pair(tmp_path / "stranger.pem")
    strange = seal({"a": b"1"}, {"run": "x"}, load_signer(tmp_path / "stranger.pem"), tmp_path / "x.tar.gz", {})
    Outbox(told.outbox).add(strange, "shop/x.tar.gz")
    runs.append(away.conduct(PLAN, Request("a test")).run)
    assert len(away.send_waiting().waiting) == 5
    delivery = conductor.send_waiting()
    keys = [f"{PLAN.name}/{run}.tar.gz" for run in runs]
    assert [receipt.key for receipt in delivery.sent] == keys
    assert [(one.key, "not sealed by a key" in one.why) for one in delivery.waiting] == [("shop/x.tar.gz", True)]
    assert [int(key.rpartition("/")[2]) for key in store_of(told).keys("log/heads/")] == [1, 5]
    states = {Journal(run, ledger, SystemClock()).history.run_state() for run in runs}
    assert states == {RunState.SENT}
    assert Outbox(told.outbox).waiting() == ("shop/x.tar.gz",)


def test_what_a_runner_hands_in_is_entered_by_the_notary_alone(told: Settings, ledger: Ledger, tmp_path: Path) -> None:
    (told.plans / "evidence.yaml").write_text("notary: apart\n")
    run, store = conduct(told, ledger), store_of(told)
    key = f"{PLAN.name}/{run}.tar.gz"
    assert store.keys() == (key,)
    ensure_key_pair(tmp_path / "notary.pem")
    signer = load_signer(tmp_path / "notary.pem")
    notary = Notary(store, Hands(signer, signer), now=SystemClock().now, where=store.where)
    assert go_round(notary, EvidencePolicy()).problems != (), "the runner is not admitted yet"
    notary.admit_runner(load_public(told.public_key_file), "the runner")
    done = go_round(notary, EvidencePolicy())
    assert (done.entered, done.problems) == ((key,), ())


def test_what_is_withheld_is_in_no_file_of_the_bundle(told: Settings, ledger: Ledger) -> None:
    (told.plans / "evidence.yaml").write_text("withhold: ['acme-[a-z]+']\n")
    conduct(told, ledger, "because acme-bank asked")
    (bundle,) = bundles_of(told)
    with tarfile.open(bundle) as archive:
        texts = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]
    assert [name for name, text in texts.items() if b"acme" in text] == []
    assert [name.rpartition("/")[2] for name, text in texts.items() if b"withheld:sha256:" in text] != []
    assert verify(bundle, told.public_key_file).verdict == "pass"


def test_a_store_of_another_installation_is_not_written_to_and_nothing_is_lost(
    told: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    ensure_key_pair(tmp_path / "other.pem")
    other = load_signer(tmp_path / "other.pem")
    Notary(store_of(told), Hands(other, other), now=SystemClock().now, where="theirs")
    conductor = paper_conductor(told, ledger)
    conductor.conduct(PLAN, Request("a test"))
    (waiting,) = conductor.send_waiting().waiting
    assert "does not let the key" in waiting.why
    own = replace(conductor, open_store=lambda: open_store(str(tmp_path / "own")))
    assert [receipt.key for receipt in own.send_waiting().sent] != []
