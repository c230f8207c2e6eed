"""The latest run and the latest pass of every plan: what `muster status` shows.

Promises: one statement, whose work grows with the plans and not with their history; on SQLite, the default, it
is answered without SQLAlchemy, whose import alone costs more than the command may take.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from muster.ledger.migrations import HEAD
from muster.ledger.rows import RUN_COLUMNS, Run, run_of

_COLUMNS = ", ".join(f"{side}.{column} AS {side}_{column}" for side in ("last", "pass") for column in RUN_COLUMNS)

# `names` hops from one plan to the next in the index runs_by_plan ("loose index scan",
# https://wiki.postgresql.org/wiki/Loose_indexscan); neither database does so for SELECT DISTINCT by itself.
LATEST_BY_PLAN = f"""
WITH RECURSIVE names(plan) AS (
  SELECT min(plan) FROM runs
  UNION ALL
  SELECT (SELECT min(plan) FROM runs WHERE plan > names.plan) FROM names WHERE names.plan IS NOT NULL
)
SELECT names.plan AS plan_name, {_COLUMNS}
FROM names
JOIN runs last ON last.run = (
  SELECT run FROM runs WHERE plan = names.plan ORDER BY opened_at DESC, run DESC LIMIT 1)
LEFT JOIN runs pass ON pass.run = (
  SELECT run FROM runs WHERE plan = names.plan AND outcome = 'passed' ORDER BY opened_at DESC, run DESC LIMIT 1)
ORDER BY names.plan
"""  # noqa: S608 - column names of our own


class PlanStatus(BaseModel):
    """One plan's newest run, and the newest that passed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: str
    last_run: Run
    last_pass: Run | None


def status_of(row: Mapping[str, Any]) -> PlanStatus:
    """One row of `LATEST_BY_PLAN`."""
    last_pass = run_of(row, "pass_") if row["pass_run"] else None
    return PlanStatus(plan=row["plan_name"], last_run=run_of(row, "last_"), last_pass=last_pass)


def glance(url: str) -> tuple[PlanStatus, ...]:
    """Every plan that ever ran, by name. Where there is no SQLite file yet, none is created."""
    path = url.removeprefix("sqlite:///")
    if path != url and "?" not in path:
        if not Path(path).exists():
            return ()
        found = _glance_sqlite(path)
        if found is not None:
            return found
    from muster.ledger.opening import open_ledger

    with open_ledger(url) as ledger:
        return ledger.latest_by_plan()


def _glance_sqlite(path: str) -> tuple[PlanStatus, ...] | None:
    """`None` when the file is not at this Muster's version or cannot be read: the long way finds out why."""
    try:
        connection = sqlite3.connect(path)
        connection.row_factory = sqlite3.Row
        try:
            versions = [version for (version,) in connection.execute("SELECT version_num FROM alembic_version")]
            if versions != [HEAD]:
                return None
            return tuple(status_of(dict(row)) for row in connection.execute(LATEST_BY_PLAN))
        finally:
            connection.close()
    except sqlite3.Error:
        return None
