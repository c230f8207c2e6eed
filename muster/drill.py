"""What a drill is: steps with undos, checks over the journal, and the context a step acts in."""

import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from muster.clock import Clock
from muster.errors import StepError
from muster.finding import Finding
from muster.journal import History, Journal, Observation
from muster.plan import Plan
from muster.summary import Activity, Advice, Costs, Measure, Phase, TickLines, Traffic

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Workspace:
    """The one folder of a run. Everything in `scratch` is the run's own and is deleted by its undo."""

    run: str
    root: Path

    @property
    def scratch(self) -> Path:
        """Restored data, sockets, records of started processes."""
        return self.root / "scratch"

    @property
    def sockets(self) -> Path:
        """Folder for unix sockets: short, since a socket's path may have 107 bytes at most, and the run's alone."""
        return Path(tempfile.gettempdir()) / f"muster-{hashlib.sha256(str(self.root).encode()).hexdigest()[:16]}"

    @property
    def logs(self) -> Path:
        """Raw output of the tools; goes into the bundle."""
        return self.root / "logs"

    @property
    def exhibits(self) -> Path:
        """Files that go into the bundle as they are, folders and all. Nothing secret and nobody's data may be there."""
        return self.root / "exhibits"

    @property
    def kept(self) -> Path:
        """Files that outlive the run on this machine alone: they may hold people's data, and are never evidence."""
        return self.root.with_name(f"{self.root.name}.kept")

    @property
    def records(self) -> Path:
        """Records of started processes (`tasks.process`), kept until the processes are gone."""
        return self.root / "processes"


class Background:
    """Work beside the steps: started in one step, gathered in a later one of the same process."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="beside")
        self._work: dict[str, Future[None]] = {}
        self._ends: dict[str, Callable[[], None]] = {}

    def start(self, name: str, act: Callable[[], None], end: Callable[[], None]) -> None:
        """Begin; what it measures goes to the journal as it happens. `end` makes the act come to its end at once."""
        self._ends[name] = end
        self._work[name] = self._pool.submit(act)

    def gather(self, name: str, seconds: float) -> None:
        """Wait for the end of it and raise what it raised. Nothing was started: nothing to wait for."""
        if name in self._work:
            self._work.pop(name).result(timeout=seconds)

    def finish(self, name: str, seconds: float) -> None:
        """Bring it to its end now, and raise what it raised."""
        if name in self._work:
            self._ends[name]()
            self.gather(name, seconds)

    def abandon(self) -> None:
        """Bring all of it to its end, before the undo: what still runs would make anew what is undone."""
        for end in self._ends.values():
            end()
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Context:
    """What a step may use. Steps read earlier results from the journal, so a later process can too."""

    plan: Plan
    target: Any
    journal: Journal
    workspace: Workspace
    clock: Clock
    deadline_ns: int
    """Monotonic time at which the plan's time limit is up."""
    background: Background = field(default_factory=Background)
    why_stop: Callable[[], str] = field(default=lambda: "")
    """The kill switch: a reason to stop, or nothing."""
    gone: frozenset[str] = frozenset()
    """To an undo: parts of the target that somebody who knows says are lost for good."""

    @property
    def history(self) -> History:
        """The journal so far."""
        return self.journal.history

    def result(self, step: str, model: type[M]) -> M:
        """What an earlier step returned."""
        found = self.history.result(step, model)
        if found is None:
            raise StepError(f"step {step!r} has no result to build on", "it did not succeed; see the journal")
        return found

    @property
    def seconds_left(self) -> float:
        """Seconds until the plan's time limit; raises when it is up, or the kill switch is thrown.

        A step asks for it before each tool it starts, so that one with many does not run on to its end.
        """
        if reason := self.why_stop():
            raise StepError(f"stopped: {reason}", "resume when it is safe")
        left = (self.deadline_ns - self.clock.monotonic_ns()) / 1e9
        if left <= 0:
            raise StepError("the plan's time limit is up", "raise `time_limit`, or find what hangs in the logs")
        return left

    def check_may_go_on(self) -> None:
        """Raise when the time is up or the kill switch is thrown."""
        _ = self.seconds_left

    def observe(self, observation: Observation) -> None:
        """Record a typed fact in the journal."""
        self.journal.observe(observation)


@dataclass(frozen=True)
class Step:
    """A named action and its undo. Both are safe to repeat; the undo means "make sure X is gone"."""

    name: str
    do: Callable[[Context], BaseModel]
    undo: Callable[[Context], None] | None = None
    is_urgent: bool = False
    """Somebody waits until it has acted: nothing may stand between it and the next, be it only to show it."""


Check = Callable[[History, Plan], Finding | tuple[Finding, ...]]
"""A pure function from the journal to findings. It never touches the target."""


@dataclass(frozen=True)
class Told:
    """The part of a summary that only the kind of drill knows how to tell."""

    target: str
    """The target and the identity it proved, in words."""
    measures: tuple[Measure, ...]
    phases: tuple[Phase, ...]
    facts: tuple[tuple[str, str], ...]
    traffic: Traffic | None = None
    activity: Activity | None = None
    costs: Costs | None = None
    advice: tuple[Advice, ...] = ()
    ticks: TickLines | None = None


def _nothing(_: Any) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Drill:
    """A kind of exercise: the capability it needs of its target, its steps, its checks."""

    kind: str
    needs: type
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]
    tell: Callable[[History, Plan], Told]
    brief: Callable[[Plan], dict[str, Any]] = _nothing
    """What the checks need from outside the run, read when it opens and kept in the journal (plain JSON)."""
    remember: Callable[[History], dict[str, Any]] = _nothing
    """Small facts that the next run of the plan compares with (plain JSON)."""
    sight: Callable[[Any], dict[str, str]] = _nothing
    """Target in, small facts out that say what it is; the same keys each time, or none at all."""
    parts: frozenset[str] = frozenset()
    """Parts of a target without which an undo can go on, once somebody who knows says that they are gone for good."""
    ready: Callable[[Any, Plan], tuple[Finding, ...]] | None = None
    """A harmless look at a target, every few minutes: would it take a drill, or the real thing? `None`: no look."""

    def step(self, name: str) -> Step:
        """The step of this name."""
        return next(s for s in self.steps if s.name == name)
