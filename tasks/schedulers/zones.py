"""The time zone of this machine, and whether two zones have the same clock."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

_YEARS = 5
"""Clocks are compared from now on, for so long: rules of the past start no job."""


def machine_zone() -> str:
    """Its name, from `/etc/localtime`, or `/etc/timezone`; UTC where neither says."""
    link = str(Path("/etc/localtime").resolve())
    name = link.partition("/zoneinfo/")[2]
    try:
        name = name or Path("/etc/timezone").read_text(encoding="utf-8").strip()
    except OSError:
        name = ""
    return "UTC" if name in {"", "Etc/UTC"} else name


def is_zone(word: str) -> bool:
    """Whether this names a time zone."""
    return word in _names()


def same_clock(one: str, other: str) -> bool:
    """Whether both show the same time, always."""
    return one == other or _apart(one, other) == {timedelta(0)}


def whole_hours_apart(one: str, other: str) -> bool:
    """Whether the clocks show the same minute, always: then what starts every hour starts at the same moments."""
    return one == other or all(apart % timedelta(hours=1) == timedelta(0) for apart in _apart(one, other))


def is_steady(zone: str) -> bool:
    """Whether the clock is never put forward or back."""
    return len(_apart(zone, "UTC")) == 1


@lru_cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache
def _apart(one: str, other: str) -> frozenset[timedelta]:
    zones, start = (ZoneInfo(one), ZoneInfo(other)), datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    moments = (start + timedelta(hours=6 * number) for number in range(_YEARS * 366 * 4))
    return frozenset(_offset(zones[0], at) - _offset(zones[1], at) for at in moments)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)
