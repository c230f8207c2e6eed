"""`muster reference`: take a reference in the source, at a named restore point."""

import os
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from muster.errors import UsageError
from muster.plan import find_plan
from muster.settings import Settings
from muster.verdict import ExitCode
from tasks.postgres.catalog import read_catalog, write_catalog
from tasks.postgres.reference import take_reference
from tasks.postgres.references import write_reference


def reference(
    settings: Settings, plan: str, dsn_env: str, output: Path, point: str | None, catalog: Path | None
) -> int:
    """Fingerprint the plan's database in the source while its writers wait, and write the reference file."""
    found = find_plan(settings.plans, plan)
    if found.restore is None:
        raise UsageError(f"plan {plan} is no restore plan", "name a plan of kind restore")
    dsn = os.environ.get(dsn_env)
    if not dsn:
        raise UsageError(
            f"the variable {dsn_env} is not set", "set it to the source's DSN, such as host=... dbname=..."
        )
    name = point or f"muster_{datetime.now(UTC):%Y%m%dT%H%M%SZ}"

    def connect() -> psycopg.Connection:
        return psycopg.connect(dsn, autocommit=True, connect_timeout=10, application_name="muster")

    try:
        taken = take_reference(connect, name, found.restore.canary)
    except psycopg.Error as error:
        raise UsageError(
            f"the reference could not be taken: {error}",
            "the role needs to read and lock every table, and to execute pg_create_restore_point",
        ) from None
    if catalog:
        with connect() as connection:
            write_catalog(read_catalog(connection), taken.database, catalog)
        print(f"{catalog}: commit it, and name it as `restore.catalog` in the plan")
    path = write_reference(taken, output)
    rows = sum(t.rows for t in taken.tables)
    print(f"{path}: {len(taken.tables)} tables, {rows:,} rows at restore point {taken.point} ({taken.lsn})")
    return ExitCode.PASS
