"""Throughput over a rehearsal in columns of equal width, for the timeline."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from muster.failover.attempts import Attempts, Logs, Times, load
from muster.failover.history import Kind
from muster.failover.judged import judge_reads
from muster.failover.observations import Bin, Series, SetRead
from muster.failover.servers import node_of

MOST = 240
"""Columns that a timeline has at most."""

Counts = NDArray[np.int64]


def series(folder: Path, servers: Mapping[str, str], reads: Sequence[SetRead], bin_seconds: float = 0.25) -> Series:
    """What became of the history's calls, column by column; `servers` is every `NodeState.server` and its node.

    A call stands in the column of its end, an open one in that of its invocation; a lost write where it was
    acknowledged. Columns run from the first invocation to the last moment on record without a hole. They are
    `bin_seconds` wide, or twice that as often as it takes to be no more than 240.
    """
    logs = load(folder, verify=False)
    connections = [a for a in logs.connections.values() if len(a)]
    if not connections:
        return Series(bin_seconds=bin_seconds, bins=())
    began = min(int(a.invoked_ns[0]) for a in connections)
    width = round(bin_seconds * 1e9)
    span = max(int(_told_ns(a).max()) for a in connections) - began
    while span // width >= MOST:
        width *= 2
    count = span // width + 1
    judged = judge_reads(folder, logs, reads, None)
    nodes: dict[str, Counts] = {}
    unknown, failed, lost = (np.zeros(count, np.int64) for _ in range(3))
    for attempts in connections:
        column = ((_told_ns(attempts) - np.uint64(began)) // np.uint64(width)).astype(np.int64)
        unknown += _binned(column[attempts.told(Kind.INFO) | attempts.told(Kind.INVOKE)], count)
        failed += _binned(column[attempts.told(Kind.FAIL)], count)
        lost += _binned(column[judged.lost(attempts)], count)
        _add_acknowledged(nodes, attempts, column, logs, servers, count)
    return Series(
        bin_seconds=width / 1e9,
        bins=tuple(
            Bin(
                at_ns=began + at * width,
                acknowledged={node: int(acks[at]) for node, acks in sorted(nodes.items()) if acks[at]},
                unknown=int(unknown[at]),
                failed=int(failed[at]),
                lost=int(lost[at]),
            )
            for at in range(count)
        ),
    )


def _told_ns(attempts: Attempts) -> Times:
    return np.where(attempts.told(Kind.INVOKE), attempts.invoked_ns, attempts.ended_ns)


def _binned(columns: Counts, count: int) -> Counts:
    return np.bincount(columns, minlength=count).astype(np.int64)


def _add_acknowledged(
    nodes: dict[str, Counts],
    attempts: Attempts,
    column: Counts,
    logs: Logs,
    servers: Mapping[str, str],
    count: int,
) -> None:
    acknowledged = attempts.told(Kind.OK)
    for number in np.unique(attempts.server[acknowledged]):
        node = node_of(logs.servers[number], servers)
        acks = _binned(column[acknowledged & (attempts.server == number)], count)
        nodes[node] = nodes.get(node, np.zeros(count, np.int64)) + acks
