"""Answers computed without Spark: the hash that Spark's `xxhash64` computes, over columns of whole numbers.

Promise: `hash_rows` is what `xxhash64(a, b, ...)` of bigint columns is in Spark: XXH64 of each value's eight bytes
(little endian), seeded with 42 and then with the hash so far. Source: the xxHash specification, section "XXH64";
Spark's SQL reference, `xxhash64`. Both are held against each other by tests.
"""

from collections.abc import Callable, Iterator
from functools import reduce

import numpy as np
import numpy.typing as npt

from muster.spark.digest import Answer, Digest, combined

Longs = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]
_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(p)
    for p in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
)
_SEED = 42
CHUNK = 2**20
"""Rows that are in memory at once."""


def hash_rows(*columns: Longs) -> Longs:
    """The 64-bit hash of each row; all columns are of the same length."""
    start = np.full(len(columns[0]), _SEED, dtype=np.uint64)
    return reduce(_hash_longs, columns, start).view(np.int64)


def _hash_longs(seed: _Words, values: Longs) -> _Words:
    eight = np.uint64(8)
    word = _rotate(values.view(np.uint64) * _P2, 31) * _P1
    mixed = _rotate((seed + _P5 + eight) ^ word, 27) * _P1 + _P4
    for shift, prime in ((33, _P2), (29, _P3)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * prime
    return mixed ^ (mixed >> np.uint64(32))


def _rotate(words: _Words, by: int) -> _Words:
    return (words << np.uint64(by)) | (words >> np.uint64(64 - by))


def digest_of(hashes: Longs) -> Digest:
    """Count, exclusive or, and sum."""
    words = hashes.view(np.uint64)
    low, high = int((words & np.uint64(0xFFFFFFFF)).sum()), int((hashes >> np.int64(32)).sum())
    return Digest.of(len(hashes), int(np.bitwise_xor.reduce(words)) if len(words) else 0, (high << 32) + low)


def chunks(rows: int) -> Iterator[Longs]:
    """The ids 0 to `rows`, a chunk at a time."""
    for start in range(0, rows, CHUNK):
        yield np.arange(start, min(rows, start + CHUNK), dtype=np.int64)


def answer_of(rows: int, result: Callable[[Longs], tuple[Longs, Longs]]) -> Answer:
    """The answer of a job that makes one row of each id: `result` gives its hash, and the number of its part."""
    parts: dict[str, list[Digest]] = {}
    for ids in chunks(rows):
        hashes, places = result(ids)
        for place in np.unique(places):
            parts.setdefault(str(int(place)), []).append(digest_of(hashes[places == place]))
    return whole_of({name: combined(found) for name, found in parts.items()})


def whole_of(parts: dict[str, Digest]) -> Answer:
    """An answer from its parts."""
    return Answer(whole=combined(parts.values()), parts=dict(sorted(parts.items())))
