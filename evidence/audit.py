"""The audit of a store: what somebody has done to it, seen from its versions and held against its receipts and its log.

Promises: every marker, every second version and every stray key that the store lists is found; what a receipt names is
asked for by its version, listed or not, so that a hidden or missing one is told from one that a listing leaves out;
of each bundle in the log, the receipt that its entry names is the one that counts, and both must say what it says;
nothing is written.
The trap: without the log the oldest receipt that a trusted key signed counts, and who holds that key can exchange it;
a store that lies in its listing and in its answers alike hides a key that neither a receipt nor an entry names.
Source: docs/evidence-format.md, "The store" and "Receipts".
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from evidence.envelope import open_envelope
from evidence.errors import EvidenceError, StoreError, StoreUnreachable
from evidence.keys import PublicKey
from evidence.log import Entry
from evidence.places import is_bundle, is_place, is_written_once
from evidence.receipts import FOLDER, PutReceipt, parse_receipt, receipt_key
from evidence.stores import NotThere, Receipt, Store, Version

_AT_ONCE: Final = 8
"""Questions to the store at the same time."""
_RECEIPT_LIMIT: Final = 1 << 20
_STRENGTH: Final = {None: 0, "GOVERNANCE": 1, "COMPLIANCE": 2}


class Fault(StrEnum):
    """What can be wrong with what a store holds."""

    MARKER = "delete-marker"
    SECOND_VERSION = "second-version"
    STRAY = "stray"
    MISSING = "missing"
    UNLISTED = "unlisted"
    DIFFERENT = "different"
    SHORTENED = "shortened"
    DOWNGRADED = "downgraded"
    HOLD_LIFTED = "hold-lifted"
    UNLOCKED = "unlocked"
    FALSE_RECEIPT = "false-receipt"
    NOT_AS_LOGGED = "not-as-logged"
    UNREADABLE_LOG = "unreadable-log"


_ADVICE: Final = {
    Fault.MARKER: "read the version by its id; find out who deleted the key; then delete the marker, not the version",
    Fault.SECOND_VERSION: "only the version that the receipt names counts; find out who wrote the other",
    Fault.STRAY: "find out who wrote it: nothing of Muster does",
    Fault.MISSING: "restore it from the outbox's `sent` folder or a copy, elsewhere; find out who deleted it",
    Fault.UNLISTED: "ask for keys by name: what else this listing leaves out is not known",
    Fault.DIFFERENT: "trust the receipt, not these bytes; find out who changed them",
    Fault.SHORTENED: "find out who may change retentions; extend it again",
    Fault.DOWNGRADED: "find out who may change retentions: COMPLIANCE does not allow this on AWS",
    Fault.HOLD_LIFTED: "find out who lifted it, and whether they were told to",
    Fault.UNLOCKED: "find out who wrote it, and give its writer the retention that the rest has",
    Fault.FALSE_RECEIPT: "trust nothing it says; find out who wrote it",
    Fault.NOT_AS_LOGGED: "trust the log's entry, not this; find out who exchanged it, and who holds the sealing key",
    Fault.UNREADABLE_LOG: "see A fork in docs/evidence.md; what is told here was held against receipts alone",
}


@dataclass(frozen=True)
class Finding:
    """One fault of one version of a key. `seen` is a sentence for people."""

    fault: Fault
    key: str
    version: str | None
    seen: str

    @property
    def advice(self) -> str:
        """The next move."""
        return _ADVICE[self.fault]


@dataclass(frozen=True)
class Audit:
    """What was looked at, in numbers, and what was found."""

    findings: tuple[Finding, ...]
    versions: int
    bundles: int
    receipts: int
    is_deep: bool
    entries: int = 0
    """Bundles that the log names."""
    asked: tuple["Asked", ...] = field(default=(), compare=False, repr=False)
    """What the store answered about each of those."""


@dataclass(frozen=True)
class Asked:
    """A bundle as its entry names it, its first receipt if it is the one that the entry names, and the store's answer.

    `held` is the version that the receipt names, or without one the newest; `None` where the store has none such.
    """

    key: str
    sha256: str
    size: int
    first: PutReceipt | None
    held: Receipt | None
    versions: int
    delete_markers: int


Place = tuple[str, str | None]
"""A key and a version."""


@dataclass(frozen=True)
class Logged:
    """What an entry says of a bundle: its key, digest (hex) and size, and the digest of its receipt's envelope."""

    index: int
    key: str
    sha256: str
    size: int
    receipt: str


@dataclass(frozen=True)
class _Read:
    """What lies where a receipt should: its version, the digest of its bytes (empty if it could not be read)."""

    place: Place
    digest: str
    receipt: PutReceipt | None


def audit(
    store: Store,
    trusted: Callable[[], Collection[PublicKey]],
    *,
    entries: Callable[[], Iterable[Entry]] = tuple,
    deep: bool = False,
) -> Audit:
    """Hold what `store` holds against its receipts, and both against the `entries` of its log.

    Those receipts count that one of the `trusted` keys signed, and of several the one that an entry names; which keys
    those are is asked after the listing, since one may be admitted and seal meanwhile. `deep` brings every bundle and
    computes its digest, and asks for the lock of every other key too. Raises `StoreUnreachable`; a log that cannot be
    read otherwise is a finding.
    """
    logged, unread = _logged(entries)  # before the listing: what is entered meanwhile is in both, or in none
    listing = tuple(store.versions())
    listed = frozenset(one.key for one in listing)
    read = _receipts(store, listing, trusted(), [place for place in logged if place not in listed])
    chosen = {place: one for place, some in read.items() if (one := _that_counts(some, logged.get(place)))}
    receipts = [one.receipt for one in chosen.values() if one.receipt]
    places = [(one.held.key, one.held.version) for one in receipts]
    places += [(one.key, None) for place, one in logged.items() if place not in chosen]
    if deep:
        others = {(one.key, one.version) for one in listing if is_written_once(one.key) and not one.is_delete_marker}
        places += sorted(others - set(places), key=str)
    named = {*(one.held.key for one in receipts), *(one.key for one in logged.values())}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        held = dict(zip(places, pool.map(lambda p: _held(store, *p, deep=deep and p[0] in named), places), strict=True))
    counting = dict(one.place for one in chosen.values())
    findings = (
        *unread,
        *_false(read.values()),
        *judge(listing, receipts, held, counting),
        *_of_log(logged, read, chosen, held, listed),
    )
    bundles = len({one.key for one in listing if is_bundle(one.key)})
    asked = tuple(_asked(store, listing, logged, chosen, held))
    return Audit(findings, len(listing), bundles, len(receipts), deep, len(logged), asked)


def judge(
    listing: Iterable[Version],
    receipts: Sequence[PutReceipt],
    held: Mapping[Place, Receipt | None],
    counting: Mapping[str, str | None] = MappingProxyType({}),
) -> Iterator[Finding]:
    """The findings: of what is listed, by what receipts say, and by what the store holds now at these places.

    `held` has the answer for each receipt's key and version, `None` where nothing is there; it may have more.
    `counting` says of keys that no receipt speaks of which version counts, where that need not be the oldest.
    """
    by_key = defaultdict[str, list[Version]](list)
    for one in listing:
        by_key[one.key].append(one)
    named = {receipt.held.key: receipt.held.version for receipt in receipts}
    known = {**counting, **named}
    for key, versions in sorted(by_key.items()):
        if is_written_once(key):
            yield from _of_versions(versions, known[key] if key in known else _oldest(versions))
        elif not is_place(key):
            yield Finding(Fault.STRAY, key, None, f"{key!r} is no key of the format")
    for receipt in receipts:
        place = (receipt.held.key, receipt.held.version)
        yield from _of_receipt(
            receipt, held.get(place), is_listed=place in {(v.key, v.version) for v in by_key[place[0]]}
        )
    if any(receipt.held.locked_until for receipt in receipts):
        yield from _unlocked(held, named)


def _oldest(versions: list[Version]) -> str | None:
    return min(versions, key=lambda v: (v.is_delete_marker, *_age(v))).version


def _of_versions(versions: list[Version], counts: str | None) -> Iterator[Finding]:
    """Of one key: its markers, and every version but the one that counts."""
    for one in sorted(versions, key=_age):
        if one.is_delete_marker:
            told = f"{one.key} was deleted at {one.at:%Y-%m-%d %H:%M:%S} UTC: a marker hides it"
            yield Finding(Fault.MARKER, one.key, one.version, told)
        elif one.version != counts:
            told = f"{one.key} was written again at {one.at:%Y-%m-%d %H:%M:%S} UTC: {one.size} bytes"
            yield Finding(Fault.SECOND_VERSION, one.key, one.version, told)


def _age(version: Version) -> tuple[datetime, bool]:
    """The oldest first; in one second, the one that is not the newest."""
    return version.at, version.is_latest


def _of_receipt(receipt: PutReceipt, held: Receipt | None, *, is_listed: bool) -> Iterator[Finding]:
    """What the store holds now, beside what it said when it was asked first."""
    was = receipt.held

    def found(fault: Fault, seen: str) -> Finding:
        return Finding(fault, was.key, was.version, f"{was.key}: {seen}")

    if held is None:
        kept = f", which was locked until {was.locked_until:%Y-%m-%d %H:%M:%S} UTC" if was.locked_until else ""
        yield found(Fault.MISSING, f"the store holds no version {was.version or ''} any more{kept}")
        return
    if not is_listed:
        yield found(Fault.UNLISTED, "the store holds it, and its listing leaves it out")
    if (held.sha256, held.size) != (was.sha256, was.size):
        yield found(Fault.DIFFERENT, f"its SHA-256 is {held.sha256}, the receipt says {was.sha256}")
    if _STRENGTH.get(held.lock_mode, 0) < _STRENGTH.get(was.lock_mode, 0):
        yield found(Fault.DOWNGRADED, f"its lock is {held.lock_mode or 'none'}, the receipt says {was.lock_mode}")
    if was.locked_until and (held.locked_until is None or held.locked_until < was.locked_until):
        until = f"{held.locked_until:%Y-%m-%d %H:%M:%S} UTC" if held.locked_until else "nothing"
        told = f"it is locked until {until}, the receipt says {was.locked_until:%Y-%m-%d %H:%M:%S} UTC"
        yield found(Fault.SHORTENED, told)
    if was.legal_hold and not held.legal_hold:
        yield found(Fault.HOLD_LIFTED, "its legal hold was lifted")


def _unlocked(held: Mapping[Place, Receipt | None], named: Collection[str]) -> Iterator[Finding]:
    """Beside locked bundles, what else was looked at must be locked too."""
    for (key, version), one in held.items():
        if one is not None and key not in named and one.locked_until is None and not one.legal_hold:
            yield Finding(Fault.UNLOCKED, key, version, f"{key} is not locked, as bundles are that receipts name")


def _of_log(
    logged: Mapping[str, Logged],
    read: Mapping[str, Sequence[_Read]],
    chosen: Mapping[str, _Read],
    held: Mapping[Place, Receipt | None],
    listed: Collection[str],
) -> Iterator[Finding]:
    """What the store holds of each bundle, and its receipt says, beside what the log does."""
    for place, one in logged.items():
        entry, found = f"entry {one.index} of the log", read.get(place, ())
        if not found:
            yield Finding(Fault.MISSING, place, None, f"the store holds no {place}, which {entry} names")
        elif one.receipt not in {each.digest for each in found}:
            told = f"{place}: it is not the receipt that {entry} names, whose SHA-256 is {one.receipt}"
            yield Finding(Fault.NOT_AS_LOGGED, place, found[0].place[1], told)
        elif place not in listed:
            yield Finding(Fault.UNLISTED, place, None, f"{place}: the store holds it, and its listing leaves it out")
        receipt = chosen[place].receipt if place in chosen else None
        said = receipt.held if receipt else held.get((one.key, None))
        if said is None:
            yield Finding(Fault.MISSING, one.key, None, f"the store holds no {one.key}, which {entry} names")
        elif (said.sha256, said.size) != (one.sha256, one.size):
            what = f"its receipt says SHA-256 {said.sha256}" if receipt else f"its SHA-256 is {said.sha256}"
            yield Finding(Fault.NOT_AS_LOGGED, one.key, said.version, f"{one.key}: {what}, {entry} names {one.sha256}")


def _asked(
    store: Store,
    listing: Iterable[Version],
    logged: Mapping[str, Logged],
    chosen: Mapping[str, _Read],
    held: Mapping[Place, Receipt | None],
) -> Iterator[Asked]:
    """What the store answered about each bundle of the log; of one that the listing leaves out it is asked anew."""
    listed = defaultdict[str, list[bool]](list)
    for version in listing:
        listed[version.key].append(version.is_delete_marker)
    for place, one in logged.items():
        read = chosen.get(place)
        receipt = read.receipt if read else None
        asked_for = receipt.held.version if receipt else None
        markers = listed[one.key] or [v.is_delete_marker for v in store.versions(one.key) if v.key == one.key]
        first = receipt if read and read.digest == one.receipt else None
        answer = held.get((one.key, asked_for))
        yield Asked(one.key, one.sha256, one.size, first, answer, markers.count(False), markers.count(True))


def _logged(entries: Callable[[], Iterable[Entry]]) -> tuple[dict[str, Logged], list[Finding]]:
    """What the log said first of each bundle, by its receipt's key; and that it cannot be read, if it cannot."""
    logged: dict[str, Logged] = {}
    try:
        for entry in entries():
            match entry.fields:
                case {
                    "bundle": {"key": str(key), "sha256": str(digest), "size": int(size)},
                    "receipt": str(receipt),
                } if is_bundle(key):
                    logged.setdefault(receipt_key(key), Logged(entry.index, key, digest, size, receipt))
    except StoreUnreachable:
        raise
    except EvidenceError as error:
        return logged, [Finding(Fault.UNREADABLE_LOG, "log/", None, error.message)]
    return logged, []


def _receipts(
    store: Store, listing: Sequence[Version], trusted: Collection[PublicKey], unlisted: Iterable[str]
) -> dict[str, list[_Read]]:
    """What lies where receipts should, by key, the oldest first, hidden or not; of those `unlisted`, if it is there."""
    listed = [v for v in listing if v.key.startswith(FOLDER) and is_written_once(v.key) and not v.is_delete_marker]
    listed.sort(key=lambda v: (v.key, *_age(v)))
    places: list[Place] = [(one.key, one.version) for one in listed]
    places += [(place, None) for place in unlisted if store.head(place)]
    found = defaultdict[str, list[_Read]](list)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for one in pool.map(lambda place: _read_receipt(store, place, trusted), places):
            found[one.place[0]].append(one)
    return found


def _that_counts(read: Iterable[_Read], logged: Logged | None) -> _Read | None:
    """The receipt that the log names, or else the first one that a trusted key signed."""
    signed = [one for one in read if one.receipt]
    return next((one for one in signed if logged and one.digest == logged.receipt), next(iter(signed), None))


def _false(read: Iterable[Iterable[_Read]]) -> Iterator[Finding]:
    for one in (one for some in read for one in some if one.receipt is None):
        told = f"{one.place[0]} is no receipt that a trusted key signed for this place"
        yield Finding(Fault.FALSE_RECEIPT, *one.place, told)


def _read_receipt(store: Store, place: Place, trusted: Collection[PublicKey]) -> _Read:
    try:
        content = store.read(*place, limit=_RECEIPT_LIMIT)
    except StoreUnreachable:
        raise
    except StoreError:  # gone meanwhile, or larger than any receipt
        return _Read(place, "", None)
    return _Read(place, sha256(content).hexdigest(), _signed_receipt(content, place[0], trusted))


def _signed_receipt(content: bytes, place: str, trusted: Collection[PublicKey]) -> PutReceipt | None:
    envelope = open_envelope(content)
    if envelope is None or not any(map(envelope.is_signed_by, trusted)):
        return None
    receipt = parse_receipt(envelope.payload)
    return receipt if receipt and receipt_key(receipt.held.key) == place else None


def _held(store: Store, key: str, version: str | None, *, deep: bool) -> Receipt | None:
    """What the store says that it holds; `deep` computes the digest from its bytes, whatever the store says."""
    held = store.head(key, version)
    if held is None or not deep:
        return held
    try:
        return replace(held, sha256=store.digest(key, version))
    except NotThere:
        return None
