"""Proof of a fence: a write to the old primary that must fail.

Promises: the write asks for no standby, so that only the server itself can keep it from being done; one that hangs is
`unknown`, never `refused`.
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
            try:
                connection.execute(insert, [make_id(_PROVER, asked_ns % 2**40)])
            except psycopg.Error as error:
                # Without an answer of the server's own, what became of the write is unknown.
                return proof("refused" if error.sqlstate else "unknown", _words(error))
    except psycopg.errors.ConnectionTimeout as error:
        return proof("unknown", _words(error))
    except psycopg.OperationalError as error:
        return proof("unknown" if "timeout" in str(error) else "refused", _words(error))
    return proof("accepted", "it took the write")


def _words(error: psycopg.Error) -> str:
    said = str(error).strip().splitlines()
    return said[0].strip() if said else type(error).__name__
