"""The pristine base of the restore catalogue: one small shop with backups, archive, reference and dumps, made once.

Promises: it is real, made by PostgreSQL's own tools while customers order; planters copy what they change, so every
form starts from the same bytes; `digest` shows at the end that nobody wrote into it.
"""

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from muster.drill import Workspace
from muster.errors import StepError
from muster.restore.observations import Reference
from muster.restore.spec import Canary
from tasks.estate.shop import CANARY as WRITE_CANARY
from tasks.estate.shop import DATABASE, Shop
from tasks.postgres.basebackup import archived_segments
from tasks.postgres.binaries import Binaries
from tasks.postgres.catalog import read_catalog, write_catalog
from tasks.postgres.dumps import DumpForm, take_dump, take_globals
from tasks.postgres.fingerprint import Connect
from tasks.postgres.lsn import segment_number, segment_of_name
from tasks.postgres.reference import take_reference
from tasks.postgres.references import write_reference
from tasks.postgres.server import Server
from tasks.process import Processes

ORDERS = 6_000
CANARY = Canary(checksum_column="checksum", interval="1s")
POINT = "proof"
DUMPS = {
    DumpForm.CUSTOM: "shop.dump",
    DumpForm.DIRECTORY: "shop",
    DumpForm.PLAIN: "shop.sql",
    DumpForm.GZIP: "shop.sql.gz",
}
GLOBALS = "globals.sql"
_ARCHIVED_SECONDS = 30.0
_RELATIONS = ("customers", "orders", "orders_pkey", "payments", "canary")


@dataclass(frozen=True)
class Base:
    """What every form starts from. `folder` holds `backups/` (full, incr), `archive/`, `references/`, `dumps/`."""

    folder: Path
    binaries: Binaries
    system_identifier: str
    reference: Reference
    moment: datetime
    """After the reference and before the last canaries: a target for recovery to a time ..."""
    lsn: str
    """... and to a position in the log."""
    rows: Mapping[str, int]
    """Rows per table, as the last pass would remember them."""
    files: Mapping[str, str]
    """Relation to its file below a data directory."""
    roles: tuple[str, ...] = ("shop_app", "shop_reader")
    extensions: tuple[str, ...] = ("amcheck", "vector")

    @property
    def backups(self) -> Path:
        """Base backups, a folder each."""
        return self.folder / "backups"

    @property
    def archive(self) -> Path:
        """The log's archive."""
        return self.folder / "archive"

    @property
    def source(self) -> Path:
        """The source's own data directory, stopped."""
        return self.folder / "shop"

    @property
    def catalog(self) -> Path:
        """The committed structure."""
        return self.folder / "catalog.txt"

    def digest(self) -> str:
        """Over everything in it."""
        return digest_of(self.folder)


def digest_of(folder: Path) -> str:
    """SHA-256 over every file's name and bytes."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            line = f"{path.relative_to(folder)}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n"
        whole.update(line.encode())
    return whole.hexdigest()


@contextmanager
def pristine_base(folder: Path) -> Iterator[Base]:
    """Make the base below `folder`; afterwards show that it was not changed, and leave nothing of it."""
    processes = Processes(folder / "processes", folder / "logs")
    try:
        base = _make(folder / "base", processes)
        before = base.digest()
        yield base
        if base.digest() != before:
            raise StepError("the pristine base was changed by a form", "no form can be trusted: report it as a defect")
    finally:
        processes.close()
        shutil.rmtree(folder)


def _make(folder: Path, processes: Processes) -> Base:
    folder.mkdir(parents=True)
    shop = Shop(folder, Workspace("base", folder).sockets, processes)
    card = shop.start(ORDERS)
    server = shop.server
    try:
        reference = _history(server, folder, processes)
        with server.connect(DATABASE) as connection:
            files = {name: _one(connection, f"select pg_relation_filepath('{name}')") for name in _RELATIONS}
            write_catalog(read_catalog(connection), DATABASE, folder / "catalog.txt")
            moment, lsn = _here(connection)
        archive_the_rest(server, folder / "archive", WRITE_CANARY)
    finally:
        server.stop()
        shutil.rmtree(shop.sockets, ignore_errors=True)
    return Base(
        folder=folder,
        binaries=server.binaries,
        system_identifier=card.system_identifier,
        reference=reference,
        moment=moment,
        lsn=lsn,
        rows={t.table: t.rows for t in reference.tables},
        files=files,
    )


def _history(server: Server, folder: Path, processes: Processes) -> Reference:
    """A source's life: full backup, incremental backup, reference, and customers who go on all the while."""

    def connect() -> psycopg.Connection[tuple[Any, ...]]:
        return server.connect(DATABASE)

    processes.start("traffic", [sys.executable, "-m", "tasks.estate.traffic", server.dsn(DATABASE)], log="traffic.log")
    try:
        take_backup(server, folder / "backups" / "full")
        take_backup(server, folder / "backups" / "incr", upon=folder / "backups" / "full")
        reference = take_reference(connect, POINT, CANARY)
        _dump(connect, server.binaries, processes, folder / "dumps")
    finally:
        processes.stop("traffic")
    write_reference(reference, folder / "references")
    return reference


def _dump(connect: Connect, binaries: Binaries, processes: Processes, folder: Path) -> None:
    folder.mkdir()
    take_globals(connect, binaries, processes, folder / GLOBALS)

    def dump(form: DumpForm) -> None:
        take_dump(connect, binaries, processes, form, folder / DUMPS[form], CANARY)

    with ThreadPoolExecutor(len(DUMPS)) as pool:  # each waits for the canary that comes after it
        list(pool.map(dump, DUMPS))


def take_backup(server: Server, destination: Path, *, upon: Path | None = None) -> None:
    """A base backup by `pg_basebackup`: full, or an increment upon another."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    argv: list[str | Path] = [
        server.binaries.tool("pg_basebackup"),
        f"--dbname={server.dsn()}",
        f"--pgdata={destination}",
        "--checkpoint=fast",
        "--wal-method=stream",
        "--manifest-checksums=SHA256",
        "--no-sync",
    ]
    if upon:
        argv.append(f"--incremental={upon / 'backup_manifest'}")
    server.processes.run(argv, log="basebackup.log", timeout=120)


def archive_the_rest(server: Server, archive: Path, statement: str) -> None:
    """Write two last segments, each with the statement's record, and wait until they are archived."""
    with server.connect(DATABASE) as connection:
        for _ in range(2):
            connection.execute(statement.encode())
            last = segment_number(_one(connection, "select pg_current_wal_lsn()::text"))
            connection.execute("select pg_switch_wal()")
    wait_for(lambda: _newest(archive) >= last, f"segment {last} in {archive}")


def wait_for(is_so: Callable[[], bool], words: str, seconds: float = _ARCHIVED_SECONDS) -> None:
    """Poll until it is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise StepError(f"waited {seconds:g} seconds in vain for {words}", "see the log of the catalogue's source")
        time.sleep(0.05)


def _newest(archive: Path) -> int:
    names = archived_segments(archive)
    return segment_of_name(names[-1]) if names else -1


def _here(connection: psycopg.Connection[tuple[Any, ...]]) -> tuple[datetime, str]:
    moment = datetime.fromtimestamp(float(_one(connection, "select extract(epoch from clock_timestamp())")), UTC)
    return moment, _one(connection, "select pg_current_wal_lsn()::text")


def _one(connection: psycopg.Connection[tuple[Any, ...]], query: str) -> str:
    row = connection.execute(query.encode()).fetchone()
    if row is None:
        raise LookupError(query)
    return str(row[0])
