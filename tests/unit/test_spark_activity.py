"""Tasks over time, from journals made by hand: which laps are shown, which moments, which executors.

The journal here is that of a drill that passes, in which an executor is killed in the reduce stage; a case names what
of it is changed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from muster.identity import Identity
from muster.journal import EventKind, History, Journal, Observation
from muster.plan import Plan
from muster.spark.activity import activity_of, alone_in, before, lost_in, worst_of
from muster.spark.observations import (
    Accounting,
    Activity,
    Band,
    Cost,
    Healed,
    Known,
    Landing,
    Lap,
    LapMeasured,
    Question,
    Strip,
    Struck,
    Victim,
)
from muster.spark.spec import Fault
from muster.spark.telling import tell
from muster.summary import LapChart
from tests.unit.test_failover_checks import Clock, Memory

COLUMNS = 120
EPOCH = 1_800_000_000_000
QUESTION = Question(workload="terasort", keys={"rows": "300000"})
Span = tuple[float, float, float]
"""From, to, share of the cores."""


def plan(**spark: Any) -> Plan:
    return Plan.model_validate(
        {
            "name": "stress",
            "kind": "spark",
            "environment": "test",
            "owner": "tests",
            "target": {"type": "embedded-spark"},
            "objectives": {"rto": "60s"},
            "spark": {"workload": {"type": "terasort"}, **spark},
        }
    )


def shares(seconds: float, *spans: Span) -> tuple[float, ...]:
    """Columns of a lap in which these spans were at work."""
    column = seconds / COLUMNS
    found = [0.0] * COLUMNS
    for start, end, share in spans:
        for n in range(COLUMNS):
            found[n] += share * max(0.0, min(end, (n + 1) * column) - max(start, n * column)) / column
    return tuple(round(min(1.0, value), 3) for value in found)


def strip(
    name: str,
    seconds: float,
    *busy: Span,
    lost: Sequence[Span] = (),
    since: float = 0.0,
    until: float | None = None,
    cores: int = 2,
) -> Strip:
    return Strip(
        executor=name,
        host=f"10.0.0.{name.rsplit('.')[-1]}",
        cores=cores,
        since=since,
        until=until,
        busy=shares(seconds, *busy),
        lost=shares(seconds, *lost),
    )


def band(stage: int, start: float, end: float, attempt: int = 0) -> Band:
    return Band(stage=stage, attempt=attempt, name="sort", start=start, end=end)


def activity(seconds: float, *strips: Strip, bands: Sequence[Band] = ()) -> Activity:
    return Activity(column_seconds=seconds / COLUMNS, strips=strips, bands=tuple(bands))


def lap(number: int, kind: str, seconds: float, **changes: Any) -> Lap:
    return Lap.model_validate(
        {
            "number": number,
            "kind": kind,
            "variant": "plain",
            "question": QUESTION,
            "group": f"lap-{number}",
            "applications": ("app-1",),
            "state": "succeeded",
            "began_ms": EPOCH + 100_000 * number,
            "ended_ms": EPOCH + 100_000 * number + round(1000 * seconds),
            "seconds": seconds,
            **changes,
        }
    )


def cost(**changes: Any) -> Cost:
    usual = {
        "tasks": 48,
        "tasks_failed": 0,
        "tasks_again": 0,
        "stages": 3,
        "stages_again": 0,
        "task_seconds": 104.0,
        "gc_seconds": 2.1,
        "shuffle_written": 310_000_000,
        "shuffle_read": 310_000_000,
        "spilled": 0,
    }
    return Cost.model_validate({**usual, **changes})


def seen(number: int, drawn: Activity, *, lost: Sequence[str] = (), **changes: Any) -> LapMeasured:
    return LapMeasured(
        number=number,
        cost=cost(**changes),
        executors_lost=tuple(f"executor {name} on 10.0.0.{name}: exited with code 137" for name in lost),
        activity=drawn,
        log_is_whole=True,
    )


USUAL_BANDS = (band(10, 0.4, 7.0), band(11, 7.2, 11.8), band(13, 12.0, 19.6))
USUAL = activity(
    20.0,
    strip("0", 20, (0.5, 6.8, 1), (7.3, 11.4, 1), (12.1, 19.2, 1)),
    strip("1", 20, (0.5, 7.0, 1), (7.3, 11.7, 1), (12.1, 17.5, 1), (17.5, 19.5, 0.5)),
    strip("2", 20, (0.6, 6.5, 1), (7.3, 11.8, 1), (12.1, 18.9, 1)),
    bands=USUAL_BANDS,
)
HARD_BANDS = (
    band(20, 0.4, 6.9), band(21, 7.1, 11.7), band(23, 11.9, 20.2),
    band(22, 20.4, 24.0, attempt=1), band(23, 24.1, 32.3, attempt=1),
)  # fmt: skip
HARD = activity(
    33.0,
    strip("0", 33, (0.5, 6.7, 1), (7.2, 11.3, 1), (12, 17, 1), (20.5, 23.7, 1), (24.2, 32.2, 1), lost=[(17, 20.2, 1)]),
    strip("1", 33, (0.5, 6.9, 1), (7.2, 11.6, 1), (12.0, 14.0, 1), lost=[(14.0, 15.6, 1)], until=16.0),
    strip("2", 33, (0.6, 6.4, 1), (7.2, 11.7, 1), (12, 18, 1), (20.5, 24, 1), (24.2, 30.2, 1), lost=[(18, 20, 0.5)]),
    strip("3", 33, (22.4, 23.9, 1), (24.2, 31.4, 1), since=21.8),
    bands=HARD_BANDS,
)  # fmt: skip


def struck(number: int, at: float, fault: Fault = Fault.KILL_EXECUTOR, *executors: str) -> Struck:
    return Struck(
        lap=number,
        fault=fault,
        group=f"lap-{number}",
        stage=23,
        stage_name="sort",
        tasks_done=4,
        tasks=16,
        at_ms=EPOCH + 100_000 * number + round(1000 * at),
        victims=(Victim(name="executor 1", executors=executors or ("1",)),),
        done=("executor 1: SIGKILL",),
    )


def landing(number: int, fault: Fault = Fault.KILL_EXECUTOR, **changes: Any) -> Landing:
    usual = {"landed": True, "seen": "executor 1 lost", "noticed_seconds": 0.4, "regained_seconds": 6.2}
    return Landing.model_validate({"lap": number, "fault": fault, **usual, **changes})


def accounting(**settings: Mapping[str, str]) -> Accounting:
    return Accounting(logs={}, laps=3, settings=settings or {"plain": {}}, spark="4.0.1")


AGAIN = {"tasks": 67, "tasks_failed": 9, "tasks_again": 11, "stages": 4, "stages_again": 2, "task_seconds": 158.0}
HEALTHY: dict[str, Observation] = {
    "identity": Identity(description="3 workers", proof="made by the drill", system_identifier=None),
    "answer": Known(question=QUESTION, basis="mathematics", answer=None, compared="every row"),
    "cold": lap(0, "cold", 41.0),
    "undisturbed": lap(1, "undisturbed", 20.0),
    "struck": struck(2, 15.6),
    "disturbed": lap(2, "disturbed", 33.0),
    "seen 1": seen(1, USUAL),
    "seen 2": seen(2, HARD, lost=("1",), **AGAIN),
    "landing": landing(2),
    "account": accounting(),
}
STEPS = ("answer", "account")


def history(changes: Mapping[str, Observation | None] | None = None) -> History:
    """The healthy drill with something changed or added; what `None` is put for did not happen."""
    journal = Journal("run", Memory(), Clock())
    journal.append(EventKind.OPENED)
    for name, value in {**HEALTHY, **(changes or {})}.items():
        if value is None:
            continue
        if name in STEPS:
            journal.append(EventKind.STARTED, name)
            journal.append(EventKind.SUCCEEDED, name, result=value.model_dump(mode="json"))
        else:
            journal.observe(value)
    return journal.history


def charts(changes: Mapping[str, Observation | None] | None = None, asked: Plan | None = None) -> list[LapChart]:
    found = activity_of(history(changes), asked or plan())
    return list(found.laps) if found else []


def marks(changes: Mapping[str, Observation | None]) -> dict[str, float]:
    return {mark.name: round(mark.at, 3) for mark in charts(changes)[-1].marks}


def test_the_disturbed_lap_stands_below_the_one_it_is_compared_with() -> None:
    first, second = charts()
    assert [(c.number, c.kind, c.seconds, c.variant) for c in (first, second)] == [
        (1, "undisturbed", 20.0, ""),
        (2, "disturbed", 33.0, ""),
    ]
    assert len(first.strips[0].busy) == len(second.strips[0].lost) == COLUMNS
    assert [(b.stage, b.attempt) for b in second.bands] == [(20, 0), (21, 0), (23, 0), (22, 1), (23, 1)]


def test_every_moment_is_counted_from_the_laps_begin() -> None:
    assert marks({}) == {"kill-executor": 15.6, "noticed": 16.0, "cores back": 21.8, "done": 33.0}
    assert [(mark.name, mark.at) for mark in charts()[0].marks] == [("done", 20.0)]


def test_a_moment_after_the_end_is_not_in_the_lap() -> None:
    late = {"landing": landing(2, noticed_seconds=40, regained_seconds=60)}
    assert marks(late) == {"kill-executor": 15.6, "done": 33.0}


def test_what_healed_is_told() -> None:
    healed = Healed(lap=2, at_ms=EPOCH + 220_600, done=("worker 1: SIGCONT",))
    assert marks({"healed": healed})["healed"] == 20.6
    assert "healed" not in marks({"healed": healed.model_copy(update={"lap": 4})})


@pytest.mark.parametrize(
    ("fault", "lost", "is_told"),
    [
        (Fault.FREEZE_EXECUTOR, (), False),
        (Fault.FREEZE_EXECUTOR, ("1",), True),
        (Fault.RESTART_MASTER, (), False),
        (Fault.KILL_WORKER, ("1",), True),
    ],
)
def test_noticed_is_what_spark_noticed(fault: Fault, lost: tuple[str, ...], is_told: bool) -> None:
    changed = {"struck": struck(2, 15.6, fault), "landing": landing(2, fault), "seen 2": seen(2, HARD, lost=lost)}
    assert ("noticed" in marks(changed)) is is_told


def test_of_several_the_worst_is_shown() -> None:
    more = {
        "undisturbed 3": lap(3, "undisturbed", 18.0),
        "disturbed 4": lap(4, "disturbed", 40.0),
        "undisturbed 5": lap(5, "undisturbed", 20.0),
        "disturbed 6": lap(6, "disturbed", 30.0),
        "seen 3": seen(3, USUAL),
        "seen 4": seen(4, HARD),
    }
    assert [chart.number for chart in charts(more)] == [3, 4]


@pytest.mark.parametrize(("state", "end"), [("failed", "failed"), ("hung", "given up")])
def test_without_a_good_end_the_last_one_is_shown(state: str, end: str) -> None:
    more = {
        "disturbed": lap(2, "disturbed", 33.0, state=state),
        "undisturbed 3": lap(3, "undisturbed", 18.0),
        "disturbed 4": lap(4, "disturbed", 9.0, state=state),
        "seen 3": seen(3, USUAL),
        "seen 4": seen(4, HARD),
    }
    shown = charts(more)
    assert [chart.number for chart in shown] == [3, 4]
    assert shown[-1].marks[-1].name == end


def test_a_variant_is_named_where_several_are_compared() -> None:
    both = {"settings": {"plain": {}, "spot": {}}, "compare": ["plain", "spot"]}
    assert [chart.variant for chart in charts(asked=plan(**both))] == ["plain", "plain"]
    assert worst_of(history(), "spot") is None


def test_a_lap_whose_log_was_not_read_is_left_out() -> None:
    assert [chart.number for chart in charts({"seen 1": None})] == [2]
    assert charts({"seen 1": None, "seen 2": None}) == []
    assert charts({"seen 1": seen(1, activity(20)), "seen 2": seen(2, activity(33))}) == []
    assert charts({"disturbed": None}) == []


def test_a_lap_is_compared_with_one_of_its_own_variant_before_it() -> None:
    found = history({"other": lap(3, "undisturbed", 9.0), "spot": lap(4, "undisturbed", 9.0, variant="spot")})
    assert before(found, lap(2, "disturbed", 33.0)) == HEALTHY["undisturbed"]
    assert before(found, lap(5, "disturbed", 33.0)) == lap(3, "undisturbed", 9.0)
    assert before(found, lap(0, "disturbed", 33.0)) is None


def test_of_many_executors_those_that_tell_most_are_shown_and_the_others_as_one() -> None:
    many = [strip(str(n), 33, (0, 10 + n / 10, 1), cores=2 if n < 20 else 4) for n in range(40)]
    many[1] = strip("1", 33, (0, 5, 1))
    many[7] = strip("7", 33, (0, 5, 1), lost=[(6, 7, 0.01)])
    many[9] = strip("9", 33, (0, 5, 1), until=20.0)
    many[11] = strip("11", 33, (25, 26, 1), since=24.0)
    shown = charts({"seen 2": seen(2, activity(33, *many))})[-1].strips
    assert [s.executor for s in shown] == ["1", "7", "9", "11", "37", "38", "39", "33 others"]
    rest = shown[-1]
    assert (rest.count, rest.since, rest.until) == (33, 0.0, None)
    assert rest.cores == sum(s.cores for s in many) - sum(s.cores for s in shown[:-1])
    assert rest.busy[0] == 1.0
    assert max(rest.busy) <= 1
    assert sum(s.count for s in shown) == 40


def test_both_laps_show_the_same_executors() -> None:
    many = [strip(str(n), 33, (0, 10, 1)) for n in range(20)]
    usual = [strip(str(n), 20, (0, 10 + n / 10, 1)) for n in range(20)]
    many[1], many[4] = strip("1", 33, until=16.0), strip("4", 33, lost=[(1, 2, 1)])
    above, below = charts({"seen 1": seen(1, activity(20, *usual)), "seen 2": seen(2, activity(33, *many))})
    assert [s.executor for s in above.strips] == [s.executor for s in below.strips]
    assert {"1", "4"} <= {s.executor for s in above.strips}


def test_executors_end_with_the_driver_that_died() -> None:
    two = activity(33, strip("1.0", 33, (0, 15, 1)), strip("2.0", 33, (20, 30, 1), since=19.0))
    changed = {
        "struck": struck(2, 15.6, Fault.KILL_DRIVER),
        "landing": landing(2, Fault.KILL_DRIVER, noticed_seconds=3.0, regained_seconds=3.4),
        "seen 2": seen(2, two),
    }
    assert [s.until for s in charts(changed)[-1].strips] == [15.6, None]
    assert [s.until for s in charts({**changed, "struck": struck(2, 15.6)})[-1].strips] == [None, None]


def test_who_lags_behind_is_found() -> None:
    alone = alone_in(activity(
        20.0,
        strip("0", 20, (1, 6, 1)),
        strip("1", 20, (1, 16, 1)),
        bands=[band(1, 0.5, 16.5), band(2, 16.6, 19.0)],
    ))  # fmt: skip
    assert alone
    assert (alone.executor, alone.stage, alone.others, round(alone.seconds), alone.of_seconds) == ("1", 1, 1, 10, 16.0)
    assert alone.words == "executor 1 alone was at work for 10.0 s of stage 1, while 1 other had nothing to do"


@pytest.mark.parametrize(
    "drawn",
    [
        activity(20.0),
        activity(20.0, strip("0", 20, (1, 6, 1)), bands=[band(1, 0, 20)]),
        activity(20.0, strip("0", 20), strip("1", 20, (1, 16, 1)), bands=[band(1, 0, 20)]),
        activity(20.0, strip("0", 20, (1, 6, 1), until=6.2), strip("1", 20, (1, 16, 1)), bands=[band(1, 0, 20)]),
        activity(20.0, strip("0", 20, (1, 6, 1)), strip("1", 20, (1, 16, 1)), bands=[band(1, 0, 20), band(2, 5, 20)]),
        activity(20.0, strip("0", 20, (1, 6, 1)), strip("1", 20, (1, 6, 1), lost=[(6, 16, 1)]), bands=[band(1, 0, 20)]),
    ],
    ids=["nobody", "one executor", "one task", "the other is gone", "two stages", "lost work"],
)  # fmt: skip
def test_who_only_works_alone_does_not_lag(drawn: Activity) -> None:
    assert alone_in(drawn) is None


def test_lost_work_is_counted_over_all_cores() -> None:
    assert lost_in(HARD) == pytest.approx(2 * (3.2 + 1.6) + 2, abs=0.1)
    assert lost_in(USUAL) == 0


def test_it_is_told_with_the_rest() -> None:
    told = tell(history(), plan())
    assert told.activity == activity_of(history(), plan())
    assert tell(history({"disturbed": None}), plan()).activity is None


def test_costs_stand_side_by_side() -> None:
    told = tell(history(), plan()).costs
    assert told
    assert [(c.kind, c.variant, c.laps) for c in told.columns] == [("undisturbed", "", 1), ("disturbed", "", 1)]
    rows = {row.name: [a and a.median for a in row.amounts] for row in told.rows}
    assert rows["Took"] == [20, 33]
    assert rows["Later than undisturbed"] == [None, 13]
    assert rows["Times as long"] == [None, 1.65]
    assert (rows["Loss noticed after"], rows["Cores back after"]) == ([None, 0.4], [None, 6.2])
    assert (rows["Tasks done again"], rows["Stages run again"]) == ([0, 11], [0, 2])
    assert told.note == ""


def test_costs_of_variants_are_medians_with_their_spread() -> None:
    rounds = [(3, "plain", 22.0, 30.0), (5, "spot", 19.0, 21.0), (7, "spot", 20.0, 24.0)]
    more: dict[str, Observation] = {}
    for number, variant, usual, hard in rounds:
        more[f"undisturbed {number}"] = lap(number, "undisturbed", usual, variant=variant)
        more[f"disturbed {number}"] = lap(number + 1, "disturbed", hard, variant=variant)
        more[f"seen {number}"] = seen(number, USUAL, gc_seconds=number)
        more[f"seen {number + 1}"] = seen(number + 1, HARD, lost=("1",), **AGAIN)
    both = plan(settings={"plain": {}, "spot": {}}, compare=["plain", "spot"])
    told = tell(history(more), both).costs
    assert told
    assert [(c.variant, c.kind, c.laps) for c in told.columns] == [
        ("plain", "undisturbed", 2),
        ("plain", "disturbed", 2),
        ("spot", "undisturbed", 2),
        ("spot", "disturbed", 2),
    ]
    later = next(row for row in told.rows if row.name == "Later than undisturbed")
    assert [a and (a.median, a.least, a.most) for a in later.amounts] == [None, (10.5, 8, 13), None, (3, 2, 4)]
    gc = next(row for row in told.rows if row.name == "Task time in GC")
    assert gc.amounts[2] is not None
    assert (gc.amounts[2].least, gc.amounts[2].most) == (5, 7)


def test_costs_of_laps_that_did_not_end_well_say_so() -> None:
    told = tell(history({"disturbed": lap(2, "disturbed", 33.0, state="failed")}), plan()).costs
    assert told
    assert "up to their end" in told.note
    assert "Later than undisturbed" not in {row.name for row in told.rows}


def test_without_a_log_of_a_disturbed_lap_there_are_no_costs() -> None:
    assert tell(history({"seen 2": None}), plan()).costs is None
    assert tell(history({"seen 2": seen(2, activity(33), tasks=0)}), plan()).costs is None


def test_cores_that_never_came_back_are_told() -> None:
    told = tell(history({"landing": landing(2, regained_seconds=None)}), plan()).costs
    assert told
    assert told.note == "The cores lost in lap 2 were not back as far as the event log goes."
    assert "Cores back after" not in {row.name for row in told.rows}
