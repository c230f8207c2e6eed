"""Who outside vouches for the log: time-stamps and cosignatures of its heads, as many as a package needs.

Promises: every token comes with the head that it is for; one that we cannot check comes too, and says so; of many heads
the newest of each day is enough, for each authority and each witness: what a later one shows, an earlier one shows for
less. The last one before the first run comes too: what was entered after it was not there before.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from evidence.log import head_key
from evidence.timestamps import TIMES, Authority
from evidence.vault import Vault
from evidence.witness import COSIGNATURES, Witness
from muster.notary.vouched import Anchor, Cosignature, anchors_of, cosignatures_of, size_in
from muster.package.inputs import Previous
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
    sizes = sorted(set(_sizes(vault, keys, after, log.size)))
    files = {key: store.read(key) for key in keys if size_in(key) in sizes}
    heads = {size: store.read(head_key(size)) for size in sizes}
    anchors = [told for size in sizes for told in anchors_of(store, size, heads[size], authorities)]
    cosignatures = [told for size in sizes for told in cosignatures_of(store, size, heads[size], witnesses)]
    return Vouched(files | {head_key(size): heads[size] for size in sizes}, tuple(anchors), tuple(cosignatures))


def _sizes(vault: Vault, keys: Iterable[str], after: int, until: int) -> Iterator[int]:
    """The heads that are needed: of each who vouches the newest of each day, and the last one up to `after`."""
    vouched: dict[tuple[str, str], list[int]] = defaultdict(list)
    for key in keys:
        if 0 < size_in(key) <= until:
            _, kind, _, who = key.split("/")
            vouched[kind, who].append(size_in(key))
    days = {size: _day(vault, size) for sizes in vouched.values() for size in sizes if size > after}
    for sizes in vouched.values():
        yield from sorted(size for size in sizes if size <= after)[-1:]
        yield from {days[size]: size for size in sorted(sizes) if size > after}.values()


def _day(vault: Vault, size: int) -> date:
    """When the newest entry below a head was logged."""
    return vault.view.entry(size - 1).logged_at.date()
