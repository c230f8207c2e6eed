"""What clients saw, drawn and told: true to scale, legible however crowded, and only ever text."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from test_report_html import Outline
from test_report_samples import HOSTILE_TEXT, PASSED

from muster.report.html import render_html
from muster.report.markdown import render_markdown
from muster.report.traffic import UNKNOWN_SERVER, Box, plot, words_of
from muster.summary import Column, Lag, Mark, Summary, Traffic

SVG = "{http://www.w3.org/2000/svg}"
PLOT = 150
NAMES = (
    "partition-then-kill", "promoted", "served again", "redundant again", "failback", "sixth", "seventh", "eighth",
)  # fmt: skip


def column(start: float, a: int = 0, b: int = 0, *, unknown: int = 0, failed: int = 0, lost: int = 0) -> Column:
    served = {name: count for name, count in (("a", a), ("b", b)) if count}
    return Column(start=start, acknowledged=served, unknown=unknown, failed=failed, lost=lost)


def traffic(
    *columns: Column, seconds: float = 0.25, marks: tuple[Mark, ...] = (), lag: tuple[Lag, ...] = ()
) -> Traffic:
    return Traffic(column_seconds=seconds, servers=("a", "b"), columns=columns, marks=marks, lag=lag)


def boxes(drawn: Traffic, kind: str) -> list[Box]:
    return [box for box in plot(drawn).boxes if box.kind == kind]


def summary(drawn: Traffic | None) -> Summary:
    return PASSED.model_copy(update={"traffic": drawn})


def figure(drawn: Traffic) -> ElementTree.Element:
    text = render_html(summary(drawn))
    found = re.search(r'<svg role="img" aria-labelledby="traffic-title.*?\n</svg>\n<ul', text, re.DOTALL)
    assert found
    return ElementTree.fromstring(found[0].removesuffix("<ul"))


def test_columns_start_at_zero_and_share_one_scale() -> None:
    drawn = traffic(column(0, 100), column(0.25, 50), column(0.5, b=25))
    base = plot(drawn).base
    old, new = boxes(drawn, "served-0"), boxes(drawn, "served-1")
    assert [box.height for box in old] == [PLOT, PLOT / 2]
    assert [box.height for box in new] == [PLOT / 4]
    assert {box.y + box.height for box in (*old, *new)} == {base}


def test_what_two_servers_and_nobody_said_stands_on_each_other() -> None:
    drawn = traffic(column(0, 50, 30, unknown=15, failed=5))
    stack = plot(drawn).boxes
    assert [box.kind for box in stack] == ["served-0", "served-1", "unknown"]
    assert sum(box.height for box in stack) == PLOT
    assert all(below.y == pytest.approx(above.y + above.height) for below, above in pairwise(stack))


def test_the_scale_is_told_with_everything_that_it_holds() -> None:
    assert plot(traffic(column(0, 100, failed=25))).peak == "Writes, up to 500 a second"
    assert plot(traffic()).peak == "Writes, up to 0 a second"


def test_columns_stand_side_by_side_where_their_time_is() -> None:
    drawn = traffic(*(column(2 + n / 4, 10) for n in range(32)))
    row = boxes(drawn, "served-0")
    assert row[0].x == pytest.approx(20)
    assert all(right.x == pytest.approx(left.x + left.width) for left, right in pairwise(row))
    assert row[-1].x + row[-1].width == pytest.approx(100)


def test_one_lost_write_of_thousands_is_seen() -> None:
    drawn = traffic(column(0, 9_000), column(0.25, 1, lost=1), column(0.5, 9_000))
    (lost,) = boxes(drawn, "lost")
    assert (lost.x, lost.y > plot(drawn).base, lost.height >= 5) == (boxes(drawn, "served-0")[1].x, True, True)
    assert min(box.height for box in plot(drawn).boxes) >= 2
    assert ("lost", "acknowledged and lost") in plot(drawn).key
    assert words_of(drawn).endswith("; 1 acknowledged write lost.")


def test_where_nothing_is_amiss_nothing_is_red() -> None:
    drawn = traffic(column(0, 10), column(0.25, b=10))
    assert plot(drawn).key == (("served-0", "acknowledged by a"), ("served-1", "acknowledged by b"))
    assert words_of(drawn) == "10 writes acknowledged by a, 10 writes acknowledged by b; none found lost."


@pytest.mark.parametrize("count", [1, 5, 8])
@pytest.mark.parametrize("at", [0.0, 4.9, 5.1, 9.9])
def test_labels_never_overlap(count: int, at: float) -> None:
    marks = tuple(Mark(name=name, at=at + n / 1000) for n, name in enumerate(NAMES[:count]))
    drawn = plot(traffic(column(0, 1), column(9.75, 1), marks=marks))
    rows = [line.label_y for line in drawn.marks]
    assert all(lower - upper >= 16 for upper, lower in pairwise(rows)), "whatever their width, they are apart"
    assert rows[-1] < drawn.top
    assert rows[0] >= 28, "below the line that says what is plotted"
    assert {line.anchor for line in drawn.marks} == {"start" if at < 5 else "end"}, "half of the page is free for it"
    assert all(0 <= line.x <= 100 for line in drawn.marks)


def test_marks_tell_the_time_that_the_phases_have() -> None:
    (line,) = plot(traffic(column(2, 1), column(7.75, 1), marks=(Mark(name="kill", at=4.0),))).marks
    assert (line.label, line.x) == ("kill 4.0 s", 50)


def test_what_came_after_a_client_died_is_still_on_the_page() -> None:
    drawn = plot(traffic(column(0, 1), marks=(Mark(name="failback", at=30),), lag=(Lag(at=40, bytes=1),)))
    assert (drawn.marks[0].x, drawn.ticks[-1].label) == (75, "40 s")


def test_a_server_that_nobody_knows_has_its_own_key() -> None:
    odd = Column(start=0, acknowledged={"": 3, "a": 4})
    drawn = traffic(odd)
    assert ("served-2", f"acknowledged by {UNKNOWN_SERVER}") in plot(drawn).key
    assert [box.kind for box in plot(drawn).boxes] == ["served-0", "served-2"]
    assert f"3 writes acknowledged by {UNKNOWN_SERVER}" in words_of(drawn)


def test_refused_and_unknown_writes_are_told() -> None:
    drawn = traffic(column(0, 1, unknown=2, failed=1_000))
    assert "; 1,002 refused or unknown;" in words_of(drawn)
    assert ("unknown", "refused or unknown") in plot(drawn).key


def test_the_lag_is_broken_where_nobody_could_be_asked() -> None:
    samples = [(0, 0), (1, 1024), (2, None), (3, 512), (4, None)]
    drawn = plot(traffic(column(0, 1), lag=tuple(Lag(at=at, bytes=count) for at, count in samples)))
    assert drawn.lag_head == "Replay lag, up to 1.0 KiB"
    first, dot = (line.split() for line in drawn.lag_lines)
    assert len(first) == 2
    assert dot[0] == dot[1], "a line of one point would not be drawn"
    heights = [float(point.split(",")[1]) for point in first]
    assert 0 < heights[1] < heights[0] < drawn.lag_height


def test_without_a_known_lag_there_is_no_room_for_it() -> None:
    unknown = plot(traffic(column(0, 1), lag=(Lag(at=0, bytes=None),)))
    assert unknown == plot(traffic(column(0, 1)))
    lost = plot(traffic(column(0, 1, lost=1))).boxes[-1]
    assert lost.y + lost.height < unknown.bottom


@pytest.mark.parametrize("seconds", [0.25, 64.0, 900.0], ids=["a minute", "hours", "days"])
def test_however_long_it_took_it_fits(seconds: float) -> None:
    drawn = plot(traffic(*(column(n * seconds, 1) for n in range(240)), seconds=seconds))
    assert 2 <= len(drawn.ticks) <= 8
    assert max(box.x + box.width for box in drawn.boxes) <= 100.001


@pytest.mark.parametrize(
    "drawn",
    [traffic(), traffic(column(0, 1)), traffic(column(0)), traffic(column(3, 7, lost=7), seconds=8.0)],
    ids=["no column", "one column", "an empty column", "one wide column"],
)
def test_a_small_series_is_drawn(drawn: Traffic) -> None:
    assert figure(drawn).get("role") == "img"
    assert words_of(drawn)


def test_it_can_be_read_without_eyes() -> None:
    svg = figure(traffic(column(0, 5), column(0.25, b=4, lost=1)))
    assert [child.tag for child in svg][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert svg[1].text == "5 writes acknowledged by a, 4 writes acknowledged by b; 1 acknowledged write lost."


def test_nothing_becomes_markup() -> None:
    name = HOSTILE_TEXT
    drawn = Traffic(
        column_seconds=1,
        servers=(name, "b"),
        columns=(Column(start=0, acknowledged={name: 5}),),
        marks=(Mark(name=name, at=0.5),),
    )
    told = render_html(summary(drawn))
    assert "<script" not in told
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in told
    assert not Outline(told).of("script")
    assert "owned" not in told
    assert UNKNOWN_SERVER not in told, "a name is the same wherever it stands"
    page = MarkdownIt("commonmark").enable("table").render(render_markdown(summary(drawn)))
    assert "<script" not in page
    assert "<strong>loud" not in page


def test_a_report_without_a_client_has_no_such_part() -> None:
    for render in (render_html, render_markdown):
        assert "What clients saw" not in render(summary(None))


def test_markdown_says_it_in_words() -> None:
    told = render_markdown(summary(traffic(column(0, 5), column(0.25, b=4))))
    assert "## What clients saw\n\n5 writes acknowledged by a, 4 writes acknowledged by b; none found lost." in told
    assert told.index("Measured against") < told.index("What clients saw") < told.index("## Phases")
