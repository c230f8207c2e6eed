"""The set checker on histories with known answers: published ones of Jepsen, and each word of its own vocabulary."""

from pathlib import Path

import pytest

from muster.failover import attempts, wholereads
from muster.failover.checker import NAMED, Span, account
from muster.failover.history import Kind, make_id
from muster.failover.observations import Accounting, SetRead
from tests.unit.paper_history import APART, HOME, NEW, OLD, SERVERS, PaperHistory


@pytest.fixture
def paper(tmp_path: Path) -> PaperHistory:
    return PaperHistory(tmp_path / "history")


def judge(
    paper: PaperHistory, *reads: SetRead, spans: tuple[Span, ...] = (), promoted_ns: int | None = None, end: bool = True
) -> Accounting:
    return account(paper.write(end=end), reads, spans, SERVERS, promoted_ns)


class TestPublishedCases:
    """Numbers of others: what they found lost or there is what this checker finds."""

    def test_jepsen_set(self, paper: PaperHistory) -> None:
        """jepsen `checker_test.clj`, set-test: of two acknowledged, unknown and refused one each is there, and a 30."""
        paper.acknowledged([1, 2], 10)
        for number, end in ((1, paper.info), (2, paper.info)):
            paper.invoke(number, 20 + number * 2, connection=1)
            end(number, 21 + number * 2, connection=1)
        for number in (1, 2):
            paper.invoke(number, 30 + number * 2, connection=2)
            paper.fail(number, 31 + number * 2, connection=2)
        there = [make_id(0, 1), make_id(1, 1), make_id(2, 1), make_id(3, 1)]
        seen = judge(paper, paper.whole_of(there, 100))
        assert (seen.total.attempts, seen.total.acknowledged) == (6, 2)
        assert (seen.total.recovered, seen.total.lost, seen.lost_ids) == (1, 1, (make_id(0, 2),))
        assert (seen.total.unknown_present, seen.total.unknown_absent) == (1, 1)
        # Jepsen counts a refused one that is there as recovered; here it is a finding of its own.
        assert (seen.total.failed_present, seen.unexpected) == (1, 1)

    def test_postgres_two_generals(self, paper: PaperHistory) -> None:
        """K. Kingsbury, "Call me maybe: Postgres" (2013): 1000 tried, 950 acknowledged, 952 there, nothing lost."""
        at = paper.acknowledged(range(1, 951), 10)
        for number in range(951, 1001):
            paper.invoke(number, at)
            paper.info(number, at + 1)
            at += 2
        seen = judge(paper, paper.whole([*range(1, 951), 960, 963], at)).total
        assert (seen.attempts, seen.acknowledged, seen.recovered, seen.lost) == (1000, 950, 950, 0)
        assert (seen.unknown_present, seen.unknown_absent) == (2, 48)

    def test_redis_sentinel_split_brain(self, paper: PaperHistory) -> None:
        """K. Kingsbury, "Call me maybe: Redis" (2013): 2000 tried, 1998 acknowledged, 872 there, 1126 lost (56 %)."""
        at = paper.acknowledged(range(1, 51), 10)
        at = paper.acknowledged(range(51, 51 + 1126), at)  # at the minority's primary, demoted later
        last = at - 1
        at = paper.acknowledged(range(1177, 1999), at, NEW)
        for number in (1999, 2000):
            paper.invoke(number, at)
            paper.info(number, at + 1)
            at += 2
        seen = judge(paper, paper.whole([*range(1, 51), *range(1177, 1999)], at))
        assert (seen.total.attempts, seen.total.acknowledged) == (2000, 1998)
        assert (seen.total.recovered, seen.total.lost) == (872, 1126)
        assert len(seen.lost_ids) == NAMED
        assert seen.stages[0].rpo_seconds == (last - (10 + 2 * 50 + 1)) / 1e9

    def test_cassandra_lost_and_unacknowledged(self, paper: PaperHistory) -> None:
        """K. Kingsbury, "Call me maybe: Cassandra" (2013): 1000 tried, 399 acknowledged, 397 there, 4 of them lost."""
        at = paper.acknowledged(range(1, 400), 10)
        for number in range(400, 1001):
            paper.invoke(number, at)
            paper.info(number, at + 1)
            at += 2
        seen = judge(paper, paper.whole([*range(5, 400), 400, 401], at)).total
        assert (seen.acknowledged, seen.recovered, seen.lost) == (399, 395, 4)
        assert (seen.recovered + seen.unknown_present, seen.unknown_present) == (397, 2)

    @pytest.mark.parametrize(
        ("asked", "there", "recovered", "lost"),
        [
            pytest.param(25, True, 1, 0, id="subsequent read sees it"),
            pytest.param(25, False, 0, 1, id="absent read after"),
            pytest.param(15, True, 1, 0, id="concurrent read sees it"),
            pytest.param(15, False, 0, 0, id="absent read concurrently: never read, not lost"),
            pytest.param(5, False, 0, 0, id="absent read before"),
        ],
    )
    def test_jepsen_set_full(self, paper: PaperHistory, asked: int, there: bool, recovered: int, lost: int) -> None:
        """jepsen `checker_test.clj`, set-full-test: a concurrent read proves presence, never absence."""
        paper.invoke(1, 10)
        paper.ok(1, 20)
        seen = judge(paper, paper.whole([1] if there else [], asked)).total
        assert (seen.acknowledged, seen.recovered, seen.lost) == (1, recovered, lost)

    def test_jepsen_set_full_never_confirmed(self, paper: PaperHistory) -> None:
        """An add that was never confirmed may be absent."""
        paper.invoke(1, 10)
        seen = judge(paper, paper.whole([], 25)).total
        assert (seen.unknown, seen.unknown_absent, seen.lost) == (1, 1, 0)

    def test_jepsen_set_full_write_present_missing(self, paper: PaperHistory) -> None:
        """There in one read and gone in a later one is lost, and the read that lost it is named."""
        paper.acknowledged([1, 2], 10)
        reads = [paper.whole(ids, at, stage=f"at {at}") for ids, at in (([1, 2], 20), ([1], 30), ([], 40))]
        seen = judge(paper, *reads)
        assert seen.total.lost == 2
        assert [(s.stage, s.lost) for s in seen.stages] == [("at 20", 0), ("at 30", 1), ("at 40", 2)]

    def test_jepsen_total_queue_pathological(self, paper: PaperHistory) -> None:
        """jepsen `checker_test.clj`, total-queue-test: one hung, one lost, one twice, one from nowhere at once."""
        paper.acknowledged([1, 2], 10)
        paper.invoke(3, 20)
        seen = judge(paper, paper.whole([2, 2, 77], 30))
        assert (seen.total.lost, seen.total.duplicated, seen.unexpected) == (1, 1, 1)
        assert seen.total.unknown_absent == 1


class TestResurrected:
    """Gone after the takeover, and back later."""

    def test_a_lost_write_that_comes_back(self, paper: PaperHistory) -> None:
        paper.acknowledged([1, 2, 3], 10)
        seen = judge(paper, paper.whole([1], 50), paper.whole([1, 3], 60, server=HOME))
        assert (seen.total.resurrected, seen.resurrected_ids) == (1, (make_id(0, 3),))
        assert seen.total.lost == 1

    def test_an_unknown_write_of_the_old_server(self, paper: PaperHistory) -> None:
        paper.invoke(1, 10)
        paper.info(1, 20)
        assert judge(paper, paper.whole([], 50), paper.whole([1], 60)).total.resurrected == 1

    @pytest.mark.parametrize("server", [NEW, "b/200/1", ""])
    def test_a_slow_call_on_the_server_that_was_read_is_no_ghost(self, paper: PaperHistory, server: str) -> None:
        paper.invoke(1, 10, server)
        paper.info(1, 20, server)
        assert judge(paper, paper.whole([], 50), paper.whole([1], 60)).total.resurrected == 0

    def test_a_call_that_was_not_over_is_no_ghost(self, paper: PaperHistory) -> None:
        paper.invoke(1, 10)
        paper.ok(1, 55)
        assert judge(paper, paper.whole([], 50), paper.whole([1], 60)).total.resurrected == 0

    def test_a_standby_that_lags_is_no_ghost(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        seen = judge(paper, paper.whole([], 50, is_primary=False), paper.whole([1], 60))
        assert (seen.total.resurrected, seen.total.lost, len(seen.stages)) == (0, 0, 1)

    def test_reads_before_the_promotion_do_not_begin_it(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        reads = (paper.whole([], 20, server=OLD), paper.whole([1], 50), paper.whole([1], 60))
        assert judge(paper, *reads, promoted_ns=40).total.resurrected == 0


class TestRecoveryPoint:
    def test_it_runs_to_the_last_acknowledgement_of_the_server_that_lost(self, paper: PaperHistory) -> None:
        paper.acknowledged([1, 2, 3], 10)  # acknowledged at 11, 13, 15
        paper.acknowledged([4], 1000, NEW)
        (stage,) = judge(paper, paper.whole([1, 4], 2000)).stages
        assert (stage.acknowledged, stage.lost, stage.rpo_seconds) == (4, 2, 2e-9)

    def test_it_counts_what_a_server_fenced_too_late_acknowledged(self, paper: PaperHistory) -> None:
        paper.acknowledged([1, 2], 10)
        paper.acknowledged([1], 100, NEW, connection=1)
        paper.acknowledged([3], 500)  # a zombie's
        (stage,) = judge(paper, paper.whole_of([make_id(0, 1), make_id(1, 1)], 2000)).stages
        assert (stage.lost, stage.rpo_seconds) == (2, (501 - 13) / 1e9)

    def test_each_stage_judges_what_was_acknowledged_before_it(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        paper.acknowledged([2], 100, NEW)
        seen = judge(paper, paper.whole([1], 50), paper.whole([1], 200, server=HOME, stage="account"))
        assert [(s.stage, s.node, s.acknowledged, s.lost) for s in seen.stages] == [
            ("verify", "b", 1, 0),
            ("account", "a", 2, 1),
        ]

    def test_a_failback_answers_for_its_own_loss_alone(self, paper: PaperHistory) -> None:
        paper.acknowledged([1, 2, 3], 10)
        paper.acknowledged([4, 5, 6, 7], 100, NEW)
        seen = judge(paper, paper.whole([1], 50), paper.whole([1, 4, 7], 200, server=HOME, stage="account"))
        first, last = seen.stages
        assert (first.lost, first.newly_lost, first.newly_rpo_seconds) == (2, 2, first.rpo_seconds)
        assert (last.lost, last.newly_lost) == (4, 2)
        assert (last.rpo_seconds, last.newly_rpo_seconds) == (4e-9, 4e-9)


class TestPhases:
    def test_an_attempt_belongs_where_it_was_invoked(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        paper.invoke(2, 19)
        paper.ok(2, 25)
        paper.acknowledged([3], 90)
        spans = (Span("before", 10, 20), Span("away", 20, 30))
        seen = judge(paper, paper.whole([1, 2, 3], 100), spans=spans)
        assert [(t.phase, t.attempts, t.recovered) for t in seen.phases] == [
            ("before", 2, 2),
            ("away", 0, 0),
            ("outside", 1, 1),
        ]
        assert seen.total.attempts == 3

    def test_the_first_span_that_holds_it_and_spans_of_one_name_together(self, paper: PaperHistory) -> None:
        paper.acknowledged(range(1, 11), 10)
        spans = (Span("verify", 10, 14), Span("all", 0, 20), Span("verify", 20, 30))
        seen = judge(paper, spans=spans)
        assert [(t.phase, t.attempts) for t in seen.phases] == [("verify", 7), ("all", 3)]


class TestStaleReads:
    def stale(self, paper: PaperHistory, node: str, at: int, *, there: bool = True) -> tuple[int, int, int]:
        paper.acknowledged([1], 10)
        paper.acknowledged([1], 30, NEW, connection=1)
        paper.read(node, 1, at, at + 5, Kind.READ_ABSENT)
        held = [make_id(1, 1), *([make_id(0, 1)] if there else [])]
        total = judge(paper, paper.whole_of(held, 100)).total
        return total.reads, total.stale_reads, total.stale_primary_reads

    def test_at_the_primary_of_the_moment(self, paper: PaperHistory) -> None:
        assert self.stale(paper, "a", 20) == (1, 1, 1)

    def test_at_the_standby(self, paper: PaperHistory) -> None:
        assert self.stale(paper, "b", 20) == (1, 1, 0)

    def test_at_the_new_primary_once_it_acknowledges(self, paper: PaperHistory) -> None:
        assert self.stale(paper, "b", 40) == (1, 1, 1)

    def test_at_the_old_primary_once_it_is_none(self, paper: PaperHistory) -> None:
        assert self.stale(paper, "a", 40) == (1, 1, 0)

    def test_not_when_the_read_began_before_the_acknowledgement(self, paper: PaperHistory) -> None:
        assert self.stale(paper, "a", 10) == (1, 0, 0)

    def test_not_when_the_write_is_lost(self, paper: PaperHistory) -> None:
        assert self.stale(paper, "a", 20, there=False) == (1, 0, 0)

    def test_a_read_that_failed_is_none(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        paper.read("a", 1, 20, 25, Kind.READ_FAIL)
        paper.read("a", 1, 30, 35, Kind.READ_PRESENT)
        total = judge(paper, paper.whole([1], 100)).total
        assert (total.reads, total.stale_reads) == (1, 0)


class TestSplitBrain:
    def test_the_old_server_acknowledges_after_the_new_one(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        paper.acknowledged([1], 20, NEW, connection=1)
        paper.acknowledged([2, 3], 30)
        assert judge(paper).old_acks_after_promotion == 2

    def test_not_when_the_call_began_before(self, paper: PaperHistory) -> None:
        paper.invoke(1, 15)
        paper.acknowledged([1], 20, NEW, connection=1)
        paper.ok(1, 30)
        assert judge(paper).old_acks_after_promotion == 0

    def test_not_by_a_session_that_outlived_its_servers_promotion(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 20, NEW, connection=1)
        paper.acknowledged([1], 30, "b/200/1")
        assert judge(paper).old_acks_after_promotion == 0

    def test_by_servers_that_no_survey_knows_and_of_one_name(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 20, "pg/700/9", connection=1)
        paper.acknowledged([1], 30, "pg/600/8")
        assert judge(paper).old_acks_after_promotion == 1

    def test_home_again_is_no_split_brain(self, paper: PaperHistory) -> None:
        at = paper.acknowledged([1], 10)
        at = paper.acknowledged([2], at, NEW)
        paper.acknowledged([3], at, HOME)
        assert judge(paper).old_acks_after_promotion == 0


class TestWholeness:
    def test_a_whole_history(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        seen = judge(paper, paper.whole([1], 20))
        assert (seen.is_whole, seen.is_damaged, seen.why_not_whole) == (True, False, "")

    def test_nothing_was_tried(self, paper: PaperHistory) -> None:
        seen = judge(paper, paper.whole([], 20))
        assert (seen.is_whole, seen.total.attempts, seen.clock_steps_seconds) == (True, 0, 0.0)

    def test_a_client_that_was_killed(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        paper.invoke(2, 20)
        seen = judge(paper, end=False)
        assert (seen.is_whole, seen.is_damaged, seen.total.attempts) == (False, False, 2)
        assert "did not end by itself" in seen.why_not_whole

    def test_a_killed_client_may_leave_half_a_record(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        paper.records["w-000.log"].append(bytes(17))
        seen = judge(paper, end=False)
        assert (seen.is_damaged, seen.total.acknowledged) == (False, 1)

    @pytest.mark.parametrize("cut", [1, 31, 32, 64])
    def test_a_truncated_log(self, paper: PaperHistory, cut: int) -> None:
        paper.acknowledged([1, 2, 3], 10)
        log = paper.write() / "w-000.log"
        log.write_bytes(log.read_bytes()[:-cut])
        seen = account(paper.folder, [], [], SERVERS, None)
        assert seen.is_damaged
        assert "w-000.log has" in seen.why_not_whole

    def test_a_padded_log(self, paper: PaperHistory) -> None:
        paper.acknowledged([1, 2, 3], 10)
        log = paper.write() / "w-000.log"
        log.write_bytes(log.read_bytes() + bytes(32))
        assert account(paper.folder, [], [], SERVERS, None).is_damaged

    def test_a_changed_log_of_the_same_length(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        log = paper.write() / "w-000.log"
        log.write_bytes(log.read_bytes()[:-1] + b"\x99")
        assert "digest" in account(paper.folder, [], [], SERVERS, None).why_not_whole

    def test_a_log_too_few_and_one_too_many(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        paper.write()
        (paper.folder / "w-000.log").rename(paper.folder / "w-001.log")
        why = account(paper.folder, [], [], SERVERS, None).why_not_whole
        assert "w-000.log is missing" in why
        assert "w-001.log is not one of the client's logs" in why

    def test_a_swapped_pair(self, paper: PaperHistory) -> None:
        paper.acknowledged([1, 2], 10)
        log = paper.records["w-000.log"]
        log[2], log[3] = log[3], log[2]
        seen = judge(paper)
        assert (seen.is_damaged, seen.total.attempts) == (True, 1)
        assert "record 3: OK of 0.2 where the invoke of 0.2 should be" in seen.why_not_whole

    def test_an_end_without_a_beginning(self, paper: PaperHistory) -> None:
        paper.ok(1, 10)
        assert "record 1: OK of 0.1" in judge(paper).why_not_whole

    def test_an_id_that_is_tried_twice(self, paper: PaperHistory) -> None:
        paper.acknowledged([1, 1], 10)
        assert "INVOKE of 0.1 where the invoke of 0.2" in judge(paper).why_not_whole

    def test_ids_with_a_hole(self, paper: PaperHistory) -> None:
        paper.acknowledged([1, 3], 10)
        assert judge(paper).is_damaged

    def test_a_call_left_open_in_the_midst(self, paper: PaperHistory) -> None:
        paper.invoke(1, 10)
        paper.invoke(2, 11)
        assert "INVOKE of 0.2 where the end of 0.1" in judge(paper).why_not_whole

    def test_time_that_runs_backwards(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        paper.acknowledged([2], 9)
        assert "time runs backwards" in judge(paper).why_not_whole

    def test_time_that_runs_backwards_between_connections_and_chunks(
        self, paper: PaperHistory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attempts, "_STEP", 2)
        for connection, at in ((0, 10), (1, 5)):
            for kind, moment in ((Kind.INVOKE, at), (Kind.OK, at + 1)):
                session = paper.session("w-000.log", OLD)
                paper.append("w-000.log", kind, connection, session, make_id(connection, 1), moment)
        seen = judge(paper)
        assert (seen.is_damaged, seen.total.attempts) == (True, 1)

    def test_a_connection_that_goes_on_in_another_log_before_its_time(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        session = paper.session("w-001.log", OLD)
        paper.append("w-001.log", Kind.INVOKE, 0, session, make_id(0, 2), 9)
        assert "w-001.log, record 1" in judge(paper).why_not_whole

    def test_a_kind_nobody_knows(self, paper: PaperHistory) -> None:
        paper.append("w-000.log", 77, 0, 1, make_id(0, 1), 10)
        assert "kind 77" in judge(paper).why_not_whole

    def test_an_acknowledgement_in_a_session_nobody_knows(self, paper: PaperHistory) -> None:
        paper.append("w-000.log", Kind.INVOKE, 0, 5, make_id(0, 1), 10)
        paper.append("w-000.log", Kind.OK, 0, 5, make_id(0, 1), 11)
        assert "session 5, which is in no line of sessions.jsonl" in judge(paper).why_not_whole

    def test_a_reader_that_answers_another_question(self, paper: PaperHistory) -> None:
        paper.append("r-a.log", Kind.READ_INVOKE, 0, 1, make_id(0, 1), 10)
        paper.append("r-a.log", Kind.READ_PRESENT, 0, 1, make_id(0, 2), 11)
        assert "r-a.log, record 2" in judge(paper).why_not_whole

    def test_an_end_and_sessions_that_cannot_be_read(self, paper: PaperHistory) -> None:
        paper.acknowledged([1], 10)
        paper.write()
        (paper.folder / "end.json").write_text("{}")
        (paper.folder / "sessions.jsonl").write_text("?\n")
        seen = account(paper.folder, [], [], SERVERS, None)
        assert seen.is_damaged
        assert "end.json cannot be read" in seen.why_not_whole
        assert "sessions.jsonl cannot be read" in seen.why_not_whole

    def test_a_whole_read_that_is_cut_is_left_out(self, paper: PaperHistory) -> None:
        paper.acknowledged([1, 2], 10)
        first, last = paper.whole([1, 2], 20), paper.whole([1, 2], 30)
        (paper.folder / last.file).write_bytes((paper.folder / last.file).read_bytes()[:8])
        seen = judge(paper, first, last)
        assert (seen.is_damaged, seen.total.recovered, len(seen.stages)) == (True, 2, 1)
        assert "holds 1 ids, 2 were read" in seen.why_not_whole

    @pytest.mark.parametrize("chunk", [1, 100])
    def test_a_whole_read_out_of_order_or_missing(
        self, paper: PaperHistory, chunk: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wholereads, "_STEP", chunk)
        paper.acknowledged([1, 2], 10)
        read, gone = paper.whole([1, 2], 20), paper.whole([], 30)
        data = (paper.folder / read.file).read_bytes()
        (paper.folder / read.file).write_bytes(data[8:] + data[:8])
        (paper.folder / gone.file).unlink()
        why = judge(paper, read, gone).why_not_whole
        assert "not in order" in why
        assert "cannot be read" in why


def test_a_clock_that_steps_by_an_hour(paper: PaperHistory) -> None:
    paper.acknowledged([1, 2], 10)
    paper.append("w-000.log", Kind.INVOKE, 0, 1, make_id(0, 3), 20, wall=20 + APART - 3600 * 10**9)
    assert judge(paper).clock_steps_seconds == 3600.0


def test_reads_are_judged_in_order_of_time(paper: PaperHistory) -> None:
    paper.acknowledged([1], 10)
    reads = [paper.whole([1], 30, stage="late"), paper.whole([], 20, stage="early")]
    seen = judge(paper, *reads)
    assert [s.stage for s in seen.stages] == ["early", "late"]
    assert (seen.total.recovered, seen.total.lost, seen.total.resurrected) == (1, 0, 1)


def test_without_a_read_of_a_primary_nothing_is_lost_or_recovered(paper: PaperHistory) -> None:
    paper.acknowledged([1], 10)
    paper.invoke(2, 20)
    seen = judge(paper, paper.whole([], 50, is_primary=False))
    assert (seen.total.acknowledged, seen.total.recovered, seen.total.lost, seen.total.unknown_absent) == (1, 0, 0, 0)
    assert seen.stages == ()
