"""How long clients were without a server when one took over from another, as they saw it themselves.

Words: a connection's *gap* runs from its last acknowledgement by an old server, which may be any time before its first
by a new one, to that first one, at or after `from_ns` and before `until_ns`. A connection that was not acknowledged by
a new server then is *unserved*; one that had no acknowledgement before has no gap. The *write gap* is the longest time
in which nobody at all was acknowledged, between the earliest last and the latest first one of the gaps.

Promise: a gap is a difference of one clock, and as exact as the client's own pace.
"""

from collections.abc import Set as AbstractSet
from pathlib import Path
from statistics import median

import numpy as np

from muster.failover.attempts import NEVER, Attempts, Logs, load
from muster.failover.history import Kind
from muster.failover.observations import Gap, Takeover


def takeovers(
    folder: Path,
    old_servers: AbstractSet[str],
    new_servers: AbstractSet[str],
    from_ns: int,
    name: str,
    until_ns: int | None = None,
) -> Takeover:
    """The takeover from `old_servers` to `new_servers` (each as `NodeState.server`), in the history in `folder`.

    `from_ns`: the monotonic moment of the fault, or of asking for the switch; `until_ns`: when the next one was asked
    for, `None` if there was none. Connections that tried nothing are left out. Without any gap, median, maximum and
    write gap are `None`.
    """
    logs = load(folder, verify=False)
    old, new = _numbers(logs, old_servers), _numbers(logs, new_servers)
    gaps, unserved = [], []
    for number in sorted(logs.connections):
        attempts = logs.connections[number]
        if not len(attempts):
            continue
        first = _first_ack(attempts, new, from_ns, NEVER if until_ns is None else until_ns)
        last = _last_ack(attempts, old, first) if first is not None else None
        if first is None:
            unserved.append(number)
        elif last is not None:
            gaps.append(Gap(connection=number, last_ack_ns=last, first_ack_ns=first))
    seconds = [gap.seconds for gap in gaps]
    return Takeover(
        name=name,
        gaps=tuple(gaps),
        unserved=tuple(unserved),
        median_seconds=median(seconds) if seconds else None,
        max_seconds=max(seconds, default=None),
        write_gap_seconds=_write_gap(logs, gaps) if gaps else None,
    )


def _numbers(logs: Logs, servers: AbstractSet[str]) -> list[int]:
    return [number for number, server in enumerate(logs.servers) if server and server in servers]


def _first_ack(attempts: Attempts, servers: list[int], from_ns: int, until_ns: int) -> int | None:
    there = attempts.told(Kind.OK) & np.isin(attempts.server, servers)
    there &= (attempts.ended_ns >= from_ns) & (attempts.ended_ns < until_ns)
    return int(attempts.ended_ns[there].min()) if there.any() else None


def _last_ack(attempts: Attempts, servers: list[int], before_ns: int) -> int | None:
    there = attempts.told(Kind.OK) & np.isin(attempts.server, servers) & (attempts.ended_ns < before_ns)
    return int(attempts.ended_ns[there].max()) if there.any() else None


def _write_gap(logs: Logs, gaps: list[Gap]) -> float:
    begins, ends = min(gap.last_ack_ns for gap in gaps), max(gap.first_ack_ns for gap in gaps)
    times = [
        a.ended_ns[a.told(Kind.OK) & (a.ended_ns >= begins) & (a.ended_ns <= ends)] for a in logs.connections.values()
    ]
    return float(np.diff(np.sort(np.concatenate(times))).max()) / 1e9
