"""The auditors' portal in a real browser, from a folder: on a desk and in a hand, in light and dark, by keyboard."""

import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from evidence.bundle import seal
from evidence.keys import ensure_key_pair, load_signer
from muster.deck.wording import span
from muster.portal.model import PortalData
from muster.portal.reading import Run, runs_of
from muster.quantity import format_seconds
from tests.real.portal_browser import CONTRASTS, DESK, HAND, TABLET, Portal, write
from tests.unit.portal_samples import (
    DAY,
    EMPTY,
    FORTY,
    LEDGER,
    NOW,
    ONE,
    ORDERS,
    SINCE,
    crowd,
    hostile,
    portal_of,
    sealed,
    with_retired,
)

PAPER, NIGHT = "rgb(253, 253, 251)", "rgb(21, 23, 27)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Debian's own browser; root, as in a container, has no sandbox
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(FORTY, tmp_path_factory.mktemp("forty"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Run, ...]]:
    data = crowd()
    return write(data, tmp_path_factory.mktemp("large")), runs_of(data)


@pytest.fixture
def open_portal(browser: Browser) -> Iterator[Callable[..., Portal]]:
    """Opens pages, and in the end sees that none of them complained."""
    opened: list[Portal] = []

    def open_(file: Path, fragment: str = "", **context: object) -> Portal:
        opened.append(Portal(browser, file, fragment, **context))  # type: ignore[arg-type]
        return opened[-1]

    yield open_
    for portal in opened:
        portal.close()
    assert [complaint for portal in opened for complaint in portal.complaints] == []


@pytest.mark.parametrize(
    "data",
    [EMPTY, ONE, FORTY, hostile(), with_retired()],
    ids=["empty", "one", "every outcome", "hostile", "a plan retired"],
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, TABLET, HAND], ids=["desk", "tablet", "hand"])
@pytest.mark.parametrize("fragment", ["", "#run/0"], ids=["overview", "run"])
def test_it_fits_can_be_read_and_the_browser_has_no_complaint(
    open_portal: Callable[..., Portal],
    tmp_path: Path,
    data: PortalData,
    scheme: str,
    size: dict[str, int],
    fragment: str,
) -> None:
    portal = open_portal(write(data, tmp_path), fragment, viewport=size, color_scheme=scheme)
    assert portal.overflow == 0
    background = portal.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert background == (PAPER if scheme == "light" else NIGHT)
    contrasts = portal.page.evaluate(CONTRASTS)
    assert len(contrasts) > 10
    assert [each for each in contrasts if each[0] < (3 if each[1] >= 24 else 4.5)] == []


def test_what_does_not_fit_cannot_be_read_or_is_forbidden_would_be_seen(browser: Browser, forty: Path) -> None:
    """The control: each of the three is noticed."""
    html = forty.read_text(encoding="utf-8")
    broken = forty.parent / "broken.html"
    faint = '<svg><text fill="#eee">x</text></svg><font color="#ddd">faint</font>'
    planted = f'<script>alert(1)</script>{faint}<svg width="3000" height="1"></svg><div id="overview">'
    broken.write_text(html.replace('<div id="overview">', planted), encoding="utf-8")
    portal = Portal(browser, broken)
    assert portal.overflow > 0
    assert any("Content Security Policy" in complaint for complaint in portal.complaints)
    assert [text for ratio, _, text in portal.page.evaluate(CONTRASTS) if ratio < 4.5] == ["x", "faint"]
    portal.close()


def test_filters_choose_by_control_plan_period_outcome_and_name(
    open_portal: Callable[..., Portal], forty: Path
) -> None:
    portal, runs = open_portal(forty), runs_of(FORTY)
    assert portal.shown() == len(runs) + 3
    assert portal.page.locator("#rows tr").count() == len(runs) + 3
    portal.choose("Control", "SOC 2 CC7.5")
    assert portal.shown() == sum("SOC 2 CC7.5" in run.controls for run in runs)
    portal.choose("Control", "")
    portal.choose("Plan", "restore-billing")
    assert portal.shown() == sum(run.plan == "restore-billing" for run in runs) + 2
    portal.choose("Period", "2026-04-01/2026-06-30")
    in_time = [run for run in runs if run.due and 4 <= run.due.month <= 6 and run.plan == "restore-billing"]
    assert portal.shown() == len(in_time) + 1
    portal.page.get_by_role("checkbox", name="waived").check()
    assert portal.column("Due") == [
        f"{run.due:%Y-%m-%d %H:%M}" for run in in_time if run.due and run.outcome == "waived"
    ]
    portal.page.get_by_role("checkbox", name="unsealed").check()
    words = portal.page.locator("#rows tr td:first-child").all_inner_texts()
    assert {word.strip() for word in words} == {"unsealed", "waived"}
    portal.page.get_by_role("button", name="Show everything").click()
    portal.settle()
    assert portal.shown() == len(runs) + 3
    portal.choose("Due from", "2026-08-03")
    assert portal.shown() == sum(bool(run.due and run.due >= datetime(2026, 8, 3, tzinfo=UTC)) for run in runs)
    portal.choose("Due from", "")
    portal.choose("Name holds", "NIGHTLY")
    assert set(portal.column("Plan")) == {"stress-nightly-job"}
    portal.choose("Name holds", "nothing of that name")
    assert portal.shown() == 0
    assert portal.page.get_by_text("Nothing matches what was chosen.").count() == 2


def test_what_was_chosen_stands_in_the_address_and_comes_back(open_portal: Callable[..., Portal], forty: Path) -> None:
    portal = open_portal(forty)
    portal.choose("Plan", "failover-eu")
    portal.page.get_by_role("checkbox", name="failed").check()
    few = portal.shown()
    portal.page.reload()
    portal.settle()
    assert portal.shown() == few == len(portal.column("Due")) == 3
    portal.page.locator("#rows a").nth(1).click()
    expect(portal.page.locator("#one-body")).to_be_visible()
    expect(portal.page).to_have_title(re.compile("^failover drill failover-eu Failed"))
    portal.page.go_back()
    expect(portal.page.locator("#overview")).to_be_visible()
    assert portal.shown() == few
    assert "#run/" in portal.focused()


def test_rows_are_sorted_by_what_is_asked(open_portal: Callable[..., Portal], forty: Path) -> None:
    portal = open_portal(forty)
    head = portal.page.locator("th[data-sort=rto]")
    assert portal.page.locator("th[data-sort=due]").get_attribute("aria-sort") == "descending"
    for order, way in (("descending", -1), ("ascending", 1)):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == order
        measured = sorted(filter(None, map(_rto, runs_of(FORTY))), key=lambda seconds: way * seconds)
        told = [text.removeprefix("✕ ").partition(" of ")[0] for text in portal.column("RTO")]
        assert told[: len(measured)] == [format_seconds(seconds) for seconds in measured]
        assert set(told[len(measured) :]) <= {"–", "not measured"}
    assert portal.page.locator("th[aria-sort]:not([aria-sort=none])").count() == 1


def _rto(run: Run) -> float | None:
    rto = run.measured("RTO")
    return rto.seconds if rto else None


def test_spans_are_told_as_everywhere_in_muster(open_portal: Callable[..., Portal], tmp_path: Path) -> None:
    spans = (0.004, 0.42, 7.26, 119.96, 120.0, 725.0, 7_199.0, 7_200.0, 12_345.6, 259_199.0, 400_000.0)
    objectives = (1.0, 60.0, 900.0, 5_400.0, 86_400.0, 90_061.0, 0.5)
    measures = [{"name": "RTO", "measured": spans[n], "objective": objectives[n % 7], "note": ""} for n in range(11)]
    data = portal_of(
        [sealed(ORDERS, SINCE + n * DAY, "passed", 5.0, measures=[each]) for n, each in enumerate(measures)]
    )
    portal = open_portal(write(data, tmp_path))
    told = [text.removeprefix("✕ ") for text in reversed(portal.column("RTO"))]
    assert told == [f"{format_seconds(m['measured'])} of {span(m['objective'])}" for m in measures]  # type: ignore[arg-type]


def test_it_can_be_used_by_keyboard_alone(open_portal: Callable[..., Portal], forty: Path) -> None:
    portal = open_portal(forty)
    keyboard = portal.page.keyboard
    keyboard.press("Tab")
    skip = portal.page.get_by_text("Skip to the content")
    expect(skip).to_be_focused()
    assert (skip.bounding_box() or {"x": -1})["x"] >= 0
    keyboard.press("Enter")
    assert portal.focused() == "content"
    seen: list[str] = []
    while len(seen) < 200 and not (seen and "data-column" in seen[-1]):
        keyboard.press("Tab")
        seen.append(portal.focused())
        outline = portal.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", seen[-1]
    assert {"control", "plan", "period", "from", "until", "text"} < set(seen)
    label = portal.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert portal.page.locator("#calendar-told").inner_text() == label
    first = portal.page.evaluate("document.activeElement.dataset.column")
    keyboard.press("ArrowLeft")
    assert portal.page.evaluate("document.activeElement.dataset.column") < first
    keyboard.press("ArrowDown")
    assert "restore-billing" in portal.page.evaluate("document.activeElement.getAttribute('aria-label')")
    keyboard.press("Home")
    keyboard.press("ArrowUp")
    label = portal.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label == "failover-eu, 2026-01-05 03:00: passed"
    assert portal.page.locator("#calendar-table [tabindex='0']").count() == 1
    keyboard.press("Enter")
    expect(portal.page.locator("#one-body")).to_be_visible()
    assert portal.focused() == "one"
    keyboard.press("Tab")
    assert portal.focused() == "back"
    keyboard.press("Enter")
    expect(portal.page.locator("#overview")).to_be_visible()
    assert "failover-eu" in portal.focused()


def test_the_calendar_tells_each_slot_by_shape_colour_and_words(
    open_portal: Callable[..., Portal], forty: Path
) -> None:
    portal = open_portal(forty)
    cells = portal.page.locator("#calendar-table a")
    looks = {
        (cell.locator("use").get_attribute("href"), cell.evaluate("e => getComputedStyle(e).color"),
         (cell.get_attribute("aria-label") or "").rpartition(": ")[2])
        for cell in cells.all()
    }  # fmt: skip
    shapes = {shape: words for shape, _, words in looks if " " not in words}
    assert {f"#mark-{word}": word for word in shapes.values()} == shapes
    assert set(shapes.values()) == {
        "passed",
        "failed",
        "missed",
        "waived",
        "aborted",
        "refused",
        "inconclusive",
        "unsealed",
    }
    legend = portal.page.locator(".key").inner_text()
    assert all(word in legend for word in shapes.values())
    several = portal.page.get_by_label("restore-orders, 2026-07-20 to 2026-07-26: 3 passed")
    assert several.inner_text() == "3"
    several.click()
    portal.settle()
    assert portal.shown() == 3
    assert portal.focused() == "runs"
    portal.page.go_back()
    portal.settle()
    assert portal.shown() == 46
    for unit, columns in (("Days", 62), ("Months", 36)):
        portal.page.get_by_label(unit, exact=True).check()
        assert 30 <= portal.page.locator("#calendar-table thead th").count() - 1 <= columns
    portal.page.get_by_label("Weeks", exact=True).check()
    portal.page.locator("#calendar-pager").get_by_role("button", name="Later").click()
    assert portal.page.locator("#calendar-table").get_by_text("due 2026-08-17 03:00").count() == 3


def test_a_retired_plan_is_marked_with_its_slots_until_then_and_no_other(
    open_portal: Callable[..., Portal], tmp_path: Path
) -> None:
    portal = open_portal(write(with_retired(), tmp_path))
    page, marked = portal.page, "restore-old-ledger (retired 2026-05-06)"
    options = page.get_by_label("Plan", exact=True).locator("option").all_inner_texts()
    assert [text for text in options if "(" in text] == [marked]
    gap = page.locator(".gaps li", has_text="restore-old-ledger")
    expect(gap).to_contain_text("due 2026-03-16 03:00")
    expect(gap).to_contain_text("no sealed record (plan retired 2026-05-06)")
    assert page.locator("#calendar-table .ended").all_inner_texts() == ["retired 2026-05-06"]
    portal.choose("Plan", LEDGER.name)
    dues = portal.column("Due")
    assert (dues[0], len(dues)) == ("2026-04-27 03:00", 9)
    slots = page.locator("#calendar-table a").evaluate_all("links => links.map(link => link.ariaLabel)")
    assert [told for told in slots if told.endswith(("unsealed", "passed"))] == slots
    assert page.locator("#calendar-table").get_by_text("due 2026-").count() == 0
    assert page.locator("#trends-list .ended").all_inner_texts() == ["retired 2026-05-06"]
    portal.choose("Plan", ORDERS.name)
    assert page.locator(".ended").count() == 0


def test_a_run_tells_its_findings_its_place_its_files_and_how_to_verify_it(
    open_portal: Callable[..., Portal], forty: Path
) -> None:
    run = next(run for run in runs_of(FORTY) if run.outcome == "failed" and run.plan == "restore-orders")
    portal = open_portal(forty, f"#run/{run.index}")
    article = portal.page.locator("#one")
    expect(portal.page.locator("#one-body")).to_be_visible()
    text = article.inner_text()
    for words in ("Failed", "does not show what these controls ask for: SOC 2 A1.3", "orders has 1,204,331 rows",
                  "see which rows are missing", "below 12 existed by 2026-03-12 00:00 UTC (freetsa)", run.leaf,
                  run.sha256, "COMPLIANCE, until 2033-08-03", "24 of 24 planted faults caught"):  # fmt: skip
        assert words in text, words
    hrefs = article.locator("#one-files a").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    assert hrefs == [f"../{run.key}", f"../proofs/{run.key}.tlog-proof", f"../receipts/{run.key}.dsse.json"]
    resolved = article.locator("#one-files a").first.evaluate("link => link.href")
    assert resolved == (forty.parent.parent / run.key).as_uri()
    assert f"python3 verify.py {run.run}.tar.gz --key" in text
    article.get_by_text("later run of this plan").click()
    expect(article.locator(".ending")).to_have_text("Passed")
    assert "This run supports these controls" in article.inner_text()
    portal.page.goto(f"{forty.as_uri()}#run/999")
    expect(article.locator(".ending")).to_have_text("No such run")


def test_a_page_whose_details_are_gone_says_so(browser: Browser, tmp_path: Path) -> None:
    file = write(ONE, tmp_path)
    (file.parent / "runs" / "000000.js").unlink()
    portal = Portal(browser, file, "#run/0")
    expect(portal.page.locator("#one-state")).to_contain_text("could not be loaded")
    expect(portal.page.locator("#one-body")).to_be_hidden()
    assert len(portal.complaints) == 1
    portal.close()


def test_the_commands_of_a_run_work_on_its_bundle(open_portal: Callable[..., Portal], tmp_path: Path) -> None:
    """The two ways by public tools: what a run's page shows, and what the overview shows of any run."""
    ensure_key_pair(tmp_path / "signing.pem")
    predicate = sealed(ORDERS, SINCE, "passed", 400.0)
    bundle = tmp_path / f"{predicate['run']}.tar.gz"
    made = seal({"journal.jsonl": b"{}\n"}, predicate, load_signer(tmp_path / "signing.pem"), bundle, {})
    data = portal_of([predicate])
    entry = data.entries[0].entry | {"bundle": {**data.entries[0].entry["bundle"], "sha256": made.sha256}}
    data = PortalData(data.at, data.origin, 1, data.root, [type(data.entries[0])(0, entry)], data.predicates)
    portal = open_portal(write(data, tmp_path / "store"), "#run/0")
    expect(portal.page.locator("#one-body")).to_be_visible()
    own = portal.page.locator("#one-commands").inner_text().split("# By public tools")[1].partition("\n")[2]
    public = tmp_path / "pinned.pub"
    public.write_bytes((tmp_path / "signing.pub").read_bytes())
    done = subprocess.run(["bash", "-ec", own], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert f"{bundle.name}: OK" in done.stdout
    portal.page.goto(portal.page.url.partition("#")[0])
    any_run = portal.page.get_by_label("Commands to verify a run by public tools").inner_text()
    script = any_run.replace("RUN", str(predicate["run"]))
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert "Signature Verified Successfully" in done.stdout
    other = tmp_path / "other"
    other.mkdir()
    (other / bundle.name).write_bytes(bundle.read_bytes() + b"x")
    failed = subprocess.run(["bash", "-ec", own], cwd=other, capture_output=True, text=True, check=False, timeout=60)
    assert f"{bundle.name}: FAILED" in failed.stdout


def test_hostile_runs_stay_text_in_every_view(open_portal: Callable[..., Portal], tmp_path: Path) -> None:
    portal = open_portal(write(hostile(), tmp_path))
    assert portal.page.locator("#overview img, #overview script").count() == 0
    assert any("<script>alert(1)</script>" in plan for plan in portal.column("Plan"))
    for entry in range(4):
        portal.page.goto(portal.page.url.partition("#")[0] + f"#run/{entry}")
        expect(portal.page.locator("#one-body")).to_be_visible()
        assert portal.page.locator("#one img, #one script").count() == 0
        assert portal.page.locator("#one a[href*='passwd'], #one a[href^='javascript']").count() == 0
        assert "reboot" not in portal.page.locator("#one-commands").inner_text()
        assert portal.overflow == 0
    for plan in portal.page.get_by_label("Plan", exact=True).locator("option").all():
        assert plan.get_attribute("value") is not None


def test_it_fits_on_paper(open_portal: Callable[..., Portal], forty: Path) -> None:
    portal = open_portal(forty)
    portal.page.emulate_media(media="print")
    # As wide as paper: at first with the calendar that was drawn for a desk, then with one for paper.
    shrink = "() => { document.body.style.width = '690px'; return document.body.scrollWidth; }"
    assert portal.page.evaluate(shrink) <= 690
    portal.settle()
    assert portal.page.evaluate("document.body.scrollWidth") <= 690
    assert not portal.page.locator("nav").is_visible()
    assert not portal.page.locator("#filters").is_visible()
    assert portal.page.locator("#rows tr").first.is_visible()


def test_an_old_page_says_so_and_counts_what_came_due_since(open_portal: Callable[..., Portal], forty: Path) -> None:
    fresh = open_portal(forty)
    expect(fresh.page.locator("#stale")).to_be_hidden()
    old = open_portal(forty, at=NOW + 20 * DAY)
    due = sum(NOW < slot.due <= NOW + 20 * DAY for plan in FORTY.plans for slot in plan.slots)
    assert due > 1
    expect(old.page.locator("#stale")).to_contain_text(f"drawn 20 days ago; since then at least {due} slots came due")


@pytest.mark.parametrize("size", [DESK, HAND], ids=["desk", "hand"])
def test_without_scripts_it_can_be_read_all_the_same(
    open_portal: Callable[..., Portal], forty: Path, size: dict[str, int]
) -> None:
    portal = open_portal(forty, viewport=size, java_script_enabled=False)
    text = portal.page.locator("body").inner_text()
    for words in ("5 gaps", "no worker took it", "Scripts are off", "2026-Q2", "How to verify"):
        assert words in text
    assert portal.page.locator("noscript tbody tr").count() == 43
    assert not portal.page.locator("#filters").is_visible()
    newest = max(runs_of(FORTY), key=lambda run: (run.due or NOW, run.index))
    assert portal.page.locator("noscript tbody a").first.get_attribute("href") == f"../{newest.key}"


def test_ten_thousand_runs_can_be_used(open_portal: Callable[..., Portal], large: tuple[Path, tuple[Run, ...]]) -> None:
    file, runs = large
    portal = open_portal(file)
    assert portal.shown() == len(runs) == 10_000
    assert portal.page.locator("#rows tr").count() == 50
    portal.page.get_by_role("checkbox", name="failed").check()
    failed = [run for run in runs if run.outcome == "failed"]
    assert portal.shown() == len(failed) > 100
    portal.choose("Plan", "failover-007")
    own = sorted((run for run in failed if run.plan == "failover-007"), key=lambda run: run.due or NOW, reverse=True)
    assert portal.column("Run") == [run.run for run in own]
    portal.page.get_by_role("button", name="Show everything").click()
    portal.settle()
    portal.choose("Name holds", "spark")
    assert portal.shown() == sum(run.plan.startswith("spark") for run in runs)
    portal.page.locator("#runs-pager").get_by_role("button", name="Next").click()
    assert "51 to 100 of" in portal.page.locator("#runs-pager").inner_text()
    portal.page.goto(f"{file.as_uri()}#run/9999")
    expect(portal.page.locator("#one-body")).to_be_visible()
    assert runs[9999].run in portal.page.locator("#one").inner_text()
    portal.page.locator("#back").click()
    assert portal.overflow == 0


def test_ten_thousand_runs_fit_in_a_hand(
    open_portal: Callable[..., Portal], large: tuple[Path, tuple[Run, ...]]
) -> None:
    portal = open_portal(large[0], viewport=HAND, color_scheme="dark")
    assert portal.overflow == 0
    portal.page.get_by_label("Sort by").select_option("rto desc")
    slowest = max(_rto(run) or 0 for run in large[1])
    assert format_seconds(slowest) in portal.column("RTO")[0]
