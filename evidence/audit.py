"""The audit of a store: what somebody has done to it, seen from its versions and held against its receipts.

Promises: every marker, every second version and every stray key that the store lists is found; what a receipt names is
asked for by its version, listed or not, so that a hidden or missing one is told from one that a listing leaves out;
nothing is written.
The trap: a store that lies in its listing and in its answers alike hides a key that no receipt names; the log does not
let it hide one that an entry names.
Source: docs/evidence-format.md, "The store" and "Receipts".
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from evidence.envelope import open_envelope
from evidence.errors import StoreError, StoreUnreachable
from evidence.keys import PublicKey
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


Place = tuple[str, str | None]
"""A key and a version."""


def audit(store: Store, trusted: Collection[PublicKey], *, deep: bool = False) -> Audit:
    """Hold what `store` holds against its receipts; those count that one of the `trusted` keys signed.

    `deep` brings every bundle and computes its digest, and asks for the lock of every other key too. Raises
    `StoreUnreachable`.
    """
    listing = tuple(store.versions())
    receipts, false = _receipts(store, listing, trusted)
    places = [(one.held.key, one.held.version) for one in receipts]
    if deep:
        others = {(one.key, one.version) for one in listing if is_written_once(one.key) and not one.is_delete_marker}
        places += sorted(others - set(places), key=str)
    named = frozenset(one.held.key for one in receipts)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        held = dict(zip(places, pool.map(lambda p: _held(store, *p, deep=deep and p[0] in named), places), strict=True))
    findings = (*false, *judge(listing, receipts, held))
    bundles = len({one.key for one in listing if is_bundle(one.key)})
    return Audit(findings, len(listing), bundles, len(receipts), deep)


def judge(
    listing: Iterable[Version], receipts: Sequence[PutReceipt], held: Mapping[Place, Receipt | None]
) -> Iterator[Finding]:
    """The findings: of what is listed, by what receipts say, and by what the store holds now at these places.

    `held` has the answer for each receipt's key and version, `None` where nothing is there; it may have more.
    """
    by_key = defaultdict[str, list[Version]](list)
    for one in listing:
        by_key[one.key].append(one)
    named = {receipt.held.key: receipt for receipt in receipts}
    for key, versions in sorted(by_key.items()):
        if is_written_once(key):
            yield from _of_versions(versions, named.get(key))
        elif not is_place(key):
            yield Finding(Fault.STRAY, key, None, f"{key!r} is no key of the format")
    for receipt in receipts:
        place = (receipt.held.key, receipt.held.version)
        yield from _of_receipt(
            receipt, held.get(place), is_listed=place in {(v.key, v.version) for v in by_key[place[0]]}
        )
    if any(receipt.held.locked_until for receipt in receipts):
        yield from _unlocked(held, named)


def _of_versions(versions: list[Version], receipt: PutReceipt | None) -> Iterator[Finding]:
    """Of one key: its markers, and every version but the one that counts."""
    counts = receipt.held.version if receipt else min(versions, key=lambda v: (v.is_delete_marker, *_age(v))).version
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


def _receipts(
    store: Store, listing: Sequence[Version], trusted: Collection[PublicKey]
) -> tuple[list[PutReceipt], list[Finding]]:
    """The first receipt of each key that a trusted key signed, hidden or not; and what only looks like one."""
    listed = [v for v in listing if v.key.startswith(FOLDER) and is_written_once(v.key) and not v.is_delete_marker]
    listed.sort(key=lambda v: (v.key, *_age(v)))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        read = list(pool.map(lambda v: _read_receipt(store, v, trusted), listed))
    receipts: dict[str, PutReceipt] = {}
    false: list[Finding] = []
    for one, receipt in zip(listed, read, strict=True):
        if receipt is not None:
            receipts.setdefault(one.key, receipt)
        else:
            told = f"{one.key} is no receipt that a trusted key signed for this place"
            false.append(Finding(Fault.FALSE_RECEIPT, one.key, one.version, told))
    return list(receipts.values()), false


def _read_receipt(store: Store, listed: Version, trusted: Collection[PublicKey]) -> PutReceipt | None:
    try:
        content = store.read(listed.key, listed.version, limit=_RECEIPT_LIMIT)
    except StoreUnreachable:
        raise
    except StoreError:  # gone meanwhile, or larger than any receipt
        return None
    envelope = open_envelope(content)
    if envelope is None or not any(map(envelope.is_signed_by, trusted)):
        return None
    receipt = parse_receipt(envelope.payload)
    return receipt if receipt and receipt_key(receipt.held.key) == listed.key else None


def _held(store: Store, key: str, version: str | None, *, deep: bool) -> Receipt | None:
    """What the store says that it holds; `deep` computes the digest from its bytes, whatever the store says."""
    held = store.head(key, version)
    if held is None or not deep:
        return held
    try:
        return replace(held, sha256=store.digest(key, version))
    except NotThere:
        return None
