"""Whether the slots of a cadence fall into its change windows, so that no plan is written that can never run."""

from datetime import datetime, timedelta
from itertools import islice

from muster.cadence.moments import ANCHOR
from muster.cadence.spec import Cadence
from muster.cadence.ticks import is_in_window, ticks

_LOOKED_AT = 12
"""Slots from the anchor on: three years of quarterly ones. Fixed, so that a plan is right or wrong whatever the day."""


def slot_outside_windows(cadence: Cadence) -> datetime | None:
    """The first of a dozen slots that does not lie in a change window with all of its jitter, if there is one."""
    latest = max(cadence.jitter - timedelta(microseconds=1), timedelta())
    for tick in islice(ticks(cadence, ANCHOR), _LOOKED_AT):
        if not (is_in_window(cadence, tick) and is_in_window(cadence, tick + latest)):
            return tick
    return None
