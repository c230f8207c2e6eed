"""How long clients were without, and the timeline: on histories with known answers."""

from pathlib import Path

import pytest

from muster.failover.observations import Gap
from muster.failover.series import MOST, series
from muster.failover.takeover import takeovers
from tests.unit.paper_history import HOME, NEW, OLD, SERVERS, PaperHistory

SECOND = 10**9
A, B = frozenset({OLD, HOME}), frozenset({NEW, "b/200/1"})


@pytest.fixture
def paper(tmp_path: Path) -> PaperHistory:
    return PaperHistory(tmp_path / "history")


def test_each_connection_has_its_gap(paper: PaperHistory) -> None:
    for connection, (last, first) in enumerate([(10, 13), (11, 12), (9, 19)]):
        paper.acknowledged([1], last * SECOND - 1, OLD, connection)
        paper.acknowledged([2], first * SECOND - 1, NEW, connection)
    seen = takeovers(paper.write(), A, B, 10 * SECOND, "failover")
    assert seen.gaps == tuple(
        Gap(connection=c, last_ack_ns=last * SECOND, first_ack_ns=first * SECOND)
        for c, (last, first) in enumerate([(10, 13), (11, 12), (9, 19)])
    )
    assert (seen.name, seen.median_seconds, seen.max_seconds, seen.unserved) == ("failover", 3.0, 10.0, ())
    assert seen.write_gap_seconds == 6.0  # from 13 to 19: then nobody at all was served


def test_a_server_that_still_acknowledges_after_the_fault_shortens_the_gap(paper: PaperHistory) -> None:
    paper.acknowledged([1, 2], 10 * SECOND)
    paper.acknowledged([3], 20 * SECOND, OLD)
    paper.acknowledged([4], 21 * SECOND, NEW)
    seen = takeovers(paper.write(), A, B, 15 * SECOND, "failover")
    assert seen.max_seconds == 1.0


def test_refused_and_unknown_calls_serve_nobody(paper: PaperHistory) -> None:
    paper.acknowledged([1], 10)
    paper.invoke(2, 20, NEW)
    paper.fail(2, 21, NEW)
    paper.invoke(3, 30, NEW)
    paper.info(3, 31, NEW)
    seen = takeovers(paper.write(), A, B, 15, "failover")
    assert (seen.unserved, seen.gaps, seen.max_seconds, seen.median_seconds) == ((0,), (), None, None)
    assert seen.write_gap_seconds is None


def test_a_connection_that_began_after_the_takeover_has_no_gap(paper: PaperHistory) -> None:
    paper.acknowledged([1], 30, NEW)
    seen = takeovers(paper.write(), A, B, 15, "failover")
    assert (seen.unserved, seen.gaps) == ((), ())


def test_going_home_is_told_apart(paper: PaperHistory) -> None:
    at = paper.acknowledged([1], 10 * SECOND - 1)
    paper.acknowledged([2], 12 * SECOND - 1, NEW)
    paper.acknowledged([3], 20 * SECOND - 1, NEW)
    paper.acknowledged([4], 25 * SECOND - 1, HOME)
    folder = paper.write()
    out = takeovers(folder, A, B, at, "failover", 20 * SECOND)
    back = takeovers(folder, B, A, 20 * SECOND, "failback")
    assert (out.max_seconds, back.max_seconds) == (2.0, 5.0)


def test_a_connection_served_only_after_the_next_switch_was_not_served(paper: PaperHistory) -> None:
    paper.acknowledged([1], 10)
    paper.acknowledged([2], 100, NEW)
    assert takeovers(paper.write(), A, B, 15, "failover", 50).unserved == (0,)


def test_nothing_tried_is_nothing_measured(paper: PaperHistory) -> None:
    seen = takeovers(paper.write(), A, B, 0, "failover")
    assert (seen.gaps, seen.unserved, seen.max_seconds) == ((), (), None)


def test_the_timeline_counts_every_call_once(paper: PaperHistory) -> None:
    paper.acknowledged([1, 2], SECOND)
    paper.invoke(3, SECOND + 4)
    paper.fail(3, SECOND + 5)
    paper.invoke(4, SECOND + 6)
    paper.info(4, 2 * SECOND)
    paper.acknowledged([5], 3 * SECOND, NEW)
    paper.invoke(6, 4 * SECOND, NEW)
    seen = series(paper.write(), SERVERS, [paper.whole([1, 5], 9 * SECOND)], 0.5)
    assert seen.bin_seconds == 0.5
    assert [b.at_ns for b in seen.bins] == [SECOND + n * SECOND // 2 for n in range(7)]
    assert [b.acknowledged for b in seen.bins] == [{"a": 2}, {}, {}, {}, {"b": 1}, {}, {}]
    assert [b.failed for b in seen.bins] == [1, 0, 0, 0, 0, 0, 0]
    assert [b.unknown for b in seen.bins] == [0, 0, 1, 0, 0, 0, 1]
    assert [b.lost for b in seen.bins] == [1, 0, 0, 0, 0, 0, 0]


def test_a_promoted_server_is_its_node_under_either_name(paper: PaperHistory) -> None:
    paper.acknowledged([1], 10, "b/200/7")
    paper.acknowledged([2], 20, "nobody/1/1")
    assert [b.acknowledged for b in series(paper.write(), SERVERS, []).bins] == [{"b": 1, "": 1}]


@pytest.mark.parametrize("seconds", [1, 59, 60, 61, 3600, 86400])
def test_a_long_rehearsal_has_wider_columns_not_more(paper: PaperHistory, seconds: int) -> None:
    paper.acknowledged([1], 1)
    paper.acknowledged([2], seconds * SECOND)
    seen = series(paper.write(), SERVERS, [], 0.25)
    assert len(seen.bins) <= MOST
    assert sum(sum(b.acknowledged.values()) for b in seen.bins) == 2
    assert len(seen.bins) > MOST // 2 or seen.bin_seconds == 0.25


def test_an_empty_history_has_no_columns(paper: PaperHistory) -> None:
    assert series(paper.write(), SERVERS, []).bins == ()
