"""Tasks over time laid out on one seconds axis for all laps: percent across, pixels down, for the page's inline SVG.

Promises: every lap begins at the left edge, on the same scale; lost work is seen, however little it is; labels never
overlap, however close their moments are and however narrow the page is; a stage too narrow for its label has none.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from muster.quantity import count_of, format_seconds
from muster.report.timeline import Tick, axis
from muster.report.wording import shortened
from muster.summary import Activity, Band, LapChart, Strip

_TITLE, _MARK, _STAGES, _NAME, _TRACK, _BELOW, _LAP_GAP, _FOOT = 22, 16, 20, 18, 26, 10, 30, 26  # heights in pixels
_LEAST = 2.0  # pixels: the least work is still seen
_LOST = 3  # pixels below the line on which the columns stand
_NARROWEST = 0.3  # percent: a pixel of a phone
_PHONE = 330  # pixels that the figure is wide at least
_PAGES = {"": _PHONE, "wide": 640, "widest": 1020}  # the same for pages on which labels of that class are shown
_LETTER, _PAD = 8.0, 6.0  # pixels: no letter of the labels' size is wider; around a stage's label
_LONGEST = 48
_CELLS = 60
_LEVELS = "▁▂▃▄▅▆▇█"
IDLE, LOST, GONE = "·", "✕", " "
"""Cells of a line of text: alive with nothing to do, lost work, not there."""


@dataclass(frozen=True)
class Box:
    """One rectangle. `x` and `width` are percent, `y` and `height` pixels; `kind` is its class."""

    kind: str
    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True)
class Label:
    """Text at a place; `page` is the class of labels that a narrower page does not show."""

    text: str
    x: float
    y: int
    page: str = ""

    @property
    def anchor(self) -> str:
        """SVG's `text-anchor`: to the right of its line, else to the left, else across it, as a phone has room."""
        place, need = self.x * _PHONE / 100, _width_of(self.text)
        if place + need <= _PHONE:
            return "start"
        return "end" if need <= place else "middle"


@dataclass(frozen=True)
class Line:
    """A labelled moment, and how far down its line goes."""

    label: Label
    kind: str
    bottom: int


@dataclass(frozen=True)
class Row:
    """One executor: its name, where it was, and its columns, lost work last."""

    name: Label
    life: Box
    boxes: tuple[Box, ...]
    born: float | None
    """Where it began in the midst of the lap."""
    died: float | None


@dataclass(frozen=True)
class Chart:
    """One lap."""

    title: str
    title_y: int
    bands: tuple[Box, ...]
    stages: tuple[Label, ...]
    rows: tuple[Row, ...]
    marks: tuple[Line, ...]
    top: int
    """Of the bands."""
    bottom: int


@dataclass(frozen=True)
class Figure:
    """The whole figure."""

    charts: tuple[Chart, ...]
    ticks: tuple[Tick, ...]
    bottom: int
    height: int
    key: tuple[tuple[str, str], ...]
    words: str


def _width_of(text: str) -> float:
    """In pixels, at the most."""
    return _LETTER * len(text)


def plot(activity: Activity) -> Figure:
    """Lay out the laps, one below the other."""
    ticks, span = axis(_last_moment(activity))
    charts: list[Chart] = []
    top = 0
    for lap in activity.laps:
        charts.append(_chart(lap, span, top))
        top = charts[-1].bottom + _LAP_GAP
    bottom = charts[-1].bottom if charts else 0
    return Figure(
        charts=tuple(charts),
        ticks=ticks,
        bottom=bottom,
        height=bottom + _FOOT,
        key=_key(charts),
        words=words_of(activity),
    )


def _last_moment(activity: Activity) -> float:
    """Where the last of what is drawn ends."""
    marks = [mark.at for lap in activity.laps for mark in lap.marks]
    return max((*(_span_of(lap) for lap in activity.laps), *marks), default=1.0) or 1.0


def _span_of(lap: LapChart) -> float:
    return max((lap.column_seconds * len(strip.busy) for strip in lap.strips), default=lap.seconds)


def _chart(lap: LapChart, span: float, top: int) -> Chart:
    first = top + _TITLE + _MARK * len(lap.marks)
    rows_top = first + (_STAGES if lap.bands else 0)
    rows = tuple(_row(strip, lap, span, rows_top + n * (_NAME + _TRACK + _BELOW)) for n, strip in enumerate(lap.strips))
    bottom = rows_top + len(rows) * (_NAME + _TRACK + _BELOW)
    return Chart(
        title=title_of(lap),
        title_y=top + 14,
        bands=tuple(_bands(lap.bands, span, first, bottom)),
        stages=tuple(_stage_labels(lap.bands, span, first + 14)),
        rows=rows,
        marks=tuple(_marks(lap, span, top + _TITLE + 12, bottom)),
        top=first,
        bottom=bottom,
    )


def title_of(lap: LapChart) -> str:
    """What a lap is called: `Lap 2, disturbed: 12.2 s`."""
    variant = f" ({lap.variant})" if lap.variant else ""
    return f"Lap {lap.number}, {lap.kind}{variant}: {format_seconds(lap.seconds)}"


def _marks(lap: LapChart, span: float, first: int, bottom: int) -> Iterator[Line]:
    """A line of its own for each label, downwards in order of time, so that no label is crossed by a later line."""
    marks = sorted(lap.marks, key=lambda m: m.at)
    for row, mark in enumerate(marks):
        x = min(100.0, 100 * mark.at / span)
        is_end = row == len(marks) - 1 and mark.at >= lap.seconds
        label = Label(f"{shortened(mark.name, 24)} {format_seconds(mark.at)}", x, first + _MARK * row)
        yield Line(label, "end" if is_end else "mark", bottom)


def _bands(bands: Sequence[Band], span: float, top: int, bottom: int) -> Iterator[Box]:
    for n, band in enumerate(bands):
        kind = f"{'again' if band.attempt else 'stage'}-{n % 2}"
        x = 100 * band.start / span
        yield Box(kind, x, min(100 - x, max(_NARROWEST, 100 * (band.end - band.start) / span)), top, bottom - top)


def _stage_labels(bands: Sequence[Band], span: float, y: int) -> Iterator[Label]:
    """Labels that fit their stage, and leave those before them alone on every page that shows them."""
    taken = dict.fromkeys(_PAGES, 0.0)
    for band in bands:
        x, width = band.start / span, (band.end - band.start) / span
        for page, text in ((page, text) for page in _PAGES for text in _stage_names(band)):
            need = _width_of(text) + _PAD
            shown = [each for each, pixels in _PAGES.items() if pixels >= _PAGES[page]]
            if need <= width * _PAGES[page] and all(x * _PAGES[each] >= taken[each] for each in shown):
                taken.update({each: x * _PAGES[each] + need for each in shown})
                yield Label(text, 100 * x, y, page)
                break


def _stage_names(band: Band) -> tuple[str, ...]:
    short = f"{band.stage} again" if band.attempt else f"{band.stage}"
    return f"stage {short}", short


def _row(strip: Strip, lap: LapChart, span: float, top: int) -> Row:
    end = strip.until if strip.until is not None else max(lap.seconds, _span_of(lap))
    base, x = top + _NAME + _TRACK, 100 * strip.since / span
    return Row(
        name=Label(shortened(name_of(strip), _LONGEST), 0, top + 13),
        life=Box("life", x, min(100 - x, max(0.0, 100 * end / span - x)), base - _TRACK, _TRACK),
        boxes=tuple(_boxes(strip, lap.column_seconds, span, base)),
        born=x if strip.since > 0 else None,
        died=None if strip.until is None else min(100.0, 100 * strip.until / span),
    )


def name_of(strip: Strip) -> str:
    """An executor, what became of it, and where it was: the last is what a narrow page can spare."""
    who = strip.executor if strip.count > 1 else f"executor {strip.executor}"
    told = [
        who,
        f"new at {format_seconds(strip.since)}" if strip.since > 0 and strip.count == 1 else "",
        f"lost at {format_seconds(strip.until)}" if strip.until is not None else "",
        count_of(strip.cores, "core", "cores"),
        shortened(strip.host, 18),
    ]
    return ", ".join(filter(None, told))


def _boxes(strip: Strip, seconds: float, span: float, base: int) -> Iterator[Box]:
    """Columns of the same height as one; what is lost stands on what is not, and is marked below the line as well."""
    columns = [_heights(busy, lost) for busy, lost in zip(strip.busy, strip.lost, strict=True)]
    lost_boxes: list[Box] = []
    n = 0
    for (busy, lost), run in groupby(columns):
        count = len(list(run))
        x, width = 100 * n * seconds / span, 100 * count * seconds / span
        n += count
        if busy:
            yield Box("busy", x, width, base - busy, busy)
        if lost:
            x, width = min(x, 100 - _NARROWEST), max(width, _NARROWEST)
            lost_boxes += [Box("lost", x, width, base - busy - lost, lost), Box("lost", x, width, base + 1, _LOST)]
    yield from (replace(box, width=min(box.width, 100 - box.x)) for box in lost_boxes)


def _heights(busy: float, lost: float) -> tuple[float, float]:
    """Of a column, in half pixels; where both are there, both are seen."""
    low = 0.0 if lost <= 0 else max(_LEAST, round(2 * lost * _TRACK) / 2)
    high = 0.0 if busy <= 0 else max(_LEAST, round(2 * busy * _TRACK) / 2)
    return min(high, _TRACK - low), low


def _key(charts: Iterable[Chart]) -> tuple[tuple[str, str], ...]:
    kinds = {box.kind for chart in charts for row in chart.rows for box in row.boxes}
    kinds |= {f"{box.kind.split('-')[0]}-0" for chart in charts for box in chart.bands}
    words = (
        ("busy", "cores at work"),
        ("lost", "at work in vain: lost"),
        ("stage-0", "a stage"),
        ("again-0", "a stage run again"),
    )
    return tuple((kind, told) for kind, told in words if kind in kinds)


def words_of(activity: Activity) -> str:
    """Each lap in a sentence."""
    return " ".join(_words(lap) for lap in activity.laps)


def _words(lap: LapChart) -> str:
    told = [_busy_words(lap)] if lap.strips else ["its event log holds no executor"]
    told += [f"{m.name} at {format_seconds(m.at)}" for m in sorted(lap.marks, key=lambda m: m.at)[:-1]]
    if names := [s.executor for s in lap.strips if s.until is not None]:
        told.append(f"lost: {'executor' if len(names) == 1 else 'executors'} {_listed(names)}")
    lost = sum(s.cores * sum(s.lost) for s in lap.strips) * lap.column_seconds
    told.append(f"{format_seconds(lost)} of work lost" if lost else "no work lost")
    if again := list(dict.fromkeys(str(b.stage) for b in lap.bands if b.attempt)):
        told.append(f"run again: {'stage' if len(again) == 1 else 'stages'} {_listed(again)}")
    return f"{title_of(lap)}; {'; '.join(told)}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1]) if len(names) > 1 else names)


def _busy_words(lap: LapChart) -> str:
    """How much of the time that executors were there their cores were at work."""
    end = _span_of(lap)
    there = sum(s.cores * ((end if s.until is None else s.until) - s.since) for s in lap.strips)
    busy = sum(s.cores * (sum(s.busy) + sum(s.lost)) for s in lap.strips) * lap.column_seconds
    count = count_of(sum(s.count for s in lap.strips), "executor", "executors")
    return f"{count}, cores at work {min(1.0, busy / there) if there > 0 else 0.0:.0%} of the time"


def text_of(activity: Activity) -> tuple[str, ...]:
    """The figure in lines of text: an executor each, on one axis for all laps."""
    span = _last_moment(activity)
    lines: list[str] = []
    for lap in activity.laps:
        lines += [title_of(lap)]
        lines += [f"{cells_of(strip, lap, span, _CELLS)}  {name_of(strip)}" for strip in lap.strips]
    return tuple(lines)


def lap_lines(activity: Activity, cells: int) -> tuple[tuple[LapChart, str], ...]:
    """Each lap with all its executors as one line of so many cells, on one axis."""
    span = _last_moment(activity)
    return tuple(
        (lap, cells_of(Strip.together(lap.strips, "all"), lap, span, cells) if lap.strips else "")
        for lap in activity.laps
    )


def cells_of(strip: Strip, lap: LapChart, span: float, cells: int) -> str:
    """An executor as one line of text: how many of its cores are at work, where it is alive, where work was lost."""
    return "".join(_cell(strip, lap, n * span / cells, (n + 1) * span / cells) for n in range(cells))


def _cell(strip: Strip, lap: LapChart, start: float, end: float) -> str:
    last = _span_of(lap) if strip.until is None else strip.until
    if end <= strip.since or start >= last:
        return GONE
    first = min(len(strip.busy) - 1, int(start / lap.column_seconds))
    columns = range(first, max(first + 1, min(len(strip.busy), int(end / lap.column_seconds))))
    if any(strip.lost[n] for n in columns):
        return LOST
    busy = sum(strip.busy[n] for n in columns) / len(columns)
    return _LEVELS[min(len(_LEVELS) - 1, int(busy * len(_LEVELS)))] if busy > 0 else IDLE
