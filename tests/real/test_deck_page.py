"""The deck's page in a real browser: on a desk and in a hand, in light and in dark, and printed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from muster.deck.badges import render_badges
from muster.deck.html import render_html
from muster.deck.model import Deck
from tests.unit.deck_samples import ESTATE, HOSTILE

DESK, HAND = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PAPER, NIGHT = "rgb(253, 253, 251)", "rgb(21, 23, 27)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Debian's own browser; root, as in a container, has no sandbox
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield found
        found.close()


def show(browser: Browser, html: str, folder: Path, **context: object) -> tuple[Page, list[str]]:
    """The page as a browser shows it, and all that it complained of or asked the network for."""
    file = folder / "deck.html"
    file.write_text(html, encoding="utf-8")
    page = browser.new_context(**context).new_page()  # type: ignore[arg-type]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)
    page.goto(file.as_uri(), wait_until="load")
    return page, complaints


@pytest.mark.parametrize("deck", [ESTATE, HOSTILE], ids=["estate", "hostile"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, HAND], ids=["desk", "hand"])
def test_it_fits_and_the_browser_has_no_complaint(
    browser: Browser, tmp_path: Path, deck: Deck, scheme: str, size: dict[str, int]
) -> None:
    page, complaints = show(browser, render_html(deck), tmp_path, viewport=size, color_scheme=scheme)
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert background == (PAPER if scheme == "light" else NIGHT)
    assert page.locator("article").count() == sum(bool(row.plan) for row in deck.rows)
    page.context.close()


def test_a_page_that_does_not_fit_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    """The control: what is too wide, and what the policy forbids, is noticed."""
    wide = render_html(ESTATE).replace("<main>", '<main style="width: 3000px"><script>alert(1)</script>')
    page, complaints = show(browser, wide, tmp_path, viewport=HAND)
    assert page.evaluate("document.documentElement.scrollWidth") > HAND["width"]
    assert any("Content Security Policy" in complaint for complaint in complaints)
    page.context.close()


def test_plots_stand_where_their_numbers_say(browser: Browser, tmp_path: Path) -> None:
    page, _ = show(browser, render_html(ESTATE), tmp_path, viewport=DESK)
    bars = page.locator(".cadence li:not(.axis)")
    widths = {
        bars.nth(n).locator(".name").inner_text(): bars.nth(n).locator(".age").bounding_box()["width"]  # type: ignore[index]
        for n in range(bars.count())
        if bars.nth(n).locator(".age").count()
    }
    assert set(widths) == {row.plan for row in ESTATE.rows if row.pass_at}
    assert widths["restore-billing"] > widths["restore-orders"] == widths["restore-ledger"] > widths["restore-embedded"]
    page.context.close()


def test_the_words_of_a_badge_stay_within_it(browser: Browser, tmp_path: Path) -> None:
    badges = render_badges(ESTATE)
    page, complaints = show(browser, f"<link rel=icon href='data:,'>{''.join(badges.values())}", tmp_path)
    assert complaints == []
    assert page.locator("svg").count() == len(badges)
    overflow = """svg => [...svg.querySelectorAll("text")].some(
        t => t.getBoundingClientRect().right > svg.getBoundingClientRect().right - 4)"""
    assert not any(page.locator("svg").nth(n).evaluate(overflow) for n in range(len(badges)))
    page.context.close()
