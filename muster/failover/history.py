"""The client's history on disk: what it tried, when, and what it was told.

Words: a *record* is 32 bytes, little-endian: kind u8, flags u8, connection u16, session u32, id u64, monotonic
nanoseconds u64, wall nanoseconds since 1970 u64. A *log* is a file of records, one per writer (`w-000.log`, ...) and
one per reader (`r-NODE.log`). An *id* is its connection shifted left by 40 bits, plus a sequence number from 1 that a
connection never uses twice. A *session* is one connection to a server, a line of `sessions.jsonl`. A *whole read* is a
file of u64 ids in ascending order, duplicates and all. `end.json` says how many records each log has, and is written
only by a client that ended by itself.

Promises: a record is written to its file (write(2)) before the call it announces, and after the call before the next;
so the death of the client, or of Muster, loses nothing. A cut or padded file does not pass for a whole one.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from muster.failover.record import SEQUENCE_BITS, STRUCT, End, Kind, LogEnd, Session, make_id

__all__ = [
    "CHUNK",
    "RECORD",
    "SEQUENCE_BITS",
    "STRUCT",
    "End",
    "Kind",
    "LogEnd",
    "Session",
    "make_id",
    "read_end",
    "read_log",
    "read_sessions",
]

RECORD = np.dtype(
    [
        ("kind", "<u1"),
        ("flags", "<u1"),
        ("connection", "<u2"),
        ("session", "<u4"),
        ("id", "<u8"),
        ("mono_ns", "<u8"),
        ("wall_ns", "<u8"),
    ]
)
CHUNK = 1_000_000
"""Records read at a time: what bounds the memory of whoever judges a history."""


def read_log(path: Path, chunk: int = CHUNK) -> Iterator[NDArray[np.void]]:
    """The records of a log in chunks, of whole records only: a client that was killed may leave half a one."""
    with path.open("rb") as file:
        while True:
            data = file.read(chunk * RECORD.itemsize)
            whole = len(data) - len(data) % RECORD.itemsize
            if not whole:
                return
            yield np.frombuffer(data[:whole], dtype=RECORD)


def read_sessions(folder: Path) -> tuple[Session, ...]:
    """Every session; a line that was cut off by the client's death is left out."""
    path = folder / "sessions.jsonl"
    if not path.exists():
        return ()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return tuple(Session.model_validate_json(line) for line in lines if line.endswith("\n"))


def read_end(folder: Path) -> End | None:
    """What the client said at its end; `None` when it was killed."""
    path = folder / "end.json"
    return End.model_validate_json(path.read_bytes()) if path.exists() else None
