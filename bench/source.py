"""A source of a given size: the demo shop, its full and incremental backup under traffic, and log to replay.

Promise: when it is made, no server runs, and everything written is in the archive.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from muster.settings import Settings
from tasks.estate.estate import Estate, Part
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.process import Processes

# One order in fifty changes after the reference was taken, and the log of it has to be replayed.
_CHURN = "update orders set note = note || '.' where id % 50 = 0"


@dataclass(frozen=True)
class Source:
    """Backups and archive in `folder`, as a drill finds them after a loss."""

    folder: Path
    orders: int
    system_identifier: str
    database_mb: float
    chain: tuple[Path, Path]
    log_mb: float
    """Size of the archive that a restore replays from."""

    @property
    def archive(self) -> Path:
        """The archive of the log."""
        return self.folder / "archive"

    @property
    def size(self) -> str:
        """The database's size in words."""
        return f"{self.database_mb / 1000:.1f} GB" if self.database_mb >= 1000 else f"{self.database_mb:.0f} MB"


def make_source(home: Path, orders: int) -> Source:
    """Fill a shop, back it up, change some of it, and stop it."""
    estate = Estate(Settings(home=home), (Part.SHOP,), orders=orders)
    try:
        card = estate.start()
        with card.connect_source() as connection:
            connection.execute(_CHURN)
            row = connection.execute("select pg_database_size(current_database())").fetchone()
    finally:
        estate.stop()
    assert card.shop
    assert row
    full, incremental = sorted((estate.home / "backups").iterdir())
    return Source(
        folder=estate.home,
        orders=orders,
        system_identifier=card.shop.system_identifier,
        database_mb=row[0] / 1e6,
        chain=(full, incremental),
        log_mb=megabytes(estate.home / "archive"),
    )


def serve(source: Source, sockets: Path) -> Server:
    """The source's own server, started again with nothing but itself; whoever starts it stops it."""
    processes = Processes(source.folder / "processes", source.folder / "logs")
    server = Server(wheel_binaries(), source.folder / "shop", sockets, processes, "shop")
    server.start({"autovacuum": "off"})
    return server


def drop_data(source: Source) -> None:
    """The source is lost: only its backups are left."""
    shutil.rmtree(source.folder / "shop")


def megabytes(folder: Path) -> float:
    """Megabytes that a folder takes."""
    told = subprocess.run(["du", "-s", "--bytes", folder], capture_output=True, text=True, check=True, timeout=60)
    return int(told.stdout.split()[0]) / 1e6
