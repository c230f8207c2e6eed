"""The commands of a plan, run on behalf of one of its nodes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from muster.errors import Refusal, StepError
from muster.failover.observations import Node
from muster.quantity import count_of
from tasks.hooks import Hook, Occasion, run_hook
from tasks.targets.promotable import Work


class Given(Protocol):
    """The commands of a plan, each an attribute by its name."""

    def given(self) -> Iterator[tuple[str, Hook]]:
        """Those that the plan names."""
        ...


class Commands:
    """The hooks that a plan names."""

    def __init__(self, hooks: Given, nodes: Sequence[Node]) -> None:
        self._hooks = hooks
        self._nodes = {node.name: node for node in nodes}

    def require_programs(self) -> None:
        """A `Refusal` unless the program of every hook is there."""
        missing = [f"{name} ({hook.run[0]})" for name, hook in self._hooks.given() if not hook.is_installed]
        if missing:
            raise Refusal(
                f"{count_of(len(missing), 'hook has', 'hooks have')} no program: {', '.join(missing)}",
                "install them where Muster runs, make them executable, or name them by their whole path",
            )

    def call(
        self,
        name: str,
        node: str,
        work: Work,
        *,
        old: str = "",
        new: str = "",
        more: Mapping[str, str] | None = None,
        blame: type[StepError] = StepError,
    ) -> str:
        """Run a hook; what it said. One that fails is an error of the kind `blame`."""
        hook = getattr(self._hooks, name)
        if hook is None:
            raise StepError(f"the plan names no hook {name!r}", f"name it in target.hooks.{name}")
        occasion = Occasion(self._nodes[node], old, new, work.spec.scenario.value, more or {})
        return run_hook(name, hook, occasion, work.processes, work.seconds_left, blame=blame)


def told(name: str, node: str, said: str) -> str:
    """What was done, in a line."""
    return f"{node}: hook {name}" + (f": {last_line(said)}" if said else "")


def last_line(said: str) -> str:
    """The last line of what a hook said."""
    return said.rpartition("\n")[2].strip()
