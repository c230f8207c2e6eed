"""A cutover's telling: its measures, phases, facts and ticks, of clean journals and of every part of one."""

from typing import Any

import pytest
from cutover_paper import (
    A,
    B,
    activated,
    book,
    broken_off,
    counts,
    drained,
    home,
    journal,
    plan,
    tick,
)

from flows.cutover import DRILL
from muster.cutover.measuring import gap_of, handovers
from muster.cutover.observations import Translated, Untold
from muster.cutover.telling import tell
from muster.drill import Told
from muster.finding import Finding
from muster.identity import Identity
from muster.journal import EventKind, History
from muster.verdict import Verdict

KINDS = [(commit, waves) for commit in (False, True) for waves in (False, True)]


def facts(told: Told) -> dict[str, str]:
    return dict(told.facts)


def measures(told: Told) -> dict[str, tuple[float | None, float | None, Verdict | None]]:
    return {m.name: (m.measured, m.objective, m.verdict) for m in told.measures}


def told(given: Any = None, **keys: Any) -> Told:
    of = plan(**keys)
    return tell(journal(of, given=given), of)


def test_a_rehearsal_is_told_there_and_back() -> None:
    said = told()
    assert said.target == "paper: paper blue and paper green (it said so)"
    assert facts(said) == {
        "kind": "rehearsal, handed back",
        "cut": "4 schedules, 3 active, of 4 jobs",
        "from": "blue (prefect)",
        "to": "green (prefect)",
        "a to b": "watermark 02:01:01.000; 2 in flight, 4 made ahead dropped",
        "b to a": "watermark 02:02:41.000; 2 in flight, 4 made ahead dropped",
        "ticks": "130 due; 70 by a, 60 by b",
        "claims": "130 granted, 0 second runs stopped",
    }
    assert measures(said) == {"RTO": (4.0, 30.0, Verdict.PASS), "Lateness": (1.2, 60.0, None)}
    assert "2 handovers" in said.measures[0].note


def test_what_the_undo_made_up_for_and_missed_is_a_fact() -> None:
    of = plan()
    ended = home(caught_up=counts("one", "two"), missed=counts("three"))
    assert facts(tell(journal(of, ended=ended), of))["undo"] == "2 made up for, 1 due time started by nobody"
    assert "undo" not in facts(told()), "there was nothing"


def test_a_cutover_for_good_is_told_as_one() -> None:
    said = told(commit=True)
    assert facts(said)["kind"] == "cutover, for good"
    assert "b to a" not in facts(said)
    assert "1 handover" in said.measures[0].note
    assert said.ticks is not None
    assert [mark.name for mark in said.ticks.marks] == ["to b"]


def test_waves_are_told_each() -> None:
    of = plan()
    said = tell(journal(of, waves=True), of)
    assert facts(said)["waves"] == "1, 2"
    assert [words for words, _ in said.facts].count("a to b") == 2
    assert said.ticks is not None
    assert [(mark.name, mark.at) for mark in said.ticks.marks] == [
        ("to b", 61.0),
        ("to b", 91.0),
        ("to a", 161.0),
        ("to a", 191.0),
    ]


def test_ticks_are_drawn_by_side_and_what_went_wrong_stays() -> None:
    drawn = told().ticks
    assert drawn is not None
    assert drawn.sides == ("a", "b")
    assert [(c.start, c.started, c.wrong) for c in drawn.columns] == [
        (0, {"a": 40, "b": 30}, 0),
        (120, {"a": 30, "b": 30}, 0),
    ]
    column = book().columns[0].model_copy(update={"wrong": 2})
    again = told({"account": book(columns=(column,))}).ticks
    assert again is not None
    assert again.columns[0].wrong == 2


def test_there_is_no_picture_of_nothing() -> None:
    assert told({"account": book(expected=0)}).ticks is None
    assert told({"account": None}).ticks is None


def test_only_between_hold_and_release_is_nobody_at_work() -> None:
    lanes = {phase.name: phase.lane for phase in told().phases}
    assert {name for name, lane in lanes.items() if lane == "recovery"} >= {"drain", "fence", "activate"}
    assert {lanes[name] for name in ("steady", "watch", "watch-back")} == {"load"}
    assert lanes["survey"] == "verification"
    assert lanes["undo"] == "undo"
    assert not any(phase.counts for phase in told().phases)


def test_the_way_home_is_as_urgent_as_the_way_there() -> None:
    lanes = {phase.name: phase.lane for phase in told().phases}
    assert {lanes[name] for name in ("drain-back", "fence-back", "activate-back")} == {"recovery"}


def test_the_longest_gap_is_the_measure_and_judged_as_the_check_judges_it() -> None:
    said = told({"activate-back": activated(A, 200)})
    assert measures(said)["RTO"] == (44.0, 30.0, Verdict.FAIL)
    assert measures(told({"activate-back": activated(A, 200)}, rto=None))["RTO"] == (44.0, None, None)
    assert measures(told({"activate": None, "activate-back": None}))["RTO"] == (None, 30.0, Verdict.INCONCLUSIVE)


def test_what_the_old_one_had_in_hand_is_no_gap() -> None:
    """Its last tick was due eight seconds after it was held: until then somebody starts what is due."""
    of = plan()
    late = drained(A, 60, watermark=drained(A, 68).held)
    assert gap_of(journal(of, given={"drain": late, "drain-back": None})) == 0.0
    soon = activated(B, 70)
    assert gap_of(journal(of, given={"drain": late, "activate": soon, "drain-back": None})) == 7.0


def test_what_was_made_up_for_and_what_was_lost_on_the_way_is_told() -> None:
    words = Untold(schedule="orders", words="jitter is lost", accepted=True)
    said = facts(
        told(
            {
                "translate": Translated(schedules=4, jobs=4, untold=(words,)),
                "drain": drained(A, 60, in_flight=None, still_in_flight=None),
                "activate": activated(B, 60, caught_up=(tick(), tick(at=50))),
                "account": book(missed=counts("orders"), stopped=3),
            }
        )
    )
    assert said["inexact"] == "orders: jitter is lost"
    assert said["a to b"].endswith("nobody knows how many in flight, 4 made ahead dropped, 2 caught up")
    assert said["claims"] == "130 granted, 3 second runs stopped"


def test_jobs_that_make_no_claims_are_told_without_any() -> None:
    assert "claims" not in facts(told({"account": book(claims=0)}, guarded=False))


@pytest.mark.parametrize(("commit", "waves"), KINDS)
def test_every_part_of_a_journal_can_be_told_and_judged(commit: bool, waves: bool) -> None:
    """Whatever a run came to, its report is made."""
    of = plan(commit=commit)
    whole = journal(of, waves=waves)
    seen_facts: set[str] = set()
    for length in range(1, len(whole) + 1):
        part = History(whole[:length])
        said = tell(part, of)
        keys = set(facts(said))
        assert keys >= seen_facts, "nothing that was told is taken back"
        seen_facts = keys
        assert (said.ticks is not None) == (DRILL.steps[-1].name in done(part))
        assert measures(said)["RTO"][0] == gap_of(part)
        assert ("Lateness" in measures(said)) == (said.ticks is not None)
        begun = {e.step for e in part.of(EventKind.STARTED)}
        assert {phase.name for phase in said.phases if phase.lane != "undo"} == begun
        assert said.target.startswith("paper")
        assert all(isinstance(check(part, of), Finding) for check in DRILL.checks)
    assert len(handovers(whole)) == (1 if commit else 2) * (2 if waves else 1)


def done(history: History) -> set[str]:
    return {event.step for event in history.of(EventKind.SUCCEEDED)}


@pytest.mark.parametrize("step", [step.name for step in DRILL.steps])
@pytest.mark.parametrize("commit", [False, True])
def test_a_cutover_that_broke_in_a_step_is_told_as_far_as_it_came(step: str, commit: bool) -> None:
    of = plan(commit=commit)
    history = broken_off(of, step)
    said = tell(history, of)
    states = {phase.name: phase.state for phase in said.phases}
    assert states[step] == "failed"
    assert states["undo"] == "undone"
    assert said.ticks is None
    came = [s.name for s in DRILL.steps].index(step)
    assert ("a to b" in facts(said)) == (came > [s.name for s in DRILL.steps].index("activate"))


def test_a_target_that_proved_no_identity_is_told_so() -> None:
    of = plan()
    history = History([e for e in journal(of) if e.body.get("type") != Identity.__name__])
    assert tell(history, of).target == "paper, which proved no identity"
