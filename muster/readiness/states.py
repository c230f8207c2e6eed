"""Whether a plan's target is ready: ready, not ready, not seen. A pure function over card, newest look and now.

Promises: ready is what was seen, and never taken for proven; a look that is old, dated ahead, or of another target or
promise is not seen, never ready; importing this module costs no pydantic.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from muster.cards import PlanCard
from muster.clock import AHEAD
from muster.ledger.standing import STALE_AFTER, LastLook


class Readiness(StrEnum):
    """What is known of a target now, without a drill."""

    READY = "ready"
    NOT_READY = "not ready"
    NOT_SEEN = "not seen"
    """It could not be looked at, or was not for too long."""


_OF_VERDICT = {"pass": Readiness.READY, "fail": Readiness.NOT_READY}


class Ready(NamedTuple):
    """A target's readiness at a moment. Moments are aware UTC, spans seconds; `None` where there is nothing."""

    state: Readiness
    why: str
    """What speaks against it; empty where it is ready."""
    advice: str
    since: datetime | None
    """From when on it was so at every look; `None` when it was never looked at."""
    looked_at: datetime | None
    by: str
    """Whose process looked last, and on which host: `watch@db1`."""
    every_seconds: float
    """How often it is to be looked at."""


def ready_of(card: PlanCard, last: LastLook | None, now: datetime) -> Ready | None:
    """The readiness of a plan's target; `None` where the plan's kind of drill has no look."""
    if card.look_every_seconds is None:
        return None
    if last is None:
        return Ready(Readiness.NOT_SEEN, "never looked at", _look(card.name), None, None, "", card.look_every_seconds)
    state = _OF_VERDICT.get(last.verdict, Readiness.NOT_SEEN)
    by = f"{last.by}@{last.host}"
    found = Ready(state, last.why, last.advice, last.since, last.at, by, card.look_every_seconds)
    if last.substance != card.substance:
        why = "the plan was changed since it was looked at"
        return found._replace(state=Readiness.NOT_SEEN, why=why, advice=_look(card.name), since=None)
    return as_of(found, now, card.name)


def as_of(ready: Ready, now: datetime, plan: str) -> Ready:
    """The readiness at a later moment: what nobody looks at any more is not seen."""
    if ready.looked_at is None:
        return ready
    age, most = now - ready.looked_at, timedelta(seconds=STALE_AFTER * ready.every_seconds)
    if age <= most and -age <= AHEAD:
        return ready
    if age > most:
        why = f"nobody has looked since {ready.looked_at:%Y-%m-%d %H:%M} UTC, when it was {_was(ready)}"
        since: datetime | None = ready.looked_at + most
    else:
        why, since = "the last look is dated in the future: is a clock wrong?", None
    return ready._replace(state=Readiness.NOT_SEEN, why=why, advice=_look(plan), since=since)


def _was(ready: Ready) -> str:
    return f"{ready.state} ({ready.why})" if ready.why else str(ready.state)


def _look(plan: str) -> str:
    return f"muster ready {plan}"
