"""The connection to a ledger's database, its transactions and its clock.

Promises: a transaction commits at its end or leaves nothing; what goes wrong in it is told with the next move; the
clock is the database's own, which all processes of a ledger share.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from muster.ledger.errors import explain

IMMEDIATE = "IMMEDIATE"
"""SQLite takes its write lock at the start, so no transaction fails half-way for want of it."""


@dataclass(frozen=True)
class Database:
    """An open database, safe to share between threads."""

    engine: Engine
    address: str
    """The URL without its password."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def now(self) -> datetime:
        """The database's clock, UTC: the one clock that all processes of a ledger share."""
        with self.reading() as connection:
            return clock_of(connection)

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that only reads."""
        return self._transaction("DEFERRED")

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that writes; on SQLite the only one of its moment."""
        return self._transaction(IMMEDIATE)

    @contextmanager
    def _transaction(self, sqlite_begin: str) -> Iterator[Connection]:
        """Breaches of a key go to the caller, who knows what they mean."""
        try:
            with self.engine.execution_options(sqlite_begin=sqlite_begin).begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise explain(self.address, error.orig) from error


def clock_of(connection: Connection) -> datetime:
    """The database's clock inside a transaction: the moment of asking, not of the transaction's begin."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)  # SQLite has no clock but this machine's, and reads it in milliseconds only
    moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment.astimezone(UTC)
