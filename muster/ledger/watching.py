"""What the watch keeps in the ledger: alerts that people were told of, and when each part was last heard of.

Promises: a condition that goes on is one alert, whoever raises it and how often; one that comes back is another.
"""

import json
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, Update, select, update

from muster.ledger.database import Database, clock_of
from muster.ledger.rows import Alert, to_utc
from muster.ledger.schema import RAISED, alerts, beats
from muster.ledger.standings import insert_or

_COLUMNS = tuple(alerts.c[name] for name in Alert.model_fields)


class Watching(Database):
    """What the ledger knows of alerts and beats."""

    def raise_alert(self, subject: str, condition: str, severity: str, words: str) -> bool:
        """Whether it is new, or was resolved before; else its words and severity are made current."""
        said = {"severity": severity, "words": words}
        new = {"subject": subject, "condition": condition, "told": "[]", **said}
        with self.writing() as connection:
            if connection.execute(_raised(subject, condition).values(said)).rowcount:
                return False
            insertion = insert_or(connection)(alerts).values(new | {"since": clock_of(connection)})
            added = insertion.on_conflict_do_nothing().returning(alerts.c.id)
            return connection.execute(added).first() is not None

    def note_told(self, subject: str, condition: str, routes: Iterable[str]) -> None:
        """Add the routes that took the message. Nothing happens when the alert is over."""
        with self.writing() as connection:
            told = _told(connection, subject, condition)
            merged = list(dict.fromkeys((*told, *routes)))
            connection.execute(_raised(subject, condition).values(told=json.dumps(merged)))

    def resolve_alert(self, subject: str, condition: str) -> bool:
        """Whether there was such an alert to end."""
        with self.writing() as connection:
            over = _raised(subject, condition).values(resolved_at=clock_of(connection))
            return bool(connection.execute(over).rowcount)

    def alerts(self, *, everything: bool = False) -> tuple[Alert, ...]:
        """Alerts that are not over, the oldest first; with `everything`, those that are over too."""
        query = select(*_COLUMNS).where(*([] if everything else [RAISED])).order_by(alerts.c.since, alerts.c.id)
        with self.reading() as connection:
            return tuple(Alert.model_validate(row._asdict()) for row in connection.execute(query))

    def beat(self, name: str) -> None:
        """Note that a part of Muster is alive, such as `watch`."""
        with self.writing() as connection:
            row = insert_or(connection)(beats).values(name=name, at=clock_of(connection))
            connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"at": row.excluded.at}))

    def beats(self) -> dict[str, datetime]:
        """When each part was last heard of."""
        with self.reading() as connection:
            return {row.name: to_utc(row.at) for row in connection.execute(select(beats))}


def _raised(subject: str, condition: str) -> Update:
    return update(alerts).where(alerts.c.subject == subject, alerts.c.condition == condition, RAISED)


def _told(connection: Connection, subject: str, condition: str) -> tuple[str, ...]:
    same = (alerts.c.subject == subject, alerts.c.condition == condition, RAISED)
    found = connection.execute(select(alerts.c.told).where(*same).with_for_update()).scalar()
    return tuple(json.loads(found)) if found else ()
