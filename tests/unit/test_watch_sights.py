"""Targets are looked at between runs, those not seen for longest first, and never for longer than asked."""

from dataclasses import replace
from datetime import UTC, datetime

from muster.cadence.states import State, condition_of
from muster.cards import card_of
from muster.ledger import Ledger
from muster.opening import Request
from muster.plan import Plan
from muster.settings import Settings
from muster.watch.sights import look_at_targets
from tests.unit.paper import PLAN, paper_conductor, paper_drill

OTHERS = tuple(PLAN.model_copy(update={"name": f"paper-{letter}"}) for letter in "abc")


def state_of(ledger: Ledger, plan: Plan) -> State:
    return condition_of(card_of(plan), ledger.standing(plan.name), datetime.now(UTC)).state


def test_a_target_that_was_replaced_is_seen_before_its_slot(settings: Settings, ledger: Ledger) -> None:
    seen = {"system_identifier": "7"}
    drill = replace(paper_drill(), sight=lambda _: dict(seen))
    conductor = paper_conductor(settings, ledger, drill)
    conductor.conduct(PLAN, Request("a test"))
    assert look_at_targets(conductor, [PLAN], 60) == (PLAN.name,)
    assert state_of(ledger, PLAN) is State.FRESH
    seen["system_identifier"] = "8"
    assert look_at_targets(conductor, [PLAN], 60) == (PLAN.name,)
    assert state_of(ledger, PLAN) is State.CHANGED


def test_a_target_that_cannot_be_seen_changes_nothing(settings: Settings, ledger: Ledger) -> None:
    drill = replace(paper_drill(), sight=lambda _: {"system_identifier": "7"})
    paper_conductor(settings, ledger, drill).conduct(PLAN, Request("a test"))
    assert look_at_targets(paper_conductor(settings, ledger, replace(drill, sight=lambda _: {})), [PLAN], 60) == ()
    assert state_of(ledger, PLAN) is State.FRESH


def test_when_time_is_short_each_has_its_turn(settings: Settings, ledger: Ledger) -> None:
    class Slow:
        """Each time it is asked how long it took, a second has gone by; each round is a minute later."""

        def __init__(self) -> None:
            self.seconds, self.minutes = 0, 0

        def monotonic_ns(self) -> int:
            self.seconds += 1
            return self.seconds * 10**9

        def now(self) -> datetime:
            self.minutes += 1
            return datetime(2026, 3, 1, 4, self.minutes, tzinfo=UTC)

    conductor = paper_conductor(settings, ledger, replace(paper_drill(), sight=lambda _: {"system_identifier": "7"}))
    for plan in OTHERS:
        conductor.conduct(plan, Request("a test"))
    hurried = replace(conductor, clock=Slow())
    rounds = [look_at_targets(hurried, OTHERS, 1.5) for _ in range(3)]
    assert sorted(name for seen in rounds for name in seen) == [plan.name for plan in OTHERS]
    patient = replace(conductor, clock=Slow())
    assert sorted(look_at_targets(patient, OTHERS, 60)) == [plan.name for plan in OTHERS]


def test_a_plan_that_never_passed_is_not_looked_at(settings: Settings, ledger: Ledger) -> None:
    conductor = paper_conductor(settings, ledger, replace(paper_drill(), sight=lambda _: {"system_identifier": "7"}))
    assert look_at_targets(conductor, OTHERS, 60) == ()
