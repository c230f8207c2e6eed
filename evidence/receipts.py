"""Put receipts: what the store said that it holds, asked for after the put, and signed.

Promises: the store itself is asked, by version, and a receipt is never made of what the writer believes; an answer that
does not fit the bundle raises and makes none; a receipt has one form, and what is not exactly of it is none.
Source: docs/evidence-format.md, "Receipts".
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from evidence.envelope import sign
from evidence.errors import AlreadyDifferent, EvidenceError
from evidence.names import is_portable
from evidence.statement import PredicateType, predicate_of, statement, utc
from evidence.stores import NotThere, Receipt, Store

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so

FOLDER: Final = "receipts/"
_SHA256: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class PutReceipt:
    """What the store called `where` said of a key when asked at `asked_at`, by its own versions and markers."""

    held: Receipt
    where: str
    asked_at: datetime
    versions: int
    delete_markers: int

    def predicate(self) -> dict[str, Any]:
        """The receipt as the predicate of a statement."""
        until = self.held.locked_until
        return {
            "askedAt": utc(self.asked_at),
            "deleteMarkers": self.delete_markers,
            "key": self.held.key,
            "legalHold": self.held.legal_hold,
            "lockMode": self.held.lock_mode,
            "lockedUntil": utc(until) if until else None,
            "sha256": self.held.sha256,
            "size": self.held.size,
            "store": self.where,
            "version": self.held.version,
            "versions": self.versions,
        }

    def payload(self) -> bytes:
        """The statement to sign."""
        return statement({self.held.key: self.held.sha256}, self.predicate(), PredicateType.PUT_RECEIPT)


def receipt_key(key: str) -> str:
    """Where the receipt of what is kept under `key` is kept."""
    return f"{FOLDER}{key}.dsse.json"


def ask(store: Store, key: str, version: str | None, sha256: str, where: str, now: datetime) -> PutReceipt:
    """What `store` says that it holds under `key`: of this version, or without one of the newest.

    `where` is the store's name for people, `now` the asker's clock. Raises `NotThere`, `AlreadyDifferent` when the
    digest is not `sha256`, and `StoreUnreachable`.
    """
    held = store.head(key, version)
    if held is None:
        raise NotThere(f"{where} holds no {key}", "send it again: it is in the outbox, or in its folder `sent`")
    if held.sha256 != sha256:
        raise AlreadyDifferent(f"{where} holds other bytes under {key}", "find out who wrote them; make no receipt")
    listed = [one for one in store.versions(key) if one.key == key]
    markers = sum(one.is_delete_marker for one in listed)
    return PutReceipt(held, where, now, len(listed) - markers, markers)


def signed_receipt(store: Store, key: str, sha256: str, where: str, now: datetime, signer: "Signer") -> bytes:
    """Ask the store for the newest version of `key`, and sign its answer: the envelope's bytes. Raises as `ask`."""
    return sign(ask(store, key, None, sha256, where, now).payload(), signer)


def parse_receipt(payload: bytes) -> PutReceipt | None:
    """The receipt in a signed payload of any origin, or `None` when it is not exactly what `payload` gives."""
    try:
        receipt = _read(predicate_of(payload, PredicateType.PUT_RECEIPT))
        return receipt if receipt is not None and receipt.payload() == payload else None
    except (EvidenceError, ValueError, OverflowError):  # ValueError: no time; OverflowError: one beyond the calendar
        return None


def _read(predicate: dict[str, Any] | None) -> PutReceipt | None:
    match predicate:
        case {
            "askedAt": str(asked_at),
            "deleteMarkers": int(markers),
            "key": str(key),
            "legalHold": bool(hold),
            "lockMode": ("COMPLIANCE" | "GOVERNANCE" | None) as mode,
            "lockedUntil": (str() | None) as until,
            "sha256": str(sha256),
            "size": int(size),
            "store": str(where),
            "version": (str() | None) as version,
            "versions": int(versions),
        } if is_portable(key) and _SHA256.fullmatch(sha256) and all(map(_is_count, (markers, size, versions))):
            locked_until = datetime.fromisoformat(until) if until is not None else None
            held = Receipt(key, sha256, size, version, mode, locked_until, hold)
            return PutReceipt(held, where, datetime.fromisoformat(asked_at), versions, markers)
    return None


def _is_count(value: int) -> bool:
    return value >= 0 and not isinstance(value, bool)
