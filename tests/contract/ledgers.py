"""What the ledger's contract tests write and read: runs, events, plain SQL."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

from sqlalchemy import text

from muster.journal import Event, EventKind
from muster.ledger import Ledger, NewRun, Owner, Trigger

AT = datetime(2026, 3, 1, 4, 5, 6, 789012, tzinfo=UTC)
ME = Owner(host="a", boot_id="b1", pid=10, started=1000)
OTHER = Owner(host="a", boot_id="b1", pid=10, started=2000)
"""The same pid, used again: another process."""

_numbers = count()


def new_run(plan: str = "shop", **changes: Any) -> NewRun:
    """A run on demand with a name of its own."""
    values: dict[str, Any] = {
        "run": f"run-{next(_numbers):06}",
        "plan": plan,
        "plan_digest": "d" * 64,
        "kind": "restore",
        "target_type": "embedded",
        "trigger": Trigger.COMMAND_LINE,
        "reason": "a test",
        "owner": ME,
        "lease_seconds": 60,
    }
    return NewRun(**values | changes)


def an_event(run: str, seq: int, kind: EventKind = EventKind.NOTED, **changes: Any) -> Event:
    """An event at a fixed time."""
    return Event(**{"run": run, "seq": seq, "kind": kind, "at": AT, "mono_ns": 1} | changes)


def execute(ledger: Ledger, statement: str) -> Any:
    """The rows of one plain statement in a transaction of its own."""
    with ledger.engine.begin() as connection:
        result = connection.execute(text(statement))
        return result.all() if result.returns_rows else None
