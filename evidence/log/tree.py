"""Making roots and proofs of a Merkle tree from the hashes of its full subtrees.

Promises: nothing is read or kept here; every proof that is made is one that `evidence.verify` accepts.
Source: RFC 6962, 2.1, 2.1.1 (PATH), 2.1.2 (PROOF).
"""

from collections.abc import Callable
from typing import Final

from evidence.verify import node_hash, root_of

HashAt = Callable[[int, int], bytes]
"""The hash of a full subtree: how high it is (0 is a leaf), and how many such subtrees stand left of it."""

EMPTY_ROOT: Final = root_of(())
"""The root over no entry: SHA-256 of nothing."""


def root_at(size: int, hash_at: HashAt) -> bytes:
    """The root over the first `size` entries."""
    return _range_root(0, size, hash_at) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, hash_at: HashAt) -> tuple[bytes, ...]:
    """The siblings on the way from entry `index` up to the root over `size` entries."""
    siblings: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _left_half(stop - start)
        if index < middle:
            siblings.append(_range_root(middle, stop, hash_at))
            stop = middle
        else:
            siblings.append(_range_root(start, middle, hash_at))
            start = middle
    return tuple(reversed(siblings))


def consistency_proof(old: int, size: int, hash_at: HashAt) -> tuple[bytes, ...]:
    """What shows that the tree over `old` entries is the beginning of the one over `size`; nothing for none or all."""
    if old in (0, size):
        return ()
    found: list[bytes] = []
    start, stop = 0, size
    while stop != old:
        middle = start + _left_half(stop - start)
        if old <= middle:
            found.append(_range_root(middle, stop, hash_at))
            stop = middle
        else:
            found.append(_range_root(start, middle, hash_at))
            start = middle
    if start:  # else this is the old root itself, which the verifier has
        found.append(_range_root(start, stop, hash_at))
    return tuple(reversed(found))


def _range_root(start: int, stop: int, hash_at: HashAt) -> bytes:
    """The root over entries `start` to `stop`; `start` is where a subtree as large as this can begin."""
    size = stop - start
    if size & (size - 1) == 0:
        height = size.bit_length() - 1
        return hash_at(height, start >> height)
    middle = start + _left_half(size)
    return node_hash(_range_root(start, middle, hash_at), _range_root(middle, stop, hash_at))


def _left_half(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)
