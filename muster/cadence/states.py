"""The states of a plan: fresh, due, overdue, failing, changed, never. A pure function over plan, standing and now.

Promises: every plan is in exactly one state; the gravest reason is the one that is told; a plan never run is `never`,
not absent. Importing this module costs neither pydantic nor a cron parser, unless a plan's due time has to be found.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from muster.cards import PlanCard
from muster.clock import AHEAD
from muster.ledger.standing import Standing


class State(StrEnum):
    """Where a plan stands against its cadence, in order of precedence."""

    NEVER = "never"
    """It has never passed."""
    FAILING = "failing"
    """The newest run that says something of the system did not pass."""
    CHANGED = "changed"
    """Plan or target differ in substance from what last passed (DORA Art. 11(6)(a), "substantive changes")."""
    OVERDUE = "overdue"
    """The slot after the last pass is due, and its grace is over; or that pass is dated in the future."""
    DUE = "due"
    """The slot after the last pass is due."""
    FRESH = "fresh"
    """It passed, and its next slot is yet to come."""


class Condition(NamedTuple):
    """A plan's state, why it is so, and when that ends by itself."""

    state: State
    why: str
    due_at: datetime
    """The first due time after the last pass, or since the plan was first seen."""
    overdue_at: datetime


def condition_of(card: PlanCard, standing: Standing | None, now: datetime) -> Condition:
    """The state of a plan at a moment; without a standing it was never seen by the ledger."""
    due_at, overdue_at = _dues(card, standing, now)
    state, why = _state_of(card, standing or Standing(card.name), now, due_at, overdue_at)
    return Condition(state, why, due_at, overdue_at)


def _state_of(
    card: PlanCard, standing: Standing, now: datetime, due_at: datetime, overdue_at: datetime
) -> tuple[State, str]:
    if standing.pass_run is None:
        return State.NEVER, _why_never(standing, now, overdue_at)
    if standing.judged_run != standing.pass_run and standing.judged_outcome not in (None, "passed"):
        return State.FAILING, f"{standing.judged_outcome}: {standing.judged_headline}"
    if standing.pass_substance != card.substance:
        return State.CHANGED, "the plan was changed since it last passed"
    if standing.seen_target and standing.pass_target and standing.seen_target != standing.pass_target:
        return State.CHANGED, "the target is not what it was when it last passed"
    if standing.pass_at and standing.pass_at - now > AHEAD:
        return (
            State.OVERDUE,
            f"its last pass is dated {standing.pass_at:%Y-%m-%d %H:%M} UTC, to come: is a clock wrong?",
        )
    if now > overdue_at:
        return State.OVERDUE, _why_overdue(standing)
    return (State.DUE, "its slot is due") if now >= due_at else (State.FRESH, "passed in time")


def _why_never(standing: Standing, now: datetime, overdue_at: datetime) -> str:
    if standing.judged_run:
        return f"never passed; {standing.judged_outcome}: {standing.judged_headline}"
    if standing.last_outcome:
        return f"never passed; its last slot was {standing.last_outcome}"
    return "never run, and its first slot is over" if now > overdue_at else "never run"


def _why_overdue(standing: Standing) -> str:
    if standing.last_run != standing.pass_run and standing.last_outcome:
        return f"its slot was {standing.last_outcome}"
    return "no run since its slot was due"


def _dues(card: PlanCard, standing: Standing | None, now: datetime) -> tuple[datetime, datetime]:
    if standing and standing.timetable == card.timetable and standing.due_at and standing.overdue_at:
        return standing.due_at, standing.overdue_at
    from muster.cadence.ticks import next_tick

    after = (standing.pass_at or standing.since) if standing else None
    due_at = next_tick(card.cadence(), after or now)
    return due_at, due_at + timedelta(seconds=card.grace_seconds)
