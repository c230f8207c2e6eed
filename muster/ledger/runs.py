"""Runs and their leases in the ledger.

Promises: one slot has one run, and one run ends once, whoever contends; where its plan stands is written in the
transaction that opens or ends it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, insert, select, true, update
from sqlalchemy.exc import IntegrityError

from evidence.slots import slot_key
from muster.errors import JournalError
from muster.ledger.database import Database, clock_of
from muster.ledger.errors import LedgerError, SlotTaken
from muster.ledger.journals import TAKEN_OVER
from muster.ledger.rows import OWNER_COLUMNS, Due, Measures, NewRun, Owner, Run, canonical, run_of, to_utc
from muster.ledger.schema import PASSED, UNFINISHED, runs
from muster.ledger.standings import Sighting, lock_standing, point_at_open_run, refresh_standing
from muster.verdict import Outcome, Verdict

_NEWEST_FIRST = (runs.c.opened_at.desc(), runs.c.run.desc())
_NEWEST_SLOT_FIRST = (runs.c.scheduled_at.desc(), runs.c.run.desc())


class Runs(Database):
    """What the ledger knows of runs."""

    def open_run(self, new: NewRun) -> Run:
        """Open a run and lease it to its owner; `SlotTaken` when its slot already has a run.

        Who comes late reads that, and waits for no lock; between those who come at once the unique key decides.
        """
        if taken := self._slot_taken(new):
            raise taken
        try:
            with self.writing() as connection:
                lock_standing(connection, new.plan)
                connection.execute(insert(runs).values(_fresh(new, clock_of(connection))))
                point_at_open_run(connection, new.plan)
        except IntegrityError:
            raise self._why_not_opened(new) from None
        return self.run(new.run)

    def renew_lease(self, run: str, seconds: float, owner: Owner) -> None:
        """Keep the run for another `seconds` from now; `JournalError` when it is no longer `owner`'s."""
        with self.writing() as connection:
            until = clock_of(connection) + timedelta(seconds=seconds)
            mine = update(runs).where(runs.c.run == run, _is_owned_by(owner))
            if connection.execute(mine.values(lease_until=until)).rowcount == 0:
                raise JournalError(f"the lease of run {run} is not this process's to renew", TAKEN_OVER)

    def take_over(self, seen: Run, owner: Owner, seconds: float, *, owner_is_dead: bool = False) -> bool:
        """Make `owner` the run's owner if it is still the one `seen` and its lease ran out, or it is known dead.

        Compare and set: of several processes that saw the same owner, one gets `True`.
        """
        with self.writing() as connection:
            now = clock_of(connection)
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
        *,
        headline: str = "",
        target_digest: str | None = None,
        due: Due | None = None,
    ) -> Run:
        """End a run. Ending it again the same way changes nothing; another way is a `JournalError`.

        `target_digest` is of what the target proved to be; `due` is what follows a pass by the plan's cadence. Without
        it a pass leaves the standing's due times to be computed by whoever reads them.
        """
        values = {"outcome": outcome, "verdict": verdict, "facts": canonical(dict(facts or {}))}
        values |= {"headline": headline, "target_digest": target_digest} | (measures or Measures()).model_dump()
        with self.writing() as connection:
            plan = _plan_of(connection, run)
            lock_standing(connection, plan)
            now = clock_of(connection)
            still_open = update(runs).where(runs.c.run == run, runs.c.outcome.is_(None))
            if connection.execute(still_open.values(values | {"ended_at": now})).rowcount:
                sighting = Sighting(target_digest, now) if target_digest else None
                refresh_standing(connection, plan, run, due, sighting)
        closed = self.run(run)
        if closed.outcome is not outcome:
            raise JournalError(f"run {run} has already ended as {closed.outcome}, not as {outcome}", TAKEN_OVER)
        return closed

    def set_bundle(self, run: str, sha256: str, key: str) -> None:
        """Keep the sealed bundle's digest, and its name in the store."""
        with self.writing() as connection:
            plan = _plan_of(connection, run)
            lock_standing(connection, plan)
            connection.execute(update(runs).where(runs.c.run == run).values(bundle_sha256=sha256, bundle_key=key))
            refresh_standing(connection, plan)

    def run(self, run: str) -> Run:
        """One run; `LedgerError` when there is none of this name."""
        found = self._runs(runs.c.run == run)
        if not found:
            raise unknown_run(run)
        return found[0]

    def runs(self, plan: str | None = None, limit: int = 50) -> tuple[Run, ...]:
        """The newest runs first: of one plan by the time of their slots, of all by their opening."""
        if plan is None:
            return self._runs(limit=limit)
        return self._runs(runs.c.plan == plan, order=_NEWEST_SLOT_FIRST, limit=limit)

    def unfinished_runs(self) -> tuple[Run, ...]:
        """Runs without an outcome, and runs of which a step is not undone, the newest first."""
        return self._runs(UNFINISHED)

    def last_pass(self, plan: str) -> Run | None:
        """The run of the plan's newest slot that passed."""
        found = self._runs(runs.c.plan == plan, PASSED, order=_NEWEST_SLOT_FIRST, limit=1)
        return found[0] if found else None

    def first_run(self, plan: str) -> Run | None:
        """The plan's run that was opened first."""
        found = self._runs(runs.c.plan == plan, order=(runs.c.opened_at, runs.c.run), limit=1)
        return found[0] if found else None

    def slots_taken(self, plan: str, after: datetime, until: datetime) -> frozenset[datetime]:
        """The times in (after, until] for which the plan has a run, open or ended, on demand or by schedule."""
        within = (runs.c.plan == plan, runs.c.scheduled_at > after, runs.c.scheduled_at <= until)
        with self.reading() as connection:
            return frozenset(
                to_utc(at) for at in connection.execute(select(runs.c.scheduled_at).where(*within)).scalars()
            )

    def _runs(self, *where: Any, order: Any = _NEWEST_FIRST, limit: int | None = None) -> tuple[Run, ...]:
        query = select(runs).where(*where).order_by(*order).limit(limit)
        with self.reading() as connection:
            return tuple(run_of(row._asdict()) for row in connection.execute(query))

    def _slot_taken(self, new: NewRun) -> SlotTaken | None:
        if new.scheduled_at is None:
            return None
        held = self._runs(runs.c.slot == slot_key(new.plan, new.scheduled_at))
        return SlotTaken(f"the slot {new.scheduled_at} of plan {new.plan}", held[0].run) if held else None

    def _why_not_opened(self, new: NewRun) -> Exception:
        if taken := self._slot_taken(new):
            return taken
        return LedgerError(f"a run named {new.run} is already in the ledger", "start the run again: it gets a new name")


def unknown_run(run: str) -> LedgerError:
    """The error for a name that no run has."""
    return LedgerError(f"there is no run {run!r} in the ledger", "see `muster status` for the runs there are")


def _fresh(new: NewRun, now: datetime) -> dict[str, Any]:
    scheduled_at = (new.scheduled_at or now).astimezone(UTC)
    return {
        **new.model_dump(exclude={"owner", "lease_seconds"}),
        **_columns_of(new.owner),
        "scheduled_at": scheduled_at,
        "slot": slot_key(new.plan, scheduled_at),
        "opened_at": now,
        "lease_until": now + timedelta(seconds=new.lease_seconds),
        "needs_undo": False,
        "headline": "",
        "facts": "{}",
    }


def _plan_of(connection: Connection, run: str) -> str:
    plan: str | None = connection.execute(select(runs.c.plan).where(runs.c.run == run)).scalar()
    if plan is None:
        raise unknown_run(run)
    return plan


def _is_owned_by(owner: Owner) -> ColumnElement[bool]:
    return and_(*(runs.c[column] == value for column, value in _columns_of(owner).items()))


def _columns_of(owner: Owner) -> dict[str, Any]:
    return {OWNER_COLUMNS[name]: value for name, value in owner.model_dump().items()}
