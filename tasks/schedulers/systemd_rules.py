"""Rules as systemd's timers read them: one calendar expression, with a time zone of its own.

Promise: a rule becomes an expression only where both mean the same moments; else `Untellable` says why not. Source:
systemd.time(7). Cron's "day of month or day of week" would take two expressions, which one timer can have and one
schedule cannot.
"""

from muster.cutover.schedule import CalendarRule, CronRule, IntervalRule, Rule
from tasks.schedulers.calendar_rules import as_calendar
from tasks.schedulers.cron_rules import fields_of, values_of
from tasks.schedulers.untellable import Untellable
from tasks.schedulers.zones import is_zone

_DAY = 86400


def rule_of(written: str, zone: str) -> CalendarRule:
    """What an `OnCalendar=` says; without a zone of its own it is due on this one's clock."""
    expression, _, last = written.strip().rpartition(" ")
    if expression and is_zone(last):
        return CalendarRule(expression=expression.strip(), timezone=last)
    return CalendarRule(expression=written.strip(), timezone=zone)


def calendar_of(rule: Rule, zone: str) -> str:
    """An `OnCalendar=` that means the same on a machine with the clock of this zone; else `Untellable`."""
    if isinstance(rule, CalendarRule):
        expression, own = rule.expression, rule.timezone
    elif isinstance(rule, IntervalRule):
        own = rule.timezone if rule.seconds % _DAY == 0 else "UTC"
        expression = _of_seconds(rule) or _of_cron(fields_of(rule, own), day_or=True)
    else:
        own = rule.timezone
        expression = _of_cron(fields_of(rule, own), day_or=not isinstance(rule, CronRule) or rule.day_or)
    return expression if own == zone else f"{expression} {own}"


def _of_seconds(rule: IntervalRule) -> str:
    """Parts of a minute, which cron does not know."""
    if rule.seconds != int(rule.seconds) or 60 % rule.seconds or rule.seconds == 60 or rule.anchor.microsecond:
        return ""
    return f"*-*-* *:*:{rule.anchor.second % int(rule.seconds)}/{int(rule.seconds)}"


def _of_cron(expression: str, *, day_or: bool) -> str:
    """Of five valid fields."""
    fields = expression.split()
    is_both = fields[2] != "*" and fields[4] != "*"
    if is_both and day_or:
        raise Untellable("day of month or day of week: systemd starts where both hold")
    months = fields[3] if not fields[3].upper().isupper() else ",".join(map(str, values_of(3, fields[3])))
    weekdays = None if fields[4] == "*" else values_of(4, fields[4])
    return as_calendar([*fields[:3], months], weekdays)
