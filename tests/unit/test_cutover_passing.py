"""What a handover makes sure of itself: that all of it is fenced, that nothing is idle, and how long nobody is at work.

Over schedulers in memory and a real ledger; the clock stands still but for what is waited for.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from test_cutover_settling import HOLDERS, NAMES, A, B, World, ledger

from muster.cutover.observations import Drained, ReleasedSeen
from muster.cutover.schedule import Stage, Tick
from muster.cutover.watermark import Border
from muster.errors import StepError, SystemFailure
from muster.ledger import Ledger
from tasks.handover import passing
from tasks.handover.scene import see_released

__all__ = ["ledger"]
HOUR = timedelta(hours=1)


def world(ledger: Ledger, due_in: timedelta = timedelta(minutes=20), **keys: object) -> World:
    """Old at work, new armed: a handover may begin."""
    now = ledger.now()
    made = World(ledger, HOUR, now + due_in, now - HOUR, keys)
    for name in NAMES:
        made.put(A, name, "at work")
        made.put(B, name, "shut")
    made.own(dict.fromkeys(NAMES, A))
    return made


def drained(made: World) -> Drained:
    return passing.drain(made.context, A, 0)


def seen(made: World) -> ReleasedSeen:
    see_released(made.context, "a look")
    found = made.context.history.latest(ReleasedSeen)
    assert found is not None
    return found


# Nothing is idle


def test_a_schedule_that_its_owner_would_not_start_is_seen_whoever_owns_it(ledger: Ledger) -> None:
    made = world(ledger)
    assert (seen(made).idle.count, seen(made).both) == (0, 0)
    made.sides[A].shut.add("y")
    assert seen(made).idle.examples == ("a would not start y",)
    made.own({"x": A, "y": B})
    assert seen(made).idle.examples == ("b would not start y",)
    made.sides[B].shut.discard("y")
    assert (seen(made).idle.count, seen(made).both) == (0, 0), "each of two waves is at work where it belongs"


def test_of_a_scheduler_that_does_not_answer_nothing_is_said(ledger: Ledger) -> None:
    made = world(ledger)
    made.sides[A].is_away = True
    assert (seen(made).idle.count, seen(made).released) == (0, {A: None, B: 0})


# All of it is fenced


def test_a_fence_is_proven_by_the_reason_and_by_every_owner(ledger: Ledger) -> None:
    made = world(ledger)
    assert passing.fence(made.context, drained(made)).proof == "fenced"
    assert made.owners() == {HOLDERS[B]}


def test_a_fence_that_took_of_one_schedule_alone_is_found(ledger: Ledger) -> None:
    """The ledger keeps the first one's new epoch, and loses the second's."""
    made = world(ledger)
    line = drained(made)
    with ledger.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER lose BEFORE INSERT ON owners WHEN NEW.schedule = 'y' AND NEW.holder = 'green' "
                "BEGIN SELECT RAISE(IGNORE); END"
            )
        )
    with pytest.raises(SystemFailure, match="y is not green's"):
        passing.fence(made.context, line)


@pytest.mark.parametrize("is_guarded", [True, False])
def test_an_epoch_that_was_not_raised_is_found_with_the_guard_and_without(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, is_guarded: bool
) -> None:
    made = world(ledger, guarded=is_guarded)
    line = drained(made)
    monkeypatch.setattr(type(ledger), "raise_epochs", lambda *_: None)
    with pytest.raises(SystemFailure, match="x is not green's"):
        passing.fence(made.context, line)


def test_a_refusal_for_another_reason_is_no_fence(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment was claimed before, by the old one itself: that it may not claim is not shown."""
    made = world(ledger)
    line = drained(made)
    moment = line.watermark + timedelta(microseconds=7)
    assert ledger.claim_tick("x", moment, HOLDERS[A]).granted
    monkeypatch.setattr(type(ledger), "raise_epochs", lambda *_: None)
    monkeypatch.setattr(type(ledger), "owners_of", owned_by(HOLDERS[B], ledger.owners_of(NAMES)))
    with pytest.raises(SystemFailure, match="by the ledger it has"):
        passing.fence(made.context, line)


def owned_by(holder: str, owners: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    return lambda *_: {name: tenure._replace(holder=holder) for name, tenure in owners.items()}


# How long nobody is at work


class Waits:
    """Time that passes by waiting alone."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


CALLS = 12
"""Of both schedulers and the ledger, at most, from the hold to the release: `docs/cutover.md` names the number."""


def counted(made: World, monkeypatch: pytest.MonkeyPatch, calls: list[str]) -> None:
    """Every question and order from the hold on, up to the release, is written down."""

    def spied(verb: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if verb == "hold":
                calls.clear()
            if "release" not in calls:
                calls.append(verb)
            return real(*given, **named)

        return call

    for scheduler in made.sides.values():
        for verb in ("history", "at_work", "drop", "hold", "release", "inventory", "released", "start", "arm", "rest"):
            monkeypatch.setattr(scheduler, verb, spied(verb, getattr(scheduler, verb)))
    for verb in ("now", "claims_between", "raise_epochs", "claim_tick", "owners_of"):
        monkeypatch.setattr(type(made.ledger), verb, spied(verb, getattr(type(made.ledger), verb)))


@pytest.mark.parametrize("count", [1, 40])
def test_between_hold_and_release_the_calls_do_not_grow_with_the_runs(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    made = world(ledger)
    for number in range(count):
        tick = Tick("x", made.middle - timedelta(minutes=21, seconds=number))
        made.sides[A].make(tick, Stage.DONE)
        made.sides[B].make(tick, Stage.WAITING)
    calls: list[str] = []
    counted(made, monkeypatch, calls)
    line = drained(made)
    passing.fence(made.context, line)
    passing.activate(made.context, line)
    assert (calls[0], calls[-1]) == ("hold", "release")
    assert len(calls) <= CALLS, calls


@pytest.mark.parametrize(("policy", "is_handed_over"), [("go-on", True), ("give-up", False)])
def test_a_run_that_does_not_end_is_waited_for_so_long_and_no_longer(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, policy: str, is_handed_over: bool
) -> None:
    made = world(ledger, in_flight_limit="90s", at_limit=policy)
    made.sides[A].make(Tick("x", made.middle - HOUR), Stage.RUNNING)
    waits = Waits()
    monkeypatch.setattr(passing, "time", waits)
    if is_handed_over:
        line = drained(made)
        assert line.still_in_flight == 1
    else:
        with pytest.raises(StepError, match=r"1 runs of a were still at work 90.0 s after it was held"):
            drained(made)
        assert made.owners() == {HOLDERS[A]}, "nothing was handed over"
    assert 90 <= waits.passed <= 90 + 2 * passing._NAP


@pytest.mark.parametrize("policy", ["go-on", "give-up"])
def test_a_run_that_ends_in_time_changes_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    made = world(ledger, in_flight_limit="90s", at_limit=policy)
    tick = Tick("x", made.middle - HOUR)
    made.sides[A].make(tick, Stage.RUNNING)

    class Ends(Waits):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            made.sides[A].firings[tick] = made.sides[A].firings[tick].model_copy(update={"stage": Stage.DONE})

    monkeypatch.setattr(passing, "time", Ends())
    line = drained(made)
    assert (line.in_flight, line.still_in_flight) == (1, 0)


def test_the_watermark_is_held_against_the_ticks_as_it_was_drawn(ledger: Ledger) -> None:
    """Whoever draws the line on a tick is told so by the drain itself."""
    made = world(ledger, timedelta(minutes=-1))
    drawn = passing.drain(made.context, A, 0, lambda *_: Border(made.middle, (), frozenset()))
    assert drawn.nearest_tick_seconds == 0
    assert (drained(made).nearest_tick_seconds or 0) > 0
