"""A drill of paper, and ledgers that die: what tests of the conductor need."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from evidence.stores import DirectoryStore
from evidence.verify import verify
from muster.clock import SystemClock
from muster.conduct import Conductor
from muster.drill import Context, Drill, Step, Told
from muster.finding import Finding
from muster.journal import Event, History, Observation, RunState
from muster.ledger import Ledger
from muster.plan import Plan
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


def boat_of(context: Context, step: str) -> Path:
    return context.workspace.scratch / f"{step}.boat"


def paper_step(name: str, act: Callable[[Context], None] = lambda _: None) -> Step:
    def do(context: Context) -> Boat:
        path = boat_of(context, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        context.observe(Seen(boats=1))
        act(context)
        return Boat(path=path)

    return Step(name, do=do, undo=lambda context: boat_of(context, name).unlink(missing_ok=True))


def _boats_were_seen(history: History, _plan: Plan) -> Finding:
    seen = history.observed(Seen)
    verdict = Verdict.PASS if len(seen) == len(STEPS) else Verdict.INCONCLUSIVE
    return Finding(check="boats", verdict=verdict, expected="three", seen=str(len(seen)))


def paper_drill(steps: tuple[Step, ...] | None = None) -> Drill:
    return Drill(
        kind="restore",
        needs=object,
        steps=steps or tuple(paper_step(name) for name in STEPS),
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


def paper_conductor(settings: Settings, ledger: Any, drill: Drill | None = None, target: Any = object()) -> Conductor:  # noqa: B008
    made = drill or paper_drill()
    return Conductor(
        settings,
        ledger,
        SystemClock(),
        lambda _: made,
        lambda _k, _s: target,
        lambda: DirectoryStore(Path(settings.store)),
    )


def bundles_of(settings: Settings) -> list[Path]:
    return sorted(Path(settings.store).rglob("*.tar.gz"))


def assert_one_good_end(settings: Settings, ledger: Ledger, outcome: Outcome) -> History:
    (run,) = ledger.runs()
    history = History(ledger.read_events(run.run))
    assert run.outcome is outcome
    assert history.needs_undo() == ()
    assert history.run_state() is RunState.SENT
    assert [e.seq for e in history] == list(range(len(history)))
    assert not (settings.runs / run.run).exists()
    (bundle,) = bundles_of(settings)
    report = verify(bundle, settings.public_key_file)
    assert report.verdict == "pass", report
    assert report.predicate is not None
    assert report.predicate["outcome"] == outcome.value
    return history
