"""Proof of a fence: a write to the old primary that must fail.

Promises: the write asks for no standby, so that only the server itself can keep it from being done; `refused` is what
the server, or the absence of one, said of every write. One that hangs, a server that cannot be reached, and a complaint
about this one write or session, are `unknown`: others may be served there all the same.
"""

from collections.abc import Callable

import psycopg
from psycopg import sql

from muster.failover.history import make_id
from muster.failover.observations import FenceProof, Node
from tasks.postgres.bounded import connected

_PATIENCE = 3.0
_PROVER = 0xFFFF
"""Connection number of ids that no client has: a proof that is accepted shows in the accounting as unexpected."""

_NOBODY_SERVES = ("Connection refused", "No such file or directory", "FATAL:")
"""What libpq, which has no SQLSTATE for it, says where no session can be had: nobody listens, or the server says no."""
_NOT_US = ("timeout", "too many c", "connection slots", "authentication failed")
"""Of those, what says nothing of the sessions of others (too many clients, too many connections for a role, ...)."""
_NOT_THIS = frozenset({"42P01", "42703", "53300", "55P03", "57014"})
_NOT_THIS_CLASS = ("22", "23", "40")
"""SQLSTATE of a complaint about this very write: no such table, a lock, a constraint, cancelled."""


def prove_fence(node: Node, table: str, stage: str, now_ns: Callable[[], int]) -> FenceProof:
    """Try to write to the node."""
    asked_ns = now_ns()

    def proof(write: str, said: str) -> FenceProof:
        return FenceProof.model_validate(
            {"stage": stage, "node": node.name, "write": write, "said": said, "asked_ns": asked_ns}
        )

    try:
        with connected(node.dsn, _PATIENCE) as connection:
            connection.execute("set synchronous_commit = local")
            insert = sql.SQL("insert into {} (id) values (%s)").format(sql.Identifier(table))
            connection.execute(insert, [make_id(_PROVER, asked_ns % 2**40)])
    except psycopg.Error as error:
        return proof("refused" if _refuses_every_write(error) else "unknown", _words(error))
    return proof("accepted", "it took the write")


def _refuses_every_write(error: psycopg.Error) -> bool:
    if error.sqlstate:
        return error.sqlstate not in _NOT_THIS and not error.sqlstate.startswith(_NOT_THIS_CLASS)
    said = str(error)
    return any(words in said for words in _NOBODY_SERVES) and not any(words in said for words in _NOT_US)


def _words(error: psycopg.Error) -> str:
    said = str(error).strip().splitlines()
    return said[0].strip() if said else type(error).__name__
