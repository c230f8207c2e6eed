"""A view: the log as it stands under one head, with every hash in it proved before it is used.

Promises: a tile or an entry that does not lead to the head's root is a `ForkAlarm`, never an answer; a view does not
change while the log grows; it keeps a few tiles in memory, whatever the size of the log.
Source: C2SP tlog-tiles, tlog-proof. Idea: Go's sumdb/tlog, TileHashReader: check a tile against the one above it.
"""

import base64
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Final

from evidence.errors import EvidenceError
from evidence.log.entries import Entry
from evidence.log.heads import Head
from evidence.log.shelf import LOG, ForkAlarm, Shelf, held
from evidence.log.tiles import HEIGHT, WIDTH, Edge, Tile, edge_widths, entries_key, tile_key
from evidence.log.tree import consistency_proof, inclusion_proof, root_at
from evidence.verify import parse_entry_bundle

_TILES_IN_MEMORY: Final = 256
_BUNDLES_IN_MEMORY: Final = 4


class View:
    """The log under `head`, whose signature was checked by whoever gives it. Raises `ForkAlarm` as soon as it can."""

    def __init__(self, shelf: Shelf, head: Head) -> None:
        self.head = head
        self._shelf = shelf
        self._full_tile = lru_cache(_TILES_IN_MEMORY)(self._read_full_tile)
        self._bundle = lru_cache(_BUNDLES_IN_MEMORY)(self._read_bundle)
        self.edge = self._read_edge()

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self.head.size

    def root_at(self, size: int) -> bytes:
        """The root over the first `size` entries."""
        self._assert_within(size, self.size)
        return root_at(size, self._hash_at)

    def consistency(self, old: int) -> tuple[bytes, ...]:
        """What proves that the log of `old` entries is the beginning of this one."""
        self._assert_within(old, self.size)
        return consistency_proof(old, self.size, self._hash_at)

    def prove(self, index: int) -> bytes:
        """The bytes of a `.tlog-proof` of one entry: the entry, its index, its inclusion proof, the head."""
        entry = self.entry(index)
        lines = ["c2sp.org/tlog-proof@v1", f"extra {_base64(entry.content)}", f"index {index}"]
        lines += map(_base64, inclusion_proof(index, self.size, self._hash_at))
        return "\n".join([*lines, "\n"]).encode() + self.head.content

    def entry(self, index: int) -> Entry:
        """One entry."""
        self._assert_within(index, self.size - 1)
        number, within = divmod(index, WIDTH)
        entry, hashes = Entry(index, self._bundle(number)[within]), self._tile(0, number).hashes
        if entry.leaf != hashes[within]:
            raise self._misfit(entries_key(number, len(hashes)))
        return entry

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[Entry]:
        """The entries from `start` to before `stop`, in order."""
        for index in range(start, self.size if stop is None else stop):
            yield self.entry(index)

    @cached_property
    def tail(self) -> tuple[Entry, ...]:
        """The entries of the last bundle while it is not full: those that the bundle after it will begin with."""
        return tuple(self.entries(self.size // WIDTH * WIDTH))

    def backwards(self) -> Iterator[Entry]:
        """The entries, the newest first."""
        for index in reversed(range(self.size)):
            yield self.entry(index)

    def find(self, envelope: str, since: datetime) -> Entry | None:
        """The last entry of this envelope (SHA-256, hex) logged at or after `since`."""
        for entry in self.backwards():
            if entry.logged_at < since:
                return None
            if entry.envelope == envelope:
                return entry
        return None

    def _hash_at(self, height: int, index: int) -> bytes:
        level, above = divmod(height, HEIGHT)
        number, within = divmod(index, WIDTH >> above)
        return self._tile(level, number).node(above, within)

    def _tile(self, level: int, number: int) -> Tile:
        if number == self.size >> HEIGHT * (level + 1):
            return self.edge.tiles[level]
        return self._full_tile(level, number)

    def _read_full_tile(self, level: int, number: int) -> Tile:
        tile = self._parse_tile(tile_key(level, number), WIDTH)
        if tile.root != self._hash_at((level + 1) * HEIGHT, number):
            raise self._misfit(tile_key(level, number))
        return tile

    def _read_edge(self) -> Edge:
        keys = {level: (tile_key(level, number, width), width) for level, number, width in edge_widths(self.size)}
        edge = Edge(self.size, {level: self._parse_tile(*where) for level, where in keys.items()})
        if edge.root != self.head.root:
            raise self._misfit(" or ".join(key for key, _ in keys.values()) or "of nothing")
        return edge

    def _parse_tile(self, key: str, width: int) -> Tile:
        tile = Tile.parse(held(self._shelf, LOG + key), width)
        if tile is None:
            raise self._misfit(key)
        return tile

    def _read_bundle(self, number: int) -> tuple[bytes, ...]:
        """The entries in a bundle, as many as its tile has hashes; each is checked when it is asked for."""
        width = len(self._tile(0, number).hashes)
        key = entries_key(number, width)
        contents = parse_entry_bundle(held(self._shelf, LOG + key))
        if contents is None or len(contents) != width:
            raise self._misfit(key)
        return contents

    def _misfit(self, what: str) -> ForkAlarm:
        return ForkAlarm(f"the head of size {self.size} does not stand for the {what} that the store holds")

    def _assert_within(self, number: int, last: int) -> None:
        if not 0 <= number <= last:
            raise EvidenceError(f"the log of {self.size} entries does not reach to {number}", "read the newest head")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
