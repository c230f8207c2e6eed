"""Reading the whole set of ids from one node, into a file.

Promise: bounded in time and memory; a file is there whole or not at all.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import psycopg
from psycopg import sql

from muster.errors import StepError
from muster.failover.observations import Node, SetRead
from tasks.postgres.bounded import connected
from tasks.postgres.survey import SERVER

SERVER_QUERY = f"select {SERVER}"
"""Which server this is, as `NodeState.server`: one row, one text."""
FOLDER = "reads"
"""Below the history's folder."""
_ROW = np.dtype([("fields", ">i2"), ("length", ">i4"), ("id", ">u8")])
_HEADER = 19
"""Bytes before the first row: signature, flags, no extension."""
_TRAILER = b"\xff\xff"
_AT_A_TIME = 1 << 20
"""Bytes."""


def read_set(
    node: Node, table: str, folder: Path, stage: str, *, is_primary: bool, server: str, timeout: float
) -> SetRead:
    """Every id that the node has, in ascending order, duplicates and all, as little-endian u64.

    `folder` is the history's. Source of the format: PostgreSQL documentation, COPY, "Binary Format".
    """
    file = f"{FOLDER}/{stage}-{node.name}.u64"
    whole = folder / file
    part = whole.with_suffix(".part")
    whole.parent.mkdir(parents=True, exist_ok=True)
    query = sql.SQL("copy (select id from {} order by id) to stdout (format binary)").format(sql.Identifier(table))
    invoked_ns = time.monotonic_ns()
    ids = 0
    try:
        with (
            connected(node.dsn, timeout) as connection,
            connection.cursor() as cursor,
            cursor.copy(query) as copy,
            part.open("wb") as sink,
        ):
            for chunk in _decoded(copy):
                sink.write(chunk.astype("<u8").tobytes())
                ids += len(chunk)
    except psycopg.Error as error:
        part.unlink(missing_ok=True)
        said = " ".join(str(error).split())
        raise StepError(f"the ids could not be read from {node.name}: {said}", "see the log of that server") from error
    completed_ns = time.monotonic_ns()
    part.replace(whole)
    return SetRead(
        stage=stage,
        node=node.name,
        server=server,
        is_primary=is_primary,
        invoked_ns=invoked_ns,
        completed_ns=completed_ns,
        ids=ids,
        file=file,
    )


def _decoded(copy: Iterable[bytes | bytearray | memoryview]) -> Iterator["np.typing.NDArray[np.uint64]"]:
    """The ids of a binary COPY of one bigint column."""
    buffer, skip = bytearray(), _HEADER
    for data in copy:
        buffer += data
        if len(buffer) >= _AT_A_TIME:
            yield _taken(buffer, skip, (len(buffer) - skip - len(_TRAILER)) // _ROW.itemsize)
            skip = 0
    count, rest = divmod(len(buffer) - skip - len(_TRAILER), _ROW.itemsize)
    if rest or not buffer.endswith(_TRAILER):
        raise psycopg.DataError("what was copied is not what a binary copy is")
    yield _taken(buffer, skip, count)


def _taken(buffer: bytearray, skip: int, count: int) -> "np.typing.NDArray[np.uint64]":
    """The first rows of the buffer, which are then out of it."""
    end = skip + count * _ROW.itemsize
    rows = np.frombuffer(bytes(buffer[skip:end]), dtype=_ROW)
    del buffer[:end]
    return rows["id"]
