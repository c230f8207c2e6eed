"""systemd's calendar expressions, to and from the five fields of cron.

Promises: an expression is translated only where both mean the same moments; else `Untellable` says why not. Both of
day and weekday must hold in systemd. Source: systemd.time(7), "Calendar Events".
"""

import re

from muster.cutover.schedule import CalendarRule
from tasks.schedulers.untellable import Untellable

DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_WORDS = {
    "minutely": "* * * * *",
    "hourly": "0 * * * *",
    "daily": "0 0 * * *",
    "weekly": "0 0 * * 1",
    "monthly": "0 0 1 * *",
    "quarterly": "0 0 1 1,4,7,10 *",
    "semiannually": "0 0 1 1,7 *",
    "yearly": "0 0 1 1 *",
    "annually": "0 0 1 1 *",
}
_FORM = re.compile(
    r"(?:(?P<days>[A-Za-z][A-Za-z,.]*),?(?:\s+|$))?"
    r"(?:(?:(?P<year>[^\s:-]+)-)?(?P<month>[^\s:-]+)-(?P<day>[^\s:-]+)(?:\s+|$))?"
    r"(?:(?P<hour>[^\s:-]+):(?P<minute>[^\s:-]+)(?::(?P<second>[^\s:-]+))?)?"
)
_LAST = {"minute": 59, "hour": 23, "day": 31, "month": 12}


def as_cron(rule: CalendarRule) -> str:
    """Five fields for the same moments, where both of day and weekday must hold."""
    expression = rule.expression.strip()
    if expression.lower() in _WORDS:
        return _WORDS[expression.lower()]
    match = _FORM.fullmatch(expression)
    if not expression or match is None:
        raise Untellable(f"{expression!r} has no five fields")
    part = match.groupdict()
    if part["year"] not in {None, "*"} or (part["second"] or "0").strip("0"):
        raise Untellable(f"{expression!r} names a year, or seconds")
    if part["hour"] is None:
        part.update(hour="0", minute="0")
    days = part["days"]
    fields = [_field(name, part[name] or "*") for name in ("minute", "hour", "day", "month")]
    return " ".join([*fields, _weekdays(days) if days else "*"])


def as_calendar(fields: list[str], weekdays: list[int] | None) -> str:
    """An expression for the same moments; `weekdays` from Sunday, 0, or `None`: all. The fields are valid."""
    minute, hour, day, month = (_component(field, first) for field, first in zip(fields, (0, 0, 1, 1), strict=False))
    named = ",".join(DAYS[number] for number in weekdays) + " " if weekdays is not None else ""
    return f"{named}*-{month}-{day} {hour}:{minute}:00"


def _field(name: str, component: str) -> str:
    items = []
    for item in component.split(","):
        match = re.fullmatch(r"(\*|\d+)(?:\.\.(\d+))?(?:/(\d+))?", item)
        if match is None:
            raise Untellable(f"{component!r} has no word in cron")
        low, high, step = match.groups()
        low = low if low == "*" else str(int(low))
        if high is not None:
            low = f"{low}-{int(high)}"
        elif step is not None and low != "*":
            low = "*" if low == "0" else f"{low}-{_LAST[name]}"
        items.append(f"{low}/{int(step)}" if step is not None else low)
    return ",".join(items)


def _weekdays(days: str) -> str:
    words = re.sub(r"[A-Za-z]+", lambda word: word[0][:3].title(), days).rstrip(",")
    if not all(word in DAYS for word in re.findall(r"[A-Za-z]+", words)):
        raise Untellable(f"{days!r} are no weekdays")
    numbered = re.sub(r"[A-Za-z]+", lambda word: str(DAYS.index(word[0])), words)
    return re.sub(r"\b0$", "7", numbered.replace("..", "-")) if ".." in numbered else numbered


def _component(field: str, first: int) -> str:
    """A field without names, in systemd's words."""
    return ",".join(
        item.replace("*/", f"{first}/").replace("-", "..") if item != "*" else "*" for item in field.split(",")
    )
