"""Intervals as moments, as Prefect 3.8 and Airflow count them.

Promises: pure; moments are whole microseconds since 1970, ascending, each once, before the anchor too.

Prefect jumps from the anchor to the start it is asked from by elapsed time, and only walks on from there. Below a day,
or in UTC, that is a plain grid. From a day on the walk, and nothing else, keeps the clock's time: a daily run of 09:00
is due at 09:00 on the day clocks change, and from the next day on an hour earlier or later, until they change back; a
skipped time as much later as clocks jump, one that comes twice the second time. What was made ahead by the old count
stays, so that runs after a change may come twice.

Ticks are what one gets by asking anew after each tick. On the days after a change that depends on when the scheduler
has asked: all its answers are in `interval_doubts`. Airflow adds intervals to a moment in UTC: the plain grid.
"""

from datetime import timedelta

import numpy as np

from muster.cutover.clocks import DAY, EPOCH, Seconds, Shift, micros_of, moment_of, shifts, zone_of
from muster.cutover.schedule import Dialect, IntervalRule

_SECOND = 1_000_000
_AHEAD = 3
"""Runs that Prefect makes ahead, unless its server is told otherwise (`min_runs`)."""


def interval_moments(rule: IntervalRule, dialect: Dialect, low: int, high: int) -> Seconds:
    """Due times in (low, high], in microseconds."""
    anchor, step = micros_of(rule.anchor), _step(rule)
    found = anchor + step * np.arange((low - anchor) // step + 1, (high - anchor) // step + 1, dtype=np.int64)
    for begin, end in _spans(rule, _changes(rule, dialect, low, high)):
        around = [at for at in _asked_anew(rule, begin, end) if low < at <= high]
        found = np.union1d(found[(found <= begin) | (found > end)], np.array(around, np.int64))
    return found


def interval_doubts(rule: IntervalRule, dialect: Dialect, low: int, high: int) -> Seconds:
    """Moments in (low, high] at which Prefect may or may not start a run, in microseconds."""
    found: set[int] = set()
    for shift in _changes(rule, dialect, low, high):
        found |= _answers(rule, shift)
    return np.array(sorted(at for at in found if low < at <= high), np.int64)


def _changes(rule: IntervalRule, dialect: Dialect, low: int, high: int) -> list[Shift]:
    if dialect is not Dialect.PREFECT or _step(rule) < DAY * _SECOND:
        return []
    reach = (_AHEAD + 3) * (_step(rule) // _SECOND) + 3 * DAY
    return shifts(rule.timezone, low // _SECOND - reach, high // _SECOND + reach)


def _step(rule: IntervalRule) -> int:
    return timedelta(seconds=rule.seconds) // timedelta(microseconds=1)


def _spans(rule: IntervalRule, changes: list[Shift]) -> list[tuple[int, int]]:
    """From a point of the plain grid before each change to one after it: outside, answers are on the grid."""
    anchor, step = micros_of(rule.anchor), _step(rule)
    found: list[tuple[int, int]] = []
    for shift in changes:
        last = anchor + (shift.at * _SECOND - anchor) // step * step
        begin, end = last - step, last + 3 * step
        if found and begin <= found[-1][1]:
            begin = found.pop()[0]
        found.append((begin, end))
    return found


def _asked_anew(rule: IntervalRule, begin: int, end: int) -> list[int]:
    found, at = [], begin
    while (at := _answer(rule, at + 1, 1)[0]) <= end:
        found.append(at)
    return found


def _answer(rule: IntervalRule, start: int, count: int) -> list[int]:
    """The first due times from a start on, as Prefect walks there."""
    anchor, step = micros_of(rule.anchor), _step(rule)
    away = abs(start - anchor) // step * step
    due = anchor + (away if start >= anchor else -away)
    while due < start:
        due = _walk(rule, due)
    found = [due]
    while len(found) < count:
        found.append(due := _walk(rule, due))
    return found


def _walk(rule: IntervalRule, due: int) -> int:
    """One interval on, by the face of the clock."""
    zone = zone_of(rule.timezone)
    face = (moment_of(0) + timedelta(microseconds=due)).astimezone(zone).replace(tzinfo=None)
    later = (face + timedelta(microseconds=_step(rule))).replace(tzinfo=zone)
    early, late = (later.replace(fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    # Of two moments the second; a skipped face, by the offset before the jump, is as much later.
    return micros_of(later.replace(tzinfo=EPOCH.tzinfo) - min(early, late))


def _answers(rule: IntervalRule, shift: Shift) -> set[int]:
    """Whatever Prefect may make after a change, however often it is asked, until all is on the grid again."""
    ((begin, end),) = _spans(rule, [shift])
    known, fresh = {begin}, {begin}
    while fresh:
        answers = {at for ask in fresh for start in (ask, ask + 1) for at in _answer(rule, start, _AHEAD)}
        fresh = {at for at in answers if at < end + _AHEAD * _step(rule)} - known
        known |= fresh
    after = {at for at in known if at > shift.at * _SECOND}
    is_plain = all((at - begin) % _step(rule) == 0 for at in after)
    return set() if is_plain else after
