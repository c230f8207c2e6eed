"""Tasks over time, drawn and told: one axis for all laps, legible however crowded, and lost work always seen."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from test_report_samples import HOSTILE, PASSED, STRESSED

from muster.report import costs
from muster.report.activity import GONE, IDLE, LOST, Box, Chart, cells_of, lap_lines, name_of, plot, text_of, words_of
from muster.report.html import render_html
from muster.report.markdown import render_markdown
from muster.summary import Activity, Amount, Band, CostColumn, Costs, LapChart, Mark, Strip

SVG = "{http://www.w3.org/2000/svg}"
TRACK = 26
PHONE, DESK, WIDE = 330, 640, 1020
LETTER = 7.6
"""Pixels of the average letter, in the widest of the fonts that the page names, at the labels' size and weight."""
NAMES = ("corrupt-shuffle-block", "noticed", "cores back", "healed", "done")


def strip(*busy: float, lost: tuple[float, ...] = (), since: float = 0.0, until: float | None = None) -> Strip:
    share = lost or (0.0,) * len(busy)
    return Strip(executor="1", host="10.0.0.1", cores=2, since=since, until=until, busy=busy, lost=share)


def lap(
    *strips: Strip,
    seconds: float = 10.0,
    bands: tuple[Band, ...] = (),
    marks: tuple[Mark, ...] = (),
    kind: str = "disturbed",
) -> LapChart:
    columns = max(1, *(len(each.busy) for each in strips)) if strips else 1
    return LapChart(
        number=1, kind=kind, seconds=seconds, column_seconds=seconds / columns, strips=strips, bands=bands, marks=marks
    )  # fmt: skip


def chart(drawn: LapChart) -> Chart:
    return plot(Activity(laps=(drawn,))).charts[0]


def boxes(drawn: LapChart, kind: str) -> list[Box]:
    return [box for row in chart(drawn).rows for box in row.boxes if box.kind == kind]


def band(stage: int, start: float, end: float, attempt: int = 0) -> Band:
    return Band(stage=stage, attempt=attempt, start=start, end=end)


def figure(drawn: Activity) -> ElementTree.Element:
    text = render_html(PASSED.model_copy(update={"activity": drawn}))
    return ElementTree.fromstring(re.findall(r"<figure>.*?</figure>", text, re.DOTALL)[0])[0]


def test_a_column_is_as_high_as_the_share_of_cores_at_work() -> None:
    drawn = lap(strip(1.0, 0.5, 0.0, 0.25))
    base = chart(drawn).rows[0].life.y + TRACK
    found = boxes(drawn, "busy")
    assert [box.height for box in found] == [TRACK, TRACK / 2, TRACK / 4]
    assert {box.y + box.height for box in found} == {base}
    assert [round(box.x) for box in found] == [0, 25, 75]


def test_columns_of_one_height_are_one_box() -> None:
    (box,) = boxes(lap(strip(*(0.5,) * 120)), "busy")
    assert (box.x, box.width) == (0, pytest.approx(100))


def test_every_lap_has_the_same_axis_and_begins_at_its_edge() -> None:
    short, long = lap(strip(1.0), seconds=5.0), lap(strip(1.0), seconds=20.0)
    drawn = plot(Activity(laps=(short, long)))
    above, below = (chart.rows[0].boxes[0] for chart in drawn.charts)
    assert (above.x, below.x) == (0, 0)
    assert below.width == pytest.approx(4 * above.width)
    assert drawn.charts[0].bottom < drawn.charts[1].title_y - 10
    assert drawn.ticks[-1].label == "20 s"


@pytest.mark.parametrize("seconds", [0.2, 7.0, 33.0, 600.0, 90_000.0])
def test_all_that_is_drawn_lies_on_the_axis(seconds: float) -> None:
    every = tuple(0.4 if n % 2 else 1.0 for n in range(120))
    drawn = plot(Activity(laps=(
        lap(
            strip(*every, lost=tuple(0.0001 if n > 117 else 0.0 for n in range(120))),
            strip(*every, since=seconds * 0.99, until=seconds),
            seconds=seconds,
            bands=(band(1, 0, seconds), band(2, seconds, seconds)),
            marks=(Mark(name="done", at=seconds),),
        ),
    )))  # fmt: skip
    found = [box for c in drawn.charts for box in (*c.bands, *(b for row in c.rows for b in (row.life, *row.boxes)))]
    assert min(box.x for box in found) >= 0
    assert max(box.x + box.width for box in found) <= 100.001
    assert max(box.y + box.height for box in found) <= drawn.bottom < drawn.height
    assert 2 <= len(drawn.ticks) <= 9


@pytest.mark.parametrize("busy", [0.0, 0.5, 1.0])
def test_lost_work_is_seen_however_little_it_is(busy: float) -> None:
    drawn = lap(strip(*(busy,) * 120, lost=tuple(0.001 if n == 60 else 0.0 for n in range(120))))
    row = chart(drawn).rows[0]
    within, below = boxes(drawn, "lost")
    assert within.height >= 2
    assert below.height >= 3
    assert within.width == below.width >= 0.3
    assert row.life.y <= within.y
    assert within.y + within.height <= row.life.y + TRACK < below.y, "below the line as well, for who sees no red"
    assert ("lost", "at work in vain: lost") in plot(Activity(laps=(drawn,))).key


def test_lost_work_stands_on_what_is_not_lost() -> None:
    drawn = lap(strip(0.5, lost=(0.5,)))
    (busy,), (lost, _) = boxes(drawn, "busy"), boxes(drawn, "lost")
    assert (lost.y + lost.height, lost.height, busy.height) == (busy.y, TRACK / 2, TRACK / 2)


def test_where_nothing_is_amiss_nothing_is_red() -> None:
    drawn = Activity(laps=(lap(strip(1.0, 1.0), bands=(band(4, 0, 10),)),))
    assert plot(drawn).key == (("busy", "cores at work"), ("stage-0", "a stage"))
    assert "no work lost" in words_of(drawn)


def test_births_and_deaths_are_where_they_were() -> None:
    row = chart(lap(strip(0.0, 1.0, 0.0, 0.0, since=2.5, until=7.5))).rows[0]
    assert (row.born, row.died) == (25, 75)
    assert (row.life.x, row.life.width) == (25, 50)
    assert row.name.text == "executor 1, new at 2.5 s, lost at 7.5 s, 2 cores, 10.0.0.1"[:47] + "…"
    whole = chart(lap(strip(1.0))).rows[0]
    assert (whole.born, whole.died, whole.name.text) == (None, None, "executor 1, 2 cores, 10.0.0.1")


def test_others_are_told_as_a_number() -> None:
    rest = Strip.together([strip(1.0), strip(0.5, since=3.0)], "2 others")
    assert name_of(rest) == "2 others, 4 cores"
    assert (rest.busy, rest.since, rest.count) == ((0.75,), 0.0, 2)


def extents(texts: list[tuple[str, float, str]], page: int) -> list[tuple[float, float]]:
    """From where to where each text reaches, in pixels."""
    shift = {"start": 0.0, "middle": 0.5, "end": 1.0}
    starts = [(x * page / 100 - shift[anchor] * LETTER * len(text), LETTER * len(text)) for text, x, anchor in texts]
    return [(start, start + width) for start, width in starts]


@pytest.mark.parametrize("at", [0.0, 2.0, 3.5, 4.5, 4.9, 5.1, 6.6, 9.9])
def test_moments_never_overlap_and_stay_on_a_phone(at: float) -> None:
    marks = tuple(Mark(name=name, at=at + n / 100) for n, name in enumerate(NAMES))
    found = chart(lap(strip(1.0), marks=marks))
    rows = [mark.label.y for mark in found.marks]
    assert all(lower - upper >= 16 for upper, lower in pairwise(rows)), "whatever their width, they are apart"
    assert rows[-1] < found.top
    assert rows[0] - found.title_y >= 14
    reach = extents([(m.label.text, m.label.x, m.label.anchor) for m in found.marks], PHONE)
    assert all(start >= 0 and end <= PHONE for start, end in reach)


def test_the_end_of_a_lap_is_a_line_of_its_own_kind() -> None:
    found = chart(lap(strip(1.0), marks=(Mark(name="done", at=10.0), Mark(name="kill-executor", at=4.0)))).marks
    assert [(mark.kind, mark.label.text) for mark in found] == [("mark", "kill-executor 4.0 s"), ("end", "done 10.0 s")]


STAGES = {
    "side by side": tuple(band(n, n * 0.5, n * 0.5 + 0.45) for n in range(20)),
    "a wide one last": (band(1, 0.1, 0.4), band(2, 0.5, 0.8), band(33, 0.9, 9.5)),
    "at the same time": (band(1, 0, 9), band(2, 0.1, 9), band(3, 3, 9), band(4, 3.1, 9, 1)),
    "again and again": tuple(band(35, n, n + 0.9, n) for n in range(10)),
    "large numbers": tuple(band(10_000 + n, n * 1.2, n * 1.2 + 1) for n in range(8)),
}


@pytest.mark.parametrize("bands", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize(("page", "shown"), [(PHONE, {""}), (DESK, {"", "wide"}), (WIDE, {"", "wide", "widest"})])
def test_labels_of_stages_fit_and_never_overlap(bands: tuple[Band, ...], page: int, shown: set[str]) -> None:
    found = chart(lap(strip(1.0), bands=bands))
    labels = [label for label in found.stages if label.page in shown]
    reach = extents([(label.text, label.x, "start") for label in labels], page)
    assert all(left[1] <= right[0] for left, right in pairwise(reach))
    ends = {round(100 * b.start / 10, 6): 100 * b.end / 10 for b in bands}
    assert all(end <= ends[round(label.x, 6)] * page / 100 for label, (_, end) in zip(labels, reach, strict=True))
    assert len(found.bands) == len(bands), "a stage without a label is still shaded"


def test_a_wider_page_has_more_labels() -> None:
    found = chart(lap(strip(1.0), bands=STAGES["again and again"])).stages
    assert {label.text for label in found} == {"35", "35 again"}
    assert {label.page for label in found} == {"", "widest"}
    roomy = chart(lap(strip(1.0), bands=(band(7, 0, 5), band(7, 5, 10, 1)))).stages
    assert [(label.text, label.page) for label in roomy] == [("stage 7", ""), ("stage 7 again", "")]


def test_stages_beside_each_other_are_told_apart() -> None:
    found = chart(lap(strip(1.0), bands=(band(1, 0, 2), band(2, 2, 4), band(1, 4, 6, 1), band(2, 6, 8, 1)))).bands
    assert [box.kind for box in found] == ["stage-0", "stage-1", "again-0", "again-1"]


@pytest.mark.parametrize(
    "drawn",
    [
        Activity(laps=()),
        Activity(laps=(lap(),)),
        Activity(laps=(lap(strip()),)),
        Activity(laps=(lap(strip(0.0, 0.0), strip(0.0, 0.0)), lap(kind="undisturbed", seconds=0.0))),
    ],
    ids=["no lap", "no executor", "no column", "nothing done"],
)
def test_an_empty_activity_is_drawn(drawn: Activity) -> None:
    assert figure(drawn).get("role") == "img"
    assert all(len(cells) in {0, 40} for _, cells in lap_lines(drawn, 40))
    assert len(text_of(drawn)) == len(drawn.laps) + sum(len(each.strips) for each in drawn.laps)
    assert render_markdown(PASSED.model_copy(update={"activity": drawn}))


def test_it_can_be_read_without_eyes() -> None:
    assert STRESSED.activity is not None
    svg = figure(STRESSED.activity)
    assert [child.tag for child in svg][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert svg[1].text == (
        "Lap 1, undisturbed: 20.0 s; 3 executors, cores at work 87% of the time; no work lost."
        " Lap 2, disturbed: 33.0 s; 4 executors, cores at work 85% of the time; kill-executor at 15.6 s;"
        " noticed at 16.0 s; cores back at 21.8 s; lost: executor 1; 11.6 s of work lost; run again: stages 22 and 23."
    )


def test_a_lap_without_executors_says_so() -> None:
    assert words_of(Activity(laps=(lap(),))).startswith("Lap 1, disturbed: 10.0 s; its event log holds no executor;")


def test_nothing_becomes_markup() -> None:
    assert HOSTILE.activity is not None
    told = render_html(HOSTILE)
    assert "<script" not in told
    assert "owned" not in told


def test_a_line_of_text_has_births_deaths_and_lost_work() -> None:
    drawn = strip(0.0, 0.0, 1.0, 0.5, 0.0, 0.1, 0.0, 0.0, lost=(0, 0, 0, 0, 0.01, 0, 0, 0), since=1.0, until=7.0)
    line = cells_of(drawn, lap(drawn, seconds=8.0), 10.0, 10)
    assert line == f"{GONE}{IDLE}█▅{LOST}▁{IDLE}{GONE}{GONE}{GONE}"


@pytest.mark.parametrize("cells", [1, 7, 60, 500])
def test_a_line_of_text_has_as_many_cells_as_there_is_room_for(cells: int) -> None:
    drawn = strip(*(1.0,) * 120)
    assert len(cells_of(drawn, lap(drawn), 10.0, cells)) == cells
    assert set(cells_of(drawn, lap(drawn), 10.0, cells)) == {"█"}


@pytest.mark.parametrize(
    ("amount", "unit", "told"),
    [
        (None, "seconds", "–"),
        (Amount(median=12.5, least=12.5, most=12.5), "seconds", "12.5 s"),
        (Amount(median=3, least=2, most=4), "count", "3 (2 to 4)"),
        (Amount(median=1234567, least=1234567, most=1234567), "count", "1,234,567"),
        (Amount(median=2.5, least=2, most=3), "count", "2.5 (2 to 3)"),
        (Amount(median=2**21, least=0, most=2**31), "bytes", "2.0 MiB (0 B to 2.0 GiB)"),
        (Amount(median=1.649, least=1.649, most=1.649), "times", "1.65"),
    ],
)
def test_an_amount_is_told_with_its_spread(amount: Amount | None, unit: str, told: str) -> None:
    assert costs.words_of(amount, unit) == told  # type: ignore[arg-type]


def test_the_caption_says_of_how_many_laps_the_numbers_are() -> None:
    column = CostColumn(kind="disturbed", laps=1)
    assert costs.caption_of(Costs(columns=(column, column), rows=())) == "Of 2 laps, by event log."
    several = Costs(columns=(column, column.model_copy(update={"laps": 3})), rows=(), note="Not all ended.")
    assert costs.caption_of(several) == (
        "Medians of 4 laps, with the least and the most where they differ. Not all ended."
    )
