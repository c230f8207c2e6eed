"""A ledger with years of runs, written in bulk: what the commands that read standings are measured on.

Promises: the same size gives the same runs; slots, standings and indexes are what the ledger itself would have made.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg

from evidence.slots import slot_key, stamp
from muster.ledger import Ledger, open_ledger
from muster.ledger.schema import runs

COLUMNS = tuple(column.name for column in runs.columns)
_OUTCOMES = ("passed",) * 12 + ("failed", "inconclusive", "missed", "refused")
_VERDICTS = {"passed": "pass", "failed": "fail", "inconclusive": "inconclusive"}


class Drilled(NamedTuple):
    """A plan whose runs are made up."""

    plan: str
    kind: str = "restore"
    substance: str = ""
    """`Plan.substance`, if its last pass is to be of the plan as it is."""


def fill_ledger(url: str, plans: Sequence[Drilled], each: int, until: datetime, *, apart: timedelta) -> int:
    """Give every plan `each` ended runs with slots `apart`, the newest at `until`; returns how many runs were written.

    The ledger should hold no runs of these plans. Events, bundles and proofs are not made.
    """
    with open_ledger(url) as ledger:
        rows = (_row(plan, number, until - apart * (each - 1 - number)) for plan in plans for number in range(each))
        if ledger.engine.dialect.name == "sqlite":
            _fill_sqlite(ledger, rows)
        else:
            _fill_postgres(ledger, rows)
        ledger.rebuild_standings()
    return len(plans) * each


def _row(plan: Drilled, number: int, slot: datetime) -> tuple[Any, ...]:
    draw = hashlib.sha256(f"{plan.plan} {number}".encode()).digest()
    outcome = _OUTCOMES[draw[0] % len(_OUTCOMES)]
    ran = outcome in _VERDICTS
    rto = 60 + draw[1] / 8 if ran else None
    values: dict[str, Any] = {
        "run": f"{slot:%Y%m%dT%H%M%SZ}-{plan.plan}-{draw[:3].hex()}",
        "plan": plan.plan,
        "plan_digest": "d" * 64,
        "substance": plan.substance,
        "kind": plan.kind,
        "target_type": "embedded",
        "slot": slot_key(plan.plan, slot),
        "scheduled_at": stamp(slot),
        "opened_at": stamp(slot + timedelta(seconds=draw[2])),
        "trigger": "schedule",
        "reason": "",
        "requested_by": "",
        "flow_run": "",
        "owner_host": "bench",
        "owner_boot_id": "bench",
        "owner_pid": 1,
        "owner_started": 1,
        "lease_until": stamp(slot + timedelta(seconds=draw[2] + 60)),
        "needs_undo": False,
        "outcome": outcome,
        "verdict": _VERDICTS.get(outcome),
        "rto_seconds": rto,
        "rpo_seconds": draw[3] / 16 if ran else None,
        "ended_at": stamp(slot + timedelta(seconds=draw[2] + (rto or 1))),
        "bundle_sha256": draw.hex(),
        "bundle_key": f"{plan.plan}/{draw.hex()[:12]}.tar.gz",
        "headline": f"The slot was {outcome}.",
        "target_digest": "t" * 64 if ran else None,
        "facts": "{}",
    }
    return tuple(values[name] for name in COLUMNS)


def _fill_sqlite(ledger: Ledger, rows: Iterator[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" * len(COLUMNS))
    with closing(sqlite3.connect(str(ledger.engine.url.database))) as connection, connection:
        connection.executemany(f"INSERT INTO runs ({', '.join(COLUMNS)}) VALUES ({marks})", rows)
        connection.execute("ANALYZE")


def _fill_postgres(ledger: Ledger, rows: Iterator[tuple[Any, ...]]) -> None:
    with ledger.writing() as connection:
        driver: Any = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        with driver.cursor() as cursor, cursor.copy(f"COPY runs ({', '.join(COLUMNS)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    with ledger.writing() as connection:
        connection.exec_driver_sql("ANALYZE runs")
