"""What an event log says of a lap: its cost, its picture, and whether the fault landed where it was aimed. Pure.

Promise: a fault has landed only when the log, which the drill does not write, holds what it must have caused, and the
stage it was aimed at ran from the strike until the fault was there; where the stage ended meanwhile, and of every kill,
what was seen must itself fall within it. Nothing of the kind in the log is "not seen", never "landed".
"""

from collections.abc import Iterable, Sequence

from muster.spark.eventlog import ExecutorLife, Log, StageRun, Task
from muster.spark.observations import Activity, Band, Cost, Landing, Lap, LapMeasured, Strip, Struck
from muster.spark.signs import SLACK_MS, sign_of
from muster.spark.spec import Fault

_COLUMNS = 120
_SAID = 200
_KILLS = frozenset({Fault.KILL_EXECUTOR, Fault.KILL_CACHED, Fault.KILL_WORKER, Fault.RESTART_WORKERS,
                    Fault.OUT_OF_MEMORY})  # fmt: skip
"""What ends executors at once: those who are asked to do so may have said that it is done before it is."""


def measure(lap: Lap, logs: Sequence[Log]) -> LapMeasured:
    """One lap by the logs of its applications."""
    stages = [s for log in logs for s in log.stages_of(lap.group)]
    tasks = [t for log in logs for t in log.tasks_of(lap.group)]
    lost = [life for log in logs for life in _removed(log, lap.began_ms, lap.ended_ms)]
    cut = tuple(log.application for log in logs if not log.is_whole)
    missing = tuple(name for name in lap.applications if name not in {log.application for log in logs})
    return LapMeasured(
        number=lap.number,
        cost=_cost(stages, tasks),
        executors_lost=tuple(f"executor {life.id} on {life.host}: {life.reason[:_SAID]}" for life in lost),
        activity=_activity(lap, logs, stages, tasks),
        log_is_whole=not cut and not missing,
        why_not_whole=_why_not_whole(cut, missing),
        logs_cut=cut,
        logs_missing=missing,
    )


def _why_not_whole(cut: Sequence[str], missing: Sequence[str]) -> str:
    if missing:
        return f"the event log of {', '.join(missing)} is not there"
    return f"the event log of {', '.join(cut)} was cut" if cut else ""


def _removed(log: Log, since_ms: int, until_ms: int) -> list[ExecutorLife]:
    ended = log.ended_ms or until_ms
    return [
        life
        for life in log.executors.values()
        if life.removed_ms is not None and since_ms <= life.removed_ms <= min(until_ms, ended)
    ]


def _cost(stages: Sequence[StageRun], tasks: Sequence[Task]) -> Cost:
    good = [t for t in tasks if t.is_good]
    failed = [t for t in tasks if not t.is_good and t.reason != "TaskKilled"]
    return Cost(
        tasks=len(tasks),
        tasks_failed=len(failed),
        tasks_again=len(good) - len({(t.stage, t.index) for t in good}),
        stages=len({s.id for s in stages}),
        stages_again=sum(s.attempt > 0 for s in stages),
        task_seconds=sum(_span(t) for t in tasks) / 1000,
        gc_seconds=sum(t.gc_ms for t in tasks) / 1000,
        shuffle_written=sum(t.shuffle_written for t in tasks),
        shuffle_read=sum(t.shuffle_read for t in tasks),
        spilled=sum(t.spilled for t in tasks),
    )


def _span(task: Task) -> int:
    return max(0, task.finished_ms - task.launched_ms)


def _activity(lap: Lap, logs: Sequence[Log], stages: Sequence[StageRun], tasks: Sequence[Task]) -> Activity:
    seconds = max(0.001, (lap.ended_ms - lap.began_ms) / 1000)
    column = seconds / _COLUMNS
    strips = [
        _strip(life, f"{n}." if len(logs) > 1 else "", lap, column, [t for t in tasks if t.executor == life.id])
        for n, log in enumerate(logs, 1)
        for life in log.executors.values()
        if life.added_ms < lap.ended_ms and (life.removed_ms or lap.ended_ms) > lap.began_ms
    ]
    bands = [
        Band(stage=s.id, attempt=s.attempt, name=s.name, start=_at(lap, s.submitted_ms),
             end=_at(lap, s.completed_ms if s.completed_ms is not None else lap.ended_ms))
        for s in stages
    ]  # fmt: skip
    return Activity(column_seconds=column, strips=tuple(strips), bands=tuple(bands))


def _at(lap: Lap, moment_ms: int) -> float:
    return round(min(max(0.0, (moment_ms - lap.began_ms) / 1000), (lap.ended_ms - lap.began_ms) / 1000), 3)


def _strip(life: ExecutorLife, prefix: str, lap: Lap, column: float, tasks: Sequence[Task]) -> Strip:
    good = _shares(lap, column, life.cores, (t for t in tasks if t.is_good))
    lost = _shares(lap, column, life.cores, (t for t in tasks if not t.is_good))
    return Strip(
        executor=f"{prefix}{life.id}",
        host=life.host,
        cores=life.cores,
        since=_at(lap, life.added_ms),
        until=None if life.removed_ms is None or life.removed_ms > lap.ended_ms else _at(lap, life.removed_ms),
        busy=good,
        lost=lost,
    )


def _shares(lap: Lap, column: float, cores: int, tasks: Iterable[Task]) -> tuple[float, ...]:
    busy = [0.0] * _COLUMNS
    for task in tasks:
        start, end = (task.launched_ms - lap.began_ms) / 1000, (task.finished_ms - lap.began_ms) / 1000
        for n in range(max(0, int(start / column)), min(_COLUMNS, int(end / column) + 1)):
            busy[n] += max(0.0, min(end, (n + 1) * column) - max(start, n * column))
    return tuple(round(min(1.0, b / column / max(1, cores)), 3) for b in busy)


def landing(struck: Struck, lap: Lap, logs: Sequence[Log], said: Sequence[str] = ()) -> Landing:
    """Whether a fault was seen in the logs, during an attempt of the stage it was aimed at.

    `said`: the lines of the drivers' own logs. Only they tell of a master that is gone: without them nobody does.
    """
    log = next((each for each in logs if struck.group in each.stages_of_group), None)
    if log is None:
        return _not_landed(struck, "no event log knows this lap")
    if struck.fault is Fault.KILL_DRIVER:
        return _driver_landing(struck, log, logs)
    ran = next((span for span in _spans(struck, lap, log) if _holds(span, struck.at_ms)), None)
    if ran is None:
        return _not_landed(struck, f"stage {struck.stage} did not run when it struck")
    found = sign_of(struck, lap, log, said)
    was_done_in_it = struck.done_ms is None or _holds(ran, struck.done_ms)
    if found is None:
        why = f"the event log holds nothing of {struck.fault} after it struck"
        return _not_landed(
            struck, why if was_done_in_it else f"{why}, and stage {struck.stage} had ended before it was done"
        )
    is_seen_in_it = _holds(ran, found.at_ms)
    if not is_seen_in_it and not (was_done_in_it and (struck.done_ms is None or struck.fault not in _KILLS)):
        return _not_landed(struck, f"stage {struck.stage} had ended before this was seen: {found.words}")
    return Landing(
        lap=struck.lap,
        fault=struck.fault,
        landed=True,
        seen=found.words[:_SAID],
        noticed_seconds=max(0, found.at_ms - struck.at_ms) / 1000 if found.is_notice else None,
        regained_seconds=_regained(struck, log),
    )


def _not_landed(struck: Struck, why: str) -> Landing:
    return Landing(lap=struck.lap, fault=struck.fault, landed=False, seen=why[:_SAID])


def _spans(struck: Struck, lap: Lap, log: Log) -> list[tuple[int, int]]:
    """When the stage that was aimed at ran. An attempt that failed goes on in the next one."""
    spans: list[tuple[int, int]] = []
    goes_on = False
    for run in log.stages_of(lap.group):
        if run.id != struck.stage:
            continue
        since = spans.pop()[0] if goes_on else run.submitted_ms
        spans.append((since, lap.ended_ms if run.completed_ms is None else run.completed_ms))
        goes_on = bool(run.failure)
    return spans


def _holds(span: tuple[int, int], at_ms: int) -> bool:
    since, until = span
    return since - SLACK_MS <= at_ms <= until + SLACK_MS


def _driver_landing(struck: Struck, log: Log, logs: Sequence[Log]) -> Landing:
    """The application's log ends in the midst of it, before the stage's end, and another application went on.

    The last events before a kill may never have been written, the stage's beginning among them: a job of the lap that
    has the stage is in the log, and its end is not. That it had begun is what the application said when it was struck.
    """
    later = [each for each in logs if each.started_ms > struck.at_ms]
    if log.ended_ms is not None or not later:
        return _not_landed(struck, "the application came to its own end")
    runs = [s for s in log.stages_of(struck.group) if s.id == struck.stage]
    if struck.stage not in log.stages_of_group[struck.group]:
        return _not_landed(struck, f"no job of the lap has stage {struck.stage}")
    if runs and runs[0].submitted_ms - SLACK_MS > struck.at_ms:
        return _not_landed(struck, f"stage {struck.stage} did not run when it struck")
    if runs and runs[-1].completed_ms is not None and not runs[-1].failure:
        return _not_landed(struck, f"stage {struck.stage} had ended before the driver died")
    back = later[0]
    return Landing(
        lap=struck.lap,
        fault=struck.fault,
        landed=True,
        seen=f"{log.application} ended without a word, {back.application} went on",
        noticed_seconds=(back.started_ms - struck.at_ms) / 1000,
        regained_seconds=min((e.added_ms - struck.at_ms for e in back.executors.values()), default=0) / 1000 or None,
    )


def _regained(struck: Struck, log: Log) -> float | None:
    """From the strike until as many cores as before were registered again; 0 where none was lost."""

    def cores_at(moment_ms: int) -> int:
        return sum(
            e.cores for e in log.executors.values()
            if e.added_ms <= moment_ms and (e.removed_ms is None or e.removed_ms > moment_ms)
        )  # fmt: skip

    before = cores_at(struck.at_ms - 1)
    lost_at = sorted(e.removed_ms for e in log.executors.values() if e.removed_ms and e.removed_ms >= struck.at_ms)
    end = log.ended_ms or 0
    if not lost_at or cores_at(lost_at[0]) >= before:
        return 0.0
    added = sorted(e.added_ms for e in log.executors.values() if lost_at[0] <= e.added_ms <= (end or e.added_ms))
    return next(((at - struck.at_ms) / 1000 for at in added if cores_at(at) >= before), None)
