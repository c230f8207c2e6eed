"""The table that rehearsals write to: made before the client starts, dropped at the end; nobody else's is touched.

Promise: a table without our comment is neither written to nor dropped. Neither verb waits for a standby.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from muster.errors import Refusal, StepError
from tasks.postgres.bounded import connected

_OURS = "Muster: the writes of a failover rehearsal, dropped at its end"
"""Comment on the table."""
_SECONDS = 15.0


def create_table(dsn: str, table: str) -> None:
    """Make sure that there is an empty table of ours; safe to repeat until the client starts.

    `id` has an index that is not unique, since a doubled write is to show; `n` draws from a sequence, so that one which
    a takeover set back is seen. A `Refusal` for somebody else's table, or rows of an earlier rehearsal.
    """
    name = sql.Identifier(table)
    with _session(dsn, "make") as connection, connection.transaction():
        if _is_there(connection, table):
            row = connection.execute(sql.SQL("select exists (select from {})").format(name)).fetchone()
            if row and row[0]:
                raise Refusal(
                    f"the table {table} holds rows of an earlier rehearsal",
                    "finish that one's undo (`muster undo run`), or drop the table",
                )
            return
        connection.execute(
            sql.SQL(
                "create table {} (id bigint not null, n bigserial,"
                " written_at timestamptz not null default clock_timestamp())"
            ).format(name)
        )
        connection.execute(sql.SQL("create index on {} (id)").format(name))
        connection.execute(sql.SQL("comment on table {} is {}").format(name, sql.Literal(_OURS)))


def drop_table(dsn: str, table: str) -> None:
    """Make sure that there is no table of ours; a `Refusal` when the name is somebody else's."""
    with _session(dsn, "drop") as connection, connection.transaction():
        if _is_there(connection, table):
            connection.execute(sql.SQL("drop table {}").format(sql.Identifier(table)))


def _is_there(connection: psycopg.Connection[tuple[Any, ...]], table: str) -> bool:
    """Whether there is one, of ours."""
    asked = "select obj_description(found, 'pg_class') from to_regclass(%s) found where found is not null"
    row = connection.execute(asked, [table]).fetchone()
    if row is not None and row[0] != _OURS:
        raise Refusal(
            f"there is a table {table} that is not a rehearsal's",
            "name another one in the plan's failover.client.table; this one is left alone",
        )
    return row is not None


@contextmanager
def _session(dsn: str, verb: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    try:
        with connected(dsn, _SECONDS) as connection:
            connection.execute("set synchronous_commit = local")
            yield connection
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        raise StepError(
            f"the server does not {verb} the table of the rehearsal: {said}",
            "the role needs CREATE on the first schema of its search_path, of a server that takes writes",
        ) from error
