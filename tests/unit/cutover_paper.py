"""Journals of cutovers, written by hand: clean ones, there and back, for good, in waves; what may be other in them."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from muster.cutover.observations import (
    Activated,
    Armed,
    ClockSeen,
    Counts,
    Drained,
    Handover,
    HomeSeen,
    Lateness,
    Mirrored,
    NotAsked,
    Raised,
    Reckoned,
    ReleasedSeen,
    Rested,
    Shadowed,
    Slice,
    Surveyed,
    TickOf,
    Translated,
    Watched,
    Waves,
)
from muster.cutover.ownership import Side
from muster.cutover.schedule import IntervalRule, Inventory, Job, Schedule
from muster.identity import Identity
from muster.journal import EventKind, History, Journal, Observation
from muster.plan import Plan

A, B = Side.A, Side.B
AT = datetime(2026, 11, 26, 2, tzinfo=UTC)
RUN = "20261126T020000Z-unit"
SECOND = timedelta(seconds=1)
NAMES = ("orders", "invoices", "report")
STEPS = (
    "survey", "translate", "mirror", "shadow", "arm", "steady", "drain", "fence", "activate", "rest", "watch", "waves",
    "arm-back", "drain-back", "fence-back", "activate-back", "rest-back", "waves-back", "watch-back", "account",
)  # fmt: skip
BACK = frozenset(step for step in STEPS if step.endswith("-back"))


@dataclass
class Clock:
    """A second passes with each question."""

    ticks: Any = field(default_factory=itertools.count)

    def now(self) -> datetime:
        return AT

    def monotonic_ns(self) -> int:
        return int(next(self.ticks)) * 10**9


class Memory:
    """An event store that forgets."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def append_event(self, event: Any) -> None:
        self.events.append(event)

    def read_events(self, run: str) -> tuple[Any, ...]:
        return tuple(self.events)


def plan(rto: str | None = "30s", **cutover: Any) -> Plan:
    return Plan.model_validate(
        {"name": "unit", "kind": "cutover", "environment": "test", "owner": "tests", "target": {"type": "paper"},
         "objectives": {"rto": rto} if rto else {}, "cutover": cutover}
    )  # fmt: skip


def schedule(name: str, **changes: Any) -> Schedule:
    usual = {"name": name, "job": name, "rule": IntervalRule(seconds=5, anchor=AT), "parameters": {"size": 3}}
    return Schedule.model_validate(usual | changes)


def surveyed(waves: tuple[tuple[str, ...], ...] = (NAMES,), **changes: Any) -> Surveyed:
    inventory = Inventory(
        jobs=tuple(Job(name=name) for name in (*NAMES, "paused")),
        schedules=(*map(schedule, NAMES), schedule("paused", active=False)),
    )
    usual = {
        "inventory": inventory, "holders": {A: "blue", B: "green"}, "dialects": {A: "prefect", B: "prefect"},
        "waves": waves, "began": AT,
    }  # fmt: skip
    return Surveyed.model_validate(usual | changes)


def drained(out: Side, at: int, wave: int = 0, **changes: Any) -> Drained:
    """Held so many seconds after the survey; the watermark lies a second later."""
    held = AT + at * SECOND
    usual = {
        "wave": wave, "out": out, "began": held - SECOND, "held": held, "held_ns": at * 10**9,
        "watermark": held + SECOND, "nearest_tick_seconds": 1.5, "taken": 12, "behind": (), "in_flight": 2,
        "still_in_flight": 0, "waited_seconds": 3.0,
    }  # fmt: skip
    return Drained.model_validate(usual | changes)


def raised(into: Side, at: int, wave: int = 0, **changes: Any) -> Raised:
    usual = {"wave": wave, "into": into, "raised": AT + (at + 4) * SECOND, "schedules": 3, "proof": "fenced"}
    return Raised.model_validate(usual | changes)


def activated(into: Side, at: int, wave: int = 0, **changes: Any) -> Activated:
    """Released five seconds after the hold: four after the watermark."""
    usual = {
        "wave": wave, "into": into, "released": AT + (at + 5) * SECOND, "released_ns": (at + 5) * 10**9, "dropped": 4,
        "caught_up": (), "skipped": (),
    }  # fmt: skip
    return Activated.model_validate(usual | changes)


def handover(out: Side, at: int, wave: int = 0) -> Handover:
    into = out.other
    return Handover(drained=drained(out, at, wave), raised=raised(into, at, wave), activated=activated(into, at, wave))


def watched(side: Side, at: int) -> Watched:
    return Watched(side=side, began=AT + at * SECOND, ended=AT + (at + 20) * SECOND, samples=2)


def seen(
    stage: str, a: int | None, b: int | None, both: int = 0, at: int = 0, idle: Counts | None = None
) -> ReleasedSeen:
    released = {A: a, B: b}
    return ReleasedSeen(at=AT + at * SECOND, stage=stage, released=released, both=both, idle=idle or Counts())


def clock(side: Side, ahead: float | None = 0.2, stage: str = "survey", doubt: float = 0.5) -> ClockSeen:
    return ClockSeen(side=side, stage=stage, ahead_seconds=ahead, doubt_seconds=doubt)


def counts(*examples: str) -> Counts:
    return Counts(count=len(examples), examples=examples)


def book(commit: bool = False, **changes: Any) -> Reckoned:
    """The account of 130 due times."""
    usual = {
        "began": AT, "ended": AT + 240 * SECOND, "schedules": 3, "expected": 130, "doubtful": 0,
        "by_side": {A: 40, B: 90} if commit else {A: 70, B: 60},
        "phases": {"a": 40, "b": 90} if commit else {"a": 40, "b": 60, "a again": 30},
        "histories": {A: True, B: True}, "claims": 130, "missed": Counts(), "skipped": Counts(), "caught_up": 0,
        "doubled": Counts(), "stopped": 0, "unexpected": Counts(), "misplaced": Counts(), "late": Counts(),
        "lateness": Lateness(count=130, median=0.4, p95=1.2, most=2.0), "out_of_order": Counts(),
        "parameters": Counts(), "given": 130, "unclaimed": Counts(), "unrecorded": Counts(), "lost": Counts(),
        "column_seconds": 120.0,
        "columns": (Slice(start=0, started={A: 40, B: 30}, wrong=0), Slice(start=120, started={A: 30, B: 30}, wrong=0)),
    }  # fmt: skip
    return Reckoned.model_validate(usual | changes)


WAVES = (("orders",), ("invoices", "report"))
_NOT_ASKED = NotAsked(why="the plan hands over for good")


def results(commit: bool = False, waves: bool = False) -> dict[str, BaseModel]:
    """What each step returned."""
    there, back = ((handover(A, 90, 1),), (handover(B, 190, 1),)) if waves else ((), ())
    found: dict[str, BaseModel] = {
        "survey": surveyed(WAVES if waves else (NAMES,)),
        "translate": Translated(schedules=4, jobs=4, untold=()),
        "mirror": Mirrored(jobs=4, schedules=4, differences=(), different=0),
        "shadow": Shadowed(until=AT + 400 * 86400 * SECOND, ticks=9000, schedules=3, cut_short=0, different=0,
                           differences=(), told=40, told_different=0, doubtful=2),
        "arm": Armed(side=B, schedules=3, began=AT + 10 * SECOND),
        "steady": watched(A, 20),
        "drain": drained(A, 60),
        "fence": raised(B, 60),
        "activate": activated(B, 60),
        "rest": Rested(side=A, schedules=3),
        "watch": watched(B, 70),
        "waves": Waves(handovers=there),
        "arm-back": Armed(side=A, schedules=3, began=AT + 130 * SECOND),
        "drain-back": drained(B, 160),
        "fence-back": raised(A, 160),
        "activate-back": activated(A, 160),
        "rest-back": Rested(side=B, schedules=3),
        "waves-back": Waves(handovers=back),
        "watch-back": watched(A, 200),
        "account": book(commit),
    }  # fmt: skip
    return {**found, **dict.fromkeys(BACK, _NOT_ASKED)} if commit else found


def observed(commit: bool = False) -> dict[str, list[Observation]]:
    """What was seen in each step."""
    found: dict[str, list[Observation]] = {
        "survey": [Identity(description="paper blue", proof="it said so", system_identifier="1"),
                   Identity(description="paper green", proof="it said so", system_identifier="2"), clock(A), clock(B)],
        "arm": [seen("b is armed", 3, 0, at=11)],
        "steady": [seen("steady", 3, 0, at=21)],
        "rest": [seen("a rests", 0, 3, at=66)],
        "watch": [clock(A, stage="watch"), clock(B, stage="watch"), seen("watch", 0, 3, at=71)],
        "watch-back": [] if commit else [seen("watch-back", 3, 0, at=201)],
        "account": [clock(A, stage="account"), clock(B, stage="account")],
    }  # fmt: skip
    return found


def home(side: Side = A, **changes: Any) -> HomeSeen:
    usual = {"owner": side, "active": 3, "released": {side: 3, side.other: 0}}
    return HomeSeen.model_validate(usual | changes)


UNSEEN = None
"""In the place of a step's result: the step was not begun."""


def journal(
    of: Plan,
    *,
    given: Mapping[str, BaseModel | None] | None = None,
    saw: Mapping[str, Iterable[Observation]] | None = None,
    ended: HomeSeen | str | None = "home",
    waves: bool = False,
    undone: bool = True,
) -> History:
    """A clean cutover's journal, but for what is given: results of steps, and what was seen in them."""
    assert of.cutover is not None
    commit = of.cutover.commit
    memory = Memory()
    paper = Journal(RUN, memory, Clock())
    paper.append(EventKind.OPENED, plan=of.model_dump(mode="json"), steps=list(STEPS), earlier={})
    facts = {**observed(commit), **(saw or {})}
    done = {step: one for step, one in {**results(commit, waves), **(given or {})}.items() if one is not None}
    for step, result in done.items():
        paper.append(EventKind.STARTED, step)
        for fact in facts.get(step, ()):
            paper.observe(fact)
        paper.append(EventKind.SUCCEEDED, step, result=result.model_dump(mode="json"))
    for step in reversed(done) if undone else ():
        paper.append(EventKind.UNDO_STARTED, step)
        if step == "arm" and ended is not None:
            paper.observe(home(B if commit else A) if isinstance(ended, str) else ended)
        paper.append(EventKind.UNDONE, step)
    return paper.history


def broken_off(of: Plan, step: str, cause: str = "drill", **more: Any) -> History:
    """The same, with a step that failed; what came after it is undone all the same."""
    whole = journal(of, **more)
    memory = Memory()
    paper = Journal(RUN, memory, Clock())
    for event in whole:
        if event.kind is EventKind.SUCCEEDED and event.step == step:
            paper.append(EventKind.FAILED, step, cause=cause, error="StepError", message="it broke", advice="mend it")
            break
        paper.append(event.kind, event.step, **event.body)
    begun = paper.history.step_states()
    for event in whole:
        is_undo = event.kind in {EventKind.UNDO_STARTED, EventKind.UNDONE}
        is_home = event.kind is EventKind.OBSERVED and event.body["type"] == HomeSeen.__name__ and "arm" in begun
        if (is_undo and event.step in begun) or is_home:
            paper.append(event.kind, event.step, **event.body)
    return paper.history


def tick(name: str = "orders", at: int = 55) -> TickOf:
    return TickOf(schedule=name, at=AT + at * SECOND)
