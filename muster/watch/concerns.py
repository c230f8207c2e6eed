"""Concerns: what the watch has to tell people about, found from plan, standing and now. Pure functions, and a table.

Promises: of a plan's state at most one thing is told, the gravest; a concern that goes on is told by the same words,
whatever the hour.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from muster.cadence.states import State, condition_of
from muster.cards import PlanCard
from muster.ledger import Run
from muster.ledger.rows import Stop
from muster.ledger.standing import STALE_AFTER, LastLook, Standing
from muster.notify.message import Severity
from muster.readiness.states import Readiness, ready_of
from muster.watch.conditions import Condition as Condition

MUSTER = "muster"
"""The subject of what is about no single plan."""
Key = tuple[str, str]
"""Subject and condition: what the ledger tells alerts apart by."""


class Kind(NamedTuple):
    """How a condition is told. `{s}` stands for the subject."""

    severity: Severity
    in_production: Severity
    now: str
    over: str
    do: str


_C, _W, _I = Severity.CRITICAL, Severity.WARNING, Severity.INFO
_RUN, _READY = "muster run {s}", "muster ready {s}"
KINDS: dict[Condition, Kind] = {
    Condition.NEVER_RUN: Kind(_W, _C, "{s} has never run", "{s} had never run", _RUN),
    Condition.OVERDUE: Kind(_W, _C, "{s} is overdue", "{s} was overdue", _RUN),
    Condition.FAILING: Kind(_W, _C, "{s} is failing", "{s} was failing", "muster status {s} --history"),
    Condition.CHANGED: Kind(
        _I, _I, "{s} has changed since it last passed", "{s} had changed since it last passed", _RUN
    ),
    Condition.NOT_READY: Kind(_W, _C, "{s} is not ready", "{s} was not ready", _READY),
    Condition.NOT_SEEN: Kind(_W, _C, "{s} is not seen", "{s} was not seen", _READY),
    Condition.MISSED: Kind(_W, _W, "{s} missed its slot", "{s} had missed its slot", _RUN),
    Condition.LEFT_BEHIND: Kind(
        _C, _C, "{s} has left something behind", "{s} had left something behind", "muster undo list"
    ),
    Condition.UNWATCHED: Kind(
        _C, _C, "{s} cannot be watched", "{s} could not be watched", "muster doctor, and the log of `muster watch`"
    ),
    Condition.STOPPED: Kind(
        _C, _C, "every drill is stopped", "every drill was stopped", "muster stop-all --resume --reason WHY"
    ),
    Condition.SCHEDULER_DOWN: Kind(
        _C, _C, "the scheduler is down", "the scheduler was down", "start the Prefect server again"
    ),
    Condition.PLANS_UNREADABLE: Kind(_C, _C, "plans cannot be read", "plans could not be read", "mend the plan"),
    Condition.ROUTES_UNREADABLE: Kind(_C, _C, "routes cannot be read", "routes could not be read", "mend routes.yaml"),
    Condition.ROUTE_REFUSES: Kind(
        _C, _C, "{s} refuses messages", "{s} refused messages", "muster notify test, and mend the route"
    ),
    Condition.PING_REFUSES: Kind(
        _W, _W, "the dead man's switch refuses the ping", "the dead man's switch refused the ping",
        "look at MUSTER_PING_URL and at who is behind it",
    ),
    Condition.LEDGER_AWAY: Kind(
        _C, _C, "the ledger is away: no drill can start, and none is watched", "the ledger was away",
        "start the database again; `muster status` tells whether it answers",
    ),
    Condition.WATCH_FAILS: Kind(
        _C, _C, "the watch cannot go round", "the watch could not go round", "please report it with the log"
    ),
}  # fmt: skip
"""Every condition: severity elsewhere and in production, the words while it lasts, the words after, the next move."""

LOOKED_AT = frozenset({Condition.LEFT_BEHIND, Condition.UNWATCHED, Condition.STOPPED})
"""Conditions that every round looks at."""


class Concern(NamedTuple):
    """One thing that is the matter."""

    subject: str
    condition: Condition
    why: str
    card: PlanCard | None = None
    """The plan it is about, if one."""
    since: datetime | None = None
    """Since when, where that is known better than by when it was noticed."""
    more: tuple[tuple[str, str], ...] = ()
    """Further labelled lines."""

    @property
    def key(self) -> Key:
        """What the ledger tells alerts apart by."""
        return self.subject, self.condition.value

    @property
    def severity(self) -> Severity:
        """By the table; graver in production."""
        kind = KINDS[self.condition]
        return kind.in_production if self.card and self.card.environment == "production" else kind.severity


def concerns_of(card: PlanCard, standing: Standing | None, now: datetime) -> tuple[Concern, ...]:
    """What is the matter with a plan; nothing when it is fresh or merely due."""
    known = standing or Standing(card.name)
    state = _state_concern(card, standing, known, now)
    # Overdue says the same and more: a slot that was missed on top of another trouble is news of its own.
    if known.last_outcome != "missed" or (state and state.condition in (Condition.OVERDUE, Condition.NEVER_RUN)):
        return (state,) if state else ()
    missed = Concern(card.name, Condition.MISSED, "no run served its newest slot in time", card, known.last_at)
    return (state, missed) if state else (missed,)


def _state_concern(card: PlanCard, standing: Standing | None, known: Standing, now: datetime) -> Concern | None:
    found = condition_of(card, standing, now)
    if found.state is State.NEVER and known.judged_run:
        return Concern(card.name, Condition.FAILING, found.why, card, known.judged_at)
    if found.state is State.NEVER:
        is_late = now > found.overdue_at
        return Concern(card.name, Condition.NEVER_RUN, found.why, card, found.overdue_at) if is_late else None
    if found.state not in _CONDITIONS:
        return None
    since = _SINCE[found.state](known, found.overdue_at)
    return Concern(card.name, _CONDITIONS[found.state], found.why, card, since)


_CONDITIONS = {
    State.FAILING: Condition.FAILING,
    State.CHANGED: Condition.CHANGED,
    State.OVERDUE: Condition.OVERDUE,
}
_SINCE: dict[State, Callable[[Standing, datetime], datetime | None]] = {
    State.FAILING: lambda known, _: known.judged_at,
    State.CHANGED: lambda _known, _: None,
    State.OVERDUE: lambda _, overdue_at: overdue_at,
}


PATIENCE = 3
"""Looks in a row that saw nothing before people are told: one may be an accident of the way to the target."""


def readiness_concerns(
    card: PlanCard, last: LastLook | None, now: datetime, *, is_drilled: bool = False
) -> tuple[Concern, ...]:
    """What looks at the plan's target found amiss. While a drill moves it, nobody looks, and that is no concern."""
    ready = ready_of(card, last, now)
    if ready is None or last is None or ready.state is Readiness.READY or is_drilled:
        return ()
    more = (("last seen" if last.verdict != "inconclusive" else "last tried", f"by {ready.by}"), ("how", ready.advice))
    if ready.state is Readiness.NOT_READY:
        return (Concern(card.name, Condition.NOT_READY, ready.why, card, ready.since, more),)
    is_forgotten = now - last.at > timedelta(seconds=STALE_AFTER * ready.every_seconds)
    is_blind = last.verdict == "inconclusive" and last.times >= PATIENCE
    return (Concern(card.name, Condition.NOT_SEEN, ready.why, card, ready.since, more),) * (is_forgotten or is_blind)


def stopped(stop: Stop | None) -> tuple[Concern, ...]:
    """The kill switch, while it is thrown."""
    if stop is None:
        return ()
    return (Concern(MUSTER, Condition.STOPPED, f"{stop.reason} ({stop.by})", since=stop.at),)


def left_behind(
    runs: Iterable[Run], is_dead: Callable[[Run], bool], cards: dict[str, PlanCard], now: datetime
) -> tuple[Concern, ...]:
    """Runs that nobody drives any more and that are not finished, by plan.

    `now` is the ledger's clock: a run of another machine counts when its lease is over.
    """
    abandoned = [run for run in runs if run.outcome is not None or is_dead(run) or run.lease_until < now]
    found = []
    for plan, group in groupby(sorted(abandoned, key=lambda r: (r.plan, r.run)), key=lambda r: r.plan):
        of_plan = list(group)
        names = ", ".join(run.run for run in of_plan)
        why = f"the process that ran it is gone, and what it did is not undone and sealed: {names}"
        hosts = ", ".join(sorted({run.owner.host for run in of_plan}))
        since = min(run.opened_at for run in of_plan)
        found.append(Concern(plan, Condition.LEFT_BEHIND, why, cards.get(plan), since, (("host", hosts),)))
    return tuple(found)
