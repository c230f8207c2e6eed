"""The ledger when its database is killed, fails over or is held by another: one clear error, and nothing lost."""

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.ledger import Ledger, LedgerError, SlotTaken, open_ledger
from muster.ledger.glance import glance
from muster.verdict import Outcome
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.process import AT_ONCE, Processes
from tests.contract.ledgers import AT, new_run

ENOUGH = 25
"""Runs that a writer finishes before its server dies."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for sockets, and open to the servers' user."""
    made = Path(tempfile.mkdtemp(prefix="mflt", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def processes(folder: Path) -> Iterator[Processes]:
    made = Processes(folder / "processes", folder / "logs")
    yield made
    for name in made.alive():
        made.stop(name, signals=AT_ONCE)


@pytest.fixture
def primary(folder: Path, processes: Processes) -> Server:
    server = Server(wheel_binaries(), folder / "a", folder / "sa", processes, "primary")
    server.init()
    server.configure({"shared_buffers": "16MB"})
    server.start()
    return server


class Writer(threading.Thread):
    """Drills all day with a ledger; remembers what it was told is written."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(daemon=True)
        self.ledger = ledger
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.error: LedgerError | None = None
        self.has_enough = threading.Event()

    def run(self) -> None:
        for _ in range(100_000):
            try:
                self.opened.append(self.ledger.open_run(new_run("busy")).run)
                self.closed.append(self.ledger.close_run(self.opened[-1], Outcome.PASSED, target_digest="t").run)
            except LedgerError as error:
                self.error = error
                return
            if len(self.closed) >= ENOUGH:
                self.has_enough.set()

    def is_all_kept(self) -> bool:
        """What was told is there; at most the statement that was under way when the server died is there besides."""
        there = {run.run: run.outcome for run in self.ledger.runs("busy", limit=100_000)}
        besides = set(there) - set(self.opened)
        closed = {name for name, outcome in there.items() if outcome is Outcome.PASSED}
        return set(self.opened) <= set(there) and len(besides) <= 1 and set(self.closed) <= closed


def _interrupted(ledger: Ledger, server: Server) -> Writer:
    writer = Writer(ledger)
    writer.start()
    assert writer.has_enough.wait(60)
    server.processes.stop(server.name, signals=AT_ONCE)
    writer.join(60)
    assert not writer.is_alive()
    assert writer.error
    assert writer.error.advice
    return writer


def _standings_are_right(ledger: Ledger) -> bool:
    kept = ledger.standings()
    ledger.rebuild_standings()
    return ledger.standings() == kept


def test_a_killed_server_costs_one_error_and_no_record(primary: Server) -> None:
    url = f"postgresql://postgres@/postgres?host={primary.sockets}"
    with open_ledger(url) as ledger:
        held = ledger.open_run(new_run(scheduled_at=AT))
        writer = _interrupted(ledger, primary)
        for ask in (lambda: ledger.close_run(held.run, Outcome.PASSED), ledger.current_stop, lambda: glance(url)):
            with pytest.raises(LedgerError) as caught:
                ask()
            assert caught.value.advice
        primary.start()
        assert ledger.run(held.run) == held, "the same object works again, and the run is as it was"
        with pytest.raises(SlotTaken):
            ledger.open_run(new_run(scheduled_at=AT))
        assert ledger.close_run(held.run, Outcome.PASSED).outcome is Outcome.PASSED
        assert writer.is_all_kept()
        assert _standings_are_right(ledger)
        assert glance(url).standings["shop"].pass_run == held.run


def test_a_ledger_with_two_hosts_follows_the_primary(primary: Server, processes: Processes, folder: Path) -> None:
    standby = _standby(primary, folder, processes)
    hosts = f"{primary.sockets},{standby.sockets}"
    url = f"postgresql://postgres@/postgres?host={hosts}&target_session_attrs=read-write"
    with open_ledger(url) as ledger:
        held = ledger.open_run(new_run(scheduled_at=AT))
        with standby.connect() as reader:
            assert reader.execute("select run from runs where plan = 'shop'").fetchall() == [(held.run,)]
        writer = _interrupted(ledger, primary)
        with pytest.raises(LedgerError):
            ledger.close_run(held.run, Outcome.PASSED)
        with pytest.raises(LedgerError):
            glance(url)  # a standby takes no record of a drill, so it is not read either
        with standby.connect() as promoting:
            promoting.execute("alter system set synchronous_standby_names = ''")
            assert promoting.execute("select pg_promote()").fetchone() == (True,)
            promoting.execute("select pg_reload_conf()")
        assert ledger.run(held.run) == held
        assert ledger.close_run(held.run, Outcome.PASSED).outcome is Outcome.PASSED
        assert writer.is_all_kept()
        assert _standings_are_right(ledger)
        assert glance(url).standings["shop"].pass_run == held.run


def _standby(primary: Server, folder: Path, processes: Processes) -> Server:
    """Acknowledged means there too: without that, a fail-over loses what PostgreSQL never promised to keep."""
    copy = folder / "b"
    tool = wheel_binaries().tool("pg_basebackup")
    processes.run([tool, "-D", copy, "-R", "-c", "fast", "-d", primary.dsn()], log="copy.log", timeout=60)
    standby = Server(wheel_binaries(), copy, folder / "sb", processes, "standby")
    standby.start({"shared_buffers": "16MB"})
    with primary.connect() as connection:
        connection.execute("alter system set synchronous_standby_names = '*'")
        connection.execute("alter system set synchronous_commit = 'remote_apply'")
        connection.execute("select pg_reload_conf()")
        deadline = time.monotonic() + 60
        while connection.execute("select sync_state from pg_stat_replication").fetchall() != [("sync",)]:
            assert time.monotonic() < deadline, standby.log_tail()
            time.sleep(0.05)
    return standby


_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_sqlite_ledger_held_by_another_process_costs_one_error(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    url = f"sqlite:///{file}"
    with open_ledger(url, patience=0.2) as ledger:
        run = ledger.open_run(new_run()).run
        program = [sys.executable, "-c", _HOLDER, str(file)]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(LedgerError, match="stayed locked by another process") as caught:
                ledger.close_run(run, Outcome.PASSED)
            assert "fuser" in caught.value.advice
            assert ledger.run(run).outcome is None, "reading goes on"
            assert glance(url).standings["shop"].open_run == run
            holder.communicate(timeout=30)
        assert ledger.close_run(run, Outcome.PASSED).outcome is Outcome.PASSED
        assert _standings_are_right(ledger)
