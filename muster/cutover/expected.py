"""Which ticks to expect: due times computed apart from every scheduler, the way each of them reads a rule.

Promises: pure, and without Prefect, croniter or Airflow; every moment is aware and UTC, ascending, each once; the
answer for a window is the same whether it is asked whole or in parts. Ticks that nobody can be sure of, because
schedulers of one dialect differ or their answer depends on when they are asked, are in `doubtful` as well: of those a
drill says "cannot be said" instead of "wrong".

What each dialect does on days on which clocks change is told, and its sources, in `crondays`, `intervals`, `recurring`.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfoNotFoundError

import numpy as np

from muster.cutover.clocks import DAY, EPOCH, Seconds, micros_of, zone_of
from muster.cutover.crondays import cron_doubts, cron_moments
from muster.cutover.cronfields import pattern_of
from muster.cutover.intervals import interval_doubts, interval_moments
from muster.cutover.recurring import fault_in_recurrence, recurrence_moments
from muster.cutover.schedule import CalendarRule, CronRule, Dialect, IntervalRule, RecurrenceRule, Rule, Schedule, Tick
from muster.errors import UsageError

_SECOND = 1_000_000
_AT_FIRST, _AT_ONCE, _GROWTH = 2_000, 100_000, 4
"""Ticks that are computed together, about."""


class NotComputable(UsageError):
    """The rule may be right, but only its own scheduler can say when it is due."""


def fault_in(rule: Rule, dialect: Dialect) -> str:
    """Why a rule cannot be read in a dialect; empty for none."""
    if isinstance(rule, CalendarRule):
        return "" if dialect is Dialect.SYSTEMD else f"{dialect} does not read OnCalendar expressions"
    if dialect is Dialect.SYSTEMD:
        return "systemd reads OnCalendar expressions alone"
    try:
        zone_of(rule.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"no time zone is called {rule.timezone!r}"
    if isinstance(rule, CronRule):
        return _fault_in_cron(rule, dialect)
    if isinstance(rule, IntervalRule):
        return _fault_in_interval(rule, dialect)
    return fault_in_recurrence(rule.text) if dialect is Dialect.PREFECT else f"{dialect} has no recurrence rules"


def _fault_in_cron(rule: CronRule, dialect: Dialect) -> str:
    try:
        pattern_of(rule.expression, dialect, rule.day_or)
    except ValueError as error:
        return str(error)
    return ""


def _fault_in_interval(rule: IntervalRule, dialect: Dialect) -> str:
    if dialect is Dialect.CRON:
        return "cron has no intervals"
    return "" if rule.seconds * _SECOND >= 1 else "below a microsecond"


def ticks(rule: Rule, dialect: Dialect, after: datetime, until: datetime) -> Iterator[datetime]:
    """Every due time in (after, until]; `UsageError` for a rule with a fault, `NotComputable` for OnCalendar."""
    _refuse(rule, dialect)
    return _moments_in_parts(rule, dialect, micros_of(after), micros_of(until))


def doubtful(rule: Rule, dialect: Dialect, after: datetime, until: datetime) -> list[datetime]:
    """Moments in (after, until] at which it cannot be said whether the rule is due, whether in `ticks` or not."""
    _refuse(rule, dialect)
    low, high = micros_of(after), micros_of(until)
    if isinstance(rule, IntervalRule):
        return _moments(interval_doubts(rule, dialect, low, high))
    if isinstance(rule, CronRule):
        pattern = pattern_of(rule.expression, dialect, rule.day_or)
        return _moments(cron_doubts(pattern, rule.timezone, dialect, low // _SECOND, high // _SECOND) * _SECOND)
    return []


def ticks_of(schedules: Iterable[Schedule], dialect: Dialect, after: datetime, until: datetime) -> list[Tick]:
    """The ticks of all active schedules in (after, until], by moment and name."""
    low, high = micros_of(after), micros_of(until)
    active = sorted((each for each in schedules if each.active), key=lambda each: each.name)
    for each in active:
        _refuse(each.rule, dialect)
    found = [_computed(each.rule, dialect, low, high) for each in active]
    if not found:
        return []
    owners = np.repeat(np.arange(len(found)), [len(each) for each in found])
    all_of_them = np.concatenate(found)
    order = np.argsort(all_of_them, kind="stable")  # names are in order already
    names = [each.name for each in active]
    owned = (names[owner] for owner in owners[order].tolist())
    return list(map(Tick, owned, _moments(all_of_them[order])))


def _moments_in_parts(rule: Rule, dialect: Dialect, low: int, high: int) -> Iterator[datetime]:
    """Windows grow: who asks for a few ticks does not wait for many, and how dense a rule is only asking tells."""
    width, widest = _first_width(rule, dialect), 3660 * DAY * _SECOND
    while low < high:
        until = min(low + width, high)
        found = _moments(_computed(rule, dialect, low, until))
        yield from found
        low = until
        if len(found) < _AT_ONCE:
            width = min(_GROWTH * width, widest)


def _first_width(rule: Rule, dialect: Dialect) -> int:
    """Microseconds of a window that holds not too many ticks."""
    if isinstance(rule, IntervalRule):
        return max(round(rule.seconds * _SECOND) * _AT_FIRST, DAY * _SECOND)
    if isinstance(rule, CronRule):
        times = len(pattern_of(rule.expression, dialect, rule.day_or).times)
        return max(_AT_FIRST // times, 1) * DAY * _SECOND
    return DAY * _SECOND


def _computed(rule: Rule, dialect: Dialect, low: int, high: int) -> Seconds:
    if isinstance(rule, IntervalRule):
        return interval_moments(rule, dialect, low, high)
    if isinstance(rule, CronRule):
        pattern = pattern_of(rule.expression, dialect, rule.day_or)
        return cron_moments(pattern, rule.timezone, dialect, low // _SECOND, high // _SECOND) * _SECOND
    assert isinstance(rule, RecurrenceRule)  # noqa: S101 - the rest was refused
    return recurrence_moments(rule, low // _SECOND, high // _SECOND) * _SECOND


def _refuse(rule: Rule, dialect: Dialect) -> None:
    if fault := fault_in(rule, dialect):
        raise UsageError(f"the rule cannot be read: {fault}", "write it another way, or leave its job out of the cut")
    if isinstance(rule, CalendarRule):
        raise NotComputable(
            f"when {rule.expression!r} is due, systemd alone can say", "ask the scheduler for its ticks"
        )


def _moments(micros: Seconds) -> list[datetime]:
    return [EPOCH + timedelta(microseconds=each) for each in micros.tolist()]
