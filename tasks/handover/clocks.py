"""A scheduler's clock, beside that of the ledger.

Promise: a server at work may answer with a time of some seconds ago, and is asked again then; one that is ahead is not:
no answer comes from the future but by a wrong clock.
"""

import time
from datetime import timedelta

from muster.cutover.observations import ClockSeen
from muster.cutover.ownership import Side
from muster.ledger import Ledger
from tasks.schedulers.scheduler import Scheduler

_HALF_A_SECOND = 0.5
_STALE_FOR_SECONDS = 1.5
_ASKED_AT_MOST = 4


def see_clock(scheduler: Scheduler, ledger: Ledger, side: Side, stage: str, limit: float) -> ClockSeen:
    """How far it is ahead; behind by more than `limit` seconds only if it says so again and again."""
    seen = _ask(scheduler, ledger, side, stage)
    for _ in range(_ASKED_AT_MOST - 1):
        if (seen.ahead_seconds or 0) >= 0 or is_off_by(seen) <= limit:
            break
        time.sleep(_STALE_FOR_SECONDS)
        seen = _ask(scheduler, ledger, side, stage)
    return seen


def is_off_by(seen: ClockSeen) -> float:
    """Seconds, for certain; negative where it may be right."""
    return abs(seen.ahead_seconds or 0) - seen.doubt_seconds


def _ask(scheduler: Scheduler, ledger: Ledger, side: Side, stage: str) -> ClockSeen:
    before = ledger.now()
    said = scheduler.now()
    took = ledger.now() - before
    ahead = (said + timedelta(seconds=_HALF_A_SECOND) - (before + took / 2)).total_seconds() if said else None
    doubt = took.total_seconds() / 2 + _HALF_A_SECOND
    return ClockSeen(side=side, stage=stage, ahead_seconds=ahead, doubt_seconds=doubt)
