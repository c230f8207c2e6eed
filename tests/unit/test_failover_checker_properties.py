"""The checker against a naive one over generated histories, and how its numbers must move when a history changes."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muster.failover import attempts, wholereads
from muster.failover.checker import Span, account
from muster.failover.history import Kind, make_id
from muster.failover.observations import Accounting, SetRead
from tests.unit.naive_checker import NaiveChecker
from tests.unit.paper_history import HOME, NEW, OLD, SERVERS, PaperHistory

ANYBODY = (OLD, OLD, "b/200/1", NEW, HOME, "p/400/2", "p/500/0", "")
WRITERS, READERS = 3, ("a", "b")
ENDS = (Kind.OK, Kind.OK, Kind.OK, Kind.FAIL, Kind.INFO)
ANSWERS = (Kind.READ_PRESENT, Kind.READ_ABSENT, Kind.READ_FAIL)

step = st.tuples(
    st.integers(0, WRITERS + len(READERS)),  # who: a writer, a reader, or a whole read
    st.integers(0, 7),  # what of it
    st.integers(0, 3),  # time since the step before
    st.integers(0, 2**16 - 1),  # which ids a whole read holds
)
quick = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])


class Playing:
    """A history played from steps; whatever they are, it is one that a client could have left."""

    def __init__(self, folder: Path, steps: list[tuple[int, int, int, int]], one_log: bool) -> None:
        self.paper, self.one_log, self.now = PaperHistory(folder), one_log, 1000
        self.reads: list[SetRead] = []
        self.ids: list[int] = []
        self.numbers = [0] * WRITERS
        self.is_open = [False] * WRITERS
        self.asked: dict[str, int] = {}
        for who, what, passed, mask in steps:
            self.now += passed
            if who < WRITERS:
                self._write(who, what)
            elif who < WRITERS + len(READERS):
                self._read(READERS[who - WRITERS], what)
            else:
                self._whole(what, mask)

    def _write(self, who: int, what: int) -> None:
        log = "w-000.log" if self.one_log else f"w-{who:03d}.log"
        kind = ENDS[what % len(ENDS)] if self.is_open[who] else Kind.INVOKE
        if kind is Kind.INVOKE:
            self.numbers[who] += 1
            self.ids.append(make_id(who, self.numbers[who]))
        self.is_open[who] = not self.is_open[who]
        session = self.paper.session(log, ANYBODY[what])
        self.paper.append(log, kind, who, session, make_id(who, self.numbers[who]), self.now)

    def _read(self, node: str, what: int) -> None:
        log = f"r-{node}.log"
        if node in self.asked:
            self.paper.append(log, ANSWERS[what % 3], 0, 1, self.asked.pop(node), self.now)
        elif self.ids:
            self.asked[node] = self.ids[-1 - what % len(self.ids)]
            self.paper.append(log, Kind.READ_INVOKE, 0, 1, self.asked[node], self.now)

    def _whole(self, what: int, mask: int) -> None:
        ids = [n for at, n in enumerate(self.ids) if mask >> at % 16 & 1]
        doubled = [n for at, n in enumerate(ids) if what > 4 and mask >> (at + 5) % 16 & 1]
        strangers = [make_id(0, 10**6), make_id(77, what + 1), what] if what == 6 else []
        self.reads.append(
            self.paper.whole_of([*ids, *doubled, *strangers], self.now, ANYBODY[what], f"s{what}", what != 2)
        )


@contextmanager
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path)


def both(path: Path, reads: list[SetRead], spans: list[Span], promoted_ns: int | None, chunk: int) -> Accounting:
    """What both checkers say, which has to be the same but for the words."""
    with mock.patch.object(attempts, "_STEP", chunk), mock.patch.object(wholereads, "_STEP", chunk):
        fast = account(path, reads, spans, SERVERS, promoted_ns)
    slow = NaiveChecker(path, reads, spans, SERVERS, promoted_ns).account()
    assert fast.model_copy(update={"why_not_whole": ""}) == slow
    assert bool(fast.why_not_whole) is not fast.is_whole
    return fast


spans = st.lists(
    st.builds(
        lambda phase, at, length: Span(phase, 1000 + at, 1000 + at + length),
        st.sampled_from(["before", "takeover", "after", "outside"]),
        st.integers(-5, 60),
        st.integers(0, 40),
    ),
    max_size=5,
)
moments = st.none() | st.integers(1000, 1080)
chunks = st.sampled_from([1, 2, 3, 5, 1000])


@quick
@given(
    steps=st.lists(step, max_size=60), spans=spans, promoted=moments, chunk=chunks, one=st.booleans(), end=st.booleans()
)
def test_it_says_what_the_naive_one_says(
    steps: list[tuple[int, int, int, int]], spans: list[Span], promoted: int | None, chunk: int, one: bool, end: bool
) -> None:
    with folder() as path:
        played = Playing(path, steps, one)
        played.paper.write(end=end)
        seen = both(path, played.reads, spans, promoted, chunk)
        total = seen.total
        assert total.attempts == total.acknowledged + total.failed + total.unknown
        assert total.attempts == len(played.ids) or seen.is_damaged
        assert total.acknowledged >= total.recovered + total.lost
        assert seen.is_whole <= end


HARM = st.sampled_from(["drop", "swap", "repeat", "garble", "pad", "cut"])


@quick
@given(
    steps=st.lists(step, min_size=3, max_size=40), harm=HARM, at=st.integers(0, 10**6), chunk=chunks, one=st.booleans(),
    signed=st.booleans(),
)  # fmt: skip
def test_a_harmed_log_is_found_and_both_read_it_as_far(
    steps: list[tuple[int, int, int, int]], harm: str, at: int, chunk: int, one: bool, signed: bool
) -> None:
    """`signed`: whoever did the harm also wrote an end that fits; then only the grammar can tell."""
    with folder() as path:
        played = Playing(path, steps, one)
        if not played.paper.records:
            return
        if not signed:
            played.paper.write()
        name = sorted(played.paper.records)[at % len(played.paper.records)]
        before = list(played.paper.records[name])
        harmed = _harm(before, harm, at)
        played.paper.records[name] = harmed
        if signed:
            played.paper.write()
        else:
            (path / name).write_bytes(b"".join(harmed))
        seen = both(path, played.reads, [Span("all", 0, 10**9)], None, chunk)
        if not signed and harmed != before:
            assert seen.is_damaged
            assert not seen.is_whole


def _harm(records: list[bytes], harm: str, at: int) -> list[bytes]:
    harmed, here = list(records), at % len(records)
    if harm == "drop":
        del harmed[here]
    elif harm == "swap":
        harmed[here - 1], harmed[here] = harmed[here], harmed[here - 1]
    elif harm == "repeat":
        harmed.insert(here, harmed[here])
    elif harm == "garble":
        harmed[here] = bytes([harmed[here][0] % 9 + 1]) + harmed[here][1:]
    elif harm == "pad":
        harmed.append(bytes(32))
    else:
        harmed[-1] = harmed[-1][: at % 32]
    return harmed


@quick
@given(steps=st.lists(step, max_size=40), one=st.booleans(), at=st.integers(0, 10**6))
def test_an_acknowledged_write_taken_from_the_last_read_is_one_more_lost(
    steps: list[tuple[int, int, int, int]], one: bool, at: int
) -> None:
    with folder() as path:
        played = Playing(path, steps, one)
        played.paper.write()
        last = played.paper.whole_of(played.ids, played.now + 1, NEW)
        everything = both(path, [*played.reads, last], [], None, 1000)
        assert everything.total.lost == 0
        assert everything.total.acknowledged == everything.total.recovered
        if not played.ids:
            return
        gone = played.ids[at % len(played.ids)]
        less = played.paper.whole_of([n for n in played.ids if n != gone], played.now + 1, NEW)
        seen = both(path, [*played.reads, less], [], None, 1000).total
        before = everything.total
        moved = (
            seen.lost - before.lost,
            before.unknown_present - seen.unknown_present,
            before.failed_present - seen.failed_present,
        )
        assert sorted(moved) == [0, 0, 1]
        assert seen.acknowledged == seen.recovered + seen.lost


@quick
@given(steps=st.lists(step, max_size=40), one=st.booleans(), at=st.integers(0, 10**6))
def test_an_id_put_twice_into_the_last_read_is_one_more_duplicate(
    steps: list[tuple[int, int, int, int]], one: bool, at: int
) -> None:
    with folder() as path:
        played = Playing(path, steps, one)
        played.paper.write()
        if not played.ids:
            return
        clean = [r for r in played.reads if len(set(_ids(path, r))) == r.ids]
        last = played.paper.whole_of(played.ids, played.now + 1, NEW)
        twice = played.paper.whole_of([*played.ids, played.ids[at % len(played.ids)]], played.now + 1, NEW)
        before, seen = (both(path, [*clean, read], [], None, 2) for read in (last, twice))
        assert (before.total.duplicated, seen.total.duplicated) == (0, 1)
        assert seen.duplicated_ids == (played.ids[at % len(played.ids)],)
        stranger = played.paper.whole_of([*played.ids, make_id(900, 1)], played.now + 1, NEW)
        assert both(path, [*clean, stranger], [], None, 2).unexpected == before.unexpected + 1


def _ids(path: Path, read: SetRead) -> list[int]:
    data = (path / read.file).read_bytes()
    return [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
