"""Durations as people write them in plans: `80ms`, `90s`, `15m`, `24h`, `7d`."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def parse_duration(value: Any) -> Any:
    """A `timedelta` from `80ms`, `90s`, `15m`, `24h` or `7d`; other types pass through for pydantic to judge."""
    if not isinstance(value, str):
        return value
    match = _FORM.fullmatch(value.strip())
    if not match:
        raise ValueError(f"{value!r} is no duration: write a number and one of ms, s, m, h, d, such as 90s or 7d")
    try:
        return timedelta(microseconds=round(Decimal(match[1]) * _UNITS[match[2]] * 10**6))
    except OverflowError:
        raise ValueError(f"{value!r} is longer than any clock counts") from None


def write_duration(duration: timedelta) -> str:
    """Exact seconds that `parse_duration` reads back: plans that differ must have digests that differ."""
    whole, microseconds = divmod(duration // timedelta(microseconds=1), 10**6)
    return f"{whole}.{microseconds:06d}".rstrip("0").rstrip(".") + "s"


def format_seconds(seconds: float) -> str:
    """Seconds as a person reads them: `0.42 s`, `7.3 s`, `12 m 05 s`, `3 h 10 m`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m" if hours < 72 else f"{hours // 24} d {hours % 24:02d} h"


def count_of(count: int, one: str, many: str) -> str:
    """A number with its noun: `1 canary`, `2 canaries`."""
    return f"{count:,} {one if count == 1 else many}"


def format_bytes(count: float) -> str:
    """Bytes in binary units: `512 B`, `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(write_duration, return_type=str)]
