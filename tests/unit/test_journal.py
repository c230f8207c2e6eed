"""The journal: its transition table, exhaustively, and what can be read back from it."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from muster.errors import JournalError
from muster.journal import (
    RUN_TRANSITIONS,
    STEP_TRANSITIONS,
    Event,
    EventKind,
    History,
    Journal,
    Observation,
    RunState,
    StepState,
)

AT = datetime(2026, 3, 1, tzinfo=UTC)
STEP_KINDS = {kind for _, kind in STEP_TRANSITIONS}
RUN_KINDS = {kind for _, kind in RUN_TRANSITIONS}
FREE_KINDS = {EventKind.OBSERVED, EventKind.NOTED}
UNDO_KINDS = {EventKind.UNDO_STARTED, EventKind.UNDONE, EventKind.UNDO_FAILED}


class TickingClock:
    """A second passes with every reading."""

    def __init__(self) -> None:
        self._ticks = itertools.count()

    def now(self) -> datetime:
        return AT + timedelta(seconds=next(self._ticks))

    def monotonic_ns(self) -> int:
        return next(self._ticks) * 10**9


class ListStore:
    """Events in memory, with the ledger's fence: one event per (run, seq)."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, int], Event] = {}

    def append_event(self, event: Event) -> None:
        if (event.run, event.seq) in self.events:
            raise JournalError("taken over")
        self.events[event.run, event.seq] = event

    def read_events(self, run: str) -> tuple[Event, ...]:
        return tuple(event for (owner, _), event in sorted(self.events.items()) if owner == run)


class Size(Observation):
    bytes: int


class Restored(BaseModel):
    path: str


def _journal(store: ListStore | None = None) -> Journal:
    return Journal("run-1", store or ListStore(), TickingClock())


def _open() -> Journal:
    journal = _journal()
    journal.append(EventKind.OPENED)
    return journal


def _accepts(journal: Journal, kind: EventKind, step: str = "") -> bool:
    """Whether the event is taken; a refused one must leave no trace."""
    before = len(journal.history)
    try:
        journal.append(kind, step)
    except JournalError:
        assert len(journal.history) == len(journal.store.read_events("run-1")) == before
        return False
    return True


_PATHS: dict[StepState, tuple[EventKind, ...]] = {
    StepState.WAITING: (),
    StepState.STARTED: (EventKind.STARTED,),
    StepState.SUCCEEDED: (EventKind.STARTED, EventKind.SUCCEEDED),
    StepState.FAILED: (EventKind.STARTED, EventKind.FAILED),
    StepState.UNDOING: (EventKind.STARTED, EventKind.UNDO_STARTED),
    StepState.UNDONE: (EventKind.STARTED, EventKind.UNDO_STARTED, EventKind.UNDONE),
    StepState.UNDO_FAILED: (EventKind.STARTED, EventKind.UNDO_STARTED, EventKind.UNDO_FAILED),
}
_RUN_PATH = (EventKind.OPENED, EventKind.JUDGED, EventKind.SEALED, EventKind.SENT)
_RUN_STATES = (RunState.NEW, RunState.OPEN, RunState.JUDGED, RunState.SEALED, RunState.SENT)


def _in_states(run_state: RunState, step_state: StepState) -> Journal:
    """A journal whose run and whose step "restore" stand in these states."""
    journal = _journal()
    for kind in _RUN_PATH[: _RUN_STATES.index(run_state)]:
        journal.append(kind)
        if kind is EventKind.OPENED:
            for step_kind in _PATHS[step_state]:
                journal.append(step_kind, "restore")
    return journal


@pytest.mark.parametrize("state", StepState)
def test_step_takes_exactly_the_events_of_the_table(state: StepState) -> None:
    for kind in STEP_KINDS:
        journal = _in_states(RunState.OPEN, state)
        assert journal.history.step_states().get("restore", StepState.WAITING) is state
        assert _accepts(journal, kind, "restore") == ((state, kind) in STEP_TRANSITIONS), kind
        if (state, kind) in STEP_TRANSITIONS:
            assert journal.history.step_states()["restore"] is STEP_TRANSITIONS[state, kind]


@pytest.mark.parametrize("state", RunState)
def test_run_takes_exactly_the_events_of_the_table(state: RunState) -> None:
    for kind in RUN_KINDS:
        journal = _in_states(state, StepState.WAITING)
        assert journal.history.run_state() is state
        assert _accepts(journal, kind) == ((state, kind) in RUN_TRANSITIONS), kind
        if (state, kind) in RUN_TRANSITIONS:
            assert journal.history.run_state() is RUN_TRANSITIONS[state, kind]


@pytest.mark.parametrize(("run_state", "step_state"), list(itertools.product(_RUN_STATES[2:], StepState)))
def test_run_that_was_judged_takes_undo_and_nothing_else_of_a_step(run_state: RunState, step_state: StepState) -> None:
    for kind in STEP_KINDS:
        legal = kind in UNDO_KINDS and (step_state, kind) in STEP_TRANSITIONS
        assert _accepts(_in_states(run_state, step_state), kind, "restore") == legal, kind


def test_run_that_is_not_open_yet_takes_no_step() -> None:
    assert not any(_accepts(_journal(), kind, "restore") for kind in STEP_KINDS)


@pytest.mark.parametrize(("state", "kind"), list(itertools.product(RunState, sorted(FREE_KINDS))))
def test_facts_are_taken_while_the_run_is_open(state: RunState, kind: EventKind) -> None:
    for step in ("", "restore"):
        assert _accepts(_in_states(state, StepState.WAITING), kind, step) == (state is RunState.OPEN)


def test_refusal_says_what_was_not_legal_where_and_what_to_do() -> None:
    with pytest.raises(
        JournalError, match=r"run-1: 'succeeded' is not a legal next event for step 'restore'"
    ) as caught:
        _open().append(EventKind.SUCCEEDED, "restore")
    assert caught.value.advice


def test_step_event_names_its_step_and_run_event_none() -> None:
    assert not any(_accepts(_in_states(RunState.OPEN, StepState.WAITING), kind) for kind in STEP_KINDS)
    assert not any(_accepts(_in_states(s, StepState.WAITING), k, "restore") for s, k in RUN_TRANSITIONS)


def test_every_kind_of_event_has_its_place() -> None:
    assert set(EventKind) == STEP_KINDS | RUN_KINDS | FREE_KINDS
    assert {state for state, _ in STEP_TRANSITIONS} | set(STEP_TRANSITIONS.values()) == set(StepState)


@given(st.data())
def test_what_still_needs_undo_is_every_started_step_not_undone_last_first(data: st.DataObject) -> None:
    journal = _open()
    for _ in range(data.draw(st.integers(0, 15))):
        states = journal.history.step_states()
        step = data.draw(st.sampled_from(["choose", "restore", "recover"]))
        legal = [kind for state, kind in STEP_TRANSITIONS if state is states.get(step, StepState.WAITING)]
        if legal:
            journal.append(data.draw(st.sampled_from(legal)), step)
    started = [event.step for event in journal.history.of(EventKind.STARTED)]
    undone = {event.step for event in journal.history.of(EventKind.UNDONE)}
    assert journal.history.needs_undo() == tuple(step for step in reversed(started) if step not in undone)


def test_events_are_numbered_and_stamped() -> None:
    journal = _open()
    journal.append(EventKind.STARTED, "choose", reason="why")
    first, second = journal.history
    assert (first.seq, second.seq, second.step, second.body) == (0, 1, "choose", {"reason": "why"})
    assert first.at < second.at
    assert first.mono_ns < second.mono_ns
    with pytest.raises(ValidationError):
        second.seq = 9  # type: ignore[misc]


def test_second_process_is_fenced_and_a_later_one_goes_on() -> None:
    store = ListStore()
    first, second = _journal(store), _journal(store)
    first.append(EventKind.OPENED)
    assert not store.read_events("run-2")
    with pytest.raises(JournalError):
        second.append(EventKind.OPENED)
    assert len(second.history) == 0, "what the store refused never happened"
    third = _journal(store)
    third.append(EventKind.STARTED, "choose")
    assert [event.seq for event in store.read_events("run-1")] == [0, 1]


def test_result_is_what_the_step_returned_and_none_when_it_failed() -> None:
    journal = _open()
    for step, outcome in (("restore", EventKind.SUCCEEDED), ("recover", EventKind.FAILED)):
        journal.append(EventKind.STARTED, step)
        journal.append(outcome, step, result=Restored(path="/x").model_dump(mode="json"))
    assert journal.history.result("restore", Restored) == Restored(path="/x")
    assert journal.history.result("recover", Restored) is None
    failure = journal.history.failure()
    assert failure is not None
    assert failure.step == "recover"


def test_run_without_failure_has_none() -> None:
    assert _open().history.failure() is None


def test_observations_come_back_by_type_in_order() -> None:
    class Other(Observation):
        bytes: int

    journal = _open()
    for fact in (Size(bytes=1), Other(bytes=2), Size(bytes=3)):
        journal.observe(fact)
    assert journal.history.observed(Size) == (Size(bytes=1), Size(bytes=3))
    assert journal.history.latest(Size) == Size(bytes=3)
    assert History().latest(Size) is None


def test_sealed_part_ends_with_the_judgement() -> None:
    open_journal = _in_states(RunState.OPEN, StepState.SUCCEEDED)
    assert list(open_journal.history.sealed_part()) == list(open_journal.history)
    sent = _in_states(RunState.SENT, StepState.SUCCEEDED)
    sent.append(EventKind.UNDO_STARTED, "restore")
    assert [event.kind for event in sent.history.sealed_part()][-1] is EventKind.JUDGED
    assert sent.history.step_states()["restore"] is StepState.UNDOING
