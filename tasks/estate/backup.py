"""The estate's backup job: the demo's stand-in for the job that you have.

One cycle is a full backup, an incremental one upon it, and a reference of the rows at a named restore point. Promises:
a backup is complete or absent; when a cycle is taken, its restore point is in the archive; old cycles go with the log
that only they needed.
"""

import shutil
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from muster.errors import StepError
from muster.restore.spec import Canary
from tasks.estate.shop import DATABASE, Shop
from tasks.postgres.basebackup import read_label
from tasks.postgres.reference import take_reference
from tasks.postgres.references import write_reference
from tasks.postgres.server import Server

_KEPT = 2
_PATIENCE = 600.0  # seconds for one backup; a large shop on a slow disk needs minutes


@dataclass(frozen=True)
class Cycle:
    """Labels of what one cycle left."""

    full: str
    incremental: str
    point: str


@dataclass(frozen=True)
class BackupJob:
    """Takes cycles of a running shop into `backups/` and `references/` beside its archive."""

    shop: Shop

    def take(self, at: datetime) -> Cycle:
        """Take one cycle, wait until its restore point is archived, and drop the cycles that are too old."""
        stamp = f"{at:%Y%m%dT%H%M%SZ}"
        cycle = Cycle(full=f"{stamp}-full", incremental=f"{stamp}-incr", point=f"reference-{stamp}")
        server = self.shop.server
        shutil.rmtree(self._partial, ignore_errors=True)
        self._base_backup(server, cycle.full)
        self._base_backup(server, cycle.incremental, upon=cycle.full)
        reference = take_reference(lambda: server.connect(DATABASE), cycle.point, Canary(checksum_column="checksum"))
        self._wait_until_archived(server)
        write_reference(reference, self._references)
        self._publish(cycle)
        self._prune(server)
        return cycle

    @property
    def _backups(self) -> Path:
        return self.shop.home / "backups"

    @property
    def _references(self) -> Path:
        return self.shop.home / "references"

    @property
    def _partial(self) -> Path:
        return self.shop.home / "partial"

    def _base_backup(self, server: Server, label: str, upon: str | None = None) -> None:
        self._partial.mkdir(exist_ok=True)
        argv = [str(server.binaries.tool("pg_basebackup")), "--dbname", server.dsn()]
        argv += ["--pgdata", str(self._partial / label)]
        argv += ["--label", label, "--checkpoint=fast", "--wal-method=stream", "--manifest-checksums=SHA256"]
        if upon:
            argv.append(f"--incremental={self._partial / upon / 'backup_manifest'}")
        self.shop.processes.run(argv, log="basebackup.log", timeout=_PATIENCE)

    def _publish(self, cycle: Cycle) -> None:
        """Show both backups only now: a drill in the meantime would find them without a reference."""
        self._backups.mkdir(exist_ok=True)
        for label in (cycle.full, cycle.incremental):
            (self._partial / label).rename(self._backups / label)

    def _wait_until_archived(self, server: Server) -> None:
        """Everything written up to now is in the archive when this returns."""
        with server.connect() as connection:
            row = connection.execute("select pg_walfile_name(pg_switch_wal())").fetchone()
        segment = self.shop.archive / str(row[0] if row else "")
        deadline = time.monotonic() + 60
        while not segment.exists():
            if time.monotonic() > deadline:
                raise StepError(f"{segment.name} did not reach the archive: {server.log_tail()[-300:]}")
            time.sleep(0.02)

    def _prune(self, server: Server) -> None:
        fulls = sorted(path for path in self._backups.glob("*-full"))
        for full in fulls[:-_KEPT]:
            stamp = full.name.removesuffix("-full")
            (self._references / f"reference-{stamp}.json").unlink(missing_ok=True)
            shutil.rmtree(self._backups / f"{stamp}-incr", ignore_errors=True)
            shutil.rmtree(full)
        label = read_label(fulls[-_KEPT:][0])
        if label is not None:
            argv = [str(server.binaries.tool("pg_archivecleanup")), "-b", str(self.shop.archive), label.start_segment]
            self.shop.processes.run(argv, log="archivecleanup.log", timeout=60)
