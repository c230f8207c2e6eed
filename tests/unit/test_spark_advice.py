"""What would have made a loss cheaper: each rule speaks in its case, and is quiet where its setting is on."""

from collections.abc import Mapping
from typing import Any

import pytest

from muster.journal import Observation
from muster.spark.advice import advice_of
from muster.spark.observations import Activity, LapMeasured, Question
from muster.spark.spec import Fault
from muster.summary import Advice
from tests.unit.test_spark_activity import (
    AGAIN,
    HARD,
    USUAL,
    accounting,
    activity,
    band,
    history,
    landing,
    lap,
    plan,
    seen,
    strip,
    struck,
)

Made = Mapping[str, Observation | None]
SERVICE = {"spark.shuffle.service.enabled": "true"}
HANDS_OVER = {"spark.decommission.enabled": "true", "spark.storage.decommission.enabled": "true"}
LAGGING = activity(
    33.0,
    strip("1", 33, (0.5, 11, 1), (12, 32, 1)),
    strip("2", 33, (0.5, 11, 1), (12, 20, 1)),
    bands=[band(20, 0.4, 11.5), band(23, 11.9, 32.3)],
)
THRICE = activity(33.0, strip("0", 33), bands=[band(23, 12, 18), band(23, 20, 24, 1), band(23, 26, 32, 2)])
SKEWED = activity(
    20.0,
    strip("0", 20, (0.5, 18, 1)),
    strip("1", 20, (0.5, 8, 1)),
    bands=[band(13, 0.4, 18.5)],
)


def quiet(**changes: Any) -> LapMeasured:
    """A disturbed lap that cost nothing, with something changed."""
    return seen(2, changes.pop("drawn", USUAL), **changes)


def with_fault(fault: Fault, found: LapMeasured, *, settings: Mapping[str, str] | None = None, **landed: Any) -> Made:
    return {
        "struck": struck(2, 15.6, fault),
        "landing": landing(2, fault, **landed),
        "seen 2": found,
        "account": accounting(plain=settings or {}),
    }


def told(changes: Made | None = None, **asked: Any) -> tuple[Advice, ...]:
    return advice_of(history(changes), plan(**asked))


def one(changes: Made, **asked: Any) -> Advice:
    (advice,) = told(changes, **asked)
    return advice


LOST = quiet(drawn=HARD, lost=("1",), **AGAIN)
FROZEN = quiet(drawn=LAGGING)
CACHED = {"disturbed": lap(2, "disturbed", 33.0, question=Question(workload="cached", keys={"level": "MEMORY_ONLY"}))}
CASES: dict[str, tuple[Made, tuple[str, ...], tuple[str, ...]]] = {
    "map output of an executor": (
        with_fault(Fault.KILL_EXECUTOR, LOST),
        ("Lap 2: 1 executor was lost, 2 stages were run again, 11 tasks were done again, 11.6 s of work lost.",),
        ("`spark.shuffle.service.enabled`", "`spark.decommission.enabled`", "where the end is announced"),
    ),
    "map output of a worker": (
        with_fault(Fault.KILL_WORKER, LOST),
        ("1 executor was lost",),
        ("`spark.decommission.enabled`", "kept off the workers"),
    ),
    "map output of a worker that is taken out": (
        with_fault(Fault.DECOMMISSION, LOST),
        ("2 stages were run again",),
        ("`spark.storage.decommission.shuffleBlocks.enabled`", "before a worker goes"),
    ),
    "noticed late": (
        with_fault(Fault.CUT_NETWORK, quiet(lost=("1",)), noticed_seconds=61.0),
        ("Lap 2: the loss was noticed after 61.0 s; the network timeout was 2 m 00 s, Spark’s default.",),
        ("`spark.network.timeout`", "`spark.executor.heartbeatInterval`", "the risk", "taken for dead"),
    ),
    "a straggler": (
        with_fault(Fault.FREEZE_EXECUTOR, FROZEN, seen="task 3 of stage 23 stood still"),
        ("Lap 2: executor 1 alone was at work for 12.1 s of stage 23, while 1 other had nothing to do;", "lasted 0."),
        ("`spark.speculation`", "the risk"),
    ),
    "cached blocks": (
        {**with_fault(Fault.KILL_CACHED, quiet(lost=("1",))), **CACHED},
        ("held cached blocks was lost, and the answer came 13.0 s later",),
        ("`MEMORY_ONLY_2`", "checkpoint"),
    ),
    "stages repeated": (
        with_fault(Fault.LOSE_SHUFFLE_FILE, quiet(drawn=THRICE)),
        ("stage 23 was begun 3 times", "failed 4 times in a row"),
        ("`spark.stage.maxConsecutiveAttempts`", "makes none cheaper"),
    ),
    "garbage": (
        with_fault(Fault.OUT_OF_MEMORY, quiet(gc_seconds=20.8), settings={"spark.executor.memory": "614m"}),
        ("Lap 2: 20% of 104.0 s of task time went into garbage collection, with 614m for an executor.",),
        ("`spark.executor.memory`", "`spark.sql.shuffle.partitions`"),
    ),
    "spill": (
        with_fault(Fault.KILL_EXECUTOR, quiet(spilled=3 * 2**30)),
        ("Lap 2: 3.0 GiB spilled to disk.",),
        ("`spark.executor.memory`",),
    ),
    "a skewed stage": (
        {**with_fault(Fault.KILL_EXECUTOR, quiet(), settings={"spark.sql.adaptive.enabled": "false"}),
         "seen 1": seen(1, SKEWED)},
        ("Lap 1, undisturbed: executor 0 alone was at work for 10.0 s of stage 13", "the stage took 18.1 s."),
        ("`spark.sql.adaptive.enabled`", "not RDDs"),
    ),
    "a driver that died": (
        with_fault(Fault.KILL_DRIVER, quiet(), seen="app-1 ended without a word, app-2 went on"),
        ("app-1 ended without a word, app-2 went on; the drill started the driver again",),
        ("`spark.driver.supervise`", "checkpointed"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "what_was_seen", "what_helps"), CASES.values(), ids=CASES)
def test_a_rule_speaks_in_its_case(changes: Made, what_was_seen: tuple[str, ...], what_helps: tuple[str, ...]) -> None:
    advice = one(changes)
    assert not [words for words in what_was_seen if words not in advice.seen]
    assert not [words for words in what_helps if words not in advice.advice]


QUIET: dict[str, Made] = {
    "nothing was lost": with_fault(Fault.KILL_EXECUTOR, quiet()),
    "lost, and nothing done again": with_fault(Fault.KILL_EXECUTOR, quiet(lost=("1",))),
    "done again, and nothing lost": with_fault(Fault.LOSE_SHUFFLE_FILE, quiet(**AGAIN)),
    "with a shuffle service": with_fault(Fault.KILL_EXECUTOR, LOST, settings=SERVICE),
    "a worker that hands over": with_fault(Fault.KILL_WORKER, LOST, settings=HANDS_OVER),
    "taken out, and handed over": with_fault(Fault.DECOMMISSION, LOST, settings=HANDS_OVER),
    "noticed soon": with_fault(Fault.CUT_NETWORK, quiet(lost=("1",)), noticed_seconds=9.9),
    "not noticed": with_fault(Fault.CUT_NETWORK, quiet(lost=("1",)), noticed_seconds=None),
    "a short timeout": with_fault(
        Fault.CUT_NETWORK, quiet(lost=("1",)), noticed_seconds=61.0, settings={"spark.network.timeout": "20000ms"}
    ),
    "a timeout that nobody can read": with_fault(
        Fault.CUT_NETWORK, quiet(lost=("1",)), noticed_seconds=61.0, settings={"spark.network.timeout": "soon"}
    ),
    "a freeze that Spark need not notice": with_fault(Fault.FREEZE_EXECUTOR, quiet(), noticed_seconds=15.0),
    "a straggler with speculation": with_fault(Fault.FREEZE_EXECUTOR, FROZEN, settings={"spark.speculation": "true"}),
    "a straggler that is so undisturbed": {
        **with_fault(Fault.FREEZE_EXECUTOR, FROZEN),
        "seen 1": seen(1, LAGGING),
    },
    "another executor that lags": {
        **with_fault(Fault.FREEZE_EXECUTOR, FROZEN),
        "struck": struck(2, 15.6, Fault.FREEZE_EXECUTOR, "2"),
    },
    "the last task after a kill": with_fault(Fault.KILL_EXECUTOR, FROZEN),
    "two copies of each block": {
        **with_fault(Fault.KILL_CACHED, quiet(lost=("1",))),
        "disturbed": lap(2, "disturbed", 33.0, question=Question(workload="cached", keys={"level": "MEMORY_ONLY_2"})),
    },
    "cached blocks that cost nothing": {
        **with_fault(Fault.KILL_CACHED, quiet(lost=("1",))),
        "disturbed": lap(2, "disturbed", 20.4),
    },
    "a stage begun twice": with_fault(Fault.LOSE_SHUFFLE_FILE, quiet(drawn=activity(33, bands=[band(1, 0, 1, 1)]))),
    "many attempts allowed": with_fault(
        Fault.LOSE_SHUFFLE_FILE, quiet(drawn=THRICE), settings={"spark.stage.maxConsecutiveAttempts": "10"}
    ),
    "little garbage": with_fault(Fault.KILL_EXECUTOR, quiet(gc_seconds=10.4)),
    "garbage of a short lap": with_fault(Fault.KILL_EXECUTOR, quiet(gc_seconds=0.9, task_seconds=1.5)),
    "skewed with AQE, as by default": {**with_fault(Fault.KILL_EXECUTOR, quiet()), "seen 1": seen(1, SKEWED)},
    "even without AQE": with_fault(
        Fault.KILL_EXECUTOR, quiet(), settings={"spark.sql.adaptive.enabled": "false"}
    ),
    "a master that was restarted": with_fault(Fault.RESTART_MASTER, quiet(), noticed_seconds=0.0),
    "a fault that did not land": with_fault(Fault.KILL_EXECUTOR, LOST, landed=False),
    "settings that nobody read": {"account": None},
    "a log that nobody read": {"seen 2": None},
    "no disturbed lap": {"disturbed": None},
}  # fmt: skip


@pytest.mark.parametrize("changes", QUIET.values(), ids=QUIET)
def test_a_rule_is_quiet_where_it_has_nothing_to_say(changes: Made) -> None:
    assert told(changes) == ()


def test_what_is_on_is_not_advised_beside_what_is_off() -> None:
    advice = one(with_fault(Fault.KILL_EXECUTOR, LOST, settings=HANDS_OVER)).advice
    assert "spark.shuffle.service.enabled" in advice
    assert "decommission" not in advice
    halved = {**HANDS_OVER, "spark.storage.decommission.shuffleBlocks.enabled": "false"}
    assert "decommission" in one(with_fault(Fault.DECOMMISSION, LOST, settings=halved)).advice
    supervised = with_fault(Fault.KILL_DRIVER, quiet(), settings={"spark.driver.supervise": "true"})
    assert "supervise" not in one(supervised).advice


def test_a_timeout_of_the_applications_own_is_no_default() -> None:
    slow = with_fault(
        Fault.FREEZE_WORKER, quiet(lost=("1",)), noticed_seconds=300.0, settings={"spark.network.timeout": "5min"}
    )
    assert one(slow).seen.endswith("the network timeout was 5 m 00 s.")


def test_a_job_that_is_to_fail_needs_no_advice() -> None:
    assert told(expect="failure") == ()


def test_all_that_was_seen_is_told() -> None:
    much = with_fault(
        Fault.FREEZE_EXECUTOR, quiet(drawn=HARD, lost=("1",), spilled=1, **AGAIN), noticed_seconds=130.0
    )  # fmt: skip
    assert [advice.seen.split(":")[0] for advice in told(much)] == ["Lap 2"] * 3


BOTH = {"settings": {"plain": {}, "kept": {"spark.shuffle.service.enabled": True}}, "compare": ["plain", "kept"]}


def compared(kept: tuple[float, float]) -> Made:
    """Two pairs of laps of each variant; the answers of the plain one came 13 and 11 seconds later."""
    rounds = (("plain", 3, 11.0), ("kept", 5, kept[0]), ("kept", 7, kept[1]))
    more: dict[str, Observation | None] = {"account": accounting(plain={}, kept=SERVICE)}
    for variant, number, delay in rounds:
        more[f"undisturbed {number}"] = lap(number, "undisturbed", 20.0, variant=variant)
        more[f"disturbed {number}"] = lap(number + 1, "disturbed", 20.0 + delay, variant=variant)
        more[f"struck {number}"] = struck(number + 1, 15.6)
        more[f"landing {number}"] = landing(number + 1)
        more[f"seen {number}"] = seen(number, USUAL)
        more[f"seen {number + 1}"] = seen(number + 1, USUAL, lost=("1",))
    return more


def test_what_was_measured_comes_first() -> None:
    first, second = told(compared((2.0, 4.0)), **BOTH)
    assert first.seen == (
        "Under the same fault the answer came later by 3.0 s with kept (2.0 s to 4.0 s, 2 pairs);"
        " 12.0 s with plain (11.0 s to 13.0 s, 2 pairs)."
    )
    assert first.advice == "take kept: `spark.shuffle.service.enabled=true`"
    assert second.seen.startswith("Lap 2 (plain): ")


def test_variants_that_overlap_are_not_told_apart() -> None:
    assert "overlaps" in told(compared((2.0, 12.0)), **BOTH)[0].advice
    assert told(compared((20.0, 30.0)), **BOTH)[0].advice == "plain is the cheapest of them already"


def test_one_variant_alone_is_not_compared() -> None:
    assert [advice.seen[:14] for advice in told(**BOTH)] == ["Lap 2 (plain):"]


@pytest.mark.parametrize(
    "drawn", [activity(33.0), activity(33.0, bands=[band(1, 0, 1)])], ids=["nothing", "no executor"]
)
def test_an_empty_log_gives_no_advice(drawn: Activity) -> None:
    assert told(with_fault(Fault.KILL_EXECUTOR, quiet(drawn=drawn, tasks=0, task_seconds=0, gc_seconds=0))) == ()
