"""Route `hook`: a command of the plan's sends clients to another server, by whatever means its owner has.

Promise: the command is told the node in `MUSTER_NODE`, and its DSN in `MUSTER_NODE_DSN`. It is trusted to drop old
sessions; whether clients then reach that node alone is what the drill's samples find out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from muster.errors import Refusal, SystemFailure
from muster.failover.observations import Node
from tasks.hooks import Hook, Occasion, run_hook
from tasks.process import Processes
from tasks.routes.clients import ClientDsn, require_answer, require_node

_NAME = "reroute"


class Spec(BaseModel):
    """The route's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["hook"] = "hook"
    command: Hook
    """Sends clients to the node in `MUSTER_NODE`; called again after a crash, and for the way back."""
    dsn: ClientDsn
    """Where clients connect."""


class Route:
    """A command and the address that it rules."""

    def __init__(self, spec: Spec, nodes: Sequence[Node]) -> None:
        self._spec = spec
        self._nodes = nodes

    def client_dsn(self) -> str:
        """The address, as the plan gives it."""
        return self._spec.dsn

    def check(self) -> None:
        """`Refusal` when the command is not there, or clients reach no server."""
        if not self._spec.command.is_installed:
            raise Refusal(
                f"route hook: there is no program {self._spec.command.run[0]!r}",
                "install it where Muster runs, or name it by its whole path in reroute.command",
            )
        require_answer(self._spec.dsn, "route hook")

    def point_to(self, node: str, seconds_left: Callable[[], float], processes: Processes) -> str:
        """Run the command; a `SystemFailure` when it fails."""
        chosen = require_node(self._nodes, node)
        occasion = Occasion(node=chosen, new=node, more={"MUSTER_NODE_DSN": chosen.dsn})
        said = run_hook(_NAME, self._spec.command, occasion, processes, seconds_left, blame=SystemFailure)
        return f"{self._spec.command.words}: {said.splitlines()[-1] if said else 'it said nothing'}"


def open_route(keys: Mapping[str, Any], nodes: Sequence[Node]) -> Route:
    """The route of a plan's `reroute`."""
    return Route(Spec.model_validate(keys), nodes)
