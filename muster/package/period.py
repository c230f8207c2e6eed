"""Periods: the span of due times that a package is about, as people write it.

Promises: what is read has one meaning, from a first moment on (inclusive) to a last (exclusive), in UTC; what is not
exactly one of the forms is refused.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from muster.errors import UsageError

_FORM = re.compile(r"(?P<year>[1-9][0-9]{3})(?:-(?:Q(?P<quarter>[1-4])|H(?P<half>[12])|(?P<month>0[1-9]|1[0-2])))?")
_RANGE = re.compile(r"([1-9][0-9]{3}-[0-9]{2}-[0-9]{2})\.\.([1-9][0-9]{3}-[0-9]{2}-[0-9]{2})")
_ADVICE = "write 2026, 2026-H1, 2026-Q3, 2026-09, or 2026-01-01..2026-03-31 (both days included)"
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Period:
    """Due times in [start, end), both aware UTC; `name` as a person wrote it."""

    name: str
    start: datetime
    end: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


def parse_period(text: str) -> Period:
    """`2026`, `2026-H1`, `2026-Q3`, `2026-09` or `2026-01-01..2026-03-31`. Raises `UsageError` for all else."""
    if match := _RANGE.fullmatch(text):
        return _range(text, match[1], match[2])
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no period", _ADVICE)
    month, months = _months(match)
    year = int(match["year"])
    if year == 9999:
        raise UsageError(f"{text!r} ends beyond every clock", _ADVICE)
    return Period(text, _first_of(year, month), _first_of(year, month + months))


def period_since(name: str, start: datetime, made_at: datetime, as_of: datetime) -> Period:
    """From a moment on up to and with `made_at`, when the log's newest entry was logged: to the whole second after it.

    Where that is of an earlier day than `as_of`, up to the midnight before `as_of`: what was due since then counts.
    """
    start = start.astimezone(UTC)
    end = made_at.astimezone(UTC).replace(microsecond=0) + _SECOND
    return Period(name, start, max(start, end, _midnight(as_of.astimezone(UTC).date())))


def _months(match: re.Match[str]) -> tuple[int, int]:
    """The first month, and how many."""
    if match["quarter"]:
        return 3 * int(match["quarter"]) - 2, 3
    if match["half"]:
        return 6 * int(match["half"]) - 5, 6
    return (int(match["month"]), 1) if match["month"] else (1, 12)


def _first_of(year: int, month: int) -> datetime:
    return datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC)


def _range(text: str, first: str, last: str) -> Period:
    try:
        start, final = date.fromisoformat(first), date.fromisoformat(last)
        end = final + timedelta(days=1)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} names a day that no calendar has", _ADVICE) from None
    if final < start:
        raise UsageError(f"{text!r} ends before it begins", _ADVICE)
    return Period(text, _midnight(start), _midnight(end))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
