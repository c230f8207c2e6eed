"""The kill switch: thrown, kept, let go; unreadable is thrown; a running drill stops between steps and is undone."""

import threading
import time
from functools import partial
from typing import Any

import pytest

from muster import conduct
from muster.cli.stop_all import stop_all
from muster.drill import Context
from muster.errors import UsageError
from muster.ledger import Ledger, LedgerError
from muster.opening import Request
from muster.settings import Settings
from muster.stopping import KillSwitch
from muster.verdict import Outcome
from tests.unit.paper import PLAN, assert_one_good_end, paper_conductor, paper_drill, paper_step

QUICK = partial(KillSwitch, every=0.02, patience=0.3)


def until(holds: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def test_a_switch_that_is_off_stops_nothing(ledger: Ledger) -> None:
    with QUICK(ledger) as switch:
        assert switch.read() == ""
        time.sleep(0.5)  # longer than the patience
        assert switch.reason() == ""


def test_once_thrown_it_stays_thrown_for_the_run(ledger: Ledger) -> None:
    with QUICK(ledger) as switch:
        ledger.stop_all("ann", "the site is on fire")
        until(switch.reason)
        ledger.resume_all("ann", "it is out")
        time.sleep(0.1)
        assert "ann" in switch.reason()
        assert "the site is on fire" in switch.reason()
    assert QUICK(ledger).read() == ""


class Broken:
    """A ledger whose switch cannot be read from some moment on."""

    def __init__(self, ledger: Any, how: str) -> None:
        self._ledger, self._how = ledger, how
        self.is_broken, self.done = False, threading.Event()

    def current_stop(self) -> Any:
        if self.is_broken and self._how == "hangs":
            self.done.wait(20)
        if self.is_broken:
            raise LedgerError("the ledger is away", "wait for it")
        return self._ledger.current_stop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_a_switch_that_cannot_be_read_is_thrown(ledger: Ledger, how: str) -> None:
    broken = Broken(ledger, how)
    with QUICK(broken) as switch:
        until(lambda: switch.read() == "")
        broken.is_broken = True
        until(switch.reason)
        assert "could not be read" in switch.reason()
        broken.done.set()


def test_one_reading_that_fails_is_no_reason_yet(ledger: Ledger) -> None:
    broken = Broken(ledger, "fails")
    switch = KillSwitch(broken, patience=60)
    broken.is_broken = True
    assert "the ledger is away" in switch.read()  # nothing starts on a switch that cannot be read
    assert switch.reason() == ""  # what runs is not stopped by one reading


def test_a_further_reason_stops_as_well(ledger: Ledger) -> None:
    reasons = [""]
    with QUICK(ledger, lambda: reasons[0]) as switch:
        assert switch.read() == ""
        reasons[0] = "the variable is set"
        until(switch.reason)
        assert switch.reason() == "the variable is set"

    def fails() -> str:
        raise OSError("no route to host")

    assert "no route to host" in QUICK(ledger, fails).read()


def test_nothing_starts_while_it_is_thrown_and_the_refusal_is_sealed(settings: Settings, ledger: Ledger) -> None:
    ledger.stop_all("ann", "the site is on fire")
    refused = paper_conductor(settings, ledger).conduct(PLAN, Request("a test"))
    assert refused.outcome is Outcome.REFUSED
    assert "the site is on fire" in refused.headline
    assert_one_good_end(settings, ledger, Outcome.REFUSED)
    assert ledger.resume_all("ann", "it is out") == 1
    assert paper_conductor(settings, ledger).conduct(PLAN, Request("a test")).outcome is Outcome.PASSED


def test_thrown_in_mid_drill_it_stops_before_the_next_step_and_undoes(settings: Settings, ledger: Ledger) -> None:
    """With the switch's real rhythm: under five seconds."""
    thrown: list[float] = []

    def throw(_: Context) -> None:
        ledger.stop_all("ann", "the site is on fire")
        thrown.append(time.monotonic())

    def work(context: Context) -> None:
        while True:  # a step of many tools, each begun with the time that is left
            assert context.seconds_left > 0
            time.sleep(0.05)
            assert time.monotonic() - thrown[0] < 30

    drill = paper_drill((paper_step("fold", throw), paper_step("sail", work), paper_step("land")))
    summary = paper_conductor(settings, ledger, drill).conduct(PLAN, Request("a test"))
    assert time.monotonic() - thrown[0] < 5
    assert summary.outcome is Outcome.ABORTED
    assert "the site is on fire" in summary.headline
    history = assert_one_good_end(settings, ledger, Outcome.ABORTED)
    assert "land" not in history.step_states()


def test_a_drill_whose_switch_becomes_unreadable_stops(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(ledger, "fails")
    monkeypatch.setattr(conduct, "KillSwitch", QUICK)

    def breaks(_: Context) -> None:
        broken.is_broken = True
        time.sleep(0.6)

    drill = paper_drill((paper_step("fold", breaks), paper_step("sail")))
    summary = paper_conductor(settings, broken, drill).conduct(PLAN, Request("a test"))
    assert summary.outcome is Outcome.ABORTED
    assert "could not be read" in summary.headline
    assert_one_good_end(settings, ledger, Outcome.ABORTED)


def test_the_undo_has_its_own_time_and_no_switch(settings: Settings, ledger: Ledger) -> None:
    left: list[float] = []

    def late(context: Context) -> None:
        ledger.stop_all("ann", "the site is on fire")
        object.__setattr__(context, "deadline_ns", 0)

    step = paper_step("fold", late)

    def undo(context: Context) -> None:
        left.append(context.seconds_left)
        assert step.undo is not None
        step.undo(context)

    drill = paper_drill((type(step)("fold", do=step.do, undo=undo), paper_step("sail")))
    summary = paper_conductor(settings, ledger, drill).conduct(PLAN, Request("a test"))
    assert summary.outcome is Outcome.ABORTED
    assert left[0] > 3000


def test_stop_all_and_resume_on_the_command_line(
    settings: Settings, ledger: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert stop_all(settings, "fire", resume=False, who="ann", as_json=False) == 0
    said = capsys.readouterr().out
    assert "ann threw the kill switch" in said
    assert "--resume" in said
    assert ledger.current_stop() is not None
    assert stop_all(settings, "out", resume=True, who="", as_json=False) == 0
    assert "Drills may run again." in capsys.readouterr().out
    assert ledger.current_stop() is None
    assert stop_all(settings, "out", resume=True, who="", as_json=False) == 0
    assert "Nothing was stopped" in capsys.readouterr().out
    with pytest.raises(UsageError):
        stop_all(settings, "  ", resume=False, who="", as_json=False)
