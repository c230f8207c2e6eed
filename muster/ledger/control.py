"""What people decide in the ledger: approvals of single runs, and the kill switch.

Promises: the first decision on a run is the one that holds; the kill switch holds until somebody ends it; every
decision and stop has the database's time.
"""

from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from muster.errors import Refusal
from muster.ledger.database import Database, clock_of
from muster.ledger.rows import Decision, Stop
from muster.ledger.runs import unknown_run
from muster.ledger.schema import approvals, runs, stops


class Control(Database):
    """What the ledger knows of people's decisions."""

    def record_decision(self, run: str, *, approved: bool, by: str, note: str = "") -> Decision:
        """Keep an approver's word on a run; `Refusal` when there is one already, or the run has ended."""
        values: dict[str, Any] = {"run": run, "approved": approved, "by": by, "note": note}
        try:
            with self.writing() as connection:
                # The run's row is held, so that it cannot end between this look and the decision.
                found = connection.execute(select(runs.c.outcome).where(runs.c.run == run).with_for_update()).first()
                if found is None:
                    raise unknown_run(run)
                if found.outcome is not None:
                    raise Refusal(f"run {run} has already ended as {found.outcome}", "start another run")
                values["at"] = clock_of(connection)
                connection.execute(insert(approvals).values(values))
        except IntegrityError:
            raise self._why_not_decided(run) from None
        return Decision.model_validate(values)

    def decision(self, run: str) -> Decision | None:
        """What was decided on a run; `None` while nobody has."""
        with self.reading() as connection:
            row = connection.execute(select(approvals).where(approvals.c.run == run)).first()
            return Decision.model_validate(row._asdict()) if row else None

    def stop_all(self, by: str, reason: str) -> Stop:
        """Throw the kill switch. Thrown twice it is two stops, both on record, and one `resume_all` ends both."""
        with self.writing() as connection:
            values = {"at": clock_of(connection), "by": by, "reason": reason, "resumed_by": "", "resumed_reason": ""}
            key = connection.execute(insert(stops).values(values)).inserted_primary_key
        return Stop.model_validate(values | {"id": key[0] if key else None})

    def resume_all(self, by: str, reason: str) -> int:
        """End every stop that holds; returns how many those were."""
        with self.writing() as connection:
            values = {"resumed_at": clock_of(connection), "resumed_by": by, "resumed_reason": reason}
            return connection.execute(update(stops).where(stops.c.resumed_at.is_(None)).values(values)).rowcount

    def current_stop(self) -> Stop | None:
        """The newest stop that holds; `None` while drills may run."""
        query = select(stops).where(stops.c.resumed_at.is_(None)).order_by(stops.c.id.desc()).limit(1)
        with self.reading() as connection:
            row = connection.execute(query).first()
            return Stop.model_validate(row._asdict()) if row else None

    def _why_not_decided(self, run: str) -> Refusal:
        first = self.decision(run)
        words = f"{'approved' if first.approved else 'rejected'} by {first.by}" if first else "decided on"
        return Refusal(f"run {run} was already {words}", "the first decision holds; start another run to decide anew")
