"""A portal gathered from a store, its log and a ledger: cadences are those that were sealed, a bundle is read once."""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from package_paper import AUGUST, DUE, JULY, MONTHLY, SINCE, at, standing
from test_package_gather import Estate

from evidence.errors import StoreUnreachable
from evidence.keys import public_key_of
from evidence.outbox import Outbox
from evidence.plans import PlanEvent, PlanStatement
from evidence.statement import PredicateType
from evidence.timestamps import Authority, anchor_key
from evidence.vault import Vault
from muster.cadence.controls import BY_ID
from muster.cadence.spec import Cadence
from muster.notary.vouched import Anchor
from muster.portal.gaps import Gap, gaps_of
from muster.portal.gather import Sources, gather
from muster.portal.model import PortalData, Slot
from muster.portal.reading import runs_of
from muster.portal.support import supported_by

WEEKLY = Cadence(cron="0 3 * * 1")


@dataclass
class Counting:
    """A store that counts what is brought from it, and can be away."""

    store: object
    brought: int = 0
    is_away: bool = False

    def get(self, key: str, to: Path) -> str:
        if self.is_away:
            raise StoreUnreachable("the store is away", "wait")
        self.brought += 1
        return str(self.store.get(key, to))  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    """Monthly until June with a record that lacks, then weekly, and retired in August."""
    estate = Estate(tmp_path)
    for due in (*DUE[:2], *DUE[3:5]):
        estate.run("orders", due)
    for day in (8, 15, 29):
        key = estate.paper.run("orders", at(f"2026-06-{day:02d}T03:00"), cadence=WEEKLY)
        estate.enter(key, estate.paper.bundles[key], at(f"2026-06-{day:02d}T03:20"))
    retired = at("2026-07-06T12:00")
    estate.ledger.known = [standing("orders", WEEKLY, retired_at=retired)]
    return estate


def portal(estate: Estate, **changes: object) -> tuple[PortalData, Counting]:
    vault = Vault.open(estate.store, public_key_of(estate.paper.signer))
    counting = Counting(vault.store)
    seen = Vault(counting, vault.keyring, vault.origin)  # type: ignore[arg-type]
    sources = Sources(seen, estate.ledger, (), Outbox(estate.folder / "outbox"), estate.folder / "cache")  # type: ignore[arg-type]
    return gather(replace(sources, **changes)), counting  # type: ignore[arg-type]


def test_what_was_due_is_told_by_the_cadence_that_was_sealed(estate: Estate) -> None:
    data, _ = portal(estate)
    lacks = [(lack.gap, lack.at) for lack in gaps_of(data, runs_of(data))]
    assert lacks == [
        (Gap.UNSEALED, at("2026-07-06T03:00")),
        (Gap.UNSEALED, at("2026-06-22T03:00")),
        (Gap.UNSEALED, DUE[2]),
    ]
    (plan,) = data.plans
    assert (plan.ended, plan.kind, plan.cadence) == ("retired 2026-07-06", "restore", "weekly, Monday at 03:00 UTC")


def test_a_bundle_is_brought_once_and_told_the_same_from_what_was_kept(estate: Estate) -> None:
    first, counting = portal(estate)
    assert counting.brought == 7
    again, counting = portal(estate)
    assert counting.brought == 0
    assert (again.plans, again.predicates) == (first.plans, first.predicates)
    for kept in (estate.folder / "cache").glob("*/*"):
        kept.write_bytes(b"{}")
    estate.run("billing", AUGUST)
    _, counting = portal(estate)
    assert counting.brought == 8, "what another version kept is read anew"


def test_a_bundle_that_the_store_lost_is_told_as_not_read_and_its_due_time_is_taken(estate: Estate) -> None:
    key = next(iter(estate.paper.bundles))
    (estate.folder / "store" / key).unlink()
    data, _ = portal(estate)
    gaps = [(lack.gap, lack.at) for lack in gaps_of(data, runs_of(data))]
    assert (Gap.UNREAD, DUE[0]) in gaps
    assert (Gap.UNSEALED, DUE[0]) not in gaps


def test_what_the_log_says_of_plans_is_read(estate: Estate) -> None:
    estate.ledger.known = []
    assert portal(estate)[0].plans[0].ended == "without a file"
    before = None
    for number, (event, moment) in enumerate([(PlanEvent.ENROLLED, SINCE), (PlanEvent.RETIRED, at("2026-07-07"))]):
        said = PlanStatement(
            plan="orders", number=number, event=event, at=moment, plan_digest="0" * 64, kind="restore", owner="",
            cadence=WEEKLY.model_dump(mode="json"), controls=(), reason="", by="db1", previous=before,
        )  # fmt: skip
        before = estate.notary.record(PredicateType.PLAN, said.subjects, said.predicate()).envelope
    (plan,) = portal(estate)[0].plans
    assert plan.ended == "retired 2026-07-07"
    assert plan.slots[-1] == Slot(at("2026-07-06T03:00"), is_open=False)


def test_two_records_of_one_slot_contradict_each_other_and_support_nothing(estate: Estate) -> None:
    data, _ = portal(estate)
    assert all(supported_by(run, BY_ID) for run in runs_of(data))
    estate.run("orders", DUE[1])
    data, _ = portal(estate)
    lacks = [lack for lack in gaps_of(data, runs_of(data)) if lack.gap is Gap.CONTRADICTED]
    assert [lack.at for lack in lacks] == [DUE[1]] * 2
    assert all(lack.words.startswith("2 records of one slot") for lack in lacks)
    assert [run.due for run in runs_of(data) if not supported_by(run, BY_ID)] == [DUE[1]] * 2


def test_of_a_log_without_a_run_everything_that_was_due_lacks(tmp_path: Path) -> None:
    estate = Estate(tmp_path)
    estate.ledger.known = [standing("orders", MONTHLY, since=JULY - timedelta(days=1))]
    data, _ = portal(estate)
    assert [entry.entry["kind"] for entry in data.entries] == ["record"]
    lacks = [(lack.gap, lack.at) for lack in gaps_of(data, ())]
    assert lacks == [(Gap.UNSEALED, AUGUST), (Gap.UNSEALED, JULY), (Gap.OVERDUE, JULY)]


def test_a_time_stamp_that_is_there_and_cannot_be_checked_is_told_and_one_that_is_not_there_is_not(
    estate: Estate,
) -> None:
    asked = [Authority("digicert", "https://time.example", (), "")]
    data, _ = portal(estate, authorities=asked)
    assert data.anchors == []
    token = estate.folder / "store" / anchor_key(data.size, "freetsa")
    token.parent.mkdir(parents=True)
    token.write_bytes(b"no time-stamp")
    data, _ = portal(estate, authorities=asked)
    assert data.anchors == [Anchor(data.size, "freetsa", None)]
