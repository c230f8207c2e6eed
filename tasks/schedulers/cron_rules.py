"""Rules as Debian's cron reads them: five fields, on the clock of one time zone.

Promises: a rule becomes five fields only where both mean the same moments; else `Untellable` says why not. Nights on
which clocks change are left to the dialects. Cron takes day of month *or* day of week where both are set, unless one
of them begins with `*`, such as `*/2`: then both must hold. Source: crontab(5), cron(8).
"""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from crontab import SPECIALS, CronSlice, CronSlices

from muster.cutover.schedule import CalendarRule, CronRule, IntervalRule, RecurrenceRule, Rule
from tasks.schedulers.calendar_rules import as_cron
from tasks.schedulers.untellable import Untellable
from tasks.schedulers.zones import is_steady, same_clock, whole_hours_apart

_HOUR, _DAY, _WEEK = 3600, 86400, 7 * 86400
_LAST = (59, 23, 31, 12, 6)
_ALL_DAYS = {2: "1-31", 4: "0-6"}
_FOREIGN = re.compile(r"[^0-9a-zA-Z*,/-]")


def rule_of(when: str, zone: str) -> CronRule:
    """What a crontab says, as a rule; `Untellable` where it has no ticks, or none that could be known."""
    if when.startswith("@"):
        if when.lower() == "@reboot":
            raise Untellable("@reboot starts with the machine: it has no ticks")
        if when.lower()[1:] not in SPECIALS:
            raise Untellable(f"cron knows no {when}")
        when = SPECIALS[when.lower()[1:]]
    if "~" in when:
        raise Untellable(f"{when!r}: `~` is drawn by lot whenever cron reads the file")
    fields = when.split()
    _require_valid(fields)
    return CronRule(expression=" ".join(fields), timezone=zone, day_or=not (_both(fields) and _starred(fields)))


def fields_of(rule: Rule, zone: str) -> str:
    """Five fields that mean the same, for a cron whose clock is that of this zone; else `Untellable`."""
    match rule:
        case IntervalRule():
            return _of_interval(rule, zone)
        case CalendarRule():
            return _of_cron(CronRule(expression=as_cron(rule), timezone=rule.timezone, day_or=False), zone)
        case CronRule():
            return _of_cron(rule, zone)
        case RecurrenceRule():
            raise Untellable("a recurrence rule (RFC 5545)")


def values_of(number: int, field: str) -> list[int]:
    """What a field stands for, in numbers; the fields are numbered from 0, Sunday is 0."""
    return sorted({int(value) for value in CronSlice(number, field)})


def _of_cron(rule: CronRule, zone: str) -> str:
    expression = rule.expression.strip()
    if expression.lower().removeprefix("@") in SPECIALS:
        expression = SPECIALS[expression.lower().removeprefix("@")]
    fields = expression.split()
    if len(fields) != 5:
        raise Untellable(f"{rule.expression!r} has {len(fields)} fields: cron has five, and knows no seconds")
    fields = [_plain(number, field) for number, field in enumerate(fields)]
    _require_valid(fields)
    if not same_clock(rule.timezone, zone) and not (fields[1:] == ["*"] * 4 and whole_hours_apart(rule.timezone, zone)):
        raise Untellable(f"it is due on the clock of {rule.timezone}, and cron has that of {zone}")
    return " ".join(_with_days(fields, day_or=rule.day_or))


def _plain(number: int, field: str) -> str:
    """Without what other readers of cron understand, where it can be said otherwise."""
    if field == "?" and number in {2, 4}:
        return "*"
    return ",".join(re.sub(r"^(\w+)/", rf"\1-{_LAST[number]}/", item) for item in field.split(","))


def _require_valid(fields: list[str]) -> None:
    expression = " ".join(fields)
    if len(fields) != 5 or _FOREIGN.search("".join(fields)) or not CronSlices.is_valid(expression):
        raise Untellable(f"cron, or whoever reads it elsewhere, does not take {expression!r}")


def _both(fields: list[str]) -> bool:
    return fields[2] != "*" and fields[4] != "*"


def _starred(fields: list[str]) -> bool:
    return fields[2].startswith("*") or fields[4].startswith("*")


def _with_days(fields: list[str], *, day_or: bool) -> list[str]:
    """The same days, with a `*` in front where cron needs one to ask for both, and none where it must not."""
    if not _both(fields) or day_or != _starred(fields):
        return fields
    turned = list(fields)
    for number, every in _ALL_DAYS.items():
        old, new = ("*/", f"{every}/") if day_or else (f"{every}/", "*/")
        if turned[number].startswith(old):
            turned[number] = new + turned[number].removeprefix(old)
    if day_or == _starred(turned):
        raise Untellable(f"cron has no words for both of the days of {' '.join(fields)!r}")
    return turned


def _of_interval(rule: IntervalRule, zone: str) -> str:
    seconds, anchor = rule.seconds, rule.anchor
    if seconds % 60 or anchor.second or anchor.microsecond:
        raise Untellable(f"every {seconds:g} s from {anchor:%H:%M:%S} on: cron knows whole minutes alone")
    if seconds % _DAY == 0:
        return _of_days(rule, anchor.astimezone(ZoneInfo(rule.timezone)), zone)
    at, minutes = anchor.astimezone(ZoneInfo(zone)), int(seconds) // 60
    if not whole_hours_apart(zone, "UTC") and not is_steady(zone):
        raise Untellable(f"the clock of {zone} is put forward by less than an hour")
    if _HOUR % seconds == 0:
        return f"{_every(at.minute % minutes, minutes, 59)} * * * *"
    if seconds % _HOUR == 0 and _DAY % seconds == 0:
        if not is_steady(zone):
            raise Untellable(f"every {minutes // 60} h whatever the clock shows, and the clock of {zone} is changed")
        return f"{at.minute} {_every(at.hour % (minutes // 60), minutes // 60, 23)} * * *"
    raise Untellable(f"every {minutes} min: that divides neither an hour nor a day")


def _of_days(rule: IntervalRule, at: datetime, zone: str) -> str:
    if not same_clock(rule.timezone, zone):
        raise Untellable(f"it is due on the clock of {rule.timezone}, and cron has that of {zone}")
    if rule.seconds == _DAY:
        return f"{at.minute} {at.hour} * * *"
    if rule.seconds == _WEEK:
        return f"{at.minute} {at.hour} * * {at.isoweekday() % 7}"
    raise Untellable(f"every {rule.seconds / _DAY:g} days: cron counts them anew each month")


def _every(first: int, step: int, last: int) -> str:
    if step == 1:
        return "*"
    if first + step > last:
        return str(first)
    return f"*/{step}" if first == 0 else f"{first}-{last}/{step}"
