"""The phases of a run laid out along one seconds axis: numbers only, for any drawing of them.

Promises: every phase is on the scale; the RTO objective stands where the recovery time spent reaches it, so that
what does not count towards it leaves it where it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from muster.quantity import format_seconds
from muster.report.wording import shortened
from muster.summary import Phase, Summary

_LANES = ("load", "recovery", "verification", "undo")
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
_MOST_STEPS = 7  # as many tick labels as a phone has room for
_STRETCH = 1.5  # an objective further out than this would squeeze the phases

_TOP, _LANE_HEAD, _ROW, _LANE_GAP, _FOOT = 22, 24, 32, 8, 26  # heights in pixels
_LABEL_BASE, _BAR_TOP = 11, 17
_NARROWEST = 0.4  # percent: a phase of a millisecond is still seen


@dataclass(frozen=True)
class Bar:
    """One phase. `left` and `width` are percent of the axis, `label_y` and `bar_y` pixels from the top."""

    phase: Phase
    left: float
    width: float
    label_y: int
    bar_y: int

    @property
    def name(self) -> str:
        """The phase's name, short enough to stand over its bar."""
        return shortened(self.phase.name, 28)

    @property
    def label_x(self) -> float:
        """Where the label is anchored: a late bar carries it to its left, so that it stays on the page."""
        return self.left if self.anchor == "start" else self.left + self.width

    @property
    def anchor(self) -> str:
        """SVG's `text-anchor` for the label."""
        return "start" if self.left <= 50 else "end"


@dataclass(frozen=True)
class Lane:
    """A group of phases under one heading, with its extent in pixels."""

    name: str
    top: int
    bars: tuple[Bar, ...]

    @property
    def head_y(self) -> int:
        """Baseline of the heading."""
        return self.top + 13

    @property
    def bottom(self) -> int:
        """Where the last row ends."""
        return self.top + _LANE_HEAD + _ROW * len(self.bars)


@dataclass(frozen=True)
class Tick:
    """A labelled place on the axis, in percent."""

    x: float
    label: str


@dataclass(frozen=True)
class Timeline:
    """The whole plot, percent across and pixels down. `limit` is the RTO objective's place, if on the scale."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    limit: float | None
    limit_bottom: int
    """The limit is drawn beside the recovery lane alone."""
    objective: float | None
    """The RTO objective in seconds, where there is recovery to measure against it."""
    top: int
    bottom: int
    height: int
    description: str
    uncounted: str
    """The lanes whose time does not count towards the objective, in words."""


def lay_out(summary: Summary) -> Timeline:
    """Place the summary's phases, ticks and RTO objective."""
    span = max((p.start + p.seconds for p in summary.phases), default=0.0)
    objective = _rto_objective(summary)
    limit = None if objective is None else _moment_spent(objective, summary.phases)
    if limit is not None and limit <= span * _STRETCH:
        span = max(span, limit)
    ticks, end = axis(span)
    lanes = _lanes(summary.phases, end)
    bottom = lanes[-1].bottom if lanes else _TOP
    return Timeline(
        lanes=lanes,
        ticks=ticks,
        limit=100 * limit / end if limit is not None and limit <= end else None,
        limit_bottom=lanes[0].bottom if lanes else _TOP,
        objective=objective,
        top=_TOP,
        bottom=bottom,
        height=bottom + _FOOT,
        description=_describe(summary.phases),
        uncounted=_uncounted(summary.phases),
    )


def axis(span: float) -> tuple[tuple[Tick, ...], float]:
    """Ticks for that many seconds, and the seconds that the whole axis holds."""
    step = _step_for(span)
    end = step * max(1, ceil(round(span / step, 6)))
    return tuple(Tick(100 * n * step / end, _tick_label(n * step)) for n in range(round(end / step) + 1)), end


def _rto_objective(summary: Summary) -> float | None:
    if not any(p.is_counted for p in summary.phases):
        return None
    return next((m.objective for m in summary.measures if m.name.casefold() == "rto"), None)


def _uncounted(phases: Sequence[Phase]) -> str:
    lanes = [lane for lane in _LANES if any(p.lane == lane and not p.is_counted for p in phases)]
    verb = "does" if len(lanes) == 1 else "do"
    return f"{' and '.join(lanes)} {verb} not count towards it" if lanes else "every phase counts towards it"


def _lanes(phases: Sequence[Phase], end: float) -> tuple[Lane, ...]:
    lanes: list[Lane] = []
    top = _TOP
    for name in dict.fromkeys((*_LANES, *(p.lane for p in phases))):
        members = sorted((p for p in phases if p.lane == name), key=lambda p: p.start)
        if members:
            lanes.append(Lane(name, top, tuple(_bar(p, n, top + _LANE_HEAD, end) for n, p in enumerate(members))))
            top = lanes[-1].bottom + _LANE_GAP
    return tuple(lanes)


def _bar(phase: Phase, row: int, top: int, end: float) -> Bar:
    y = top + row * _ROW
    left = min(100 * phase.start / end, 100 - _NARROWEST)
    width = max(100 * phase.seconds / end, _NARROWEST)
    return Bar(phase, left, width, y + _LABEL_BASE, y + _BAR_TOP)


def _moment_spent(objective: float, phases: Sequence[Phase]) -> float:
    """When the time spent in phases that count, overlaps counted once, reaches the objective."""
    spent = until = 0.0
    for phase in sorted((p for p in phases if p.is_counted), key=lambda p: p.start):
        begin, end = max(phase.start, until), phase.start + phase.seconds
        if end <= begin:
            continue
        if spent + end - begin >= objective:
            return begin + objective - spent
        spent, until = spent + end - begin, end
    return until + objective - spent


def _step_for(span: float) -> float:
    return next((step for step in _STEPS if span / step <= _MOST_STEPS), 86400 * ceil(span / 86400 / _MOST_STEPS))


def _tick_label(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{round(seconds, 2):g} s" if seconds else "0"


def _describe(phases: Sequence[Phase]) -> str:
    told = (
        f"{p.lane}: {p.name} from {format_seconds(p.start)}, took {format_seconds(p.seconds)}, {p.state}"
        for p in sorted(phases, key=lambda p: p.start)
    )
    return "; ".join(told) + "." if phases else "No phase was started."
