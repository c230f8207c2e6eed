"""Patroni's own takeovers, on this machine: a killed leader, and a switchover, by what one writing client sees.

Promises: one client writes a row at a time to whichever member takes it, through one libpq connection string that names
them all; a gap runs from the last acknowledged write before to the first one after. Patroni's settings stand beside the
numbers: `ttl` cannot be set below 20 s, and is most of a kill-failover.
"""

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tasks.patroni.api import Api
from tests.real.patroni_cluster import LOOP_WAIT, RETRY_TIMEOUT, TTL, PatroniCluster, wait

_SERVED = 120.0
_STEADY = 2.0


@dataclass(frozen=True)
class PatroniTakeovers:
    """Seconds without an acknowledged write, per takeover; `kills` count from the kill itself."""

    kills: tuple[float, ...]
    switchovers: tuple[float, ...]
    ttl: int = TTL
    loop_wait: int = LOOP_WAIT
    retry_timeout: int = RETRY_TIMEOUT


@dataclass
class _Writer:
    """Acknowledgements, as monotonic seconds."""

    dsn: str
    acks: list[float] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        while not self.over.is_set():
            try:
                with psycopg.connect(self.dsn, autocommit=True) as connection:
                    while not self.over.is_set():
                        connection.execute("insert into bench values (clock_timestamp())")
                        self.acks.append(time.monotonic())
                        self.over.wait(0.005)
            except psycopg.Error:
                self.over.wait(0.01)


def measure_takeovers(folder: Path, times: int) -> PatroniTakeovers:
    """Kill the leader, and switch it over, so many times each, whoever leads."""
    cluster = PatroniCluster(folder)
    kills, switchovers = [], []
    try:
        cluster.start()
        leader = cluster.leader()
        assert leader
        with psycopg.connect(cluster.seat(leader).dsn, autocommit=True) as connection:
            connection.execute("create table bench (at timestamptz)")
        for _ in range(times):
            switchovers.append(_switch_over(cluster))
            kills.append(_kill(cluster))
        return PatroniTakeovers(tuple(kills), tuple(switchovers))
    finally:
        cluster.stop()


def _kill(cluster: PatroniCluster) -> float:
    old, _ = _roles(cluster)
    with _writing(cluster) as writer:
        killed = time.monotonic()
        cluster.kill(old)
        gone = time.monotonic()
        served = _first_ack(writer, gone)
    cluster.start_member(old)
    wait(cluster.is_whole, "the killed member to be back")
    return served - killed


def _switch_over(cluster: PatroniCluster) -> float:
    old, new = _roles(cluster)
    with _writing(cluster) as writer:
        Api(new, cluster.seat(new).api).switch_over(old, new, 60)
        wait(cluster.is_whole, "the old leader to follow")
        _first_ack(writer, time.monotonic())
    return max(after - before for before, after in zip(writer.acks, writer.acks[1:], strict=False))


def _roles(cluster: PatroniCluster) -> tuple[str, str]:
    wait(cluster.is_whole, "the cluster to be whole")
    leader = cluster.leader()
    assert leader
    return leader, next(s.name for s in cluster.seats if s.name != leader)


@contextmanager
def _writing(cluster: PatroniCluster) -> Iterator[_Writer]:
    ports = ",".join(str(s.port) for s in cluster.seats)
    hosts = ",".join("127.0.0.1" for _ in cluster.seats)
    dsn = f"host={hosts} port={ports} user=postgres dbname=postgres target_session_attrs=read-write connect_timeout=2"
    writer = _Writer(dsn)
    thread = threading.Thread(target=writer.write)
    thread.start()
    try:
        _first_ack(writer, time.monotonic())
        time.sleep(_STEADY)
        yield writer
    finally:
        writer.over.set()
        thread.join()


def _first_ack(writer: _Writer, after: float) -> float:
    wait(lambda: bool(writer.acks) and writer.acks[-1] > after, "a write to be acknowledged", seconds=_SERVED)
    return next(ack for ack in writer.acks if ack > after)


def main(times: int) -> None:
    """Print one line for each kind."""
    folder = Path(tempfile.mkdtemp(prefix="bpat", dir="/tmp"))
    try:
        found = measure_takeovers(folder, times)
    finally:
        shutil.rmtree(folder)
    print(f"ttl {found.ttl} s, loop_wait {found.loop_wait} s, retry_timeout {found.retry_timeout} s")
    print("kill to first write:", ", ".join(f"{s:.2f} s" for s in found.kills))
    print("switchover, write gap:", ", ".join(f"{s:.2f} s" for s in found.switchovers))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
