"""The client's throughput laid out along one seconds axis: percent across, pixels down, for the page's inline SVG.

Promises: the axis begins where that of the phases does; columns start at zero and share one scale; a lost write is
seen, however few there are; labels never overlap, however close their moments are and however narrow the page is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from muster.quantity import count_of, format_bytes, format_seconds
from muster.report.timeline import Tick, axis
from muster.summary import Column, Lag, Mark, Traffic

_HEAD, _LABEL_LINE, _GAP, _PLOT, _FOOT, _LAG_HEAD, _LAG = 18, 16, 8, 150, 10, 32, 44  # heights in pixels
_LEAST = 2.0  # pixels: one write of many is still seen
_LOST = 7  # pixels below the line on which the columns stand
UNKNOWN_SERVER = "a server that no survey knows"


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
        """SVG's `text-anchor`: a late label stands to the left of its line, where half of the page is free for it."""
        return "start" if self.x <= 50 else "end"


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
    ticks, span = axis(_last_moment(traffic))
    scale = max((sum(c.acknowledged.values()) + c.unknown + c.failed for c in traffic.columns), default=0)
    top = _HEAD + _LABEL_LINE * len(traffic.marks) + _GAP
    base = top + _PLOT
    lag_top = base + _LAG_HEAD
    known = [s.bytes for s in traffic.lag if s.bytes is not None]
    bottom = lag_top + _LAG if known else base + _FOOT
    return Plot(
        boxes=tuple(_boxes(traffic, span, scale or 1, base)),
        marks=_marks(traffic.marks, span),
        ticks=ticks,
        lag_lines=tuple(_lag_lines(traffic.lag, span, max(known, default=0) or 1)),
        lag_head=f"Replay lag, up to {format_bytes(max(known, default=0))}",
        lag_top=lag_top,
        lag_height=_LAG,
        top=top,
        base=base,
        bottom=bottom,
        height=bottom + 24,
        peak=f"Writes, up to {scale / traffic.column_seconds:,.0f} a second",
        key=_key(traffic),
        words=words_of(traffic),
    )


def words_of(traffic: Traffic) -> str:
    """What clients were told, in a sentence."""
    served = {name: sum(c.acknowledged.get(name, 0) for c in traffic.columns) for name in traffic.servers}
    if others := sum(sum(c.acknowledged.values()) for c in traffic.columns) - sum(served.values()):
        served[UNKNOWN_SERVER] = others
    lost, unsure = sum(c.lost for c in traffic.columns), sum(c.unknown + c.failed for c in traffic.columns)
    told = [
        ", ".join(f"{count_of(count, 'write', 'writes')} acknowledged by {name}" for name, count in served.items()),
        f"{unsure:,} refused or unknown" if unsure else "",
        f"{count_of(lost, 'acknowledged write', 'acknowledged writes')} lost" if lost else "none found lost",
    ]
    return f"{'; '.join(filter(None, told))}."


def _last_moment(traffic: Traffic) -> float:
    """Where the last of what is drawn ends: a client that died early has no columns for what came after."""
    columns = [c.start + traffic.column_seconds for c in traffic.columns]
    return max((*columns, *(m.at for m in traffic.marks), *(s.at for s in traffic.lag)), default=1.0)


def _boxes(traffic: Traffic, span: float, scale: int, base: int) -> Iterator[Box]:
    width = 100 * traffic.column_seconds / span
    for column in traffic.columns:
        x, top = 100 * column.start / span, float(base)
        for kind, count in _parts(traffic, column):
            height = max(_LEAST, _PLOT * count / scale)
            top -= height
            yield Box(kind, x, width, top, height)
        if column.lost:
            yield Box("lost", x, width, base + 1, _LOST)


def _parts(traffic: Traffic, column: Column) -> Iterator[tuple[str, int]]:
    for name, count in sorted(column.acknowledged.items(), key=lambda item: _place(traffic, item[0])):
        if count:
            yield f"served-{_place(traffic, name)}", count
    if column.unknown + column.failed:
        yield "unknown", column.unknown + column.failed


def _place(traffic: Traffic, server: str) -> int:
    return traffic.servers.index(server) if server in traffic.servers else 2


def _marks(marks: tuple[Mark, ...], span: float) -> tuple[Line, ...]:
    """A line of its own for each label, downwards in order of time, so that no label is crossed by a later line."""
    first = _HEAD + _LABEL_LINE - 4
    return tuple(
        Line(f"{mark.name} {format_seconds(mark.at)}", 100 * mark.at / span, first + _LABEL_LINE * row)
        for row, mark in enumerate(sorted(marks, key=lambda m: m.at))
    )


def _lag_lines(samples: tuple[Lag, ...], span: float, most: int) -> Iterator[str]:
    """One line for each stretch in which the lag was known; a stretch of one sample is a dot."""
    for known, stretch in groupby(samples, key=lambda s: s.bytes is not None):
        if known:
            points = [f"{1000 * s.at / span:.1f},{_LAG - (_LAG - 3) * (s.bytes or 0) / most - 1:.1f}" for s in stretch]
            yield " ".join(points if len(points) > 1 else points * 2)


def _key(traffic: Traffic) -> tuple[tuple[str, str], ...]:
    key = [(f"served-{n}", f"acknowledged by {name}") for n, name in enumerate(traffic.servers)]
    if any(_place(traffic, s) == 2 for c in traffic.columns for s, count in c.acknowledged.items() if count):
        key.append(("served-2", f"acknowledged by {UNKNOWN_SERVER}"))
    if any(c.unknown + c.failed for c in traffic.columns):
        key.append(("unknown", "refused or unknown"))
    if any(c.lost for c in traffic.columns):
        key.append(("lost", "acknowledged and lost"))
    return tuple(key)
