"""The deck as Markdown, read back by a Markdown parser: what it tells, and what nothing in a plan can make of it."""

from collections.abc import Iterator

import pytest
from deck_samples import CONTROLS, DAY, EMPTY, ESTATE, HEALTHY, HOSTILE, NOW, crowd, row
from markdown_it import MarkdownIt
from markdown_it.token import Token

from muster.cadence.states import State
from muster.deck.markdown import render_markdown
from muster.deck.model import Deck
from muster.deck.wording import sparkline


def tokens(markdown: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown):
        yield token
        yield from token.children or ()


def cells(markdown: str) -> list[list[str]]:
    """The table's rows as cells, their line breaks as newlines."""
    lines = [line for line in markdown.splitlines() if line.startswith("| ")][2:]
    return [[cell.replace("<br>", "\n") for cell in line[2:-2].split(" | ")] for line in lines]


def only(**changes: object) -> list[str]:
    (found,) = cells(render_markdown(Deck(NOW, NOW, (row("p", State.FRESH, "passed in time", **changes),), ())))
    return found


def test_the_summary_comes_first_then_troubles_then_the_gravest_rows() -> None:
    markdown = render_markdown(ESTATE)
    assert markdown.startswith(
        "**1 of 10 expected drills is fresh.** As of 2026-08-03.\n\n"
        "1 failing · 1 overdue · 5 never · 1 changed · 1 due · 1 fresh\n\n- **critical**: muster: the kill switch is on"
    )
    assert markdown.index("the route pager refuses") < markdown.index("| signal | value | notes |")
    assert [c[0].split("\n")[0] for c in cells(markdown)] == [
        f"**{name}**"
        for name in (
            "restore-orders", "restore-billing", "restore-warehouse", "restore-catalogue", "restore-ledger",
            "restore-embedded", "cutover", "failover", "incident", "spark",
        )
    ]  # fmt: skip


def test_a_fresh_row_tells_value_and_notes() -> None:
    signal, value, notes = only(proven=None)
    assert signal == "**p**\nrestore, staging"
    assert value.split("\n") == [
        "✓ **fresh**: passed 2026-08-01, 2 d of 31 d",
        "RTO 6 m 52 s of 15 m ▄▄▄▄▄▄▄▄▄",
        "RPO 22.9 s of 1 m ▄▄▄▄▄▄▄▄▄",
    ]
    assert notes.split("\n") == [
        "monthly, day 1 at 06:00 UTC, next due 2026-09-01 06:00 UTC",
        "owner: platform team",
        f"controls: {', '.join(CONTROLS)}",
        "negative controls: never proven",
        "evidence: `restore/p/20260801-060000-p-5f2c9a.tar.gz`",
    ]


def test_a_kind_that_no_plan_covers_is_told_as_never() -> None:
    assert ["**spark**", "○ **never**", "**no plan drills this**"] in cells(render_markdown(ESTATE))


def test_due_times_are_told_by_where_now_is() -> None:
    assert "next due" in only()[2]
    assert "is to pass by" in only(due_at=NOW - DAY, overdue_at=NOW + DAY)[2]
    assert "was to pass by" in only(due_at=NOW - 2 * DAY, overdue_at=NOW - DAY)[2]


def test_incomplete_negative_controls_are_told() -> None:
    (orders,) = [c for c in cells(render_markdown(ESTATE)) if "restore-orders" in c[0]]
    assert "negative controls: incomplete: 23 of 24 caught" in orders[2]


@pytest.mark.parametrize("deck", [ESTATE, EMPTY, HEALTHY, HOSTILE], ids=["estate", "empty", "healthy", "hostile"])
def test_it_is_one_table_whatever_the_plans_hold(deck: Deck) -> None:
    markdown = render_markdown(deck)
    found = list(tokens(markdown))
    kinds = [token.type for token in found]
    assert kinds.count("table_open") == bool(deck.rows)
    assert kinds.count("td_open") == 3 * len(deck.rows)
    assert not {"link_open", "image", "html_block", "em_open", "fence", "heading_open", "blockquote_open"} & set(kinds)
    assert {token.content for token in found if token.type == "html_inline"} <= {"<br>", "<code>", "</code>"}
    assert "muster:deck:end -->" not in markdown
    assert "://" not in markdown
    assert "@all" not in markdown
    assert "#1" not in markdown
    assert "\u202e" not in markdown


def test_plain_text_is_seen_as_it_is() -> None:
    """The control: escaping is undone by whoever renders."""
    shown = "".join(t.content for t in tokens(render_markdown(HOSTILE)) if t.type == "text")
    assert "a|b `c` **d** <img src=x onerror=alert(1)>" in shown


def test_the_page_does_not_change_while_nothing_happens() -> None:
    later = ESTATE._replace(at=NOW + DAY / 24 / 60 * 50, rows=tuple(r for r in ESTATE.rows if "embedded" not in r.plan))
    assert render_markdown(later) == render_markdown(later._replace(at=NOW))
    assert render_markdown(later) != render_markdown(later._replace(at=NOW + DAY))
    assert render_markdown(later, to_the_minute=True) != render_markdown(later._replace(at=NOW), to_the_minute=True)


def test_many_healthy_rows_are_counted_and_no_unhealthy_one_is_hidden_by_them() -> None:
    bad = tuple(row(f"bad-{n:03}", State.FAILING, "failed") for n in range(250))
    markdown = render_markdown(crowd(9_750)._replace(rows=(*crowd(9_750).rows, *bad)))
    assert len(cells(markdown)) == 250
    assert all("failing" in value for _, value, _ in cells(markdown))
    assert "And 9,750 more: 9,750 fresh." in markdown
    assert len(cells(render_markdown(crowd(200)))) == 200
    assert "And " not in render_markdown(crowd(200))


def test_rows_that_do_not_fit_are_counted_by_state() -> None:
    deck = crowd(150, State.OVERDUE)._replace(rows=(*crowd(150, State.OVERDUE).rows, *crowd(40).rows))
    markdown = render_markdown(deck, room=20_000)
    assert len(markdown.encode()) <= 20_000
    listed = len(cells(markdown))
    assert 20 < listed < 150
    assert f"And {190 - listed} more: {150 - listed} overdue · 40 fresh." in markdown


@pytest.mark.parametrize(
    ("values", "objective", "drawn"),
    [
        ((), 10.0, ""),
        ((None, None), 10.0, ""),
        ((5.0,), 10.0, "▄"),
        ((1.0, None, 1.0), 100.0, "▄·▄"),
        ((9.0, 11.0, 10.0), 10.0, "▇█▇"),
        ((0.0,), None, "▁"),
        ((0.0, 2.0, 4.0), None, "▁▂▄"),
    ],
)
def test_sparklines(values: tuple[float | None, ...], objective: float | None, drawn: str) -> None:
    assert sparkline(values, objective) == drawn
