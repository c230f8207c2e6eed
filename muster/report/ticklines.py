"""Who started which ticks laid out on one seconds axis: percent across, pixels down, for the page's inline SVG.

Promises: bars of all sides share one scale; one tick is seen, however many there are elsewhere; what went wrong has a
lane of its own, which is there only then; labels never overlap, however close watermarks are and however narrow the
page is; the words account for every tick that is drawn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from muster.quantity import count_of, format_seconds
from muster.report import wording
from muster.report.timeline import Tick, axis
from muster.summary import Mark, TickColumn, TickLines

WRONG, IDLE, NOBODY = "✕", "·", " "
"""Cells of a line of text: ticks gone wrong, no tick though the schedules are its own, not its schedules."""

_HEAD, _TRACK, _LABEL_LINE, _BELT_PAD, _TAIL = 22, 72, 18, 10, 26  # heights in pixels
_WRONG_HEAD, _WRONG_TRACK, _FOOT = 24, 18, 26
_LEAST, _LEAST_WRONG = 3.0, 8.0  # pixels: one tick of many is still seen
_NARROWEST = 0.9  # percent: three pixels of a phone
_SHARE = 0.8  # of a column's width that is its bar's
_PHONE, _LETTER, _PAD = 330, 8.0, 10.0  # pixels: a figure's least width; no letter is wider; between two labels
_LONGEST = 24
_CELLS = 60
_LEVELS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Box:
    """One rectangle. `x` and `width` are percent, `y` and `height` pixels; `kind` is its class."""

    kind: str
    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True)
class Watermark:
    """A moment at which schedules changed hands, and its label: empty in the midst of several that go the same way."""

    text: str
    x: float
    y: int
    anchor: str
    """SVG's `text-anchor`: across its line where a phone has room, else to the right or to the left of it."""


@dataclass(frozen=True)
class Lane:
    """One side, or what went wrong: its heading, the line on which its bars stand or from which they hang."""

    name: str
    name_y: int
    base: int
    held: tuple[Box, ...]
    """While the schedules were its own."""
    bars: tuple[Box, ...]
    is_wrong: bool = False


@dataclass(frozen=True)
class Figure:
    """The whole figure."""

    lanes: tuple[Lane, ...]
    marks: tuple[Watermark, ...]
    ticks: tuple[Tick, ...]
    top: int
    belt: tuple[int, int]
    """From where to where the labels of the watermarks reach, between the first side and the other."""
    bottom: int
    height: int
    key: tuple[tuple[str, str], ...]
    words: str


@dataclass(frozen=True)
class Line:
    """One line of text: what it is of, its cells, and whether it is of a `side`, of `marks` or of what is `wrong`."""

    name: str
    cells: str
    kind: str


@dataclass(frozen=True)
class _Stretch:
    """Time between handovers, or from the first to the last of several that go the same way."""

    start: float
    end: float
    owners: tuple[str, ...]


def plot(drawn: TickLines) -> Figure:
    """Lay out the first side above the watermarks, the other one below them, and what went wrong below both."""
    ticks, span = axis(_last_moment(drawn))
    belt = _HEAD + _TRACK
    marks = _marks(drawn.marks, span, belt)
    top = end = belt + _BELT_PAD + _LABEL_LINE * len({mark.y for mark in marks if mark.text})
    lanes: list[Lane] = []
    for n, side in enumerate(drawn.sides):
        lanes.append(_lane(drawn, side, span, belt if n == 0 else top))
        top += _TRACK + _TAIL if n else 0
    if any(c.wrong for c in drawn.columns):
        lanes.append(_wrong_lane(drawn, span, top))
        top += _WRONG_HEAD + _WRONG_TRACK
    return Figure(
        lanes=tuple(lanes),
        marks=marks,
        ticks=ticks,
        top=_HEAD,
        belt=(belt, end),
        bottom=top,
        height=top + _FOOT,
        key=_key(drawn),
        words=words_of(drawn),
    )


def _last_moment(drawn: TickLines) -> float:
    """Where the last of what is drawn ends."""
    ends = (c.start + drawn.column_seconds for c in drawn.columns)
    return max((*ends, *(mark.at for mark in drawn.marks)), default=1.0) or 1.0


def _marks(marks: Sequence[Mark], span: float, top: int) -> tuple[Watermark, ...]:
    """Each label in the first row that has room for it, on the narrowest page."""
    taken: list[float] = []
    placed: list[Watermark] = []
    for mark, text in _labels(marks):
        x = min(100.0, max(0.0, 100 * mark.at / span))
        if not text:
            placed.append(Watermark("", x, 0, "middle"))
            continue
        anchor, left, right = _reach(text, x)
        row = next((n for n, until in enumerate(taken) if until <= left), len(taken))
        taken[row : row + 1] = [right + _PAD]
        placed.append(Watermark(text, x, top + _BELT_PAD // 2 + 13 + _LABEL_LINE * row, anchor))
    return tuple(placed)


def _labels(marks: Sequence[Mark]) -> Iterator[tuple[Mark, str]]:
    """In order of time; of several that go the same way, wave by wave, the first and the last are labelled."""
    for _, run in groupby(sorted(marks, key=lambda m: m.at), key=lambda m: m.name):
        waves = list(run)
        for n, mark in enumerate(waves):
            text = f"{wording.shortened(mark.name, _LONGEST)} {format_seconds(mark.at)}"
            yield mark, text if n in {0, len(waves) - 1} else ""


def _reach(text: str, x: float) -> tuple[str, float, float]:
    """How a label is anchored, and from where to where it reaches on a phone, in pixels."""
    width, place = _LETTER * len(text), x * _PHONE / 100
    if width / 2 <= place <= _PHONE - width / 2:
        return "middle", place - width / 2, place + width / 2
    return ("start", place, place + width) if place < _PHONE / 2 else ("end", place - width, place)


def _lane(drawn: TickLines, side: str, span: float, base: int) -> Lane:
    """The first side's bars stand on the watermarks' belt, another one's hang from it."""
    rank = drawn.sides.index(side)
    top = base - _TRACK if rank == 0 else base
    most = max((_started(c, s) for c in drawn.columns for s in drawn.sides), default=0) or 1
    return Lane(
        name=_heading(side, [_started(c, side) for c in drawn.columns], drawn.column_seconds),
        name_y=top - 8 if rank == 0 else base + _TRACK + 16,
        base=base,
        held=tuple(
            Box("held", 100 * start / span, 100 * (end - start) / span, top, _TRACK)
            for owner, start, end in _holdings(drawn)
            if owner == side
        ),
        bars=tuple(_bars(drawn, side, f"side-{min(rank, 1)}", 100 / span, base, most)),
    )


def _bars(drawn: TickLines, side: str, kind: str, scale: float, base: int, most: int) -> Iterator[Box]:
    width = scale * drawn.column_seconds
    for column in drawn.columns:
        if count := _started(column, side):
            height = max(_LEAST, _TRACK * count / most)
            top = base - height if kind == "side-0" else base
            yield Box(kind, scale * column.start + width * (1 - _SHARE) / 2, width * _SHARE, top, height)


def _wrong_lane(drawn: TickLines, span: float, top: int) -> Lane:
    most = max(c.wrong for c in drawn.columns)
    base = top + _WRONG_HEAD + _WRONG_TRACK
    width = max(_NARROWEST, _SHARE * 100 * drawn.column_seconds / span)
    boxes = []
    for column in (c for c in drawn.columns if c.wrong):
        middle = 100 * (column.start + drawn.column_seconds / 2) / span
        height = max(_LEAST_WRONG, _WRONG_TRACK * column.wrong / most)
        boxes.append(Box("wrong", min(100 - width, max(0.0, middle - width / 2)), width, base - height, height))
    name = f"{WRONG} {_heading('gone wrong', [c.wrong for c in drawn.columns], drawn.column_seconds)}"
    return Lane(name, top + 16, base, (), tuple(boxes), is_wrong=True)


def _started(column: TickColumn, side: str) -> int:
    return column.started.get(side, 0)


def _short_heading(name: str, counts: Sequence[int]) -> str:
    return f"{wording.shortened(name, _LONGEST)}: {count_of(sum(counts), 'tick', 'ticks')}"


def _heading(name: str, counts: Sequence[int], seconds: float) -> str:
    most = f", at most {max(counts):,} in {format_seconds(seconds)}" if any(counts) else ""
    return f"{_short_heading(name, counts)}{most}"


def _key(drawn: TickLines) -> tuple[tuple[str, str], ...]:
    key = [(f"side-{min(n, 1)}", f"ticks started by {side}") for n, side in enumerate(drawn.sides)]
    key += [("held", "whose ticks they were")] if drawn.sides else []
    if any(c.wrong for c in drawn.columns):
        key.append(("wrong", "missed, doubled, or started by the wrong side"))
    return tuple(key)


def _handovers(drawn: TickLines) -> Iterator[tuple[str, float, float]]:
    """To whom, and from the first to the last watermark: several where schedules changed hands wave by wave."""
    into = {f"to {side}": side for side in drawn.sides}
    known = sorted((mark.at, into[mark.name]) for mark in drawn.marks if mark.name in into)
    for side, run in groupby(known, key=lambda item: item[1]):
        moments = [at for at, _ in run]
        yield side, moments[0], moments[-1]


def _holdings(drawn: TickLines) -> Iterator[tuple[str, float, float]]:
    """Who had schedules, from when to when; the first side has them to begin with."""
    owner, since = next(iter(drawn.sides), ""), 0.0
    for side, first, last in _handovers(drawn):
        if side != owner:
            yield owner, since, last
            owner, since = side, first
    yield owner, since, _last_moment(drawn)


def _stretches(drawn: TickLines) -> tuple[_Stretch, ...]:
    holdings = tuple(_holdings(drawn))
    moments = sorted({0.0, *(start for _, start, _ in holdings), *(end for _, _, end in holdings)})
    return tuple(
        _Stretch(start, end, tuple(owner for owner, since, until in holdings if since <= start and end <= until))
        for start, end in pairwise(moments)
    )


def words_of(drawn: TickLines) -> str:
    """Who started how many ticks until when, and how many went wrong, in a sentence."""
    wrong = [c for c in drawn.columns if c.wrong]
    count = sum(c.wrong for c in wrong)
    told = _started_words(drawn) if any(any(c.started.values()) for c in drawn.columns) else "no tick was started"
    if not count:
        return f"{told}; none went wrong."
    first, last = wrong[0].start, wrong[-1].start + drawn.column_seconds
    return f"{told}; {count:,} went wrong, between {format_seconds(first)} and {format_seconds(last)}."


def since_of(drawn: TickLines) -> str:
    """What the axis begins with, in a sentence."""
    return f"Time runs from when the survey began, {wording.moment(drawn.began)}."


def _started_words(drawn: TickLines) -> str:
    """Each stretch with what its owners started, and what others started in it."""
    stretches = _stretches(drawn)
    counts = [dict.fromkeys(stretch.owners, 0) for stretch in stretches]
    for column in drawn.columns:
        for side in (s for s in drawn.sides if _started(column, s)):
            held = counts[_stretch_of(stretches, column, drawn.column_seconds, side)]
            held[side] = held.get(side, 0) + _started(column, side)
    pieces = []
    for n, (stretch, held) in enumerate(zip(stretches, counts, strict=True)):
        until = f" until {format_seconds(stretch.end)}" if n < len(stretches) - 1 else ""
        pieces.append(f"{_stretch_words(stretches[:n], stretch, held)}{until}")
    return ", then ".join(pieces)


def _stretch_words(before: Sequence[_Stretch], stretch: _Stretch, held: dict[str, int]) -> str:
    if len(stretch.owners) > 1:
        held = {side: count for side, count in held.items() if count} or held
    told = [f"{side}{_again(before, stretch, side)} {count:,}" for side, count in held.items()]
    if not before:
        side, count = next(iter(held.items()))
        told[0] = f"{side} started {count_of(count, 'tick', 'ticks')}"
    return ("wave by wave " if len(stretch.owners) > 1 else "") + " and ".join(told)


def _again(before: Sequence[_Stretch], stretch: _Stretch, side: str) -> str:
    """Whether it had lost the schedules and has them back."""
    had = [side in earlier.owners for earlier in before]
    return " again" if side in stretch.owners and any(had) and not had[-1] else ""


def _stretch_of(stretches: Sequence[_Stretch], column: TickColumn, seconds: float, side: str) -> int:
    """A column across a watermark counts where its ticks were the side's own."""
    within = [n for n, s in enumerate(stretches) if s.start < column.start + seconds and column.start < s.end]
    own = [n for n in within if side in stretches[n].owners]
    return (own or within or [len(stretches) - 1])[0]


def text_of(drawn: TickLines) -> tuple[str, ...]:
    """The figure in lines of text of one width, what each is of behind it."""
    return tuple(f"{line.cells}  {line.name}".rstrip() for line in lines_of(drawn, _CELLS))


def lines_of(drawn: TickLines, cells: int) -> tuple[Line, ...]:
    """A line of so many cells for each side, the watermarks below the first, and what went wrong if anything did."""
    span = _last_moment(drawn)
    shares = [[_mean(drawn, side, n, cells, span) for n in range(cells)] for side in drawn.sides]
    most = max((share for row in shares for share in row), default=0.0) or 1.0
    lines = [
        Line(_short_heading(side, [_started(c, side) for c in drawn.columns]), _cells(drawn, side, row, most), "side")
        for side, row in zip(drawn.sides, shares, strict=True)
    ]
    if drawn.marks:
        lines.insert(1, Line("", _mark_cells(drawn, cells, span), "marks"))
    if any(c.wrong for c in drawn.columns):
        bad = "".join(WRONG if any(c.wrong for c in _within(drawn, n, cells, span)) else NOBODY for n in range(cells))
        lines.append(Line(_short_heading("gone wrong", [c.wrong for c in drawn.columns]), bad, "wrong"))
    return tuple(lines)


def _within(drawn: TickLines, cell: int, cells: int, span: float) -> Sequence[TickColumn]:
    """The columns that a cell stands for: at least one where there is one, and each in some cell."""
    first, end = (int(round(n * span / cells / drawn.column_seconds, 6)) for n in (cell, cell + 1))
    return drawn.columns[first : max(first + 1, end)]


def _mean(drawn: TickLines, side: str, cell: int, cells: int, span: float) -> float:
    columns = _within(drawn, cell, cells, span)
    return sum(_started(c, side) for c in columns) / len(columns) if columns else 0.0


def _cells(drawn: TickLines, side: str, shares: Sequence[float], most: float) -> str:
    size = _last_moment(drawn) / len(shares)
    held = [(start, end) for owner, start, end in _holdings(drawn) if owner == side]

    def cell(n: int, share: float) -> str:
        if share:
            return _LEVELS[min(len(_LEVELS) - 1, int(share / most * len(_LEVELS)))]
        return IDLE if any(start <= (n + 0.5) * size < end for start, end in held) else NOBODY

    return "".join(cell(n, share) for n, share in enumerate(shares))


def _mark_cells(drawn: TickLines, cells: int, span: float) -> str:
    """An arrow at each watermark towards who has the schedules then, and its label where there is room for it."""
    row = [" "] * cells
    home = next((f"to {side}" for side in drawn.sides), "")
    labels = [(max(0, min(cells - 1, int(cells * mark.at / span))), mark, text) for mark, text in _labels(drawn.marks)]
    for place, mark, _ in labels:
        row[place] = "↑" if mark.name == home else "↓"
    for place, _, text in labels:
        for start in (place + 2, place - 1 - len(text)):
            end = start + len(text)
            if start >= 0 and end <= cells and not "".join(row[max(0, start - 1) : end + 1]).strip(" "):
                row[start:end] = text
                break
    return "".join(row)
