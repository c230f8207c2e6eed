"""What a drill is: steps with undos, checks over the journal, and the context a step acts in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from muster.clock import Clock
from muster.errors import StepError
from muster.finding import Finding
from muster.journal import History, Journal, Observation
from muster.plan import Plan

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
    def logs(self) -> Path:
        """Raw output of the tools; goes into the bundle."""
        return self.root / "logs"

    @property
    def records(self) -> Path:
        """Records of started processes (`tasks.process`), kept until the processes are gone."""
        return self.root / "processes"


@dataclass(frozen=True)
class Context:
    """What a step may use. Steps read earlier results from the journal, so a later process can too."""

    plan: Plan
    target: Any
    journal: Journal
    workspace: Workspace
    clock: Clock
    should_stop: Callable[[], bool] = field(default=lambda: False)
    earlier: Any = None
    """Facts of the last pass, for comparisons; `None` when there was none."""

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

    def observe(self, observation: Observation) -> None:
        """Record a typed fact in the journal."""
        self.journal.observe(observation)


@dataclass(frozen=True)
class Step:
    """A named action and its undo. Both are safe to repeat; the undo means "make sure X is gone"."""

    name: str
    do: Callable[[Context], BaseModel]
    undo: Callable[[Context], None] | None = None


Check = Callable[[History, Plan], Finding | tuple[Finding, ...]]
"""A pure function from the journal to findings. It never touches the target."""


@dataclass(frozen=True)
class Drill:
    """A kind of exercise: the capability it needs of its target, its steps, its checks."""

    kind: str
    needs: type
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]

    def step(self, name: str) -> Step:
        """The step of this name."""
        return next(s for s in self.steps if s.name == name)
