"""What the portal is drawn from: frozen plain data, gathered by whoever can read the store, the log and the plans.

Promises: nothing here opens anything; entries, predicates and receipts stand as they were read, and are hostile until
`muster.portal.reading` has gone over them. Moments are aware, digests lower-case hex.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, takewhile
from typing import Any

from muster import __version__
from muster.cadence.controls import CONTROLS, Control
from muster.cadence.spec import Cadence
from muster.cadence.ticks import claim_deadline, ticks
from muster.cards import PlanCard

AHEAD = timedelta(days=400)
"""How far the calendar looks ahead, for a yearly cadence to show its next slot."""
MOST_AHEAD = 12
"""Slots to come that a plan shows at most."""

Record = Mapping[str, Any]
"""A JSON object as it was read."""


@dataclass(frozen=True)
class LogEntry:
    """One entry of the log, as docs/evidence-format.md has it."""

    index: int
    entry: Record


@dataclass(frozen=True)
class Slot:
    """A due time of a plan, and until when a run may still claim it: from then on it needs a sealed record."""

    due: datetime
    until: datetime


@dataclass(frozen=True)
class PortalPlan:
    """One plan: what it promises, and its slots."""

    name: str
    kind: str
    cadence: str
    """In words."""
    controls: tuple[str, ...] = ()
    owner: str = ""
    environment: str = ""
    grace: timedelta = timedelta()
    """How long after a slot is due its drill may pass in time."""
    slots: tuple[Slot, ...] = ()
    """In order: every slot that counts, and the next few to come."""


@dataclass(frozen=True)
class Waiting:
    """A run that ended and is not in the log yet."""

    plan: str
    run: str
    due: datetime | None
    why: str = ""


@dataclass(frozen=True)
class Anchor:
    """An authority's time-stamp of a head: every entry below `size` existed by `at`."""

    size: int
    authority: str
    """As in `log/times/SIZE/AUTHORITY.tsr`."""
    at: datetime | None
    """`None`: the token is there and could not be checked, so that it shows nothing."""


@dataclass(frozen=True)
class Cosignature:
    """A witness's word for the head of this size."""

    size: int
    witness: str


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


def plan_of(card: PlanCard, counted_from: datetime, at: datetime) -> PortalPlan:
    """A plan as the portal shows it, with the slots its cadence names after `counted_from`, in UTC.

    The trap: a plan whose cadence was changed counts from that change on; slots of the cadence before it are not known
    to the card.
    """
    cadence = card.cadence()
    return PortalPlan(
        name=card.name,
        kind=card.kind,
        cadence=card.cadence_words,
        controls=card.controls,
        owner=card.owner,
        environment=card.environment,
        grace=timedelta(seconds=card.grace_seconds),
        slots=tuple(_slots(cadence, counted_from.astimezone(UTC), at)),
    )


def _slots(cadence: Cadence, after: datetime, at: datetime) -> Iterator[Slot]:
    due = takewhile(lambda tick: tick <= at, ticks(cadence, after))
    later = takewhile(lambda tick: tick <= at + AHEAD, ticks(cadence, max(after, at)))
    soon = (tick for tick, _ in zip(later, range(MOST_AHEAD), strict=False))
    for tick in chain(due, soon):
        yield Slot(tick, claim_deadline(cadence, tick))
