"""The ledger's contract: one suite, over SQLite and over a real PostgreSQL 18."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from muster.clock import SystemClock
from muster.errors import JournalError, MusterError, Refusal, UsageError
from muster.journal import STEP_TRANSITIONS, Event, EventKind, Journal, StepState
from muster.ledger import (
    Ledger,
    LedgerError,
    Measures,
    NewRun,
    Proof,
    ProofRow,
    Trigger,
    migrations,
    open_ledger,
)
from muster.ledger.glance import glance
from muster.ledger.opening import MIGRATING
from muster.ledger.schema import metadata
from muster.verdict import Outcome, Verdict
from tests.contract.ledgers import AT, ME, OTHER, an_event, execute, new_run

# --- opening ----------------------------------------------------------------------------------------------------


def test_migrations_lead_to_the_tables_of_the_schema(ledger: Ledger) -> None:
    with ledger.engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        connection.execute(text("ALTER TABLE runs ADD COLUMN stray integer"))
        assert compare_metadata(MigrationContext.configure(connection), metadata) != []


def test_head_is_the_newest_revision() -> None:
    folder = Path(str(migrations.__file__)).parent
    assert ScriptDirectory(str(folder)).get_current_head() == migrations.HEAD


def test_open_at_head_does_without_alembic(url: str) -> None:
    program = (
        "import sys; from muster.ledger import open_ledger; open_ledger(sys.argv[1]); print('alembic' in sys.modules)"
    )
    said = [subprocess.check_output([sys.executable, "-c", program, url], text=True).strip() for _ in range(2)]
    assert said == ["True", "False"]


def test_processes_that_open_at_once_all_succeed(url: str) -> None:
    program = "import sys; from muster.ledger import open_ledger; print(open_ledger(sys.argv[1]).unfinished_runs())"
    openers = [
        subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(4)
    ]
    said = [opener.communicate(timeout=60)[0] for opener in openers]
    assert said == [b"()\n"] * 4


def test_database_of_a_newer_muster_is_refused(url: str) -> None:
    with open_ledger(url) as ledger:
        execute(ledger, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UsageError, match="upgrade Muster"):
        open_ledger(url)
    with pytest.raises(UsageError, match="upgrade Muster"):
        glance(url)


def test_connections_are_set_to_be_durable(url: str, ledger: Ledger) -> None:
    if url.startswith("sqlite"):
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        assert [execute(ledger, f"PRAGMA {p}")[0][0] for p in pragmas] == ["wal", 2, 1, 10000]
    else:
        execute(ledger, f"ALTER DATABASE {ledger.engine.url.database} SET synchronous_commit = off")
        with open_ledger(url) as again:
            assert execute(again, "SHOW synchronous_commit") == [("on",)]
        execute(ledger, f"ALTER DATABASE {ledger.engine.url.database} SET synchronous_commit = remote_apply")
        with open_ledger(url) as again:
            assert execute(again, "SHOW synchronous_commit") == [("remote_apply",)]


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://muster:hunter2@127.0.0.1:1/ledger",
        "postgresql://127.0.0.1:1/ledger?user=muster&password=hunter2",
        "mysql://muster:hunter2@127.0.0.1/ledger",
        "hunter2 is no address",
        "sqlite://",
        "sqlite:////dev/null/hunter/ledger.sqlite",
        "sqlite:////proc/version",
    ],
)
def test_address_that_leads_nowhere_is_wrong_usage_with_advice_and_no_password(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_ledger(address)
    assert caught.value.advice
    assert "hunter2" not in str(caught.value)


def test_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear ledger, " * 100)
    with pytest.raises(UsageError, match="not a database"):
        open_ledger(f"sqlite:///{file}")
    assert file.read_text() == "Dear ledger, " * 100


def test_locked_ledger_says_so_and_works_again_after(url: str, ledger: Ledger) -> None:
    run = ledger.open_run(new_run()).run
    with open_ledger(url, patience=0.1) as hasty:
        with ledger.engine.execution_options(sqlite_begin="IMMEDIATE").begin() as holder:
            if holder.dialect.name == "postgresql":
                holder.execute(text("LOCK TABLE events"))
            with pytest.raises(LedgerError, match="stayed locked by another process"):
                hasty.append_event(an_event(run, 0))
        hasty.append_event(an_event(run, 0))
    assert len(ledger.read_events(run)) == 1


def test_ledger_cannot_be_opened_past_a_lock(url: str) -> None:
    with open_ledger(url) as ledger:
        execute(ledger, "DROP TABLE alembic_version")
        with ledger.engine.execution_options(sqlite_begin="IMMEDIATE").begin() as holder:
            if holder.dialect.name == "postgresql":
                holder.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATING})"))
            with pytest.raises(LedgerError, match="stayed locked by another process"):
                open_ledger(url, patience=0.1)


def test_connection_cut_while_idle_is_replaced(url: str, ledger: Ledger) -> None:
    if url.startswith("sqlite"):
        ledger.engine.dispose()  # a file has no other way to lose its connections
    else:
        with open_ledger(url) as killer:
            execute(killer, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert ledger.open_run(new_run()).outcome is None


# --- events -----------------------------------------------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_MANY = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_MANY
@given(
    body=st.dictionaries(st.text(), _json, max_size=4),
    at=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),
    mono_ns=st.integers(0, 2**63 - 1),
)
def test_event_comes_back_as_it_was_written(ledger: Ledger, body: dict[str, Any], at: datetime, mono_ns: int) -> None:
    run = ledger.open_run(new_run()).run
    event = an_event(run, 0, EventKind.STARTED, step="restore", body=body, at=at, mono_ns=mono_ns)
    ledger.append_event(event)
    (read,) = ledger.read_events(run)
    assert read == event
    assert read.at.isoformat() == event.at.isoformat()
    assert read.model_dump_json() == event.model_copy(update={"body": _sorted(body)}).model_dump_json()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("value", [(1, 2), {1: "a"}, float("nan"), AT, Outcome.PASSED, [{"a": (1,)}], b"bytes"])
def test_body_that_would_come_back_changed_is_refused(ledger: Ledger, value: Any) -> None:
    run = ledger.open_run(new_run()).run
    with pytest.raises(JournalError, match="mode='json'"):
        ledger.append_event(an_event(run, 0, body={"value": value}))
    assert ledger.read_events(run) == ()


def test_sequence_number_is_taken_once(ledger: Ledger) -> None:
    run = ledger.open_run(new_run()).run
    first = an_event(run, 0, body={"writer": 1})
    ledger.append_event(first)
    with pytest.raises(JournalError, match="another process has taken the run over"):
        ledger.append_event(an_event(run, 0, body={"writer": 2}))
    assert ledger.read_events(run) == (first,)


def test_event_needs_its_run(ledger: Ledger) -> None:
    with pytest.raises(JournalError, match="not in the ledger"):
        ledger.append_event(an_event("nobody", 0))
    assert ledger.read_events("nobody") == ()


def test_two_journals_of_one_run_are_fenced(ledger: Ledger) -> None:
    run = ledger.open_run(new_run()).run
    first, second = (Journal(run, ledger, SystemClock()) for _ in range(2))
    first.append(EventKind.OPENED)
    with pytest.raises(JournalError):
        second.append(EventKind.OPENED)
    first.append(EventKind.STARTED, "choose")
    assert Journal(run, ledger, SystemClock()).history.needs_undo() == ("choose",)


def test_threads_append_to_their_own_runs_and_one_wins_a_shared_number(url: str, ledger: Ledger) -> None:
    shared = ledger.open_run(new_run()).run
    own = [ledger.open_run(new_run()).run for _ in range(8)]

    def write(index: int) -> list[bool]:
        with open_ledger(url) as mine:
            for seq in range(10):
                mine.append_event(an_event(own[index], seq))
            return [_wins(mine, an_event(shared, seq, body={"writer": index})) for seq in range(10)]

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert [sum(column) for column in zip(*won, strict=True)] == [1] * 10
    assert all(len(ledger.read_events(run)) == 10 for run in own)
    winners = [event.body["writer"] for event in ledger.read_events(shared)]
    assert all(won[winner][seq] for seq, winner in enumerate(winners))


def _wins(ledger: Ledger, event: Event) -> bool:
    try:
        ledger.append_event(event)
    except JournalError:
        return False
    return True


_WRITER = """
import sys
from muster.clock import SystemClock
from muster.journal import EventKind, Journal
from muster.ledger import open_ledger
journal = Journal(sys.argv[2], open_ledger(sys.argv[1]), SystemClock())
if not journal.history:
    journal.append(EventKind.OPENED)
while True:
    print(journal.append(EventKind.NOTED, text="x" * 500).seq, flush=True)
"""


def test_killed_writer_loses_nothing_it_was_told_is_written(url: str, ledger: Ledger) -> None:
    run = ledger.open_run(new_run()).run
    for enough in (1, 7, 40):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, url, run], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(enough)]
        writer.kill()
        acknowledged += [int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        writer.wait(timeout=30)
        writer.stdout.close()
        # PostgreSQL may still be ending the killed client's last statement; what was acknowledged is there already.
        written = [event.seq for event in ledger.read_events(run)]
        assert written == list(range(len(written)))
        assert set(acknowledged) <= set(written)


@_MANY
@given(data=st.data())
def test_needs_undo_never_drifts_from_the_journal(ledger: Ledger, data: st.DataObject) -> None:
    run = ledger.open_run(new_run()).run
    journal = Journal(run, ledger, SystemClock())
    journal.append(EventKind.OPENED)
    for _ in range(data.draw(st.integers(0, 12))):
        states = journal.history.step_states()
        legal = [
            (step, kind)
            for step in ("choose", "restore")
            for state, kind in STEP_TRANSITIONS
            if state is states.get(step, StepState.WAITING)
        ]
        if not legal:
            break
        step, kind = data.draw(st.sampled_from(legal))
        journal.append(kind, step)
        assert ledger.run(run).needs_undo == bool(journal.history.needs_undo())
    ledger.close_run(run, Outcome.ABORTED)
    assert (run in {r.run for r in ledger.unfinished_runs()}) == bool(journal.history.needs_undo())


# --- runs -------------------------------------------------------------------------------------------------------


def test_run_opens_with_what_was_asked_and_the_databases_clock(ledger: Ledger) -> None:
    before = ledger.now()
    new = new_run(scheduled_at=AT, trigger=Trigger.SCHEDULE, reason="nightly: ünï'code")
    run = ledger.open_run(new)
    assert run.model_dump(include=set(NewRun.model_fields)) == new.model_dump(exclude={"lease_seconds"})
    assert before <= run.opened_at <= ledger.now()
    assert run.lease_until - run.opened_at == timedelta(seconds=60)
    assert (run.outcome, run.verdict, run.facts, run.needs_undo) == (None, None, {}, False)
    assert ledger.run(run.run) == run
    assert ledger.unfinished_runs() == (run,)


def test_slot_is_drilled_once(ledger: Ledger) -> None:
    held = ledger.open_run(new_run(scheduled_at=AT))
    elsewhere = AT.astimezone(tz=datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)
    with pytest.raises(Refusal, match=f"already has run {held.run}") as caught:
        ledger.open_run(new_run(scheduled_at=elsewhere))
    assert caught.value.advice
    ledger.open_run(new_run(scheduled_at=AT + timedelta(microseconds=1)))
    ledger.open_run(new_run("other-plan", scheduled_at=AT))
    on_demand = [ledger.open_run(new_run()) for _ in range(2)]
    assert [run.scheduled_at for run in on_demand] == [run.opened_at for run in on_demand]
    assert len({run.slot for run in on_demand}) == 2, "a run on demand is a slot of its own"


def test_run_name_is_used_once(ledger: Ledger) -> None:
    new = new_run()
    ledger.open_run(new)
    with pytest.raises(LedgerError, match="already in the ledger"):
        ledger.open_run(new)


def test_lease_is_renewed_by_its_owner_alone(ledger: Ledger) -> None:
    run = ledger.open_run(new_run())
    ledger.renew_lease(run.run, 3600, ME)
    renewed = ledger.run(run.run).lease_until
    assert renewed > run.lease_until + timedelta(seconds=3000)
    with pytest.raises(JournalError, match="taken the run over"):
        ledger.renew_lease(run.run, 7200, OTHER)
    assert ledger.run(run.run).lease_until == renewed


@pytest.mark.parametrize(
    ("lease_seconds", "owner_is_dead", "taken"), [(60, False, False), (60, True, True), (-1, False, True)]
)
def test_run_is_taken_over_when_its_lease_ran_out_or_its_owner_is_dead(
    ledger: Ledger, lease_seconds: float, owner_is_dead: bool, taken: bool
) -> None:
    seen = ledger.open_run(new_run(lease_seconds=lease_seconds))
    assert ledger.take_over(seen, OTHER, 60, owner_is_dead=owner_is_dead) is taken
    assert ledger.run(seen.run).owner == (OTHER if taken else ME)
    assert ledger.take_over(seen, ME, 60, owner_is_dead=taken) is False, "the owner seen is no longer the owner"


def test_of_several_that_take_over_at_once_one_does(url: str, ledger: Ledger) -> None:
    seen = ledger.open_run(new_run(lease_seconds=-1))
    others = [ME.model_copy(update={"pid": pid}) for pid in range(100, 108)]
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda other: ledger.take_over(seen, other, 60), others))
    assert won.count(True) == 1
    assert ledger.run(seen.run).owner == others[won.index(True)]


def test_run_ends_once(ledger: Ledger) -> None:
    run = ledger.open_run(new_run()).run
    closed = ledger.close_run(
        run, Outcome.PASSED, Verdict.PASS, Measures(rto_seconds=7.25, rpo_seconds=0.1), {"rows": {"orders": 10**12}}
    )
    assert (closed.outcome, closed.verdict, closed.rto_seconds, closed.rpo_seconds) == ("passed", "pass", 7.25, 0.1)
    assert closed.facts == {"rows": {"orders": 10**12}}
    assert closed.ended_at is not None
    assert closed.ended_at >= closed.opened_at
    assert ledger.unfinished_runs() == ()
    assert ledger.close_run(run, Outcome.PASSED) == closed
    with pytest.raises(JournalError, match="already ended as passed"):
        ledger.close_run(run, Outcome.FAILED)
    assert ledger.run(run) == closed


def test_run_keeps_its_bundle(ledger: Ledger) -> None:
    run = ledger.open_run(new_run()).run
    ledger.set_bundle(run, "a" * 64, "runs/a.tar.gz")
    assert (ledger.run(run).bundle_sha256, ledger.run(run).bundle_key) == ("a" * 64, "runs/a.tar.gz")


@pytest.mark.parametrize(
    "ask",
    [
        lambda ledger: ledger.run("nobody"),
        lambda ledger: ledger.close_run("nobody", Outcome.PASSED),
        lambda ledger: ledger.set_bundle("nobody", "a", "b"),
        lambda ledger: ledger.renew_lease("nobody", 1, ME),
    ],
)
def test_run_that_is_not_there_is_an_error(ledger: Ledger, ask: Callable[[Ledger], None]) -> None:
    with pytest.raises(MusterError, match="nobody"):
        ask(ledger)


def test_runs_come_newest_first(ledger: Ledger) -> None:
    opened = [ledger.open_run(new_run(plan)) for plan in ("a-plan", "b-plan", "a-plan", "a-plan")]
    assert ledger.runs() == tuple(reversed(opened))
    assert ledger.runs("a-plan", limit=2) == (opened[3], opened[2])
    assert ledger.runs("c-plan") == ()


# --- proofs -----------------------------------------------------------------------------------------------------


def test_last_proof_is_the_newest_of_its_kind(ledger: Ledger) -> None:
    matrix = (
        ProofRow(form="zeroed heap page", planted=True, must_catch=("rows",), caught_by=("rows",), is_right=True),
        ProofRow(form="healthy, dump", planted=False, is_right=False, note="no tool"),
    )
    older = Proof(kind="restore", at=AT, planted=1, caught=1, healthy=1, quiet=0, matrix=matrix, muster_version="0.1.0")
    newer = older.model_copy(update={"at": AT + timedelta(days=1), "caught": 0})
    assert ledger.last_proof("restore") is None
    for proof in (newer, older, older.model_copy(update={"kind": "spark", "at": AT + timedelta(days=2)})):
        ledger.record_proof(proof)
    assert ledger.last_proof("restore") == newer
