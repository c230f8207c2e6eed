"""Due times kept by the year, so that a slot is looked up instead of computed anew each time it is asked for.

Promises: the same times as `muster.cadence.moments.cron_ticks`; bounded memory; days are worked out once for all plans
that are due on the same days.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim

_YEARS = 1 << 14
"""Years of one cron expression each that are kept; of a daily one a year is 30 KB."""
_FURTHEST = 12
"""Years without any slot in a row; 29 February can be 8 away (1896 to 1904)."""


@lru_cache(maxsize=4096)
def is_kept(cron: str) -> bool:
    """Whether a year of it is small: due at one time of day at most."""
    minute, hour = cron.split()[:2]
    return minute.isdigit() and hour.isdigit()


def ticks_after(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """Every due time strictly after a moment."""
    year = after.astimezone(ZoneInfo(timezone)).year
    kept = _year(cron, timezone, year)
    yield from kept[bisect_right(kept, after) :]
    while True:
        year += 1
        yield from _year(cron, timezone, year)


def newest_until(cron: str, timezone: str, moment: datetime) -> datetime | None:
    """The newest due time that is not after a moment; `None` when there was none for years."""
    newest = moment.astimezone(ZoneInfo(timezone)).year
    for year in range(newest, newest - _FURTHEST, -1):
        kept = _year(cron, timezone, year)
        if at := bisect_right(kept, moment):
            return kept[at - 1]
    return None


@lru_cache(maxsize=_YEARS)
def _year(cron: str, timezone: str, year: int) -> tuple[datetime, ...]:
    """The due times of one year of the zone, in UTC."""
    minute, hour, days = cron.split(maxsplit=2)
    zone, time = ZoneInfo(timezone), timedelta(hours=int(hour), minutes=int(minute))
    return tuple((midnight + time).replace(tzinfo=zone).astimezone(UTC) for midnight in _midnights(days, year))


@lru_cache(maxsize=4096)
def _midnights(days: str, year: int) -> tuple[datetime, ...]:
    """The days with slots, on the clock's face."""
    before = datetime(year, 1, 1) - timedelta(seconds=1)
    return tuple(takewhile(lambda midnight: midnight.year == year, CronSim(f"0 0 {days}", before)))
