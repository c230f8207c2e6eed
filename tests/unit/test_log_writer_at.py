"""What is logged only at a size: of writers that read the same log, one logs."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.paper_log import NOON, Killed, MemoryShelf, assert_whole, drafts, log


def test_it_is_logged_at_its_size_and_at_no_other() -> None:
    shelf = MemoryShelf()
    log(shelf).append(drafts("a"))
    assert log(shelf).append_at(drafts("b"), 0) is None
    assert log(shelf).append_at(drafts("b"), 2) is None
    done = log(shelf).append_at(drafts("b", "c"), 1)
    assert done is not None
    assert [entry.index for entry in done.entries] == [1, 2]
    assert done.view.size == 3
    assert_whole(shelf.content, ["a", "b", "c"])


def test_what_a_batch_does_not_take_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evidence.log.writer.MOST_ENTRIES", 2)
    shelf = MemoryShelf()
    done = log(shelf).append_at(drafts("a", "b", "c"), 0)
    assert done is not None
    assert len(done.entries) == 2
    assert_whole(shelf.content, ["a", "b"])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.sampled_from(["before", "after"]), st.booleans())
def test_of_two_that_read_the_same_one_logs_wherever_the_first_dies(at: int, moment: str, is_batch: bool) -> None:
    content: dict[str, bytes] = {}
    log(MemoryShelf(content)).append(drafts("there"))
    left = [at]

    def countdown(_verb: str, _key: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    first = MemoryShelf(content, **{moment: countdown})
    mine = ["mine", "too"] if is_batch else ["mine"]
    with suppress(Killed):
        log(first).append_at(drafts(*mine), 1)
    later = log(MemoryShelf(content), now=lambda: NOON + timedelta(hours=1))
    done = later.append_at(drafts("theirs"), 1)
    assert_whole(content, ["there", *(["theirs"] if done else mine)])
