"""The conductor over a drill of paper: a death at any event of the journal leaves nothing behind, and one bundle."""

import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from evidence.store import DirectoryStore
from evidence.verifier import verify
from muster import conduct
from muster.clock import SystemClock
from muster.conduct import Conductor, Request
from muster.drill import Context, Drill, Step, Told
from muster.errors import Refusal, StepError, SystemFailure
from muster.finding import Finding
from muster.journal import Event, EventKind, History, Observation, RunState
from muster.ledger import Ledger, LedgerError, open_ledger
from muster.ownership import this_process
from muster.plan import Plan
from muster.saga import Injection
from muster.settings import Settings
from muster.verdict import Outcome, Verdict

PLAN = Plan.model_validate(
    {
        "name": "paper-drill",
        "kind": "restore",
        "environment": "test",
        "owner": "tests",
        "target": {"type": "paper"},
        "restore": {},
    }
)
STEPS = ("fold", "sail", "land")


class Boat(BaseModel):
    """What a step of the paper drill leaves."""

    path: Path


class Seen(Observation):
    """What the paper drill observes."""

    boats: int


class Died(BaseException):
    """Stands for SIGKILL: nothing of this process happens any more."""


def _boat(context: Context, step: str) -> Path:
    return context.workspace.scratch / f"{step}.boat"


def _step(name: str, act: Callable[[Context], None] = lambda _: None) -> Step:
    def do(context: Context) -> Boat:
        path = _boat(context, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        context.observe(Seen(boats=1))
        act(context)
        return Boat(path=path)

    return Step(name, do=do, undo=lambda context: _boat(context, name).unlink(missing_ok=True))


def _boats_were_seen(history: History, _plan: Plan) -> Finding:
    seen = history.observed(Seen)
    verdict = Verdict.PASS if len(seen) == len(STEPS) else Verdict.INCONCLUSIVE
    return Finding(check="boats", verdict=verdict, expected="three", seen=str(len(seen)))


def _drill(steps: tuple[Step, ...] | None = None) -> Drill:
    return Drill(
        kind="restore",
        needs=object,
        steps=steps or tuple(_step(name) for name in STEPS),
        checks=(_boats_were_seen,),
        tell=lambda history, plan: Told(target="paper", measures=(), phases=(), facts=()),
        remember=lambda history: {"boats": len(history.observed(Seen))},
    )


class Mortal:
    """A ledger that dies at the n-th event, before or after it is durable, and stays dead."""

    death: BaseException = Died()

    def __init__(self, ledger: Ledger, at: int, *, before: bool) -> None:
        self._ledger, self._left, self._before, self._dead = ledger, at, before, False

    def append_event(self, event: Event) -> None:
        self._live()
        self._left -= 1
        if self._left < 0:
            self._dead = True
            if not self._before:
                self._ledger.append_event(event)
            raise self.death
        self._ledger.append_event(event)

    def _live(self) -> None:
        if self._dead:
            raise self.death

    def __getattr__(self, name: str) -> Any:
        self._live()
        return getattr(self._ledger, name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", store=str(tmp_path / "store"))


@pytest.fixture
def ledger(settings: Settings):
    with open_ledger(settings.ledger_url) as opened:
        yield opened


def _conductor(settings: Settings, ledger: Any, drill: Drill | None = None, target: Any = object()) -> Conductor:  # noqa: B008
    made = drill or _drill()
    return Conductor(
        settings,
        ledger,
        SystemClock(),
        lambda _: made,
        lambda _k, _s: target,
        lambda: DirectoryStore(Path(settings.store)),
    )


def _bundles(settings: Settings) -> list[Path]:
    return sorted(Path(settings.store).rglob("*.tar.gz"))


def _assert_one_good_end(settings: Settings, ledger: Ledger, outcome: Outcome) -> History:
    (run,) = ledger.runs()
    history = History(ledger.read_events(run.run))
    assert run.outcome is outcome
    assert history.needs_undo() == ()
    assert history.run_state() is RunState.SENT
    assert [e.seq for e in history] == list(range(len(history)))
    assert not (settings.runs / run.run).exists()
    (bundle,) = _bundles(settings)
    report = verify(bundle, settings.public_key_file)
    assert report.verdict == "pass", report
    assert report.predicate is not None
    assert report.predicate["outcome"] == outcome.value
    return history


def test_a_healthy_drill_passes_and_is_sealed_once(settings: Settings, ledger: Ledger) -> None:
    summary = _conductor(settings, ledger).conduct(PLAN, Request("a test"))
    assert summary.outcome is Outcome.PASSED
    history = _assert_one_good_end(settings, ledger, Outcome.PASSED)
    assert history[0].body["reason"] == "a test"
    assert ledger.runs()[0].facts == {"boats": 3}


EVENTS = 19  # opened; started, observed, succeeded of 3 steps; undo_started, undone of 3; judged; sealed; sent


def test_the_number_of_events_is_the_one_that_the_deaths_are_spread_over(settings: Settings, ledger: Ledger) -> None:
    summary = _conductor(settings, ledger).conduct(PLAN, Request("a test"))
    assert len(ledger.read_events(summary.run)) == EVENTS


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("at", range(EVENTS))
def test_a_death_at_any_event_is_finished_by_the_next_process(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, at: int, before: bool
) -> None:
    with pytest.raises(Died):
        _conductor(settings, Mortal(ledger, at, before=before)).conduct(PLAN, Request("a test"))
    monkeypatch.setattr(conduct, "is_dead", lambda owner: True)
    _conductor(settings, ledger).finish_dead_runs()
    (run,) = ledger.runs()
    history = History(ledger.read_events(run.run))
    if not history:  # it died before its first event: nothing was touched, nothing is sealed
        assert run.outcome is Outcome.ABORTED
        return
    came_to_its_end = len(history.of(EventKind.SUCCEEDED)) == len(STEPS)
    _assert_one_good_end(settings, ledger, Outcome.PASSED if came_to_its_end else Outcome.ABORTED)
    _conductor(settings, ledger).finish_dead_runs()
    assert len(_bundles(settings)) == 1


def test_a_living_run_is_left_alone(settings: Settings, ledger: Ledger) -> None:
    with pytest.raises(Died):
        _conductor(settings, Mortal(ledger, 5, before=True)).conduct(PLAN, Request("a test"))
    assert _conductor(settings, ledger).finish_dead_runs() == ()
    assert ledger.runs()[0].outcome is None


def test_what_another_machine_left_is_not_undone_here(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = this_process().model_copy(update={"host": "elsewhere"})
    with monkeypatch.context() as there:
        there.setattr(conduct, "this_process", lambda: elsewhere)
        with pytest.raises(Died):
            _conductor(settings, Mortal(ledger, 5, before=True)).conduct(PLAN, Request("a test"))
    monkeypatch.setattr(conduct, "is_dead", lambda owner: True)
    assert _conductor(settings, ledger).finish_dead_runs() == ()
    assert ledger.runs()[0].needs_undo


def test_no_drill_starts_on_a_target_with_an_open_undo(settings: Settings, ledger: Ledger) -> None:
    with pytest.raises(Died):
        _conductor(settings, Mortal(ledger, 5, before=True)).conduct(PLAN, Request("a test"))
    summary = _conductor(settings, ledger).conduct(PLAN, Request("the next one"))
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

    drill = _drill((_step("fold"), _step("sail", fail), _step("land")))
    summary = _conductor(settings, ledger, drill).conduct(PLAN, Request("a test"))
    assert summary.outcome is outcome
    _assert_one_good_end(settings, ledger, outcome)


@pytest.mark.parametrize("step", STEPS)
def test_an_injected_error_fails_the_step_it_names(settings: Settings, ledger: Ledger, step: str) -> None:
    request = Request("a test", injection=Injection(step))
    summary = _conductor(settings, ledger).conduct(PLAN, request)
    assert summary.outcome is Outcome.ABORTED
    assert step in summary.headline
    _assert_one_good_end(settings, ledger, Outcome.ABORTED)


def test_an_undo_that_fails_does_not_stop_the_others_and_is_finished_later(settings: Settings, ledger: Ledger) -> None:
    stuck = {"is": True}

    def undo(context: Context) -> None:
        if stuck["is"]:
            raise OSError("the water is frozen")
        _boat(context, "sail").unlink(missing_ok=True)

    sail = _step("sail")
    drill = _drill((_step("fold"), Step("sail", do=sail.do, undo=undo), _step("land")))
    conductor = _conductor(settings, ledger, drill)
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


def test_a_store_that_is_away_costs_the_drill_nothing(settings: Settings, ledger: Ledger) -> None:
    Path(settings.store).write_text("a file where the folder should be")
    conductor = _conductor(settings, ledger)
    assert conductor.conduct(PLAN, Request("a test")).outcome is Outcome.PASSED
    assert History(ledger.read_events(ledger.runs()[0].run)).run_state() is RunState.SEALED
    Path(settings.store).unlink()
    assert len(conductor.send_waiting().sent) == 1
    assert conductor.send_waiting().sent == ()
    _assert_one_good_end(settings, ledger, Outcome.PASSED)


class Unreachable(Mortal):
    """A ledger that goes away at the n-th event, and says so."""

    death = LedgerError("the ledger is away", "wait for it")


@pytest.mark.parametrize("at", range(2, 11))
def test_without_its_ledger_a_drill_leaves_nothing_and_is_sealed_when_it_is_back(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with pytest.raises(LedgerError):
        _conductor(settings, Unreachable(ledger, at, before=True)).conduct(PLAN, Request("a test"))
    assert list(settings.runs.rglob("*.boat")) == []
    monkeypatch.setattr(conduct, "is_dead", lambda owner: True)
    _conductor(settings, ledger).finish_dead_runs()
    assert ledger.runs()[0].outcome in (Outcome.ABORTED, Outcome.PASSED)
    assert len(_bundles(settings)) == 1


def test_a_check_that_breaks_has_shown_nothing(settings: Settings, ledger: Ledger) -> None:
    def broken(_history: History, _plan: Plan) -> Finding:
        raise ZeroDivisionError

    drill = _drill()
    drill = Drill(drill.kind, drill.needs, drill.steps, (*drill.checks, broken), drill.tell)
    summary = _conductor(settings, ledger, drill).conduct(PLAN, Request("a test"))
    assert summary.outcome is Outcome.INCONCLUSIVE


def test_a_target_without_the_capability_is_refused(settings: Settings, ledger: Ledger) -> None:
    drill = _drill()
    drill = Drill(drill.kind, int, drill.steps, drill.checks, drill.tell)
    summary = _conductor(settings, ledger, drill).conduct(PLAN, Request("a test"))
    assert summary.outcome is Outcome.REFUSED
    _assert_one_good_end(settings, ledger, Outcome.REFUSED)


def test_no_secret_of_the_environment_goes_into_the_bundle(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DSN", "host=db password=hunter2")

    def chatter(context: Context) -> None:
        context.workspace.logs.mkdir(parents=True, exist_ok=True)
        (context.workspace.logs / "tool.log").write_text("it said hunter2, and more\n")

    _conductor(settings, ledger, _drill((_step("fold", chatter),))).conduct(PLAN, Request("a test"))
    (bundle,) = _bundles(settings)
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
            _boat(context, "beside").touch()

        context.background.start("beside", beside, end=told_to_end.set)

    def sink(context: Context) -> None:
        for boat in context.workspace.scratch.glob("*.boat"):
            boat.unlink()

    fold = _step("fold", begin)
    _conductor(settings, ledger, _drill((Step("fold", do=fold.do, undo=sink),))).conduct(PLAN, Request("a test"))
    assert list(settings.runs.rglob("*.boat")) == []
    assert list(settings.runs.iterdir()) == []
