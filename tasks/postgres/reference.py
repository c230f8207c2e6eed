"""References: what the source looked like at a named restore point, taken while no row can change.

Promise: the fingerprints and the restore point describe the same state. All tables are locked in SHARE mode (readers
go on, writers wait) from before the first row is read until the restore point is in the log.
"""

import time
from datetime import UTC, datetime

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from muster.restore.observations import Reference
from muster.restore.spec import Canary
from tasks.postgres.fingerprint import Connect, fingerprint_all, list_tables


def take_reference(connect: Connect, point: str, canary: Canary | None = None) -> Reference:
    """Fingerprint every table and create the restore point `point`; writers wait meanwhile."""
    with connect() as connection, connection.transaction():
        tables = [t for t in list_tables(connection) if t[0] != "pg_catalog"]
        if tables:
            names = sql.SQL(", ").join(sql.SQL("only {}").format(sql.Identifier(*t)) for t in tables)
            connection.execute(sql.SQL("lock table {} in share mode").format(names))
        rows = fingerprint_all(connect, "reference")
        before = newest_canary(connection, canary)
        lsn, database, identifier = _point(connection, point)
        reference = Reference(
            point=point,
            lsn=lsn,
            taken_at=datetime.now(UTC),
            database=database,
            system_identifier=identifier,
            tables=rows.tables,
            canary_before=before,
        )
    after = _first_canary_after(connect, canary, before)
    with connect() as connection:
        connection.execute("select pg_switch_wal()")
    return reference.model_copy(update={"canary_after": after})


def newest_canary(connection: psycopg.Connection, canary: Canary | None) -> int | None:
    """The newest canary's id, or `None` without a canary."""
    if canary is None:
        return None
    query = sql.SQL("select max({}) from {}").format(
        sql.Identifier(canary.id_column), sql.Identifier(*canary.table.split("."))
    )
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query).fetchone()
    return None if row is None else row[0]


def _point(connection: psycopg.Connection, point: str) -> tuple[str, str, str]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            "select pg_create_restore_point(%s)::text, current_database(),"
            " (select system_identifier::text from pg_control_system())",
            [point],
        ).fetchone()
    if row is None:
        raise LookupError("the restore point was not created")
    return row[0], row[1], row[2]


def _first_canary_after(connect: Connect, canary: Canary | None, before: int | None) -> int | None:
    """Wait a few intervals for the canary that must be absent at the point; `None` if none came."""
    if canary is None or before is None:
        return None
    deadline = time.monotonic() + 5 * canary.interval.total_seconds()
    with connect() as connection:
        while time.monotonic() < deadline:
            newest = newest_canary(connection, canary)
            if newest is not None and newest > before:
                return before + 1
            time.sleep(0.1)
    return None
