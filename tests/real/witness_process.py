"""A witness in a process of its own, which can be told to die in the middle of its work.

`python -m tests.real.witness_process FOLDER ORIGIN VKEY [MOMENT]` prints its port, then serves until it is ended.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from evidence import durable
from evidence.witness.book import Book
from evidence.witness.server import serve
from tests.unit.witness_paper import cosigner

MOMENTS = ("before", "half", "unnamed", "after")
"""Before the record is written, with half of it written, before it has its name, and before the answer."""


def main(folder: str, origin: str, key: str, moment: str = "") -> None:
    """Serve; die at the moment when something is to be cosigned."""
    if moment:
        _die_at(moment)
    book = Book(Path(folder), cosigner(), {origin: [key]}, lambda: datetime.now(UTC))
    with serve(book) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


def _die_at(moment: str) -> None:
    write, replacing = durable.write, durable.replacing

    def dying_write(path: Path, content: bytes) -> None:
        if moment == "before":
            _die()
        write(path, content[: len(content) // 2] if moment == "half" else content)
        _die()

    @contextmanager
    def dying_before_it_is_named(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
        with replacing(path, mode) as out:
            yield out
            out.flush()
            _die()

    durable.write = dying_write
    if moment in ("half", "unnamed"):
        durable.replacing = dying_before_it_is_named


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
