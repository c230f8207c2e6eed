"""What a drill asks of its source, read-only: which system it is, and its newest canary."""

import os

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from muster.errors import Refusal, UsageError
from muster.restore.observations import SourceMark
from muster.restore.spec import Canary


def connect_source(variable: str, database: str | None = None) -> psycopg.Connection:
    """A read-only connection by the DSN in an environment variable, to another database than the DSN's if named."""
    dsn = os.environ.get(variable)
    if not dsn:
        raise UsageError(
            f"the plan's target names the source's DSN by {variable}, which is not set",
            "set it in the environment of whoever runs the drill",
        )
    try:
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=10, dbname=database)
        connection.execute("set default_transaction_read_only = on")
    except psycopg.Error as error:
        raise Refusal(f"the source cannot be asked: {error}", f"check {variable}, or leave `source` out") from None
    return connection


def ask_identifier(connection: psycopg.Connection) -> str:
    """The system identifier: which cluster this is."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("select system_identifier::text from pg_control_system()").fetchone()
    if row is None:
        raise LookupError("the source gave no system identifier")
    return str(row[0])


def ask_mark(connection: psycopg.Connection, canary: Canary) -> SourceMark | None:
    """The newest canary; `None` while there is none."""
    query = sql.SQL("select {id}, {at}, now() from {table} order by {id} desc limit 1").format(
        id=sql.Identifier(canary.id_column),
        at=sql.Identifier(canary.time_column),
        table=sql.Identifier(*canary.table.split(".")),
    )
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query).fetchone()
    if row is None:
        return None
    return SourceMark(canary_id=row[0], written_at=row[1], seen_at=row[2], source="asked the source")
