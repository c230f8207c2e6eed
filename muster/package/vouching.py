"""Who outside vouches for the log: time-stamps and cosignatures of its heads, as many as a package needs.

Promises: every token comes with the head that it is for; one that we cannot check comes too, and says so; of many
heads the newest of each day is enough: what a later one shows, an earlier one shows for less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from evidence.log import head_key
from evidence.log.shelf import Shelf
from evidence.timestamps import TIMES, Anchored, Authority, NotAnchored, read_anchors
from evidence.vault import Vault
from evidence.witness import COSIGNATURES, Cosigned, Witness, read_cosignatures
from muster.package.inputs import Anchor, Cosignature, Previous
from muster.package.log import Log


@dataclass(frozen=True)
class Vouched:
    """Files by their keys, and what they say."""

    files: Mapping[str, bytes]
    anchors: tuple[Anchor, ...]
    cosignatures: tuple[Cosignature, ...]


def vouched_for(
    vault: Vault, authorities: Sequence[Authority], witnesses: Sequence[Witness], log: Log, previous: Previous | None
) -> Vouched:
    """What the store holds for heads since the package before, or since the first run that is told."""
    store = vault.store
    keys = [key for prefix in (TIMES, COSIGNATURES) for key in store.keys(prefix)]
    told = [run.index for run in (*log.runs, *log.late)]
    after = min(told, default=previous.size if previous else 0)
    sizes = _newest_of_each_day(vault, {size for key in keys if after < (size := _size_in(key)) <= log.size})
    files = {key: store.read(key) for key in keys if _size_in(key) in sizes}
    heads = {size: store.read(head_key(size)) for size in sizes}
    anchors = [told for size in sizes for told in _anchors(store, size, heads[size], authorities)]
    cosignatures = [told for size in sizes for told in _cosignatures(store, size, heads[size], witnesses)]
    return Vouched(files | {head_key(size): heads[size] for size in sizes}, tuple(anchors), tuple(cosignatures))


def _size_in(key: str) -> int:
    """The size in `log/times/SIZE/…` or `log/cosignatures/SIZE/…`; 0 where there is none."""
    part = key.split("/")[2]
    return int(part) if part.isascii() and part.isdecimal() else 0


def _newest_of_each_day(vault: Vault, sizes: set[int]) -> list[int]:
    newest: dict[date, int] = {}
    for size in sorted(sizes):
        newest[vault.view.entry(size - 1).logged_at.date()] = size
    return sorted(newest.values())


def _anchors(store: Shelf, size: int, head: bytes, authorities: Sequence[Authority]) -> list[Anchor]:
    said = read_anchors(store, size, head, authorities)
    there = {key.split("/")[3].removesuffix(".tsr") for key in store.keys(f"{TIMES}{size:020d}/")}
    return [Anchor(size, each.authority, _at(each)) for each in said if each.authority in there]


def _at(said: Anchored | NotAnchored) -> datetime | None:
    return said.at if isinstance(said, Anchored) else None


def _cosignatures(store: Shelf, size: int, head: bytes, witnesses: Sequence[Witness]) -> list[Cosignature]:
    said = read_cosignatures(store, head, witnesses)
    return [Cosignature(size, each.witness) for each in said if isinstance(each, Cosigned)]
