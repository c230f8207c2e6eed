"""Looks at targets between drills: whether each is ready, since when, and a bounded history of it.

Promises: the newest look of every plan is one flat row, kept in the transaction that adds the look; `since` spans no
time in which nobody looked; of a plan at most `KEPT` looks stay, and of all of them none older than `KEPT_FOR`.
"""

import json
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, insert, literal_column, select

from muster.clock import AHEAD
from muster.ledger.database import Database, clock_of
from muster.ledger.reading import last_look_of
from muster.ledger.rows import Look, NewLook, to_utc
from muster.ledger.schema import looks, readiness
from muster.ledger.standing import STALE_AFTER, LastLook
from muster.ledger.standings import insert_or

KEPT = 10_000
KEPT_FOR = timedelta(days=30)

_COLUMNS = tuple(looks.c[name] for name in Look.model_fields)
_LAST = tuple(readiness.c[name] for name in LastLook._fields)
_GIVEN = ("plan", "at", "by", "host", "substance", "verdict", "seconds")


class Looks(Database):
    """What the ledger knows of looks."""

    def record_look(self, look: NewLook) -> Look:
        """Keep a look, with the database's time; old ones go."""
        against = look.against
        with self.writing() as connection:
            values: dict[str, Any] = {
                **look.model_dump(include=set(_GIVEN)),
                "at": clock_of(connection),
                "verdict": look.verdict.value,
                "why": f"{against.check}: {against.seen}" if against else "",
                "advice": against.advice if against else "",
            }
            number, since = connection.execute(_renewal(connection, values, look)).one()
            values |= {"number": number, "since": to_utc(since)}
            findings = json.dumps([f.model_dump(mode="json") for f in look.findings])
            kept = {name: values[name] for name in (*_GIVEN, "number", "since")} | {"findings": findings}
            connection.execute(insert(looks).values(kept))
            _prune(connection, values)
        return Look.model_validate(kept)

    def last_looks(self) -> dict[str, LastLook]:
        """The newest look at each plan's target, by plan."""
        return self._last_looks()

    def last_look(self, plan: str) -> LastLook | None:
        """The newest look at one plan's target; `None` when there was none."""
        return self._last_looks(readiness.c.plan == plan).get(plan)

    def looks(self, plan: str, limit: int) -> tuple[Look, ...]:
        """The plan's newest looks, the newest first."""
        query = select(*_COLUMNS).where(looks.c.plan == plan).order_by(looks.c.number.desc()).limit(limit)
        with self.reading() as connection:
            return tuple(Look.model_validate(row._asdict()) for row in connection.execute(query))

    def oldest_look(self) -> datetime | None:
        """When the oldest look was taken that is kept of any plan."""
        with self.reading() as connection:
            found = connection.execute(select(func.min(looks.c.at))).scalar()
            return to_utc(found) if found else None

    def _last_looks(self, *where: Any) -> dict[str, LastLook]:
        with self.reading() as connection:
            return {row.plan: last_look_of(row) for row in connection.execute(select(*_LAST).where(*where))}


def _renewal(connection: Connection, values: dict[str, Any], look: NewLook) -> Any:
    """The plan's row made current; gives the look's number, and since when it is as it is."""
    row = insert_or(connection)(readiness).values(values | {"number": 1, "since": values["at"], "times": 1})
    goes_on = _goes_on(row.excluded, values["at"], look.every_seconds)
    kept = {name: row.excluded[name] for name in (*_GIVEN, "why", "advice") if name != "plan"}
    counted = {
        "number": readiness.c.number + 1,
        "since": case((goes_on, readiness.c.since), else_=row.excluded.since),
        "times": case((goes_on, readiness.c.times + literal_column("1")), else_=literal_column("1")),
    }
    renewed = row.on_conflict_do_update(index_elements=["plan"], set_=kept | counted)
    return renewed.returning(readiness.c.number, readiness.c.since)


def _goes_on(new: Any, now: Any, every_seconds: float) -> ColumnElement[bool]:
    """Whether the look found what the last one did, of the same thing, so soon after it that nothing can be missing."""
    return and_(
        readiness.c.verdict == new.verdict,
        readiness.c.substance == new.substance,
        readiness.c.at >= now - timedelta(seconds=STALE_AFTER * every_seconds),
        readiness.c.at <= now + AHEAD,
    )


def _prune(connection: Connection, values: dict[str, Any]) -> None:
    connection.execute(delete(looks).where(looks.c.plan == values["plan"], looks.c.number <= values["number"] - KEPT))
    connection.execute(delete(looks).where(looks.c.at < values["at"] - KEPT_FOR))
