"""Due times of cron expressions as moments, on days on which clocks change too.

Promises: pure; moments are whole seconds since 1970, ascending, each once, and do not depend on the window they are
asked for. Whoever else reads the expression is mirrored: what cannot be said of them is in `cron_doubts`.

Prefect 3.8 adds the distance between two faces of the clock to a start without a zone, and reads the face anew. So a
time that comes twice is due once, the first time, and an hourly rule pauses for two hours; a skipped time is due as
much earlier as clocks jump (02:30 at 01:30) by a server on Python 3.11 and 3.12, and so much later by one on 3.13,
which is why it is in doubt. Of the start it is asked from none of that depends, as long as that is before the jump. One
thing does: `croniter` steps over 1 (or 2) March on its way from February to a listed day 30 or 31, unless it is asked
after midnight.

Debian's cron (cron(8), its loop): a job with `*` in minute or hour starts whenever clocks show it: twice in an hour
that comes twice, never in one that is skipped. Any other is not run again, and what was skipped starts at the jump, if
that is below three hours; several skipped times of one job start one after the other there. When a zone changes its
offset and not its season, cron may go on by the old offset until its next start.

Airflow 3 (`timetables/_cron.py`): a job that is due in every hour counts real time: from its last tick before a jump
the distance between faces. Any other is due the second time of two; a skipped one as much later as clocks jump.
"""

import numpy as np

from muster.cutover.clocks import DAY, Mask, Seconds, Shift, shifts, shown, within, without
from muster.cutover.cronfields import Calendar, Pattern
from muster.cutover.schedule import Dialect

_MARGIN = 2 * DAY
_LATE, _MINUTE = 3 * 3600, 60
"""Debian's cron takes a jump of three hours for a correction."""


def cron_moments(pattern: Pattern, timezone: str, dialect: Dialect, low: int, high: int) -> Seconds:
    """Due times in (low, high]."""
    faces = _faces(pattern, low, high, dialect)
    found = shown(faces, timezone, low - _MARGIN, high + _MARGIN)
    for shift in shifts(timezone, low - _MARGIN, high + _MARGIN):
        found = _mend(found, faces, shift, pattern, dialect)
    return within(np.unique(found) if timezone != "UTC" else found, low + 1, high + 1)


def cron_doubts(pattern: Pattern, timezone: str, dialect: Dialect, low: int, high: int) -> Seconds:
    """Moments in (low, high] at which it cannot be said whether it is due."""
    found = [_stepped_over(pattern, timezone, dialect, low, high)]
    reach = 370 * DAY if dialect is Dialect.AIRFLOW and pattern.has_all_hours else _MARGIN
    for shift in shifts(timezone, low - reach, high + _MARGIN):
        found.append(_DOUBTS[dialect](pattern, timezone, shift))
    if dialect is Dialect.CRON:
        found += _by_the_old_offset(pattern, timezone, low, high)
    return within(np.unique(np.concatenate(found)), low + 1, high + 1)


def _faces(pattern: Pattern, low: int, high: int, dialect: Dialect) -> Seconds:
    calendar = Calendar((low - 2 * _MARGIN) // DAY, (high + 2 * _MARGIN) // DAY)
    matching = calendar.matching(pattern)
    if dialect is not Dialect.CRON:
        matching &= ~_is_passed(calendar, pattern)
    return _times(calendar.numbers[matching], pattern)


def _times(days: Seconds, pattern: Pattern) -> Seconds:
    return (days[:, None] * DAY + pattern.times).ravel()


def _mend(found: Seconds, faces: Seconds, shift: Shift, pattern: Pattern, dialect: Dialect) -> Seconds:
    """What a dialect makes of a shift, of what clocks show around it."""
    skipped = within(faces, *shift.skipped)
    if dialect is Dialect.PREFECT:
        return _merge(without(found, *shift.second_pass), skipped - shift.after)
    if dialect is Dialect.CRON:
        return found if pattern.is_wild else _mend_fixed(found, skipped, shift)
    if pattern.has_all_hours:
        return _displace(found, faces, shift)
    first_pass = shift.at - max(-shift.gained, 0), shift.at
    return _merge(without(found, *first_pass), skipped - shift.before)


def _merge(found: Seconds, more: Seconds) -> Seconds:
    return np.union1d(found, more) if len(more) else found


def _mend_fixed(found: Seconds, skipped: Seconds, shift: Shift) -> Seconds:
    if -_LATE <= shift.gained < 0:
        return without(found, *shift.second_pass)
    return _merge(found, np.array([shift.at], np.int64)) if len(skipped) and shift.gained < _LATE else found


def _displace(found: Seconds, faces: Seconds, shift: Shift) -> Seconds:
    """The first tick after a shift is as far from the last before it as their faces are."""
    first, due = _displaced(found, faces, shift)
    if due is None or due - first > DAY:
        return found
    return _merge(without(found, shift.at, due), np.array([due], np.int64))


def _displaced(found: Seconds, faces: Seconds, shift: Shift) -> tuple[int, int | None]:
    """The last tick before a shift, and when the next is due by the distance of their faces."""
    index = int(np.searchsorted(found, shift.at))
    if not 0 < index < len(found):
        return 0, None
    last = int(found[index - 1])
    following = faces[np.searchsorted(faces, last + shift.before, side="right") :]
    return last, int(following[0]) - shift.before if len(following) else None


def _around(pattern: Pattern, timezone: str, dialect: Dialect, shift: Shift) -> tuple[Seconds, Seconds, Seconds]:
    """Faces around a shift, moments at which clocks show them, and ticks."""
    low, high = shift.at - _MARGIN, shift.at + _MARGIN
    faces = _faces(pattern, low, high, dialect)
    return faces, shown(faces, timezone, low, high), cron_moments(pattern, timezone, dialect, low, high)


def _doubts_of_prefect(pattern: Pattern, timezone: str, shift: Shift) -> Seconds:
    faces, seen, _ = _around(pattern, timezone, Dialect.PREFECT, shift)
    skipped = within(faces, *shift.skipped)
    return np.setdiff1d(np.union1d(skipped - shift.after, skipped - shift.before), seen)


def _doubts_of_cron(pattern: Pattern, timezone: str, shift: Shift) -> Seconds:
    faces, seen, _ = _around(pattern, timezone, Dialect.CRON, shift)
    first, end = shift.skipped
    started = len(within(faces, first, end)) + int(np.isin(shift.at, seen))
    is_mended = not pattern.is_wild and shift.gained < _LATE and len(within(faces, first, end)) > 0
    return np.array([shift.at] if is_mended and started > 1 else [], np.int64)


def _doubts_of_airflow(pattern: Pattern, timezone: str, shift: Shift) -> Seconds:
    if pattern.has_all_hours:
        return _doubts_of_airflow_hourly(pattern, timezone, shift)
    faces, seen, ticks = _around(pattern, timezone, Dialect.AIRFLOW, shift)
    _, end = shift.second_pass
    passes = within(np.union1d(seen, ticks), 2 * shift.at - end, end)
    return np.union1d(passes, np.setdiff1d(within(faces, *shift.skipped) - shift.before, seen))


def _doubts_of_airflow_hourly(pattern: Pattern, timezone: str, shift: Shift) -> Seconds:
    """Days may lie far apart: the next tick is looked for within a year."""
    reach = (
        _MARGIN if len(pattern.days) == 31 and len(pattern.months) == 12 and len(pattern.weekdays) == 7 else 370 * DAY
    )
    low, high = shift.at - reach, shift.at + reach
    faces = _faces(pattern, low, high, Dialect.AIRFLOW)
    found = within(shown(faces, timezone, low, high), low, high)
    _, due = _displaced(found, faces, shift)
    if due is None or (np.isin(due, found) and not len(within(found, shift.at, due))):
        return np.array([], np.int64)
    return np.append(within(found, shift.at, due), due)


_DOUBTS = {
    Dialect.PREFECT: _doubts_of_prefect,
    Dialect.CRON: _doubts_of_cron,
    Dialect.AIRFLOW: _doubts_of_airflow,
}


def _by_the_old_offset(pattern: Pattern, timezone: str, low: int, high: int) -> list[Seconds]:
    """After a zone has changed its offset and not its season: all ticks, by either offset, until a season begins."""
    known = shifts(timezone, low - 366 * DAY, high + _MARGIN)
    found = []
    for number, shift in enumerate(known):
        if not shift.is_of_season:
            end = next((later.at for later in known[number + 1 :] if later.is_of_season), high + 1)
            faces = _faces(pattern, shift.at - _MARGIN, max(end, shift.at), Dialect.CRON)
            old = within(faces - shift.before, shift.at, end)
            found += [old, shown(faces, timezone, shift.at, max(end, shift.at + 1))]
    return found


def _is_passed(calendar: Calendar, pattern: Pattern) -> Mask:
    """Days of March that `croniter` steps over when it comes from February."""
    passed = _may_be_passed(calendar, pattern)
    february = np.where(_is_leap(calendar), 29, 28)
    passed &= ~np.isin(february, list(pattern.days))
    return passed & ~calendar.is_weekday(pattern) if pattern.is_either else passed


def _may_be_passed(calendar: Calendar, pattern: Pattern) -> Mask:
    found = np.zeros(len(calendar.numbers), np.bool_)
    if not {2, 3} <= pattern.months or len(pattern.days) == 31:
        return found
    for february in (28, 29):
        late = [day for day in pattern.days if day > february]
        if late:
            found |= (_is_leap(calendar) == (february == 29)) & (calendar.day < min(late) - february)
    found &= (calendar.month == 3) & calendar.is_day(pattern)
    return found


def _is_leap(calendar: Calendar) -> Mask:
    years = calendar.numbers.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    found: Mask = (years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0))
    return found


def _stepped_over(pattern: Pattern, timezone: str, dialect: Dialect, low: int, high: int) -> Seconds:
    if dialect is Dialect.CRON:
        return np.array([], np.int64)
    calendar = Calendar((low - 2 * _MARGIN) // DAY, (high + 2 * _MARGIN) // DAY)
    days = calendar.numbers[_may_be_passed(calendar, pattern) & calendar.matching(pattern)]
    return shown(_times(days, pattern), timezone, low - _MARGIN, high + _MARGIN)
