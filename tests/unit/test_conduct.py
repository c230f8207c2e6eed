"""The conductor over a drill of paper: a death at any event of the journal leaves nothing behind, and one bundle."""

import tarfile
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from muster import conduct, opening
from muster.cadence.states import State, condition_of
from muster.cards import card_of
from muster.cli.undo import run_undos
from muster.clock import AHEAD, SystemClock
from muster.drill import Context, Drill, Step
from muster.errors import LeftBehind, Refusal, StepError, SystemFailure, UsageError
from muster.finding import Finding
from muster.journal import EventKind, History, RunState
from muster.ledger import Ledger, LedgerError
from muster.opening import Request
from muster.ownership import this_process
from muster.plan import Plan
from muster.saga import Injection
from muster.settings import Settings
from muster.verdict import Outcome
from tests.unit.paper import (
    PLAN,
    STEPS,
    Died,
    Mortal,
    assert_one_good_end,
    boat_of,
    bundles_of,
    paper_conductor,
    paper_drill,
    paper_step,
)


def test_a_healthy_drill_passes_and_is_sealed_once(settings: Settings, ledger: Ledger) -> None:
    summary = paper_conductor(settings, ledger).conduct(PLAN, Request("a test"))
    assert summary.outcome is Outcome.PASSED
    history = assert_one_good_end(settings, ledger, Outcome.PASSED)
    assert history[0].body["reason"] == "a test"
    assert ledger.runs()[0].facts == {"boats": 3}


class _Fast(SystemClock):
    """A machine whose clock is a year ahead of the ledger's."""

    def now(self) -> datetime:
        return super().now() + timedelta(days=365)


def test_a_machine_whose_clock_is_wrong_makes_nothing_fresh_for_longer(settings: Settings, ledger: Ledger) -> None:
    fast = replace(paper_conductor(settings, ledger), clock=_Fast())
    assert fast.conduct(PLAN, Request("a test")).outcome is Outcome.PASSED
    standing = ledger.standing(PLAN.name)
    assert standing is not None
    assert standing.pass_at is not None
    assert standing.due_at is not None
    assert standing.pass_at <= ledger.now() < standing.due_at <= ledger.now() + timedelta(days=32)
    failing = paper_conductor(settings, ledger, paper_drill((paper_step("fold", _fail),)))
    assert failing.conduct(PLAN, Request("a test")).outcome is Outcome.ABORTED
    assert condition_of(card_of(PLAN), ledger.standing(PLAN.name), ledger.now()).state is State.FAILING


def test_a_slot_that_is_yet_to_come_is_refused_before_anything_is_on_record(settings: Settings, ledger: Ledger) -> None:
    conductor = paper_conductor(settings, ledger)
    with pytest.raises(Refusal, match="yet to come"):
        conductor.conduct(PLAN, Request("a test", scheduled_at=ledger.now() + 2 * AHEAD))
    assert ledger.runs() == ()
    assert conductor.conduct(PLAN, Request("a test", scheduled_at=ledger.now() + AHEAD / 2)).outcome is Outcome.PASSED


def _fail(_context: Context) -> None:
    raise StepError("torn")


EVENTS = 19  # opened; started, observed, succeeded of 3 steps; undo_started, undone of 3; judged; sealed; sent


def test_the_number_of_events_is_the_one_that_the_deaths_are_spread_over(settings: Settings, ledger: Ledger) -> None:
    summary = paper_conductor(settings, ledger).conduct(PLAN, Request("a test"))
    assert len(ledger.read_events(summary.run)) == EVENTS


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("at", range(EVENTS))
def test_a_death_at_any_event_is_finished_by_the_next_process(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, at: int, before: bool
) -> None:
    with pytest.raises(Died):
        paper_conductor(settings, Mortal(ledger, at, before=before)).conduct(PLAN, Request("a test"))
    monkeypatch.setattr(conduct, "is_dead", lambda owner: True)
    paper_conductor(settings, ledger).finish_dead_runs()
    (run,) = ledger.runs()
    history = History(ledger.read_events(run.run))
    if not history:  # it died before its first event: nothing was touched, nothing is sealed
        assert run.outcome is Outcome.ABORTED
        return
    came_to_its_end = len(history.of(EventKind.SUCCEEDED)) == len(STEPS)
    assert_one_good_end(settings, ledger, Outcome.PASSED if came_to_its_end else Outcome.ABORTED)
    paper_conductor(settings, ledger).finish_dead_runs()
    assert len(bundles_of(settings)) == 1


def test_a_living_run_is_left_alone(settings: Settings, ledger: Ledger) -> None:
    with pytest.raises(Died):
        paper_conductor(settings, Mortal(ledger, 5, before=True)).conduct(PLAN, Request("a test"))
    assert paper_conductor(settings, ledger).finish_dead_runs() == ()
    assert ledger.runs()[0].outcome is None


def test_what_another_machine_left_is_not_undone_here(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = this_process().model_copy(update={"host": "elsewhere"})
    with monkeypatch.context() as there:
        for room in (conduct, opening):
            there.setattr(room, "this_process", lambda: elsewhere)
        with pytest.raises(Died):
            paper_conductor(settings, Mortal(ledger, 5, before=True)).conduct(PLAN, Request("a test"))
    monkeypatch.setattr(conduct, "is_dead", lambda owner: True)
    assert paper_conductor(settings, ledger).finish_dead_runs() == ()
    assert ledger.runs()[0].needs_undo


def test_no_drill_starts_on_a_target_with_an_open_undo(settings: Settings, ledger: Ledger) -> None:
    with pytest.raises(Died):
        paper_conductor(settings, Mortal(ledger, 5, before=True)).conduct(PLAN, Request("a test"))
    summary = paper_conductor(settings, ledger).conduct(PLAN, Request("the next one"))
    assert summary.outcome is Outcome.REFUSED
    assert "left something behind" in summary.headline


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (SystemFailure("the sea was rough"), Outcome.INCONCLUSIVE),  # no check of the paper drill says fail
        (StepError("no paper left"), Outcome.ABORTED),
        (Refusal("not today"), Outcome.REFUSED),
        (KeyboardInterrupt(), Outcome.ABORTED),
        (ValueError("a defect"), Outcome.ABORTED),
    ],
    ids=["system", "drill", "refusal", "interrupt", "defect"],
)
def test_every_way_to_end_is_undone_and_sealed(
    settings: Settings, ledger: Ledger, error: BaseException, outcome: Outcome
) -> None:
    def fail(_: Context) -> None:
        raise error

    drill = paper_drill((paper_step("fold"), paper_step("sail", fail), paper_step("land")))
    summary = paper_conductor(settings, ledger, drill).conduct(PLAN, Request("a test"))
    assert summary.outcome is outcome
    assert_one_good_end(settings, ledger, outcome)


@pytest.mark.parametrize("step", STEPS)
def test_an_injected_error_fails_the_step_it_names(settings: Settings, ledger: Ledger, step: str) -> None:
    request = Request("a test", injection=Injection(step))
    summary = paper_conductor(settings, ledger).conduct(PLAN, request)
    assert summary.outcome is Outcome.ABORTED
    assert step in summary.headline
    assert_one_good_end(settings, ledger, Outcome.ABORTED)


def test_an_undo_that_fails_does_not_stop_the_others_and_is_finished_later(settings: Settings, ledger: Ledger) -> None:
    stuck = {"is": True}

    def undo(context: Context) -> None:
        if stuck["is"]:
            raise OSError("the water is frozen")
        boat_of(context, "sail").unlink(missing_ok=True)

    sail = paper_step("sail")
    drill = paper_drill((paper_step("fold"), Step("sail", do=sail.do, undo=undo), paper_step("land")))
    conductor = paper_conductor(settings, ledger, drill)
    summary = conductor.conduct(PLAN, Request("a test"))
    (run,) = ledger.runs()
    left = settings.runs / run.run / "scratch"
    assert [p.name for p in left.iterdir()] == ["sail.boat"]
    assert run.needs_undo
    refused = conductor.conduct(PLAN, Request("again"))
    assert refused.outcome is Outcome.REFUSED
    stuck["is"] = False
    assert conductor.finish(summary.run)
    assert not left.exists()
    assert not ledger.run(summary.run).needs_undo


def test_an_undo_goes_on_without_a_part_that_is_said_to_be_gone_and_the_journal_says_so_first(
    settings: Settings, ledger: Ledger
) -> None:
    seen: list[list[object]] = []

    def undo(context: Context) -> None:
        seen.append([event.body.get("gone") for event in context.history.of(EventKind.UNDO_STARTED)])
        if "far" not in context.gone:
            raise StepError("the far shore does not answer", "wait for it")

    steps = (paper_step("fold"), Step("sail", do=paper_step("sail").do, undo=undo))
    conductor = paper_conductor(settings, ledger, replace(paper_drill(steps), parts=frozenset({"far"})))
    run = conductor.conduct(PLAN, Request("a test")).run
    with pytest.raises(UsageError, match="cannot go on without 'near'"):
        conductor.finish(run, frozenset({"near"}))
    with pytest.raises(LeftBehind):
        conductor.finish(run)
    assert conductor.finish(run, frozenset({"far"}))
    assert [each[-1] for each in seen] == [None, None, ["far"]]
    assert not ledger.run(run).needs_undo


def test_what_is_gone_is_said_of_one_run(settings: Settings) -> None:
    with pytest.raises(UsageError, match="one run's target"):
        run_undos(settings, None, ["b"])


def test_a_store_that_is_away_costs_the_drill_nothing(settings: Settings, ledger: Ledger) -> None:
    Path(settings.store).write_text("a file where the folder should be")
    conductor = paper_conductor(settings, ledger)
    assert conductor.conduct(PLAN, Request("a test")).outcome is Outcome.PASSED
    assert History(ledger.read_events(ledger.runs()[0].run)).run_state() is RunState.SEALED
    Path(settings.store).unlink()
    assert len(conductor.send_waiting().sent) == 1
    assert conductor.send_waiting().sent == ()
    assert_one_good_end(settings, ledger, Outcome.PASSED)


class Unreachable(Mortal):
    """A ledger that goes away at the n-th event, and says so."""

    death = LedgerError("the ledger is away", "wait for it")


@pytest.mark.parametrize("at", range(2, 11))
def test_without_its_ledger_a_drill_leaves_nothing_and_is_sealed_when_it_is_back(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with pytest.raises(LedgerError):
        paper_conductor(settings, Unreachable(ledger, at, before=True)).conduct(PLAN, Request("a test"))
    assert list(settings.runs.rglob("*.boat")) == []
    monkeypatch.setattr(conduct, "is_dead", lambda owner: True)
    paper_conductor(settings, ledger).finish_dead_runs()
    assert ledger.runs()[0].outcome in (Outcome.ABORTED, Outcome.PASSED)
    assert len(bundles_of(settings)) == 1


def test_a_check_that_breaks_has_shown_nothing(settings: Settings, ledger: Ledger) -> None:
    def broken(_history: History, _plan: Plan) -> Finding:
        raise ZeroDivisionError

    drill = paper_drill()
    drill = Drill(drill.kind, drill.needs, drill.steps, (*drill.checks, broken), drill.tell)
    summary = paper_conductor(settings, ledger, drill).conduct(PLAN, Request("a test"))
    assert summary.outcome is Outcome.INCONCLUSIVE


def test_a_target_without_the_capability_is_refused(settings: Settings, ledger: Ledger) -> None:
    drill = paper_drill()
    drill = Drill(drill.kind, int, drill.steps, drill.checks, drill.tell)
    summary = paper_conductor(settings, ledger, drill).conduct(PLAN, Request("a test"))
    assert summary.outcome is Outcome.REFUSED
    assert_one_good_end(settings, ledger, Outcome.REFUSED)


def test_no_secret_of_the_environment_goes_into_the_bundle(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DSN", "host=db password=hunter2")

    def chatter(context: Context) -> None:
        context.workspace.logs.mkdir(parents=True, exist_ok=True)
        (context.workspace.logs / "tool.log").write_text("it said hunter2, and more\n")

    paper_conductor(settings, ledger, paper_drill((paper_step("fold", chatter),))).conduct(PLAN, Request("a test"))
    (bundle,) = bundles_of(settings)
    with tarfile.open(bundle) as archive:
        (log,) = [m for m in archive.getmembers() if m.name.endswith("/data/logs/tool.log")]
        extracted = archive.extractfile(log)
        assert extracted is not None
        assert extracted.read() == b"it said [redacted], and more\n"


def test_work_beside_the_steps_has_ended_before_the_undo(settings: Settings, ledger: Ledger) -> None:
    """What still ran would make anew what is undone."""
    told_to_end = threading.Event()

    def begin(context: Context) -> None:
        def beside() -> None:
            assert told_to_end.wait(30)
            time.sleep(0.2)
            boat_of(context, "beside").touch()

        context.background.start("beside", beside, end=told_to_end.set)

    def sink(context: Context) -> None:
        for boat in context.workspace.scratch.glob("*.boat"):
            boat.unlink()

    fold = paper_step("fold", begin)
    paper_conductor(settings, ledger, paper_drill((Step("fold", do=fold.do, undo=sink),))).conduct(
        PLAN, Request("a test")
    )
    assert list(settings.runs.rglob("*.boat")) == []
    assert list(settings.runs.iterdir()) == []
