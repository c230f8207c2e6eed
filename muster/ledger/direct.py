"""The ledger as a guarded job asks it: a connection of its own, kept where that saves time, without SQLAlchemy.

Promises: an answer, or an error, comes within a bounded time, whatever the server does or does not do; a connection
that broke is not used again; one that a fork inherited is not used at all; psycopg comes for a PostgreSQL ledger alone.
"""

import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from muster.errors import UsageError
from muster.ledger.address import postgres_arguments, sqlite_file
from muster.ledger.claiming import Execute
from muster.ledger.errors import LedgerError, first_line

Answer = TypeVar("Answer")

SECONDS = 5
"""That a server may take to let us in, and then to answer."""
# A lock is waited for a little shorter than an answer, so that what is told is the lock.
_SETTINGS = """
SELECT set_config('TimeZone', 'UTC', false), set_config('lock_timeout', '4s', false),
  (SELECT set_config(name, 'on', false) FROM pg_settings WHERE name = 'synchronous_commit' AND setting = 'off')
"""
_ADVICE = "check that the database is up and that MUSTER_LEDGER names it (host, port, user, database)"


class LedgerAway(LedgerError):
    """Nobody answered, or not in time. What was being written may be there, or not."""


class Direct(Protocol):
    """A ledger that statements can be put to."""

    is_postgres: bool

    def ask(self, work: Callable[[Execute], Answer]) -> Answer:
        """Let `work` put statements; what it wrote is durable when this returns.

        Raises `LedgerAway`, and `UsageError` when the address leads to no ledger.
        """

    def close(self) -> None:
        """Give the connection back."""


def direct(url: str) -> Direct:
    """The ledger at an address such as `open_ledger` takes; nothing is connected yet."""
    if (file := sqlite_file(url)) is not None:
        return _Sqlite(url, file)
    if (arguments := postgres_arguments(url)) is not None:
        return _Postgres(url, arguments)
    # The address is not repeated: it may hold a password.
    raise UsageError(
        "a guard cannot read the ledger's address",
        "set MUSTER_LEDGER to sqlite:////folder/ledger.sqlite or postgresql://user@host/database",
    )


class _Sqlite:
    """A connection for each question: opening one costs less than a commit."""

    is_postgres = False

    def __init__(self, url: str, file: str) -> None:
        self._url = url
        self._file = file

    def ask(self, work: Callable[[Execute], Answer]) -> Answer:
        """See `Direct`."""
        if not Path(self._file).exists():
            _migrate(self._url)
        try:
            return self._ask(work)
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise _away(error) from error
            _migrate(self._url)
            return self._ask(work)
        except sqlite3.DatabaseError as error:
            raise UsageError(f"the ledger {self._file} is none: {first_line(error)}", _ADVICE) from None

    def _ask(self, work: Callable[[Execute], Answer]) -> Answer:
        address = f"{Path(self._file).absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, timeout=SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            answer = work(lambda statement, values: connection.execute(statement, values).fetchall())
            connection.execute("COMMIT")
            return answer

    def close(self) -> None:
        """Nothing is kept."""


class _Postgres:
    """One kept connection, for one question at a time."""

    is_postgres = True

    def __init__(self, url: str, arguments: dict[str, Any]) -> None:
        self._url = url
        # A network that swallows everything is noticed as well: the kernel's patience would be a quarter of an hour.
        self._arguments = {"connect_timeout": SECONDS, "tcp_user_timeout": 1000 * SECONDS, **arguments}
        self._connection: Any = None
        self._pid = 0
        self._one = threading.Lock()

    def ask(self, work: Callable[[Execute], Answer]) -> Answer:
        """See `Direct`. Each statement is a transaction of its own."""
        from psycopg import Error, InterfaceError, OperationalError
        from psycopg.errors import ReadOnlySqlTransaction, UndefinedTable

        try:
            try:
                return self._ask(work)
            except UndefinedTable:
                _migrate(self._url)
                return self._ask(work)
        except (OperationalError, InterfaceError, ReadOnlySqlTransaction) as error:  # read-only: not promoted yet
            raise _away(error) from error
        except Error as error:
            raise UsageError(f"the ledger does not take claims: {first_line(error)}", _ADVICE) from error

    def _ask(self, work: Callable[[Execute], Answer]) -> Answer:
        with self._one:
            try:
                connection = self._connected()
                with _bounded(connection):
                    return work(lambda statement, values: _rows(connection.execute(statement, values)))
            except BaseException:
                self.close()
                raise

    def _connected(self) -> Any:
        if self._connection is None or self._pid != os.getpid():
            from psycopg import connect

            self._connection, self._pid = connect(**self._arguments, autocommit=True), os.getpid()
            with _bounded(self._connection):
                self._connection.execute(_SETTINGS)
        return self._connection

    def close(self) -> None:
        """Give the connection back; one that belongs to the process that forked us is left to it."""
        connection, self._connection = self._connection, None
        if connection is not None and self._pid == os.getpid():
            connection.close()


@contextmanager
def _bounded(connection: Any) -> Iterator[None]:
    """Past the deadline the socket is shut down: a server that was stopped answers nothing, and keeps no timeout."""
    own = socket.socket(fileno=os.dup(connection.fileno()))
    timer = threading.Timer(SECONDS, _shut, [own])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        own.close()


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is closed already


def _rows(cursor: Any) -> Any:
    return cursor.fetchall() if cursor.description else ()


def _migrate(url: str) -> None:
    """Make the ledger, or bring it to this Muster's revision: rare, and worth its seconds."""
    from muster.ledger.opening import open_ledger

    open_ledger(url).close()


def _away(error: Exception) -> LedgerAway:
    return LedgerAway(f"the ledger gave no answer: {first_line(error)}", _ADVICE)
