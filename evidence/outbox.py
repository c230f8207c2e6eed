"""The outbox: sealed bundles on their way to a store that may be away.

Promises: what `add` returned survives a crash; each bundle reaches the store once, the oldest first; a process killed
between any two operations leaves nothing that the next `flush` does not mend; two flushers never work at once; what was
sent is told in batches of bounded count and size, so that a backlog costs whoever is told no more than it must.

Layout: `waiting/<number>/` holds `bundle.json` and the bundle; `sent/<key>` is the bundle after it was sent, with
`sent/<key>.receipt.json` beside it. Both take part in one file system, so a move is a rename.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evidence import durable
from evidence.bundle import Sealed
from evidence.errors import AlreadyDifferent, EvidenceError, StoreError, StoreUnreachable
from evidence.names import is_portable
from evidence.statement import canonical
from evidence.stores import Receipt, Store

_NUMBER = re.compile(r"[0-9]{8,}")
_TICKET = "bundle.json"
MOST_AT_ONCE: Final = 256
"""Bundles that are told at once, at most."""
ENOUGH_BYTES: Final = 1 << 30
"""Bundles that come to this many bytes are told before more are sent: a batch does not take for ever."""


@dataclass(frozen=True)
class Waiting:
    """A bundle that is not in the store yet, and why."""

    key: str
    path: Path
    why: str


@dataclass(frozen=True)
class Sent:
    """A bundle that the store holds, and its copy in the outbox."""

    receipt: Receipt
    path: Path


Tell = Callable[[Sequence[Sent]], Mapping[str, str]]
"""Hears of what was sent, the oldest first. It says by key, and why, what has to stay in the outbox until next time."""


@dataclass(frozen=True)
class Delivery:
    """What one `flush` did: receipts of what is in the store now, and what still waits."""

    sent: tuple[Receipt, ...]
    waiting: tuple[Waiting, ...]


@dataclass(frozen=True)
class _Entry:
    """One bundle in `waiting/`."""

    folder: Path
    key: str
    sha256: str

    @property
    def bundle(self) -> Path:
        return self.folder / Path(self.key).name

    @classmethod
    def read(cls, folder: Path) -> "_Entry | None":
        """The entry, or `None` when another process has just sent it."""
        try:
            ticket = json.loads((folder / _TICKET).read_bytes())
        except FileNotFoundError:
            return None
        return cls(folder, ticket["key"], ticket["sha256"])


class Outbox:
    """The outbox in `folder`; made when first used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._waiting, self._sent = folder / "waiting", folder / "sent"
        self._new, self._done = self._waiting / ".new", self._waiting / ".done"

    def add(self, sealed: Sealed, key: str) -> Path:
        """Take a bundle in, to be sent under `key`; where it lies now. Adding it again changes nothing.

        Raises `AlreadyDifferent` when another bundle has this key. `sealed.path` may be deleted afterwards.
        """
        if not is_portable(key) or key.startswith(".") or key.endswith(".json"):
            raise EvidenceError(
                f"{key!r} is no key for a bundle", "use letters, digits and ._+=,@-, and end in .tar.gz"
            )
        self._prepare()
        with durable.locked(self.folder / "add.lock", wait=True):
            known = self.path_of(key)
            if known is None:
                return self._take_in(sealed, key)
            if durable.sha256_of(known) != sealed.sha256:
                raise AlreadyDifferent(
                    f"the outbox holds another bundle for {key}", "a run is sealed once: name it anew"
                )
            return known

    def flush(self, store: Store, tell: Tell = lambda _: {}) -> Delivery:
        """Send what waits, the oldest first. Never raises for the store: what could not be sent waits, with the reason.

        `tell` hears of every bundle that the store holds, at least once, before it leaves the outbox: a process killed
        in between tells again, and so does the next flush of what it says has to stay. It hears of up to
        `MOST_AT_ONCE` at once. While another process flushes, this one sends nothing and says so.
        """
        self._prepare()
        with durable.locked(self.folder / "flush.lock", wait=False) as mine:
            if not mine:
                return Delivery((), _waiting(self._entries(), "another process is sending"))
            shutil.rmtree(self._done, ignore_errors=True)  # left by a process that was killed in `_remove`
            return self._send_all(store, tell)

    def waiting(self) -> tuple[str, ...]:
        """The keys of what is not sent yet, the oldest first."""
        return tuple(entry.key for entry in self._entries())

    def path_of(self, key: str) -> Path | None:
        """Where the local copy of a bundle lies, waiting or sent."""
        for _ in range(2):  # a flush may move it from the one place to the other between two looks
            places = [e.bundle for e in self._entries() if e.key == key] + [self._sent / key]
            found = next((place for place in places if place.is_file()), None)
            if found:
                return found
        return None

    def _send_all(self, store: Store, tell: Tell) -> Delivery:
        """Send until nothing new waits: a bundle that came meanwhile was told that this flush is at work."""
        sent: list[Receipt] = []
        refused: dict[str, Waiting] = {}
        while fresh := [entry for entry in self._entries() if entry.key not in refused]:
            coming, away = iter(fresh), ""
            while not away:
                batch, away = self._put_batch(coming, store, refused)
                if not batch:
                    break
                told, unheard = self._tell(batch, tell, refused)
                sent += told
                away = away or unheard
            if away:
                rest = [entry for entry in self._entries() if entry.key not in refused]
                return Delivery(tuple(sent), (*refused.values(), *_waiting(rest, away)))
        return Delivery(tuple(sent), tuple(refused.values()))

    def _put_batch(
        self, coming: Iterator[_Entry], store: Store, refused: dict[str, Waiting]
    ) -> tuple[list[tuple[_Entry, Receipt]], str]:
        """Bring the next ones into the store, as many as are told at once; and why the rest has to wait, if it has."""
        batch, size = list[tuple[_Entry, Receipt]](), 0
        for entry in coming:
            try:
                receipt = self._put(entry, store)
                batch.append((entry, receipt))
                size += receipt.size
            except StoreUnreachable as error:
                return batch, error.message
            except (StoreError, OSError) as error:
                _refuse(refused, entry, str(error))
            if len(batch) == MOST_AT_ONCE or size >= ENOUGH_BYTES:
                break
        return batch, ""

    def _tell(
        self, batch: Sequence[tuple[_Entry, Receipt]], tell: Tell, refused: dict[str, Waiting]
    ) -> tuple[list[Receipt], str]:
        """Tell of a batch, and let go of what was heard; and why the rest has to wait, if it has."""
        try:
            why = tell([Sent(receipt, self._copy_of(entry)) for entry, receipt in batch])
        except StoreUnreachable as error:
            return [], error.message
        except (StoreError, OSError) as error:
            why = dict.fromkeys((entry.key for entry, _ in batch), str(error))
        done: list[Receipt] = []
        for entry, receipt in batch:
            if entry.key in why:
                _refuse(refused, entry, why[entry.key])
                continue
            try:
                self._let_go(entry)
            except OSError as error:
                _refuse(refused, entry, str(error))
            else:
                done.append(receipt)
        return done, ""

    def _put(self, entry: _Entry, store: Store) -> Receipt:
        """Each operation is safe to repeat; the receipt is the mark that the store has it."""
        kept = self._sent / entry.key
        receipt = _read_receipt(kept)
        if receipt is None or receipt.sha256 != entry.sha256 or not _holds(store, receipt):
            if not entry.bundle.is_file():
                raise StoreError(f"{entry.bundle} is gone from the outbox", "restore the file, or delete its folder")
            receipt = store.put(entry.key, entry.bundle, entry.sha256)
            durable.make_folders(kept.parent)
            durable.sweep(_receipt_path(kept))
            durable.write(_receipt_path(kept), canonical(receipt.as_json()))
        return receipt

    def _copy_of(self, entry: _Entry) -> Path:
        """It lies with what was sent already if a process was killed in `_let_go`."""
        return entry.bundle if entry.bundle.is_file() else self._sent / entry.key

    def _let_go(self, entry: _Entry) -> None:
        """Only tidying is left."""
        kept = self._sent / entry.key
        if entry.bundle.is_file():
            entry.bundle.replace(kept)
            durable.sync_folder(kept.parent)
        self._remove(entry.folder)

    def _remove(self, folder: Path) -> None:
        """At once, by a rename, then at leisure: a half-empty folder is never taken for one that waits."""
        folder.rename(self._done)
        shutil.rmtree(self._done)
        durable.sync_folder(self._waiting)

    def _take_in(self, sealed: Sealed, key: str) -> Path:
        """A folder is filled under a hidden name, then renamed: that is the moment at which it counts."""
        shutil.rmtree(self._new, ignore_errors=True)  # left by a process that was killed here
        self._new.mkdir()
        bundle = self._new / Path(key).name
        with sealed.path.open("rb") as source, durable.replacing(bundle, mode=0o444) as out:
            found, _ = durable.digest(source, out)
        if found != sealed.sha256:
            raise EvidenceError(f"{sealed.path} is not the bundle that was sealed", "seal the run again")
        durable.write(self._new / _TICKET, canonical({"key": key, "sha256": sealed.sha256}))
        place = self._waiting / f"{self._next_number():08d}"
        self._new.rename(place)
        durable.sync_folder(self._waiting)
        return place / bundle.name

    def _entries(self) -> list[_Entry]:
        """What waits, the oldest first."""
        if not self._waiting.is_dir():
            return []
        folders = sorted(path for path in self._waiting.iterdir() if _NUMBER.fullmatch(path.name))
        return [entry for entry in map(_Entry.read, folders) if entry is not None]

    def _next_number(self) -> int:
        return max((int(entry.folder.name) for entry in self._entries()), default=0) + 1

    def _prepare(self) -> None:
        durable.make_folders(self._waiting)
        durable.make_folders(self._sent)


def _refuse(refused: dict[str, Waiting], entry: _Entry, why: str) -> None:
    refused[entry.key] = Waiting(entry.key, entry.bundle, why)


def _waiting(entries: Iterable[_Entry], why: str) -> tuple[Waiting, ...]:
    return tuple(Waiting(entry.key, entry.bundle, why) for entry in entries)


def _holds(store: Store, receipt: Receipt) -> bool:
    """Whether it is this store that has it: the bundle may have been put into another, which was then left."""
    held = store.head(receipt.key)
    return held is not None and held.sha256 == receipt.sha256


def _receipt_path(bundle: Path) -> Path:
    return bundle.with_name(f"{bundle.name}.receipt.json")


def _read_receipt(bundle: Path) -> Receipt | None:
    path = _receipt_path(bundle)
    return Receipt.from_json(json.loads(path.read_bytes())) if path.is_file() else None
