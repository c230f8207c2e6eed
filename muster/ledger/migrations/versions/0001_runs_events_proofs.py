"""Runs, their events, and the proofs of drills."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")


def upgrade() -> None:
    """Create the three tables."""
    _create_runs()
    op.create_table(
        "events",
        sa.Column("run", sa.Text, sa.ForeignKey("runs.run"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("mono_ns", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "proofs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        *(sa.Column(count, sa.Integer, nullable=False) for count in ("planted", "caught", "healthy", "quiet")),
        sa.Column("matrix", sa.Text, nullable=False),
        sa.Column("muster_version", sa.Text, nullable=False),
    )
    op.create_index("proofs_by_kind", "proofs", ["kind", "at", "id"])


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("plan", "plan_digest", "kind", "target_type")),
        sa.Column("slot", sa.Text, unique=True),
        sa.Column("scheduled_at", MOMENT),
        sa.Column("opened_at", MOMENT, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("trigger", "reason", "owner_host", "owner_boot_id")),
        sa.Column("owner_pid", sa.BigInteger, nullable=False),
        sa.Column("owner_started", sa.BigInteger, nullable=False),
        sa.Column("lease_until", MOMENT, nullable=False),
        sa.Column("needs_undo", sa.Boolean, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("outcome", "verdict")),
        *(sa.Column(name, sa.Double) for name in ("rto_seconds", "rpo_seconds")),
        sa.Column("ended_at", MOMENT),
        *(sa.Column(name, sa.Text) for name in ("bundle_sha256", "bundle_key")),
        sa.Column("facts", sa.Text, nullable=False),
    )
    op.create_index("runs_by_time", "runs", ["opened_at", "run"])
    op.create_index("runs_by_plan", "runs", ["plan", "opened_at", "run"])
    _create_partial_index("runs_passed", ["plan", "opened_at", "run"], "outcome = 'passed'")
    _create_partial_index("runs_unfinished", ["opened_at"], "outcome IS NULL OR needs_undo")


def _create_partial_index(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "runs", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
