"""Whole reads held against a history: which attempts are there, and what is there that nobody wrote.

Promise: the file is read in chunks, so that memory does not depend on its length.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from muster.failover.attempts import Attempts
from muster.failover.history import SEQUENCE_BITS
from muster.failover.observations import SetRead

Marks = dict[int, NDArray[np.uint8]]
"""Connection to the marks of each of its attempts, put together."""
_STEP = 1 << 18

PRESENT = np.uint8(1)
"""There in the read looked at last."""
DOUBLED = np.uint8(2)
"""There more than once in any of them."""
AWAY = np.uint8(4)
"""Not there in the new primary's first, though its call was over."""
RESURRECTED = np.uint8(8)
"""There in a later one all the same."""
MISSED = np.uint8(16)
"""Acknowledged before one of them was read, and not there."""


def blank_marks(connections: Mapping[int, Attempts]) -> Marks:
    """Nothing is marked yet."""
    return {number: np.zeros(len(attempts), np.uint8) for number, attempts in connections.items()}


def complaint_about(folder: Path, read: SetRead) -> str:
    """Why this read's file cannot be what was read: not as long, or not in order. Empty when it can."""
    count, last = 0, 0
    try:
        for ids in _chunks(folder / read.file):
            if ids[0] < last or (ids[1:] < ids[:-1]).any():
                return f"the read {read.file} is not in order"
            count, last = count + len(ids), int(ids[-1])
        size = (folder / read.file).stat().st_size
    except OSError as error:
        return f"the read {read.file} cannot be read: {error.strerror}"
    return "" if size == read.ids * 8 else f"the read {read.file} holds {count} ids, {read.ids} were read"


def mark_present(path: Path, marks: Marks) -> NDArray[np.uint64]:
    """Set `PRESENT` for what is in this read, and take it from all else; add `DOUBLED`. Gives ids of no attempt."""
    for flags in marks.values():
        flags &= ~PRESENT
    others, last = [np.zeros(0, np.uint64)], None
    for ids in _chunks(path):
        repeated = ids[1:][ids[1:] == ids[:-1]]
        if ids[0] == last:
            repeated = np.concatenate((ids[:1], repeated))
        others.append(_mark(ids, PRESENT, marks))
        _mark(repeated, DOUBLED, marks)
        last = ids[-1]
    return np.concatenate(others)


def _chunks(path: Path) -> Iterator[NDArray[np.uint64]]:
    with path.open("rb") as file:
        while data := file.read(_STEP * 8):
            ids = np.frombuffer(data[: len(data) - len(data) % 8], dtype="<u8")
            if len(ids):
                yield ids


def _mark(ids: NDArray[np.uint64], mark: np.uint8, marks: Marks) -> NDArray[np.uint64]:
    """Mark those of the ascending ids that are attempts; give back the others."""
    others = np.ones(len(ids), np.bool_)
    for connection, flags in marks.items():
        first = (connection << SEQUENCE_BITS) + 1
        low, high = np.searchsorted(ids, np.array([first, first + len(flags)], np.uint64))
        flags[(ids[low:high] - np.uint64(first)).astype(np.intp)] |= mark
        others[low:high] = False
    return ids[others]
