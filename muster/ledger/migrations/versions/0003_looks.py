"""Looks: what the continuous probe found of each plan's target, the newest of each plan in a row of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")


def upgrade() -> None:
    """Create the two tables."""
    op.create_table(
        "looks",
        sa.Column("plan", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        *_found(),
        sa.Column("findings", sa.Text, nullable=False),
    )
    op.create_index("looks_by_time", "looks", ["at"])
    op.create_table(
        "readiness",
        sa.Column("plan", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        *_found(),
        sa.Column("times", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("why", "advice")),
    )


def _found() -> tuple[sa.Column, ...]:  # type: ignore[type-arg]
    return (
        sa.Column("at", MOMENT, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("by", "host", "substance", "verdict")),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
    )
