"""Replay lag of the standby all through a rehearsal, sampled beside the steps."""

import threading
import time
from collections.abc import Callable, Sequence

import psycopg

from muster.drill import Context
from muster.failover.observations import LagSample, LagSeries, Node
from tasks.postgres.bounded import connected

NAME = "lag"
_EVERY = 0.25
_SESSION = 2.0
"""Seconds until a session is opened anew: whoever is primary may have changed."""
_PATIENCE = 3.0
"""Seconds after which one that hangs is given up: a frozen server holds up neither the samples nor the undo."""
_MOST = 20_000
_LAG = b"""
select max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::bigint, extract(epoch from max(write_lag))::float
  from pg_stat_replication where not pg_is_in_recovery()
"""


def start_sampling(context: Context, nodes: Sequence[Node]) -> None:
    """Begin; the series goes to the journal when it is gathered, or abandoned."""
    over = threading.Event()

    def act() -> None:
        samples: list[LagSample] = []
        while not over.is_set() and len(samples) < _MOST:
            samples += _session(nodes, over, context.clock.monotonic_ns)
        context.observe(LagSeries(samples=tuple(samples)))

    context.background.start(NAME, act, end=over.set)


def _session(nodes: Sequence[Node], over: threading.Event, now_ns: Callable[[], int]) -> list[LagSample]:
    """Samples for a few seconds from whichever node is primary; one unknown sample when none can be asked."""
    samples: list[LagSample] = []
    for node in nodes:
        try:
            with connected(node.dsn, _PATIENCE) as connection:
                until = time.monotonic() + _SESSION
                while not over.is_set() and time.monotonic() < until:
                    row = connection.execute(_LAG).fetchone()
                    if row is None or row[0] is None:
                        break
                    samples.append(LagSample(at_ns=now_ns(), bytes=row[0], write_lag_seconds=row[1]))
                    over.wait(_EVERY)
        except psycopg.Error:
            continue
    if not samples:
        samples.append(LagSample(at_ns=now_ns(), bytes=None))
        over.wait(_EVERY)
    return samples
