"""Plans become slots by the cadence that each had when it was due: gaps here are gaps in a package, and no others."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from package_paper import ORIGIN, Paper, at, card, standing
from portal_samples import digest

from evidence.log import Bundle, Entry, run_draft
from evidence.log.entries import make_entry
from evidence.log.heads import make_head
from evidence.plans import LoggedStatement, PlanEvent, PlanStatement
from evidence.slots import slot_key
from evidence.verify import root_of
from muster.cadence.spec import Cadence
from muster.cadence.ticks import ticks_between
from muster.cards import PlanCard
from muster.ledger.standing import Standing
from muster.package.log import Log, copy_log
from muster.package.period import Period
from muster.package.population import Population, build_population
from muster.package.sealed import Reading, SealedRun
from muster.portal.columns import index_of
from muster.portal.gaps import Gap, gaps_of
from muster.portal.model import LogEntry, PortalData, PortalPlan
from muster.portal.plans import AHEAD, ALL_TIME, MOST_AHEAD, plans_of
from muster.portal.reading import runs_of

HOURLY, DAILY, OFTEN = (Cadence(cron=cron) for cron in ("0 * * * *", "30 2 * * *", "0 3 * * *"))
FIRST, CHANGE, NOW = at("2026-07-01"), at("2026-07-03T12:10"), at("2026-07-08T12:00")


@dataclass
class History:
    """A log on paper, without a store, and what each of its bundles would say of the cadence."""

    signer_of: Paper
    entries: list[Entry] = field(default_factory=list)
    readings: dict[str, Reading] = field(default_factory=dict)
    statements: dict[str, list[LoggedStatement]] = field(default_factory=dict)
    """What the log says of plans."""

    def run(self, plan: str, due: datetime, cadence: Cadence | None, outcome: str = "passed") -> None:
        number = len(self.entries)
        key = f"{plan}/{number:06d}.tar.gz"
        draft = run_draft(
            bundle=Bundle(key, digest(key), 1), envelope=digest("e" + key), outcome=outcome, plan=plan,
            receipt=digest("r" + key), run=f"run-{number}", scheduled_at=due, slot=slot_key(plan, due),
        )  # fmt: skip
        previous = self.entries[-1] if self.entries else None
        logged = due + timedelta(minutes=20)
        self.entries.append(make_entry(draft, previous, max(logged, previous.logged_at) if previous else logged))
        self.readings[key] = Reading(_sealed(cadence))

    def tell(self, plan: str, event: PlanEvent, moment: datetime, cadence: Cadence) -> None:
        told = self.statements.setdefault(plan, [])
        said = PlanStatement(
            plan=plan, number=len(told), event=event, at=moment, plan_digest="", kind="restore", owner="",
            cadence=cadence.model_dump(mode="json"), controls=(), reason="", by="", previous=None,
        )  # fmt: skip
        told.append(LoggedStatement(said, "", 0, moment))

    def log(self, period: Period = ALL_TIME) -> Log:
        leaves = [entry.leaf for entry in self.entries]
        head = make_head(ORIGIN, len(leaves), root_of(leaves), self.signer_of.signer)
        return copy_log((entry.content for entry in self.entries), head.content, period, None, None)

    def population(self, cards: Sequence[PlanCard], standings: Sequence[Standing], now: datetime) -> Population:
        return build_population(self.log(), self.readings, ALL_TIME, cards, standings, now, self.statements)

    def portal(self, cards: Sequence[PlanCard], standings: Sequence[Standing], now: datetime = NOW) -> PortalData:
        return PortalData(
            at=now, origin=ORIGIN, size=len(self.entries), root="",
            entries=[LogEntry(entry.index, entry.fields) for entry in self.entries],
            plans=plans_of(self.population(cards, standings, now), cards, standings, self.statements),
        )  # fmt: skip


def _sealed(cadence: Cadence | None) -> SealedRun:
    return SealedRun(
        kind="restore", owner="", target="", headline="", verdict="", trigger="", requested_by="", approval="",
        opened_at=None, ended_at=None, controls=("SOC 2 A1.2",), measures=(), against=(), last_proven="",
        cadence=cadence, waiver=None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Paper:
    return Paper(tmp_path_factory.mktemp("paper"))


@pytest.fixture
def history(paper: Paper) -> History:
    return History(paper)


def missing(data: PortalData) -> list[tuple[str, datetime]]:
    """The due times that the portal tells as unsealed."""
    lacks = gaps_of(data, runs_of(data))
    return sorted((lack.plan, lack.at) for lack in lacks if lack.gap is Gap.UNSEALED and lack.at)


def packaged(
    history: History, cards: Sequence[PlanCard], standings: Sequence[Standing], now: datetime, days: int
) -> list[tuple[str, datetime]]:
    """The same of packages, one for each so many days of the history."""
    start = history.entries[0].logged_at - timedelta(days=40)
    ends = [start + timedelta(days=days) * n for n in range((now - start).days // days + 3)]
    found: list[tuple[str, datetime]] = []
    for first, end in pairwise(ends):
        period = Period("p", first, end)
        log, readings, told = history.log(period), history.readings, history.statements
        population = build_population(log, readings, period, cards, standings, now, told)
        found += [(row.plan, row.at) for row in population.gaps]
    return sorted(found)


def changed(history: History, old: Cadence, new: Cadence, *lost: datetime) -> list[datetime]:
    """A plan that was due by one cadence and then by another; what was never sealed."""
    for due in ticks_between(old, FIRST, CHANGE):
        if due not in lost:
            history.run("orders", due, old)
    for due in ticks_between(new, CHANGE, NOW):
        if due not in lost:
            history.run("orders", due, new)
    known = standing("orders", new, since=FIRST)
    return [due for _, due in missing(history.portal([card("orders", new)], [known]))]


@pytest.mark.parametrize(("old", "new"), [(HOURLY, DAILY), (DAILY, HOURLY), (HOURLY, OFTEN), (DAILY, OFTEN)])
def test_a_change_of_cadence_makes_no_gap(history: History, old: Cadence, new: Cadence) -> None:
    assert changed(history, old, new) == []


def test_a_record_that_lacks_is_a_gap_on_either_side_of_the_change(history: History) -> None:
    hour, day = at("2026-07-02T07:00"), at("2026-07-05T02:30")
    assert changed(history, HOURLY, DAILY, hour, day) == [hour, day]


def test_a_change_that_the_ledger_has_not_seen_yet_hides_and_invents_nothing(history: History) -> None:
    for due in ticks_between(HOURLY, FIRST, CHANGE):
        history.run("orders", due, HOURLY)
    known = [standing("orders", HOURLY, since=FIRST)]
    data = history.portal([card("orders", DAILY)], known)
    still_owed = [due for due in ticks_between(HOURLY, CHANGE, NOW) if due + timedelta(hours=25) <= NOW]
    assert missing(data) == [("orders", due) for due in still_owed]
    (plan,) = data.plans
    assert {slot.due.minute for slot in plan.slots if slot.due > NOW} == {30}


def test_a_retired_plan_owes_what_was_due_until_then_and_nothing_after(history: History) -> None:
    retired, lost = at("2026-07-05T12:00"), at("2026-07-04T03:00")
    for due in ticks_between(OFTEN, FIRST, retired):
        if due != lost:
            history.run("orders", due, OFTEN)
    history.run("billing", at("2026-07-08T03:00"), OFTEN)
    data = history.portal([], [standing("orders", OFTEN, since=FIRST, retired_at=retired)])
    assert missing(data) == [("orders", lost)]
    billing, orders = data.plans
    assert (orders.ended, orders.cadence, orders.kind) == ("retired 2026-07-05", "daily at 03:00 UTC", "restore")
    assert orders.controls == ("SOC 2 A1.2",)
    assert [slot.due.day for slot in orders.slots] == [1, 2, 3, 4, 5]
    assert (billing.ended, orders.current, billing.current) == ("without a file", None, None)
    assert [(plan["name"], plan["ended"]) for plan in index_of(data, runs_of(data))["plans"]] == [
        ("orders", "retired 2026-07-05"), ("billing", "without a file")
    ]  # fmt: skip


def test_a_retired_plan_is_never_overdue_and_the_same_with_a_file_is(history: History) -> None:
    history.run("orders", at("2026-07-02T03:00"), OFTEN)
    retired = standing("orders", OFTEN, since=FIRST, retired_at=at("2026-07-02T12:00"))
    for cards, known, found in (
        ([], [retired], []),
        ([card("orders", OFTEN)], [standing("orders", OFTEN, since=FIRST)], [at("2026-07-03T03:00")]),
    ):
        data = history.portal(cards, known)
        assert [lack.at for lack in gaps_of(data, runs_of(data)) if lack.gap is Gap.OVERDUE] == found


def test_a_plan_that_the_log_alone_knows_owes_what_was_due_between_its_records(history: History) -> None:
    for day in (1, 2, 4):
        history.run("orders", at(f"2026-07-{day:02d}T03:00"), OFTEN)
    data = history.portal([], [])
    assert missing(data) == [("orders", at("2026-07-03T03:00"))]
    assert data.plans[0].ended == "without a file"


def test_a_plan_that_the_log_enrolled_and_nobody_retired_is_owed_its_slots_though_all_else_forgot_it(
    history: History,
) -> None:
    history.run("billing", at("2026-07-01T03:00"), None)
    history.tell("orders", PlanEvent.ENROLLED, at("2026-07-02T12:00"), OFTEN)
    data = history.portal([], [])
    assert missing(data) == [("orders", at(f"2026-07-{day:02d}T03:00")) for day in (3, 4, 5, 6)]
    orders = data.plans[1]
    assert (orders.ended, orders.current) == ("without a file", OFTEN)
    history.tell("orders", PlanEvent.RETIRED, at("2026-07-04T12:00"), OFTEN)
    data = history.portal([], [])
    assert missing(data) == [("orders", at(f"2026-07-{day:02d}T03:00")) for day in (3, 4)]
    assert (data.plans[1].ended, data.plans[1].current) == ("retired 2026-07-04", None)


def unlogged(cards: Sequence[PlanCard], standings: Sequence[Standing] = ()) -> PortalPlan:
    """The plan, where the log is empty."""
    population = build_population(Log(ORIGIN, 0, "", ALL_TIME.start, NOW, (), ()), {}, ALL_TIME, cards, standings, NOW)
    (plan,) = plans_of(population, cards, standings, {})
    return plan


def test_an_empty_log_holds_no_record_of_what_was_due() -> None:
    cards = [card("orders", OFTEN)]
    plan = unlogged(cards, [standing("orders", OFTEN, since=at("2026-07-05"))])
    assert [slot.due.day for slot in plan.slots if not slot.is_open] == [5, 6]
    assert unlogged(cards).slots[0].due > NOW


def test_a_rare_plan_shows_its_next_slot_and_nothing_beyond_the_horizon() -> None:
    plan = unlogged([card("orders", Cadence(cron="0 3 1 1 *"))])
    assert [slot.due.year for slot in plan.slots] == [2027]
    assert all(NOW < slot.due <= NOW + AHEAD and slot.is_open for slot in plan.slots)
    assert len(unlogged([card("orders", HOURLY)]).slots) == MOST_AHEAD


def test_slots_are_in_order_and_each_but_once_whatever_the_zone(history: History) -> None:
    berlin = Cadence(cron="0 3 * * *", timezone="Europe/Berlin")
    for due in ticks_between(berlin, FIRST, at("2026-07-05")):
        history.run("orders", due, berlin)
        history.run("orders", due, berlin, "failed")
    (plan,) = history.portal([card("orders", berlin)], [standing("orders", berlin, since=FIRST)]).plans
    dues = [slot.due for slot in plan.slots]
    assert dues == sorted(set(dues))
    assert {due.tzinfo for due in dues} == {UTC}


CADENCES = [Cadence(cron=cron) for cron in ("0 */8 * * *", "0 3 * * *", "30 4 * * 1", "0 3 1 * *")]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_portal_and_packages_tell_the_same_gaps_of_the_same_history(paper: Paper, seed: int) -> None:
    """Cadences change, records lack or hold none, plans retire; files, ledgers and the log know of it or do not.

    Of several packages one tells less where the record beside its period holds no cadence, and nothing
    of a plan that neither file nor ledger nor statement names and that has no record in it: never more.
    """
    random, history = Random(seed), History(paper)
    now = at("2026-09-01") + timedelta(hours=random.randrange(72))
    cards, standings, runs = [], [], []
    for name in ("orders", "billing"):
        cadences = random.choices(CADENCES, k=random.randint(1, 3))
        changes = sorted(FIRST + timedelta(hours=random.randrange(24, 1200)) for _ in cadences[1:])
        retired = at("2026-08-20T12:00") if random.random() < 0.5 else None
        for cadence, (start, end) in zip(cadences, pairwise([FIRST, *changes, retired or now]), strict=True):
            dues = ticks_between(cadence, start, min(end, now - timedelta(hours=1)))
            runs += [(due, name, cadence) for due in dues if random.random() < 0.9]
        if random.random() < 0.5:
            events = [PlanEvent.ENROLLED, *(PlanEvent.CHANGED for _ in changes)]
            for event, moment, cadence in zip(events, [FIRST, *changes], cadences, strict=True):
                history.tell(name, event, moment, cadence)
            if retired:
                history.tell(name, PlanEvent.RETIRED, retired, cadences[-1])
        if retired is None and random.random() < 0.7:
            cards.append(card(name, random.choice([cadences[-1], *CADENCES])))
        if random.random() < 0.8:
            standings.append(standing(name, cadences[-1], since=FIRST, retired_at=retired))
    history.run("first", at("2026-06-20"), None)
    known = 1.0 if random.random() < 0.5 else 0.9
    for due, name, cadence in sorted(runs, key=lambda run: run[:2]):
        history.run(name, due, cadence if random.random() < known else None)
    found = missing(history.portal(cards, standings, now))
    assert found == packaged(history, cards, standings, now, days=400)
    parts = packaged(history, cards, standings, now, days=random.choice([7, 31]))
    assert set(parts) <= set(found)
    names = {each.name for each in cards} | {each.plan for each in standings} | history.statements.keys()
    assert known < 1 or [gap for gap in parts if gap[0] in names] == [gap for gap in found if gap[0] in names]
