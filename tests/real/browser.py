"""The Prefect UI as a person uses it, in headless Chromium: schedules, the Run form, artifacts, approval.

Promises: everything is found by what a person reads, or by the UI's own names of its parts; every wait is bounded.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

from playwright.sync_api import Locator, Page, TimeoutError, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 120_000.0
_STARTED = re.compile(r"/deployments/[0-9a-f-]+/create_flow_run$")
_ENDED = (
    "Passed",
    "Failed",
    "Inconclusive",
    "Aborted",
    "Refused",
    "Missed",
    "Waived",
    "Duplicate",
    "Cancelled",
    "Crashed",
)


@contextmanager
def browsing(ui: str) -> Iterator["Browser"]:
    """A browser on the UI at this address."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = chromium.new_page(viewport={"width": 1400, "height": 900}, timezone_id="UTC")
            page.set_default_timeout(PATIENCE_MS)
            yield Browser(page, ui)
        finally:
            chromium.close()


class Browser:
    """One person before the UI."""

    def __init__(self, page: Page, ui: str) -> None:
        self.page, self.ui = page, ui

    def schedules(self) -> dict[str, str]:
        """Each deployment's row on the page of deployments, as it reads there."""
        self.page.goto(f"{self.ui}/deployments")
        rows = self.page.get_by_role("row").filter(has=self.page.get_by_role("link"))
        rows.first.wait_for()
        return {row.get_by_role("link").first.inner_text().strip(): row.inner_text() for row in rows.all()}

    def upcoming(self, plan: str) -> str:
        """When the deployment's next run is due, as its tab of upcoming runs says; which is planned in a moment."""
        self._open_deployment(plan)
        self._tab("Upcoming")
        return self.page.get_by_role("button", name=re.compile(r"^Scheduled for ")).first.inner_text()

    def open_form(self, plan: str) -> None:
        """Run, then Custom run."""
        self._open_deployment(plan)
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_role("button", name="Custom run").click()
        self._field("reason").wait_for()

    def submit_without_reason(self) -> None:
        """The form says what is missing, and starts nothing."""
        self.page.get_by_role("button", name="Submit").click()
        expect(self.page.get_by_text("'reason' is a required property")).to_be_visible(timeout=PATIENCE_MS)

    def fill_form(self, **values: str) -> None:
        """Fill in fields by their names."""
        for name, value in values.items():
            self._field(name).fill(value)

    def submit(self) -> str:
        """Start the run, and go to its page; its id. Once more where the server is busy (503), as a person would."""
        for _ in range(6):
            with self.page.expect_response(lambda answer: bool(_STARTED.search(answer.url))) as started:
                self.page.get_by_role("button", name="Submit").click()
            if started.value.ok:
                flow_run = str(started.value.json()["id"])
                self.page.goto(f"{self.ui}/runs/flow-run/{flow_run}")
                return flow_run
            assert started.value.status == HTTPStatus.SERVICE_UNAVAILABLE, started.value.text()
            self.page.wait_for_timeout(5_000)
        raise AssertionError(f"the server stays busy: {started.value.text()}")

    def ended(self) -> str:
        """Wait for the end of the run whose page is open; the name of its state."""
        ended = re.compile(rf"^\s*({'|'.join(_ENDED)})\s*$")
        expect(self._badge).to_have_text(ended, timeout=PATIENCE_MS)
        return self._badge.inner_text().strip()

    def waits(self) -> None:
        """Until the run whose page is open is paused."""
        expect(self._badge).to_have_text("Paused", timeout=PATIENCE_MS)

    def message(self) -> str:
        """The details of the run whose page is open, with the message of its state."""
        self._tab("Details")
        panel = self.page.get_by_role("tabpanel", name="Details")
        panel.get_by_text("State Message").wait_for()
        return panel.inner_text()

    def artifacts(self) -> dict[str, str]:
        """What the run whose page is open left: key and kind of each artifact."""
        self._tab("Artifacts")
        cards = self.page.get_by_role("tabpanel", name="Artifacts").locator("a[href*='/artifacts/artifact/']")
        cards.first.wait_for()
        lines = [card.inner_text().split("\n") for card in cards.all()]
        return {line[1].strip(): line[0].strip().lower() for line in lines}

    def open_artifact(self, key: str) -> str:
        """An artifact of the run whose page is open, as it reads."""
        self._tab("Artifacts")
        self.page.get_by_role("link", name=re.compile(rf"\b{key}\b")).click()
        self.page.wait_for_url("**/artifacts/artifact/**")
        self.page.get_by_role("table").first.wait_for()
        return self.page.locator("body").inner_text()

    def tasks(self) -> str:
        """The task runs of the run whose page is open."""
        self._tab("Task Runs")
        panel = self.page.get_by_role("tabpanel", name="Task Runs")
        panel.get_by_role("link").first.wait_for()
        return panel.inner_text()

    def ask_to_resume(self, told: str) -> None:
        """Open the form of the paused run, again until its words are these: the run asks anew after an answer."""
        for _ in range(20):
            self.page.get_by_role("button", name="Resume").click()
            self._dialog.get_by_role("button", name="Submit").wait_for()
            if told in self._dialog.inner_text():
                return
            self._dialog.get_by_role("button", name="Close").last.click()
            self.page.wait_for_timeout(1_000)
        raise AssertionError(f"the form never said {told!r}")

    def fill_answer(self, name: str, note: str) -> None:
        """Fill in the form of the paused run."""
        self._field("Your name", self._dialog).fill(name)
        self._field("Note for the evidence", self._dialog).fill(note)

    def answer(self) -> None:
        """Submit the form of the paused run; once more where it stays open: the server was busy (503)."""
        for _ in range(6):
            self._dialog.get_by_role("button", name="Submit").click()
            with suppress(TimeoutError):
                self._dialog.wait_for(state="hidden", timeout=PATIENCE_MS / 6)
                return
        raise AssertionError(f"the form stays open: {self.page.locator('body').inner_text()}")

    def picture(self, path: Path) -> None:
        """What is on the screen, once moving parts have settled."""
        self.page.wait_for_timeout(1_500)
        self.page.screenshot(path=path)
        assert 5_000 < path.stat().st_size < 250_000, f"{path} is empty, or too large for a page of the docs"

    def _open_deployment(self, plan: str) -> None:
        self.page.goto(f"{self.ui}/deployments")
        self.page.get_by_role("link", name=plan, exact=True).click()

    def _tab(self, name: str) -> None:
        self.page.get_by_role("tablist").get_by_text(name, exact=True).click()

    def _field(self, label: str, within: Locator | None = None) -> Locator:
        words = re.compile(rf"^{label}( \(Optional\))?$")
        labelled = self.page.locator(".schema-form-property__label").get_by_text(words)
        return (
            (within or self.page.locator("form"))
            .locator(".schema-form-property")
            .filter(has=labelled)
            .get_by_role("textbox")
        )

    @property
    def _badge(self) -> Locator:
        return self.page.locator(".page-heading-flow-run .state-badge")

    @property
    def _dialog(self) -> Locator:
        return self.page.get_by_role("dialog")
