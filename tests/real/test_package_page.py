"""A package's report in a real browser: on a desk and in a hand, in light and in dark, and printed; and its PDF."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from muster.package.html import render_html
from muster.package.inputs import PackageInputs
from muster.package.report import build_report
from tests.unit.package_paper import Paper, contents_of, hostile, quarter

DESK, HAND = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PAPER, NIGHT = "rgb(253, 253, 251)", "rgb(21, 23, 27)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Debian's own browser; root, as in a container, has no sandbox
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield found
        found.close()


def page_of(make: Callable[[Paper], PackageInputs], folder: Path) -> str:
    return render_html(build_report(contents_of(make(Paper(folder / "paper")), folder)))


def show(browser: Browser, html: str, folder: Path, **context: object) -> tuple[Page, list[str]]:
    """The page as a browser shows it, and all that it complained of or asked the network for."""
    file = folder / "report.html"
    file.write_text(html, encoding="utf-8")
    page = browser.new_context(**context).new_page()  # type: ignore[arg-type]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)
    page.goto(file.as_uri(), wait_until="load")
    return page, complaints


@pytest.mark.parametrize("make", [quarter, hostile], ids=["quarter", "hostile"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, HAND], ids=["desk", "hand"])
def test_it_fits_and_the_browser_has_no_complaint(
    browser: Browser,
    tmp_path: Path,
    make: Callable[[Paper], PackageInputs],
    scheme: str,
    size: dict[str, int],
) -> None:
    page, complaints = show(browser, page_of(make, tmp_path), tmp_path, viewport=size, color_scheme=scheme)
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert background == (PAPER if scheme == "light" else NIGHT)
    page.context.close()


def test_a_page_that_does_not_fit_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    """The control: what is too wide, and what the policy forbids, is noticed."""
    wide = page_of(quarter, tmp_path).replace("<main>", '<main style="width: 3000px"><script>alert(1)</script>')
    page, complaints = show(browser, wide, tmp_path, viewport=HAND)
    assert page.evaluate("document.documentElement.scrollWidth") > HAND["width"]
    assert any("Content Security Policy" in complaint for complaint in complaints)
    page.context.close()


def test_what_is_missing_is_red_and_read_aloud_with_its_head(browser: Browser, tmp_path: Path) -> None:
    page, _ = show(browser, page_of(quarter, tmp_path), tmp_path, viewport=HAND)
    table = page.get_by_role("table", name="Missing, or not to be relied on")
    row = table.get_by_role("row").nth(1)
    assert row.get_by_role("rowheader").inner_text() == "2026-08-01 03:00"
    colour = row.locator(".sign").evaluate("sign => getComputedStyle(sign).color")
    assert colour == page.evaluate("(() => { const e = document.createElement('i'); e.style.color = 'var(--fail)';"
                                   " document.body.append(e); return getComputedStyle(e).color; })()")  # fmt: skip
    heads = table.get_by_role("columnheader").all_inner_texts()
    assert heads == ["Due, UTC", "Plan", "Record", "What is wrong"]
    page.context.close()


def test_it_prints(browser: Browser, tmp_path: Path) -> None:
    page, _ = show(browser, page_of(quarter, tmp_path), tmp_path, viewport=DESK, color_scheme="dark")
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF-")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == PAPER
    page.context.close()
