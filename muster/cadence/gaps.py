"""How far apart the slots of a cadence are: the shortest and the longest gap there is between two neighbours.

Promises: exact for one time of day, leap years and days on which clocks change included; between times of one day the
shortest may be told too short and the longest too long, by as much as clocks change, never the other way.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from muster.cadence.moments import ANCHOR, cron_ticks

_DAYS = 400
"""Days with slots that are looked at: more than a year of daily ones, 33 years of monthly ones, 8 leap days in 40."""
_DAY = timedelta(days=1)


class Gaps(NamedTuple):
    """The shortest and the longest time between two neighbouring slots."""

    shortest: timedelta
    longest: timedelta


@lru_cache(maxsize=4096)
def gaps_of(cron: str, timezone: str) -> Gaps:
    """The gaps of a cron expression."""
    times, days = _times(cron), " ".join(cron.split()[2:])
    firsts = _sample(times[0], days, timezone)
    if len(times) == 1:
        between = [later - earlier for earlier, later in pairwise(firsts)]
        return Gaps(min(between), max(between))
    # Over midnight: from the last slot of a day to the first of the next day that has any.
    lasts = _sample(times[-1], days, timezone)
    between = [first - last for last, first in zip(lasts, firsts[1:], strict=False) if first > last]
    within, changed = [later - earlier for earlier, later in pairwise(times)], _when_clocks_change(cron, timezone)
    return Gaps(min(between + within + changed), max(between + within + changed))


def _times(cron: str) -> list[timedelta]:
    sim = CronSim(cron, ANCHOR)
    return sorted(timedelta(hours=hour, minutes=minute) for hour in sim.hours for minute in sim.minutes)


def _sample(time: timedelta, days: str, timezone: str) -> list[datetime]:
    zone = ZoneInfo(timezone)
    return [(midnight + time).replace(tzinfo=zone).astimezone(UTC) for midnight in _midnights(days)]


@lru_cache(maxsize=4096)
def _midnights(days: str) -> tuple[datetime, ...]:
    """The days with slots, on the clock's face: the same for every time of day and every zone."""
    before = ANCHOR.replace(tzinfo=None) - timedelta(seconds=1)
    return tuple(islice(CronSim(f"0 0 {days}", before), _DAYS))


def _when_clocks_change(cron: str, timezone: str) -> list[timedelta]:
    """Gaps within each day of a year that is not 24 hours long, as if every day had slots."""
    zone, daily = ZoneInfo(timezone), " ".join([*cron.split()[:2], "* * *"])
    gaps = []
    for day in (datetime(2026, 1, 1, tzinfo=zone) + _DAY * number for number in range(365)):
        start, end = day.astimezone(UTC), (day + _DAY).astimezone(UTC)
        if end - start != _DAY:
            ticks = []
            for tick in cron_ticks(daily, timezone, start - timedelta(seconds=1)):
                if tick >= end:
                    break
                ticks.append(tick)
            gaps += [later - earlier for earlier, later in pairwise(ticks)]
    return gaps
