"""Whether a fault landed, by logs made by hand: what each kind leaves in them, and what none of them may be taken for.

The lap here runs one stage of ten tasks on two executors, after an undisturbed lap of the same; a fault strikes the
first executor when four tasks have ended. Each case changes what the log holds, and nothing of what the drill reports.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from muster.spark.eventlog import ExecutorLife, Log, StageRun, Task
from muster.spark.laps import landing, measure
from muster.spark.observations import Lap, LapMeasured, Question, Struck, Victim
from muster.spark.spec import Fault

BEFORE, GROUP = "lap-1", "lap-2"
START = 1_800_000_000_000
TASK_MS, TASKS = 200, 10
AT = START + 450
"""The fault strikes when two tasks of each executor have ended."""
END = START + 30_000
NAME = "parquet at job.py:1"
Change = Callable[[Log], None]


def task(
    index: int, executor: str, begun: int, ended: int, reason: str = "Success", said: str = "", **more: int
) -> Task:
    return Task(
        stage=more.get("stage", 7), stage_attempt=0, index=index, executor=executor, launched_ms=begun,
        finished_ms=ended, reason=reason, said=said, run_ms=0, gc_ms=0, spilled=0, shuffle_read=0, shuffle_written=0,
    )  # fmt: skip


def tasks_of(stage: int, start: int) -> list[Task]:
    return [
        task(n, "12"[n % 2], start + n // 2 * TASK_MS, start + (n // 2 + 1) * TASK_MS, stage=stage)
        for n in range(TASKS)
    ]


def stage_run(number: int, start: int, attempt: int = 0) -> StageRun:
    return StageRun(number, attempt, NAME, TASKS, start, start + 20_000, "")


def log_of(*changes: Change) -> Log:
    lives = {n: ExecutorLife(n, f"127.0.0.{n}", 1, START - 60_000) for n in "12"}
    log = Log(application="app-1", started_ms=START - 90_000, ended_ms=END + 60_000, executors=lives)
    log.stages_of_group = {BEFORE: {3}, GROUP: {7}}
    log.stages = {(3, 0): stage_run(3, START - 30_000), (7, 0): stage_run(7, START)}
    log.tasks = [*tasks_of(3, START - 30_000), *tasks_of(7, START)]
    for change in changes:
        change(log)
    return log


def struck(
    fault: Fault,
    victims: Sequence[Victim] = (Victim(name="executor 1", executors=("1",)),),
    took_ms: int | None = 100,
) -> Struck:
    return Struck(
        lap=2, fault=fault, group=GROUP, stage=7, stage_name=NAME, tasks_done=4, tasks=TASKS, at_ms=AT,
        done_ms=None if took_ms is None else AT + took_ms, victims=tuple(victims), done=("it was done",),
    )  # fmt: skip


LAP = Lap(
    number=2, kind="disturbed", variant="plain", question=Question(workload="terasort", keys={}), group=GROUP,
    applications=("app-1",), state="succeeded", began_ms=START - 100, ended_ms=END, seconds=30.1,
)  # fmt: skip


def lost(reason: str, after_ms: int = 300, executor: str = "1") -> Change:
    def change(log: Log) -> None:
        log.executors[executor] = replace(log.executors[executor], removed_ms=AT + after_ms, reason=reason)

    return change


def late(index: int, by_ms: int, group: str = GROUP) -> Change:
    """A task takes so much longer."""

    def change(log: Log) -> None:
        (stage,) = log.stages_of_group[group]
        log.tasks = [replace(t, finished_ms=t.finished_ms + by_ms) if (t.stage, t.index) == (stage, index) else t
                     for t in log.tasks]  # fmt: skip

    return change


def broken(reason: str, said: str, executor: str = "1", at_ms: int = AT + 200) -> Change:
    return lambda log: log.tasks.append(task(6, executor, at_ms - 100, at_ms, reason, said))


def again(log: Log) -> None:
    log.stages[(7, 1)] = stage_run(7, AT + 500, attempt=1)


FETCH = broken("FetchFailed", "Block shuffle_1_2_3 is corrupted due to DISK_ISSUE")
FULL = "java.io.IOException: No space left on device"
KILLED = "Command exited with code 137"

LANDED: list[tuple[Fault, Change, str]] = [
    *((fault, lost(KILLED), "137") for fault in (
        Fault.KILL_EXECUTOR, Fault.KILL_CACHED, Fault.KILL_WORKER, Fault.RESTART_WORKERS, Fault.OUT_OF_MEMORY)),
    (Fault.CUT_NETWORK, lost("Executor heartbeat timed out after 10600 ms", 10_082), "heartbeat"),
    (Fault.CUT_NETWORK, late(4, 5000), "task 4 of stage 7 took 5200 ms on executor 1, 200 are usual"),
    (Fault.FREEZE_EXECUTOR, late(4, 5000), "5200 ms"),
    (Fault.FREEZE_EXECUTOR, lost("Executor heartbeat timed out"), "heartbeat"),
    (Fault.FREEZE_WORKER, late(4, 5000), "5200 ms"),
    (Fault.SLOW_DISK, late(8, 2000), "task 8 of stage 7 took 2200 ms"),
    (Fault.FULL_DISK, broken("ExceptionFailure", FULL), "No space left"),
    (Fault.FULL_DISK, lost("Command exited with code 53"), "53"),
    (Fault.LOSE_SHUFFLE_FILE, FETCH, "FetchFailed"),
    (Fault.LOSE_SHUFFLE_FILE, again, "run again"),
    (Fault.CORRUPT_SHUFFLE_BLOCK, FETCH, "corrupted"),
    (Fault.CORRUPT_SHUFFLE_BLOCK, broken("ExceptionFailure", "Checksum mismatch"), "Checksum"),
    (Fault.KILL_SHUFFLE_SERVICE, FETCH, "FetchFailed"),
    (Fault.KILL_SHUFFLE_SERVICE, late(5, 5000), "executor 2"),
    (Fault.DECOMMISSION, lost("Executor decommission: worker decommissioned"), "decommission"),
    (Fault.DECOMMISSION, lost("Executor decommission: worker decommissioned", 45_000), "decommission"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "change", "words"), LANDED)
def test_what_the_fault_caused_is_found(fault: Fault, change: Change, words: str) -> None:
    found = landing(struck(fault), LAP, [log_of(change)])
    assert found.landed, found
    assert words in found.seen
    if "are usual" in words or "5200 ms" in words or "2200 ms" in words or words == "executor 2":
        assert found.noticed_seconds is None, "a task that came late is nothing that Spark noticed"
    else:
        assert found.noticed_seconds is not None
        assert found.noticed_seconds >= 0


EVERY = list(Fault)


@pytest.mark.parametrize("fault", EVERY)
def test_a_fault_that_was_only_reported_has_not_landed(fault: Fault) -> None:
    assert not landing(struck(fault), LAP, [log_of()]).landed


MISTAKABLE: list[tuple[Fault, Change, str]] = [
    (Fault.KILL_EXECUTOR, lost(KILLED, -5000), "before it struck"),
    (Fault.KILL_EXECUTOR, lost(KILLED, 60_000), "after the lap"),
    (Fault.KILL_EXECUTOR, lost(KILLED, executor="2"), "another executor"),
    (Fault.FREEZE_EXECUTOR, late(4, 900), "less than what a busy machine does"),
    (Fault.FREEZE_EXECUTOR, late(5, 5000), "a task of another executor"),
    (Fault.FREEZE_EXECUTOR, late(0, -10), "a task that had ended"),
    (Fault.CUT_NETWORK, late(7, 5000), "another executor"),
    (Fault.SLOW_DISK, late(9, 5000), "another executor"),
    (Fault.SLOW_DISK, late(8, 300), "hardly slower"),
    (Fault.FULL_DISK, broken("ExceptionFailure", FULL, executor="2"), "another worker's disk"),
    (Fault.FULL_DISK, broken("ExceptionFailure", FULL, at_ms=AT - 10), "before it struck"),
    (Fault.FULL_DISK, broken("ExceptionFailure", "java.io.IOException: broken pipe"), "another error"),
    (Fault.LOSE_SHUFFLE_FILE, broken("FetchFailed", "", at_ms=AT - 2000), "before it struck"),
    (Fault.CORRUPT_SHUFFLE_BLOCK, broken("ExceptionFailure", "division by zero"), "another error"),
    (Fault.DECOMMISSION, lost(KILLED), "killed, and not asked to leave"),
    (Fault.KILL_SHUFFLE_SERVICE, late(9, 500), "hardly slower"),
]


@pytest.mark.parametrize(("fault", "change", "why"), MISTAKABLE)
def test_what_something_else_caused_is_not_taken_for_it(fault: Fault, change: Change, why: str) -> None:
    assert not landing(struck(fault), LAP, [log_of(change)]).landed, why


@pytest.mark.parametrize("fault", [Fault.FREEZE_EXECUTOR, Fault.SLOW_DISK, Fault.CUT_NETWORK])
def test_a_task_that_is_long_by_nature_is_not_held_up(fault: Fault) -> None:
    """One partition has more to do than the others, in every lap."""
    skewed = log_of(late(4, 5000), late(4, 4800, BEFORE))
    assert not landing(struck(fault), LAP, [skewed]).landed
    assert landing(struck(fault), LAP, [log_of(late(4, 15_000), late(4, 4800, BEFORE))]).landed


def test_a_stage_of_another_shape_says_nothing_of_what_is_usual() -> None:
    log = log_of(late(4, 5000), late(4, 4800, BEFORE))
    log.stages[(3, 0)] = replace(log.stages[(3, 0)], tasks=TASKS + 1)
    assert landing(struck(Fault.FREEZE_EXECUTOR), LAP, [log]).landed


@pytest.mark.parametrize("fault", [Fault.FREEZE_EXECUTOR, Fault.SLOW_DISK])
def test_without_anything_to_compare_with_nothing_is_said(fault: Fault) -> None:
    log = log_of(late(4, 5000))
    log.tasks = [replace(t, reason="TaskKilled") for t in log.tasks if t.stage == 7 and t.index == 4]
    assert not landing(struck(fault), LAP, [log]).landed


def test_every_victim_must_be_missed() -> None:
    both = [Victim(name=f"executor {n}", executors=(n,)) for n in "12"]
    assert not landing(struck(Fault.KILL_EXECUTOR, both), LAP, [log_of(lost(KILLED))]).landed
    assert landing(struck(Fault.KILL_EXECUTOR, both), LAP, [log_of(lost(KILLED), lost(KILLED, 400, "2"))]).landed


def test_a_strike_beside_its_stage_has_not_landed() -> None:
    log = log_of(lost(KILLED))
    log.stages[(7, 0)] = replace(log.stages[(7, 0)], completed_ms=AT - 300)
    found = landing(struck(Fault.KILL_EXECUTOR), LAP, [log])
    assert (found.landed, found.seen) == (False, "stage 7 did not run when it struck")
    assert landing(struck(Fault.KILL_EXECUTOR), LAP, []).seen == "no event log knows this lap"


def ends_after(after_ms: int, failure: str = "") -> Change:
    """The stage that is aimed at ends so long after the drill began to strike."""

    def change(log: Log) -> None:
        log.stages[(7, 0)] = replace(log.stages[(7, 0)], completed_ms=AT + after_ms, failure=failure)

    return change


SLOW = 9000
"""Milliseconds that a hook takes."""
STRADDLING: list[tuple[str, Fault, list[Change], int | None, bool]] = [
    ("a slow hook, a long stage", Fault.KILL_EXECUTOR, [lost(KILLED, 9100)], SLOW, True),
    ("a slow hook, lost in the next stage", Fault.KILL_EXECUTOR, [lost(KILLED, 8900), ends_after(3000)], SLOW, False),
    ("a slow hook, lost in the stage", Fault.KILL_EXECUTOR, [lost(KILLED, 2000), ends_after(3000)], SLOW, True),
    ("a slow hook, a late task of the stage", Fault.FREEZE_WORKER, [late(4, 5000), ends_after(5200)], SLOW, True),
    ("a slow hook that hit nothing", Fault.FREEZE_WORKER, [ends_after(3000)], SLOW, False),
    ("a quick kill, lost in the next stage", Fault.KILL_WORKER, [lost(KILLED, 8000), ends_after(3000)], 200, False),
    ("a quick kill, lost in the stage", Fault.KILL_WORKER, [lost(KILLED, 2900), ends_after(3000)], 200, True),
    ("a quick cut, noticed after the stage", Fault.CUT_NETWORK, [lost(KILLED, 20_000), ends_after(3000)], 200, True),
    ("a journal that does not say", Fault.KILL_EXECUTOR, [lost(KILLED, 8900), ends_after(3000)], None, True),
    ("the stage fails under it and goes on", Fault.KILL_WORKER,
     [lost(KILLED, 8900), ends_after(3000, "FetchFailed"), lambda log: _again_at(log, 6000)], SLOW, True),
    ("the loss makes a stage that had ended run again", Fault.KILL_WORKER,
     [lost(KILLED, 8900), ends_after(3000), lambda log: _again_at(log, 8950)], SLOW, False),
]  # fmt: skip


def _again_at(log: Log, after_ms: int) -> None:
    log.stages[(7, 1)] = stage_run(7, AT + after_ms, attempt=1)


@pytest.mark.parametrize(("what", "fault", "changes", "took_ms", "landed"), STRADDLING)
def test_a_fault_that_took_its_time_must_be_seen_in_the_stage_it_was_aimed_at(
    what: str, fault: Fault, changes: list[Change], took_ms: int | None, landed: bool
) -> None:
    found = landing(struck(fault, took_ms=took_ms), LAP, [log_of(*changes)])
    assert found.landed is landed, (what, found)
    assert landed or "stage 7 had ended before" in found.seen, found


def test_a_task_that_was_begun_while_a_slow_hook_worked_is_hit_as_well() -> None:
    begun_later = log_of(late(8, 9000))
    begun_later.tasks = [replace(t, launched_ms=t.launched_ms + 4000) if (t.stage, t.index) == (7, 8) else t
                         for t in begun_later.tasks]  # fmt: skip
    assert landing(struck(Fault.FREEZE_EXECUTOR, took_ms=SLOW), LAP, [begun_later]).landed
    assert not landing(struck(Fault.FREEZE_EXECUTOR), LAP, [begun_later]).landed


def line(moment_ms: int, words: str) -> str:
    return f"{datetime.fromtimestamp(moment_ms / 1000):%y/%m/%d %H:%M:%S} WARN StandaloneSchedulerBackend: {words}"


GONE = "Disconnected from Spark cluster! Waiting for reconnection..."
MASTER = [Victim(name="master")]


@pytest.mark.parametrize(
    ("said", "landed"),
    [
        ([line(AT - 60_000, "hello"), line(AT, GONE)], True),
        ([line(AT + 2000, GONE)], True),
        ([], False),
        ([line(AT, "Lost task 3.0")], False),
        ([line(AT - 20_000, GONE)], False),
        ([line(END + 20_000, GONE)], False),
        ([f"\tat {GONE}"], False),
    ],
)
def test_only_the_drivers_own_log_tells_of_a_lost_master(said: list[str], landed: bool) -> None:
    assert landing(struck(Fault.RESTART_MASTER, MASTER), LAP, [log_of()], said).landed is landed


def test_without_the_drivers_log_the_drills_word_on_the_master_is_not_believed() -> None:
    assert not landing(struck(Fault.RESTART_MASTER, MASTER), LAP, [log_of()]).landed


def test_a_driver_is_gone_when_its_log_ends_and_another_goes_on() -> None:
    cut = log_of()
    cut.ended_ms = None
    cut.stages[(7, 0)] = replace(cut.stages[(7, 0)], completed_ms=None)
    back = Log(application="app-2", started_ms=AT + 9000, executors={"1": ExecutorLife("1", "h", 1, AT + 12_000)})
    driver = struck(Fault.KILL_DRIVER, [Victim(name="driver")])
    found = landing(driver, LAP, [cut, back])
    assert (found.landed, found.noticed_seconds, found.regained_seconds) == (True, 9.0, 12.0)
    assert not landing(driver, LAP, [cut]).landed
    assert not landing(driver, LAP, [log_of(), back]).landed
    del cut.stages[(7, 0)]
    assert landing(driver, LAP, [cut, back]).landed, "the stage's beginning was not written out yet"


def test_a_driver_that_died_beside_the_stage_was_not_hit_in_it() -> None:
    back = Log(application="app-2", started_ms=AT + 9000, executors={"1": ExecutorLife("1", "h", 1, AT + 12_000)})
    driver = struck(Fault.KILL_DRIVER, [Victim(name="driver")])

    def seen(*changes: Change) -> str:
        cut = log_of(*changes)
        cut.ended_ms = None
        found = landing(driver, LAP, [cut, back])
        return "" if found.landed else found.seen

    assert seen(ends_after(6000)) == "stage 7 had ended before the driver died"
    assert seen(ends_after(6000, "FetchFailed")) == "", "a stage that failed is to be run again"
    assert seen(lambda log: log.stages.update({(7, 0): replace(stage_run(7, AT + 5000), completed_ms=None)})) == (
        "stage 7 did not run when it struck"
    )
    assert seen(lambda log: log.stages_of_group.update({GROUP: {3}})) == "no job of the lap has stage 7"


def test_the_cores_are_back_once_as_many_are_registered() -> None:
    log = log_of(lost(KILLED))
    log.executors["3"] = ExecutorLife("3", "127.0.0.1", 1, AT + 4000)
    found = landing(struck(Fault.KILL_EXECUTOR), LAP, [log])
    assert (found.noticed_seconds, found.regained_seconds) == (0.3, 4.0)
    assert landing(struck(Fault.KILL_EXECUTOR), LAP, [log_of(lost(KILLED))]).regained_seconds is None


def test_whose_log_is_cut_or_missing_is_told() -> None:
    lap = LAP.model_copy(update={"applications": ("app-1", "app-2")})
    cut = log_of()
    cut.ended_ms = None
    found = measure(lap, [cut])
    assert (found.log_is_whole, found.logs_cut, found.logs_missing) == (False, ("app-1",), ("app-2",))
    assert found.why_not_whole == "the event log of app-2 is not there"
    assert measure(LAP, [cut]).why_not_whole == "the event log of app-1 was cut"
    whole = measure(LAP, [log_of()])
    assert (whole.log_is_whole, whole.logs_cut, whole.logs_missing, whole.why_not_whole) == (True, (), (), "")


def test_what_was_sealed_before_more_was_measured_is_still_read() -> None:
    sealed = struck(Fault.KILL_EXECUTOR).model_dump(mode="json", exclude={"done_ms"})
    assert Struck.model_validate(sealed).done_ms is None
    told = measure(LAP, [log_of()]).model_dump(mode="json", exclude={"logs_cut", "logs_missing"})
    assert LapMeasured.model_validate(told).logs_cut == ()
