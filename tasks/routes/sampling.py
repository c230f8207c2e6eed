"""Which server clients reach through a route: asked by many connections, one after the other.

Promises: every connection is new; each is bounded, and so are all together: a route that hangs leaves fewer asked,
never a drill that hangs. One wrong connection in a hundred is found by two hundred where the route takes turns.
"""

import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import psycopg

from muster.failover.observations import RouteSampled
from tasks.client.reading import SERVER_QUERY
from tasks.postgres.bounded import connected

_THREADS = 4
_EACH_SECONDS = 3.0
_ALL_SECONDS = 60.0


def sample(
    dsn: str, count: int, servers: Mapping[str, str], stage: str, *, within_seconds: float = _ALL_SECONDS
) -> RouteSampled:
    """Open `count` connections by the route's DSN, and count the nodes that they reach.

    `servers` leads from `NodeState.server` to the node's name; any other server counts as `""`. Once `within_seconds`
    are over no more are opened: `asked` is then less than `count`.
    """
    until = time.monotonic() + within_seconds
    shares = [len(range(start, count, _THREADS)) for start in range(_THREADS)]
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        asked = sum(pool.map(lambda share: _ask(dsn, share, until), shares), Counter[str | None]())
    reached: Counter[str] = Counter()
    for server, times in asked.items():
        if server is not None:
            reached[servers.get(server, "")] += times
    return RouteSampled(stage=stage, asked=asked.total(), reached=dict(reached), failed=asked[None])


def _ask(dsn: str, count: int, until: float) -> Counter[str | None]:
    """How often each server was reached; `None` stands for connections that failed."""
    reached: Counter[str | None] = Counter()
    for _ in range(count):
        if time.monotonic() > until:
            break
        reached[_server_reached(dsn)] += 1
    return reached


def _server_reached(dsn: str) -> str | None:
    try:
        with connected(dsn, _EACH_SECONDS) as connection:
            row = connection.execute(SERVER_QUERY.encode()).fetchone()
    except psycopg.Error:
        return None
    return str(row[0]) if row else None
