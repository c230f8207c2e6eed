"""Ticks in the ledger: claimed before a job works, granted once, refused with a reason; both are kept.

Promise: what `claim_tick` granted is granted to nobody else, ever.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, select

from muster.ledger.claiming import Claimed, TickClaim, TickRefusal, claim_on_postgres, claim_on_sqlite, tick_key
from muster.ledger.database import Database
from muster.ledger.naming import named
from muster.ledger.reading import moment_of
from muster.ledger.schema import refused_ticks, ticks


class Ticks(Database):
    """What the ledger knows of ticks."""

    def claim_tick(
        self, schedule: str, at: datetime, holder: str = "", *, epoch: int | None = None, by: str = ""
    ) -> Claimed:
        """Claim a tick before its work begins.

        Granted when nobody has it, and either nobody owns the schedule or the holder's newest epoch (or the one that
        is named) is open or ends at this tick or later. `by` says who asked: a host and pid, words of the caller's.
        """
        tick_key(schedule, at)
        values = {"schedule": schedule, "at": at, "holder": holder, "epoch": epoch, "by": by}
        with self.writing() as connection:
            claim = claim_on_sqlite if connection.dialect.name == "sqlite" else claim_on_postgres
            return claim(lambda statement, given: _rows(connection, statement, given), values)

    def claims_between(self, schedules: Collection[str], after: datetime, until: datetime) -> tuple[TickClaim, ...]:
        """Granted claims of ticks later than `after`, up to `until`, by schedule and tick."""
        return tuple(TickClaim._make(row) for row in self._ticks(ticks, TickClaim._fields, schedules, after, until))

    def refusals_between(self, schedules: Collection[str], after: datetime, until: datetime) -> tuple[TickRefusal, ...]:
        """Refused claims of ticks later than `after`, up to `until`, by schedule and tick, the first one first."""
        found = self._ticks(refused_ticks, TickRefusal._fields, schedules, after, until)
        return tuple(TickRefusal._make(row) for row in found)

    def _ticks(
        self, table: Table, fields: Collection[str], schedules: Collection[str], after: datetime, until: datetime
    ) -> list[Any]:
        columns = [table.c[name] for name in fields]
        moments = [place for place, name in enumerate(fields) if name.endswith("at")]
        order = (table.c.schedule, table.c.at, *table.primary_key)
        with self.reading() as connection:
            where = (named(connection, table.c.schedule, schedules), table.c.at > after, table.c.at <= until)
            rows = connection.execute(select(*columns).where(*where).order_by(*order))
            return [_with_moments(row, moments) for row in rows]


def _with_moments(row: Any, places: list[int]) -> list[Any]:
    values = list(row)
    for place in places:
        values[place] = moment_of(values[place])
    return values


def _rows(connection: Connection, statement: str, values: Any) -> Any:
    result = connection.exec_driver_sql(statement, dict(values))
    return result.all() if result.returns_rows else ()
