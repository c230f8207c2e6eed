"""The course of a drill over sessions of paper: which laps are run in which session, and that each is ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from spark_paper import QUESTION, Clock, Memory, plan

from muster.drill import Context, Workspace
from muster.journal import EventKind, Journal
from muster.spark.observations import Lap, Missed
from tasks.spark.course import Course
from tasks.spark.post import Told
from tasks.spark.status import Executor, Stage

STAGE = Stage(
    id=1, attempt=0, name="reduce", status="COMPLETE", tasks=8, done=8, active=0, shuffle_read=9, shuffle_write=0
)
EXECUTOR = Executor(id="1", host="h1", is_active=True, cores=1, active_tasks=1, cached_bytes=0)


@dataclass
class Session:
    """Tells of every lap that it went as it is told to."""

    name: str
    state: str = "succeeded"
    laps: list[int] = field(default_factory=list)
    ends: int = 0

    @property
    def applications(self) -> tuple[str, ...]:
        return (f"app-{self.name}",)

    def begin(self, number: int, group: str, words: str, *, disturbed: bool) -> None:
        self.laps.append(number)
        self._is_disturbed = disturbed

    def ended(self) -> Told | None:
        if self._is_disturbed and self.state == "hung":
            return None
        state = self.state if self._is_disturbed else "succeeded"
        return Told.model_validate(
            {"number": 0, "question": QUESTION, "state": state, "began_ms": 1, "ended_ms": 2, "seconds": 0.001}
        )

    def stages(self, group: str) -> tuple[Stage, ...]:
        return (STAGE,)

    def executors(self) -> tuple[Executor, ...]:
        return (EXECUTOR,)

    def end(self) -> None:
        self.ends += 1


class Target:
    """Opens a session of paper for each name, and another one for a name that was ended."""

    def __init__(self, state: str = "succeeded") -> None:
        self.opened: list[Session] = []
        self.state, self.killed = state, 0

    def open_session(self, work: Any, name: str, settings: Mapping[str, str], data: str) -> Session:
        alive = [s for s in self.opened if s.name == name and not s.ends]
        if not alive:
            self.opened.append(Session(name, self.state))
        return alive[0] if alive else self.opened[-1]

    def data(self, work: Any) -> str:
        return "paper:/"

    def heal(self, work: Any) -> tuple[str, ...]:
        return ()

    def end_sessions(self, work: Any) -> None:
        self.killed += 1


def run(tmp_path: Path, target: Target, **spark: Any) -> list[Lap]:
    """Both halves of a course, each by an object of its own, as two steps have it."""
    of = plan(**spark)
    journal = Journal("run", Memory(), Clock())
    journal.append(EventKind.OPENED, plan=of.model_dump(mode="json"), steps=[], earlier={})
    context = Context(
        plan=of, target=target, journal=journal, workspace=Workspace("run", tmp_path),
        clock=SimpleNamespace(monotonic_ns=lambda: 0),  # type: ignore[arg-type]
        deadline_ns=10**12,
    )  # fmt: skip
    Course(context).first()
    Course(context).rest()
    assert len(journal.history.observed(Missed)) == sum(
        lap.kind == "disturbed" for lap in journal.history.observed(Lap)
    )
    return list(journal.history.observed(Lap))


@pytest.mark.parametrize("warm", [True, False])
def test_one_application_runs_all_pairs_and_is_ended_once(tmp_path: Path, warm: bool) -> None:
    target = Target()
    laps = run(tmp_path, target, repeats=2, warm=warm)
    first = ["cold"] if warm else []
    assert [lap.kind for lap in laps] == [*first, *["undisturbed", "disturbed"] * 2]
    assert [(s.name, s.ends) for s in target.opened] == [("plain-0", 1)]


@pytest.mark.parametrize("warm", [True, False])
def test_settings_that_are_compared_take_turns_in_applications_of_their_own(tmp_path: Path, warm: bool) -> None:
    target = Target()
    laps = run(tmp_path, target, repeats=2, warm=warm, settings={"a": {}, "b": {}}, compare=["a", "b"])
    assert [lap.variant for lap in laps if lap.kind == "disturbed"] == ["a", "b", "a", "b"]
    assert [(s.name, s.ends) for s in target.opened] == [("a-0", 1), ("b-0", 1), ("a-1", 1), ("b-1", 1)]
    assert [number for s in target.opened for number in s.laps] == [lap.number for lap in laps]


@pytest.mark.parametrize("state", ["hung", "failed"])
def test_a_lap_that_shows_enough_is_the_last_and_no_driver_is_started_after_it(tmp_path: Path, state: str) -> None:
    target = Target(state)
    laps = run(tmp_path, target, repeats=3, lap_limit="300ms")
    assert [(lap.kind, lap.state) for lap in laps][-1] == ("disturbed", state)
    assert len(laps) == 3
    assert [(s.name, s.ends) for s in target.opened] == [("plain-0", 1)]
    assert bool(target.killed) is (state == "hung")
