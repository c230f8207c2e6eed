"""Several writers of one log at once, their operations in any order, dying anywhere."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.log import Appended, Draft
from tests.unit.paper_log import NOON, Killed, MemoryShelf, assert_whole, drafts, log


@dataclass
class Turn:
    """A writer in a thread of its own, that does one operation of its store each time it is told to."""

    content: dict[str, bytes]
    drafts: Sequence[Draft]
    appended: Appended | None = None
    error: BaseException | None = None
    _may_go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _stands: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _dies: bool = False

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        self._stands.acquire()

    @property
    def is_done(self) -> bool:
        return self.appended is not None or self.error is not None

    def step(self, *, die: bool = False) -> None:
        """Let it do its next operation, or die before it."""
        self._dies = die
        self._may_go.release()
        self._stands.acquire()

    def _wait(self, verb: str, key: str) -> None:
        self._stands.release()
        self._may_go.acquire()
        if self._dies:
            raise Killed

    def _write(self) -> None:
        try:
            self.appended = log(MemoryShelf(self.content, before=self._wait)).append_once(self.drafts, NOON)
        except BaseException as error:
            self.error = error
        self._stands.release()


def run_in_some_order(data: st.DataObject, content: dict[str, bytes], tasks: list[list[Draft]], deaths: int) -> None:
    """Run writers until all is logged. One that dies is begun again, as a service would be."""
    writers = [Turn(content, task) for task in tasks]
    while waiting := [number for number, writer in enumerate(writers) if not writer.is_done]:
        number = data.draw(st.sampled_from(waiting))
        die = deaths > 0 and data.draw(st.integers(0, 9)) == 0
        writers[number].step(die=die)
        if die:
            deaths -= 1
            assert isinstance(writers[number].error, Killed)
            writers[number] = Turn(content, tasks[number])
    for writer, task in zip(writers, tasks, strict=True):
        assert writer.error is None, writer.error
        assert writer.appended is not None
        assert [entry.envelope for entry in writer.appended.entries] == [draft.envelope for draft in task]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_writers_at_once_lose_nothing_and_log_nothing_twice(data: st.DataObject) -> None:
    there = data.draw(st.sampled_from([0, 1, 254]))
    content: dict[str, bytes] = {}
    if there:
        log(MemoryShelf(content)).append(drafts(*range(there)))
    names = [[f"{writer} {number}" for number in range(data.draw(st.integers(1, 3)))] for writer in range(3)]
    run_in_some_order(data, content, [drafts(*some) for some in names], deaths=2)
    assert_whole(content, [*range(there), *(name for some in names for name in some)])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_one_thing_that_two_writers_bring_is_logged_once(data: st.DataObject) -> None:
    content: dict[str, bytes] = {}
    tasks = [drafts("shared", "a"), drafts("b", "shared"), drafts("shared")]
    run_in_some_order(data, content, tasks, deaths=2)
    assert_whole(content, ["shared", "a", "b"])


def test_six_writers_in_threads_make_one_chain() -> None:
    content: dict[str, bytes] = {}
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for number in range(5):
                log(MemoryShelf(content)).append_once(drafts(f"{writer} {number}"), NOON)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert_whole(content, [f"{writer} {number}" for writer in range(6) for number in range(5)])
