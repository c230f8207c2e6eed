"""Plans in a package: what the log says of their beginning and end comes first; who vanished is owed slots."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.envelope import sign
from evidence.log import record_draft
from evidence.plans import LoggedStatement, PlanEvent, PlanStatement
from evidence.statement import PredicateType
from muster.cadence.spec import Cadence
from muster.cadence.ticks import ticks_between
from muster.package.inputs import PackageInputs
from muster.package.log import Log, copy_log
from muster.package.planlog import read_statements
from muster.package.population import LEDGER, LOG, PlanAccount, Population, build_population
from muster.package.sealed import read_bundle
from tests.unit.package_paper import (
    AUGUST,
    DUE,
    JULY,
    MONTHLY,
    OCTOBER,
    Q3,
    SEPTEMBER,
    SINCE,
    Paper,
    at,
    card,
    standing,
)
from tests.unit.test_package_population import population_of as of_ledger
from tests.unit.test_package_population import told

NOVEMBER = at("2026-11-20")


@dataclass
class Told(Paper):
    """A paper log in which plans are told too."""

    records: dict[str, bytes] = field(default_factory=dict)
    last: dict[str, tuple[PlanStatement, str]] = field(default_factory=dict)

    def plan(
        self,
        name: str,
        event: PlanEvent,
        moment: datetime | None,
        logged_at: datetime | None = None,
        cadence: Cadence = MONTHLY,
        **says: Any,
    ) -> None:
        """Tell of a plan."""
        from hashlib import sha256

        before, previous = self.last.get(name, (None, None))
        said = PlanStatement(
            plan=name,
            number=before.number + 1 if before else 0,
            event=event,
            at=moment,
            plan_digest="0" * 64,
            cadence=cadence.model_dump(mode="json"),
            kind="restore",
            owner="platform team",
            controls=("SOC 2 A1.2",),
            reason="",
            by="db1",
            previous=previous,
        )
        said = replace(said, **says)
        envelope = sign(said.payload(), self.signer)
        digest = sha256(envelope).hexdigest()
        self.records[f"{digest}.dsse.json"] = envelope
        draft = record_draft(envelope=digest, key=f"records/{digest}.dsse.json", predicate_type=PredicateType.PLAN)
        self._append(draft, logged_at or moment or SINCE)
        self.last[name] = (said, digest)


@pytest.fixture
def paper(tmp_path: Path) -> Told:
    return Told(tmp_path)


def log_of(inputs: PackageInputs) -> Log:
    return copy_log(inputs.entries, inputs.head, inputs.period, inputs.previous, None)


def population_of(paper: Told, **changes: Any) -> Population:
    inputs = paper.inputs(**changes)
    log = log_of(inputs)
    runs = (*log.runs, *log.late, *log.before.values(), *log.after.values())
    readings = {run.key: read_bundle(inputs.bundles[run.key], run) for run in runs if run.key in inputs.bundles}
    statements = read_statements(log, paper.records)
    return build_population(log, readings, Q3, inputs.plans, inputs.standings, inputs.as_of, statements)


def of(population: Population, name: str = "orders") -> PlanAccount:
    return next(plan for plan in population.plans if plan.name == name)


def goes_on(paper: Told) -> None:
    """The log goes on, long after the period."""
    paper.run("billing", NOVEMBER, on_demand=True)


def test_a_plan_that_vanished_is_owed_its_slots_and_a_retired_one_is_not(paper: Told) -> None:
    """Its file is removed and the ledger is new: only the log knows it."""
    paper.plan("orders", PlanEvent.ENROLLED, SINCE)
    paper.plan("archive", PlanEvent.ENROLLED, SINCE)
    for due in DUE[:6]:
        paper.run("orders", due)
        paper.run("archive", due)
    paper.plan("archive", PlanEvent.RETIRED, at("2026-07-20"))
    goes_on(paper)
    population = population_of(paper)
    assert [(row.plan, row.at, row.outcome) for row in population.rows] == [
        ("archive", JULY, "passed"), ("orders", JULY, "passed"),
        ("orders", AUGUST, "unsealed"), ("orders", SEPTEMBER, "unsealed"),
    ]  # fmt: skip
    vanished, retired = of(population), of(population, "archive")
    assert (vanished.since, vanished.since_known_by) == (SINCE, LOG)
    assert (vanished.retired_at, vanished.retired_known_by) == (None, None)
    assert (retired.retired_at, retired.retired_known_by) == (at("2026-07-20"), LOG)


def test_without_statements_the_same_plan_hides_its_gaps_as_the_older_form_cannot_tell(paper: Told) -> None:
    for due in DUE[:6]:
        paper.run("orders", due)
    goes_on(paper)
    assert told(population_of(paper)) == [("07-01", "passed")]
    assert told(of_ledger(paper.inputs())) == [("07-01", "passed")]


def test_a_plan_that_was_enrolled_and_never_sealed_anything_is_owed_all(paper: Told) -> None:
    paper.plan("orders", PlanEvent.ENROLLED, at("2026-07-15"))
    goes_on(paper)
    population = population_of(paper)
    assert told(population) == [("08-01", "unsealed"), ("09-01", "unsealed")]
    account = of(population)
    assert (account.kind, account.owner, account.controls) == ("restore", "platform team", ("SOC 2 A1.2",))
    assert account.longest_gap == MONTHLY.gaps.longest


def test_a_ledger_that_was_made_anew_hides_nothing(paper: Told) -> None:
    paper.plan("orders", PlanEvent.ENROLLED, SINCE)
    paper.run("orders", JULY)
    goes_on(paper)
    fresh = {"plans": [card("orders")], "standings": [standing("orders", since=at("2026-09-20"))]}
    population = population_of(paper, **fresh)
    assert [row.at for row in population.gaps] == [AUGUST, SEPTEMBER]
    assert of(population).since_known_by == LOG


def test_a_retirement_that_the_ledger_alone_knows_is_believed_and_told_as_its_word(paper: Told) -> None:
    paper.plan("orders", PlanEvent.ENROLLED, SINCE)
    paper.run("orders", JULY)
    goes_on(paper)
    gone = standing("orders", retired_at=at("2026-08-15"))
    population = population_of(paper, standings=[gone])
    assert [row.at for row in population.gaps] == [AUGUST]
    assert (of(population).retired_at, of(population).retired_known_by) == (at("2026-08-15"), LEDGER)


def test_a_retirement_of_before_the_enrolment_is_another_one(paper: Told) -> None:
    paper.plan("orders", PlanEvent.ENROLLED, at("2026-07-15"))
    goes_on(paper)
    population = population_of(paper, standings=[standing("orders", retired_at=at("2026-03-01"))])
    assert [row.at for row in population.gaps] == [AUGUST, SEPTEMBER]
    assert of(population).retired_known_by is None


def test_a_plan_that_was_away_and_came_back_owes_nothing_in_between(paper: Told) -> None:
    paper.plan("orders", PlanEvent.ENROLLED, SINCE)
    for due in DUE[:5]:
        paper.run("orders", due)
    paper.plan("orders", PlanEvent.RETIRED, at("2026-06-20"))
    paper.plan("orders", PlanEvent.ENROLLED, None, at("2026-08-20"))
    paper.run("orders", OCTOBER)
    goes_on(paper)
    now = {"plans": [card("orders")], "standings": [standing("orders")]}
    assert told(population_of(paper, **now)) == [("09-01", "unsealed")]
    assert told(of_ledger(paper.inputs(**now))) == [("07-01", "unsealed"), ("08-01", "unsealed"), ("09-01", "unsealed")]


def test_a_changed_cadence_is_known_without_any_record(paper: Told) -> None:
    paper.plan("orders", PlanEvent.ENROLLED, SINCE)
    paper.plan("orders", PlanEvent.CHANGED, None, at("2026-07-20"), cadence=Cadence(cron="0 3 15 * *"))
    goes_on(paper)
    assert told(population_of(paper)) == [("08-15", "unsealed"), ("09-15", "unsealed")]


def test_what_was_due_before_the_log_began_is_still_no_gap(paper: Told) -> None:
    paper.plan("orders", PlanEvent.ENROLLED, SINCE, at("2026-08-20"))
    goes_on(paper)
    population = population_of(paper)
    assert told(population) == [("09-01", "unsealed")]
    assert of(population).since == SINCE


def test_a_plan_that_is_known_to_the_ledger_alone_says_so(paper: Told) -> None:
    paper.run("orders", JULY)
    paper.run("extra", AUGUST, on_demand=True)
    goes_on(paper)
    population = population_of(paper, standings=[standing("orders", retired_at=at("2026-07-02"))])
    assert (of(population).since_known_by, of(population).retired_known_by) == (LEDGER, LEDGER)
    assert (of(population, "extra").since_known_by, of(population, "extra").retired_known_by) == (None, None)
    said = of(population).as_json()
    assert (said["sinceKnownBy"], said["retiredKnownBy"]) == ("ledger", "ledger")


def test_a_statement_that_is_not_what_was_logged_or_does_not_follow_is_not_heard(paper: Told) -> None:
    paper.plan("orders", PlanEvent.ENROLLED, SINCE)
    paper.plan("orders", PlanEvent.RETIRED, at("2026-07-02"), previous="1" * 64)
    goes_on(paper)
    assert len(population_of(paper).gaps) == 3
    first = next(iter(paper.records))
    paper.records[first] = paper.records[first].replace(b"sig", b"gis")
    assert read_statements(log_of(paper.inputs()), paper.records) == {}
    del paper.records[first]
    assert read_statements(log_of(paper.inputs()), paper.records) == {}


def test_a_cadence_that_was_withheld_makes_no_gap(paper: Told) -> None:
    paper.plan("orders", PlanEvent.ENROLLED, SINCE)
    statement = read_statements(log_of(paper.inputs()), paper.records)["orders"][0]
    hidden = replace(statement, said=replace(statement.said, cadence={"cron": "withheld:sha256:" + "0" * 64}))
    goes_on(paper)
    log = log_of(paper.inputs())
    assert build_population(log, {}, Q3, [], [], NOVEMBER, {"orders": [hidden]}).gaps == ()
    assert len(build_population(log, {}, Q3, [], [], NOVEMBER, {"orders": [statement]}).gaps) == 3


# --- Any life of a plan -----------------------------------------------------------------------------------------------

DAILY = Cadence(cron="0 3 * * *")
START = at("2026-07-01")


def statement(number: int, event: PlanEvent, moment: datetime) -> LoggedStatement:
    said = PlanStatement(
        plan="orders",
        number=number,
        event=event,
        at=moment,
        plan_digest="0" * 64,
        cadence=DAILY.model_dump(mode="json"),
        kind="restore",
        owner="",
        controls=(),
        reason="",
        by="",
        previous=None,
    )
    return LoggedStatement(said, "", number, moment)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 12), max_size=7), st.booleans(), st.integers(0, 23))
def test_a_plan_owes_exactly_the_slots_of_each_of_its_lives(
    days: Sequence[int], is_ledger_there: bool, hour: int
) -> None:
    """From each enrolment to the retirement after it, whatever a younger ledger says."""
    moments = [START + timedelta(days=sum(days[:number]), hours=hour, minutes=30) for number in range(len(days) + 1)]
    kinds = (PlanEvent.ENROLLED, PlanEvent.RETIRED)
    statements = [statement(number, kinds[number % 2], moment) for number, moment in enumerate(moments)]
    ends = moments if len(moments) % 2 == 0 else [*moments, at("2027-01-01")]
    due: list[datetime] = []
    for begin, end in zip(ends[::2], ends[1::2], strict=True):
        due += [tick for tick in ticks_between(DAILY, begin, end) if tick in Q3]
    log = Log("x", 1, "", START - timedelta(days=1), NOVEMBER, (), ())
    standings = [standing("orders", DAILY, since=at("2026-12-01"))] if is_ledger_there else []
    found = build_population(log, {}, Q3, [], standings, NOVEMBER, {"orders": statements})
    assert [row.at for row in found.gaps] == due
