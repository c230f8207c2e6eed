"""Work beside the steps: brought to its end when asked, heard when it fails, never left behind."""

import threading
from concurrent.futures import TimeoutError as TookTooLong

import pytest

from muster.drill import Background
from muster.errors import StepError

PATIENCE = 60.0


class Worker:
    """Waits until it is told to end, and says whether it came to its end."""

    def __init__(self) -> None:
        self.over, self.ended = threading.Event(), threading.Event()

    def act(self) -> None:
        if self.over.wait(PATIENCE):
            self.ended.set()


def broken() -> None:
    raise StepError("it broke", "look")


def test_finishing_ends_the_work_and_waits_for_it() -> None:
    background, worker = Background(), Worker()
    background.start("lag", worker.act, end=worker.over.set)
    assert not worker.ended.is_set()
    background.finish("lag", PATIENCE)
    assert worker.ended.is_set()
    background.abandon()


def test_finishing_tells_how_the_work_failed() -> None:
    background = Background()
    background.start("lag", broken, end=lambda: None)
    with pytest.raises(StepError, match="it broke"):
        background.finish("lag", PATIENCE)
    background.finish("lag", PATIENCE)  # told once
    background.abandon()


def test_what_was_never_started_is_finished() -> None:
    background = Background()
    background.finish("lag", PATIENCE)
    background.gather("lag", PATIENCE)
    background.abandon()


def test_finishing_one_leaves_the_other() -> None:
    background, one, other = Background(), Worker(), Worker()
    background.start("one", one.act, end=one.over.set)
    background.start("other", other.act, end=other.over.set)
    background.finish("one", PATIENCE)
    assert not other.over.is_set()
    background.abandon()
    assert other.ended.is_set(), "nothing runs on once it is abandoned"


def test_what_does_not_end_holds_up_nobody() -> None:
    background, worker = Background(), Worker()
    background.start("deaf", worker.act, end=lambda: None)
    with pytest.raises(TookTooLong):
        background.finish("deaf", 0.01)
    worker.over.set()
    background.abandon()
    assert worker.ended.is_set()


def test_abandoned_twice_it_ends_once_more() -> None:
    background, worker = Background(), Worker()
    background.start("lag", worker.act, end=worker.over.set)
    background.abandon()
    background.abandon()
    assert worker.ended.is_set()
