"""What the ledger knows of each plan: where it stands, since when, and up to when its slots are accounted for.

Promises: nothing here moves an account backwards; a due time older than the newest pass is never kept.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, case, or_, select, update

from muster.ledger.database import Database, clock_of
from muster.ledger.reading import standing_of
from muster.ledger.rows import Due
from muster.ledger.schema import standings
from muster.ledger.standing import Standing
from muster.ledger.standings import SEE, insert_or, lock_standing, rebuild_standings

_COLUMNS = tuple(standings.c[name] for name in Standing._fields)
_MOMENT = standings.c.since.type


class Plans(Database):
    """What the ledger knows of plans."""

    def standings(self) -> tuple[Standing, ...]:
        """Every plan that was ever enrolled or run, retired ones too, by name."""
        return self._standings()

    def standing(self, plan: str) -> Standing | None:
        """One plan's standing; `None` when the ledger never heard of it."""
        found = self._standings(standings.c.plan == plan)
        return found[0] if found else None

    def rebuild_standings(self) -> int:
        """Derive every standing from the runs anew; returns how many there are. What it writes is what was there."""
        with self.writing() as connection:
            return rebuild_standings(connection)

    def enroll(self, plans: Mapping[str, Due]) -> None:
        """Make these plans known, with their cadence and due times, in one transaction.

        The slots of a new plan count from now, and so do those of a plan that was retired. A due time that is not
        after the plan's last pass was computed before that pass, and is left out: enroll the plan again.
        """
        with self.writing() as connection:
            now = clock_of(connection)
            new = {"since": now, "accounted_until": now, "judged_headline": "", "recent": "[]"}
            rows = [{"plan": plan, **due.model_dump(), **new} for plan, due in sorted(plans.items())]
            if rows:
                connection.execute(_enrolling(insert_or(connection), now), rows)

    def retire(self, plan: str) -> None:
        """Note that the plan is gone from the plans folder. A plan already retired stays so since then."""
        with self.writing() as connection:
            gone = update(standings).where(standings.c.plan == plan, standings.c.retired_at.is_(None))
            connection.execute(gone.values(retired_at=clock_of(connection)))

    def set_accounted(self, untils: Mapping[str, datetime]) -> None:
        """Note that every slot of these plans up to a moment has its record; never moves backwards."""
        until = bindparam("until", type_=_MOMENT)
        behind = or_(standings.c.accounted_until.is_(None), standings.c.accounted_until < until)
        moved = update(standings).where(standings.c.plan == bindparam("name"), behind).values(accounted_until=until)
        rows = [{"name": plan, "until": moment} for plan, moment in sorted(untils.items())]
        if rows:
            with self.writing() as connection:
                connection.execute(moved, rows)

    def record_sighting(self, plan: str, digest: str) -> None:
        """Keep what the plan's target proved to be when it was looked at between runs."""
        with self.writing() as connection:
            lock_standing(connection, plan)
            connection.execute(SEE, [{"name": plan, "digest": digest, "at": clock_of(connection)}])

    def _standings(self, *where: Any) -> tuple[Standing, ...]:
        query = select(*_COLUMNS).where(*where).order_by(standings.c.plan)
        with self.reading() as connection:
            return tuple(standing_of(row) for row in connection.execute(query))


def _enrolling(insert: Any, now: datetime) -> Any:
    """Rows that would not change are not written: enrolling thousands of known plans costs no disk."""
    row = insert(standings)
    is_newer = or_(standings.c.pass_at.is_(None), standings.c.pass_at < row.excluded.due_at)
    kept = {
        name: case((is_newer, row.excluded[name]), else_=standings.c[name])
        for name in ("timetable", "cadence", "due_at", "overdue_at")
    }
    is_back = standings.c.retired_at.is_not(None)
    back = {"retired_at": None, "accounted_until": case((is_back, now), else_=standings.c.accounted_until)}
    differs = or_(*(standings.c[name].is_distinct_from(row.excluded[name]) for name in kept))
    return row.on_conflict_do_update(index_elements=["plan"], set_=kept | back, where=or_(is_back, differs))
