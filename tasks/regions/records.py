"""What is on disk about a pair of regions: that it is complete, where it runs, which of its servers is fenced.

Promises: each record is replaced in one step; a record that is not there is an answer, never an error.
"""

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Made(_Record):
    """The pair in the folder; written when it is complete."""

    system_identifier: str


class Running(_Record):
    """Where a pair that was started is to be found."""

    sockets: Path
    records: Path
    """Of its processes."""
    logs: Path
    ports: dict[str, int]
    form: Literal["namespaces", "proxy"]


class Fence(StrEnum):
    """Why nothing but `rejoin` and `revive` may start a server."""

    FENCED = "fenced"
    """It was shut out: its data is as it was."""
    UNFINISHED = "unfinished"
    """Its data was being made to follow another server: whole only once `rejoin` has finished."""


class Records:
    """The records below a pair's home."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def made(self) -> Made | None:
        """What the pair is; `None` until it is complete."""
        path = self._home / "made.json"
        return Made.model_validate_json(path.read_bytes()) if path.exists() else None

    def write_made(self, made: Made | None) -> None:
        """Say that the pair is complete, or that it is not."""
        self._write("made.json", made)

    def running(self) -> Running | None:
        """Where the pair was started last; `None` when it was stopped in good order, or never started."""
        path = self._home / "running.json"
        return Running.model_validate_json(path.read_bytes()) if path.exists() else None

    def write_running(self, running: Running | None) -> None:
        """Say where the pair runs, or that it does not."""
        self._write("running.json", running)

    def fence(self, name: str) -> Fence | None:
        """Whether the server is fenced, and why."""
        path = self._home / f"{name}.fence"
        return Fence(path.read_text(encoding="utf-8")) if path.exists() else None

    def write_fence(self, name: str, fence: Fence | None) -> None:
        """Fence the server's data, or lift the fence."""
        self._replace(self._home / f"{name}.fence", fence)

    def _write(self, name: str, record: _Record | None) -> None:
        self._replace(self._home / name, record.model_dump_json(indent=1) if record else None)

    def _replace(self, path: Path, text: str | None) -> None:
        if text is None:
            path.unlink(missing_ok=True)
            return
        self._home.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
