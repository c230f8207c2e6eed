"""`python -m bench.portal`: how soon the auditors' portal opens and answers, beside an empty page in the same browser.

Promises: both are opened in turn, from a folder, in one headless Chromium; open means drawn, with list, calendar and
plots; it works below one folder and deletes all of it.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from bench.measure import Series, ratio, timed
from bench.results import keep, machine, new_table, show
from muster.portal.page import render_portal
from muster.quantity import format_bytes
from tests.unit.portal_samples import crowd

SIZES = (100, 1_000, 10_000)
QUICK = (1_000,)
ALLOWED = 2.0
"""Seconds in which ten thousand runs are to be open."""
_CHROMIUM = "/usr/bin/chromium"
_DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
_ANSWER = """([name, value]) => new Promise((done) => {
  const field = document.forms[0].elements[name], began = performance.now();
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  document.body.getBoundingClientRect();
  const listed = performance.now() - began;
  requestAnimationFrame(() => requestAnimationFrame(() => done([listed, performance.now() - began])));
})"""
_TYPED = (("text", "restore"), ("text", "restore-01"), ("text", ""), ("plan", "restore-000"), ("plan", ""))


@dataclass(frozen=True)
class Opened:
    """One size: seconds to make and to open it, an empty page beside it, seconds of an answer, and bytes."""

    runs: int
    making: float
    empty: Series
    opening: Series
    ratio: Series
    listed: Series
    """From a filter's change to the new list."""
    answered: Series
    """To the new calendar and plots."""
    details: Series
    """To one run's details."""
    page: int
    all: int
    files: int

    @property
    def is_met(self) -> bool:
        """Whether it opens in time."""
        return self.opening.median < ALLOWED


def measure(folder: Path, count: int, rounds: int) -> Opened:
    """Make a portal of so many runs, and open it as often."""
    data, made = crowd(count, plans=min(40, count // 10)), {}
    making = timed(lambda: made.update(render_portal(data)))
    for key, content in made.items():
        file = folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    nothing = folder / "empty.html"
    nothing.write_text("<!DOCTYPE html><title>Nothing</title><p>Nothing.", encoding="utf-8")
    index = folder / "portal" / "index.html"
    empty, opening, answers, details = [], [], [], []
    with _browsing() as fresh:
        for _ in range(rounds):
            empty.append(_seconds(fresh, nothing))
            opening.append(_seconds(fresh, index))
            page = fresh()
            page.goto(index.as_uri())
            answers += [page.evaluate(_ANSWER, list(each)) for each in _TYPED]
            details.append(timed(lambda page=page: _open_run(page, index, count // 2)))
            page.context.close()
    listed, answered = (Series(tuple(answer[n] / 1000 for answer in answers)) for n in (0, 1))
    floor, found = Series(tuple(empty)), Series(tuple(opening))
    return Opened(
        count, making, floor, found, ratio(found, floor), listed, answered, Series(tuple(details)),
        len(made["portal/index.html"]), sum(map(len, made.values())), len(made),
    )  # fmt: skip


@contextmanager
def _browsing() -> Iterator[Callable[[], Page]]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        # each page in a context of its own: nothing is cached from the one before
        yield lambda: chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
        chromium.close()


def _seconds(fresh: Callable[[], Page], file: Path) -> float:
    page = fresh()

    def draw() -> None:
        page.goto(file.as_uri(), wait_until="load")
        page.evaluate(_DRAWN)

    seconds = timed(draw)
    page.context.close()
    return seconds


def _open_run(page: Page, index: Path, entry: int) -> None:
    page.goto(f"{index.as_uri()}#run/{entry}")
    page.locator("#one-body").wait_for(state="visible")


def tables(sizes: list[Opened]) -> tuple[Table, ...]:
    opening = new_table(f"Opening the portal, seconds; 10,000 runs within {ALLOWED:g} s",
                        "runs", "empty page", "portal", "portal / empty", "in time")  # fmt: skip
    answers = new_table("Answers, seconds", "runs", "a filter: list", "a filter: all of it", "one run")
    weights = new_table("Weight", "runs", "page", "all files", "files", "made in, seconds")
    for each in sizes:
        runs = f"{each.runs:,}"
        opening.add_row(runs, str(each.empty), str(each.opening), str(each.ratio), "met" if each.is_met else "missed")
        answers.add_row(runs, str(each.listed), str(each.answered), str(each.details))
        weights.add_row(runs, format_bytes(each.page), format_bytes(each.all), f"{each.files:,}", f"{each.making:.1f}")
    return opening, answers, weights


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.portal", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small size: does it work?")
    parser.add_argument("--rounds", type=int, default=9, help="how often each is opened (default 9)")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the pages go")
    options = parser.parse_args(arguments)
    began, console, sizes = datetime.now(UTC), Console(), []
    console.print(machine())
    with tempfile.TemporaryDirectory(prefix="muster-bench-", dir=options.dir) as folder:
        for count in QUICK if options.quick else SIZES:
            sizes.append(measure(Path(folder) / str(count), count, 2 if options.quick else options.rounds))
    show(tables(sizes), console)
    written = keep(f"portal-{began:%Y%m%dT%H%M%SZ}", began, tables(sizes), [asdict(each) for each in sizes])
    console.print(f"Kept in {written}, and beside it as JSON.")
    return 0 if all(each.is_met for each in sizes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
