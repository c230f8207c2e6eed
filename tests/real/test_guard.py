"""Claims while their PostgreSQL dies, comes back, fails over, or is stopped: each tick once, none lost."""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from muster.guard import Grant, Guard, WhenAway
from muster.ledger import Ledger, open_ledger
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.process import AT_ONCE, Processes

AT = datetime(2026, 3, 1, 4, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WORKERS, ENOUGH, TICKS = 4, 50, 150


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for sockets, and open to the servers' user."""
    made = Path(tempfile.mkdtemp(prefix="mgrd", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    processes = Processes(folder / "processes", folder / "logs")
    made = Server(wheel_binaries(), folder / "a", folder / "sa", processes, "primary")
    made.init()
    made.configure({"shared_buffers": "16MB"})
    made.start()
    yield made
    for name in processes.alive():
        processes.stop(name, signals=AT_ONCE)


def url_of(*servers: Server) -> str:
    hosts = ",".join(str(server.sockets) for server in servers)
    return f"postgresql://postgres@/postgres?host={hosts}&target_session_attrs=read-write"


class Claimers:
    """Schedulers that all claim the same ticks, one after the other; what each was told."""

    def __init__(self, url: str, when_away: WhenAway) -> None:
        self.told: list[dict[int, Grant]] = [{} for _ in range(WORKERS)]
        self.have_enough = threading.Event()
        self.threads = [threading.Thread(target=self._claim, args=(url, when_away, n)) for n in range(WORKERS)]
        for thread in self.threads:
            thread.start()

    def _claim(self, url: str, when_away: WhenAway, worker: int) -> None:
        with Guard(url, "blue", when_away, patience=60, by=f"worker {worker}") as guard:
            for number in range(TICKS):
                self.told[worker][number] = guard.claim("orders", AT + number * MINUTE)
                if number == ENOUGH:
                    self.have_enough.set()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(120)
            assert not thread.is_alive()

    def are_unique_and_kept(self, ledger: Ledger) -> bool:
        """Each tick was granted to one, and the ledger's row is that one's."""
        kept = {claim.at: claim.by for claim in ledger.claims_between(["orders"], AT - MINUTE, AT + TICKS * MINUTE)}
        for number in range(TICKS):
            granted = [n for n, told in enumerate(self.told) if told[number].granted]
            (worker,) = granted
            assert kept[AT + number * MINUTE].startswith(f"worker {worker}/")
        refused = ledger.refusals_between(["orders"], AT - MINUTE, AT + TICKS * MINUTE)
        told_no = sum(not grant.granted for told in self.told for grant in told.values())
        # A refusal whose answer was lost is on record twice.
        return len(kept) == TICKS and told_no <= len(refused) <= told_no + 3 * WORKERS


def assigned(url: str) -> None:
    with open_ledger(url) as ledger:
        ledger.assign_owner(["orders"], "blue")


@pytest.mark.parametrize("deaths", [1, 3])
def test_a_server_killed_amid_claims_costs_time_and_nothing_else(server: Server, deaths: int) -> None:
    assigned(url := url_of(server))
    claimers = Claimers(url, WhenAway.WAIT)
    assert claimers.have_enough.wait(60)
    for _ in range(deaths):
        server.processes.stop(server.name, signals=AT_ONCE)
        time.sleep(0.3)
        server.start()
        time.sleep(0.3)
    claimers.join()
    assert {grant.why for told in claimers.told for grant in told.values()} == {"granted", "duplicate"}
    with open_ledger(url) as ledger:
        assert claimers.are_unique_and_kept(ledger)


def test_claims_follow_a_fail_over(server: Server, folder: Path) -> None:
    standby = _standby(server, folder)
    assigned(url := url_of(server, standby))
    claimers = Claimers(url, WhenAway.WAIT)
    assert claimers.have_enough.wait(60)
    server.processes.stop(server.name, signals=AT_ONCE)
    with standby.connect() as promoting:
        promoting.execute("alter system set synchronous_standby_names = ''")
        assert promoting.execute("select pg_promote()").fetchone() == (True,)
        promoting.execute("select pg_reload_conf()")
    claimers.join()
    with open_ledger(url) as ledger:
        assert claimers.are_unique_and_kept(ledger)


def _standby(primary: Server, folder: Path) -> Server:
    """Acknowledged means there too, or a fail-over would lose claims."""
    copy = folder / "b"
    tool = wheel_binaries().tool("pg_basebackup")
    primary.processes.run([tool, "-D", copy, "-R", "-c", "fast", "-d", primary.dsn()], log="copy.log", timeout=60)
    standby = Server(wheel_binaries(), copy, folder / "sb", primary.processes, "standby")
    standby.start({"shared_buffers": "16MB"})
    with primary.connect() as connection:
        connection.execute("alter system set synchronous_standby_names = '*'")
        connection.execute("select pg_reload_conf()")
        deadline = time.monotonic() + 60
        while connection.execute("select sync_state from pg_stat_replication").fetchall() != [("sync",)]:
            assert time.monotonic() < deadline, standby.log_tail()
            time.sleep(0.05)
    return standby


@pytest.mark.parametrize(("when_away", "granted"), [(WhenAway.RUN, True), (WhenAway.WAIT, False)])
def test_a_server_that_stays_away_is_a_matter_of_policy(server: Server, when_away: WhenAway, granted: bool) -> None:
    assigned(url := url_of(server))
    with Guard(url, "blue", when_away, patience=1) as guard:
        assert guard.claim("orders", AT).why == "granted"
        server.processes.stop(server.name, signals=AT_ONCE)
        assert guard.claim("orders", AT + MINUTE) == (granted, "away", None)
        assert guard.claim("orders", AT).granted is granted, "nobody knows that it was claimed"
        server.start()
        assert guard.claim("orders", AT + MINUTE).why == "granted"
        assert guard.claim("orders", AT).why == "duplicate"


def test_a_server_that_is_stopped_holds_up_a_job_for_a_bounded_time(server: Server) -> None:
    assigned(url := url_of(server))
    with Guard(url, "blue", WhenAway.RUN, patience=0) as guard, server.connect() as connection:
        assert guard.claim("orders", AT).why == "granted"
        pids = [int(pid) for (pid,) in connection.execute("select pid from pg_stat_activity").fetchall()]
        postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
        try:
            for pid in (*pids, postmaster):
                os.kill(pid, signal.SIGSTOP)
            began = time.monotonic()
            assert guard.claim("orders", AT + MINUTE).why == "away"
            assert time.monotonic() - began < 20
        finally:
            for pid in (*pids, postmaster):
                os.kill(pid, signal.SIGCONT)
        assert guard.claim("orders", AT + 2 * MINUTE).why == "granted"


def test_a_fork_makes_a_connection_of_its_own(server: Server) -> None:
    assigned(url := url_of(server))
    with Guard(url, "blue") as guard:
        assert guard.claim("orders", AT)
        if (child := os.fork()) == 0:
            code = 99
            try:
                code = int(guard.claim("orders", AT + MINUTE).granted)
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        assert guard.claim("orders", AT + MINUTE).why == "duplicate"
        assert guard.claim("orders", AT + 2 * MINUTE).why == "granted"
