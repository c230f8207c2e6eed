"""Cron expressions that every reader takes alike: Muster counts slots by `cronsim`, Prefect starts runs by `croniter`.

Promises: of an expression without a fault both name the same moments, in every time zone (held by a test); what they
read differently, or people do, is told in words.
"""

import re
from bisect import bisect_left
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

# One item of a field: a number, a name or a range of them, with a step or without; or `*`.
_ITEM = re.compile(r"(?:\*|(?P<low>[0-9]{1,2}|[a-z]{3})(?:-(?P<high>[0-9]{1,2}|[a-z]{3}))?)(?:/(?P<step>[0-9]{1,2}))?")
_FROM, _YEARS = datetime(2020, 1, 1), 28
"""The calendar repeats itself after 28 years: all dates on which clocks jump are seen."""
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


def fault_in_cron(expression: str) -> str:
    """What is wrong with an expression, in words; empty for none."""
    fields = expression.split()
    if len(fields) != 5:
        return "five fields are asked for: minute, hour, day of month, month, day of week"
    if "*" not in (fields[2], fields[4]):
        return "day of month and day of week cannot both be set: readers differ on whether both or either must hold"
    faults = [fault for number, field in enumerate(fields) for fault in _faults_in_field(field, number == 4)]
    return faults[0] if faults else _fault_in_values(expression)


def _faults_in_field(field: str, is_weekday: bool) -> list[str]:
    items, faults = field.lower().split(","), []
    for item in items:
        match = _ITEM.fullmatch(item)
        if match is None:
            faults.append(f"{item!r} is no number, name, range or step that every reader of cron takes")
        elif len(items) > 1 and item.startswith("*"):
            faults.append(f"{field!r} mixes '*' with a list")
        elif match["low"] and match["high"] and not _is_plain_range(match["low"], match["high"]):
            faults.append(f"{item!r} is a range from a value to itself, or of a name and a number")
        elif match["low"] and match["step"] and (is_weekday or not match["high"]):
            faults.append(f"{item!r} is a step from a lone value, or over days: write a range with a step, or a list")
    return faults


def _is_plain_range(low: str, high: str) -> bool:
    return (
        int(low) != int(high) if low.isdigit() and high.isdigit() else low.isalpha() and high.isalpha() and low != high
    )


def _fault_in_values(expression: str) -> str:
    try:
        sim = CronSim(expression, _FROM)
    except CronSimError as error:
        return str(error)
    late = [day for day in sim.days if day > 28]
    # In February `croniter` adds the days up to the next listed one, 30 say, and so steps over 1 March.
    if late and {2, 3} <= sim.months and min(sim.days) < min(late) - 28:
        return f"after February, Prefect passes over day {min(sim.days)} of March on its way to day {min(late)}"
    return ""


class _Jump(NamedTuple):
    """Clocks put forward: faces from `start` on, for so long, are not seen on that day."""

    start: datetime
    length: timedelta


def skipped_time(expression: str, timezone: str) -> datetime | None:
    """The first due time on the clock that the clock skips, where it matters: readers make different moments of it.

    Some start at the same time by the old offset, some by the new one (an hour early: Prefect on Python 3.12, unlike
    Prefect on 3.13). An expression that is due at both moments anyway, as an hourly one is, loses nothing.
    """
    for jump in _jumps(timezone):
        due = CronSim(expression, jump.start - jump.length - _SECOND)
        faces = set(takewhile(lambda face, end=jump.start + 2 * jump.length: face < end, due))  # type: ignore[misc]
        for face in sorted(faces):
            is_skipped = jump.start <= face < jump.start + jump.length
            if is_skipped and not {face - jump.length, face + jump.length} <= faces:
                return face
    return None


@lru_cache(maxsize=256)
def _jumps(timezone: str) -> tuple[_Jump, ...]:
    zone = ZoneInfo(timezone)
    noons = [_FROM + timedelta(hours=12) + _DAY * number for number in range(_YEARS * 366)]
    offsets = [zone.utcoffset(noon) or timedelta() for noon in noons]
    return tuple(
        _Jump(_start(zone, noons[number], offset), later - offset)
        for number, (offset, later) in enumerate(pairwise(offsets))
        if later > offset
    )


def _start(zone: ZoneInfo, noon: datetime, offset: timedelta) -> datetime:
    """The face of the clock, to the minute, at which it jumps in the day after a noon."""

    def is_later(count: int) -> bool:
        return (noon + timedelta(minutes=count)).replace(tzinfo=zone, fold=1).utcoffset() != offset

    return noon + timedelta(minutes=bisect_left(range(24 * 60 + 1), True, key=is_later))
