"""The capability a failover rehearsal needs of its target: two regions of one database, of which one serves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from muster.drill import Workspace
from muster.failover.observations import Node, Promoted, Rejoined, Salvaged
from muster.failover.spec import FailoverSpec, Scenario
from muster.identity import Identity
from tasks.process import Processes


@dataclass(frozen=True)
class Work:
    """What a target may use while it is rehearsed."""

    workspace: Workspace
    """The run's folders. What is to be in the evidence goes to `exhibits`, raw log with people's data to `kept`."""
    processes: Processes
    """For tools that run to their end. Servers that outlive the run are on record elsewhere."""
    spec: FailoverSpec
    seconds_left: Callable[[], float]
    """Seconds until the time limit; raises when it is up, or somebody stops the drill. Ask before every wait."""
    now_ns: Callable[[], int]
    """`CLOCK_MONOTONIC`."""


@runtime_checkable
class Promotable(Protocol):
    """A database in two regions. Every verb means "make sure that", is safe to repeat, and bounded by `seconds_left`.

    A verb that the system itself fails raises `SystemFailure`; one that breaks for another reason any other error.
    """

    def identify(self) -> Identity:
        """Prove which system this is; `Refusal` when it is not the one the plan names."""
        ...

    def nodes(self) -> tuple[Node, ...]:
        """The servers that take part, at least two; no order is meant. Cheap, and nothing is connected to."""
        ...

    def scenarios(self) -> frozenset[Scenario]:
        """What this target can be made to suffer as it is configured; a plan that asks for more is refused."""
        ...

    def strike(self, scenario: Scenario, old: str, new: str, work: Work) -> tuple[str, ...]:
        """Let the scenario's fault happen to the primary `old` or its link, and say what was done.

        Returns once the fault is there. `partition`, `partition-then-kill`, `replica-behind`: after `spec.fault_lasts`
        of it. Planned scenarios: nothing, but for the slow link.
        """
        ...

    def heal(self, work: Work) -> tuple[str, ...]:
        """End every fault that `strike` can make, but the death of a server: link, frozen process, full disk, replay.

        Says what was mended; nothing where all is well. A server that a fault killed stays dead until `revive`.
        """
        ...

    def fence(self, node: str, work: Work) -> str:
        """The node takes no write any more, whatever becomes of it, until `rejoin` or `revive`. Says how."""
        ...

    def promote(self, node: str, work: Work) -> Promoted:
        """The node takes writes. A target that fails over by itself is waited for."""
        ...

    def switch(self, old: str, new: str, work: Work) -> Promoted:
        """Planned: `old` hands over to `new` without losing anything, and follows it as standby if it can by itself."""
        ...

    def salvage(self, old: str, new: str, work: Work) -> Salvaged:
        """Save and count what `old` wrote beyond the fork. Called before `rejoin`, and never after a planned switch."""
        ...

    def rejoin(self, node: str, primary: str, work: Work) -> Rejoined:
        """The node streams from `primary` as its standby, caught up, with synchronous commit back where it was."""
        ...

    def revive(self, node: str, work: Work) -> str:
        """The node runs as whatever it last was, primary or standby, and is no longer fenced.

        Only the undo asks for it, when no other server takes writes. Says what was done.
        """
        ...

    def connect_seconds(self) -> float:
        """How long a connection attempt to a node may take before it counts as failed: the survey's patience."""
        ...
