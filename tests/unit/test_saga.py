"""Steps in order, and what may stand between them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from muster.clock import SystemClock
from muster.drill import Context, Drill, Step, Told, Workspace
from muster.errors import StepError
from muster.journal import Event, EventKind, Journal
from muster.saga import run_steps


class Done(BaseModel):
    """What a step returns."""

    name: str


class Memory:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def append_event(self, event: Event) -> None:
        self.events.append(event)

    def read_events(self, run: str) -> tuple[Event, ...]:
        return tuple(self.events)


def drill(*steps: Step) -> Drill:
    told = Told(target="", measures=(), phases=(), facts=())
    return Drill(kind="paper", needs=object, steps=steps, checks=(), tell=lambda _h, _p: told)


def context(tmp_path: Path) -> Context:
    clock = SystemClock()
    plan: Any = None
    journal = Journal("run", Memory(), clock)
    journal.append(EventKind.OPENED)
    return Context(plan, None, journal, Workspace("run", tmp_path), clock, 2**63)


def step(name: str, course: list[str], *, urgent: bool = False) -> Step:
    def do(_context: Context) -> Done:
        course.append(f"act {name}")
        return Done(name=name)

    return Step(name, do=do, is_urgent=urgent)


def shown(course: list[str]) -> Callable[[str, Callable[[], BaseModel]], BaseModel]:
    def execute(name: str, act: Callable[[], BaseModel]) -> BaseModel:
        course.append(f"show {name}")
        return act()

    return execute


def test_nothing_stands_between_urgent_steps_and_they_are_shown_afterwards(tmp_path: Path) -> None:
    course: list[str] = []
    steps = (step("a", course), step("b", course, urgent=True), step("c", course, urgent=True), step("d", course))
    here = context(tmp_path)
    run_steps(drill(*steps), here, shown(course))
    assert course == ["show a", "act a", "act b", "act c", "show b", "show c", "show d", "act d"]
    assert [e.step for e in here.history.of(EventKind.SUCCEEDED)] == ["a", "b", "c", "d"]
    assert here.result("c", Done) == Done(name="c")


def test_an_urgent_step_that_fails_is_on_record_and_ends_the_drill(tmp_path: Path) -> None:
    def fail(_context: Context) -> Done:
        raise StepError("it broke")

    course: list[str] = []
    here = context(tmp_path)
    with pytest.raises(StepError, match="it broke"):
        run_steps(drill(Step("b", do=fail, is_urgent=True), step("d", course)), here, shown(course))
    assert course == []
    assert here.history.step_states()["b"] == "failed"
