"""A cutover's ticks, drawn and told: true to scale, each watermark in its place, and what went wrong always seen."""

import re
from datetime import UTC, datetime
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from test_report_samples import HANDED_OVER, HOSTILE_TEXT, MISHANDLED, PASSED, cutover, mishandled

from muster.report.html import render_html
from muster.report.markdown import render_markdown
from muster.report.ticklines import IDLE, NOBODY, WRONG, Lane, lines_of, plot, since_of, text_of, words_of
from muster.summary import Mark, TickColumn, TickLines

SVG = "{http://www.w3.org/2000/svg}"
TRACK = 72
PHONE = 330
LETTER = 7.6
"""Pixels of the average letter, in the widest of the fonts that the page names, at the labels' size and weight."""


def column(start: float, a: int = 0, b: int = 0, wrong: int = 0) -> TickColumn:
    return TickColumn(start=start, started={"a": a, "b": b}, wrong=wrong)


def ticks(*columns: TickColumn, marks: tuple[tuple[str, float], ...] = (), seconds: float = 1.0) -> TickLines:
    return TickLines(
        column_seconds=seconds,
        began=datetime(2026, 3, 1, 4, tzinfo=UTC),
        sides=("a", "b"),
        columns=columns,
        marks=tuple(Mark(name=name, at=at) for name, at in marks),
    )


def every(a: int = 0, b: int = 0) -> tuple[TickColumn, ...]:
    """Two minutes, which fill the axis."""
    return tuple(column(float(n), a, b) for n in range(120))


def lanes(drawn: TickLines) -> tuple[Lane, ...]:
    return plot(drawn).lanes


def figure(drawn: TickLines) -> ElementTree.Element:
    text = render_html(PASSED.model_copy(update={"ticks": drawn}))
    return ElementTree.fromstring(re.findall(r"<figure>.*?</figure>", text, re.DOTALL)[0])[0]


def of_class(svg: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [each for each in svg.iter() if each.get("class") == kind]


def test_bars_are_as_high_as_their_ticks_and_share_one_scale() -> None:
    above, below = lanes(ticks(column(0, a=4), column(1, a=2), column(2, b=1)))
    assert [bar.height for bar in above.bars] == [TRACK, TRACK / 2]
    assert [bar.height for bar in below.bars] == [TRACK / 4]
    assert {bar.y + bar.height for bar in above.bars} == {above.base}, "the first side's stand on the line"
    assert {bar.y for bar in below.bars} == {below.base}, "the other one's hang from theirs"
    assert above.base < below.base


def test_bars_stand_where_their_time_is() -> None:
    above, _ = lanes(ticks(*every(a=1)))
    assert [round(bar.x + bar.width / 2, 3) for bar in above.bars] == [round((n + 0.5) / 1.2, 3) for n in range(120)]
    assert all(right.x > left.x + left.width for left, right in pairwise(above.bars)), "each is a bar of its own"


def test_one_tick_of_thousands_is_seen() -> None:
    above, below = lanes(ticks(column(0, a=9_000), column(1, b=1)))
    assert (above.bars[0].height, below.bars[0].height) == (TRACK, 3)


def test_what_went_wrong_is_drawn_on_a_lane_of_its_own_and_named() -> None:
    drawn = mishandled()
    wrong = lanes(drawn)[-1]
    assert wrong.name == "✕ gone wrong: 7 ticks, at most 3 in 1.0 s"
    assert [round(bar.x + bar.width / 2, 3) for bar in wrong.bars] == [
        round(100 * (n + 0.5) / 120, 3) for n in (40, 41, 42, 95)
    ]
    assert {bar.kind for bar in wrong.bars} == {"wrong"}
    assert min(bar.y for bar in wrong.bars) > lanes(drawn)[1].base + TRACK
    assert wrong.bars[2].height > wrong.bars[1].height > wrong.bars[0].height == wrong.bars[3].height
    assert ("wrong", "missed, doubled, or started by the wrong side") in plot(drawn).key
    assert words_of(drawn).endswith("; 7 went wrong, between 40.0 s and 96.0 s.")
    svg = figure(drawn)
    assert len(of_class(svg, "wrong")) == 4
    assert "✕ gone wrong: 7 ticks" in "".join(svg.itertext())


def test_where_nothing_went_wrong_there_is_no_such_lane_and_nothing_is_red() -> None:
    drawn = cutover()
    assert [lane.is_wrong for lane in lanes(drawn)] == [False, False]
    assert [kind for kind, _ in plot(drawn).key] == ["side-0", "side-1", "held"]
    assert plot(drawn).height < plot(mishandled()).height
    assert not of_class(figure(drawn), "wrong")
    assert "gone wrong" not in render_html(HANDED_OVER)
    assert "gone wrong" not in render_markdown(HANDED_OVER)
    assert not [line for line in lines_of(drawn, 60) if line.kind == "wrong"]


@pytest.mark.parametrize("at", [0, 50, 119])
def test_one_wrong_tick_is_seen_wherever_it_is(at: int) -> None:
    columns = [column(float(n), a=50, wrong=int(n == at)) for n in range(120)]
    (bar,) = lanes(ticks(*columns))[-1].bars
    assert bar.width >= 0.9, "three pixels of a phone"
    assert bar.height >= 8
    assert 0 <= bar.x <= (at + 0.5) / 1.2 <= bar.x + bar.width <= 100


def test_watermarks_are_where_they_were_and_labelled_between_the_sides() -> None:
    drawn = ticks(*every(1, 1), marks=(("to a", 90.0), ("to b", 30.0)))
    over, back = plot(drawn).marks
    assert (over.text, over.x, over.anchor) == ("to b 30.0 s", 25, "middle")
    assert (back.text, back.x, back.anchor) == ("to a 90.0 s", 75, "middle")
    assert over.y == back.y, "far from each other, they share a row"
    above, below = lanes(drawn)
    assert above.base + 10 < over.y < below.base
    lines = of_class(figure(drawn), "mark")
    assert [line.get("x1") for line in lines] == ["25.000%", "25.000%", "75.000%", "75.000%"]


def test_the_owners_ground_is_shown() -> None:
    above, below = lanes(ticks(*every(1, 1), marks=(("to b", 30.0), ("to a", 90.0))))
    assert [(box.x, box.x + box.width) for box in above.held] == [(0, 25), (75, 100)]
    assert [(box.x, box.x + box.width) for box in below.held] == [(25, 75)]


@pytest.mark.parametrize("at", [0.0, 5.0, 60.0, 114.0, 120.0])
def test_labels_never_overlap_and_stay_on_a_phone(at: float) -> None:
    marks = tuple((("to b", "to a")[n % 2], max(0.0, min(120.0, at + n / 10))) for n in range(6))
    drawn = plot(ticks(*every(1), marks=marks))
    shift = {"start": 0.0, "middle": 0.5, "end": 1.0}
    reach = []
    for mark in drawn.marks:
        width = LETTER * len(mark.text)
        start = mark.x * PHONE / 100 - shift[mark.anchor] * width
        assert start >= 0
        assert start + width <= PHONE
        assert drawn.belt[0] < mark.y - 10 < mark.y < drawn.belt[1]
        reach.append((mark.y, start, start + width))
    rows = {y for y, _, _ in reach}
    assert all(lower - upper >= 16 for upper, lower in pairwise(sorted(rows)))
    for row in rows:
        beside = sorted((start, end) for y, start, end in reach if y == row)
        assert all(left[1] < right[0] for left, right in pairwise(beside))


def test_of_many_waves_the_first_and_the_last_are_labelled() -> None:
    waves = tuple(("to b", 20.0 + n) for n in range(20))
    drawn = ticks(*(column(float(n), a=int(n < 20), b=int(n >= 30)) for n in range(120)), marks=waves)
    found = plot(drawn).marks
    assert len(found) == 20, "each has its line"
    assert [mark.text for mark in found if mark.text] == ["to b 20.0 s", "to b 39.0 s"]
    above, below = lanes(drawn)
    assert (above.held[0].width, below.held[0].x) == pytest.approx((39 / 1.2, 20 / 1.2)), (
        "in between both have schedules"
    )
    assert words_of(drawn) == (
        "a started 20 ticks until 20.0 s, then wave by wave b 9 until 39.0 s, then b 81; none went wrong."
    )


def test_it_is_told_in_a_sentence() -> None:
    assert words_of(cutover()) == (
        "a started 37 ticks until 38.5 s, then b 55 until 97.0 s, then a again 20; none went wrong."
    )
    assert since_of(cutover()) == "Time runs from when the survey began, 2026-03-01 04:00:04 UTC."
    one = ticks(column(0, a=1), column(1, b=1, wrong=1), marks=(("to b", 1.0),))
    assert words_of(one) == "a started 1 tick until 1.0 s, then b 1; 1 went wrong, between 1.0 s and 2.0 s."


def test_who_started_what_was_not_its_own_is_told() -> None:
    assert words_of(mishandled()).startswith("a started 37 ticks until 38.5 s, then b 54 and a 3 until 97.0 s, then")


def test_ticks_of_both_sides_in_the_column_of_the_watermark_are_told_where_they_belong() -> None:
    drawn = ticks(column(0, a=2), column(1, a=1, b=3), column(2, b=2), marks=(("to b", 1.5),))
    assert words_of(drawn) == "a started 3 ticks until 1.5 s, then b 5; none went wrong."


def test_every_tick_is_told() -> None:
    for drawn in (cutover(), mishandled()):
        told = re.sub(r"[\d.]+ s\b", "", words_of(drawn).split(";")[0])
        assert sum(map(int, re.findall(r"\d+", told))) == sum(sum(c.started.values()) for c in drawn.columns)


@pytest.mark.parametrize(
    "drawn",
    [
        ticks(),
        ticks(marks=(("to b", 0.0),)),
        ticks(column(0)),
        ticks(column(0, wrong=1)),
        ticks(column(0, a=1), marks=(("somewhere", 7.0),)),
        ticks(column(0, a=1), marks=(("to a", 0.5),)),
        TickLines(column_seconds=1, began=datetime(2026, 3, 1, tzinfo=UTC), sides=(), columns=(), marks=()),
    ],
    ids=["nothing", "a mark alone", "an empty column", "missed alone", "a mark of no side", "to itself", "no side"],
)
def test_a_small_picture_is_drawn(drawn: TickLines) -> None:
    assert figure(drawn).get("role") == "img"
    assert words_of(drawn).endswith(".")
    assert "## Ticks" in render_markdown(PASSED.model_copy(update={"ticks": drawn}))
    assert [len(line.cells) for line in lines_of(drawn, 30)] == [30] * len(lines_of(drawn, 30))


def test_no_tick_is_told_as_such() -> None:
    assert words_of(ticks(column(0))) == "no tick was started; none went wrong."
    assert words_of(ticks(column(0, wrong=2))) == "no tick was started; 2 went wrong, between 0.00 s and 1.0 s."


@pytest.mark.parametrize("seconds", [0.25, 64.0, 900.0], ids=["half a minute", "hours", "days"])
def test_all_that_is_drawn_lies_on_the_axis(seconds: float) -> None:
    columns = (column(n * seconds, 1, 1, wrong=1) for n in range(120))
    drawn = plot(ticks(*columns, seconds=seconds, marks=(("to b", 120 * seconds),)))
    found = [box for lane in drawn.lanes for box in (*lane.bars, *lane.held)]
    assert min(box.x for box in found) >= 0
    assert max(box.x + box.width for box in found) <= 100.001
    assert max(box.y + box.height for box in found) <= drawn.bottom < drawn.height
    assert 2 <= len(drawn.ticks) <= 8


def test_text_has_a_line_for_each_side_the_watermarks_and_what_went_wrong() -> None:
    columns = [column(float(n), a=int(n < 5) + int(n == 8), b=2 * int(n >= 6), wrong=int(n == 8)) for n in range(10)]
    drawn = ticks(*columns, marks=(("to b", 5.0),))
    assert [(line.kind, line.name) for line in lines_of(drawn, 10)] == [
        ("side", "a: 6 ticks"),
        ("marks", ""),
        ("side", "b: 8 ticks"),
        ("wrong", "gone wrong: 1 tick"),
    ]
    above, marks, below, wrong = (line.cells for line in lines_of(drawn, 10))
    assert above == f"▅▅▅▅▅{NOBODY * 3}▅{NOBODY}"
    assert marks == "     ↓    ", "a label that does not fit is left to the words"
    assert below == f"{NOBODY * 5}{IDLE}████"
    assert wrong == f"{' ' * 8}{WRONG} "


@pytest.mark.parametrize("cells", [1, 7, 60, 500])
@pytest.mark.parametrize("seconds", [1.0, 0.1, 7 / 3])
def test_each_wrong_tick_is_in_some_cell(cells: int, seconds: float) -> None:
    for at in (0, 1, 59, 118, 119):
        drawn = ticks(*(column(n * seconds, a=1, wrong=int(n == at)) for n in range(120)), seconds=seconds)
        line = lines_of(drawn, cells)[-1].cells
        assert len(line) == cells
        assert WRONG in line
        assert len(line.strip()) <= max(1, -(-cells // 120)), "and in no more than it takes"


def test_watermarks_are_marked_in_text_towards_who_gets_the_schedules() -> None:
    told = text_of(cutover())
    assert told[1].index("↓") == 60 * 38.5 // 120
    assert told[1].index("↑") == 60 * 97 // 120
    assert "↓ to b 38.5 s" in told[1]
    assert "to a 97.0 s ↑" in told[1]


def test_nothing_becomes_markup() -> None:
    drawn = cutover().model_copy(
        update={
            "sides": (HOSTILE_TEXT, "b"),
            "columns": (TickColumn(start=0, started={HOSTILE_TEXT: 3}),),
            "marks": (Mark(name=f"to {HOSTILE_TEXT}", at=0.5),),
        }
    )
    told = render_html(PASSED.model_copy(update={"ticks": drawn}))
    assert "<script" not in told
    assert "owned" not in told
    assert "**loud**" not in render_markdown(PASSED.model_copy(update={"ticks": drawn})).replace(r"\*\*loud\*\*", "")


def test_it_can_be_read_without_eyes() -> None:
    svg = figure(mishandled())
    assert [child.tag for child in svg][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert svg[1].text == words_of(mishandled())


def test_markdown_has_the_words_and_the_lines() -> None:
    told = render_markdown(MISHANDLED)
    assert f"## Ticks\n\n{words_of(mishandled())} {since_of(mishandled())}\n\n```text\n" in told
    assert "\n".join(text_of(mishandled())) in told
    assert told.index("Measured against") < told.index("## Ticks") < told.index("## Phases")
