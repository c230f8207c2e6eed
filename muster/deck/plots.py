"""The plots of the deck laid out: numbers only, percent across and pixels down, for the page's inline SVG.

Promises: every plan's pass is measured on one scale, its own cadence, so that nightly and yearly drills stand under one
line; trends start at zero; an objective beyond the scale is said to be so, not drawn where it is not.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from muster.deck import wording
from muster.deck.model import Row
from muster.quantity import format_seconds

HEIGHT = 112
"""Of a trend, in pixels."""
_TOP, BASE = 16, 92
_LEFT, _RIGHT = 2.0, 98.0
DUE_AT = 62.0
"""Where on a cadence bar the next pass is due, in percent: the rest is grace, and what comes after it."""
_END = 99.0


class Bar(NamedTuple):
    """The age of a pass beside its cadence, in percent of the bar's width."""

    age: float
    grace: float
    """Where the grace ends."""
    is_beyond: bool
    """Whether the age goes beyond the bar."""


class Point(NamedTuple):
    """One run on a trend. `y` is `None` for a run that measured nothing."""

    x: float
    y: float | None
    outcome: str
    told: str


class Segment(NamedTuple):
    """A line between two points next to each other."""

    x1: float
    y1: float
    x2: float
    y2: float


class Trend(NamedTuple):
    """One measure of one plan over its recent runs."""

    name: str
    words: str
    """The last measurement beside the objective."""
    points: tuple[Point, ...]
    segments: tuple[Segment, ...]
    first: str
    """The days of the oldest and the newest run shown."""
    last: str
    objective: str
    objective_y: float | None
    """Where the objective stands; `None` when there is none or it lies beyond the scale."""
    note: str
    description: str


def bar_of(row: Row, now: datetime) -> Bar | None:
    """The cadence bar; `None` for a plan that never passed."""
    if row.pass_at is None or row.due_at is None or row.overdue_at is None:
        return None
    until_due = (row.due_at - row.pass_at).total_seconds()
    if until_due <= 0:
        return Bar(_END, _END, True)
    age = DUE_AT * max(0.0, (now - row.pass_at).total_seconds()) / until_due
    grace = DUE_AT * (row.overdue_at - row.pass_at).total_seconds() / until_due
    return Bar(min(age, _END), min(grace, _END), age > _END)


def trends_of(row: Row) -> tuple[Trend, ...]:
    """RTO and RPO over the recent runs; a measure that no run has is left out."""
    return tuple(
        _trend(name, row, measure, measured, objective)
        for name, measure, measured, objective in (
            ("RTO", "rto_seconds", row.rto_seconds, row.rto_objective),
            ("RPO", "rpo_seconds", row.rpo_seconds, row.rpo_objective),
        )
        if any(wording.value_of(mark, measure) is not None for mark in row.recent)
    )


def _trend(name: str, row: Row, measure: str, measured: float | None, objective: float | None) -> Trend:
    values = [wording.value_of(mark, measure) for mark in row.recent]
    top = _top_of([value for value in values if value is not None], objective)
    points = tuple(
        Point(x, None if value is None else _y(value, top), mark.outcome, _told(mark.at, mark.outcome, value))
        for x, mark, value in zip(_places(len(values)), row.recent, values, strict=True)
    )
    is_shown = objective is not None and objective <= top
    note = f"objective {wording.span(objective)}, beyond this scale" if objective and not is_shown else ""
    return Trend(
        name=name,
        words=wording.measured_beside_objective(measured, objective),
        points=points,
        segments=_segments(points),
        first=wording.day(row.recent[0].at),
        last=wording.day(row.recent[-1].at) if len(row.recent) > 1 else "",
        objective="" if objective is None else f"objective {wording.span(objective)}",
        objective_y=_y(objective, top) if objective is not None and is_shown else None,
        note=note,
        description=f"{name} of {wording.name_of(row)}, the oldest run first: {'; '.join(p.told for p in points)}",
    )


def _top_of(values: Sequence[float], objective: float | None) -> float:
    """The objective is on the scale unless the measurements would be flat beside it."""
    worst = max(values)
    top = max(worst, objective) if objective is not None and objective <= 4 * worst else worst
    return top * 1.15 or 1.0


def _y(value: float, top: float) -> float:
    return round(BASE - (BASE - _TOP) * value / top, 1)


def _places(count: int) -> list[float]:
    if count == 1:
        return [(_LEFT + _RIGHT) / 2]
    return [round(_LEFT + (_RIGHT - _LEFT) * n / (count - 1), 2) for n in range(count)]


def _segments(points: Sequence[Point]) -> tuple[Segment, ...]:
    seen = [(p.x, p.y) for p in points if p.y is not None]
    return tuple(Segment(x1, y1, x2, y2) for (x1, y1), (x2, y2) in pairwise(seen))


def _told(at: datetime, outcome: str, value: float | None) -> str:
    return f"{wording.day(at)} {outcome}{'' if value is None else f' {format_seconds(value)}'}"
