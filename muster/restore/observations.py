"""What a restore drill measures: results of its steps and facts observed on the way.

Promise: no row of the restored data is ever in here, only counts, digests, names of objects and settings.
"""

from datetime import datetime
from pathlib import Path
from typing import Literal

from muster.journal import Observation


class Backup(Observation):
    """One backup a target offers. `taken_at` is when it ended, `bytes` its size where it lies, chain and all."""

    label: str
    form: Literal["physical", "dump"]
    taken_at: datetime
    bytes: int
    major: int | None = None
    system_identifier: str | None = None
    chain: tuple[str, ...] = ()
    """Labels it builds upon, the full backup first, itself last."""
    stop_lsn: str | None = None
    location: str = ""


class TableFingerprint(Observation):
    """Order-independent digest of one table: row count and the sum of a 64-bit hash over the rows' text."""

    table: str
    rows: int
    digest: str


class Reference(Observation):
    """What the source looked like at one named point: the truth a restore is held against."""

    point: str
    """Name of the restore point (`pg_create_restore_point`), or of the dump whose snapshot it shares."""
    lsn: str
    taken_at: datetime
    database: str
    system_identifier: str
    tables: tuple[TableFingerprint, ...]
    canary_before: int | None = None
    """Newest canary at the point: must be there."""
    canary_after: int | None = None
    """First canary written after the point: must not be there."""


class SourceMark(Observation):
    """The newest canary written in the source when the drill began: what a loss at that moment would cost."""

    canary_id: int | None
    written_at: datetime | None
    seen_at: datetime
    source: Literal["asked the source", "the drill's clock"]


class Chosen(Observation):
    """Result of `choose`."""

    backup: Backup
    candidates: int
    rule: str
    seed: int | None
    reference: Reference | None
    archive_end: str | None = None
    """Last segment in the archive when the drill began. Nothing later is used: a lost source archives no more."""
    binaries: Path
    server_version: str
    binaries_found: str
    """Where the binaries were found: in the plan, on PATH, in the wheel."""


class Fetched(Observation):
    """Result of `fetch`: where the backup's files can be read now."""

    path: Path
    bytes: int


class Restored(Observation):
    """Result of `restore`: a data directory that can be started, or a loaded server."""

    data: Path
    bytes: int
    restore_command: str | None = None
    """How the server gets WAL, for a physical backup."""
    running: bool = False


class Replayed(Observation):
    """Result of `replay`: where recovery paused (`reference`, `target`), or that it ran to the end."""

    stage: Literal["reference", "target", "end"]
    lsn: str


class Served(Observation):
    """Result of `promote`: the restored server answers, out of recovery."""

    lsn: str
    timeline: int
    segment: int
    """Number of the last segment of the log that recovery used."""


class Inspected(Observation):
    """Result of `compare` and `inspect`: how many rungs were looked at."""

    rungs: tuple[str, ...]


class BytesVerified(Observation):
    """Whether the backup's files are those its manifest names, by the tool that owns the format."""

    tool: str
    ok: bool
    files: int | None
    problems: tuple[str, ...]


class WalArchived(Observation):
    """Whether the archive holds every segment from the backup's start to the archive's end."""

    first: str
    last: str
    last_number: int
    segments: int
    missing: tuple[str, ...]
    damaged: tuple[str, ...]


class PointReached(Observation):
    """Where recovery stopped, against where it was asked to stop."""

    asked: str
    reached: bool
    seen: str


class CanaryState(Observation):
    """The canary table in the restored database."""

    stage: Literal["reference", "target"]
    exists: bool
    rows: int = 0
    newest_id: int | None = None
    newest_at: datetime | None = None
    after_present: bool | None = None
    """Whether the first canary after the asked point is there (it must not)."""
    garbled: int = 0
    """Rows whose checksum column does not fit their content."""


class Rows(Observation):
    """Fingerprints of every table at one stage of the recovery."""

    stage: Literal["reference", "target"]
    tables: tuple[TableFingerprint, ...]
    unreadable: tuple[str, ...] = ()


class Catalog(Observation):
    """One line an object, sorted: the structure of the restored database."""

    lines: tuple[str, ...]


class SqlAnswer(Observation):
    """The answer to one of the plan's own questions: one value, or the shape of what came instead."""

    name: str
    value: str | int | float | bool | None
    shape: str
    error: str = ""


class Rung(Observation):
    """One integrity question asked inside the restored database: the objects found wanting."""

    name: str
    asked: str
    problems: tuple[str, ...]
    looked_at: int
    error: str = ""
    """Set when the question could not be answered."""


class Isolation(Observation):
    """What the restored server said of its own reach."""

    archive_mode: str
    archive_command: str
    listen_addresses: str
    sockets_open: tuple[str, ...]
    """TCP addresses its processes listen on, seen from outside."""
    wal_senders: int
    wal_receiver: bool
    subscriptions: int


class Version(Observation):
    """What the restored server is."""

    major: int
    full: str
    system_identifier: str
    data_bytes: int
