"""Recurrence rules (RFC 5545) as moments, as Prefect 3.8 reads them.

Promises: pure; moments are whole seconds since 1970, ascending, each once. What comes after a date is computed by
`dateutil.rrule`, the very library that Prefect uses: this is no second opinion on it. How a rule is read, where it
begins, and what its times are as moments is ours:

- Without DTSTART it begins on 1 January 2020. Zones in the text are not heeded: all its times are faces of the
  schedule's own clocks, UNTIL and EXDATE as well. Hourly rules count faces, too.
- A time that comes twice is due the first time, a skipped one as much earlier as clocks jump.
- On days on which clocks change Prefect takes offsets from `dateutil.tz`, and so do we: in zones whose base offset or
  whose winter is their season (Europe/Dublin, Africa/Casablanca, Pacific/Apia in 2011) it is an hour, or a day, off for
  some hours. It knows no daylight saving time after 2037.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import Any

import numpy as np
from dateutil import rrule, tz  # type: ignore[import-untyped]

from muster.cutover.clocks import DAY, Seconds, moment_of, offset_at, seconds_of, shifts, within
from muster.cutover.schedule import RecurrenceRule

_BEGIN = datetime(2020, 1, 1)
_MARGIN = 2 * DAY
_STEPS = {
    rrule.WEEKLY: timedelta(weeks=1), rrule.DAILY: timedelta(days=1), rrule.HOURLY: timedelta(hours=1),
    rrule.MINUTELY: timedelta(minutes=1), rrule.SECONDLY: timedelta(seconds=1),
}  # fmt: skip
_LONGEST = 6500
"""Characters of a rule that Prefect takes."""


def fault_in_recurrence(text: str) -> str:
    """Why Prefect would not take a rule; empty for none."""
    if len(text) > _LONGEST:
        return f"longer than the {_LONGEST} characters that Prefect takes"
    try:
        rrule.rrulestr(text)
        _faces_of(text)
    except (ValueError, TypeError, AttributeError) as error:
        return f"no recurrence rule: {error}"
    return ""


def recurrence_moments(rule: RecurrenceRule, low: int, high: int) -> Seconds:
    """Due times in (low, high]."""
    first, last = (moment_of(at).replace(tzinfo=None) for at in (low - _MARGIN, high + _MARGIN))
    found = takewhile(lambda face: face <= last, _faces(rule.text, first))
    faces = np.fromiter((seconds_of(face.replace(tzinfo=UTC)) for face in found), np.int64)
    return within(np.unique(_moments(np.sort(faces), rule.timezone)), low + 1, high + 1)


def _faces(text: str, first: datetime) -> Iterator[datetime]:
    found = _faces_of(text)
    if isinstance(found, rrule.rrule):
        found = _begun_later(found, first)
    return iter(found.xafter(first, inc=True))


@lru_cache(maxsize=4096)
def _faces_of(text: str) -> Any:
    """The rule on clocks without a zone."""
    found = rrule.rrulestr(text, dtstart=_BEGIN)
    if isinstance(found, rrule.rrule):
        return _bare(found)
    found._rrule, found._exrule = [_bare(each) for each in found._rrule], [_bare(each) for each in found._exrule]
    found._rdate = [each.replace(tzinfo=None) for each in found._rdate]
    found._exdate = [each.replace(tzinfo=None) for each in found._exdate]
    return found


def _bare(rule: Any) -> Any:
    changes = {"dtstart": rule._dtstart.replace(tzinfo=None)}
    if rule._until:
        changes["until"] = rule._until.replace(tzinfo=None)
    return rule.replace(**changes)


def _begun_later(rule: Any, first: datetime) -> Any:
    """The same rule from a later one of its periods on, so that years need not be counted."""
    step = _STEPS.get(rule._freq)
    if step is None or rule._count is not None:
        return rule
    periods = (first - rule._dtstart) // (step * rule._interval) - 2
    return rule.replace(dtstart=rule._dtstart + periods * step * rule._interval) if periods > 0 else rule


def _moments(faces: Seconds, timezone: str) -> Seconds:
    if not len(faces):
        return faces
    low, high = int(faces[0]) - _MARGIN, int(faces[-1]) + _MARGIN
    known = shifts(timezone, low, high)
    offsets = np.array([offset_at(timezone, low), *(shift.after for shift in known)], np.int64)
    found = faces - offsets[np.searchsorted([shift.at + shift.before for shift in known], faces, side="right")]
    zone = tz.gettz(timezone)
    for shift in known:
        near = slice(*np.searchsorted(faces, [shift.at + shift.before - _MARGIN, shift.at + shift.before + _MARGIN]))
        found[near] = [_by_dateutil(int(face), zone) for face in faces[near]]
    return found


def _by_dateutil(face: int, zone: Any) -> int:
    shown = moment_of(face).replace(tzinfo=zone)
    return face - int((shown.utcoffset() or timedelta()).total_seconds())
