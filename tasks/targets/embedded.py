"""Target `embedded`: base backups by `pg_basebackup`, full and incremental, beside an archive of the log.

The demo estate's backups are of this kind; so are yours if a folder holds `backups/`, `archive/` and `references/`.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from muster.errors import Refusal
from muster.identity import Identity
from muster.journal import Observation
from muster.restore.observations import (
    Backup,
    BytesVerified,
    Fetched,
    Reference,
    Restored,
    SourceMark,
)
from muster.restore.spec import Canary
from muster.settings import Settings
from tasks.estate.card import Card, read_card
from tasks.postgres.basebackup import archived_segments, assert_chain_is_whole, read_backups, read_label
from tasks.postgres.references import read_references
from tasks.postgres.source import ask_identifier, ask_mark
from tasks.postgres.walaudit import audit_wal
from tasks.targets.restorable import Work


class Spec(BaseModel):
    """The target's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = "embedded"
    folder: Path | None = None
    """Holds `backups/`, `archive/`, `references/`; default: the estate that `muster up` keeps."""
    system_identifier: str | None = None
    """What the source's `pg_control_system()` says; default: the estate's source is asked."""


class Target:
    """Base backups in a folder."""

    def __init__(self, spec: Spec, settings: Settings) -> None:
        self._spec = spec
        self._card: Card | None = None if spec.folder else read_card(settings)
        self._folder = spec.folder or settings.estate
        if spec.folder is None and (self._card is None or self._card.shop is None):
            raise Refusal("the embedded estate is not up", "start it with `muster up`, or run with `--up`")

    @property
    def _archive(self) -> Path:
        return self._folder / "archive"

    def identify(self) -> Identity:
        """The source's system identifier, asked of the source where there is one."""
        if self._spec.system_identifier:
            return Identity(
                description=f"base backups in {self._folder}",
                system_identifier=self._spec.system_identifier,
                proof="the system identifier that the plan names",
            )
        if self._card is None:
            return Identity(description=f"base backups in {self._folder}", proof="none: the plan names no identifier")
        with self._card.connect_source() as connection:
            identifier = ask_identifier(connection)
        return Identity(
            description="the embedded estate's shop", system_identifier=identifier, proof="the source was asked"
        )

    def backups(self) -> tuple[Backup, ...]:
        """Every folder in `backups/` that holds a base backup."""
        return read_backups(self._folder / "backups", self._archive)

    def source_mark(self, canary: Canary, database: str) -> SourceMark | None:
        """The newest canary in the estate's source."""
        if self._card is None:
            return None
        with self._card.connect_source() as connection:
            return ask_mark(connection, canary)

    def archive_end(self) -> str | None:
        """The newest segment in `archive/`."""
        return max(archived_segments(self._archive), default=None)

    def references(self) -> tuple[Reference, ...]:
        """The references in `references/`."""
        return read_references(self._folder / "references")

    def fetch(self, backup: Backup, work: Work) -> Fetched:
        """Nothing to bring; the chain must be whole."""
        assert_chain_is_whole(backup)
        return Fetched(path=Path(backup.location), bytes=backup.bytes)

    def audit(self, backup: Backup, fetched: Fetched, work: Work) -> Iterator[Observation]:
        """`pg_verifybackup` over every backup of the chain, then the archive, segment by segment."""
        for path in self._chain(backup):
            yield verify_backup(path, work)
        label = read_label(fetched.path)
        yield audit_wal(self._archive, label.start_lsn if label else None, work)

    def restore(self, backup: Backup, fetched: Fetched, work: Work) -> Restored:
        """A copy of a full backup, or the chain combined. What is verified is what is read here."""
        chain = self._chain(backup)
        work.data.parent.mkdir(parents=True, exist_ok=True)
        if len(chain) == 1:
            argv: list[str | Path] = ["cp", "--archive", "--reflink=auto", chain[0], work.data]
        else:
            argv = [work.binaries.tool("pg_combinebackup"), "--no-manifest", "--output", work.data, *chain]
        work.processes.run(argv, log="restore.log", timeout=work.seconds_left)
        work.data.chmod(0o700)
        return Restored(
            data=work.data,
            bytes=sum(f.stat().st_size for f in work.data.rglob("*") if f.is_file()),
            restore_command=restore_command(self._archive),
        )

    def _chain(self, backup: Backup) -> tuple[Path, ...]:
        return tuple(self._folder / "backups" / label for label in backup.chain)


def restore_command(archive: Path) -> str:
    """How the restored server gets its log: a copy from the archive; `%` in the path is doubled for PostgreSQL."""
    folder = shlex.quote(str(archive).replace("%", "%%"))
    return f"test -f {folder}/%f && cp {folder}/%f %p"


def verify_backup(path: Path, work: Work) -> BytesVerified:
    """`pg_verifybackup`: every file against the manifest's checksum, and the log that the backup itself carries."""
    # The log needed for consistency is judged in the archive; a combined chain has none of its own.
    completed = work.processes.run(
        [work.binaries.tool("pg_verifybackup"), "--no-parse-wal", "--quiet", path],
        log="verifybackup.log",
        timeout=work.seconds_left,
        check=False,
    )
    problems = tuple(line for line in completed.output.splitlines() if line.strip())
    manifest = path / "backup_manifest"
    files = manifest.read_bytes().count(b'"Path"') if manifest.is_file() else None
    return BytesVerified(
        tool="pg_verifybackup", ok=completed.returncode == 0 and not problems, files=files, problems=problems[:50]
    )


def open_target(keys: dict[str, object], settings: Settings) -> Target:
    """The target of a plan."""
    return Target(Spec.model_validate(keys), settings)
