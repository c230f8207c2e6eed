"""The writer: appends entries to the log, beside other writers, through crashes.

Promises: what a batch names is logged once, whoever finishes it; a writer that is killed anywhere leaves nothing that
the next one does not finish, to the same bytes; nothing is signed on a store whose content does not fit its head, nor
by a key that may not.

One write decides: the batch under the present size, which the store takes once. Everything after it, entry bundles,
tiles and the next head, follows from the head and the batch, so that any writer can write it.
Source: docs/evidence-format.md, "Writers". Idea: a log record before the pages, as databases do it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evidence.envelope import open_envelope, sign
from evidence.errors import AlreadyDifferent, EvidenceError
from evidence.keys import PublicKey, public_key_of
from evidence.log.entries import Draft, Entry, make_entry
from evidence.log.heads import Head, assert_name, head_key, make_head, raw_public
from evidence.log.reader import Reader
from evidence.log.seen import Seen
from evidence.log.shelf import LOG, ForkAlarm, Shelf
from evidence.log.tiles import WIDTH, entries_key, pack_entries
from evidence.log.view import View
from evidence.stores.store import NotThere
from evidence.verify import parse_entry_bundle

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so

BATCH_TYPE: Final = "application/vnd.muster.batch"
MOST_ENTRIES: Final = 4096
"""Entries in a batch at most; a longer append is several batches."""
_ENOUGH_BYTES: Final = 8 << 20
"""A batch that has reached this takes no further entry: it is held in memory, and sent in one piece."""
_MOST_LOSSES: Final = 100


@dataclass(frozen=True)
class Appended:
    """What an append came to: an entry for each draft, in their order, and the log with all of them in it."""

    entries: tuple[Entry, ...]
    view: View


class _Order:
    """Drafts on their way into the log. With `since`, what was logged at or after it is not logged again."""

    def __init__(self, drafts: Sequence[Draft], since: datetime | None = None) -> None:
        self._drafts, self._since = drafts, since
        self._waiting: dict[str, Draft] = {}
        for draft in drafts:
            self._waiting.setdefault(draft.envelope, draft)
        self._logged: dict[str, Entry] = {}
        self._looked = 0

    def waiting(self, view: View) -> list[Draft]:
        """What is not in the log yet, each envelope once; as much as a batch takes."""
        if self._since is not None:
            self._look(view, self._since)
        return list(islice(self._waiting.values(), MOST_ENTRIES))

    def took(self, drafts: Iterable[Draft], entries: Iterable[Entry]) -> None:
        """The first of these drafts are in the log now, as these entries."""
        for draft, entry in zip(drafts, entries, strict=False):
            self._take(draft.envelope, entry)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """An entry for each draft."""
        return tuple(self._logged[draft.envelope] for draft in self._drafts)

    def _look(self, view: View, since: datetime) -> None:
        """At what is new since the last look: the batch that wins at `view` cannot have been preceded by more."""
        for entry in view.backwards():
            if not self._waiting or entry.index < self._looked or entry.logged_at < since:
                break
            if entry.envelope in self._waiting:
                self._take(entry.envelope, entry)
        self._looked = view.size

    def _take(self, envelope: str, entry: Entry) -> None:
        del self._waiting[envelope]
        self._logged[envelope] = entry


class Log:
    """The log named `origin` in a store, for one writer at a time in this process; other processes may write too.

    `signer` is the log's key (Ed25519), `trusted` gives the public keys that sign or signed for this log besides, by
    what is known when it is asked; `now` is the clock of `loggedAt`, and `seen` a file of this machine that remembers
    the last head. `may_sign` is asked before anything is signed, with the index of the last entry that it is signed
    for, and raises to forbid it: each time anew, since a key may have been ended meanwhile.

    Raises `ForkAlarm` whenever the store does not fit its head, or the last head that was seen; `StoreUnreachable` when
    it is away, after which `append_once` may be called again.
    """

    def __init__(
        self,
        shelf: Shelf,
        origin: str,
        signer: "Signer",
        *,
        now: Callable[[], datetime],
        trusted: Callable[[], Sequence[PublicKey]] = tuple,
        seen: Path | None = None,
        may_sign: Callable[[int], None] = lambda _: None,
    ) -> None:
        own = public_key_of(signer)
        raw_public(own)  # before anything is written in its name
        assert_name(origin)
        self._shelf, self._origin, self._signer, self._now = shelf, origin, signer, now
        self._reader = Reader(shelf, origin, [own], trusted)
        self._seen, self._may_sign = Seen(origin, seen), may_sign

    def view(self) -> View:
        """The log under the newest head, which must follow from the last one that was seen."""
        seen = self._seen.head
        view = View(self._shelf, self._reader.newest(seen.size))
        if view.root_at(seen.size) != seen.root:
            raise ForkAlarm(f"the store shows another history: its first {seen.size} entries are not those seen before")
        self._seen.advance(view.head)
        return view

    def mend(self) -> View:
        """Finish what a writer that was killed has begun; then as `view`."""
        view = self.view()
        while self._finish(view):
            view = self.view()
        return view

    def append(self, drafts: Sequence[Draft]) -> Appended:
        """Log the drafts, each envelope among them once."""
        return self._append(_Order(drafts))

    def append_once(self, drafts: Sequence[Draft], since: datetime) -> Appended:
        """The same, but an envelope that was logged at or after `since` is not logged again: safe to repeat.

        Give the time at which the oldest of them was sealed, less an hour for clocks.
        """
        return self._append(_Order(drafts, since))

    def append_at(self, drafts: Sequence[Draft], size: int) -> Appended | None:
        """Log as many of the drafts as a batch takes, if the log still has `size` entries; else none of them.

        For what is only true of the log as it was read: of two writers that read the same, one logs.
        """
        view = self.view()
        if view.size != size:
            return None
        entries = self._batch(view, drafts[:MOST_ENTRIES])
        if not self._claim(view, entries):
            self._finish(view)
            return None
        self._write_out(view, entries)
        return Appended(tuple(entries), self.view())

    def _append(self, order: _Order) -> Appended:
        losses = 0
        while losses < _MOST_LOSSES:
            view = self.view()
            waiting = order.waiting(view)
            if not waiting:
                return Appended(order.entries, view)
            entries = self._batch(view, waiting)
            if self._claim(view, entries):
                self._write_out(view, entries)
                order.took(waiting, entries)
            else:
                losses += 1
                self._finish(view)
        raise EvidenceError(
            f"{_MOST_LOSSES} times another writer of {self._origin} was faster", "let one process write, or try later"
        )

    def _batch(self, view: View, drafts: Sequence[Draft]) -> list[Entry]:
        """The first of the drafts as entries: as many as a batch takes."""
        entries: list[Entry] = []
        last = _last(view)
        moment = max(self._now(), last.logged_at) if last else self._now()
        length = 0
        for draft in drafts:
            if length >= _ENOUGH_BYTES:
                break
            last = make_entry(draft, last, moment)
            length += len(last.content)
            entries.append(last)
        return entries

    def _claim(self, view: View, entries: Sequence[Entry]) -> bool:
        """Whether these are the entries that follow: the store takes one batch for a size, the first."""
        self._may_sign(entries[-1].index)
        payload = pack_entries(entry.content for entry in entries)
        try:
            self._shelf.put_bytes(_batch_key(view.size), sign(payload, self._signer, payload_type=BATCH_TYPE))
        except AlreadyDifferent:
            return False
        return True

    def _finish(self, view: View) -> bool:
        """See to it that the batch under this size is written out, whoever made it; whether there is one."""
        if self._reader.newest(view.size).size > view.size:
            return True
        try:
            content = self._shelf.read(_batch_key(view.size))
        except NotThere:
            return False
        entries = self._open_batch(view, content)
        self._may_sign(entries[-1].index)
        self._write_out(view, entries)
        return True

    def _open_batch(self, view: View, content: bytes) -> list[Entry]:
        """The entries in a batch. That each names the one before holds a batch to its place: none can be replayed."""
        opened = open_envelope(content, BATCH_TYPE)
        if opened is None or not self._reader.knows(lambda keys: any(map(opened.is_signed_by, keys))):
            raise ForkAlarm(f"{_batch_key(view.size)} is not a batch that a key of the log {self._origin} signed")
        last, entries = _last(view), []
        for index, entry in enumerate(parse_entry_bundle(opened.payload) or (), view.size):
            before, last = last, Entry(index, entry)
            if not last.is_sound(before):
                raise ForkAlarm(f"entry {index} in {_batch_key(view.size)} does not follow from the one before it")
            entries.append(last)
        if not 0 < len(entries) <= MOST_ENTRIES:
            raise ForkAlarm(f"{_batch_key(view.size)} holds {len(entries)} entries, which no writer of this log makes")
        return entries

    def _write_out(self, view: View, entries: Sequence[Entry]) -> None:
        """All that follows from the batch; the head last, so that what a head stands for is there."""
        for key, content in _bundles(view, entries):
            self._put(key, content)
        edge, tiles = view.edge.grow([entry.leaf for entry in entries])
        for key, tile in tiles:
            self._put(key, tile.content)
        self._put_head(make_head(self._origin, edge.size, edge.root, self._signer))

    def _put(self, key: str, content: bytes) -> None:
        try:
            self._shelf.put_bytes(LOG + key, content)
        except AlreadyDifferent as error:
            raise ForkAlarm(f"{LOG}{key} holds other bytes than the entries of the log give") from error

    def _put_head(self, head: Head) -> None:
        """Another of the log's keys may have signed the same root; another root is a fork."""
        try:
            self._shelf.put_bytes(head_key(head.size), head.content)
        except AlreadyDifferent as error:
            if self._reader.head(head.size).root != head.root:
                raise ForkAlarm(f"two heads of size {head.size} are signed, with different roots: a fork") from error


def _batch_key(size: int) -> str:
    return f"{LOG}batches/{size:020d}"


def _last(view: View) -> Entry | None:
    """The newest entry. All that the next bundle begins with is checked on the way, before anything is written."""
    if view.tail:
        return view.tail[-1]
    return view.entry(view.size - 1) if view.size else None


def _bundles(view: View, entries: Sequence[Entry]) -> Iterator[tuple[str, bytes]]:
    """The entry bundles that are new with these entries; the first may begin with entries that are there."""
    first = view.size // WIDTH
    contents = [entry.content for entry in (*view.tail, *entries)]
    for number, at in enumerate(range(0, len(contents), WIDTH), first):
        piece = contents[at : at + WIDTH]
        yield entries_key(number, len(piece)), pack_entries(piece)
