"""The due time that follows a pass, and when a plan that has not passed again by then is overdue."""

from datetime import datetime

from muster.cadence.spec import Cadence
from muster.cadence.ticks import next_tick


def dues_after(cadence: Cadence, moment: datetime) -> tuple[datetime, datetime]:
    """The first tick strictly after a moment, and that tick with its grace."""
    due = next_tick(cadence, moment)
    return due, due + cadence.grace_period
