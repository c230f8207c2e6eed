"""The course of a drill over sessions of paper: which laps are run in which session, how long each took, and that each
is ended."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from spark_paper import QUESTION, Clock, Memory, cluster, plan

from muster.drill import Context, Workspace
from muster.journal import EventKind, History, Journal
from muster.spark.measuring import pairs_of
from muster.spark.observations import ClusterSeen, Lap, Missed, Struck, Victim
from tasks.spark import course
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
    """Both halves of a course, in which no fault ever struck."""
    history = drill(tmp_path, target, **spark)
    laps = history.observed(Lap)
    assert len(history.observed(Missed)) == sum(lap.kind == "disturbed" for lap in laps)
    return list(laps)


def drill(tmp_path: Path, target: Target, **spark: Any) -> History:
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
    return journal.history


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


class Chain(Session):
    """A session whose driver dies in each disturbed lap; the next one does the lap again, within a second."""

    BEGINS, SECONDS = 50_000, 1.0

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._drivers = 1

    @property
    def applications(self) -> tuple[str, ...]:
        return tuple(f"app-{n}" for n in range(1, self._drivers + 1))

    def begin(self, number: int, group: str, words: str, *, disturbed: bool) -> None:
        super().begin(number, group, words, disturbed=disturbed)
        self._goes_on = not disturbed

    def ended(self) -> Told | None:
        if not self._goes_on:
            self._drivers, self._goes_on = self._drivers + 1, True
            return None
        began = self.BEGINS if self._is_disturbed else 1
        return Told.model_validate({
            "number": 0, "question": QUESTION, "state": "succeeded", "began_ms": began,
            "ended_ms": began + 1000, "seconds": self.SECONDS,
        })  # fmt: skip


class Each(Session):
    """A session whose laps have an application each, as a service runs them."""

    @property
    def applications(self) -> tuple[str, ...]:
        return tuple(f"app-{number}" for number in self.laps[-1:])


class Opens(Target):
    """Opens sessions of one kind, and strikes when it is asked to."""

    def __init__(self, kind: type[Session]) -> None:
        super().__init__()
        self.kind = kind
        self.struck: list[Victim] = []

    def open_session(self, work: Any, name: str, settings: Mapping[str, str], data: str) -> Session:
        if not self.opened:
            self.opened.append(self.kind(name))
        return self.opened[0]

    def look(self, stage: str, work: Any = None) -> ClusterSeen:
        return cluster(stage)

    def strike(self, moment: Any, victims: tuple[Victim, ...], work: Any) -> tuple[str, ...]:
        self.struck += victims
        return ("it was done",)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drill's own clock: two seconds later each time it is read."""
    ticks = itertools.count(10_000, 2000)
    monkeypatch.setattr(course, "_now_ms", lambda: next(ticks))


@pytest.mark.usefixtures("clock")
def test_a_lap_whose_driver_was_started_again_took_from_its_first_beginning_on(tmp_path: Path) -> None:
    history = drill(tmp_path, Opens(Chain), fault={"type": "kill-driver"}, repeats=2)
    laps = history.observed(Lap)
    again = [lap for lap in laps if lap.kind == "disturbed"]
    assert [(lap.began_ms < Chain.BEGINS, lap.ended_ms) for lap in again] == [(True, Chain.BEGINS + 1000)] * 2
    assert [lap.seconds for lap in again] == [(lap.ended_ms - lap.began_ms) / 1000 for lap in again]
    assert all(lap.seconds > 10 * Chain.SECONDS for lap in again), "the second driver alone would say so"
    assert {(lap.began_ms, lap.seconds) for lap in laps if lap.kind != "disturbed"} == {(1, Chain.SECONDS)}
    assert [lap.applications for lap in laps] == [
        ("app-1",), ("app-1",), ("app-1", "app-2"), ("app-2",), ("app-2", "app-3"),
    ]  # fmt: skip
    assert all(pair.delay > 10 for pair in pairs_of(history))


@pytest.mark.usefixtures("clock")
def test_laps_with_an_application_each_are_timed_by_their_own_word(tmp_path: Path) -> None:
    laps = drill(tmp_path, Opens(Each), repeats=2).observed(Lap)
    assert [lap.applications for lap in laps] == [(f"app-{n}",) for n in range(5)]
    assert {(lap.began_ms, lap.seconds) for lap in laps} == {(1, 0.001)}


class AtWork(Session):
    """Its stage runs while a disturbed lap does, for some looks at it."""

    _looks = 0

    def stages(self, group: str) -> tuple[Stage, ...]:
        return (replace(STAGE, status="ACTIVE", done=4, active=1),) if self.laps and self._is_disturbed else (STAGE,)

    def ended(self) -> Told | None:
        self._looks += 1
        return None if self._is_disturbed and self._looks < 5 else super().ended()


@pytest.mark.usefixtures("clock")
def test_when_a_strike_began_and_when_it_was_done_go_on_record(tmp_path: Path) -> None:
    target = Opens(AtWork)
    (struck,) = drill(tmp_path, target, repeats=1).observed(Struck)
    assert struck.victims == tuple(target.struck)
    assert struck.done_ms == struck.at_ms + 2000
