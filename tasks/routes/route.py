"""The capability of sending clients to another server."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from pydantic import ValidationError

from muster.errors import UsageError
from muster.failover.observations import Node
from tasks.process import Processes


class Route(Protocol):
    """How clients find the server that serves. Verbs are safe to repeat."""

    def client_dsn(self) -> str:
        """Where clients connect, as libpq reads it; it holds no secret, those come from the environment."""
        ...

    def check(self) -> None:
        """Raise a `Refusal` when the route cannot be reached or does not know every node. Changes nothing."""
        ...

    def point_to(self, node: str, seconds_left: Callable[[], float], processes: Processes) -> str:
        """Clients reach this node, new connections and old ones, and no other. Says what was done."""
        ...


def open_route(keys: Mapping[str, Any], nodes: Sequence[Node]) -> Route:
    """The route that a plan names, from `tasks/routes/TYPE.py`."""
    name = str(keys["type"])
    module = _module(f"tasks.routes.{name.replace('-', '_')}")
    if not hasattr(module, "Spec"):
        raise UsageError(f"there is no route of type {name!r}", "docs/failover.md lists the types")
    try:
        route: Route = module.open_route(dict(keys), tuple(nodes))
    except ValidationError as error:
        faults = "; ".join(f"reroute.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(faults, "mend these keys of the plan's reroute; docs/failover.md lists them") from None
    return route


def _module(path: str) -> Any:
    """The module at this path; `None` when there is none."""
    return import_module(path) if path.count(".") == 2 and find_spec(path) else None
