"""The ledger's tables, as the newest revision leaves them."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

from evidence.slots import stamp


class Moment(TypeDecorator[datetime]):
    """`timestamptz` on PostgreSQL, fixed-width UTC text on SQLite, which has no type for time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Text where there is no better type."""
        return dialect.type_descriptor(String(32) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Text for SQLite; the rows' own validators read either back."""
        return stamp(value) if value is not None and dialect.name == "sqlite" else value


metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("run", Text, primary_key=True),
    Column("plan", Text, nullable=False),
    Column("plan_digest", Text, nullable=False),
    Column("substance", Text, nullable=False, server_default=""),
    Column("kind", Text, nullable=False),
    Column("target_type", Text, nullable=False),
    Column("slot", Text, unique=True),
    Column("scheduled_at", Moment),
    Column("opened_at", Moment, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False, server_default=""),
    Column("flow_run", Text, nullable=False, server_default=""),
    Column("owner_host", Text, nullable=False),
    Column("owner_boot_id", Text, nullable=False),
    Column("owner_pid", BigInteger, nullable=False),
    Column("owner_started", BigInteger, nullable=False),
    Column("lease_until", Moment, nullable=False),
    Column("needs_undo", Boolean, nullable=False),
    Column("outcome", Text),
    Column("verdict", Text),
    Column("rto_seconds", Double),
    Column("rpo_seconds", Double),
    Column("ended_at", Moment),
    Column("bundle_sha256", Text),
    Column("bundle_key", Text),
    Column("headline", Text, nullable=False, server_default=""),
    Column("target_digest", Text),
    Column("facts", Text, nullable=False),
)
Index("runs_by_time", runs.c.opened_at, runs.c.run)
Index("runs_by_slot", runs.c.plan, runs.c.scheduled_at, runs.c.run)

OPEN = text("outcome IS NULL")
PASSED = text("outcome = 'passed'")
JUDGED = text("outcome IN ('passed', 'failed', 'inconclusive', 'aborted')")
"""Those that say something of the system; a refused, missed or waived slot says something of the drill."""
UNFINISHED = text("outcome IS NULL OR needs_undo")
for _name, _where in (("runs_open", OPEN), ("runs_passed", PASSED), ("runs_judged", JUDGED)):
    Index(_name, runs.c.plan, runs.c.scheduled_at, runs.c.run, sqlite_where=_where, postgresql_where=_where)
Index("runs_unfinished", runs.c.opened_at, sqlite_where=UNFINISHED, postgresql_where=UNFINISHED)

# `body` is text on both databases. JSONB would keep an equal value, not the written one: it sorts keys its own way,
# rewrites numbers (1e2 becomes 100) and refuses "\u0000"; and nothing asks the database about what is inside.
events = Table(
    "events",
    metadata,
    Column("run", Text, ForeignKey("runs.run"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("mono_ns", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    sqlite_with_rowid=False,
)

proofs = Table(
    "proofs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("planted", Integer, nullable=False),
    Column("caught", Integer, nullable=False),
    Column("healthy", Integer, nullable=False),
    Column("quiet", Integer, nullable=False),
    Column("matrix", Text, nullable=False),
    Column("muster_version", Text, nullable=False),
)
Index("proofs_by_kind", proofs.c.kind, proofs.c.at, proofs.c.id)

standings = Table(
    "standings",
    metadata,
    Column("plan", Text, primary_key=True),
    Column("since", Moment),
    Column("accounted_until", Moment),
    Column("retired_at", Moment),
    Column("timetable", Text, nullable=False),
    Column("cadence", Text, nullable=False),
    Column("due_at", Moment),
    Column("overdue_at", Moment),
    Column("open_run", Text),
    Column("last_run", Text),
    Column("last_at", Moment),
    Column("last_outcome", Text),
    Column("last_bundle", Text),
    Column("judged_run", Text),
    Column("judged_at", Moment),
    Column("judged_outcome", Text),
    Column("judged_headline", Text, nullable=False),
    Column("pass_run", Text),
    Column("pass_at", Moment),
    Column("pass_substance", Text),
    Column("pass_target", Text),
    Column("pass_rto", Double),
    Column("pass_rpo", Double),
    Column("pass_bundle", Text),
    Column("seen_target", Text),
    Column("seen_at", Moment),
    Column("recent", Text, nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    Column("run", Text, ForeignKey("runs.run"), primary_key=True),
    Column("approved", Boolean, nullable=False),
    Column("by", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

stops = Table(
    "stops",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("resumed_at", Moment),
    Column("resumed_by", Text, nullable=False),
    Column("resumed_reason", Text, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("condition", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("told", Text, nullable=False),
    Column("resolved_at", Moment),
)
RAISED = text("resolved_at IS NULL")
Index("alerts_open", alerts.c.subject, alerts.c.condition, unique=True, sqlite_where=RAISED, postgresql_where=RAISED)

beats = Table(
    "beats",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", Moment, nullable=False),
)


def _found() -> tuple[Column[Any], ...]:
    return (
        Column("at", Moment, nullable=False),
        Column("by", Text, nullable=False),
        Column("host", Text, nullable=False),
        Column("substance", Text, nullable=False),
        Column("verdict", Text, nullable=False),
        Column("since", Moment, nullable=False),
        Column("seconds", Double, nullable=False),
    )


looks = Table(
    "looks",
    metadata,
    Column("plan", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    *_found(),
    Column("findings", Text, nullable=False),
)
Index("looks_by_time", looks.c.at)

readiness = Table(
    "readiness",
    metadata,
    Column("plan", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    *_found(),
    Column("times", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("advice", Text, nullable=False),
)


def _tick() -> tuple[Column[Any], ...]:
    return (
        Column("schedule", Text, nullable=False),
        Column("at", Moment, nullable=False),
        Column("epoch", Integer),
        Column("holder", Text, nullable=False),
    )


ticks = Table(
    "ticks",
    metadata,
    Column("key", Text, primary_key=True),
    *_tick(),
    Column("claimed_at", Moment, nullable=False),
    Column("by", Text, nullable=False),
)
Index("ticks_by_time", ticks.c.schedule, ticks.c.at)

refused_ticks = Table(
    "refused_ticks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", Text, nullable=False),
    *_tick(),
    Column("why", Text, nullable=False),
    Column("refused_at", Moment, nullable=False),
    Column("by", Text, nullable=False),
)
Index("refused_ticks_by_time", refused_ticks.c.schedule, refused_ticks.c.at)

owners = Table(
    "owners",
    metadata,
    Column("schedule", Text, primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("holder", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment),
)
HELD = text("until IS NULL")
Index("owners_open", owners.c.schedule, unique=True, sqlite_where=HELD, postgresql_where=HELD)
