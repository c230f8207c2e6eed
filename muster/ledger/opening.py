"""Opening a ledger: the address, the connection's settings, the schema brought to its newest revision.

Promises: an open at head costs milliseconds, with no Alembic; of several processes that open at once one
migrates and the others wait for it; a database from a newer Muster is refused; no message holds a password.
"""

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from muster.errors import UsageError
from muster.ledger.database import IMMEDIATE
from muster.ledger.errors import explain, first_line, is_lock
from muster.ledger.ledger import Ledger
from muster.ledger.migrations import HEAD
from muster.ledger.standings import rebuild_standings

_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_ADVICE = {
    "sqlite": "check that the file is a ledger, may be written, and that its disk has room; MUSTER_LEDGER names it",
    "postgresql+psycopg": "check that the database is up and that MUSTER_LEDGER names it (host, port, user, database)",
}
MIGRATING = 0x6D7573746572
"""The key of PostgreSQL's advisory lock on migrations: "muster" in ASCII."""


def open_ledger(url: str, *, patience: float = 10.0) -> Ledger:
    """Open the ledger at an SQLAlchemy URL, create or migrate it where needed.

    `patience` is how many seconds a statement waits for another process's lock. Raises `UsageError` when the
    database cannot be reached, is none of ours, or was written by a newer Muster.
    """
    parsed = _parse(url)
    address = parsed.difference_update_query(["password"]).render_as_string(hide_password=True)
    engine = _sqlite(parsed, address, patience) if parsed.drivername == "sqlite" else _postgres(parsed, patience)
    try:
        _bring_to_head(engine, address)
    except DBAPIError as error:
        engine.dispose()
        if is_lock(error.orig):
            raise explain(address, error.orig) from None
        raise UsageError(
            f"the ledger {address} cannot be opened: {first_line(error.orig)}",
            _ADVICE[parsed.drivername],
        ) from None
    except BaseException:
        engine.dispose()
        raise
    return Ledger(engine, address)


def _parse(url: str) -> URL:
    advice = "set MUSTER_LEDGER to sqlite:////folder/ledger.sqlite or postgresql://user@host/database"
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The text is not repeated: what cannot be taken apart may hold a password anywhere.
        raise UsageError("the ledger's address is no database URL", advice) from None
    if parsed.drivername not in _DRIVERS:
        raise UsageError(f"the ledger cannot live in {parsed.drivername!r}: SQLite and PostgreSQL only", advice)
    parsed = parsed.set(drivername=_DRIVERS[parsed.drivername])
    if parsed.drivername == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UsageError("the ledger needs a file: one kept in memory would forget every run", advice)
    return parsed


def _sqlite(url: URL, address: str, patience: float) -> Engine:
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the ledger {address} cannot be opened: {folder} cannot be made: {error.strerror}",
            "check the path and its permissions, or set MUSTER_HOME to a folder of yours",
        ) from None
    engine = create_engine(url, connect_args={"timeout": patience})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin below, not where the driver guesses
        connection.execute("PRAGMA foreign_keys = ON")
        _use_wal(connection, patience)
        connection.execute("PRAGMA synchronous = FULL")  # with WAL, anything less may lose the last commits

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")

    return engine


def _use_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Readers never wait for the writer. The busy timeout does not cover this switch, hence the loop."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _postgres(url: URL, patience: float) -> Engine:
    defaults = {key: value for key, value in {"connect_timeout": 10}.items() if key not in url.query}
    # A drill can leave a connection idle for hours; a firewall that dropped it must not fail the next event.
    engine = create_engine(url, connect_args=defaults, pool_pre_ping=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{round(patience * 1000)}ms"])
            # Any other setting of the server is at least as durable and stays as it is.
            cursor.execute(
                "SELECT set_config(name, 'on', false) FROM pg_settings WHERE name = %s AND setting = 'off'",
                ["synchronous_commit"],
            )
        connection.commit()

    return engine


def _bring_to_head(engine: Engine, address: str) -> None:
    with engine.begin() as connection:
        version = _version(connection)
    if version != HEAD:
        with engine.execution_options(sqlite_begin=IMMEDIATE).begin() as connection:
            _migrate(connection, address)


def _migrate(connection: Connection, address: str) -> None:
    """Under a lock that others wait for; whoever waited finds the work done."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
    version = _version(connection)
    if version > HEAD:
        raise UsageError(
            f"the ledger {address} is at revision {version}; this Muster knows up to {HEAD}",
            "upgrade Muster on this machine; an older one must not write here",
        )
    if version < HEAD:
        from alembic import command
        from alembic.config import Config

        config = Config()
        folder = Path(__file__).parent / "migrations"
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        rebuild_standings(connection)  # not in a revision, which must not depend on code that changes after it


def _version(connection: Connection) -> str:
    """The revision the database is at; an empty text for a new one, which sorts before every revision."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "")
