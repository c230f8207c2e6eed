"""What a sealed bundle says of itself, as the notary needs it to enter it in the log.

Promise: nothing is read from a bundle that a trusted key did not seal, or of which a byte was changed since.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from evidence import bag, durable
from evidence.envelope import open_envelope
from evidence.errors import EvidenceError
from evidence.keys import PublicKey
from evidence.log import Bundle, Draft, package_draft, run_draft
from evidence.slots import slot_key
from evidence.statement import PredicateType, predicate_of, subjects_of
from evidence.verify import PACKAGE_LIMITS, ArchiveDamaged, read_archive


class NotSealed(EvidenceError):
    """The file is no bundle that a trusted key sealed. It is not entered."""


@dataclass(frozen=True)
class SealedFile:
    """A bundle as read: digests in hex, size in bytes, its predicate and what that is about."""

    sha256: str
    size: int
    envelope: str
    about: PredicateType
    predicate: Mapping[str, Any]

    @property
    def ended_at(self) -> datetime:
        """When the run ended or the package was made, by its sealer's clock."""
        field = "endedAt" if self.about is PredicateType.DRILL_RUN else "madeAt"
        return datetime.fromisoformat(self.predicate[field])

    def draft(self, key: str, receipt: str) -> Draft:
        """What the log shall say of it. `key` is its key in the store, `receipt` the digest (hex) of its receipt."""
        bundle = Bundle(key, self.sha256, self.size)
        if self.about is PredicateType.PACKAGE:
            return package_draft(bundle=bundle, envelope=self.envelope, name=self.predicate["name"], receipt=receipt)
        plan, at = self.predicate["plan"], self.predicate["scheduledAt"]
        scheduled_at = datetime.fromisoformat(at) if at else None
        return run_draft(
            bundle=bundle,
            envelope=self.envelope,
            outcome=self.predicate["outcome"],
            plan=plan,
            receipt=receipt,
            run=self.predicate["run"],
            scheduled_at=scheduled_at,
            slot=slot_key(plan, scheduled_at) if scheduled_at else None,
        )


def read_sealed(bundle: Path, trusted: Sequence[PublicKey]) -> SealedFile:
    """Read a bundle or a package whole, in flat memory. Raises `NotSealed`, `OSError`."""
    try:
        with durable.open_plain(bundle, follow=True) as source:
            digests, envelope = _members(source)
    except ArchiveDamaged as error:
        raise NotSealed(f"{bundle.name} cannot be read: {error}", "seal the run again") from error
    opened = open_envelope(envelope)
    if opened is None or not any(map(opened.is_signed_by, trusted)):
        raise NotSealed(f"{bundle.name} is not sealed by a key that the keyring trusts now", "who handed it in?")
    if subjects_of(opened.payload) != digests:
        raise NotSealed(f"{bundle.name} holds other files than were sealed", "find out who changed it")
    for about in (PredicateType.DRILL_RUN, PredicateType.PACKAGE):
        if (predicate := predicate_of(opened.payload, about)) is not None:
            sha256, size = durable.sha256_of(bundle), bundle.stat().st_size
            return SealedFile(sha256, size, hashlib.sha256(envelope).hexdigest(), about, predicate)
    raise NotSealed(f"{bundle.name} speaks neither of a run nor of a package", "enter it as a record")


def read_statement(bundle: Path) -> bytes:
    """The payload of a bundle's envelope; who signed it is not looked at. Raises `ArchiveDamaged`, `OSError`."""
    with durable.open_plain(bundle, follow=True) as source:
        opened = open_envelope(_members(source)[1])
    return opened.payload if opened else b""


def _members(source: BinaryIO) -> tuple[dict[str, str], bytes]:
    """Name to digest of what a seal vouches for, and the envelope's bytes."""
    digests, envelope = {}, b""
    for member in read_archive(source, PACKAGE_LIMITS):
        name = member.name.partition("/")[2]
        if name == bag.ENVELOPE:
            envelope = b"".join(member.pieces)
            continue
        digest = hashlib.sha256()
        for piece in member.pieces:
            digest.update(piece)
        if name.startswith(bag.PAYLOAD) or name == bag.LABELS:
            digests[name] = digest.hexdigest()
    return digests, envelope
