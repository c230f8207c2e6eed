"""`python -m bench.client`: the rehearsal's client beside pgbench: same statement, server and number of connections.

Promises: the client writes its history durably meanwhile, as in a drill; both are run in turn on a table emptied before
each; pgbench has one thread, its default, as the client has; it works below one folder and deletes all of it; it judges
the ratio, never a rate.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import Series, ratio, run, settle
from bench.results import keep, machine, new_table, show
from tasks.client.client import Client
from tasks.client.config import ClientConfig
from tasks.client.table import create_table, drop_table
from tasks.client.tail import Tail
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.process import Processes

TARGET = 0.8
"""Least share of pgbench's rate."""
_TABLE = "muster_rehearsal"
_SCRIPT = f"\\set n :n + 1\ninsert into {_TABLE} (id) values ((:client_id::bigint << 40) + :n);\n"
_WARM = 1.0
"""Seconds until the client is looked at: both rates are without the time it takes to connect."""


@dataclass(frozen=True)
class Speed:
    """Acknowledged inserts a second."""

    connections: int
    ours: Series
    pgbench: Series

    @property
    def ratio(self) -> Series:
        """The client's rate to pgbench's."""
        return ratio(self.ours, self.pgbench)

    @property
    def is_met(self) -> bool:
        """Whether the client is fast enough."""
        return self.ratio.median >= TARGET


def compare_clients(folder: Path, connections: Sequence[int], seconds: float, rounds: int) -> tuple[Speed, ...]:
    """Both at each number of connections, `rounds` times in turn, on one server on a unix socket."""
    processes = Processes(folder / "records", folder / "logs")
    server = Server(wheel_binaries(), folder / "data", folder / "s", processes, "bench")
    server.init()
    server.start({"max_connections": "300", "max_wal_size": "8GB", "autovacuum": "off"})
    try:
        return tuple(_compare(server, folder / f"{count}", count, seconds, rounds) for count in connections)
    finally:
        server.stop()


def _compare(server: Server, folder: Path, connections: int, seconds: float, rounds: int) -> Speed:
    ours, bare = [], []
    for number in range(rounds):
        bare.append(_pgbench(server, folder / f"pgbench-{number}", connections, seconds))
        ours.append(_client(server, folder / f"client-{number}", connections, seconds))
    return Speed(connections, Series(tuple(ours)), Series(tuple(bare)))


def _empty(server: Server, folder: Path) -> None:
    folder.mkdir(parents=True)
    drop_table(server.dsn(), _TABLE)
    create_table(server.dsn(), _TABLE)
    with server.connect() as connection:
        connection.execute("checkpoint")
    settle()


def _pgbench(server: Server, folder: Path, connections: int, seconds: float) -> float:
    _empty(server, folder)
    script = folder / "insert.sql"
    script.write_text(_SCRIPT, encoding="utf-8")
    argv = [
        *(str(server.binaries.tool("pgbench")), "-n", "-M", "prepared", "-f", str(script), "-D", "n=0"),
        *("-c", str(connections), "-j", "1", "-T", f"{seconds:g}"),
        *("-h", str(server.sockets), "-p", str(server.port), "-U", server.user, "postgres"),
    ]
    said = run(argv, timeout=seconds + 60).output
    found = re.search(r"tps = ([\d.]+)", said)
    if not found:
        raise RuntimeError(f"pgbench told no rate:\n{said}")
    return float(found[1])


def _client(server: Server, folder: Path, connections: int, seconds: float) -> float:
    _empty(server, folder)
    config = ClientConfig(
        dsn=server.dsn(),
        folder=folder,
        table=_TABLE,
        connections=connections,
        rate=None,
        timeout_seconds=10,
        commit_setting="on",
        max_seconds=seconds + 60,
    )
    client = Client(server.processes, config)
    client.start()
    try:
        time.sleep(_WARM)
        from_ns = time.monotonic_ns()
        time.sleep(seconds)
        to_ns = time.monotonic_ns()
    finally:
        client.stop(timeout=30)
    return Tail(folder).load(from_ns, to_ns).acknowledged / ((to_ns - from_ns) / 1e9)


def table_of(speeds: Sequence[Speed]) -> Table:
    """Medians, the lowest and highest value in brackets."""
    table = new_table("Acknowledged inserts a second: the client, logging durably, beside pgbench",
                      "connections", "client", "pgbench", "client / pgbench", f">= {TARGET:.2f}")  # fmt: skip
    for speed in speeds:
        cells = (str(speed.ours), str(speed.pgbench), str(speed.ratio), "met" if speed.is_met else "missed")
        table.add_row(str(speed.connections), *cells)
    return table


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.client", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round: does it work?")
    parser.add_argument("--connections", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the data goes")
    options = parser.parse_args(arguments)
    console, began = Console(), datetime.now(UTC)
    console.print(machine())
    seconds, rounds = (2.0, 1) if options.quick else (3.0, 15)
    with tempfile.TemporaryDirectory(prefix="mb-", dir=options.dir) as folder:
        speeds = compare_clients(Path(folder), options.connections, seconds, rounds)
    tables = [table_of(speeds)]
    show(tables, console)
    data = [asdict(speed) for speed in speeds]
    console.print(f"Kept in {keep(f'{began:%Y%m%dT%H%M%SZ}-client', began, tables, data)}, and beside it as JSON.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
