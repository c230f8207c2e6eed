"""Entries: what the log says of each sealed thing, as canonical JSON.

Promises: an entry names the leaf hash of the one before, so the list of entries alone is a chain; the same facts at
the same place and time are the same bytes.
Source: docs/evidence-format.md, "Entries"; RFC 8785; RFC 3339.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from evidence.errors import EvidenceError
from evidence.log.tiles import LARGEST_ENTRY
from evidence.statement import canonical, parse_object, utc
from evidence.verify import HASH_SIZE, leaf_hash

NO_ENTRY: Final = bytes(HASH_SIZE)
"""What the first entry names as the one before it."""


class Kind(StrEnum):
    """What an entry speaks of."""

    RUN = "run"
    RECORD = "record"
    PACKAGE = "package"


@dataclass(frozen=True)
class Bundle:
    """A bundle or a package in the store: its key, its SHA-256 (hex), its size in bytes."""

    key: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Draft:
    """What shall be logged. The log adds `loggedAt` and `previous`, which depend on its place."""

    fields: Mapping[str, Any]

    @property
    def envelope(self) -> str:
        """SHA-256 (hex) of the bytes of the envelope: what makes two drafts the same."""
        return str(self.fields["envelope"])


@dataclass(frozen=True)
class Entry:
    """An entry in its place: `index` from 0, and its bytes."""

    index: int
    content: bytes

    @cached_property
    def leaf(self) -> bytes:
        """Its leaf hash."""
        return leaf_hash(self.content)

    @cached_property
    def fields(self) -> dict[str, Any]:
        """What it says; empty when it is no JSON object."""
        return parse_object(self.content) or {}

    @property
    def kind(self) -> str:
        """Its `Kind`, or another that a later version of the format knows."""
        return str(self.fields["kind"])

    @property
    def envelope(self) -> str:
        """SHA-256 (hex) of the envelope that it logs."""
        return str(self.fields["envelope"])

    @property
    def logged_at(self) -> datetime:
        """When the notary logged it, by its clock."""
        return datetime.fromisoformat(self.fields["loggedAt"])

    def is_sound(self, previous: "Entry | None") -> bool:
        """Whether it has the one form that an entry can have after this one."""
        match self.fields:
            case {"kind": str(), "envelope": str(), "loggedAt": str(logged), "previous": str(before)}:
                pass
            case _:
                return False
        if before != (previous.leaf if previous else NO_ENTRY).hex() or canonical(self.fields) != self.content:
            return False
        moment = _parse_time(logged)
        return moment is not None and (previous is None or previous.logged_at <= moment)


def run_draft(
    *,
    bundle: Bundle,
    envelope: str,
    outcome: str,
    plan: str,
    receipt: str,
    run: str,
    scheduled_at: datetime | None,
    slot: str | None,
) -> Draft:
    """A sealed run. `envelope` and `receipt` are digests (hex) of the bytes of the envelopes; `slot` is a slot's key.

    A run that no schedule asked for has neither `scheduled_at` nor `slot`.
    """
    return Draft(
        {
            "bundle": _bundle(bundle),
            "envelope": envelope,
            "kind": Kind.RUN.value,
            "outcome": outcome,
            "plan": plan,
            "receipt": receipt,
            "run": run,
            "scheduledAt": utc(scheduled_at) if scheduled_at else None,
            "slot": slot,
        }
    )


def record_draft(*, envelope: str, key: str, predicate_type: str) -> Draft:
    """Another envelope that stands alone under `key` in the store."""
    return Draft({"envelope": envelope, "key": key, "kind": Kind.RECORD.value, "predicateType": predicate_type})


def package_draft(*, bundle: Bundle, envelope: str, name: str, receipt: str) -> Draft:
    """A sealed package."""
    return Draft(
        {
            "bundle": _bundle(bundle),
            "envelope": envelope,
            "kind": Kind.PACKAGE.value,
            "name": name,
            "receipt": receipt,
        }
    )


def make_entry(draft: Draft, previous: Entry | None, logged_at: datetime) -> Entry:
    """The draft as the entry after `previous`. Raises `EvidenceError` for what no entry can hold, or as long."""
    before = previous.leaf if previous else NO_ENTRY
    content = _write({**draft.fields, "loggedAt": utc(logged_at), "previous": before.hex()})
    if len(content) > LARGEST_ENTRY:
        raise EvidenceError(
            f"an entry of {len(content):,} bytes is longer than the {LARGEST_ENTRY:,} that a log takes",
            "shorten the names in it; what is long belongs into the bundle",
        )
    return Entry(previous.index + 1 if previous else 0, content)


def _write(fields: Mapping[str, Any]) -> bytes:
    """RFC 8785 of what an entry may hold. Python's own writer agrees on that, and is eight times as fast."""
    if not _is_plain(fields):
        raise EvidenceError(
            "an entry holds text, null and whole numbers below 2**53 under ASCII names", "write other values as text"
        )
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _is_plain(fields: Mapping[str, Any]) -> bool:
    return all(
        name.isascii()
        and (
            value is None
            or isinstance(value, str)
            or (type(value) is int and abs(value) < 1 << 53)
            or (isinstance(value, dict) and _is_plain(value))
        )
        for name, value in fields.items()
    )


def _bundle(bundle: Bundle) -> dict[str, Any]:
    return {"key": bundle.key, "sha256": bundle.sha256, "size": bundle.size}


def _parse_time(text: str) -> datetime | None:
    """A time in the one form that `utc` writes."""
    try:
        moment = datetime.fromisoformat(text)
        return moment if utc(moment) == text else None
    except (ValueError, OverflowError):
        return None
