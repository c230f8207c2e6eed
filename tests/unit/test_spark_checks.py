"""Every check of the stress drill, on journals made by hand: it passes, fails, stays in the dark, or steps aside.

A journal here is that of a healthy drill with something changed; a case names what was changed and what one check must
then say.
"""

from typing import Any

import pytest
from spark_paper import (
    LANDED,
    LAPS,
    MEASURED,
    OTHER,
    QUESTION,
    RESULTS,
    RIGHT,
    RUN,
    SHORT,
    STRUCK,
    VICTIM,
    WRITTEN,
    cluster,
    journal,
    lap,
    measured,
    plan,
)

from muster.finding import Finding
from muster.plan import Plan
from muster.spark.checks import CHECKS
from muster.spark.digest import Answer
from muster.spark.observations import Inspection, Known, Lap, LapMeasured, Missed, Struck
from muster.spark.trend import remember, subject_of
from muster.verdict import Verdict

PASS, FAIL, DARK, ASIDE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, None


def said(check: str, of: Plan, **changes: Any) -> Finding:
    history = journal(of, **changes)
    found = [f for one in CHECKS for f in (one(history, of),) if isinstance(f, Finding) and f.check == check]
    assert len(found) == 1, check
    return found[0]


def disturbed(**changes: Any) -> tuple[Any, ...]:
    """The laps, the disturbed one changed."""
    return (*LAPS[:2], lap(2, "disturbed", **{"seconds": 9.0, **changes}))


def known(basis: str, **changes: Any) -> dict[str, Known]:
    usual = {
        "question": QUESTION,
        "basis": basis,
        "answer": RIGHT if basis == "mathematics" else None,
        "compared": "rows",
    }
    return {"answer": Known.model_validate(usual | changes)}


def inspected(**changes: Any) -> Inspection:
    return Inspection.model_validate({"answer": RIGHT, "output": WRITTEN, **changes})


def test_a_healthy_drill_passes_every_check() -> None:
    of = plan(slowdown=2.0, notice="1s", regain="10s")
    history = journal(of)
    verdicts = {f.check: f.verdict for one in CHECKS for f in (one(history, of),) if isinstance(f, Finding)}
    assert {check for check, verdict in verdicts.items() if verdict is not PASS} == {"trend"}
    assert len(verdicts) == len(CHECKS)


def test_a_drill_that_did_nothing_has_shown_nothing() -> None:
    of = plan(slowdown=2.0, notice="1s", regain="10s")
    nothing = dict.fromkeys(RESULTS)
    history = journal(of, laps=(), struck=(), landings=(), logs=(), results=nothing)
    verdicts = {f.check: f.verdict for one in CHECKS for f in (one(history, of),) if isinstance(f, Finding)}
    assert PASS not in verdicts.values()
    assert {check for check, verdict in verdicts.items() if verdict is ASIDE} == {"trend", "left behind"}


CASES = [
    ("answer", {"laps": disturbed(answer=SHORT)}, {}, FAIL, "b: 0 rows, not 40"),
    ("answer", {"laps": disturbed(answer=OTHER)}, {}, FAIL, "not the same"),
    ("answer", {"laps": disturbed(answer=None, error="unreadable")}, {}, DARK, "unreadable"),
    ("answer", {"laps": LAPS[:2]}, {}, DARK, "no disturbed lap"),
    ("answer", {"laps": disturbed(answer=OTHER), "results": known("baseline")}, {}, FAIL, "not the same"),
    ("answer", {"results": known("baseline")}, {}, PASS, "undisturbed lap"),
    ("answer", {"results": known("baseline"), "laps": (LAPS[0], LAPS[2])}, {}, DARK, "no undisturbed lap"),
    ("answer", {"results": known("invariant", not_compared="rand")}, {}, ASIDE, "rand"),
    ("answer", {"laps": (lap(0, "cold", answer=SHORT), *LAPS[1:])}, {}, FAIL, "lap 0"),
    ("ended", {"laps": disturbed(state="failed", error="boom")}, {}, FAIL, "boom"),
    ("ended", {"laps": disturbed(state="hung")}, {}, FAIL, "hung"),
    ("ended", {"laps": LAPS[:2]}, {}, DARK, "no disturbed"),
    ("ended", {}, {"expect": "failure"}, FAIL, "succeeded"),
    ("ended", {"laps": disturbed(state="failed", inspection=inspected(
        output=WRITTEN.model_copy(update={"is_marked_complete": False})))}, {"expect": "failure"},
     PASS, "failed, and no output is marked complete"),
    ("ended", {"laps": disturbed(state="failed", answer=None)}, {"expect": "failure"}, DARK, "was not looked at"),
    ("ended", {"laps": disturbed(state="failed", inspection=inspected(output=None))}, {"expect": "failure"},
     DARK, "was not looked at"),
    ("ended", {"laps": disturbed(state="failed")}, {"expect": "failure"}, FAIL, "marked complete"),
    ("ended", {"laps": disturbed(state="hung", answer=None)}, {"expect": "failure"}, FAIL, "hung"),
    ("answer", {"laps": disturbed(state="failed", answer=None)}, {"expect": "failure"}, PASS, "2 laps"),
    ("landed", {"landings": ()}, {}, DARK, "not read"),
    ("landed", {"landings": (LANDED.model_copy(update={"landed": False, "seen": "nothing"}),)}, {}, DARK, "nothing"),
    ("landed", {"struck": (), "landings": (), "more": (Missed(lap=2, why="it had ended"),)}, {}, DARK, "it had ended"),
    ("rto", {"laps": disturbed(seconds=16.0)}, {}, FAIL, "11.0 s"),
    ("rto", {"laps": (lap(1, "undisturbed"), LAPS[2])}, {}, DARK, "as warm"),
    ("rto", {}, {"rto": None}, ASIDE, "no RTO"),
    ("slowdown", {}, {"slowdown": 1.5}, FAIL, "1.80 times"),
    ("slowdown", {}, {"slowdown": 2.0}, PASS, "1.80 times"),
    ("slowdown", {}, {}, ASIDE, "slowdown"),
    ("noticed", {}, {"notice": "100ms"}, FAIL, "0.20 s"),
    ("noticed", {"landings": ()}, {"notice": "1s"}, DARK, "never"),
    ("noticed", {"landings": (LANDED.model_copy(update={"noticed_seconds": None}),)}, {"notice": "1h"}, DARK, "never"),
    ("regained", {}, {"regain": "3s"}, FAIL, "4.0 s"),
    ("regained", {"landings": (LANDED.model_copy(update={"regained_seconds": None}),)}, {"regain": "9s"},
     DARK, "never"),
    ("output", {"laps": disturbed(inspection=inspected(output=WRITTEN.model_copy(update={"extra": ("_temporary/",)})))},
     {}, FAIL, "_temporary/ does not belong"),
    ("output", {"laps": disturbed(inspection=inspected(output=WRITTEN.model_copy(update={"missing": ("day=1",)})))},
     {}, FAIL, "day=1 is missing"),
    ("output", {"laps": disturbed(inspection=inspected(
        output=WRITTEN.model_copy(update={"is_marked_complete": False})))}, {}, FAIL, "not marked complete"),
    ("output", {"laps": tuple(lap(each.number, each.kind, inspection=inspected(output=None)) for each in LAPS)},
     {}, ASIDE, "no files"),
    ("sound", {"laps": disturbed(inspection=inspected(problems=("out of order",)))}, {}, FAIL, "out of order"),
    ("comparable", {"laps": disturbed(question=QUESTION.model_copy(update={"keys": {"rows": "1000"}}))},
     {}, FAIL, "rows 1000"),
    ("comparable", {"results": known("baseline"), "earlier": {"baseline": {
        "question": QUESTION.model_dump(), "answer": OTHER.model_dump()}}}, {}, FAIL, "last pass"),
    ("comparable", {"results": known("baseline"), "earlier": {"baseline": {
        "question": QUESTION.model_dump(), "answer": RIGHT.model_dump()}}}, {}, PASS, "3 laps"),
    ("digest", {"laps": disturbed(answer=Answer(whole=RIGHT.whole, parts=SHORT.parts))}, {}, FAIL, "lap 2"),
    ("undisturbed", {"logs": (MEASURED[0], measured(1, "executor 0 on h0: gone"), MEASURED[2])}, {}, DARK, "gone"),
    ("undisturbed", {"logs": (MEASURED[0], measured(1, tasks_failed=3), MEASURED[2])}, {}, DARK, "3 tasks failed"),
    ("undisturbed", {"logs": (MEASURED[0], MEASURED[2])}, {}, DARK, "not observed"),
    ("blast radius", {"struck": ()}, {}, DARK, "nothing was struck"),
    ("blast radius", {"struck": (STRUCK.model_copy(update={"victims": (VICTIM, VICTIM)}),)}, {}, FAIL, "2 executors"),
    ("blast radius", {"logs": (*MEASURED[:2], measured(2, "executor 0 on h0: gone"))}, {}, FAIL, "executor 0"),
    ("event log", {"logs": (*MEASURED[:2], measured(2, whole=False))}, {}, DARK, "was cut"),
    ("event log", {"logs": MEASURED[:2]}, {}, DARK, "not observed"),
    ("as before", {"results": {"settle": cluster("settle", 1)}}, {}, FAIL, "1 of 2"),
    ("as before", {"results": {"settle": cluster("settle", applications=(f"muster-{RUN}",))}}, {},
     FAIL, "our application"),
    ("as before", {"results": {"settle": cluster("settle", applications=("somebody's",))}}, {}, PASS, "2 of 2"),
    ("as before", {"results": {"settle": None}}, {}, DARK, "not observed"),
    ("left behind", {"undone": False}, {}, FAIL, "not undone"),
    ("stressed", {"results": dict.fromkeys(RESULTS)}, {}, DARK, "no step ran"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "changes", "spark", "verdict", "words"), CASES)
def test_a_check_says(check: str, changes: Any, spark: Any, verdict: Verdict | None, words: str) -> None:
    found = said(check, plan(**spark), **changes)
    assert (found.verdict, words in found.seen) == (verdict, True), found


def test_every_check_can_fail_or_doubt() -> None:
    """The cases hold every check to something it must notice."""
    of = plan()
    history = journal(of)
    names = {f.check for one in CHECKS for f in (one(history, of),) if isinstance(f, Finding)}
    caught = {check for check, _, _, verdict, _ in CASES if verdict in {FAIL, DARK}}
    assert names - caught == {"trend"}


@pytest.mark.parametrize(
    ("delays", "verdict"),
    [([], ASIDE), ([4.0, 4.0], ASIDE), ([4.0, 4.0, 4.0], PASS), ([0.5, 0.5, 0.5], FAIL), ([2.1, 2.1, 2.1], PASS)],
)
def test_a_recovery_that_got_worse_than_the_last_passes_is_found(delays: list[float], verdict: Verdict | None) -> None:
    """It takes four seconds here: a floor keeps small numbers from being judged by their share."""
    of = plan()
    assert of.spark is not None
    earlier = {"of": subject_of(of.spark), "delays": delays}
    assert said("trend", of, earlier=earlier).verdict is verdict


def test_passes_of_another_job_are_no_trend() -> None:
    earlier = {"of": "another", "delays": [0.1] * 5}
    assert said("trend", plan(), earlier=earlier).verdict is ASIDE


def test_a_pass_leaves_its_delay_and_its_baseline() -> None:
    of = plan()
    assert of.spark is not None
    kept = remember(journal(of, results=known("baseline"), earlier={"of": subject_of(of.spark), "delays": [1.0] * 10}))
    assert kept["delays"] == [*[1.0] * 9, 4.0]
    assert Answer.model_validate(kept["baseline"]["answer"]) == RIGHT
    assert "baseline" not in remember(journal(of))


def apart(number: int, kind: str, seconds: float, *applications: str, **changes: Any) -> Lap:
    return lap(number, kind, seconds, applications=applications or (f"app-{number}",), **changes)


def test_laps_that_have_an_application_each_are_compared_with_each_other() -> None:
    """Each pays for its own start, as every lap on somebody else's service does."""
    laps = (apart(0, "cold", 20.0), apart(1, "undisturbed", 15.0), apart(2, "disturbed", 19.0))
    assert said("rto", plan(), laps=laps).verdict is PASS
    assert said("rto", plan(rto="3s"), laps=laps).seen.startswith("4.0 s at the most, of 1 pair")
    assert said("slowdown", plan(slowdown=1.2), laps=laps).verdict is FAIL
    of = plan()
    assert of.spark is not None
    assert remember(journal(of, laps=laps))["delays"] == [4.0]


@pytest.mark.parametrize("disturbed_in", [("app-1",), ("app-1", "app-2")], ids=["same driver", "started again"])
def test_a_lap_that_is_warm_is_not_compared_with_one_that_was_not(disturbed_in: tuple[str, ...]) -> None:
    laps = (apart(1, "undisturbed", 15.0, "app-1"), apart(2, "disturbed", 9.0, *disturbed_in))
    assert said("rto", plan(), laps=laps).verdict is DARK


BOTH = {"settings": {"today": {}, "tuned": {}}}
TWO_VARIANTS = tuple(
    lap(number, kind, seconds, variant=variant, applications=(f"app-{variant}",))
    for number, kind, seconds, variant in (
        (0, "cold", 20.0, "today"), (1, "undisturbed", 5.0, "today"), (2, "disturbed", 6.0, "today"),
        (3, "cold", 20.0, "tuned"), (4, "undisturbed", 5.0, "tuned"), (5, "disturbed", 65.0, "tuned"),
    )
)  # fmt: skip
SECOND = LANDED.model_copy(update={"lap": 5, "noticed_seconds": 90.0, "regained_seconds": 90.0})
IN_BOTH: dict[str, Any] = {
    "laps": TWO_VARIANTS,
    "struck": (STRUCK, STRUCK.model_copy(update={"lap": 5})),
    "landings": (LANDED, SECOND),
}


@pytest.mark.parametrize("check", ["rto", "slowdown", "noticed", "regained"])
def test_promises_of_time_are_held_to_the_plans_own_settings_where_others_run_beside_them(check: str) -> None:
    limits = {"slowdown": 2.0, "notice": "1s", "regain": "10s", **BOTH}
    found = said(check, plan(compare=["today", "tuned"], **limits), **IN_BOTH)
    assert (found.verdict, "with today" in found.seen) == (PASS, True), found
    assert said(check, plan(compare=["tuned", "today"], **limits), **IN_BOTH).verdict is PASS, "the order says nothing"
    swapped = {"settings": {"tuned": {}, "today": {}}}
    assert said(check, plan(compare=["tuned", "today"], **{**limits, **swapped}), **IN_BOTH).verdict is FAIL


def test_what_was_compared_is_no_trend_of_the_plan() -> None:
    of = plan(compare=["tuned", "today"], **BOTH)
    assert of.spark is not None
    assert remember(journal(of, **IN_BOTH))["delays"] == [1.0]
    earlier = {"of": subject_of(of.spark), "delays": [1.0, 1.0, 1.0]}
    assert said("trend", of, earlier=earlier, **IN_BOTH).verdict is PASS
    beside = plan(compare=["tuned", "third"], settings={"today": {}, "tuned": {}, "third": {}})
    others = {**IN_BOTH, "laps": TWO_VARIANTS[3:]}
    assert said("rto", beside, **others).verdict is FAIL, "what is run is held to the promise"
    assert remember(journal(beside, **others))["delays"] == []


def cut(number: int, *names: str, missing: tuple[str, ...] = ()) -> LapMeasured:
    return measured(number, whole=False).model_copy(update={"logs_cut": names, "logs_missing": missing})


KILLED_IN_2 = (
    apart(0, "cold", 20.0, "app-1"), apart(1, "undisturbed", 5.0, "app-1"),
    apart(2, "disturbed", 9.0, "app-1", "app-2"), apart(3, "undisturbed", 5.0, "app-2"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("logs", "verdict"),
    [
        ((cut(0, "app-1"), cut(1, "app-1"), cut(2, "app-1"), measured(3)), PASS),
        ((cut(0, "app-1"), cut(1, "app-1"), cut(2, "app-1", "app-2"), cut(3, "app-2")), DARK),
        ((cut(0, "app-1"), cut(1, "app-1"), cut(2, missing=("app-1",)), measured(3)), DARK),
        ((cut(0, "app-1"), cut(1, "app-1"), cut(2, "app-1", missing=("app-2",)), measured(3)), DARK),
        (tuple(cut(n, missing=("app-1",)) for n in range(4)), DARK),
        (tuple(measured(n, whole=False) for n in range(4)), DARK),
    ],
    ids=["the killed one's is cut", "the next one's too", "the killed one's is gone", "the next one's is gone",
         "all are gone", "a journal that does not say whose"],
)  # fmt: skip
def test_only_the_log_of_the_driver_that_was_killed_may_be_cut(logs: tuple[LapMeasured, ...], verdict: Verdict) -> None:
    of = plan(fault={"type": "kill-driver"})
    assert said("event log", of, laps=KILLED_IN_2, logs=logs).verdict is verdict
    assert said("event log", plan(), laps=KILLED_IN_2, logs=logs).verdict is DARK


def test_an_application_that_was_ended_in_a_lap_that_hung_may_be_cut() -> None:
    hung = disturbed(state="hung", answer=None)
    logs = tuple(cut(n, "app-1") for n in range(3))
    assert said("event log", plan(), laps=hung, logs=logs).verdict is PASS
    gone = tuple(cut(n, missing=("app-1",)) for n in range(3))
    assert said("event log", plan(), laps=hung, logs=gone).verdict is DARK


def test_workers_are_counted_where_workers_are_hit() -> None:
    hit = Struck.model_validate(
        {**STRUCK.model_dump(), "fault": "kill-worker", "victims": ({"name": "a", "executors": ("1",)},) * 2}
    )
    found = said("blast radius", plan(fault={"type": "kill-worker"}, blast_radius={"executors": 9}), struck=(hit,))
    assert (found.verdict, "2 workers" in found.seen) == (FAIL, True)


def test_every_worker_may_be_hit_where_the_plan_says_so() -> None:
    hit = Struck.model_validate(
        {**STRUCK.model_dump(), "fault": "restart-workers", "victims": ({"name": "a", "executors": ("1",)},) * 2}
    )
    of = plan(fault={"type": "restart-workers"}, blast_radius={"last_worker": True})
    assert said("blast radius", of, struck=(hit,)).verdict is PASS
