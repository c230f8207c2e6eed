"""How a standing is made from its plan's runs: the one way, for each run that opens or ends and for all plans at once.

Promises: a standing is always derived from the runs as they are, so it cannot drift, in whatever order they end; the
work is a few index look-ups, whatever the history; of two processes that end runs of one plan, one waits.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    TextClause,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from evidence.slots import stamp
from muster.clock import AHEAD
from muster.ledger.database import clock_of
from muster.ledger.rows import Due, to_utc
from muster.ledger.schema import JUDGED, OPEN, PASSED, runs, standings
from muster.ledger.standing import RECENT

_FRESH = {"timetable": "", "cadence": "", "judged_headline": "", "recent": "[]"}
_NEWEST_SLOT_FIRST = (runs.c.scheduled_at.desc(), runs.c.run.desc())
_OPEN_RUN = (
    select(runs.c.run).where(runs.c.plan == standings.c.plan, OPEN).order_by(*_NEWEST_SLOT_FIRST).limit(1)
).scalar_subquery()


class Sighting(NamedTuple):
    """What a target proved to be, and when it was looked at."""

    digest: str
    at: datetime


def insert_or(connection: Connection) -> Any:
    """`INSERT` with `ON CONFLICT`, which both databases have and SQLAlchemy keeps by dialect."""
    return sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert


def lock_standing(connection: Connection, plan: str) -> None:
    """Hold the plan's standing until the transaction ends; one is made for a plan that has none.

    Always before the plan's runs are written: two transactions that lock in one order never wait for each other.
    """
    row = select(standings.c.plan).where(standings.c.plan == plan).with_for_update()
    if connection.execute(row).first() is None:
        now = clock_of(connection)
        fresh = {"plan": plan, "since": now, "accounted_until": now, **_FRESH}
        connection.execute(insert_or(connection)(standings).values(fresh).on_conflict_do_nothing())
        connection.execute(row)


def point_at_open_run(connection: Connection, plan: str) -> None:
    """Only `open_run` can differ once a run opened."""
    connection.execute(update(standings).where(standings.c.plan == plan).values(open_run=_OPEN_RUN))


def refresh_standing(
    connection: Connection,
    plan: str,
    closed: str = "",
    due: Due | None = None,
    sighting: Sighting | None = None,
) -> None:
    """Derive the standing of a locked plan anew, after its run `closed` ended or got its bundle."""
    values = _read(connection, plan)
    if values["pass_run"] == closed:
        values |= due_columns(due)
    else:  # due times are those of another pass, once the one they were reckoned from is not trusted any more
        is_same = standings.c.pass_run.is_not_distinct_from(values["pass_run"])
        values |= {name: case((is_same, standings.c[name]), else_=None) for name in ("due_at", "overdue_at")}
    if sighting:
        values |= {"seen_target": sighting.digest, "seen_at": sighting.at}
    connection.execute(update(standings).where(standings.c.plan == plan).values(values))


def due_columns(due: Due | None) -> dict[str, Any]:
    """The standing's columns of a due time; without one, those that make a reader compute it."""
    if due is None:
        return {"timetable": "", "due_at": None, "overdue_at": None}
    return due.model_dump()


def rebuild_standings(connection: Connection) -> int:
    """Derive every standing from the runs alone, and make those that are missing; returns how many there are.

    What the runs do not tell is kept: since when a plan is known, its due times, sightings between runs.
    """
    _insert_missing(connection)
    plans = connection.execute(select(standings.c.plan).order_by(standings.c.plan).with_for_update()).scalars().all()
    derived = [{"name": plan, **_read(connection, plan)} for plan in plans]
    if derived:
        connection.execute(update(standings).where(standings.c.plan == bindparam("name")), derived)
    _see_targets(connection)
    return len(plans)


def _insert_missing(connection: Connection) -> None:
    known = select(standings.c.plan)
    first = select(runs.c.plan, func.min(runs.c.opened_at).label("since")).where(runs.c.plan.not_in(known))
    # The slots before were accounted for by whoever wrote those runs, or nobody counted them: they are not missed now.
    fresh = {"accounted_until": clock_of(connection), **_FRESH}
    found = [{**row._asdict(), **fresh} for row in connection.execute(first.group_by(runs.c.plan))]
    found = [row | {"since": to_utc(row["since"])} for row in found]
    if found:
        connection.execute(insert(standings), found)


def _see_targets(connection: Connection) -> None:
    newest = func.row_number().over(partition_by=runs.c.plan, order_by=(runs.c.ended_at.desc(), runs.c.run.desc()))
    columns = (runs.c.plan, runs.c.target_digest, runs.c.ended_at, newest.label("place"))
    seen = select(*columns).where(runs.c.target_digest.is_not(None)).subquery()
    rows = connection.execute(select(seen.c.plan, seen.c.target_digest, seen.c.ended_at).where(seen.c.place == 1))
    sightings = [{"name": row[0], "digest": row[1], "at": to_utc(row[2])} for row in rows]
    if sightings:
        connection.execute(SEE, sightings)


SEE = (
    update(standings)
    .where(
        standings.c.plan == bindparam("name"),
        standings.c.seen_at.is_(None) | (standings.c.seen_at <= bindparam("at", type_=standings.c.seen_at.type)),
    )
    .values(seen_target=bindparam("digest"), seen_at=bindparam("at", type_=standings.c.seen_at.type))
)
"""Executed with `name`, `digest`, `at`: keep a sighting unless a newer one is known."""


_TOLD = ("run", "scheduled_at", "opened_at", "outcome", "headline", "substance", "target_digest", "bundle_key")
_COLUMNS = (*(runs.c[name] for name in _TOLD), runs.c.rto_seconds, runs.c.rpo_seconds)


_LATE_BESIDE = 100
"""Slots looked at for the run that was measured last: one served late, as after an outage, is newer than its slot."""


def _newest(part: str, which: ColumnElement[bool] | TextClause, limit: int) -> Select[Any]:
    found = select(literal_column(f"'{part}'").label("part"), *_COLUMNS).where(runs.c.plan == bindparam("plan"), which)
    return select(found.order_by(*_NEWEST_SLOT_FIRST).limit(literal_column(str(limit))).subquery())


def _measured_last(part: str, which: TextClause) -> Select[Any]:
    """The run that was opened last. One opened in a time to come says nothing yet: a clock was set back since."""
    is_trusted = runs.c.opened_at <= bindparam("trusted", type_=runs.c.opened_at.type)
    near = _newest(part, and_(which, is_trusted), _LATE_BESIDE).subquery()
    return select(
        select(near).order_by(near.c.opened_at.desc(), near.c.run.desc()).limit(literal_column("1")).subquery()
    )


_NEWEST = union_all(
    _newest("open", OPEN, 1),
    _newest("recent", runs.c.outcome.is_not(None), RECENT),
    _measured_last("judged", JUDGED),
    _measured_last("pass", PASSED),
)


def _read(connection: Connection, plan: str) -> dict[str, Any]:
    trusted = clock_of(connection) + AHEAD
    return _derived(connection.execute(_NEWEST, {"plan": plan, "trusted": trusted}).all())


def _derived(rows: Sequence[Row[Any]]) -> dict[str, Any]:
    """The columns of a standing that the runs tell."""
    parts: dict[str, list[Row[Any]]] = {"open": [], "recent": [], "judged": [], "pass": []}
    for row in rows:
        parts[row.part].append(row)
    last, judged, passed = (parts[name][0] if parts[name] else None for name in ("recent", "judged", "pass"))
    return {
        "open_run": parts["open"][0].run if parts["open"] else None,
        "last_run": last and last.run,
        "last_at": last and to_utc(last.scheduled_at),
        "last_outcome": last and last.outcome,
        "last_bundle": last and last.bundle_key,
        "judged_run": judged and judged.run,
        "judged_at": judged and to_utc(judged.scheduled_at),
        "judged_outcome": judged and judged.outcome,
        "judged_headline": judged.headline if judged else "",
        "pass_run": passed and passed.run,
        "pass_at": passed and max(to_utc(passed.opened_at), to_utc(passed.scheduled_at)),
        "pass_substance": passed and passed.substance,
        "pass_target": passed and passed.target_digest,
        "pass_rto": passed and passed.rto_seconds,
        "pass_rpo": passed and passed.rpo_seconds,
        "pass_bundle": passed and passed.bundle_key,
        "recent": _marks(reversed(parts["recent"])),
    }


def _marks(rows: Iterable[Row[Any]]) -> str:
    marks = [[stamp(to_utc(row.scheduled_at)), row.outcome, row.rto_seconds, row.rpo_seconds] for row in rows]
    return json.dumps(marks, separators=(",", ":"))
