"""The probe: whether a store keeps what it was told to keep, found out by trying to destroy it.

Promises: a store is called WORM (write once, read many) only when every attempt was refused in so many words, each left
the canary as it was, and its bytes, version and lock are there at the end; what the store claims of itself never counts
in its favour; the bucket's own settings are read, never written.
The trap: it shows what these credentials can do. Who may more (an administrator, the owner of the account) is bound by
the mode COMPLIANCE, not by a refusal that the probe met.
Source: docs/evidence-format.md; Amazon S3 User Guide, "Locking objects with Object Lock".
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from evidence.statement import utc
from evidence.stores import Receipt, S3Store, Store
from evidence.stores.bucket import Bucket, ask_bucket
from evidence.stores.canary import Attempt, Canary

CANARIES: Final = "canaries/"
_KEPT_FOR_DAYS: Final = 1
"""How long a canary is locked: long enough for every attempt, short enough to leave no litter."""

_SECOND: Final = timedelta(seconds=1)
"""Some servers keep no fractions of one."""


@dataclass(frozen=True)
class ProbeResult:
    """What became of one canary in the store called `where`. No reason against it: the store is WORM."""

    where: str
    at: datetime
    canary: Receipt
    bucket: Bucket | None
    attempts: tuple[Attempt, ...]
    reasons: tuple[str, ...]

    @property
    def is_worm(self) -> bool:
        """Whether nothing that was tried could destroy, change or unlock the canary."""
        return not self.reasons

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know though it speaks against nothing."""
        notes = tuple(attempt.note for attempt in self.attempts if attempt.note)
        if self.is_worm and self.canary.lock_mode == "GOVERNANCE":
            return (*notes, "GOVERNANCE binds only who lacks s3:BypassGovernanceRetention, as these credentials do")
        return notes

    def subjects(self) -> dict[str, str]:
        """What a sealed record of this is about: the canary's key, and its SHA-256."""
        return {self.canary.key: self.canary.sha256}

    def predicate(self) -> dict[str, Any]:
        """What a sealed record of this says."""
        until = self.canary.locked_until
        return {
            "at": utc(self.at),
            "attempts": [
                {"answer": a.answer.value, "harm": a.harm, "said": a.said, "trial": a.trial.value}
                for a in self.attempts
            ],
            "bucket": self.bucket
            and {
                "defaultRetention": self.bucket.default_retention,
                "objectLock": self.bucket.object_lock,
                "versioning": self.bucket.versioning,
            },
            "canary": {
                "key": self.canary.key,
                "legalHold": self.canary.legal_hold,
                "lockMode": self.canary.lock_mode,
                "lockedUntil": utc(until) if until else None,
                "size": self.canary.size,
                "version": self.canary.version,
            },
            "isWorm": self.is_worm,
            "notes": list(self.notes),
            "reasons": list(self.reasons),
            "store": self.where,
        }


def probe(store: Store, now: datetime, where: str) -> ProbeResult:
    """Put a canary into the store called `where`, as evidence is put, and try to destroy it.

    In a bucket that locks, the canary stays for a day, behind a marker. Raises `StoreUnreachable`, which shows nothing
    either way.
    """
    content = f"A canary of Muster, put at {utc(now)}. It is here to be destroyed; nothing is lost with it.\n".encode()
    key = f"{CANARIES}{now.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z"
    if not isinstance(store, S3Store):
        held = store.put_bytes(key, content)
        return ProbeResult(where, now, held, None, (), ("it is no bucket: who may write in a folder may delete in it",))
    days = None if store.lock_days is None else _KEPT_FOR_DAYS
    held = replace(store, lock_days=days, now=lambda: now).put_bytes(key, content)
    attempts = tuple(Canary(store, held, now).attempts())
    bucket = ask_bucket(store)
    reasons = (
        *_lock_reasons(store, held, now),
        *(a.reason for a in attempts if a.reason),
        *_end_reasons(store, held, content),
        *([f"the bucket's versioning is {bucket.versioning}"] if bucket.versioning not in {None, "Enabled"} else ()),
    )
    return ProbeResult(where, now, held, bucket, attempts, reasons)


def _lock_reasons(store: S3Store, held: Receipt, now: datetime) -> Iterator[str]:
    """What the canary's lock, as the store gave it back, already says."""
    if held.locked_until is None:
        yield "it put no retention on the canary: " + (
            "none was asked for, and the bucket has none of its own"
            if store.lock_days is None
            else "the bucket has no Object Lock"
        )
    elif store.lock_days is not None and held.locked_until < now + timedelta(days=_KEPT_FOR_DAYS) - _SECOND:
        yield f"it locked the canary only until {utc(held.locked_until)}, sooner than asked"
    if held.lock_mode and store.lock_days is not None and held.lock_mode != store.lock_mode:
        yield f"it locked the canary by {held.lock_mode}, not {store.lock_mode} as asked"
    if store.legal_hold and not held.legal_hold:
        yield "it did not take the legal hold"


def _end_reasons(store: S3Store, held: Receipt, content: bytes) -> Iterator[str]:
    """At the end the bytes themselves are read, and the version must be listed."""
    if store.head(held.key, held.version) is None:
        return  # said already, by the attempt that did it
    if store.read(held.key, held.version) != content:
        yield "the canary's bytes are others now"
    if held.version not in {
        v.version for v in store.versions(held.key) if v.key == held.key and not v.is_delete_marker
    }:
        yield "it does not list the canary's version"
