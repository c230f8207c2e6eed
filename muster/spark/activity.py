"""The laps' tasks for the report: the worst disturbed lap, and the undisturbed one that it is compared with.

Promises: every lap begins at 0; executors with most to tell are shown by themselves, the hit and the lost before all,
and the rest as one; a moment that came after the lap's end is not put into it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from muster.journal import History
from muster.plan import Plan
from muster.quantity import count_of, format_seconds
from muster.spark.measuring import landing_in, laps_of, measured, pairs_of, struck_in
from muster.spark.observations import Activity as Seen
from muster.spark.observations import Band as SeenBand
from muster.spark.observations import Healed, Lap, LapMeasured, Struck
from muster.spark.observations import Strip as SeenStrip
from muster.spark.section import spec_of
from muster.spark.spec import Fault
from muster.summary import Activity, Band, LapChart, Mark, Strip

_MOST = 8
"""Executors that are shown by themselves."""
_SLACK = 0.25
"""Seconds between the clocks of the drill and of the job."""
_ENDS = {"succeeded": "done", "failed": "failed", "hung": "given up"}
_STANDING = frozenset({Fault.FREEZE_EXECUTOR, Fault.FREEZE_WORKER, Fault.SLOW_DISK})
"""Faults that Spark need not notice: without a loss, what was seen is that a task stood still."""
_AT_WORK = 0.05
"""Share of an executor's cores below which it has nothing to do."""


def activity_of(history: History, plan: Plan) -> Activity | None:
    """Tasks over time; `None` when no disturbed lap ended, or no event log holds an executor."""
    worst = worst_of(history)
    if worst is None:
        return None
    below = _chart(history, plan, worst, _hit(struck_in(history, worst.number)))
    usual = before(history, worst)
    above = _chart(history, plan, usual, {s.executor for s in below.strips} if below else set()) if usual else None
    charts = tuple(chart for chart in (above, below) if chart)
    return Activity(laps=charts) if any(chart.strips for chart in charts) else None


def worst_of(history: History, variant: str = "") -> Lap | None:
    """The disturbed lap with the greatest slowdown; the last one when none ended well."""
    if pairs := pairs_of(history, variant):
        return max(pairs, key=lambda pair: pair.slowdown).disturbed
    laps = laps_of(history, "disturbed", variant=variant)
    return laps[-1] if laps else None


def before(history: History, lap: Lap) -> Lap | None:
    """The undisturbed lap that a disturbed one is compared with."""
    earlier = [each for each in laps_of(history, "undisturbed", variant=lap.variant) if each.number < lap.number]
    return earlier[-1] if earlier else None


def _hit(struck: Struck | None) -> set[str]:
    return {name for victim in struck.victims for name in victim.executors} if struck else set()


def _chart(history: History, plan: Plan, lap: Lap, first: set[str]) -> LapChart | None:
    """A lap whose event log was read; `first` are the executors that are shown before others."""
    struck, seen = struck_in(history, lap.number), measured(history, lap.number)
    if seen is None:
        return None
    return LapChart(
        number=lap.number,
        kind=lap.kind,
        variant=lap.variant if len(spec_of(plan).variants) > 1 else "",
        seconds=lap.seconds,
        column_seconds=seen.activity.column_seconds,
        strips=_strips([_strip(s, lap, struck) for s in seen.activity.strips], first),
        bands=tuple(
            Band(stage=b.stage, attempt=b.attempt, start=b.start, end=b.end)
            for b in sorted(seen.activity.bands, key=lambda b: (b.start, b.stage))
        ),
        marks=tuple(Mark(name=name, at=at) for name, at in _moments(history, lap, seen, struck)),
    )


def _strips(strips: Sequence[Strip], first: set[str]) -> tuple[Strip, ...]:
    if len(strips) <= _MOST:
        return tuple(strips)
    shown = sorted(strips, key=lambda s: (s.executor in first, *_telling(s)), reverse=True)[: _MOST - 1]
    rest = [s for s in strips if s not in shown]
    return (*(s for s in strips if s in shown), Strip.together(rest, f"{len(rest)} others"))


def _telling(strip: Strip) -> tuple[bool, float, bool, float]:
    """How much a strip has to tell: that it was lost, its lost work, that it came in the midst of it, its work."""
    return strip.until is not None, sum(strip.lost), strip.since > 0, strip.cores * sum(strip.busy)


def _strip(seen: SeenStrip, lap: Lap, struck: Struck | None) -> Strip:
    until = seen.until
    if until is None and struck and struck.fault is Fault.KILL_DRIVER and seen.executor.startswith("1."):
        until = _into(lap, struck.at_ms)  # an application's executors end with its driver, who can no longer write so
    return Strip(
        executor=seen.executor,
        host=seen.host,
        cores=seen.cores,
        since=seen.since,
        until=until,
        busy=seen.busy,
        lost=seen.lost,
    )


def _moments(history: History, lap: Lap, seen: LapMeasured, struck: Struck | None) -> Iterator[tuple[str, float]]:
    if struck:
        found = sorted([(struck.fault.value, _into(lap, struck.at_ms)), *_after(history, lap, seen, struck)], key=_when)
        yield from ((name, at) for name, at in found if at <= lap.seconds + _SLACK)
    yield _ENDS[lap.state], lap.seconds


def _when(moment: tuple[str, float]) -> float:
    return moment[1]


def _after(history: History, lap: Lap, seen: LapMeasured, struck: Struck) -> Iterator[tuple[str, float]]:
    """What came of a strike: noticed, the cores back, healed."""
    at = _into(lap, struck.at_ms)
    landing = landing_in(history, lap.number)
    if landing and landing.noticed_seconds is not None and _is_notice(struck, seen):
        yield "noticed", at + landing.noticed_seconds
    if landing and landing.regained_seconds:  # 0: none was lost
        yield "cores back", at + landing.regained_seconds
    for healed in history.observed(Healed):
        if healed.lap == lap.number:
            yield "healed", _into(lap, healed.at_ms)


def _is_notice(struck: Struck, seen: LapMeasured) -> bool:
    if struck.fault is Fault.RESTART_MASTER:
        return False
    return struck.fault not in _STANDING or bool(seen.executors_lost)


def _into(lap: Lap, at_ms: int) -> float:
    return max(0.0, (at_ms - lap.began_ms) / 1000)


def lost_in(activity: Seen) -> float:
    """Seconds of work that was lost, of all cores."""
    return sum(s.cores * sum(s.lost) for s in activity.strips) * activity.column_seconds


@dataclass(frozen=True)
class Alone:
    """A stretch of a stage in which one executor was at work, and the others had nothing to do."""

    executor: str
    others: int
    stage: int
    seconds: float
    of_seconds: float
    """The whole stage."""

    @property
    def words(self) -> str:
        """What was seen."""
        idle = count_of(self.others, "other", "others")
        return (
            f"executor {self.executor} alone was at work for {format_seconds(self.seconds)} of stage {self.stage},"
            f" while {idle} had nothing to do"
        )


def alone_in(activity: Seen) -> Alone | None:
    """The longest stretch of a lap in which one executor was at work alone, after others were at work beside it.

    A stage of a single task is no such stretch: it was never shared.
    """
    found = [each for band in activity.bands for each in _stretches(activity, band)]
    return max(found, key=lambda each: each.seconds, default=None)


def _stretches(activity: Seen, band: SeenBand) -> Iterator[Alone]:
    columns = len(activity.strips[0].busy) if activity.strips else 0
    beside = [b for b in activity.bands if b is not band]
    inside = [n for n in range(columns) if _is_of(band, beside, (n + 0.5) * activity.column_seconds)]
    was_shared = False
    for working, stretch in groupby(inside, key=lambda n: _at_work(activity, n)):
        idle = [len(_alive(activity, n)) - len(working) for n in stretch]
        was_shared |= len(working) > 1
        if was_shared and len(working) == 1 and min(idle):
            yield Alone(
                executor=working[0],
                others=min(idle),
                stage=band.stage,
                seconds=len(idle) * activity.column_seconds,
                of_seconds=band.end - band.start,
            )


def _is_of(band: SeenBand, others: list[SeenBand], at: float) -> bool:
    """Whether that stage alone ran then."""
    return band.start <= at <= band.end and not any(o.start <= at <= o.end for o in others)


def _alive(activity: Seen, column: int) -> list[SeenStrip]:
    at = (column + 0.5) * activity.column_seconds
    return [s for s in activity.strips if s.since <= at and (s.until is None or at < s.until)]


def _at_work(activity: Seen, column: int) -> tuple[str, ...]:
    """The executors at work; none where work was lost, which is another matter than a task that lags."""
    alive = _alive(activity, column)
    if any(s.lost[column] for s in alive):
        return ()
    return tuple(s.executor for s in alive if s.busy[column] >= _AT_WORK)
