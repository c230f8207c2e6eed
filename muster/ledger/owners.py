"""Owners in the ledger: which scheduler holds which schedules, in which epoch, up to which tick.

Promises: a schedule has one open epoch at most; once `raise_epochs` has returned, no claim of the old epoch beyond the
watermark is granted, not even one that was on its way; all schedules of a call change together, or none does.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, literal, null, select, update

from muster.errors import Refusal
from muster.ledger.claiming import Tenure
from muster.ledger.database import Database, clock_of
from muster.ledger.naming import named
from muster.ledger.reading import moment_of
from muster.ledger.schema import Moment, owners

_COLUMNS = tuple(owners.c[name] for name in Tenure._fields)
_OPEN = owners.c.until.is_(None)
_TOLD = 3


class Owners(Database):
    """What the ledger knows of owners."""

    def assign_owner(self, schedules: Collection[str], holder: str) -> None:
        """Give schedules that nobody ever owned to a holder, as epoch 1. Those that are its own stay as they are.

        Raises `Refusal` when one has another owner; then none is assigned.
        """
        names = sorted(set(schedules))
        with self.writing() as connection:
            # No claim may be under way that still believes that nobody owns the schedule.
            _keep_out(connection, "EXCLUSIVE")
            known = _held(connection, names)
            _refuse([f"{name} is {known[name]}'s" for name in names if known.get(name, holder) != holder])
            first = {"epoch": 1, "holder": holder, "since": clock_of(connection), "until": None}
            rows = [{"schedule": name, **first} for name in names if name not in known]
            if rows:
                connection.execute(insert(owners), rows)

    def raise_epochs(self, schedules: Collection[str], holder: str, watermark: datetime, expected_holder: str) -> None:
        """End the open epochs at the watermark, the last tick that is the old holder's, and open new ones.

        Schedules that are the holder's own stay as they are, so that it can be repeated. Raises `Refusal` when one is
        neither its own nor the expected holder's; then nothing changes.
        """
        if watermark.tzinfo is None:
            raise ValueError("a watermark needs its offset from UTC")
        names = sorted(set(schedules))
        with self.writing() as connection:
            _keep_out(connection, "SHARE ROW EXCLUSIVE")
            held = _held(connection, names)
            strange = [name for name in names if held.get(name) not in {holder, expected_holder}]
            _refuse([f"{name} is {_whose(held.get(name))}, not {expected_holder}'s" for name in strange])
            _raise(connection, [name for name in names if held[name] != holder], holder, watermark)

    def owners_of(self, schedules: Collection[str]) -> dict[str, Tenure]:
        """The open epoch of each schedule that somebody owns."""
        with self.reading() as connection:
            query = select(*_COLUMNS).where(_OPEN, named(connection, owners.c.schedule, schedules))
            return {tenure.schedule: tenure for tenure in _tenures(connection.execute(query))}

    def epochs_of(self, schedules: Collection[str]) -> tuple[Tenure, ...]:
        """Every epoch that these schedules had, by schedule, the first one first."""
        with self.reading() as connection:
            query = select(*_COLUMNS).where(named(connection, owners.c.schedule, schedules))
            return tuple(_tenures(connection.execute(query.order_by(owners.c.schedule, owners.c.epoch))))

    def forget_owners(self, schedules: Collection[str]) -> None:
        """Let nobody own these schedules, and nobody ever have: for what a rehearsal leaves. Claims stay."""
        with self.writing() as connection:
            _keep_out(connection, "SHARE ROW EXCLUSIVE")
            connection.execute(delete(owners).where(named(connection, owners.c.schedule, schedules)))


def _keep_out(connection: Connection, mode: str) -> None:
    """One writer at a time. EXCLUSIVE waits for every claim and holds up new ones; the other lets claims go on."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"LOCK TABLE owners IN {mode} MODE")


def _held(connection: Connection, names: list[str]) -> dict[str, str]:
    """The holder of each schedule's open epoch."""
    query = select(owners.c.schedule, owners.c.holder).where(_OPEN, named(connection, owners.c.schedule, names))
    return {schedule: holder for schedule, holder in connection.execute(query)}


def _raise(connection: Connection, names: list[str], holder: str, watermark: datetime) -> None:
    if not names:
        return
    ours = named(connection, owners.c.schedule, names)
    # Waits for claims that hold a row; claims that come now wait for the commit.
    connection.execute(update(owners).where(_OPEN, ours).values(until=watermark))
    values = (literal(holder), literal(clock_of(connection), Moment), null())
    next_epochs = select(owners.c.schedule, func.max(owners.c.epoch) + 1, *values).where(ours)
    fields = [owners.c[name] for name in Tenure._fields]
    connection.execute(insert(owners).from_select(fields, next_epochs.group_by(owners.c.schedule)))


def _tenures(rows: Iterable[Any]) -> list[Tenure]:
    return [Tenure(name, epoch, holder, moment_of(a), moment_of(b)) for name, epoch, holder, a, b in rows]


def _whose(holder: str | None) -> str:
    return "nobody's" if holder is None else f"{holder}'s"


def _refuse(faults: list[str]) -> None:
    if faults:
        more = f", and {len(faults) - _TOLD} more" if len(faults) > _TOLD else ""
        raise Refusal(
            f"the owner is not who it should be: {'; '.join(faults[:_TOLD])}{more}",
            "nothing was changed; find out who handed them over, and begin from there",
        )
