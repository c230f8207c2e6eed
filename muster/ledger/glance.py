"""All that `status`, `deck` and `gate` show of a ledger, read in one go, and the history of one plan.

Promises: a few statements whose work grows with the plans and not with their runs; neither SQLAlchemy nor pydantic is
imported, and psycopg for a PostgreSQL ledger alone; everything is of one moment; no file is made.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from muster.ledger.address import postgres_arguments, sqlite_file
from muster.ledger.errors import LedgerError, first_line
from muster.ledger.migrations import HEAD
from muster.ledger.reading import collector_paused, last_look_of, moment_of, run_glance_of, standing_of
from muster.ledger.standing import Alarm, Halt, Overview, Proven, RunGlance, Standing

Read = TypeVar("Read")

# Hops from one kind to the next in the index proofs_by_kind ("loose index scan",
# https://wiki.postgresql.org/wiki/Loose_indexscan); neither database does so for SELECT DISTINCT by itself.
PROVEN = """
WITH RECURSIVE kinds(kind) AS (
  SELECT min(kind) FROM proofs
  UNION ALL
  SELECT (SELECT min(kind) FROM proofs WHERE kind > kinds.kind) FROM kinds WHERE kinds.kind IS NOT NULL
)
SELECT p.kind, p.at, p.planted, p.caught, p.healthy, p.quiet FROM kinds
JOIN proofs p ON p.id = (SELECT id FROM proofs WHERE kind = kinds.kind ORDER BY at DESC, id DESC LIMIT 1)
"""
STANDINGS = f"SELECT {', '.join(Standing._fields)} FROM standings"  # noqa: S608 - names of our own
ALERTS = "SELECT subject, condition, severity, words, since FROM alerts WHERE resolved_at IS NULL ORDER BY since, id"
BEATS = "SELECT name, at FROM beats"
STOP = 'SELECT at, "by", reason FROM stops WHERE resumed_at IS NULL ORDER BY id DESC LIMIT 1'
LOOKS = """
SELECT plan, number, at, "by", host, substance, verdict, since, seconds, times, why, advice FROM readiness
"""
HISTORY = f"""
SELECT {", ".join(RunGlance._fields)} FROM runs WHERE plan = :plan
ORDER BY scheduled_at DESC, run DESC LIMIT :limit
"""  # noqa: S608 - names of our own
_VERSION = "SELECT version_num FROM alembic_version"
_PATIENCE = 10
"""Seconds that a server may take to let us in, and a lock may last."""


class _Database:
    """A database of either kind, open for reading within one transaction."""

    def __init__(self, connection: Any, now: str | None) -> None:
        self.connection = connection
        self._now = now

    def now(self) -> datetime:
        """The ledger's clock."""
        return moment_of(self.rows(self._now)[0][0]) if self._now else datetime.now(UTC)

    def rows(self, statement: str, **values: Any) -> list[Any]:
        """All rows of a statement with `:name` in place of values."""
        if self._now:
            for name in values:
                statement = statement.replace(f":{name}", f"%({name})s")
        found: list[Any] = self.connection.execute(statement, values).fetchall()
        return found


def glance(url: str) -> Overview:
    """Every standing, the newest proofs, open alerts, beats and the kill switch.

    Where there is no SQLite file yet, none is created. An older ledger is migrated first. Raises `LedgerError` when
    the server is away, `UsageError` when the address leads nowhere or the ledger is newer than this Muster.
    """
    file = sqlite_file(url)
    if file is not None and not Path(file).exists():
        return Overview(datetime.now(UTC), {}, {}, (), {}, None)
    return _read(url, _overview)


def history(url: str, plan: str, limit: int) -> tuple[RunGlance, ...]:
    """The plan's newest `limit` runs by the time of their slots, the newest first."""
    file = sqlite_file(url)
    if file is not None and not Path(file).exists():
        return ()
    return _read(url, lambda database: _history(database, plan, limit))


def _overview(database: _Database) -> Overview:
    now = database.now()
    with collector_paused():
        standings = {row[0]: standing_of(row) for row in database.rows(STANDINGS)}
    proven = {kind: Proven(kind, moment_of(at), *counts) for kind, at, *counts in database.rows(PROVEN)}
    alerts = tuple(Alarm._make((*told, moment_of(since))) for *told, since in database.rows(ALERTS))
    beats = {name: moment_of(at) for name, at in database.rows(BEATS)}
    stops = [Halt(moment_of(at), by, reason) for at, by, reason in database.rows(STOP)]
    looks = {row[0]: last_look_of(row) for row in database.rows(LOOKS)}
    return Overview(now, standings, proven, alerts, beats, stops[0] if stops else None, looks)


def _history(database: _Database, plan: str, limit: int) -> tuple[RunGlance, ...]:
    return tuple(run_glance_of(row) for row in database.rows(HISTORY, plan=plan, limit=limit))


def _read(url: str, ask: Callable[[_Database], Read]) -> Read:
    """By the short way; by the long way, which migrates or says what is wrong, where the short one does not lead."""
    found = _read_directly(url, ask)
    if found is not None:
        return found
    from muster.ledger.opening import open_ledger

    with open_ledger(url) as ledger, ledger.reading() as connection:
        raw: Any = connection.connection.driver_connection
        is_postgres = connection.dialect.name == "postgresql"
        return ask(_Database(raw, _CLOCK if is_postgres else None))


def _read_directly(url: str, ask: Callable[[_Database], Read]) -> Read | None:
    """`None` when the ledger is not at this Muster's version, or cannot be read: the long way finds out why."""
    file = sqlite_file(url)
    if file is not None:
        return _read_sqlite(file, ask)
    arguments = postgres_arguments(url)
    return None if arguments is None else _read_postgres(arguments, ask)


def _read_sqlite(file: str, ask: Callable[[_Database], Read]) -> Read | None:
    try:
        # mode=rw makes no file; mode=ro would leave the files of the write-ahead log behind.
        address = f"{Path(file).absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            database = _Database(connection, None)
            return ask(database) if database.rows(_VERSION) == [(HEAD,)] else None
    except sqlite3.Error:
        return None


_CLOCK = "SELECT clock_timestamp()"
_SETTINGS = f"SELECT set_config('TimeZone', 'UTC', false), set_config('lock_timeout', '{_PATIENCE}s', false)"


def _read_postgres(arguments: dict[str, Any], ask: Callable[[_Database], Read]) -> Read | None:
    import psycopg

    arguments = {"connect_timeout": _PATIENCE, **arguments}
    try:
        with psycopg.connect(**arguments) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.execute(_SETTINGS)
            database = _Database(connection, _CLOCK)
            return ask(database) if database.rows(_VERSION) == [(HEAD,)] else None
    except psycopg.OperationalError as error:
        raise LedgerError(
            f"the ledger's server gave no answer: {first_line(error)}",
            "check that the database is up and that MUSTER_LEDGER names it (host, port, user, database)",
        ) from None
    except psycopg.Error:
        return None
