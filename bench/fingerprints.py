"""Row fingerprints beside the raw limit: the same table through `COPY ... TO STDOUT` and `sha256sum`, in turn."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Series, ratio, timed
from bench.source import Source, serve
from tasks.estate.shop import DATABASE
from tasks.postgres.fingerprint import fingerprint, prepare
from tasks.postgres.server import Server

TABLES = ("orders", "payments", "events_placed")
_PATIENCE = 600.0


@dataclass(frozen=True)
class Speed:
    """Wall seconds of one table, both ways; `ratio` above 1 means that the fingerprint is the faster."""

    table: str
    rows: int
    copy: Series
    fingerprint: Series

    @property
    def ratio(self) -> Series:
        """How many times the speed of COPY."""
        return ratio(self.copy, self.fingerprint)


def compare_fingerprints(source: Source, sockets: Path, pairs: int) -> tuple[Speed, ...]:
    """Each of the larger tables, from warm memory."""
    sockets.mkdir(mode=0o700)
    server = serve(source, sockets)
    try:
        return tuple(_compare(server, table, pairs) for table in TABLES)
    finally:
        server.stop()


def _compare(server: Server, table: str, pairs: int) -> Speed:
    copies, fingerprints = [], []
    with server.connect(DATABASE) as connection:
        prepare(connection)
        rows = fingerprint(connection, "public", table).rows  # not counted: warms both up
        for _ in range(pairs):
            copies.append(timed(lambda: _copy(server, table)))
            fingerprints.append(timed(lambda: fingerprint(connection, "public", table)))
    return Speed(table, rows, Series(tuple(copies)), Series(tuple(fingerprints)))


def _copy(server: Server, table: str) -> None:
    pipe = '"$0" --no-psqlrc --quiet --dbname="$1" --command="copy $2 to stdout" | sha256sum'
    argv: list[str | Path] = [
        "bash",
        "-o",
        "pipefail",
        "-c",
        pipe,
        server.binaries.tool("psql"),
        server.dsn(DATABASE),
        table,
    ]
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True, timeout=_PATIENCE)
