"""The capability a restore drill needs of its target."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from muster.drill import Workspace
from muster.identity import Identity
from muster.journal import Observation
from muster.restore.observations import Backup, Fetched, Reference, Restored, SourceMark
from muster.restore.spec import Canary, RestoreSpec
from tasks.postgres.binaries import Binaries
from tasks.process import Processes


@dataclass(frozen=True)
class Work:
    """What a target may use while it restores: the run's folders, recorded processes, binaries, time left."""

    workspace: Workspace
    processes: Processes
    binaries: Binaries
    spec: RestoreSpec
    seconds_left: float
    archive_end: str | None = None
    """The archive counts up to this segment."""

    @property
    def data(self) -> Path:
        """The scratch server's data directory."""
        return self.workspace.scratch / "data"

    @property
    def fetched(self) -> Path:
        """Where fetched backup files go."""
        return self.workspace.scratch / "fetched"


@runtime_checkable
class Restorable(Protocol):
    """A system whose backups can be restored elsewhere. No method touches the source or the backups."""

    def identify(self) -> Identity:
        """Prove which system this is; `Refusal` when it is not the one the plan names."""
        ...

    def backups(self) -> tuple[Backup, ...]:
        """Every backup there is, oldest first."""
        ...

    def source_mark(self, canary: Canary, database: str) -> SourceMark | None:
        """The newest canary in the source; `None` when this target cannot ask its source."""
        ...

    def archive_end(self) -> str | None:
        """Name of the newest segment in the archive of the log; `None` for a form without one."""
        ...

    def references(self) -> tuple[Reference, ...]:
        """References the target holds, oldest first."""
        ...

    def fetch(self, backup: Backup, work: Work) -> Fetched:
        """Bring the backup's files where they can be read; nothing to do for local ones."""
        ...

    def audit(self, backup: Backup, fetched: Fetched, work: Work) -> Iterator[Observation]:
        """Judge the backup's own bytes and log, beside the restore. Yields `BytesVerified`, `WalArchived`."""
        ...

    def restore(self, backup: Backup, fetched: Fetched, work: Work) -> Restored:
        """Make a data directory, or a loaded server, in `work.data`."""
        ...
