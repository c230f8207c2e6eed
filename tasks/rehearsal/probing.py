"""Noticing that a primary is lost, as a monitor would: a write, now and then, believed only after failing for a while.

The probe writes (`pg_logical_emit_message`, flushed, in no table) since a server with a full disk still answers reads.
"""

import time
from collections.abc import Callable

import psycopg

from muster.errors import StepError
from muster.failover.observations import Detected, Node
from muster.failover.spec import Detection
from tasks.postgres.bounded import connected

_WRITE = b"select pg_logical_emit_message(true, 'muster', 'probe')"
_PATIENCE = 2.0
"""Seconds that one probe may take: libpq's own least for a connection."""
_LONGEST = 120.0
"""Seconds after which a fault that takes nothing out is no fault."""


def can_write(node: Node, seconds: float = _PATIENCE) -> bool:
    """Whether the node takes a write now, without waiting for its standby."""
    try:
        with connected(node.dsn, seconds) as connection:
            connection.execute("set synchronous_commit = local")
            connection.execute(_WRITE)
    except psycopg.Error:
        return False
    return True


def detect_loss(node: Node, spec: Detection, seconds_left: Callable[[], float], now_ns: Callable[[], int]) -> Detected:
    """Probe until every probe has failed for `spec.after`; a probe that succeeds begins it anew."""
    interval, after = spec.interval.total_seconds(), spec.after.total_seconds()
    began, failing_since, probes = now_ns(), None, 0
    while (now_ns() - began) / 1e9 < min(_LONGEST, seconds_left()):
        asked_ns = now_ns()
        probes += 1
        if can_write(node):
            failing_since = None
        elif failing_since is None:
            failing_since = asked_ns
        if failing_since is not None and (now_ns() - failing_since) / 1e9 >= after:
            return Detected(
                detected_ns=now_ns(),
                first_failure_ns=failing_since,
                probes=probes,
                interval_seconds=interval,
                after_seconds=after,
                how=f"a write to {node.name} every {interval:g} s failed for {after:g} s",
            )
        time.sleep(max(0.0, interval - (now_ns() - asked_ns) / 1e9))
    raise StepError(f"{node.name} takes writes as before: the fault took nothing out", "look at how the fault is made")
