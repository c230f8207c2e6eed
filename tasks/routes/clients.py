"""What every route says of its clients: the DSN they use, and whether it leads anywhere."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator

from muster.errors import Refusal, UsageError
from muster.failover.observations import Node
from tasks.postgres.bounded import connected

_ANSWER_SECONDS = 5.0


def _holds_no_secret(dsn: str) -> str:
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise ValueError("is no DSN that libpq understands") from None  # its text may hold a secret
    if "password" in parts:
        raise ValueError("holds a password: leave it to the environment (PGPASSFILE, PGPASSWORD)")
    return dsn


ClientDsn = Annotated[str, AfterValidator(_holds_no_secret)]
"""A connection string in a plan: as libpq reads it, without secrets."""


def require_each(nodes: Sequence[Node], given: Mapping[str, object], key: str) -> None:
    """A route must know every node, and none that is not there; else `UsageError`."""
    names = {node.name for node in nodes}
    if names != set(given):
        raise UsageError(
            f"reroute.{key} names {_listed(given)}, the target's nodes are {_listed(names)}",
            f"give one entry in reroute.{key} for each node, and none else",
        )


def require_node(nodes: Sequence[Node], name: str) -> Node:
    """The node of this name; `UsageError` when there is none."""
    for node in nodes:
        if node.name == name:
            return node
    raise UsageError(f"the route knows no node {name!r}", f"the target's nodes are {_listed({n.name for n in nodes})}")


def require_answer(dsn: str, route: str) -> None:
    """Some server answers clients now; `Refusal` in the route's name when none does within seconds."""
    try:
        with connected(dsn, _ANSWER_SECONDS) as connection:
            connection.execute("select 1")
    except psycopg.Error as error:
        raise Refusal(
            f"{route}: clients reach no server: {last_words(error)}",
            "connect by the route's DSN with psql, and mend what it complains of",
        ) from None


def last_words(error: BaseException) -> str:
    """The last line of an error's message: what libpq says before it are attempts and hints."""
    said = str(error).strip().splitlines()
    return said[-1].strip() if said else type(error).__name__


def _listed(names: Mapping[str, object] | set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
