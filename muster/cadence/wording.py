"""Cadences in words: `monthly, day 1 at 03:00 UTC`; where words would not be exact, the cron expression itself.

Promises: two cadences with the same words are due at the same moments, anchors of intervals aside.
"""

from collections.abc import Set as AbstractSet
from datetime import timedelta
from itertools import pairwise
from typing import NamedTuple

from cronsim import CronSim

from muster.cadence.moments import ANCHOR
from muster.cadence.spec import Cadence

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_REGULAR = {12: "monthly", 4: "quarterly", 2: "half-yearly"}
_MOST_NAMED = 4
"""Times of day, or days of the week, that are still told one by one."""
_UNITS = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)))


class _Fields(NamedTuple):
    """A cron expression, expanded."""

    minutes: AbstractSet[int]
    hours: AbstractSet[int]
    days: AbstractSet[int]
    months: AbstractSet[int]
    weekdays: AbstractSet[int]


def words_of(cadence: Cadence) -> str:
    """The cadence as a person says it: `daily at 03:00 UTC`, `every 6 h`, else `cron 5 4 */3 * 1 UTC`."""
    if cadence.interval is not None:
        return f"every {_span(cadence.interval)}"
    fields = _fields(str(cadence.cron))
    day, time = _day(fields) if fields else None, _time(fields) if fields else None
    return f"{day or ''} at {time} {cadence.timezone}" if day and time else f"cron {cadence.cron} {cadence.timezone}"


def _span(interval: timedelta) -> str:
    for sign, unit in _UNITS:
        if interval % unit == timedelta() and (sign != "d" or interval > unit):
            return f"{interval // unit} {sign}"
    return f"{interval.total_seconds():g} s"


def _fields(cron: str) -> _Fields | None:
    """`None` for day of month beside day of week, and for days that are no plain numbers."""
    sim, (_, _, day_of_month, _, day_of_week) = CronSim(cron, ANCHOR), cron.split()
    if "*" not in (day_of_month, day_of_week) or not all(isinstance(day, int) and day >= 0 for day in sim.weekdays):
        return None
    weekdays = {day % 7 for day in sim.weekdays if isinstance(day, int)}
    return _Fields(sim.minutes, sim.hours, sim.days, sim.months, weekdays)


def _time(fields: _Fields) -> str | None:
    if len(fields.minutes) > 1 or len(fields.hours) > _MOST_NAMED:
        return None
    (minute,) = fields.minutes
    return ", ".join(f"{hour:02d}:{minute:02d}" for hour in sorted(fields.hours))


def _day(fields: _Fields) -> str | None:
    every_weekday = len(fields.weekdays) == 7
    if len(fields.days) == 31 and len(fields.months) == 12:
        return "daily" if every_weekday else _weekly(fields.weekdays)
    if not every_weekday or len(fields.days) > 1:
        return None
    return _in_months(min(fields.days), sorted(fields.months))


def _weekly(weekdays: AbstractSet[int]) -> str | None:
    if weekdays == {1, 2, 3, 4, 5}:
        return "Monday to Friday"
    named = [_WEEKDAYS[day] for day in sorted(weekdays, key=lambda day: (day - 1) % 7)]
    return f"weekly, {', '.join(named)}" if len(named) <= _MOST_NAMED else None


def _in_months(day: int, months: list[int]) -> str | None:
    if not 1 <= day <= min(_LENGTHS[month - 1] for month in months):
        return None  # not every one of these months has that day: the words would promise too much
    if len(months) == 1:
        return f"yearly, {day} {_MONTHS[months[0] - 1]}"
    word, step = _REGULAR.get(len(months)), 12 // len(months)
    if word is None or any(later - earlier != step for earlier, later in pairwise(months)):
        return None
    start = "" if months[0] == 1 else f" from {_MONTHS[months[0] - 1]}"
    return f"{word}{start}, day {day}"
