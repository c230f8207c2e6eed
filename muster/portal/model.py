"""What the portal is drawn from: frozen plain data, gathered by whoever can read the store, the log and the plans.

Promises: nothing here opens anything; entries, predicates and receipts stand as they were read, and are hostile until
`muster.portal.reading` has gone over them. Moments are aware, digests lower-case hex.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from muster import __version__
from muster.cadence.controls import CONTROLS, Control
from muster.cadence.spec import Cadence
from muster.notary.vouched import Anchor, Cosignature

Record = Mapping[str, Any]
"""A JSON object as it was read."""


@dataclass(frozen=True)
class LogEntry:
    """One entry of the log, as docs/evidence-format.md has it."""

    index: int
    entry: Record


@dataclass(frozen=True)
class Slot:
    """A due time of a plan."""

    due: datetime
    is_open: bool
    """Whether its record may still come in time; else one has to be in the log."""


@dataclass(frozen=True)
class PortalPlan:
    """One plan: what it promises, and its slots."""

    name: str
    kind: str
    cadence: str
    """The newest that is known, in words."""
    controls: tuple[str, ...] = ()
    current: Cadence | None = None
    """By which it has to pass again; `None` for a plan that does not have to."""
    since: datetime | None = None
    """When its slots began to count; `None` where no ledger says."""
    is_gone: bool = False
    """Whether it has no file any more."""
    retired_at: datetime | None = None
    """When the ledger saw that its file is gone."""
    slots: tuple[Slot, ...] = ()
    """In order: every due time that was owed a record, by the cadence of then, and the next few to come."""

    @property
    def ended(self) -> str:
        """What became of a plan that is gone, in words; else empty."""
        if self.retired_at:
            return f"retired {self.retired_at:%Y-%m-%d}"
        return "without a file" if self.is_gone else ""


@dataclass(frozen=True)
class Waiting:
    """A run that ended and is not in the log yet."""

    plan: str
    run: str
    due: datetime | None
    why: str = ""


@dataclass(frozen=True)
class PortalData:
    """Everything that the portal shows, at one moment."""

    at: datetime
    origin: str
    """Of the log."""
    size: int
    """Of its newest head."""
    root: str
    """The newest head's root hash, base64 as the checkpoint has it; empty before the first."""
    entries: Sequence[LogEntry] = ()
    """In the order of the log, of every kind."""
    predicates: Mapping[str, Record] = field(default_factory=dict)
    """What was signed of each run (`urn:muster:drill-run:v1`), by its bundle's key; and of each package."""
    receipts: Mapping[str, Record] = field(default_factory=dict)
    """The first put receipt's predicate, by the bundle's key."""
    problems: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Why a run shows nothing in a package, by its entry."""
    plans: Sequence[PortalPlan] = ()
    waiting: Sequence[Waiting] = ()
    anchors: Sequence[Anchor] = ()
    cosignatures: Sequence[Cosignature] = ()
    probe: Record | None = None
    """The predicate of the newest probe of the store (`urn:muster:probe:v1`)."""
    keys: Sequence[Record] = ()
    """Predicates of the key statements, from number 0 on."""
    controls: Sequence[Control] = CONTROLS
    muster: str = __version__
