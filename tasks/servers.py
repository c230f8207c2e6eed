"""Servers that a plan names by their DSN: one server each, without secrets.

Source: PostgreSQL documentation, "Connection Strings", "The Password File", "The Connection Service File".
"""

from collections.abc import Sequence

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, ConfigDict, Field

from muster.errors import UsageError
from muster.failover.observations import Node

_SECRETS = frozenset({"password", "sslpassword", "oauth_client_secret"})
_ADVICE = "leave secrets to PGPASSFILE, a service file (PGSERVICEFILE) or PGPASSWORD in Muster's environment"


class ServerKeys(BaseModel):
    """One server in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    region: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    dsn: str
    """How the drill and its client reach this very server, past any route; it names the database to rehearse with."""

    @property
    def node(self) -> Node:
        """The same for the drill."""
        return Node(name=self.name, region=self.region, dsn=self.dsn)


def nodes_of(servers: Sequence[ServerKeys]) -> tuple[Node, ...]:
    """The nodes of a plan; a `UsageError` when two are alike, or a DSN does not lead to one server by itself."""
    for server in servers:
        _require_one_server(server)
    for key in ("name", "dsn"):
        values = [getattr(server, key) for server in servers]
        if len(set(values)) < len(values):
            raise UsageError(f"two of target.nodes have the same {key}", "each node is a server of its own")
    return tuple(server.node for server in servers)


def _require_one_server(server: ServerKeys) -> None:
    try:
        parts = conninfo_to_dict(server.dsn)
    except psycopg.ProgrammingError:  # its text may hold a secret
        raise UsageError(
            f"the DSN of node {server.name} is nothing that libpq understands",
            "write 'host=db.east.example dbname=app user=muster', or a postgresql:// address",
        ) from None
    if found := sorted(_SECRETS & set(parts)):
        raise UsageError(f"the DSN of node {server.name} holds a secret ({', '.join(found)})", _ADVICE)
    places = ",".join(str(parts.get(key, "")) for key in ("host", "hostaddr") if parts.get(key))
    if any("," in str(parts.get(key, "")) for key in ("host", "hostaddr", "port")):
        raise UsageError(
            f"the DSN of node {server.name} names several servers ({places})",
            "name one: which of several answers is what `reroute` is for",
        )
