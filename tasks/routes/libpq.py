"""Route `libpq`: clients know every server, and look by themselves for the one that takes writes.

Promises: the DSN is made of the nodes' own, and says nothing that one of them does not say; `point_to` changes nothing
and verifies nothing, and says so. Old sessions end with the fence of their server, not here.
Trap: a server that hangs, or a host that is off, costs every connection attempt `connect_timeout` before the next one
is tried. Source: PostgreSQL documentation, "Database Connection Control Functions", "Specifying Multiple Hosts".
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import BaseModel, ConfigDict, Field

from muster.errors import UsageError
from muster.failover.observations import Node
from muster.quantity import Duration
from tasks.process import Processes
from tasks.routes.clients import require_answer, require_node

_PLACE = ("host", "hostaddr", "port")
"""What libpq takes a list of, one value for each server."""
_OURS = ("target_session_attrs", "connect_timeout", "load_balance_hosts", "application_name")
"""What the route says by itself, or what makes no difference to which server is reached."""


class Spec(BaseModel):
    """The route's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["libpq"] = "libpq"
    connect_timeout: Duration = Field(default="2s", validate_default=True, ge=timedelta(seconds=2))
    """For each server in turn; libpq counts whole seconds, and waits two at least."""


class Route:
    """A DSN with several hosts and `target_session_attrs=read-write`."""

    def __init__(self, spec: Spec, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._dsn = _merged(nodes, round(spec.connect_timeout.total_seconds()))

    def client_dsn(self) -> str:
        """Every node's place, in the order of the nodes."""
        return self._dsn

    def check(self) -> None:
        """`Refusal` when no server takes writes."""
        require_answer(self._dsn, "libpq")

    def point_to(self, node: str, seconds_left: Callable[[], float], processes: Processes) -> str:  # noqa: ARG002
        """Nothing to do."""
        require_node(self._nodes, node)
        return (
            "nothing was done, and nothing verified: by target_session_attrs=read-write "
            f"clients find {node} by themselves once it alone takes writes"
        )


def open_route(keys: Mapping[str, Any], nodes: Sequence[Node]) -> Route:
    """The route of a plan's `reroute`."""
    return Route(Spec.model_validate(keys), nodes)


def _merged(nodes: Sequence[Node], connect_timeout: int) -> str:
    """One DSN of the nodes' own; `UsageError` when they differ in more than the place of the server."""
    parts = [conninfo_to_dict(node.dsn) for node in nodes]
    shared = [{k: v for k, v in p.items() if k not in (*_PLACE, *_OURS)} for p in parts]
    for node, other in zip(nodes, shared, strict=True):
        differing = sorted({k for k, _ in set(other.items()) ^ set(shared[0].items())})
        if differing:
            raise UsageError(
                f"route libpq: the DSNs of {nodes[0].name} and {node.name} differ in {', '.join(differing)}",
                "one libpq connection string has one value for these: make them alike, or choose another route",
            )
    several = [n.name for n, p in zip(nodes, parts, strict=True) if any("," in str(p.get(key, "")) for key in _PLACE)]
    if several:
        raise UsageError(
            f"route libpq: the DSN of {several[0]} names several servers", "a node's DSN must lead to that node alone"
        )
    places = {key: [str(p.get(key, "")) for p in parts] for key in _PLACE}
    ours: dict[str, str | int] = {"target_session_attrs": "read-write", "connect_timeout": connect_timeout}
    return make_conninfo("", **shared[0], **{k: ",".join(v) for k, v in places.items() if any(v)}, **ours)
