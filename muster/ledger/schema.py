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

from muster.ledger.rows import stamp


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
    Column("kind", Text, nullable=False),
    Column("target_type", Text, nullable=False),
    Column("slot", Text, unique=True),
    Column("scheduled_at", Moment),
    Column("opened_at", Moment, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("reason", Text, nullable=False),
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
    Column("facts", Text, nullable=False),
)
Index("runs_by_time", runs.c.opened_at, runs.c.run)
Index("runs_by_plan", runs.c.plan, runs.c.opened_at, runs.c.run)

PASSED = text("outcome = 'passed'")
UNFINISHED = text("outcome IS NULL OR needs_undo")
Index("runs_passed", runs.c.plan, runs.c.opened_at, runs.c.run, sqlite_where=PASSED, postgresql_where=PASSED)
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
