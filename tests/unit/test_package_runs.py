"""A package of runs that the product itself made, sealed and entered, with its own ledger."""

from datetime import timedelta
from pathlib import Path

from paper import PLAN, paper_conductor
from test_package_making import files_of, told

from evidence.keys import load_public, load_signer
from evidence.statement import utc
from evidence.stores import DirectoryStore
from evidence.vault import Vault
from evidence.verify import verify
from muster.cadence.spec import Cadence
from muster.cadence.ticks import next_tick, tick_at_or_before
from muster.ledger import Ledger, Trigger
from muster.opening import Request
from muster.package.gather import Sources
from muster.package.releasing import package_release
from muster.settings import Settings
from muster.slots import due_after
from muster.verdict import Outcome

CONTROL = "SOC 2 A1.2"
MINUTES = timedelta(minutes=10)


def test_runs_missed_and_waived_slots_of_the_product_are_told(
    settings: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    newest = tick_at_or_before(Cadence(cron="0 * * * *"), ledger.now())
    assert newest is not None
    slots = [newest - timedelta(hours=hours) for hours in (3, 2, 0)]
    freeze = {"from": slots[1] - MINUTES, "until": slots[1] + MINUTES, "reason": "the audit is here"}
    cadence = Cadence.model_validate({"cron": "0 * * * *", "blackouts": [freeze]})
    plan = PLAN.model_copy(update={"cadence": cadence, "controls": (CONTROL,), "owner": "ada"})
    ledger.enroll({plan.name: due_after(cadence, slots[0] - timedelta(hours=1))})
    conductor = paper_conductor(settings, ledger)
    conductor.conduct(plan, Request("it is due", Trigger.SCHEDULE, slots[0]))
    conductor.record_unrun(plan, slots[1], Outcome.WAIVED, "blackout: the audit is here")
    conductor.record_unrun(plan, slots[2], Outcome.MISSED, "no run had started")
    conductor.conduct(plan, Request("because", Trigger.COMMAND_LINE, requested_by="ada"))

    store = DirectoryStore(Path(settings.store))
    vault = Vault.open(store, load_public(settings.public_key_file))
    sealed = package_release(
        Sources(vault, ledger, [plan]), "v1", None, load_signer(settings.key_file), tmp_path / "out"
    )

    files = files_of(sealed.path)
    population, controls = told(files, "population.json"), told(files, "controls.json")
    rows = {(row["outcome"], row["isDue"]): row for row in population["slots"]}
    assert set(rows) == {("passed", True), ("waived", True), ("missed", True), ("passed", False)}
    assert all(row["problems"] == [] and row["kind"] == "restore" for row in rows.values())
    waiver = rows["waived", True]["waiver"]
    assert (waiver["owner"], waiver["reason"]) == ("ada", "blackout: the audit is here")
    assert waiver["until"] == utc(freeze["until"])
    (row,) = [row for row in controls["controls"] if row["control"] == CONTROL]
    assert len(row["supports"]) == 2
    assert row["doesNotShow"] == [f"{plan.name}: 1 missed, 1 waived"]
    assert population["open"][0]["scheduledAt"] == utc(next_tick(cadence, slots[1]))
    report = verify(sealed.path, settings.public_key_file)
    assert [proof for proof in report.proofs if proof.ok is False] == []
