"""The path of docs/cadence.md, walked: the page's own commands in a shell, and the clicks in between in a browser.

With `MUSTER_DOCS_IMAGES=1` the pictures of the page are taken anew into docs/images.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from muster.settings import Settings
from muster.verdict import ExitCode
from tasks.estate.card import Card, read_card
from tasks.process import Processes
from tests.real.browser import Browser, browsing

CHECKOUT = Path(__file__).parents[2]
PATIENCE = 180.0
PLAN, ASKING = "restore-embedded", "restore-asking"
BREAK = "Break a backup"
WALK = (
    "Start the estate", "See what changed", BREAK, "See the drill find it", "Mend it", "Stop everything",
)  # fmt: skip
APPROVAL = ("Ask for approval", "Clean up")
DECK = "docs/status/ci_health.md"
_SECTION = re.compile(r"^### (.*?)\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
_COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page() -> dict[str, list[str]]:
    """The shell blocks of the page, by heading."""
    text = (CHECKOUT / "docs/cadence.md").read_text("utf-8")
    return {heading: _COMMANDS.findall(body) for heading, body in _SECTION.findall(text)}


class Done(NamedTuple):
    """How a block of commands ended."""

    exit_code: int
    said: str


@dataclass
class Newcomer:
    """A person with a checkout of their own and the page, who types what it says."""

    checkout: Path
    up: "subprocess.Popen[str] | None" = None
    commands: dict[str, list[str]] = field(default_factory=page)

    @property
    def settings(self) -> Settings:
        return Settings(home=self.checkout / ".muster", plans=self.checkout / "deployments")

    @property
    def card(self) -> Card | None:
        card = read_card(self.settings)
        return card if card and card.scheduler and card.objects and card.shop else None

    @property
    def ui(self) -> str:
        card = self.card
        assert card
        assert card.scheduler
        return card.scheduler.ui

    def start(self) -> None:
        """The first terminal."""
        first, _ = self.commands["Start the estate"]
        foreground = first.replace("muster up\n", "exec muster up\n")
        assert foreground != first
        said = self.checkout / "up.log"
        with said.open("w") as log:
            self.up = subprocess.Popen(
                ["bash", "-c", foreground], cwd=self.checkout, env=self.environment, stdout=log, stderr=log, text=True
            )
        deadline = time.monotonic() + PATIENCE
        while "Ctrl-C stops all of it" not in said.read_text("utf-8"):
            assert self.up.poll() is None, said.read_text("utf-8")
            assert time.monotonic() < deadline, "the estate does not come up"
            time.sleep(0.2)

    def stop(self) -> None:
        """Ctrl-C in the first terminal."""
        if self.up:
            self.up.send_signal(signal.SIGINT)
            assert self.up.wait(timeout=PATIENCE) == ExitCode.PASS
            self.up = None

    def types(self, heading: str, block: int = 0) -> Done:
        """What a block of the page does in the second terminal, which remembers its variables."""
        known = self.checkout / "terminal"
        script = f". {known}\ntrap 'export -p > {known}' EXIT\nset -ae\n{self._mine(self.commands[heading][block])}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.checkout, env=self.environment, timeout=PATIENCE, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        return Done(done.returncode, done.stdout)

    def _mine(self, block: str) -> str:
        """With this machine's port."""
        return block.replace("http://127.0.0.1:4200", self.ui)

    @property
    def environment(self) -> dict[str, str]:
        """A person's, whose PATH has no Muster before they activate it."""
        tools = str(Path(sys.executable).parent)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PREFECT_", "VIRTUAL_ENV"))}
        path = os.pathsep.join(p for p in kept.get("PATH", os.defpath).split(os.pathsep) if p != tools)
        return kept | {"PATH": path, "PREFECT_HOME": str(self.checkout / "prefect"), "COLUMNS": "200"}

    def deck(self) -> str:
        return (self.checkout / DECK).read_text("utf-8")

    def newest_full(self) -> Path:
        return max((self.settings.estate / "backups").glob("*-full"))

    def picture(self, browser: Browser, name: str) -> None:
        """A picture of the page, kept in the docs when that is asked for."""
        folder = CHECKOUT / "docs/images" if os.environ.get("MUSTER_DOCS_IMAGES") == "1" else self.checkout
        browser.picture(folder / f"prefect-{name}.png")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    checkout = tmp_path_factory.mktemp("newcomer")
    for name in ("deployments", "docs/status"):
        subprocess.run(["cp", "-r", "--parents", name, checkout], cwd=CHECKOUT, check=True)
    (checkout / "flows").symlink_to(CHECKOUT / "flows")
    (checkout / ".venv").symlink_to(sys.prefix)
    (checkout / "terminal").touch()
    made = Newcomer(checkout)
    try:
        made.start()
        yield made
    finally:
        made.stop()
    assert Processes(made.settings.estate / "processes", made.settings.estate / "logs").alive() == ()


@pytest.fixture
def browser(newcomer: Newcomer) -> Iterator[Browser]:
    with browsing(newcomer.ui) as made:
        yield made


def test_every_command_of_the_page_is_typed_here() -> None:
    assert {heading for heading, blocks in page().items() if blocks} == set(WALK + APPROVAL)
    assert [len(page()[heading]) for heading in WALK + APPROVAL] == [2, 1, 1, 1, 1, 2, 1, 1]


def test_a_newcomer_sees_the_gate_close_on_a_broken_backup_and_open_again(newcomer: Newcomer, browser: Browser) -> None:
    before = newcomer.deck()
    looked = newcomer.types("Start the estate", block=1)
    assert looked.exit_code == ExitCode.INCONCLUSIVE, looked.said
    assert "never" in looked.said
    assert f"block  {PLAN}: never run; owner: platform team; next: muster run {PLAN} --reason WHY" in looked.said
    _see_schedules(newcomer, browser)
    _run_from_the_form(newcomer, browser)

    changed = newcomer.types("See what changed")
    assert changed.exit_code == ExitCode.PASS, changed.said
    assert "The gate is open" in changed.said
    healthy = newcomer.deck()
    assert _outside(healthy) == _outside(before)
    assert "**fresh**" in _row(healthy)
    assert "**fresh**" not in _row(before)

    _break_and_find(newcomer, browser)
    found = newcomer.types("See the drill find it")
    assert found.exit_code == ExitCode.FAIL, found.said
    (reason,) = [line for line in found.said.splitlines() if line.startswith("block ")]
    assert _unsaid(reason, f"{PLAN}: failing", "bytes", "owner: platform team", f"muster run {PLAN} --reason WHY") == []
    assert "**failing**" in _row(newcomer.deck())

    mended = newcomer.types("Mend it")
    assert mended.exit_code == ExitCode.PASS, mended.said
    assert "The gate is open" in mended.said
    assert "**fresh**" in _row(newcomer.deck())
    assert _unsaid(mended.said, "passed", "failed", "Ada Lovelace") == []

    stopped = newcomer.types("Stop everything")
    assert stopped.exit_code == ExitCode.FAIL, stopped.said
    assert "the storage team asks for quiet" in stopped.said.partition("The gate is blocked")[2]
    resumed = newcomer.types("Stop everything", block=1)
    assert resumed.exit_code == ExitCode.PASS, resumed.said


def _see_schedules(newcomer: Newcomer, browser: Browser) -> None:
    schedules = browser.schedules()
    assert "At 03:00 AM every day" in schedules[PLAN]
    assert "Every 5 minutes" in schedules["muster"]
    newcomer.picture(browser, "schedules")
    assert "03:00:00 AM" in browser.upcoming(PLAN), "the schedule makes runs"


def _run_from_the_form(newcomer: Newcomer, browser: Browser) -> None:
    browser.open_form(PLAN)
    browser.submit_without_reason()
    browser.fill_form(reason="a first look at cadence", requested_by="Ada Lovelace")
    newcomer.picture(browser, "run-form")
    browser.submit()
    assert browser.ended() == "Passed"
    assert browser.artifacts() == {
        f"{PLAN}-progress": "progress",
        f"{PLAN}-report": "markdown",
        f"{PLAN}-checks": "table",
        f"{PLAN}-evidence": "markdown",  # Prefect keeps a link as Markdown
    }
    newcomer.picture(browser, "artifacts")
    assert _unsaid(browser.tasks(), "choose", "restore", "inspect") == []
    report = browser.open_artifact(f"{PLAN}-report")
    assert _unsaid(report, "Pass", "a first look at cadence", "Ada Lovelace", "muster verify") == []


def _break_and_find(newcomer: Newcomer, browser: Browser) -> None:
    """Within one cycle of the estate's backups: the next one is whole, and the newest is what is drilled."""
    for _ in range(2):
        broken = newcomer.newest_full()
        done = newcomer.types(BREAK)
        assert done.exit_code == ExitCode.PASS, done.said
        browser.open_form(PLAN)
        browser.fill_form(reason="is the backup still good?", requested_by="Ada Lovelace")
        browser.submit()
        state = browser.ended()
        if newcomer.newest_full() == broken:
            break
    assert state == "Failed"
    assert "bytes: pg_verifybackup" in browser.message()
    report = browser.open_artifact(f"{PLAN}-report")
    assert _unsaid(report, "Fail", "checksum mismatch", "public.orders", "every payment belongs to an order") == []


def test_a_run_that_asks_for_approval_goes_on_by_someone_else_alone(newcomer: Newcomer, browser: Browser) -> None:
    newcomer.types("Start the estate", block=1)  # a new terminal
    deployed = newcomer.types("Ask for approval")
    assert deployed.exit_code == ExitCode.PASS, deployed.said
    browser.open_form(ASKING)
    browser.fill_form(reason="the yearly look", requested_by="Ada Lovelace")
    browser.submit()
    browser.waits()
    browser.ask_to_resume(ASKING)
    browser.fill_answer("ada lovelace", "I may, surely")
    browser.answer()
    browser.ask_to_resume("asked for this run, and so cannot approve it")
    browser.fill_answer("Grace Hopper", "after the batch run")
    newcomer.picture(browser, "approval")
    browser.answer()
    assert browser.ended() == "Passed"
    report = browser.open_artifact(f"{ASKING}-report")
    assert "approved by Grace Hopper" in report
    assert "after the batch run" in report
    cleaned = newcomer.types("Clean up")
    assert cleaned.exit_code == ExitCode.PASS, cleaned.said


def _unsaid(text: str, *words: str) -> list[str]:
    return [word for word in words if word not in text]


def _outside(deck: str) -> tuple[str, str]:
    before, rest = deck.split("<!-- muster:deck:begin -->")
    return before, rest.split("<!-- muster:deck:end -->")[1]


def _row(deck: str) -> str:
    (row,) = [line for line in deck.splitlines() if line.startswith(f"| **{PLAN}**")]
    return row
