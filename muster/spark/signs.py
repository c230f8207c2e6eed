"""The signs that each kind of fault leaves in Spark's logs. Pure.

Promises: a sign is of the victims, of the time after the strike, and nothing that an undisturbed lap has; where the log
shows nothing of the kind there is none, however much was reported to have been done.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from statistics import median
from typing import NamedTuple

from muster.spark.eventlog import NO_ROOM, SPOILT, ExecutorLife, Log, Task, tells
from muster.spark.observations import Lap, Struck
from muster.spark.spec import Fault

SLACK_MS = 250
"""Between the drill's reading of the clock and Spark's."""
_CARRIED_OUT_MS = 2000
"""From the drill's reading of the clock until a fault is there, at the least: a task begun meanwhile is hit as well."""
_STILL_MS = 1000
"""What a task must take beyond what is usual to have been held up; and at least as much again as is usual."""
_FETCHES = ("FetchFailed",)
_LOST_MASTER = "Disconnected from Spark cluster"
_CLOCK = "%y/%m/%d %H:%M:%S"
"""How a line of Spark's own log begins, by its default pattern."""


class Sign(NamedTuple):
    """What was seen of a fault."""

    at_ms: int
    """When the log first says so."""
    words: str
    is_notice: bool = True
    """Whether Spark itself took it for a loss or an error. A task that came late it did not."""


def sign_of(struck: Struck, lap: Lap, log: Log, said: Iterable[str]) -> Sign | None:
    """What the application's event log, or `said`, the lines of its driver's own log, holds of a fault."""
    if struck.fault is Fault.RESTART_MASTER:
        return _of_a_master(struck, lap, said)
    return _SIGNS.get(struck.fault, _of_loss)(struck, lap, log)


def _victims(struck: Struck) -> set[str]:
    return {name for victim in struck.victims for name in victim.executors}


def _of_loss(struck: Struck, lap: Lap, log: Log) -> Sign | None:
    """Spark wrote that every victim's executor was lost."""
    return _first(_lost(struck, log, lap.ended_ms + SLACK_MS), len(_victims(struck)))


def _lost(struck: Struck, log: Log, until_ms: int | None) -> list[tuple[int, ExecutorLife]]:
    return [
        (life.removed_ms, life)
        for life in log.executors.values()
        if life.id in _victims(struck) and life.removed_ms is not None
        and struck.at_ms - SLACK_MS <= life.removed_ms and (until_ms is None or life.removed_ms <= until_ms)
    ]  # fmt: skip


def _first(lost: Sequence[tuple[int, ExecutorLife]], wanted: int) -> Sign | None:
    if not wanted or len(lost) < wanted:
        return None
    at_ms, life = min(lost, key=lambda found: found[0])
    return Sign(at_ms, f"executor {life.id} lost: {life.reason}")


def _of_a_decommission(struck: Struck, _lap: Lap, log: Log) -> Sign | None:
    """The same for this reason, which Spark gives only once the executor has handed over, be that after the lap."""
    lost = [(at_ms, life) for at_ms, life in _lost(struck, log, None) if "decommission" in life.reason.lower()]
    return _first(lost, len(_victims(struck)))


def _of_a_stop(struck: Struck, lap: Lap, log: Log) -> Sign | None:
    """A victim was lost, or a task that ran there when it stopped was held up."""
    return _of_loss(struck, lap, log) or _of_delay(struck, lap, log, _victims(struck), _there_ms(struck))


def _there_ms(struck: Struck) -> int:
    """Until when tasks were begun that it hit at once."""
    return max(struck.at_ms + _CARRIED_OUT_MS, struck.done_ms or 0)


def _of_slowness(struck: Struck, lap: Lap, log: Log) -> Sign | None:
    """A task that ran there then, or after, was held up."""
    return _of_delay(struck, lap, log, _victims(struck), lap.ended_ms)


def _of_a_service(struck: Struck, lap: Lap, log: Log) -> Sign | None:
    """A task could not fetch, or waited for what it fetched."""
    return _in_files(struck, lap, log) or _of_delay(struck, lap, log, set(log.executors), _there_ms(struck))


def _of_delay(struck: Struck, lap: Lap, log: Log, executors: Collection[str], begun_until_ms: int) -> Sign | None:
    """A task of the stage took far longer than others of it, and than the same one in other laps."""
    tasks = [t for t in log.tasks_of(lap.group) if t.stage == struck.stage]
    hit = [
        t for t in tasks if t.executor in executors and t.launched_ms <= begun_until_ms and t.finished_ms > struck.at_ms
    ]
    others = [_span(t) for t in tasks if t.is_good and t not in hit] or [_span(t) for t in tasks if t.is_good]
    elsewhere = _same_stage_in_other_laps(struck, lap, log)
    late = []
    for task in hit:
        again = [_span(t) for t in log.tasks if t.stage in elsewhere and t.index == task.index and t.is_good]
        usual = int(max(median(others or [0]), min(again, default=0)))
        if (others or again) and _span(task) - usual >= max(_STILL_MS, usual):
            late.append((_span(task) - usual, usual, task))
    if not late:
        return None
    _, usual, task = max(late, key=lambda found: found[0])
    words = (
        f"task {task.index} of stage {task.stage} took {_span(task)} ms on executor {task.executor}, {usual} are usual"
    )
    return Sign(task.finished_ms, words, is_notice=False)


def _same_stage_in_other_laps(struck: Struck, lap: Lap, log: Log) -> set[int]:
    """Ids of the stage at the same place of other laps of the application: the same partitions, as a rule."""
    places = {group: sorted({s.id for s in log.stages_of(group)}) for group in log.stages_of_group}
    place = places[lap.group].index(struck.stage)
    found = {ids[place] for group, ids in places.items() if group != lap.group and len(ids) > place}
    return {number for number in found if _shape(log, number) == _shape(log, struck.stage)}


def _shape(log: Log, stage: int) -> tuple[str, int] | None:
    return next(((s.name, s.tasks) for s in log.stages.values() if s.id == stage and not s.attempt), None)


def _in_files(struck: Struck, lap: Lap, log: Log) -> Sign | None:
    """A task could not fetch, or a stage had to be run again."""
    after = [t for t in log.tasks_of(lap.group) if t.finished_ms >= struck.at_ms - SLACK_MS]
    failed = [t for t in after if t.reason in _FETCHES or tells(t.said, SPOILT)]
    if failed:
        words = " ".join(f"{failed[0].reason} {failed[0].said}".split())
        return Sign(failed[0].finished_ms, f"task {failed[0].index} of stage {failed[0].stage}: {words}")
    again = [s for s in log.stages_of(lap.group) if s.attempt > 0 and s.submitted_ms >= struck.at_ms - SLACK_MS]
    return Sign(again[0].submitted_ms, f"stage {again[0].id} was run again") if again else None


def _on_disk(struck: Struck, lap: Lap, log: Log) -> Sign | None:
    """A task on a victim said that there is no room, or a victim was lost."""
    for task in log.tasks_of(lap.group):
        is_late = task.finished_ms >= struck.at_ms and task.executor in _victims(struck)
        if is_late and not task.is_good and tells(task.said, NO_ROOM):
            return Sign(task.finished_ms, f"task {task.index} of stage {task.stage}: {' '.join(task.said.split())}")
    return _of_loss(struck, lap, log)


def _of_a_master(struck: Struck, lap: Lap, said: Iterable[str]) -> Sign | None:
    """What serves no task leaves no trace in an event log; the driver's own log says that it lost its master."""
    for line in said:
        at_ms = _moment(line) if _LOST_MASTER in line else None
        if at_ms is not None and struck.at_ms - SLACK_MS <= at_ms + 999 and at_ms <= lap.ended_ms:
            return Sign(max(at_ms, struck.at_ms), line[len("26/01/31 23:59:59 ") :].strip())
    return None


def _moment(line: str) -> int | None:
    """When a line of Spark's own log was written, to the second; `None` when it does not say."""
    try:
        return int(datetime.strptime(line[:17], _CLOCK).astimezone().timestamp()) * 1000
    except ValueError:
        return None


def _span(task: Task) -> int:
    return max(0, task.finished_ms - task.launched_ms)


_SIGNS: dict[Fault, Callable[[Struck, Lap, Log], Sign | None]] = {
    Fault.FREEZE_EXECUTOR: _of_a_stop,
    Fault.FREEZE_WORKER: _of_a_stop,
    Fault.CUT_NETWORK: _of_a_stop,
    Fault.SLOW_DISK: _of_slowness,
    Fault.FULL_DISK: _on_disk,
    Fault.LOSE_SHUFFLE_FILE: _in_files,
    Fault.CORRUPT_SHUFFLE_BLOCK: _in_files,
    Fault.KILL_SHUFFLE_SERVICE: _of_a_service,
    Fault.DECOMMISSION: _of_a_decommission,
}
"""Of every other fault: the victims' executors were lost."""
