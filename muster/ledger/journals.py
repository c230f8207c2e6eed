"""The journals of runs in the ledger.

Promises: an event is written once per (run, seq), which is the fence between two processes; whether a run needs its
undo is counted in the event's own transaction.
"""

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from muster.errors import JournalError
from muster.journal import Event, EventKind
from muster.ledger.database import Database
from muster.ledger.rows import canonical
from muster.ledger.schema import events, runs

TAKEN_OVER = "another process has taken the run over and goes on with it; see `muster undo list`"


class Journals(Database):
    """What the ledger knows of journals."""

    def append_event(self, event: Event) -> None:
        """Make one event durable; `JournalError` when the run already has this `seq`, or is not in the ledger."""
        try:
            with self.writing() as connection:
                connection.execute(insert(events), [_event_row(event)])
                if event.kind in (EventKind.STARTED, EventKind.UNDONE):
                    connection.execute(update(runs).where(runs.c.run == event.run).values(needs_undo=_STEPS_OPEN))
        except IntegrityError:
            raise self._why_not_appended(event) from None

    def read_events(self, run: str) -> tuple[Event, ...]:
        """A run's events in order; none for a run that is not known."""
        with self.reading() as connection:
            found = connection.execute(select(events).where(events.c.run == run).order_by(events.c.seq))
            return tuple(_event_of(row) for row in found)

    def _why_not_appended(self, event: Event) -> JournalError:
        with self.reading() as connection:
            is_known = connection.execute(select(runs.c.run).where(runs.c.run == event.run)).first()
        if is_known:
            return JournalError(f"run {event.run} already has an event {event.seq}", TAKEN_OVER)
        return JournalError(f"run {event.run} is not in the ledger {self.address}", "open the run before its journal")


# By the journal's transition table a step starts once and `undone` is its end: the difference of the two counts
# is the number of steps that need their undo. Counted from the events, in the event's own transaction: no drift.
_STARTED, _UNDONE = (func.count().filter(events.c.kind == kind) for kind in (EventKind.STARTED, EventKind.UNDONE))
_STEPS_OPEN = select(_STARTED > _UNDONE).where(events.c.run == runs.c.run).scalar_subquery()


def _event_row(event: Event) -> dict[str, Any]:
    try:
        return event.model_dump() | {"body": canonical(event.body)}
    except ValueError as error:
        raise JournalError(
            f"run {event.run}: the body of event {event.seq} ({event.kind.value}) cannot be kept as it is: {error}",
            "write models with model_dump(mode='json')",
        ) from None


def _event_of(row: Row[Any]) -> Event:
    values = row._asdict()
    at = values["at"] if isinstance(values["at"], datetime) else datetime.fromisoformat(values["at"])
    return Event.model_validate(values | {"at": at.astimezone(UTC), "body": json.loads(values["body"])})
