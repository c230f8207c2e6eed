"""Claims on slots: which due time a scheduler's run serves, and what becomes of those that no run served.

Promises: every function is pure and bounded; at any moment a slot is to be run, open, missed or waived, and one that
is missed or waived stays so however much later one looks.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from muster.cadence.spec import Cadence, Late
from muster.cadence.ticks import (
    blackout_at,
    claim_deadline,
    is_in_window,
    splay,
    tick_at_or_before,
    ticks,
)
from muster.plan import Plan
from muster.quantity import format_seconds
from muster.verdict import Outcome

_MOST = 500
"""Slots looked at in one call of `account_for`."""


class Claim(NamedTuple):
    """The slot that a scheduler's run serves."""

    tick: datetime
    start_at: datetime
    """When the plan starts on this slot: the tick and its share of the jitter."""
    outcome: Outcome | None
    """`None`: run it. Else it is over, as `MISSED` or `WAIVED`, for the reason in `why`."""
    why: str


class Unrun(NamedTuple):
    """A slot that no run will serve."""

    tick: datetime
    outcome: Outcome
    why: str


class Account(NamedTuple):
    """What became of the slots of a span."""

    unrun: tuple[Unrun, ...]
    until: datetime
    """Every slot up to here has its record, once those in `unrun` are written."""
    startable: tuple[datetime, ...]
    """Slots that should have been started by now, and still can be."""
    more: bool
    """There was too much for one call: call again from `until`."""


def claim_of(plan: Plan, expected: datetime, now: datetime) -> Claim:
    """Which slot a run serves that a scheduler expected at a moment, and whether it may still be run now."""
    cadence = plan.cadence
    tick = tick_at_or_before(cadence, expected)
    if tick is None:  # no slot was ever due: the run is its own
        return Claim(expected.astimezone(UTC), expected.astimezone(UTC), None, "")
    start_at = tick + splay(cadence, plan.name)
    if blackout := blackout_at(cadence, tick) or blackout_at(cadence, now):
        return Claim(tick, start_at, Outcome.WAIVED, _waived(blackout.reason))
    if now >= claim_deadline(cadence, tick):
        late = format_seconds((now - tick).total_seconds())
        return Claim(tick, start_at, Outcome.MISSED, f"it would have started {late} late, {_POLICIES[cadence.late]}")
    return Claim(tick, start_at, None, "")


_POLICIES = {
    Late.SKIP: "when its grace was over: the plan skips late slots",
    Late.RUN_ONCE: "when the next slot was due",
    Late.RUN_ALL: "when the plan's `late_within` was over",
}


def account_for(
    cadence: Cadence, after: datetime, now: datetime, taken: frozenset[datetime], *, closing: str = ""
) -> Account:
    """What becomes of the slots in (after, now] of which `taken` have a run.

    A slot in a blackout is waived at once, one past its claim deadline is missed, any other is open: `until` stops
    before the first open one. An open slot is startable from half-way between the latest start by jitter and the end
    of its grace, inside the change windows. With `closing`, the reason why the cadence ends now, nothing stays open:
    a slot still in its grace is waived for that reason, a later one is missed.
    """
    due = ticks(cadence, after)
    tick = next(due)
    if tick > now:
        return Account((), after, (), False)
    walk = _Walk(cadence, now, closing, after)
    for count, following in enumerate(due):
        if tick > now:
            break
        if count == _MOST:
            return walk.account(more=not walk.is_open)
        walk.look_at(tick, following, is_taken=tick in taken)
        tick = following
    return walk.account(more=False)


@dataclass(slots=True)
class _Walk:
    cadence: Cadence
    now: datetime
    closing: str
    until: datetime
    is_open: bool = False
    unrun: list[Unrun] = field(default_factory=list)
    startable: list[datetime] = field(default_factory=list)

    def look_at(self, tick: datetime, following: datetime, *, is_taken: bool) -> None:
        """Decide on the next slot; `following` is the one after it."""
        fate = None if is_taken else self._fate(tick, following)
        if fate is not None:
            self.unrun.append(fate)
        elif not is_taken:
            self.is_open = True
            if self._is_startable(tick):
                self.startable.append(tick)
        if not self.is_open:
            self.until = tick

    def account(self, *, more: bool) -> Account:
        """What was found."""
        return Account(tuple(self.unrun), self.until, tuple(self.startable), more)

    def _fate(self, tick: datetime, following: datetime) -> Unrun | None:
        if blackout := blackout_at(self.cadence, tick):
            return Unrun(tick, Outcome.WAIVED, _waived(blackout.reason))
        deadline = self._deadline(tick, following)
        if self.now >= deadline:
            return Unrun(tick, Outcome.MISSED, f"no run had started by {_minute(deadline)}, {self._policy}")
        if not self.closing:
            return None
        if self.now <= tick + self.cadence.grace_period:
            return Unrun(tick, Outcome.WAIVED, self.closing)
        return Unrun(tick, Outcome.MISSED, f"no run had started within its grace, and {self.closing}")

    @property
    def _policy(self) -> str:
        return _POLICIES[self.cadence.late]

    def _deadline(self, tick: datetime, following: datetime) -> datetime:
        """`claim_deadline`, without parsing cron for the slot that is known already."""
        return following if self.cadence.late is Late.RUN_ONCE else claim_deadline(self.cadence, tick)

    def _is_startable(self, tick: datetime) -> bool:
        jitter, grace = self.cadence.jitter, self.cadence.grace_period
        is_time = self.now >= tick + jitter + (grace - jitter) / 2
        return is_time and is_in_window(self.cadence, self.now) and blackout_at(self.cadence, self.now) is None


def _waived(reason: str) -> str:
    return f"blackout: {reason}"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
