"""The ledger opened: runs with their leases, the journal's events, the proofs of drills.

Promises: a method that returned has written durably, in one transaction; an event is written once per
(run, seq), which is the fence between two processes; a run ends once.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, func, insert, select, text, true, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from muster.errors import JournalError, Refusal
from muster.journal import Event, EventKind
from muster.ledger.errors import LedgerError, explain
from muster.ledger.glance import LATEST_BY_PLAN, PlanStatus, status_of
from muster.ledger.rows import OWNER_COLUMNS, Measures, NewRun, Owner, Proof, Run, canonical, run_of, slot_key
from muster.ledger.schema import PASSED, UNFINISHED, events, proofs, runs
from muster.verdict import Outcome, Verdict

IMMEDIATE = "IMMEDIATE"
"""SQLite takes its write lock at the start, so no transaction fails half-way for want of it."""

_NEWEST_FIRST = (runs.c.opened_at.desc(), runs.c.run.desc())
_TAKEN_OVER = "another process has taken the run over and goes on with it; see `muster undo list`"


@dataclass(frozen=True)
class Ledger:
    """An open ledger, safe to share between threads. Made by `open_ledger`; closed by `close` or `with`."""

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
        with self._reading() as connection:
            return _now(connection)

    def append_event(self, event: Event) -> None:
        """Make one event durable; `JournalError` when the run already has this `seq`, or is not in the ledger."""
        try:
            with self._writing() as connection:
                connection.execute(insert(events), [_event_row(event)])
                if event.kind in (EventKind.STARTED, EventKind.UNDONE):
                    connection.execute(update(runs).where(runs.c.run == event.run).values(needs_undo=_STEPS_OPEN))
        except IntegrityError:
            raise self._why_not_appended(event) from None

    def read_events(self, run: str) -> tuple[Event, ...]:
        """A run's events in order; none for a run that is not known."""
        with self._reading() as connection:
            found = connection.execute(select(events).where(events.c.run == run).order_by(events.c.seq))
            return tuple(_event_of(row) for row in found)

    def open_run(self, new: NewRun) -> Run:
        """Open a run and lease it to its owner; `Refusal` when its slot already has a run."""
        slot = slot_key(new.plan, new.scheduled_at) if new.scheduled_at else None
        try:
            with self._writing() as connection:
                now = _now(connection)
                values = new.model_dump(exclude={"owner", "lease_seconds"}) | _columns_of(new.owner)
                lease = now + timedelta(seconds=new.lease_seconds)
                fresh = {"slot": slot, "opened_at": now, "lease_until": lease, "needs_undo": False, "facts": "{}"}
                connection.execute(insert(runs).values(values | fresh))
        except IntegrityError:
            raise self._why_not_opened(new, slot) from None
        return self.run(new.run)

    def renew_lease(self, run: str, seconds: float, owner: Owner) -> None:
        """Keep the run for another `seconds` from now; `JournalError` when it is no longer `owner`'s."""
        with self._writing() as connection:
            until = _now(connection) + timedelta(seconds=seconds)
            mine = update(runs).where(runs.c.run == run, _is_owned_by(owner))
            if connection.execute(mine.values(lease_until=until)).rowcount == 0:
                raise JournalError(f"the lease of run {run} is not this process's to renew", _TAKEN_OVER)

    def take_over(self, seen: Run, owner: Owner, seconds: float, *, owner_is_dead: bool = False) -> bool:
        """Make `owner` the run's owner if it is still the one `seen` and its lease ran out, or it is known dead.

        Compare and set: of several processes that saw the same owner, one gets `True`.
        """
        with self._writing() as connection:
            now = _now(connection)
            is_free = true() if owner_is_dead else runs.c.lease_until < now
            unchanged = update(runs).where(runs.c.run == seen.run, _is_owned_by(seen.owner), is_free)
            values = _columns_of(owner) | {"lease_until": now + timedelta(seconds=seconds)}
            return connection.execute(unchanged.values(values)).rowcount == 1

    def close_run(
        self,
        run: str,
        outcome: Outcome,
        verdict: Verdict | None = None,
        measures: Measures | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Run:
        """End a run. Ending it again the same way changes nothing; another way is a `JournalError`."""
        values = {"outcome": outcome, "verdict": verdict, "facts": canonical(dict(facts or {}))}
        values |= (measures or Measures()).model_dump()
        with self._writing() as connection:
            still_open = update(runs).where(runs.c.run == run, runs.c.outcome.is_(None))
            connection.execute(still_open.values(values | {"ended_at": _now(connection)}))
        closed = self.run(run)
        if closed.outcome is not outcome:
            raise JournalError(f"run {run} has already ended as {closed.outcome}, not as {outcome}", _TAKEN_OVER)
        return closed

    def set_bundle(self, run: str, sha256: str, key: str) -> None:
        """Keep the sealed bundle's digest, and its name in the store."""
        with self._writing() as connection:
            sealed = update(runs).where(runs.c.run == run).values(bundle_sha256=sha256, bundle_key=key)
            if connection.execute(sealed).rowcount == 0:
                raise _unknown(run)

    def run(self, run: str) -> Run:
        """One run; `LedgerError` when there is none of this name."""
        found = self._runs(runs.c.run == run, limit=1)
        if not found:
            raise _unknown(run)
        return found[0]

    def runs(self, plan: str | None = None, limit: int = 50) -> tuple[Run, ...]:
        """The newest runs first, of one plan or of all."""
        return self._runs(*([runs.c.plan == plan] if plan else []), limit=limit)

    def unfinished_runs(self) -> tuple[Run, ...]:
        """Runs without an outcome, and runs of which a step is not undone, the newest first."""
        return self._runs(UNFINISHED)

    def last_pass(self, plan: str) -> Run | None:
        """The newest run of the plan that passed."""
        found = self._runs(runs.c.plan == plan, PASSED, limit=1)
        return found[0] if found else None

    def latest_by_plan(self) -> tuple[PlanStatus, ...]:
        """Every plan that ever ran, by name, with its newest run and its newest pass."""
        with self._reading() as connection:
            return tuple(status_of(row._asdict()) for row in connection.execute(text(LATEST_BY_PLAN)))

    def record_proof(self, proof: Proof) -> None:
        """Keep what the negative controls showed."""
        values = proof.model_dump() | {"matrix": canonical(proof.model_dump(mode="json")["matrix"])}
        with self._writing() as connection:
            connection.execute(insert(proofs).values(values))

    def last_proof(self, kind: str) -> Proof | None:
        """The newest proof of a drill kind."""
        newest = (proofs.c.at.desc(), proofs.c.id.desc())
        columns = [proofs.c[name] for name in Proof.model_fields]
        with self._reading() as connection:
            found = connection.execute(select(*columns).where(proofs.c.kind == kind).order_by(*newest).limit(1))
            row = found.first()
            return Proof.model_validate(row._asdict()) if row else None

    def _runs(self, *where: Any, limit: int | None = None) -> tuple[Run, ...]:
        query = select(runs).where(*where).order_by(*_NEWEST_FIRST).limit(limit)
        with self._reading() as connection:
            return tuple(run_of(row._asdict()) for row in connection.execute(query))

    def _reading(self) -> AbstractContextManager[Connection]:
        return self._transaction("DEFERRED")

    def _writing(self) -> AbstractContextManager[Connection]:
        return self._transaction(IMMEDIATE)

    @contextmanager
    def _transaction(self, sqlite_begin: str) -> Iterator[Connection]:
        """Commits at its end. Breaches of a key go to the caller, who knows what they mean."""
        try:
            with self.engine.execution_options(sqlite_begin=sqlite_begin).begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise explain(self.address, error.orig) from error

    def _why_not_appended(self, event: Event) -> JournalError:
        if self._runs(runs.c.run == event.run, limit=1):
            return JournalError(f"run {event.run} already has an event {event.seq}", _TAKEN_OVER)
        return JournalError(f"run {event.run} is not in the ledger {self.address}", "open the run before its journal")

    def _why_not_opened(self, new: NewRun, slot: str | None) -> Exception:
        for holder in self._runs(runs.c.slot == slot, limit=1) if slot else ():
            return Refusal(
                f"the slot {new.scheduled_at} of plan {new.plan} already has run {holder.run}",
                "one due time is drilled once; start a run by hand if you want another",
            )
        return LedgerError(f"a run named {new.run} is already in the ledger", "start the run again: it gets a new name")


# By the journal's transition table a step starts once and `undone` is its end: the difference of the two counts
# is the number of steps that need their undo. Counted from the events, in the event's own transaction: no drift.
_STARTED, _UNDONE = (func.count().filter(events.c.kind == kind) for kind in (EventKind.STARTED, EventKind.UNDONE))
_STEPS_OPEN = select(_STARTED > _UNDONE).where(events.c.run == runs.c.run).scalar_subquery()


def _now(connection: Connection) -> datetime:
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)  # SQLite has no clock but this machine's, and reads it in milliseconds only
    moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment.astimezone(UTC)


def _is_owned_by(owner: Owner) -> ColumnElement[bool]:
    return and_(*(runs.c[column] == value for column, value in _columns_of(owner).items()))


def _columns_of(owner: Owner) -> dict[str, Any]:
    return {OWNER_COLUMNS[name]: value for name, value in owner.model_dump().items()}


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


def _unknown(run: str) -> LedgerError:
    return LedgerError(f"there is no run {run!r} in the ledger", "see `muster status` for the runs there are")
