"""Ticks: claimed by jobs before they work, refused with a reason; which scheduler owns which schedule, up to when."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "ticks",
        sa.Column("key", sa.Text, primary_key=True),
        *_tick(),
        sa.Column("claimed_at", MOMENT, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
    )
    op.create_index("ticks_by_time", "ticks", ["schedule", "at"])
    op.create_table(
        "refused_ticks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        *_tick(),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("refused_at", MOMENT, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
    )
    op.create_index("refused_ticks_by_time", "refused_ticks", ["schedule", "at"])
    op.create_table(
        "owners",
        sa.Column("schedule", sa.Text, primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("until", MOMENT),
    )
    held = sa.text("until IS NULL")
    op.create_index("owners_open", "owners", ["schedule"], unique=True, sqlite_where=held, postgresql_where=held)


def _tick() -> tuple[sa.Column, ...]:  # type: ignore[type-arg]
    return (
        sa.Column("schedule", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("epoch", sa.Integer),
        sa.Column("holder", sa.Text, nullable=False),
    )
