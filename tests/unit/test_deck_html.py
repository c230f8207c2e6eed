"""The deck's page: it tells every drill, draws true plots, and nothing in a plan becomes markup."""

from html.parser import HTMLParser

import pytest
from deck_samples import DAY, EMPTY, ESTATE, HEALTHY, HOSTILE, NOW, crowd, marks, passes, row

from muster.cadence.states import State
from muster.deck.html import render_html
from muster.deck.model import Deck
from muster.deck.plots import BASE, DUE_AT, bar_of, trends_of

VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("deck", [ESTATE, EMPTY, HEALTHY, HOSTILE], ids=["estate", "empty", "healthy", "hostile"])
def test_the_page_is_whole_and_needs_nothing_else(deck: Deck) -> None:
    html = render_html(deck)
    page = Page(html)
    assert page.open == []
    assert not {"script", "img", "iframe", "object", "form"} & set(page.tags)
    sources = [value for name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert sources == ["data:,"]
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "\u202e" not in html
    identities = [value for name, value in page.attributes if name == "id"]
    assert len(identities) == len(set(identities))
    assert html == render_html(deck)


def test_every_drill_is_told_with_its_state_in_words() -> None:
    text = Page(render_html(ESTATE)).text
    for drill in ESTATE.rows:
        assert (drill.plan or drill.kind) in text
        assert drill.why in text or not drill.plan
        assert drill.owner in text
    for words in ("1 of 10 expected drills is fresh", "the kill switch is on", "47 d of 31 d", "incomplete: 23 of 24"):
        assert words in text
    assert "Beside the drills" not in Page(render_html(HEALTHY)).text


def test_a_plot_tells_its_numbers_to_who_cannot_see_it() -> None:
    labels = [value for name, value in Page(render_html(ESTATE)).attributes if name == "aria-label"]
    assert any(label and "RTO of restore-orders" in label and "failed 15 m 48 s" in label for label in labels)


def test_a_page_of_many_plans_lists_what_asks_for_action_and_counts_the_rest() -> None:
    deck = crowd(3_000)._replace(rows=(*crowd(3_000).rows, row("bad-one", State.FAILING, "failed")))
    text = Page(render_html(deck)).text
    assert "bad-one" in text
    assert "2,901 more are not drawn here: 2,901 fresh" in text


@pytest.mark.parametrize(
    ("age", "place"), [(0, 0), (15.5, DUE_AT / 2), (31, DUE_AT), (38, DUE_AT * 38 / 31), (400, 99.0)]
)
def test_a_cadence_bar_is_full_where_the_next_pass_is_due(age: float, place: float) -> None:
    passed = NOW - age * DAY
    bar = bar_of(row("p", State.DUE, "", pass_at=passed, due_at=passed + 31 * DAY, overdue_at=passed + 38 * DAY), NOW)
    assert bar is not None
    assert bar.age == pytest.approx(place)
    assert bar.grace == pytest.approx(DUE_AT * 38 / 31)
    assert bar.is_beyond is (age == 400)


def test_without_a_pass_there_is_no_bar_and_without_measures_no_trend() -> None:
    nothing = row("p", State.NEVER, "never run", pass_at=None, recent=(), rpo_seconds=None)
    assert bar_of(nothing, NOW) is None
    assert trends_of(nothing) == ()


def test_a_trend_starts_at_zero_and_stands_beside_its_objective() -> None:
    runs = marks(NOW, DAY, *passes(600, 300), ("missed", None, None), ("failed", 1200.0, None))
    rto, rpo = trends_of(row("p", State.FAILING, "", recent=runs, rto_objective=900.0, rpo_objective=4_000.0))
    heights = [BASE - p.y if p.y is not None else None for p in rto.points]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2)  # type: ignore[operator]
    assert heights[2] is None
    assert rto.objective_y is not None
    assert rto.points[3].y < rto.objective_y < rto.points[0].y  # type: ignore[operator]
    assert len(rto.segments) == 2
    assert (rpo.objective_y, rpo.note) == (None, "objective 4000 s, beyond this scale")


def test_measures_of_zero_and_single_runs_can_be_drawn() -> None:
    (rto, _) = trends_of(row("p", State.FRESH, "", recent=marks(NOW, DAY, *passes(0.0)), rto_objective=None))
    assert [(p.x, p.y) for p in rto.points] == [(50.0, BASE)]
