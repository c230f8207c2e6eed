"""Slots as moments: the due times of a cadence, which of them are waived, and until when one may be claimed.

Promises: every function is pure; every moment is UTC; ticks are in order, each but once, and computed from the cadence
alone, so any process at any time names the same slots.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from muster.cadence import almanac
from muster.cadence.moments import cron_ticks
from muster.cadence.spec import DAYS, Blackout, Cadence, Late, Window

_FAR = timedelta(days=366 * 12)
"""As far back as a tick is looked for: 29 February can be 8 years away (1896 to 1904)."""
_DAY = timedelta(days=1)


def ticks(cadence: Cadence, after: datetime) -> Iterator[datetime]:
    """Every due time strictly after a moment, in order, without end."""
    if cadence.interval is not None:
        return _intervals(cadence.anchor, cadence.interval, after)
    cron = str(cadence.cron)
    if almanac.is_kept(cron):
        return almanac.ticks_after(cron, cadence.timezone, after)
    return cron_ticks(cron, cadence.timezone, after)


def _intervals(anchor: datetime, interval: timedelta, after: datetime) -> Iterator[datetime]:
    tick = (anchor + ((after - anchor) // interval + 1) * interval).astimezone(UTC)
    while True:
        yield tick
        tick += interval


def next_tick(cadence: Cadence, after: datetime) -> datetime:
    """The first due time strictly after a moment."""
    return next(ticks(cadence, after))


def ticks_between(cadence: Cadence, after: datetime, until: datetime) -> Iterator[datetime]:
    """Due times in (after, until]."""
    for tick in ticks(cadence, after):
        if tick > until:
            return
        yield tick


def tick_at_or_before(cadence: Cadence, moment: datetime) -> datetime | None:
    """The newest due time that is not after a moment; `None` when there was none for years.

    This is how a run that a scheduler started finds its slot: schedulers disagree on days on which clocks change.
    """
    if cadence.cron and almanac.is_kept(cadence.cron):
        return almanac.newest_until(cadence.cron, cadence.timezone, moment)
    span = min(cadence.gaps.longest, _FAR)
    while span <= _FAR:
        found = None
        for found in ticks_between(cadence, moment - span, moment):  # noqa: B007 - the last one is wanted
            pass
        if found is not None:
            return found
        span *= 2
    return None


def blackout_at(cadence: Cadence, moment: datetime) -> Blackout | None:
    """The blackout that holds a moment, if any."""
    return next((b for b in cadence.blackouts if b.start <= moment < b.end), None)


def is_in_window(cadence: Cadence, moment: datetime) -> bool:
    """Whether a drill may run at a moment as far as change windows go."""
    zone = ZoneInfo(cadence.timezone)
    return not cadence.windows or any(_holds(window, moment, zone) for window in cadence.windows)


def _holds(window: Window, moment: datetime, zone: ZoneInfo) -> bool:
    """A window is one span from its start on: it does not open again when its end comes twice on the clock."""
    today = moment.astimezone(zone).date()
    return any(
        datetime.combine(day, window.start, zone).astimezone(UTC)
        <= moment
        < datetime.combine(day + _DAY * window.spans_midnight, window.end, zone).astimezone(UTC)
        for day in (today - _DAY, today)
        if DAYS[day.weekday()] in window.days
    )


def claim_deadline(cadence: Cadence, tick: datetime) -> datetime:
    """Until when a slot may be claimed by a run; from then on it is missed."""
    if cadence.late is Late.RUN_ALL:
        return tick + cadence.late_within
    return tick + cadence.grace_period if cadence.late is Late.SKIP else next_tick(cadence, tick)


def splay(cadence: Cadence, plan: str) -> timedelta:
    """How long after its slot a plan starts: a fixed share of the jitter, drawn from the plan's name."""
    share = int.from_bytes(sha256(plan.encode()).digest()[:8]) / 2**64
    return timedelta(seconds=cadence.jitter.total_seconds() * share)
