"""Commands that a plan names: what only the owner of a system knows how to do, from fencing to rerouting.

Promises: no shell comes in between, so that nothing is split or expanded; a hook ends in its time, or is ended with its
children; what it says is in the run's logs, and errors quote no secret of the environment; a server that it starts in
the background lives on. Exit code 0 means done. A hook is called again after a crash, so it must be safe to repeat.

A hook runs as Muster does, with Muster's environment and the variables of its situation. For a database these are
libpq's own `PG...` and, empty where they mean nothing: `MUSTER_NODE` and `MUSTER_REGION` (the server it is to act on),
`MUSTER_OLD` (who was primary), `MUSTER_NEW` (who is, or is to be), `MUSTER_SCENARIO`.
"""

import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from muster.errors import StepError
from muster.failover.observations import Node
from muster.quantity import Duration
from tasks.process import Processes

_LIBPQ = "PG"


class Hook(BaseModel):
    """A command in a plan: `{run: [fence.sh, --now], within: 30s}`, or its argument list alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    run: tuple[str, ...] = Field(min_length=1)
    """The program, by its path or found in `PATH`, and its arguments, each as it is."""
    within: Duration = Field(default="1m", validate_default=True)
    """How long it may take."""

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError("a hook is a list of arguments, such as [fence.sh, --now]: no shell splits it")
        return {"run": value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _can_run(self) -> "Hook":
        if not self.run[0].strip():
            raise ValueError("a hook begins with the name of a program")
        if self.within.total_seconds() <= 0:
            raise ValueError("'within' must be longer than nothing")
        return self

    @property
    def is_installed(self) -> bool:
        """Whether its program is there and may be executed."""
        return shutil.which(self.run[0]) is not None

    @property
    def words(self) -> str:
        """The command as people read it."""
        return " ".join(self.run)


class Situation(Protocol):
    """On what, and in the course of what, a hook is called."""

    @property
    def where(self) -> str:
        """What it acts on, as an error names it."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that the hook is given beside Muster's own environment."""
        ...

    @property
    def by_hand(self) -> Mapping[str, str]:
        """Those of them that a person needs to call it by hand."""
        ...


@dataclass(frozen=True)
class Variables:
    """A situation that is all in its variables."""

    where: str
    environment: Mapping[str, str]

    @property
    def by_hand(self) -> Mapping[str, str]:
        """All of them."""
        return self.environment


@dataclass(frozen=True)
class Occasion:
    """On which server of a database, and in the course of what, a hook is called."""

    node: Node
    old: str = ""
    new: str = ""
    scenario: str = ""
    more: Mapping[str, str] = field(default_factory=dict)
    """Further variables, by their whole names."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the hook is given."""
        libpq = {name: value for name, value in os.environ.items() if name.startswith(_LIBPQ)}
        return {
            **libpq,
            "MUSTER_NODE": self.node.name,
            "MUSTER_REGION": self.node.region,
            "MUSTER_OLD": self.old,
            "MUSTER_NEW": self.new,
            "MUSTER_SCENARIO": self.scenario,
            **self.more,
        }

    @property
    def where(self) -> str:
        """The server's name."""
        return self.node.name

    @property
    def by_hand(self) -> dict[str, str]:
        """Whom it acts on, and the two roles."""
        return {"MUSTER_NODE": self.node.name, "MUSTER_OLD": self.old, "MUSTER_NEW": self.new}


def run_hook(
    name: str,
    hook: Hook,
    occasion: Situation,
    processes: Processes,
    seconds_left: Callable[[], float],
    *,
    blame: type[StepError] = StepError,
) -> str:
    """Run the hook to its end; the last of what it said. A hook that fails is an error of the kind `blame`.

    Blame the system (`SystemFailure`) for a hook that is part of it, such as its own fence. A program that is not
    there, and a drill that is out of time, are a `StepError` in any case.
    """
    if not hook.is_installed:
        raise StepError(
            f"the hook {name!r} cannot run: there is no program {hook.run[0]!r}",
            "install it where Muster runs, make it executable, or name it by its whole path in the plan",
        )
    timeout = min(hook.within.total_seconds(), seconds_left())
    environment = occasion.environment
    try:
        done = processes.run(hook.run, log=f"hook-{name}.log", timeout=timeout, env=environment, leaves_servers=True)
    except StepError as error:
        seconds_left()
        by_hand = " ".join(f"{key}={shlex.quote(value)}" for key, value in occasion.by_hand.items())
        raise blame(
            f"the hook {name!r} failed on {occasion.where}: {error.message}",
            f"{error.advice}; run it by hand with {by_hand}",
        ) from None
    return done.output.strip()
