"""Which due times a plan owed a record for, as far as cadences can tell.

Promises: a due time is owed only where no change of cadence can explain that it has no record, so that what is told as
a gap is one; the cadence that counts is the one that sealed records hold, then the ledger's, then the plan's file.

Between two records with one cadence, all its due times are owed. Between two with different ones, the moment of the
change is not known: whoever changed it accounted for the old one's due times up to that moment, and for the new one's
from then on. So a due time that both have is owed, whenever it was.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise, takewhile

from muster.cadence.spec import Cadence
from muster.cadence.ticks import blackout_at, claim_deadline, ticks
from muster.package.period import Period

SETTLED_AFTER = timedelta(days=1)
"""How long after a slot is over its record may take to reach the log: from then on it is sealed late, or not at all."""
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment, and the cadence that the plan had then."""

    at: datetime
    cadence: Cadence


def owed(marks: Sequence[Mark], period: Period, made_at: datetime) -> Iterator[Mark]:
    """The due times of the period, up to `made_at`, that lie between marks (in order) and were owed a record.

    Each with a cadence that names it. A mark's own moment is not among them: it is what is known already.
    """
    for earlier, later in pairwise(marks):
        start, end = max(earlier.at, period.start - _INSTANT), min(later.at, period.end, made_at + _INSTANT)
        if start < end:
            yield from (Mark(tick, earlier.cadence) for tick in _between(earlier.cadence, later.cadence, start, end))


def claimable_until(slot: Mark) -> datetime:
    """Until when a run may claim a due time: none may in a blackout."""
    return slot.at if blackout_at(slot.cadence, slot.at) else claim_deadline(slot.cadence, slot.at)


def is_open(claimable: datetime, made_at: datetime) -> bool:
    """Whether a due time without a record may still get one in time: it can be run, or its record is on its way."""
    return made_at < claimable + SETTLED_AFTER


def _between(old: Cadence, new: Cadence, after: datetime, before: datetime) -> Iterator[datetime]:
    due = takewhile(lambda tick: tick < before, ticks(old, after))
    if old.timetable == new.timetable:
        yield from due
    else:
        others = set(takewhile(lambda tick: tick < before, ticks(new, after)))
        yield from (tick for tick in due if tick in others)
