"""The population: every due time once, with what became of it; what has no record is a gap, and nothing else is."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from package_paper import AUGUST, DUE, JULY, MONTHLY, OCTOBER, Q3, SEPTEMBER, SINCE, Paper, at, card, standing

from evidence.errors import EvidenceError
from muster.cadence.spec import Blackout, Cadence
from muster.cadence.ticks import ticks_between
from muster.package.inputs import OpenSlot, PackageInputs, Previous
from muster.package.jsonfile import pieces
from muster.package.log import copy_log
from muster.package.owed import Mark, claimable_until, is_open, owed
from muster.package.period import parse_period
from muster.package.population import Population, build_population
from muster.package.rows import NO_RECORD
from muster.package.sealed import Reading, read_bundle


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path)


def population_of(inputs: PackageInputs) -> Population:
    log = copy_log(inputs.entries, inputs.head, inputs.period, inputs.previous, None)
    runs = (*log.runs, *log.late, *log.before.values(), *log.after.values())
    readings = {run.key: read_bundle(inputs.bundles[run.key], run) for run in runs if run.key in inputs.bundles}
    return build_population(log, readings, inputs.period, inputs.plans, inputs.standings, inputs.as_of)


def told(population: Population) -> list[tuple[str, str]]:
    return [(f"{row.at:%m-%d}", row.outcome) for row in population.rows]


def blackout(start: str, end: str, reason: str = "freeze") -> Blackout:
    return Blackout.model_validate({"from": at(start), "until": at(end), "reason": reason})


def of_plan(paper: Paper, *names: str, **changes: Any) -> PackageInputs:
    return paper.inputs(plans=[card(name) for name in names], standings=[standing(name) for name in names], **changes)


def test_every_due_time_is_one_row(paper: Paper) -> None:
    for due in DUE:
        paper.run("orders", due)
    population = population_of(of_plan(paper, "orders"))
    assert told(population) == [("07-01", "passed"), ("08-01", "passed"), ("09-01", "passed")]
    assert all(row.passed and row.is_due and not row.problems for row in population.rows)
    assert population.gaps == population.troubled == population.open == population.late == ()
    assert population.says == "3 of 3 slots and runs of the period passed."


def test_a_due_time_without_a_record_is_a_gap(paper: Paper) -> None:
    for due in DUE:
        if due != AUGUST:
            paper.run("orders", due)
    population = population_of(of_plan(paper, "orders"))
    assert told(population) == [("07-01", "passed"), ("08-01", "unsealed"), ("09-01", "passed")]
    (gap,) = population.gaps
    assert (gap.at, gap.problems, gap.entry, gap.passed) == (AUGUST, (NO_RECORD,), None, False)
    assert "1 has no sealed record" in population.says


@pytest.mark.parametrize("missing", [JULY, AUGUST, SEPTEMBER])
def test_a_gap_is_found_wherever_it_is(paper: Paper, missing: Any) -> None:
    paper.run("billing", OCTOBER)
    for due in DUE:
        if due != missing:
            paper.run("orders", due)
    paper.record("later.dsse.json", OCTOBER + timedelta(days=2))
    assert [row.at for row in population_of(of_plan(paper, "orders")).gaps] == [missing]


def test_the_tail_that_was_never_sealed_is_a_gap_though_the_log_goes_on(paper: Paper) -> None:
    for due in DUE[:6]:
        paper.run("orders", due)
    paper.run("billing", at("2026-11-20"), on_demand=True)
    population = population_of(of_plan(paper, "orders"))
    assert told(population) == [("07-01", "passed"), ("08-01", "unsealed"), ("09-01", "unsealed")]


@pytest.mark.parametrize(("sealed", "gaps"), [((DUE[4], OCTOBER), 3), ((DUE[4],), 0), ((OCTOBER,), 0)])
def test_a_plan_that_nobody_names_is_owed_what_lies_between_its_records(
    paper: Paper, sealed: tuple[datetime, ...], gaps: int
) -> None:
    """Its file and the ledger are gone; records on either side of the period say that it was going on."""
    for due in sealed:
        paper.run("orders", due)
    paper.record("later.dsse.json", OCTOBER + timedelta(days=2))
    population = population_of(paper.inputs())
    assert (len(population.gaps), len(population.rows)) == (gaps, gaps)


def test_a_plan_of_which_nothing_was_ever_sealed_has_gaps_alone(paper: Paper) -> None:
    paper.record("a.dsse.json", SINCE)
    paper.run("billing", at("2026-11-20"), on_demand=True)
    population = population_of(of_plan(paper, "orders"))
    assert told(population) == [("07-01", "unsealed"), ("08-01", "unsealed"), ("09-01", "unsealed")]


def test_what_was_due_before_the_plan_was_enrolled_or_after_it_was_removed_is_no_gap(paper: Paper) -> None:
    paper.record("a.dsse.json", SINCE)
    paper.run("orders", AUGUST)
    paper.run("billing", at("2026-11-20"), on_demand=True)
    known = standing("orders", since=at("2026-07-15"), retired_at=at("2026-08-15"))
    population = population_of(paper.inputs(standings=[known]))
    assert told(population) == [("08-01", "passed")]


def test_what_was_due_before_the_log_began_is_no_gap(paper: Paper) -> None:
    paper.run("orders", SEPTEMBER)
    population = population_of(of_plan(paper, "orders"))
    assert told(population) == [("09-01", "passed")]


def test_a_plan_that_was_never_enrolled_owes_nothing(paper: Paper) -> None:
    paper.run("billing", at("2026-11-20"), on_demand=True)
    population = population_of(paper.inputs(plans=[card("orders")]))
    assert population.rows == ()
    assert population.says == "The period is empty: no drill was due in it, and none was run."


def test_every_outcome_is_told_as_it_is(paper: Paper) -> None:
    outcomes = ["passed", "failed", "inconclusive", "aborted", "refused", "missed", "waived"]
    for number, outcome in enumerate(outcomes):
        paper.run(f"plan-{number}", JULY, outcome)
    population = population_of(paper.inputs())
    assert [row.outcome for row in population.rows] == outcomes
    assert [row.passed for row in population.rows] == [True] + [False] * 6


def test_a_waiver_has_an_owner_a_reason_and_an_end(paper: Paper) -> None:
    freeze = blackout("2026-07-30", "2026-08-20", "year-end freeze")
    frozen = Cadence(cron="0 3 1 * *", blackouts=(freeze,))
    for number, (due, cadence, why) in enumerate(
        [(AUGUST, frozen, "blackout: year-end freeze"), (SEPTEMBER, MONTHLY, "the plan was removed")]
    ):
        unrun = {
            "outcome": "waived",
            "why": why,
            "until": "2026-10-01T03:00:00+00:00",
            "next": "2026-10-01T03:00:00+00:00",
        }
        paper.run(f"plan-{number}", due, "waived", cadence=cadence, unrun=unrun, owner="ada")
    first, second = (row.waiver for row in population_of(paper.inputs()).rows)
    assert first is not None
    assert second is not None
    assert (first.owner, first.reason, first.until) == ("ada", "blackout: year-end freeze", freeze.end)
    assert (second.owner, second.reason, second.until) == ("ada", "the plan was removed", OCTOBER)


def test_two_records_of_one_slot_show_nothing(paper: Paper) -> None:
    paper.run("orders", JULY, "failed")
    paper.run("orders", JULY, "passed")
    paper.run("orders", AUGUST, "passed")
    population = population_of(paper.inputs())
    assert told(population) == [("07-01", "failed"), ("07-01", "passed"), ("08-01", "passed")]
    assert [row.passed for row in population.rows] == [False, False, True]
    assert [len(row.problems) for row in population.rows] == [1, 1, 0]
    assert "entries 0, 1" in population.rows[0].problems[0]


def test_runs_on_demand_are_told_and_are_no_due_times(paper: Paper) -> None:
    paper.run("orders", JULY)
    paper.run("orders", at("2026-07-20T10:00"), on_demand=True)
    for due in (AUGUST, SEPTEMBER, OCTOBER):
        paper.run("orders", due)
    population = population_of(of_plan(paper, "orders"))
    assert [(row.outcome, row.is_due) for row in population.rows] == [
        ("passed", False), ("passed", True), ("passed", True), ("passed", True),
    ]  # fmt: skip
    assert population.gaps == ()


def test_a_bundle_that_is_not_what_was_logged_shows_nothing(paper: Paper) -> None:
    damaged, absent, other = paper.run("orders", JULY), paper.run("orders", AUGUST), paper.run("orders", SEPTEMBER)
    paper.bundles[other] = paper.bundles[absent]
    del paper.bundles[absent]
    content = bytearray(paper.bundles[damaged].read_bytes())
    content[len(content) // 2] ^= 1
    paper.bundles[damaged].write_bytes(content)
    population = population_of(paper.inputs())
    assert not any(row.passed for row in population.rows)
    problems = [row.problems[0] for row in population.rows]
    assert "damaged" in problems[0]
    assert problems[1:] == ["its bundle could not be had", "its bundle is not the one that was logged"]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"outcome": "passed"}, "the log says outcome passed, its bundle says failed"),
        ({"run": "another"}, "the log says run another"),
        ({"envelope": "0" * 64}, "its envelope is not the one that was logged"),
        ({"plan": "billing"}, "the log says plan billing"),
        ({"slot": "0" * 64}, "another slot"),
        ({"scheduledAt": "2026-07-02T03:00:00Z"}, "it was due 2026-07-02T03:00:00Z"),
    ],
)
def test_an_entry_that_says_another_thing_than_its_bundle_shows_nothing(
    paper: Paper, said: dict[str, str], problem: str
) -> None:
    paper.run("orders", JULY, "failed", said=said)
    (row,) = population_of(paper.inputs()).rows
    assert not row.passed
    assert any(problem in each for each in row.problems), row.problems


def test_a_run_that_was_sealed_late_says_so(paper: Paper) -> None:
    paper.run("orders", JULY, logged_at=JULY + timedelta(hours=23))
    paper.run("orders", AUGUST, logged_at=AUGUST + timedelta(days=3))
    first, second = population_of(paper.inputs()).rows
    assert first.remarks == ()
    assert second.remarks == ("sealed late: logged 71 h 50 m after it ended",)
    assert second.passed


def test_a_slot_that_is_not_over_is_open_and_no_gap(paper: Paper) -> None:
    for due in DUE[:7]:
        paper.run("orders", due)
    paper.run("billing", SEPTEMBER + timedelta(hours=1), on_demand=True)
    population = population_of(of_plan(paper, "orders"))
    assert [row.at for row in population.open] == [SEPTEMBER]
    assert population.gaps == ()
    assert told(population)[-1] == ("08-01", "passed"), "an open slot is no row of what ended"


def test_what_is_yet_to_come_is_not_in_the_population(paper: Paper) -> None:
    for due in DUE[:6]:
        paper.run("orders", due)
    population = population_of(of_plan(paper, "orders"))
    assert told(population) == [("07-01", "passed")]
    assert population.open == ()


def test_a_log_that_has_stopped_hides_nothing(paper: Paper) -> None:
    """Nothing was sealed since July, and the package is made in November."""
    for due in DUE[:6]:
        paper.run("orders", due)
    stopped = of_plan(paper, "orders", as_of=at("2026-11-05"))
    assert told(population_of(stopped)) == [("07-01", "passed"), ("08-01", "unsealed"), ("09-01", "unsealed")]
    assert told(population_of(of_plan(paper, "orders"))) == [("07-01", "passed")]


def test_a_plan_that_was_first_run_on_demand_owes_nothing_before_its_first_slot(paper: Paper) -> None:
    """The ledger knows it since that run; when its slots began to count nobody wrote down."""
    paper.record("a.dsse.json", SINCE)
    paper.run("orders", at("2026-06-15"), on_demand=True)
    paper.run("orders", AUGUST)
    paper.run("orders", OCTOBER)
    paper.record("b.dsse.json", at("2026-11-05"))
    known = [standing("orders", since=at("2026-06-15"))]
    assert told(population_of(paper.inputs(standings=known))) == [("08-01", "passed"), ("09-01", "unsealed")]


def test_an_open_slot_is_over_a_day_after_its_deadline() -> None:
    claimable = claimable_until(Mark(AUGUST, MONTHLY))
    assert claimable == SEPTEMBER
    assert is_open(claimable, SEPTEMBER + timedelta(hours=23))
    assert not is_open(claimable, SEPTEMBER + timedelta(days=1))
    frozen = Cadence(cron="0 3 1 * *", blackouts=(blackout("2026-07-30", "2026-08-20"),))
    assert claimable_until(Mark(AUGUST, frozen)) == AUGUST


def test_an_open_slot_says_until_when_it_can_be_claimed_and_no_other_row_does(paper: Paper) -> None:
    for due in DUE[:6]:
        paper.run("orders", due)
    paper.run("billing", SEPTEMBER + timedelta(hours=1), on_demand=True)
    rows = population_of(of_plan(paper, "orders")).as_json()
    assert [row["claimableUntil"] for row in rows["open"]] == ["2026-09-01T03:00:00Z", "2026-10-01T03:00:00Z"]
    told = list(rows["slots"])
    assert told
    assert not any("claimableUntil" in row for row in told)


def left_open(*slots: OpenSlot) -> Previous:
    """The package before was made on 2 August, of what was due until then."""
    return Previous("v1.3.0", "0" * 64, until=at("2026-08-02"), size=6, open=slots)


AUTUMN = parse_period("2026-Q4")


def after_the_package_before(paper: Paper, *slots: OpenSlot, **changes: Any) -> Population:
    """The quarter after, of a log that goes on by another plan."""
    paper.run("billing", at("2026-11-20"), on_demand=True)
    usual = {"period": AUTUMN, "previous": left_open(*slots)}
    return population_of(paper.inputs(**(usual | changes)))


def test_what_the_package_before_left_open_and_nobody_sealed_is_a_gap_in_the_next(paper: Paper) -> None:
    for due in DUE[:6]:
        paper.run("orders", due)
    population = after_the_package_before(paper, OpenSlot("orders", AUGUST, SEPTEMBER))
    (gap,) = population.gaps
    assert (gap.plan, gap.at, gap.outcome, gap.problems) == ("orders", AUGUST, "unsealed", (NO_RECORD,))
    assert gap.remarks == ("it was open in the package before",)
    assert (gap in population.carried, gap in population.rows) == (True, False)
    assert population.says == "1 of 1 slot and run of the period passed; 1 that was open before has no sealed record."
    quiet = after_the_package_before(paper)
    assert (quiet.gaps, quiet.carried) == ((), ())


def test_what_the_package_before_left_open_and_was_sealed_since_is_told_as_late_alone(paper: Paper) -> None:
    for due in DUE[:7]:
        paper.run("orders", due)
    population = after_the_package_before(paper, OpenSlot("orders", AUGUST, SEPTEMBER))
    assert (population.gaps, population.carried) == ((), ())
    assert [(row.at, row.outcome) for row in population.late] == [(AUGUST, "passed")]


def test_what_the_package_before_left_open_stays_open_until_it_is_over(paper: Paper) -> None:
    for due in DUE[:6]:
        paper.run("orders", due)
    until = at("2026-11-19T12:00")
    first = after_the_package_before(paper, OpenSlot("orders", AUGUST, until))
    (row,) = first.carried
    assert (row.at, row.outcome, row.claimable_until, row.problems) == (AUGUST, "open", until, ())
    assert first.gaps == ()
    later = after_the_package_before(paper, OpenSlot("orders", AUGUST, until), as_of=until + timedelta(days=1))
    assert [(row.at, row.outcome) for row in later.gaps] == [(AUGUST, "unsealed")]


def test_what_the_package_before_left_open_in_the_period_itself_is_told_once(paper: Paper) -> None:
    for due in DUE[:6]:
        paper.run("orders", due)
    plans = {"plans": [card("orders")], "standings": [standing("orders")], "period": Q3}
    population = after_the_package_before(paper, OpenSlot("orders", AUGUST, SEPTEMBER), **plans)
    assert [gap.at for gap in population.gaps] == [AUGUST, SEPTEMBER]
    assert population.carried == ()


def test_an_older_package_does_not_say_until_when_and_the_plan_does(paper: Paper) -> None:
    for due in DUE[:6]:
        paper.run("orders", due)
    slot = OpenSlot("orders", at("2026-11-01T03:00"))
    known = {"plans": [card("orders")], "standings": [standing("orders")], "period": Q3}
    (row,) = after_the_package_before(paper, slot, **known).carried
    assert (row.at, row.claimable_until) == (slot.at, at("2026-12-01T03:00"))
    assert [gap.at for gap in after_the_package_before(paper, slot).gaps] == [slot.at], "nobody knows its cadence"


def test_a_run_of_an_open_slot_is_told_though_its_time_is_of_no_package(paper: Paper) -> None:
    """The package before was of an older quarter than the one before that, whose open slot it told again."""
    for due in DUE[:7]:
        paper.run("orders", due)
    older = replace(left_open(OpenSlot("orders", AUGUST, SEPTEMBER)), until=at("2026-04-01"))
    assert [row.at for row in after_the_package_before(paper, previous=older).late] == [AUGUST]
    assert after_the_package_before(paper, previous=replace(older, open=())).late == ()


def test_sealed_since_the_package_before_of_its_period_is_told_as_late(paper: Paper) -> None:
    paper.run("orders", at("2026-06-01T03:00"))
    paper.run("orders", at("2026-05-01T03:00"), logged_at=JULY)
    paper.run("orders", JULY)
    before = Previous("v1.3.0", "0" * 64, until=Q3.start, size=1)
    population = population_of(paper.inputs(previous=before))
    assert [row.at for row in population.late] == [at("2026-05-01T03:00")]
    assert told(population) == [("07-01", "passed")]
    assert population_of(paper.inputs()).late == ()


def test_a_changed_cadence_makes_no_gap_that_it_explains(paper: Paper) -> None:
    """Monthly until mid-August, then on the 15th: neither the 15ths before nor the firsts after were ever due."""
    fifteenth = Cadence(cron="0 3 15 * *")
    for due in DUE[:7]:
        paper.run("orders", due)
    for month in (8, 9, 10):
        paper.run("orders", at(f"2026-{month:02d}-15T03:00"), cadence=fifteenth)
    known = [standing("orders", cadence=fifteenth)]
    population = population_of(paper.inputs(plans=[card("orders", fifteenth)], standings=known))
    assert [row.at.day for row in population.rows] == [1, 1, 15, 15]
    assert population.gaps == ()


def test_a_changed_cadence_hides_no_gap_that_both_name(paper: Paper) -> None:
    """A blackout was added: another cadence, and the same due times."""
    edited = Cadence(cron="0 3 1 * *", blackouts=(blackout("2026-12-20", "2027-01-05"),))
    for due in (*DUE[:6], SEPTEMBER, OCTOBER):
        paper.run("orders", due, cadence=MONTHLY if due < AUGUST else edited)
    known = [standing("orders", cadence=edited)]
    assert [row.at for row in population_of(paper.inputs(standings=known)).gaps] == [AUGUST]


def test_a_gap_is_told_where_the_record_beside_it_cannot_be_read(paper: Paper) -> None:
    keys = [paper.run("orders", due) for due in DUE if due != AUGUST]
    del paper.bundles[keys[5]]
    population = population_of(of_plan(paper, "orders"))
    assert [row.at for row in population.gaps] == [AUGUST]
    assert [row.at for row in population.troubled] == [JULY]


def test_plans_are_told_with_owner_cadence_and_counts(paper: Paper) -> None:
    paper.run("orders", JULY)
    paper.run("old", JULY, "failed", owner="grace")
    population = population_of(of_plan(paper, "orders"))
    old, orders = population.plans
    assert (orders.name, orders.owner, orders.cadence) == ("orders", "platform team", "monthly, day 1 at 03:00 UTC")
    assert (old.name, old.owner, dict(old.counts)) == ("old", "grace", {"failed": 1})


def test_the_document_has_what_a_verifier_reads(paper: Paper) -> None:
    import json

    paper.run("orders", JULY)
    paper.run("orders", at("2026-07-20T10:00"), on_demand=True)
    for due in (SEPTEMBER, OCTOBER):
        paper.run("orders", due)
    population = population_of(of_plan(paper, "orders"))
    read = json.loads(b"".join(pieces(population.as_json())))
    assert (read["from"], read["until"]) == ("2026-07-01T00:00:00Z", "2026-10-01T00:00:00Z")
    rows = [(row["scheduledAt"], row["plan"], row["entry"], row["outcome"]) for row in read["slots"]]
    assert rows == [
        (None, "orders", 1, "passed"),
        ("2026-07-01T03:00:00Z", "orders", 0, "passed"),
        ("2026-08-01T03:00:00Z", "orders", None, "unsealed"),
        ("2026-09-01T03:00:00Z", "orders", 2, "passed"),
    ]


@pytest.mark.parametrize("fault", ["tail", "order", "head", "entry"])
def test_a_log_that_does_not_fit_its_head_is_never_packaged(paper: Paper, fault: str) -> None:
    for due in (JULY, AUGUST, SEPTEMBER):
        paper.run("orders", due)
    inputs = paper.inputs()
    contents = list(inputs.entries)
    broken = {
        "tail": replace(inputs, entries=contents[:-1]),
        "order": replace(inputs, entries=contents[::-1]),
        "head": replace(inputs, head=b"no head\n"),
        "entry": replace(inputs, entries=[b"{}", *contents[1:]]),
    }[fault]
    with pytest.raises(EvidenceError):
        copy_log(broken.entries, broken.head, Q3, None, None)


def test_an_empty_log_is_nothing_to_package(paper: Paper) -> None:
    inputs = paper.inputs()
    with pytest.raises(EvidenceError, match="empty"):
        copy_log(inputs.entries, inputs.head, Q3, None, None)


def test_the_entries_are_copied_as_they_are(paper: Paper) -> None:
    for due in (JULY, AUGUST):
        paper.run("orders", due)
    inputs, out = paper.inputs(), BytesIO()
    copy_log(inputs.entries, inputs.head, Q3, None, out)
    assert out.getvalue() == b"".join(content + b"\n" for content in inputs.entries)


CRONS = st.sampled_from(["0 3 1 * *", "0 3 * * *", "30 4 * * 1", "0 */6 * * *", "0 3 15 * *"])


@settings(max_examples=60, deadline=None)
@given(CRONS, CRONS, st.data())
def test_of_one_cadence_exactly_what_is_missing_is_owed_and_of_two_nothing_that_the_change_explains(
    first: str, second: str, data: st.DataObject
) -> None:
    old, new = Cadence(cron=first), Cadence(cron=second)
    period = parse_period("2026-09")
    changed = data.draw(st.datetimes(period.start.replace(tzinfo=None), period.end.replace(tzinfo=None)))
    change = changed.replace(tzinfo=period.start.tzinfo)
    begin, end = period.start - timedelta(days=40), period.end + timedelta(days=40)
    truth = [*ticks_between(old, begin, change), *ticks_between(new, change, end)]
    lost = data.draw(st.sets(st.sampled_from([t for t in truth if t in period] or truth), max_size=5))
    marks: Sequence[Mark] = [Mark(t, old if t <= change else new) for t in truth if t not in lost]
    taken = {mark.at for mark in marks}
    found = {slot.at for slot in owed(marks, period, end)} - taken
    assert found <= lost
    if first == second:
        assert found == {tick for tick in lost if tick in period and marks[0].at < tick < marks[-1].at}


def test_a_reading_that_nobody_made_is_a_problem(paper: Paper) -> None:
    paper.run("orders", JULY)
    inputs = paper.inputs()
    log = copy_log(inputs.entries, inputs.head, Q3, None, None)
    absent = {run.key: Reading(None, ("its bundle could not be had: the store is away",)) for run in log.runs}
    (row,) = build_population(log, absent, Q3, (), ()).rows
    assert row.problems == ("its bundle could not be had: the store is away",)
