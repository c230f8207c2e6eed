"""What a package is made of, as plain data: whoever can read store, log, ledger and plans gathers it.

Promises: nothing here opens anything; what was stored stands as its bytes, or as the file that holds them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from muster import __version__
from muster.cards import PlanCard
from muster.ledger.rows import Alert, Look, Proof
from muster.ledger.standing import Standing
from muster.notary.vouched import Anchor, Cosignature
from muster.package.period import Period

Content = Path | bytes
"""A file, or what is in it."""
LINK_ABOVE = 64 << 20
"""Bytes above which a bundle is named by link instead of copied."""


@dataclass(frozen=True)
class OpenSlot:
    """A due time that was open in the package before, and until when a run could claim it, if that was told."""

    plan: str
    at: datetime
    claimable_until: datetime | None = None


@dataclass(frozen=True)
class Previous:
    """The package before: its name, its SHA-256 (hex), where its period ended, and the size of its head."""

    name: str
    sha256: str
    until: datetime
    size: int
    open: tuple[OpenSlot, ...] = ()
    """What it left open: the next package tells what became of it."""


@dataclass(frozen=True)
class PackageInputs:
    """Everything of one package. `entries` and `looks` are read once, in order."""

    name: str
    """Of the package; its file is `NAME.tar.gz`."""
    release: str
    period: Period
    entries: Iterable[bytes]
    """Every entry below the head, from the first on, as stored."""
    head: bytes
    """The newest head, a signed note."""
    verifier: Content
    """`verify.py`."""
    bundles: Mapping[str, Path] = field(default_factory=dict)
    """By key: those of the period, those sealed late, and of each plan the nearest one on either side of the period."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """By key, why a bundle could not be had."""
    receipts: Mapping[str, Content] = field(default_factory=dict)
    """The put receipts by the key of their bundle."""
    records: Mapping[str, Content] = field(default_factory=dict)
    """By their name below `records/`: what entries logged in the period name, and every statement about a plan."""
    keys: Mapping[str, Content] = field(default_factory=dict)
    """Every key statement, by its name below `keys/`."""
    log_files: Mapping[str, Content] = field(default_factory=dict)
    """By key: anchors (`log/times/…`), cosignatures (`log/cosignatures/…`) and the heads that they are for."""
    anchors: Sequence[Anchor] = ()
    cosignatures: Sequence[Cosignature] = ()
    plans: Sequence[PlanCard] = ()
    standings: Sequence[Standing] = ()
    looks: Iterable[Look] = ()
    """Looks of the period, by plan and number."""
    looks_since: datetime | None = None
    """No look from before was kept."""
    alerts: Sequence[Alert] = ()
    """Conditions that people were told of and that held in the period."""
    proofs: Sequence[Proof] = ()
    """The negative controls that were run in the period, and of each kind the newest before it."""
    as_of: datetime | None = None
    """Until when due times are owed a record; default: until the newest entry was logged. What was due since counts as
    missing too, or a log that has stopped would hide it."""
    previous: Previous | None = None
    link_above: int = LINK_ABOVE
    muster: str = __version__


def bytes_of(content: Content) -> bytes:
    """What is in it."""
    return content.read_bytes() if isinstance(content, Path) else content
