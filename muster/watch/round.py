"""One round of the watch: slots accounted for, concerns compared with what people were told, messages sent.

Promises: a concern is told once to each route that takes it, whoever watches beside us, and once more when it is
over; a route that refuses is a concern itself, told through the others and tried again each round; a fault with one
plan leaves the others watched; what a round did not look at stays as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from muster.cards import PlanCard
from muster.conduct import Conductor
from muster.errors import MusterError
from muster.ledger import Ledger, LedgerError
from muster.ledger.rows import Alert
from muster.ledger.standing import LastLook
from muster.notify.message import Severity
from muster.notify.send import Notifier, Receipt
from muster.ownership import is_dead
from muster.plan import Plan
from muster.readiness.looking import Looker
from muster.readiness.states import Readiness, ready_of
from muster.slots import Accounted, account_slots
from muster.turns import groups_going_on
from muster.watch.concerns import (
    LOOKED_AT,
    MUSTER,
    Concern,
    Key,
    concerns_of,
    left_behind,
    readiness_concerns,
    stopped,
)
from muster.watch.conditions import OF_PLANS, OF_READINESS, Condition
from muster.watch.telling import Telling

_CALLS = 20
"""Most calls of accounting in one round; what is left comes in the next."""


class Round(NamedTuple):
    """What one round found and did."""

    at: datetime
    accounted: Accounted
    raised: tuple[Concern, ...]
    resolved: tuple[Alert, ...]
    open: tuple[Alert, ...]
    """Every alert that is not over now."""
    receipts: tuple[Receipt, ...]
    unheard: tuple[Alert, ...]
    """Alerts that some route should have taken and none did."""
    ready: frozenset[str] = frozenset()
    """Plans whose target was seen ready."""

    @property
    def is_good(self) -> bool:
        """Whether whoever had to hear of something has heard of it."""
        return not self.unheard

    @property
    def needs_attention(self) -> bool:
        """Whether somebody has to act."""
        return any(alert.severity != Severity.INFO for alert in self.open)


def run_round(
    conductor: Conductor,
    plans: Sequence[Plan],
    cards: Sequence[PlanCard],
    outbound: Notifier,
    *,
    now: datetime | None = None,
    read_all: bool = True,
    looked: Mapping[Key, Concern | None] | None = None,
    looker: Looker | None = None,
) -> Round:
    """Go round once. Raises `LedgerError` when the ledger is away; nothing else that it meets is fatal.

    `read_all` says that these are all plans there are. `looked` is what the caller looked at beside the plans, such
    as the scheduler: a concern, or `None` where all is well. `looker` looks at the targets that are to be looked at by
    now. `now` is the ledger's clock unless given.
    """
    accounted, troubles = _account(conductor, plans, read_all, now)
    if looker is not None:
        looker.look_where_due(conductor, plans)
    moment = now or conductor.ledger.now()
    targets = _Targets.read(conductor.ledger, plans, cards, moment)
    found = [
        *troubles,
        *_concerns(conductor.ledger, cards, moment),
        *targets.concerns(cards, moment),
        *(c for c in (looked or {}).values() if c),
    ]
    wanted = {concern.key: concern for concern in reversed(found)}
    telling = Telling(conductor.ledger, outbound, moment, wanted, ready=targets.ready)
    known = {card.name for card in cards}
    telling.compare(
        lambda key: (
            targets.settle(key, known, read_all)
            if key[1] in OF_READINESS
            else _is_looked_at(key, known, read_all, looked or {})
        )
    )
    telling.tell()
    conductor.ledger.beat("watch")
    still = conductor.ledger.alerts()
    return Round(
        at=moment,
        accounted=accounted,
        raised=tuple(telling.raised.values()),
        resolved=tuple(telling.resolved),
        open=still,
        receipts=tuple(telling.receipts),
        unheard=telling.unheard(still),
        ready=targets.ready,
    )


class _Targets(NamedTuple):
    """What the looks say of the plans' targets."""

    last: Mapping[str, LastLook]
    states: Mapping[str, Readiness]
    drilled: frozenset[str]
    """Plans whose target a drill moves now."""

    @classmethod
    def read(cls, ledger: Ledger, plans: Sequence[Plan], cards: Sequence[PlanCard], now: datetime) -> "_Targets":
        last = ledger.last_looks()
        seen = {card.name: ready_of(card, last.get(card.name), now) for card in cards}
        going_on = groups_going_on(ledger) if any(seen.values()) else frozenset()
        drilled = frozenset(plan.name for plan in plans if plan.look_every and plan.group in going_on)
        return cls(last, {name: ready.state for name, ready in seen.items() if ready}, drilled)

    @property
    def ready(self) -> frozenset[str]:
        return frozenset(name for name, state in self.states.items() if state is Readiness.READY)

    def concerns(self, cards: Sequence[PlanCard], now: datetime) -> Iterable[Concern]:
        for card in cards:
            yield from readiness_concerns(card, self.last.get(card.name), now, is_drilled=card.name in self.drilled)

    def settle(self, key: Key, known: set[str], read_all: bool) -> bool:
        """Whether it is known that the condition holds or not: who saw nothing does not end what was seen."""
        subject, condition = key
        state = self.states.get(subject)
        if state is None:
            return subject in known or read_all
        return state is Readiness.READY or (condition == Condition.NOT_SEEN and state is Readiness.NOT_READY)


def _account(
    conductor: Conductor, plans: Sequence[Plan], read_all: bool, now: datetime | None
) -> tuple[Accounted, list[Concern]]:
    """Account until nothing is left, within bounds; what goes wrong beside the ledger is a concern."""
    done: list[Accounted] = []
    try:
        while len(done) < _CALLS and (not done or done[-1].more):
            done.append(account_slots(conductor, plans, read_all=read_all, now=now))
    except LedgerError:
        raise
    except Exception as error:
        why = error.message if isinstance(error, MusterError) else type(error).__name__
        return _joined(done), [Concern(MUSTER, Condition.UNWATCHED, f"slots cannot be accounted for: {why}")]
    pairs = (problem.partition(": ") for problem in done[-1].problems)
    return _joined(done), [Concern(plan, Condition.UNWATCHED, why) for plan, _, why in pairs]


def _joined(parts: Iterable[Accounted]) -> Accounted:
    total = Accounted()
    for part in parts:
        total = Accounted(
            enrolled=total.enrolled + part.enrolled,
            retired=total.retired + part.retired,
            missed=total.missed + part.missed,
            waived=total.waived + part.waived,
            startable=part.startable,
            more=part.more,
            problems=part.problems,
        )
    return total


def _concerns(ledger: Ledger, cards: Sequence[PlanCard], now: datetime) -> Iterable[Concern]:
    standings = {standing.plan: standing for standing in ledger.standings()}
    for card in cards:
        try:
            yield from concerns_of(card, standings.get(card.name), now)
        except Exception as error:  # one plan that cannot be judged is no reason to leave the others
            yield Concern(card.name, Condition.UNWATCHED, f"its state cannot be told ({type(error).__name__})", card)
    yield from stopped(ledger.current_stop())
    by_name = {card.name: card for card in cards}
    yield from left_behind(ledger.unfinished_runs(), lambda run: is_dead(run.owner), by_name, now)


def _is_looked_at(key: Key, known: set[str], read_all: bool, looked: Mapping[Key, Concern | None]) -> bool:
    subject, condition = key
    if condition in OF_PLANS:
        return subject in known or read_all
    return condition in LOOKED_AT or key in looked
