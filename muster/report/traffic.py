"""The client's throughput laid out along one seconds axis: percent across, pixels down, for the page's inline SVG.

Promises: columns start at zero and share one scale; a lost write is seen, however few there are; labels never overlap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from muster.quantity import count_of, format_bytes, format_seconds
from muster.report.timeline import Tick, axis
from muster.summary import Column, Lag, Mark, Traffic

_TOP, _PLOT, _LAG_HEAD, _LAG = 92, 150, 30, 44  # heights in pixels
_LABELS = 4
"""Lines of labels above the plot, below the line that says what is plotted."""
_LABEL_LINE = 16
_LABEL_SHARE = 15.0
"""Percent of the width that a label may take before the next goes to another line."""
_LEAST = 2.0  # pixels: one write of many is still seen


@dataclass(frozen=True)
class Box:
    """One rectangle. `x` and `width` are percent, `y` and `height` pixels; `kind` is its class."""

    kind: str
    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True)
class Line:
    """A labelled moment."""

    label: str
    x: float
    label_y: int

    @property
    def anchor(self) -> str:
        """SVG's `text-anchor`: a late label stands to the left of its line."""
        return "start" if self.x <= 70 else "end"


@dataclass(frozen=True)
class Plot:
    """The whole figure."""

    boxes: tuple[Box, ...]
    marks: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    lag_lines: tuple[str, ...]
    lag_head: str
    lag_top: int
    lag_height: int
    top: int
    base: int
    bottom: int
    height: int
    peak: str
    key: tuple[tuple[str, str], ...]
    words: str


def plot(traffic: Traffic) -> Plot:
    """Lay out the columns, marks and lag of a run."""
    begin = min((c.start for c in traffic.columns), default=0.0)
    end = max((c.start + traffic.column_seconds for c in traffic.columns), default=1.0)
    ticks, span = axis(end - begin)
    scale = max((sum(c.acknowledged.values()) + c.unknown + c.failed for c in traffic.columns), default=0) or 1
    base = _TOP + _PLOT
    lag_top = base + _LAG_HEAD
    most = max((s.bytes for s in traffic.lag if s.bytes is not None), default=0)
    bottom = lag_top + _LAG if traffic.lag else base + 6
    return Plot(
        boxes=tuple(_boxes(traffic, begin, span, scale, base)),
        marks=_marks(traffic.marks, begin, span),
        ticks=ticks,
        lag_lines=tuple(_lag_lines(traffic.lag, begin, span, most or 1)),
        lag_head=f"Replay lag, up to {format_bytes(most)}",
        lag_top=lag_top,
        lag_height=_LAG,
        top=_TOP,
        base=base,
        bottom=bottom,
        height=bottom + 24,
        peak=f"Acknowledged writes, up to {scale / traffic.column_seconds:,.0f} a second",
        key=_key(traffic),
        words=_words(traffic),
    )


def _boxes(traffic: Traffic, begin: float, span: float, scale: int, base: int) -> Iterator[Box]:
    width = 100 * traffic.column_seconds / span
    for column in traffic.columns:
        x, top = 100 * (column.start - begin) / span, float(base)
        for kind, count in _parts(traffic, column):
            height = max(_LEAST, _PLOT * count / scale)
            top -= height
            yield Box(kind, x, width, top, height)
        if column.lost:
            yield Box("lost", x, width, base + 1, 7)


def _parts(traffic: Traffic, column: Column) -> Iterator[tuple[str, int]]:
    for name, count in sorted(column.acknowledged.items(), key=lambda item: _place(traffic, item[0])):
        if count:
            yield f"served-{_place(traffic, name)}", count
    if column.unknown + column.failed:
        yield "unknown", column.unknown + column.failed


def _place(traffic: Traffic, server: str) -> int:
    return traffic.servers.index(server) if server in traffic.servers else 2


def _marks(marks: tuple[Mark, ...], begin: float, span: float) -> tuple[Line, ...]:
    """Labels that would touch go to the next line, and round again when there is none."""
    lines: list[Line] = []
    for number, mark in enumerate(sorted(marks, key=lambda m: m.at)):
        x = 100 * (mark.at - begin) / span
        taken = {line.label_y for line in lines if abs(line.x - x) < _LABEL_SHARE}
        rows = [_LABEL_LINE * (n + 2) - 4 for n in range(_LABELS)]
        y = next((row for row in rows if row not in taken), rows[number % _LABELS])
        lines.append(Line(f"{mark.name} {format_seconds(mark.at - begin)}", x, y))
    return tuple(lines)


def _lag_lines(samples: tuple[Lag, ...], begin: float, span: float, most: int) -> Iterator[str]:
    """One line for each stretch in which the lag was known."""
    for known, stretch in groupby(samples, key=lambda s: s.bytes is not None):
        if known:
            yield " ".join(
                f"{1000 * (s.at - begin) / span:.1f},{_LAG - (_LAG - 3) * (s.bytes or 0) / most - 1:.1f}"
                for s in stretch
            )


def _key(traffic: Traffic) -> tuple[tuple[str, str], ...]:
    key = [(f"served-{n}", f"acknowledged by {name}") for n, name in enumerate(traffic.servers)]
    if any(_place(traffic, s) == 2 for c in traffic.columns for s, count in c.acknowledged.items() if count):
        key.append(("served-2", "acknowledged by a server that no survey knows"))
    if any(c.unknown + c.failed for c in traffic.columns):
        key.append(("unknown", "refused or unknown"))
    if any(c.lost for c in traffic.columns):
        key.append(("lost", "acknowledged and lost"))
    return tuple(key)


def _words(traffic: Traffic) -> str:
    served = {name: sum(c.acknowledged.get(name, 0) for c in traffic.columns) for name in traffic.servers}
    lost = sum(c.lost for c in traffic.columns)
    told = ", ".join(f"{count_of(count, 'write', 'writes')} acknowledged by {name}" for name, count in served.items())
    return f"{told}; {count_of(lost, 'acknowledged write', 'acknowledged writes')} lost."
