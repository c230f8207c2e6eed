"""The history as the client writes it: logs of records, the list of sessions, and the end.

Promises: records are with the operating system when `write` returns, and on disk a second later; a folder that holds a
history already is left alone; what `end.json` says of a log was counted while it was written, not read back.
"""

import hashlib
import os
import struct
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from muster.failover.record import STRUCT, End, Kind, LogEnd, Session

_PACKED = struct.Struct(STRUCT)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
_SAME_ERROR_NS = 1_000_000_000
"""An error that repeats is told once in this time."""


class Log:
    """One writer's or reader's own file."""

    def __init__(self, folder: Path, name: str, connection: int) -> None:
        self.name = name
        self._connection = connection
        self._file = os.open(folder / name, _NEW, 0o644)
        self._pending = b""
        self._records = 0
        self._synced = 0
        self._digest = hashlib.sha256()

    def note(self, kind: Kind, session: int, number: int) -> int:
        """A record of this moment, for `write`; returns it, in nanoseconds of the monotonic clock."""
        now_ns = time.monotonic_ns()
        self._pending += _PACKED.pack(kind, 0, self._connection, session, number, now_ns, time.time_ns())
        return now_ns

    def write(self) -> None:
        """Append what was noted, in one write(2): before the call that the last record announces, or before a pause."""
        data = self._pending
        if data:
            if os.write(self._file, data) != len(data):
                raise OSError(f"half a record was written to {self.name}: the disk is full")
            self._digest.update(data)
            self._records += len(data) // _PACKED.size
            self._pending = b""

    def sync(self) -> None:
        """Bring it to disk, if there is anything new."""
        if self._synced != (records := self._records):
            os.fdatasync(self._file)
            self._synced = records

    def end(self) -> LogEnd:
        """What was written."""
        return LogEnd(records=self._records, sha256=self._digest.hexdigest())


class Sessions:
    """`sessions.jsonl`: every session, and attempts to open one that failed. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "sessions.jsonl", _NEW, 0o644)
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._told: dict[str, tuple[str, int]] = {}

    def opened(self, log: str, server: str) -> int:
        """A new session of this log; returns its number, from 1."""
        with self._lock:
            return self._write(log, server, "")

    def failed(self, log: str, server: str, error: str) -> None:
        """An attempt that came to nothing."""
        with self._lock:
            said, told_ns = self._told.get(log, ("", 0))
            if error != said or time.monotonic_ns() - told_ns > _SAME_ERROR_NS:
                self._told[log] = (error, time.monotonic_ns())
                self._write(log, server, error)

    def sync(self) -> None:
        """Bring it to disk."""
        os.fdatasync(self._file)

    def _write(self, log: str, server: str, error: str) -> int:
        number = self._numbers[log] = self._numbers.get(log, 0) + 1
        session = Session(log=log, session=number, mono_ns=time.monotonic_ns(), server=server, error=error)
        os.write(self._file, session.model_dump_json().encode() + b"\n")
        return number


def write_end(folder: Path, logs: Iterable[Log]) -> None:
    """Write `end.json`, whole or not at all."""
    end, whole, part = End(logs={log.name: log.end() for log in logs}), folder / "end.json", folder / "end.part"
    with part.open("xb") as file:
        file.write(end.model_dump_json(indent=1).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(whole)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)
    os.close(directory)
