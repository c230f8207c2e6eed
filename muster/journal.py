"""The journal: the append-only record of a run, written before each act and after it.

Promises: an event is durable before the act it announces; an event that breaks the transition table is
refused; two processes never both append to one run (the sequence number is the fence).
Idea: Steno's saga log (oxidecomputer/steno), one transition function over one table.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from muster.clock import Clock
from muster.errors import JournalError


class EventKind(StrEnum):
    """What happened. Step events name their step; run events have none."""

    OPENED = "opened"
    OBSERVED = "observed"
    NOTED = "noted"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNDO_STARTED = "undo_started"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"
    JUDGED = "judged"
    SEALED = "sealed"
    SENT = "sent"


class StepState(StrEnum):
    """Where a step stands; every state but `waiting` and `undone` still needs its undo."""

    WAITING = "waiting"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"


class RunState(StrEnum):
    """Where a run stands. Sealed evidence holds the journal up to `judged`."""

    NEW = "new"
    OPEN = "open"
    JUDGED = "judged"
    SEALED = "sealed"
    SENT = "sent"


_S, _K = StepState, EventKind
STEP_TRANSITIONS: Mapping[tuple[StepState, EventKind], StepState] = {
    (_S.WAITING, _K.STARTED): _S.STARTED,
    (_S.STARTED, _K.SUCCEEDED): _S.SUCCEEDED,
    (_S.STARTED, _K.FAILED): _S.FAILED,
    (_S.STARTED, _K.UNDO_STARTED): _S.UNDOING,  # the process died in the step
    (_S.SUCCEEDED, _K.UNDO_STARTED): _S.UNDOING,
    (_S.FAILED, _K.UNDO_STARTED): _S.UNDOING,
    (_S.UNDOING, _K.UNDONE): _S.UNDONE,
    (_S.UNDOING, _K.UNDO_FAILED): _S.UNDO_FAILED,
    (_S.UNDOING, _K.UNDO_STARTED): _S.UNDOING,  # the process died in the undo
    (_S.UNDO_FAILED, _K.UNDO_STARTED): _S.UNDOING,
}
RUN_TRANSITIONS: Mapping[tuple[RunState, EventKind], RunState] = {
    (RunState.NEW, _K.OPENED): RunState.OPEN,
    (RunState.OPEN, _K.JUDGED): RunState.JUDGED,
    (RunState.JUDGED, _K.SEALED): RunState.SEALED,
    (RunState.SEALED, _K.SENT): RunState.SENT,
}
_FREE = frozenset({_K.OBSERVED, _K.NOTED})  # allowed while the run is open
_RUN_KINDS = frozenset(kind for _, kind in RUN_TRANSITIONS)
_UNDO_KINDS = frozenset({_K.UNDO_STARTED, _K.UNDONE, _K.UNDO_FAILED})
_NEEDS_UNDO = frozenset(_S) - {_S.WAITING, _S.UNDONE}


class Event(BaseModel):
    """One line of the journal: `at` is wall time (UTC), `mono_ns` the writer's monotonic clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    seq: int
    kind: EventKind
    step: str = ""
    at: datetime
    mono_ns: int
    body: dict[str, Any] = {}


class Observation(BaseModel):
    """A typed fact measured while the drill ran. Subclasses are its types; their class names are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")


M = TypeVar("M", bound=BaseModel)
Obs = TypeVar("Obs", bound=Observation)


class History(Sequence[Event]):
    """A run's events, read-only: what checks, undo and reports see."""

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self._events = tuple(events)

    def __getitem__(self, index: Any) -> Any:
        return self._events[index]

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def of(self, kind: EventKind) -> tuple[Event, ...]:
        """The events of one kind, in order."""
        return tuple(e for e in self._events if e.kind is kind)

    def result(self, step: str, model: type[M]) -> M | None:
        """What a step returned, or `None` if it did not succeed."""
        for event in self._events:
            if event.kind is EventKind.SUCCEEDED and event.step == step:
                return model.model_validate(event.body["result"])
        return None

    def observed(self, model: type[Obs]) -> tuple[Obs, ...]:
        """Every observation of one type, in the order in which it was made."""
        name = model.__name__
        return tuple(
            model.model_validate(e.body["value"]) for e in self.of(EventKind.OBSERVED) if e.body["type"] == name
        )

    def latest(self, model: type[Obs]) -> Obs | None:
        """The newest observation of one type, or `None` when there was none."""
        found = self.observed(model)
        return found[-1] if found else None

    def step_states(self) -> dict[str, StepState]:
        """The state of every step that started, in the order in which they started."""
        states: dict[str, StepState] = {}
        for event in self._events:
            if event.step and event.kind not in _FREE:
                states[event.step] = STEP_TRANSITIONS[states.get(event.step, StepState.WAITING), event.kind]
        return states

    def needs_undo(self) -> tuple[str, ...]:
        """Steps that started and are not undone, the last started first."""
        return tuple(reversed([s for s, state in self.step_states().items() if state in _NEEDS_UNDO]))

    def run_state(self) -> RunState:
        """Where the run as a whole stands."""
        state = RunState.NEW
        for event in self._events:
            state = RUN_TRANSITIONS.get((state, event.kind), state)
        return state

    def failure(self) -> Event | None:
        """The first step failure, if any."""
        failures = self.of(EventKind.FAILED)
        return failures[0] if failures else None

    def sealed_part(self) -> "History":
        """The journal up to and with `judged`: what evidence holds."""
        for index, event in enumerate(self._events):
            if event.kind is EventKind.JUDGED:
                return History(self._events[: index + 1])
        return self


class EventStore(Protocol):
    """Where events live. The ledger implements it; tests use a list."""

    def append_event(self, event: Event) -> None:
        """Make one event durable; raise `JournalError` if this run already has that `seq`."""
        ...

    def read_events(self, run: str) -> tuple[Event, ...]:
        """A run's events in order."""
        ...


@dataclass
class Journal:
    """The writing end for one run. Safe to share between threads of one process."""

    run: str
    store: EventStore
    clock: Clock

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._events = list(self.store.read_events(self.run))
        self._unsure = False

    @property
    def history(self) -> History:
        """Everything appended so far."""
        return History(self._events)

    def append(self, kind: EventKind, step: str = "", **body: Any) -> Event:
        """Record one event; it is durable when this returns."""
        with self._lock:
            if self._unsure:  # an interrupt fell between the store and us
                self._events = list(self.store.read_events(self.run))
            _assert_legal(self.history, kind, step)
            event = Event(
                run=self.run,
                seq=len(self._events),
                kind=kind,
                step=step,
                at=self.clock.now(),
                mono_ns=self.clock.monotonic_ns(),
                body=body,
            )
            self._unsure = True
            self.store.append_event(event)
            self._events.append(event)
            self._unsure = False
            return event

    def observe(self, observation: Observation, step: str = "") -> None:
        """Record a typed fact."""
        self.append(
            EventKind.OBSERVED, step, type=type(observation).__name__, value=observation.model_dump(mode="json")
        )


def _assert_legal(history: History, kind: EventKind, step: str) -> None:
    run_state = history.run_state()
    if kind in _RUN_KINDS:
        legal = (run_state, kind) in RUN_TRANSITIONS and not step
    elif kind in _FREE:
        legal = run_state is RunState.OPEN
    else:
        before = history.step_states().get(step, StepState.WAITING)
        # An undo that failed is finished later, when the run is long judged and sealed.
        in_time = run_state is RunState.OPEN or (kind in _UNDO_KINDS and run_state is not RunState.NEW)
        legal = bool(step) and in_time and (before, kind) in STEP_TRANSITIONS
    if not legal:
        where = f"step {step!r}" if step else "run"
        raise JournalError(
            f"journal of run {history[0].run if history else '(new)'}: {kind.value!r} is not a legal next event"
            f" for {where} (the run is {run_state.value})",
            "another process may have taken the run over; see `muster undo list`",
        )
