"""Standings, approvals, the kill switch, alerts and beats; runs say what was drilled, for whom, and when it was due."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")


def upgrade() -> None:
    """Extend runs and create the five tables. `opening` fills the standings afterwards, from the runs."""
    _extend_runs()
    _create_standings()
    _create_control()
    _create_watch()


def _extend_runs() -> None:
    for name in ("substance", "requested_by", "flow_run", "headline"):
        op.add_column("runs", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("runs", sa.Column("target_digest", sa.Text))
    # From now on every run has the time of its slot: for a run on demand, when it was asked for.
    op.execute("UPDATE runs SET scheduled_at = opened_at WHERE scheduled_at IS NULL")
    op.drop_index("runs_by_plan", "runs")
    op.drop_index("runs_passed", "runs")
    op.create_index("runs_by_slot", "runs", ["plan", "scheduled_at", "run"])
    _create_partial_index("runs_open", "runs", "outcome IS NULL")
    _create_partial_index("runs_passed", "runs", "outcome = 'passed'")
    _create_partial_index("runs_judged", "runs", "outcome IN ('passed', 'failed', 'inconclusive', 'aborted')")


def _create_partial_index(name: str, table: str, where: str) -> None:
    condition = sa.text(where)
    columns = ["plan", "scheduled_at", "run"]
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)


def _create_standings() -> None:
    op.create_table(
        "standings",
        sa.Column("plan", sa.Text, primary_key=True),
        *(sa.Column(name, MOMENT) for name in ("since", "accounted_until", "retired_at")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("timetable", "cadence")),
        *(sa.Column(name, MOMENT) for name in ("due_at", "overdue_at")),
        *(sa.Column(name, sa.Text) for name in ("open_run", "last_run")),
        sa.Column("last_at", MOMENT),
        *(sa.Column(name, sa.Text) for name in ("last_outcome", "last_bundle", "judged_run")),
        sa.Column("judged_at", MOMENT),
        sa.Column("judged_outcome", sa.Text),
        sa.Column("judged_headline", sa.Text, nullable=False),
        sa.Column("pass_run", sa.Text),
        sa.Column("pass_at", MOMENT),
        *(sa.Column(name, sa.Text) for name in ("pass_substance", "pass_target")),
        *(sa.Column(name, sa.Double) for name in ("pass_rto", "pass_rpo")),
        *(sa.Column(name, sa.Text) for name in ("pass_bundle", "seen_target")),
        sa.Column("seen_at", MOMENT),
        sa.Column("recent", sa.Text, nullable=False),
    )


def _create_control() -> None:
    op.create_table(
        "approvals",
        sa.Column("run", sa.Text, sa.ForeignKey("runs.run"), primary_key=True),
        sa.Column("approved", sa.Boolean, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("by", "note")),
        sa.Column("at", MOMENT, nullable=False),
    )
    op.create_table(
        "stops",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("by", "reason")),
        sa.Column("resumed_at", MOMENT),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("resumed_by", "resumed_reason")),
    )


def _create_watch() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("subject", "condition", "severity", "words")),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("resolved_at", MOMENT),
    )
    raised = sa.text("resolved_at IS NULL")
    columns = ["subject", "condition"]
    op.create_index("alerts_open", "alerts", columns, unique=True, sqlite_where=raised, postgresql_where=raised)
    op.create_table(
        "beats",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
    )
