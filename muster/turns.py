"""Turns: plans of one group never run at the same time, whoever dies in the middle.

Promises: on one machine the kernel holds the turn and drops it with its process, at SIGKILL too; other machines' runs
are seen in the ledger, whose leases end by themselves; every wait is bounded.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import IO

from muster.ledger import Ledger, Run
from muster.ownership import is_dead
from muster.plan import Plan
from muster.settings import Settings

_POLL_SECONDS = 1.0


@contextmanager
def turn(
    settings: Settings, ledger: Ledger, plan: Plan, until: datetime, tell: Callable[[str], None] = lambda _words: None
) -> Iterator[str]:
    """Hold the turn of the plan's group; yields nothing, or in words why it could not be had by `until`."""
    with _lock_of(settings, plan.group) as lock:
        told = ""
        while words := _why_wait(lock, ledger, plan.group):
            if datetime.now(UTC) >= until:
                yield words
                return
            if words != told:
                tell(words)
                told = words
            time.sleep(_POLL_SECONDS)
        yield ""


@contextmanager
def _lock_of(settings: Settings, group: str) -> Iterator[IO[str]]:
    folder = settings.root / "turns"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / sha256(group.encode()).hexdigest()[:32]).open("a+") as lock:
        yield lock  # closing it gives the turn back


def _why_wait(lock: IO[str], ledger: Ledger, group: str) -> str:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "another drill of its group has the turn"
    now = datetime.now(UTC)
    for run in ledger.unfinished_runs():
        if _is_driven(run, now) and _group_of(ledger, run) == group:
            return f"run {run.run} of its group is still going on"
    return ""


def groups_going_on(ledger: Ledger) -> frozenset[str]:
    """The groups of which a drill is being driven now, on whichever machine."""
    return frozenset(_group_of(ledger, run) for run in ledger.unfinished_runs() if _is_driven(run, datetime.now(UTC)))


def _is_driven(run: Run, now: datetime) -> bool:
    return run.outcome is None and run.lease_until > now and not is_dead(run.owner)


def _group_of(ledger: Ledger, run: Run) -> str:
    events = ledger.read_events(run.run)
    return Plan.recorded(events[0].body["plan"]).group if events else ""
