"""Cron expressions as moments, whatever clocks do.

Promises: every moment is UTC, in order, each but once.

On days on which clocks change, a time on the clock that comes twice is due once, the first time; one that is skipped
is due as much later as the clocks jump (02:30 at 03:30), as RFC 5545 and Python's own `fold=0` read it. Prefect's
schedules differ in the skipped ones alone: on Python 3.11 and 3.12 they start an hour early. So a cadence that would be
due then is refused (`muster.cadence.cron.skipped_time`), unless it is due an hour before and after as well, as hourly
ones are: Prefect then has no run but ours, and no slot waits for a run that never comes. Debian's cron differs more: it
starts what was skipped at once, and lets `*` in the hour count hours, not the clock.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from zoneinfo import ZoneInfo

from cronsim import CronSim

ANCHOR = datetime(2020, 1, 1, tzinfo=UTC)
"""Where intervals count from unless a plan says otherwise (Prefect's own default anchor), and where samples begin."""
_DAY = timedelta(days=1)


def cron_ticks(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """Every due time of a cron expression strictly after a moment."""
    if timezone == "UTC":
        return CronSim(cron, after.astimezone(UTC))
    return _local_ticks(cron, ZoneInfo(timezone), after)


def _local_ticks(cron: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    previous = after
    waiting: list[datetime] = []  # skipped times are due after later ones that are not
    for clock in CronSim(cron, _clock_before(after, zone)):
        tick = clock.replace(tzinfo=zone).astimezone(UTC)
        heappush(waiting, tick)
        is_skipped = tick.astimezone(zone).replace(tzinfo=None) != clock
        while waiting and not is_skipped and waiting[0] <= tick:
            if (due := heappop(waiting)) > previous:
                yield due
                previous = due


def _clock_before(after: datetime, zone: ZoneInfo) -> datetime:
    """The clock's face at a moment; if clocks jumped within a day before it, as if they had not."""
    moment = after.astimezone(UTC)
    faces = (moment.astimezone(zone), (moment - _DAY).astimezone(zone))
    return min(moment.replace(tzinfo=None) + (face.utcoffset() or timedelta()) for face in faces)
