"""What a rehearsal sees of two real servers, and how soon: surveys, probes, proofs of a fence, lag, timed sessions."""

import gc
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from muster.clock import SystemClock
from muster.drill import Context, Workspace
from muster.errors import StepError
from muster.failover.observations import Detected, FenceProof, LagSeries, Node, NodeState, Surveyed
from muster.failover.readiness import cast_of, findings_of
from muster.failover.spec import Detection, FailoverSpec
from muster.finding import verdict_of
from muster.journal import EventKind, Journal
from muster.verdict import Verdict
from tasks.client.table import create_table, drop_table
from tasks.link.link import Condition
from tasks.postgres.bounded import connected
from tasks.postgres.survey import survey, survey_node
from tasks.process import Processes
from tasks.regions.pair import Pair
from tasks.rehearsal import probing
from tasks.rehearsal.fencing import prove_fence
from tasks.rehearsal.lag import NAME as LAG
from tasks.rehearsal.lag import start_sampling
from tasks.rehearsal.probing import can_write, detect_loss
from tests.unit.test_failover_checks import Memory, plan

PATIENCE = 60.0
TABLE = "muster_survey"
RTT = 0.02


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """`a` is primary and `b` its standby, before and after each test."""
    root = Path(tempfile.mkdtemp(prefix="msur", dir="/tmp"))  # sockets need a short path
    root.chmod(0o755)
    made = Pair(root / "regions", root / "s", Processes(root / "processes", root / "logs"))
    try:
        made.start(Condition(rtt_seconds=RTT))
        run(made, "a", "create table notes (n int)", "create role watcher login", "grant pg_monitor to watcher")
        yield made
    finally:
        made.stop()
        assert made.processes.names() == ()
        shutil.rmtree(root)


@pytest.fixture
def table(pair: Pair) -> Iterator[str]:
    create_table(node(pair, "a").dsn, TABLE)
    wait_until(lambda: ask(pair, "b", f"select to_regclass('{TABLE}')::text") == TABLE)
    yield TABLE
    drop_table(node(pair, "a").dsn, TABLE)


def node(pair: Pair, name: str, **options: str) -> Node:
    found = next(n for n in pair.nodes() if n.name == name)
    return found.model_copy(update={"dsn": psycopg.conninfo.make_conninfo(found.dsn, **options)})


def run(pair: Pair, name: str, *statements: str) -> None:
    with connected(node(pair, name).dsn, PATIENCE) as connection:
        connection.execute("set synchronous_commit = local")
        for statement in statements:
            connection.execute(statement.encode())


def ask(pair: Pair, name: str, question: str) -> object:
    with connected(node(pair, name).dsn, PATIENCE) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row
    return row[0]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@contextmanager
def frozen(pair: Pair, name: str) -> Iterator[None]:
    pair.freeze(name)
    try:
        yield
    finally:
        pair.thaw(name)
        wait_until(lambda: is_fit(pair))


@contextmanager
def killed(pair: Pair, name: str) -> Iterator[None]:
    pair.kill(name)
    try:
        yield
    finally:
        pair.start_server(name)
        wait_until(lambda: is_fit(pair))


@contextmanager
def replay_paused(pair: Pair) -> Iterator[None]:
    run(pair, "b", "select pg_wal_replay_pause()")
    try:
        wait_until(lambda: ask(pair, "b", "select pg_get_wal_replay_pause_state()") == "paused")
        yield
    finally:
        run(pair, "b", "select pg_wal_replay_resume()")


def look(pair: Pair, seconds: float = 5.0) -> Surveyed:
    return survey(pair.nodes(), "test", seconds)


def state(pair: Pair, name: str) -> NodeState:
    return survey_node(node(pair, name), 5.0)


def is_fit(pair: Pair) -> bool:
    seen = look(pair)
    primary = next(iter(seen.with_role("primary")), None)
    return cast_of(seen) is not None and primary is not None and primary.sync_standbys == ("b",)


# --- surveys ---------------------------------------------------------------------------------------------------------


def test_a_healthy_pair_is_told_and_fit(pair: Pair) -> None:
    wait_until(lambda: is_fit(pair))
    seen = look(pair)
    a, b = seen.nodes
    assert (a.node, a.role, b.node, b.role) == ("a", "primary", "b", "standby")
    assert (a.standbys, a.sync_standbys) == (("b",), ("b",))
    assert [(s.name, s.active, s.wal_status) for s in a.slots] == [("b", True, "reserved")]
    assert b.receiving_from
    assert a.system_identifier == b.system_identifier != ""
    assert a.timeline == b.timeline == 1
    assert [n.server.split("/")[0] for n in seen.nodes] == ["a", "b"]
    assert a.server != b.server
    assert (a.settings["wal_log_hints"], a.settings["data_checksums"]) == ("on", "on")
    assert all(n.clock_offset_seconds is not None and abs(n.clock_offset_seconds) < 1 for n in seen.nodes)
    assert all(n.free_share is not None and 0 <= n.free_share <= 1 for n in seen.nodes)
    spec = FailoverSpec.model_validate({"scenario": "kill", "commit": "remote_apply", "ready": {"min_free": 0}})
    findings = findings_of(seen, spec)
    assert verdict_of(findings) is Verdict.PASS, findings


def test_a_dead_server_is_a_state(pair: Pair) -> None:
    with killed(pair, "b"):
        a, b = look(pair).nodes
        assert (a.role, b.role) == ("primary", "unreachable")
        assert "refused" in b.complaint
        wait_until(lambda: [s.active for s in state(pair, "a").slots] == [False])
        assert state(pair, "a").sync_standbys == ()


def test_a_frozen_server_is_unreachable_within_its_time_and_holds_up_no_other(pair: Pair) -> None:
    with frozen(pair, "a"):
        answers: list[Surveyed] = []
        asking = threading.Thread(target=lambda: answers.append(look(pair, 2.0)), daemon=True)
        asking.start()
        asking.join(PATIENCE)
        assert answers, "it hangs"
        a, b = answers[0].nodes
        assert (a.role, b.role) == ("unreachable", "standby")
        assert "timeout" in a.complaint
        assert (b.asked_at - a.asked_at).total_seconds() < 2, "they are asked side by side"


def test_lag_is_what_is_left_to_replay_not_the_age_of_the_last_transaction(pair: Pair) -> None:
    def lag() -> tuple[float | None, int | None]:
        b = state(pair, "b")
        return b.replay_lag_seconds, b.replay_lag_bytes

    wait_until(lambda: lag()[1] == 0)
    with replay_paused(pair):
        run(pair, "a", "insert into notes select generate_series(1, 1000)")
        wait_until(lambda: (lag()[1] or 0) > 10_000)
        seconds, _ = lag()
        assert seconds is not None
        assert seconds > 0.4, "it was waited for in vain"
    wait_until(lambda: lag() == (0, 0))


def test_under_load_the_primary_tells_how_far_away_its_standby_is(pair: Pair) -> None:
    def write_lag() -> float | None:
        run(pair, "a", *("insert into notes values (1)" for _ in range(20)))
        return state(pair, "a").write_lag_seconds

    wait_until(lambda: write_lag() is not None)
    wait_until(lambda: (write_lag() or 0) >= RTT / 2)


def test_sequences_behind_are_found_and_those_that_cannot_be_read_are_not_called_healthy(pair: Pair) -> None:
    assert (state(pair, "a").sequences_behind, state(pair, "a").sequences_unseen) == ((), "")
    run(pair, "a", "create table behind (n bigserial)", "insert into behind values (9)")
    try:
        (told,) = state(pair, "a").sequences_behind
        assert "behind_n_seq stands at 1, public.behind.n at 9" in told
        asked = survey_node(node(pair, "a", user="watcher"), 5.0)
        assert (asked.role, asked.standbys, asked.sequences_behind) == ("primary", ("b",), ())
        assert "permission denied" in asked.sequences_unseen
    finally:
        run(pair, "a", "drop table behind")


# --- sessions that cannot hang ---------------------------------------------------------------------------------------


def sockets() -> int:
    """Of this process; an error that is still in a traceback holds its own."""
    gc.collect()
    return sum(entry.is_socket() for entry in Path("/proc/self/fd").iterdir())


def test_a_session_with_a_frozen_server_breaks(pair: Pair) -> None:
    def broken_while_frozen() -> str:
        with connected(node(pair, "a").dsn, 1.0) as connection:
            pair.freeze("a")
            try:
                connection.execute("select 1")
            except psycopg.OperationalError as error:
                return str(error)
        return ""

    threads, open_before = threading.active_count(), sockets()
    try:
        assert broken_while_frozen()
        with pytest.raises(psycopg.OperationalError), connected(node(pair, "a").dsn, 1.0):
            pass
    finally:
        pair.thaw("a")
    wait_until(lambda: threading.active_count() <= threads)
    assert sockets() == open_before
    wait_until(lambda: is_fit(pair))


def test_a_wait_for_a_dead_standby_breaks_though_statement_timeout_would_not(pair: Pair) -> None:
    with killed(pair, "b"), connected(node(pair, "a").dsn, 1.0) as connection:
        connection.execute("set statement_timeout = '100ms'")
        connection.execute("set synchronous_commit = remote_apply")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("insert into notes values (2)")


def test_a_session_with_a_healthy_server_leaves_nothing(pair: Pair) -> None:
    threads, open_before = threading.active_count(), sockets()
    for _ in range(10):
        with connected(node(pair, "a").dsn, PATIENCE) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    with pytest.raises(ZeroDivisionError), connected(node(pair, "a").dsn, PATIENCE):
        _ = 1 / 0
    wait_until(lambda: threading.active_count() <= threads)
    assert sockets() == open_before


# --- noticing a loss -------------------------------------------------------------------------------------------------

DETECTION = Detection(interval="50ms", after="300ms")  # type: ignore[arg-type]  # as plans write it


def detect(pair: Pair, seconds: float = PATIENCE) -> Detected:
    return detect_loss(node(pair, "a"), DETECTION, lambda: seconds, time.monotonic_ns)


def assert_is_noticed(pair: Pair, strike: Callable[[], object]) -> None:
    """Probing begins while the server serves; the fault comes while it goes on."""
    found: list[Detected] = []
    prober = threading.Thread(target=lambda: found.append(detect(pair)), daemon=True)
    assert can_write(node(pair, "a"))
    prober.start()
    struck = time.monotonic_ns()
    strike()
    prober.join(PATIENCE)
    assert found, "nobody noticed"
    (detected,) = found
    assert detected.first_failure_ns is not None
    assert detected.detected_ns - detected.first_failure_ns >= 300_000_000
    assert detected.detected_ns > struck
    assert not can_write(node(pair, "a"))


def test_a_killed_primary_is_noticed(pair: Pair) -> None:
    with killed(pair, "b"):  # nobody waits for a standby to notice it
        try:
            assert_is_noticed(pair, lambda: pair.kill("a"))
        finally:
            pair.start_server("a")


def test_a_frozen_primary_is_noticed(pair: Pair) -> None:
    try:
        assert_is_noticed(pair, lambda: pair.freeze("a"))
    finally:
        pair.thaw("a")
    wait_until(lambda: is_fit(pair))


def test_a_primary_without_room_is_noticed_though_it_answers_reads(pair: Pair) -> None:
    try:
        assert_is_noticed(pair, lambda: pair.fill_disk("a"))
    finally:
        pair.free_disk("a")
        pair.kill("a")
        pair.start_server("a")
    wait_until(lambda: is_fit(pair))


def test_a_healthy_primary_is_never_believed_lost(pair: Pair) -> None:
    with pytest.raises(StepError, match="takes writes as before"):
        detect(pair, seconds=1.0)


def test_a_single_probe_that_fails_is_not_believed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def every_other(probed: Node) -> bool:
        asked.append(len(asked) % 2 == 1 and can_write(probed))
        return asked[-1]

    monkeypatch.setattr(probing, "can_write", every_other)
    with pytest.raises(StepError, match="takes writes as before"):
        detect(pair, seconds=1.0)
    assert {True, False} == set(asked)


# --- proof of a fence ------------------------------------------------------------------------------------------------


def prove(pair: Pair, name: str, table: str = TABLE, **options: str) -> FenceProof:
    return prove_fence(node(pair, name, **options), table, "test", time.monotonic_ns)


def test_a_live_primary_takes_the_write_and_a_standby_refuses_it(pair: Pair, table: str) -> None:
    assert prove(pair, "a").write == "accepted"
    assert ask(pair, "a", f"select count(*) from {table}") == 1
    refused = prove(pair, "b")
    assert (refused.write, "read-only" in refused.said) == ("refused", True)


def test_a_dead_server_refuses(pair: Pair, table: str) -> None:
    with killed(pair, "b"):
        proof = prove(pair, "b")
        assert (proof.write, "refused" in proof.said) == ("refused", True)
        waiting = prove(pair, "a")
        assert (waiting.write, waiting.said) == ("accepted", "it took the write"), "it waits for no standby"


def test_a_frozen_server_proves_nothing(pair: Pair, table: str) -> None:
    with frozen(pair, "a"):
        assert prove(pair, "a").write == "unknown"
    assert ask(pair, "a", f"select count(*) from {table}") == 0


def test_a_server_that_freezes_in_the_midst_of_it_proves_nothing(pair: Pair, table: str) -> None:
    held = psycopg.connect(node(pair, "a").dsn)
    try:
        held.execute(f"lock table {table} in access exclusive mode".encode())  # as good as a freeze to whoever writes
        assert prove(pair, "a").write == "unknown"
    finally:
        held.close()
    assert prove(pair, "a").write == "accepted"


@pytest.mark.parametrize(
    ("table_name", "options"),
    [
        ("no_such_table", {}),
        (TABLE, {"user": "nobody_more"}),
        (TABLE, {"host": "no.such.host.invalid"}),
        (TABLE, {"options": "-c lock_timeout=1"}),
    ],
    ids=["no table", "no session left", "no such name", "a lock"],
)
def test_what_says_nothing_of_others_proves_nothing(
    pair: Pair, table: str, table_name: str, options: dict[str, str]
) -> None:
    run(pair, "a", "create role nobody_more login connection limit 0")
    held = psycopg.connect(node(pair, "a").dsn)
    try:
        held.execute(f"lock table {table} in access exclusive mode".encode())
        proof = prove(pair, "a", table_name, **options)
        assert proof.write == "unknown", proof
    finally:
        held.close()
        run(pair, "a", "drop role nobody_more")


# --- lag beside the steps --------------------------------------------------------------------------------------------


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    clock = SystemClock()
    journal = Journal("run", Memory(), clock)
    journal.append(EventKind.OPENED)
    made = Context(plan(), None, journal, Workspace("run", tmp_path / "run"), clock, clock.monotonic_ns() + 10**12)
    yield made
    made.background.abandon()


def sampled_after(pair: Pair) -> Callable[[], bool]:
    """Whether a sample was taken since now."""
    now = ask(pair, "a", "select clock_timestamp()::text")
    return lambda: bool(ask(
        pair, "a", "select exists (select from pg_stat_activity where pid <> pg_backend_pid()"
        f" and query_start > '{now}' and query like '%max(pg_wal_lsn_diff%' and state = 'idle')",
    ))  # fmt: skip


def test_lag_is_sampled_beside_the_steps(pair: Pair, context: Context) -> None:
    wait_until(lambda: is_fit(pair))
    start_sampling(context, pair.nodes()[::-1])  # whoever is asked first, the primary knows
    wait_until(sampled_after(pair))
    with replay_paused(pair):
        run(pair, "a", "insert into notes select generate_series(1, 1000)")
        wait_until(lambda: (state(pair, "b").replay_lag_bytes or 0) > 10_000)
        wait_until(sampled_after(pair))
    context.background.finish(LAG, PATIENCE)
    series = context.history.latest(LagSeries)
    assert series is not None
    known = [sample.bytes for sample in series.samples if sample.bytes is not None]
    assert min(known) < 10_000 < max(known)
    times = [sample.at_ns for sample in series.samples]
    assert times == sorted(times)


def test_a_frozen_primary_holds_up_no_end_of_the_samples(pair: Pair, context: Context) -> None:
    start_sampling(context, pair.nodes())
    wait_until(sampled_after(pair))
    with frozen(pair, "a"):
        context.background.finish(LAG, PATIENCE)
    assert context.history.latest(LagSeries) is not None


def test_while_nobody_can_be_asked_the_lag_is_unknown(context: Context, tmp_path: Path) -> None:
    start_sampling(context, (Node(name="a", region="east", dsn=f"host={tmp_path}"),))
    context.background.finish(LAG, PATIENCE)
    series = context.history.latest(LagSeries)
    assert series is None or {sample.bytes for sample in series.samples} <= {None}
