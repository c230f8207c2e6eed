"""Clocks of a zone as numbers: when they are shifted, and at which moments they show a face.

Promises: faces and moments are whole seconds since 1970, a face as if the clock were UTC's; arrays are ascending. A
shift is found to the second; two of them within twelve hours that cancel each other are not seen.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.int64]
Mask = NDArray[np.bool_]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR, DAY = 3600, 86400
_APART = 12 * HOUR


class Shift(NamedTuple):
    """Clocks are put forward or back at a moment; offsets are seconds east of UTC."""

    at: int
    before: int
    after: int
    is_of_season: bool
    """Whether daylight saving time begins or ends; else the zone itself has changed."""

    @property
    def gained(self) -> int:
        """Seconds that clocks are put forward; below zero when they are put back."""
        return self.after - self.before

    @property
    def skipped(self) -> tuple[int, int]:
        """Faces from the first on, up to the second, that no clock shows."""
        return self.at + self.before, self.at + max(self.before, self.after)

    @property
    def second_pass(self) -> tuple[int, int]:
        """Moments from the first on, up to the second, at which clocks show what they have shown."""
        return self.at, self.at + max(self.before - self.after, 0)


def micros_of(moment: datetime) -> int:
    """Microseconds since 1970, of any kind of datetime: those of libraries subtract in ways of their own."""
    utc = moment.astimezone(UTC)
    seconds = (utc.toordinal() - EPOCH.toordinal()) * DAY + utc.hour * HOUR + utc.minute * 60 + utc.second
    return seconds * 1_000_000 + utc.microsecond


def seconds_of(moment: datetime) -> int:
    """Whole seconds since 1970, rounded down."""
    return micros_of(moment) // 1_000_000


def moment_of(seconds: int) -> datetime:
    """The moment of so many seconds since 1970."""
    return EPOCH + timedelta(seconds=seconds)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """A zone by its name; `ValueError` or `KeyError` when there is none."""
    return ZoneInfo(name)


def offset_at(timezone: str, at: int) -> int:
    """Seconds east of UTC that the zone's clocks show at a moment."""
    offset = zone_of(timezone).utcoffset(moment_of(at).astimezone(zone_of(timezone)))
    return round((offset or timedelta()).total_seconds())


def shifts(timezone: str, low: int, high: int) -> list[Shift]:
    """Every shift in (low, high]."""
    years = range(moment_of(low).year, moment_of(high).year + 1)
    return [shift for year in years for shift in _shifts_of_year(timezone, year) if low < shift.at <= high]


@lru_cache(maxsize=65536)
def _shifts_of_year(timezone: str, year: int) -> tuple[Shift, ...]:
    first, last = (seconds_of(datetime(each, 1, 1, tzinfo=UTC)) - 1 for each in (year, year + 1))
    found, offset = [], offset_at(timezone, first)
    for at in [*range(first + _APART, last, _APART), last]:
        if (later := offset_at(timezone, at)) != offset:
            found.append(_shift(timezone, at - _APART, at, offset))
        offset = later
    return tuple(found)


def _shift(timezone: str, low: int, high: int, before: int) -> Shift:
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if offset_at(timezone, middle) == before else (low, middle)
    zone = zone_of(timezone)
    seasons = [bool(moment_of(at).astimezone(zone).dst()) for at in (high - 1, high)]
    return Shift(high, before, offset_at(timezone, high), seasons[0] != seasons[1])


def shown(faces: Seconds, timezone: str, low: int, high: int) -> Seconds:
    """Every moment in [low, high) at which the zone's clocks show one of the faces."""
    starts = [low, *(shift.at for shift in shifts(timezone, low, high - 1))]
    parts = []
    for start, end in zip(starts, [*starts[1:], high], strict=True):
        offset = offset_at(timezone, start)
        first, last = np.searchsorted(faces, [start + offset, end + offset])
        parts.append(faces[first:last] - offset)
    return np.concatenate(parts)


def within(numbers: Seconds, low: int, high: int) -> Seconds:
    """Those of ascending numbers in [low, high)."""
    first, last = np.searchsorted(numbers, [low, high])
    return numbers[first:last]


def without(numbers: Seconds, low: int, high: int) -> Seconds:
    """Those of ascending numbers that are not in [low, high)."""
    first, last = np.searchsorted(numbers, [low, high])
    return np.concatenate([numbers[:first], numbers[last:]])
