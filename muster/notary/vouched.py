"""What outsiders said of heads of the log, as the store holds it: authorities' time-stamps, witnesses' cosignatures.

Promises: everything is checked again; a time-stamp that is there and cannot be checked is told, and shows nothing; one
that is not there is not told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from evidence.log.shelf import Shelf
from evidence.timestamps import TIMES, Anchored, Authority, NotAnchored, anchor_key, read_anchors
from evidence.witness import Cosigned, Witness, read_cosignatures


@dataclass(frozen=True)
class Anchor:
    """An authority's time-stamp of a head: every entry below `size` existed by `at`."""

    size: int
    authority: str
    """As in `log/times/SIZE/AUTHORITY.tsr`."""
    at: datetime | None
    """`None`: the token is there and could not be checked, so that it shows nothing."""


@dataclass(frozen=True)
class Cosignature:
    """A witness's word for the head of this size."""

    size: int
    witness: str


def size_in(key: str) -> int:
    """The size in `log/times/SIZE/…` or `log/cosignatures/SIZE/…`; 0 where there is none."""
    part = key.split("/")[2]
    return int(part) if part.isascii() and part.isdecimal() else 0


def anchors_of(store: Shelf, size: int, head: bytes, authorities: Sequence[Authority]) -> list[Anchor]:
    """The time-stamps of the head of this size, also those of others than these authorities."""
    said = read_anchors(store, size, head, authorities)
    there = frozenset(store.keys(f"{TIMES}{size:020d}/"))
    return [Anchor(size, each.authority, _at(each)) for each in said if anchor_key(size, each.authority) in there]


def cosignatures_of(store: Shelf, size: int, head: bytes, witnesses: Sequence[Witness]) -> list[Cosignature]:
    """Those of these witnesses for the head of this size that hold."""
    said = read_cosignatures(store, head, witnesses)
    return [Cosignature(size, each.witness) for each in said if isinstance(each, Cosigned)]


def _at(said: Anchored | NotAnchored) -> datetime | None:
    return said.at if isinstance(said, Anchored) else None
