"""`python -m bench.guard`: ticks claimed through the guard, beside a bare INSERT of the same row through psycopg.

Promises: it works below one folder and deletes all of it; both keep one connection, write as durably, and run in turn;
what a claim costs beside the disk is measured as well, with commits that wait for nothing.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from uuid import uuid4

import psycopg
from rich.console import Console

from bench.measure import Series, ratio, settle, timed
from bench.results import keep, machine, new_table, show
from muster.guard import Guard
from muster.ledger import open_ledger
from muster.ledger.claiming import tick_key
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.process import Processes

ALLOWED_MS = 5.0
"""For one claim, with a durable commit, when nobody else claims."""
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_OWNED = [f"job-{number}" for number in range(100)]
_INSERT = 'INSERT INTO bare (key, schedule, at, epoch, holder, claimed_at, "by") VALUES (%s, %s, %s, %s, %s, %s, %s)'
_numbers = count()

Act = Callable[[str, datetime], object]


@dataclass(frozen=True)
class Claimed:
    """One way of committing, so many workers."""

    commit: str
    workers: int
    claims: int
    claim_ms: Series
    """Of one worker."""
    bare_ms: Series
    claims_per_second: Series


def _bare(url: str) -> Act:
    connection = psycopg.connect(url, autocommit=True)

    def insert(schedule: str, at: datetime) -> None:
        by = f"host/{uuid4().hex}"
        connection.execute(_INSERT, (tick_key(schedule, at), schedule, at, 1, "blue", datetime.now(UTC), by))

    return insert


def _guarded(url: str) -> Act:
    guard = Guard(url, "blue")

    def claim(schedule: str, at: datetime) -> None:
        if not guard.claim(schedule, at):
            raise AssertionError(f"{schedule} at {at} was refused")

    return claim


def _work(act: Act, claims: int) -> None:
    """Ticks that nobody has claimed before, of a hundred schedules in turn."""
    for number, tick in zip(range(claims), _numbers, strict=False):
        act(_OWNED[number % len(_OWNED)], _FIRST + tick * timedelta(minutes=1))


def _together(acts: list[Act], claims: int) -> float:
    with ThreadPoolExecutor(len(acts)) as pool:
        return timed(lambda: [done.result() for done in [pool.submit(_work, act, claims) for act in acts]])


def measure(url: str, commit: str, workers: int, claims: int, pairs: int) -> Claimed:
    """Claims and bare inserts in turn, `pairs` times."""
    ways = {"bare": [_bare(url) for _ in range(workers)], "claim": [_guarded(url) for _ in range(workers)]}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for acts in ways.values():
        _together(acts, 10)  # connections are made, statements prepared
    for _ in range(pairs):
        for name, acts in ways.items():
            settle()
            taken[name].append(_together(acts, claims))
    claim, bare = (Series(tuple(1000 * s / claims for s in taken[name])) for name in ("claim", "bare"))
    speed = Series(tuple(workers * claims / seconds for seconds in taken["claim"]))
    return Claimed(commit, workers, workers * claims, claim, bare, speed)


@contextmanager
def _server(folder: Path) -> Iterator[Server]:
    server = Server(
        wheel_binaries(), folder / "d", folder / "s", Processes(folder / "processes", folder / "logs"), "guard"
    )
    server.init()
    server.start({"shared_buffers": "64MB"})
    try:
        yield server
    finally:
        server.stop("immediate")


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.guard", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few claims and one pair: does it work?")
    parser.add_argument("--pairs", type=int, default=5, help="how often each is run in turn")
    parser.add_argument("--claims", type=int, default=1000, help="of each worker")
    options = parser.parse_args(arguments)
    claims, pairs = (50, 1) if options.quick else (options.claims, options.pairs)
    console, began, found = Console(), datetime.now(UTC), []
    console.print(machine())
    folder = Path(tempfile.mkdtemp(prefix="mbgd", dir="/tmp"))  # short enough for sockets
    try:
        with _server(folder) as server:
            url = f"postgresql://postgres@/postgres?host={server.sockets}"
            with open_ledger(url) as ledger:
                ledger.assign_owner(_OWNED, "blue")
                with ledger.writing() as connection:
                    connection.exec_driver_sql("CREATE TABLE bare (LIKE ticks INCLUDING ALL)")
            for commit in ("on", "off"):
                with server.connect() as connection:
                    connection.execute(f"ALTER SYSTEM SET fsync = {commit}")
                    connection.execute("SELECT pg_reload_conf()")
                found += [measure(url, f"fsync {commit}", workers, claims, pairs) for workers in (1, 8)]
    finally:
        shutil.rmtree(folder)
    table = new_table(
        f"Ticks claimed beside bare inserts, milliseconds each (at most {ALLOWED_MS:g} for one worker, durable)",
        "commit", "workers", "claims", "bare insert", "claim", "claim / bare", "claims a second",
    )  # fmt: skip
    for each in found:
        times = (each.bare_ms, each.claim_ms, ratio(each.claim_ms, each.bare_ms), each.claims_per_second)
        table.add_row(each.commit, str(each.workers), f"{each.claims:,}", *map(str, times))
    show((table,), console)
    written = keep(f"guard-{began:%Y%m%dT%H%M%SZ}", began, (table,), [asdict(each) for each in found])
    console.print(f"Kept in {written}, and beside it as JSON.")
    return 0 if found[0].claim_ms.median <= ALLOWED_MS else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
