"""Cron expressions as each dialect reads them: which seconds of the day, which days.

Promises: what a dialect refuses, or reads in a way that nobody means, is told in words instead of read; of an
expression without a fault the fields are those that Prefect's and Airflow's `croniter`, or Debian's cron, see. The
fields are read by `cronsim`, from a form of the expression in which all of them agree.

Facts of `croniter` (found by experiment and in its source, held by tests):

- The sixth field are seconds, and comes last. There Sunday is 0 alone; with five fields 7 as well.
- A range of a value to itself means the whole field; ranges may wrap (`22-4`, `fri-mon`); `10/5` runs to the end.
- Day of month and day of week hold either-or unless one is `*`; `*/2` is not `*`, unlike for Debian's cron.
- `L` is the last day, `L5` the last Friday, `mon#2` the second Monday. A day of month beside these is ignored.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from cronsim import CronSim, CronSimError

from muster.cutover.clocks import Mask, Seconds
from muster.cutover.schedule import Dialect

LAST: int = CronSim.LAST
_ALIASES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_ITEM = re.compile(r"(?P<low>\d{1,2}|[a-z]{3})(?:-(?P<high>\d{1,2}|[a-z]{3}))?(?:/(?P<step>\d{1,2}))?")
_EVERY = re.compile(r"\*(?:/(?P<step>\d{1,2}))?")
_LAST_WEEKDAY = re.compile(r"l([0-7])")
_NTH_WEEKDAY = re.compile(r"([0-7]|[a-z]{3})#([1-5])")
_ANY_MOMENT = datetime(2020, 1, 1)
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: dict[str, int] = {}  # noqa: RUF012 - a field of a named tuple


_MINUTE, _HOUR = _Field("minute", 0, 59), _Field("hour", 0, 23)
_DAY, _MONTH = _Field("day of month", 1, 31), _Field("month", 1, 12, _MONTHS)
_WEEKDAY, _SECOND = _Field("day of week", 0, 6, _WEEKDAYS), _Field("second", 0, 59)
_FIELDS = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY, _SECOND)


class Pattern(NamedTuple):
    """An expression as read."""

    times: Seconds
    """Seconds of the day, ascending."""
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """Sunday is 0."""
    numbered: frozenset[tuple[int, int]]
    """Weekday, and the how manieth of its month; `LAST` for the last."""
    is_either: bool
    """Day of month or day of week holds; else both must."""
    is_wild: bool
    """Debian's cron starts it whenever clocks show it: minute or hour begin with `*`."""
    has_all_hours: bool


@lru_cache(maxsize=65536)
def pattern_of(expression: str, dialect: Dialect, day_or: bool = True) -> Pattern:
    """An expression as a dialect reads it; `ValueError` with the fault in words."""
    fields = _split(expression, dialect)
    read = _read_by_cron if dialect is Dialect.CRON else _read_by_croniter
    plain = [",".join(read(item, field, len(fields)) for item in text.split(",") if _is_fit(text, field))
             for text, field in zip(fields, _FIELDS, strict=False)]  # fmt: skip
    try:
        sim = CronSim(" ".join([plain[5] if len(plain) > 5 else "0", *plain[:5]]), _ANY_MOMENT)
    except CronSimError as error:  # all else was looked at before
        raise ValueError("never due: no month of it has such a day") from error
    weekdays = frozenset(day % 7 for day in sim.weekdays if isinstance(day, int))
    numbered = frozenset((day[0] % 7, day[1]) for day in sim.weekdays if not isinstance(day, int))
    if numbered and weekdays:
        raise ValueError("days of the week and numbered ones cannot be mixed")
    minutes = [hour * 60 + minute for hour in sorted(sim.hours) for minute in sorted(sim.minutes)]
    times = [minute * 60 + second for minute in minutes for second in sorted(sim.seconds)]
    found = Pattern(
        np.array(times, np.int64), frozenset(sim.days), frozenset(sim.months), weekdays, numbered,
        _is_either(fields, sim, dialect, day_or), fields[0][0] == "*" or fields[1][0] == "*", len(sim.hours) == 24,
    )  # fmt: skip
    _refuse_never_due(found, dialect)
    return found


def _split(expression: str, dialect: Dialect) -> list[str]:
    lower = expression.strip().lower()
    fields = _ALIASES.get(lower, lower).split()
    if len(fields) == 6 and dialect is Dialect.CRON:
        raise ValueError("Debian's cron knows no seconds: five fields are asked for")
    if len(fields) not in (5, 6):
        raise ValueError("five fields are asked for: minute, hour, day of month, month, day of week")
    if dialect is not Dialect.CRON:
        fields = ["*" if text == "?" and number in (2, 4) else text for number, text in enumerate(fields)]
    return fields


def _is_fit(text: str, field: _Field) -> bool:
    if "," in text and (text.startswith("*") or ",*" in text or "l" in text.split(",")):
        raise ValueError(f"{field.name}: {text!r} mixes a list with all or the last of them")
    return True


def _number(text: str, field: _Field, highest: int) -> int:
    number = field.names.get(text, -1) if text.isalpha() else int(text)
    if not field.low <= number <= highest:
        raise ValueError(f"{field.name}: {text!r} is none")
    return number


def _parts(item: str, field: _Field, highest: int) -> tuple[int, int | None, str]:
    """First, last and `/step` of an item."""
    match = _ITEM.fullmatch(item)
    if match is None:
        raise ValueError(f"{field.name}: {item!r} is no number, name, range or step that can be read")
    if match["step"] and int(match["step"]) == 0:
        raise ValueError(f"{field.name}: {item!r} has a step of nothing")
    high = _number(match["high"], field, highest) if match["high"] else None
    return _number(match["low"], field, highest), high, f"/{int(match['step'])}" if match["step"] else ""


def _every(item: str, field: _Field) -> str:
    match = _EVERY.fullmatch(item)
    if match is None or (match["step"] and int(match["step"]) == 0):
        raise ValueError(f"{field.name}: {item!r} is no step that can be read")
    return item if match["step"] is None else f"{field.low}-{field.high}/{int(match['step'])}"


def _read_by_cron(item: str, field: _Field, _count: int) -> str:
    if item.startswith("*"):
        return _every(item, field)
    low, high, step = _parts(item, field, 7 if field is _WEEKDAY else field.high)
    if high is None:
        if step:
            raise ValueError(f"{field.name}: {item!r} is a step from a lone value, which Debian's cron does not read")
        return str(low)
    if high < low:
        raise ValueError(f"{field.name}: {item!r} is a range that wraps, which Debian's cron does not read")
    return f"{low}-{high}{step}"


def _read_by_croniter(item: str, field: _Field, count: int) -> str:
    if item.startswith("*"):
        return _every(item, field)
    if field is _DAY and item == "l":
        return "L"
    highest = 7 if field is _WEEKDAY and count == 5 else field.high
    if field is _WEEKDAY and (match := _LAST_WEEKDAY.fullmatch(item)):
        return f"{_number(match[1], field, highest)}L"
    if field is _WEEKDAY and (match := _NTH_WEEKDAY.fullmatch(item)):
        return f"{_number(match[1], field, highest)}#{match[2]}"
    low, high, step = _parts(item, field, highest)
    if field is _WEEKDAY:
        return _weekdays_of_croniter(item, low % 7, None if high is None else high % 7, step, (low, high) == (0, 7))
    return _range_of_croniter(item, field, low, high, step)


def _weekdays_of_croniter(item: str, low: int, high: int | None, step: str, is_week: bool) -> str:
    if is_week:
        return f"0-6{step}"
    if high == 0 and low > 0:
        return f"{low}-7{step}"
    return _range_of_croniter(item, _WEEKDAY, low, high, step)


def _range_of_croniter(item: str, field: _Field, low: int, high: int | None, step: str) -> str:
    if high is None:
        if not step:
            return str(low)
        high = field.high
    if low == high:
        raise ValueError(f"{field.name}: {item!r} is a range of a value to itself, which is read as all of them")
    if low < high:
        return f"{low}-{high}{step}"
    if step:
        raise ValueError(f"{field.name}: {item!r} is a range that wraps, with a step")
    return f"{low}-{field.high},{field.low}-{high}"


def _is_either(fields: list[str], sim: CronSim, dialect: Dialect, day_or: bool) -> bool:
    day, weekday = fields[2], fields[4]
    if dialect is Dialect.CRON:
        is_either = not (day.startswith("*") or weekday.startswith("*"))
    else:
        is_whole_week = {each % 7 for each in sim.weekdays if isinstance(each, int)} == set(range(7))
        is_either = not (_is_all(day, len(sim.days) == 31, weekday) or _is_all(weekday, is_whole_week, day))
        if is_either and day_or and not all(isinstance(each, int) for each in sim.weekdays):
            raise ValueError("a day of the month beside a numbered day of the week is ignored")
    if is_either and not day_or and dialect is not Dialect.PREFECT:
        raise ValueError("day of month and day of week cannot both be asked for: either holds")
    return is_either and day_or


def _is_all(text: str, is_full: bool, other: str) -> bool:
    return text == "*" or (is_full and "*" in other)


def _refuse_never_due(pattern: Pattern, dialect: Dialect) -> None:
    longest = max(_LENGTHS[month - 1] for month in pattern.months)
    if min(pattern.days) > longest and not (pattern.is_either and dialect is Dialect.CRON):
        raise ValueError(f"never due: no month of it has a day {min(pattern.days)}")


class Calendar:
    """Days in a row, and what a pattern asks of them."""

    def __init__(self, first: int, last: int) -> None:
        """Days since 1970, both included."""
        self.numbers = np.arange(first, last + 1, dtype=np.int64)
        days = self.numbers.astype("datetime64[D]")
        months = days.astype("datetime64[M]")
        begins = months.astype("datetime64[D]")
        self.month = months.astype(np.int64) % 12 + 1
        self.day = (days - begins).astype(np.int64) + 1
        self.length = ((months + 1).astype("datetime64[D]") - begins).astype(np.int64)
        self.weekday = (self.numbers + 4) % 7

    def is_month(self, pattern: Pattern) -> Mask:
        """Days in its months."""
        return np.isin(self.month, list(pattern.months))

    def is_day(self, pattern: Pattern) -> Mask:
        """Days whose number in the month it asks for."""
        found: Mask = np.isin(self.day, list(pattern.days))
        return found | (self.day == self.length) if LAST in pattern.days else found

    def is_weekday(self, pattern: Pattern) -> Mask:
        """Days of the week that it asks for."""
        found = np.isin(self.weekday, list(pattern.weekdays))
        for weekday, number in pattern.numbered:
            is_nth = self.day + 7 > self.length if number == LAST else (self.day + 6) // 7 == number
            found |= (self.weekday == weekday) & is_nth
        return found

    def matching(self, pattern: Pattern) -> Mask:
        """Days on which it is due."""
        days, weekdays = self.is_day(pattern), self.is_weekday(pattern)
        found: Mask = self.is_month(pattern) & (days | weekdays if pattern.is_either else days & weekdays)
        return found
