"""Tiles: the hashes of a tree in files of 256, and its entries in files that go with them.

Promises: nothing is read or kept here; tiles of the same entries are the same bytes, in whatever steps a tree grew.
Source: C2SP tlog-tiles; its tiles are 8 levels high, so a tile's root is one hash of the tile above it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from evidence.log.tree import root_at
from evidence.verify import HASH_SIZE, node_hash

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
LARGEST_ENTRY: Final = (1 << 16) - 1
"""Bytes: an entry's length is written in 16 bits."""

_ENTRIES: Final = "entries"


def tile_key(level: int, number: int, width: int = WIDTH) -> str:
    """Where a tile of hashes is kept, below the log."""
    return _key(str(level), number, width)


def entries_key(number: int, width: int = WIDTH) -> str:
    """Where an entry bundle is kept, below the log."""
    return _key(_ENTRIES, number, width)


def _key(kind: str, number: int, width: int) -> str:
    digits = f"{number:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
    return f"tile/{kind}/{path}" + ("" if width == WIDTH else f".p/{width}")


def pack_entries(entries: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry behind its length, 16 bits, big-endian."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


@dataclass(frozen=True)
class Tile:
    """Up to 256 hashes side by side, and the nodes above them."""

    hashes: tuple[bytes, ...]
    _rows: list[Sequence[bytes]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows: list[Sequence[bytes]] = [self.hashes]
        while len(row := rows[-1]) > 1:
            rows.append([node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)])
        object.__setattr__(self, "_rows", rows)

    @classmethod
    def parse(cls, content: bytes, width: int) -> "Tile | None":
        """The tile in these bytes, if they are `width` hashes."""
        if len(content) != width * HASH_SIZE:
            return None
        return cls(tuple(content[at : at + HASH_SIZE] for at in range(0, len(content), HASH_SIZE)))

    @property
    def content(self) -> bytes:
        """The tile's bytes."""
        return b"".join(self.hashes)

    @property
    def root(self) -> bytes:
        """Of a full tile, its hash in the tile above."""
        return self.node(HEIGHT, 0)

    def node(self, height: int, index: int) -> bytes:
        """A node `height` above the tile's own hashes; under it all are there."""
        return self._rows[height][index]


@dataclass(frozen=True)
class Edge:
    """The right edge of a tree of `size` entries: its partial tiles by their level. All that growing needs to know."""

    size: int
    tiles: Mapping[int, Tile]

    @property
    def root(self) -> bytes:
        """The tree's root: the partial tiles hold every subtree that the size is made of."""
        return root_at(self.size, self._hash_at)

    def grow(self, leaves: Sequence[bytes]) -> tuple["Edge", list[tuple[str, Tile]]]:
        """The edge after these leaf hashes, and the tiles that are new with it, each with its key, lowest first."""
        tiles, made = dict(self.tiles), []
        level, fresh = 0, list(leaves)
        while fresh:
            edge = tiles.pop(level, None)
            row = [*edge.hashes, *fresh] if edge else fresh
            fresh = []
            for number, tile in enumerate(_cut(row), (self.size >> HEIGHT * level) >> HEIGHT):
                made.append((tile_key(level, number, len(tile.hashes)), tile))
                if len(tile.hashes) == WIDTH:
                    fresh.append(tile.root)
                else:
                    tiles[level] = tile
            level += 1
        return Edge(self.size + len(leaves), tiles), made

    def _hash_at(self, height: int, index: int) -> bytes:
        level, above = divmod(height, HEIGHT)
        return self.tiles[level].node(above, index & ((WIDTH >> above) - 1))


def edge_widths(size: int) -> Iterator[tuple[int, int, int]]:
    """The partial tiles of a tree of this size: level, number, width."""
    level = 0
    while size >> HEIGHT * level:
        number, width = divmod(size >> HEIGHT * level, WIDTH)
        if width:
            yield level, number, width
        level += 1


def _cut(row: Sequence[bytes]) -> Iterator[Tile]:
    for at in range(0, len(row), WIDTH):
        yield Tile(tuple(row[at : at + WIDTH]))
