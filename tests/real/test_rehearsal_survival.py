"""What a failover rehearsal survives: death and error at every step, interrupts, dead clients, servers, links, ledgers.

After each: one primary and its streaming standby, in one of the two good states; no table, tool, slot, fence or frozen
process of the drill; one bundle, which verifies, and is no pass.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from evidence.verify import verify
from flows.registry import conductor_of
from muster.drill import Workspace
from muster.failover.observations import Cast, GoodState
from muster.journal import EventKind, History, RunState
from muster.ledger import Ledger, Run, open_ledger
from muster.settings import Settings
from muster.verdict import ExitCode, Outcome
from tasks.client.client import Client
from tasks.estate.estate import Estate, Part
from tasks.link.link import Condition
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.postgres.survey import survey
from tasks.process import AT_ONCE, Identity, Processes
from tasks.regions.pair import DATABASE, Pair
from tasks.rehearsal.settling import followers_of
from tests.real.conftest import Home

PATIENCE = 60.0
LINK = Condition(rtt_seconds=0.004)
TABLE = "muster_rehearsal"
STEPS = (
    "survey", "client", "steady", "fault", "detect", "fence", "prove-fence", "promote", "reroute", "verify", "away",
    "salvage", "rejoin", "failback", "verify-again", "steady-after", "account",
)  # fmt: skip
SCENARIOS = {  # those of which the half-done state is the worst
    "fault": "partition",
    "detect": "freeze",
    "fence": "partition",
    "prove-fence": "disk-full",
    "promote": "switchover",
    "reroute": "partition",
    "verify": "replica-behind",
    "away": "freeze",
    "salvage": "partition-then-kill",
    "failback": "slow-link",
}


@dataclass(frozen=True)
class Rehearsal:
    """An installation with one plan, and the pair that it drills."""

    home: Home
    pair: Pair

    def plan(self, **failover: object) -> None:
        """Change keys of the plan's section."""
        path = self.home.settings.plans / f"{self.home.plan}.yaml"
        plan = yaml.safe_load(path.read_text())
        plan["failover"].update(failover)
        path.write_text(yaml.safe_dump(plan))

    def run(self, *more: str) -> "subprocess.CompletedProcess[str]":
        return self.home.muster("run", self.home.plan, "--here", *more)

    def start(self) -> "subprocess.Popen[str]":
        return self.home.start("run", self.home.plan, "--here")

    def undo_here(self) -> None:
        """What `muster undo run` does, without the time that its start takes."""
        with open_ledger(self.home.settings.ledger_url) as ledger:
            assert len(conductor_of(self.home.settings, ledger).finish_dead_runs()) == 1

    def undo(self) -> None:
        undone = self.home.muster("undo", "run")
        assert undone.returncode == ExitCode.PASS, undone.stdout + undone.stderr

    def runs(self) -> tuple[Run, ...]:
        with open_ledger(self.home.settings.ledger_url) as ledger:
            return ledger.runs()

    def history(self, run: str) -> History:
        with open_ledger(self.home.settings.ledger_url) as ledger:
            return History(ledger.read_events(run))

    def workspace(self, run: str) -> Workspace:
        return Workspace(run, self.home.settings.runs / run)


@pytest.fixture(scope="module")
def module_pair() -> Iterator[Pair]:
    """A pair that outlives every drill: what one of them leaves, the next would stumble over."""
    root = Path(tempfile.mkdtemp(prefix="mreh", dir="/tmp"))  # sockets need a short path
    root.chmod(0o755)
    pair = Pair(root / "regions", root / "s", Processes(root / "processes", root / "logs"))
    try:
        pair.start(LINK)
        yield pair
    finally:
        pair.stop()
        assert pair.processes.names() == ()
        shutil.rmtree(root)


@pytest.fixture
def rehearsal(module_pair: Pair, tmp_path: Path) -> Iterator[Rehearsal]:
    """The demo's plan with a short patience, pointed at the pair. The pair is looked at before and after."""
    home = installed(tmp_path, {"type": "embedded-regions", "folder": str(module_pair.home), "link": {"rtt": "4ms"}})
    pair = Pair.open(module_pair.home)
    assert pair is not None
    assert_whole(pair)
    yield Rehearsal(home, pair)
    assert_whole(pair)


def installed(root: Path, target: dict[str, object]) -> Home:
    """An installation with the demo's plan, in a hurry."""
    plan = yaml.safe_load(Path("deployments/rehearsal-embedded.yaml").read_text())
    plan |= {"name": "rehearsal-test", "target": target, "objectives": {"rto": "5m", "rpo": "0s"}}
    plan["failover"] |= {
        "steady": "400ms",
        "away": "400ms",
        "fault_lasts": "400ms",
        "route_samples": 20,
        "client": {"connections": 4, "rate": 200},
        "detection": {"interval": "100ms", "after": "300ms"},
        "slow_link": {"rtt": "20ms", "loss": 0.001},
        "failback": {"rto": "5m", "rpo": "0s"},
    }
    plans = root / "plans"
    plans.mkdir()
    (plans / "rehearsal-test.yaml").write_text(yaml.safe_dump(plan))
    settings = Settings(home=root / "home", plans=plans, store=str(root / "store"))
    return Home(root, settings, "rehearsal-test")


def assert_whole(pair: Pair) -> str:
    """One primary with its standby, and nothing of a drill beside them; who the primary is."""
    wait_until(lambda: len(roles(pair)) == 2, lambda: str(survey(pair.nodes(), "test", 2.0)))
    primary, standby = roles(pair)
    wait_until(lambda: (slots(pair, primary), slots(pair, standby)) == ({standby}, set()), lambda: "slots")
    assert ask(pair, primary, "show synchronous_standby_names") == "*"
    for name in pair.NAMES:
        assert pair.records.fence(name) is None
        assert pair.thaw(name) == 0, "it was frozen"
    wait_until(lambda: ask(pair, standby, f"select to_regclass('{TABLE}')::text") is None, lambda: "a table is left")
    assert ask(pair, primary, f"select to_regclass('{TABLE}')::text") is None
    with pair.server(primary).connect(DATABASE) as connection:
        connection.execute("set synchronous_commit = remote_apply")
        connection.execute("update accounts set balance = balance + 1 where id = 1")  # nobody waits in vain
    assert pair.link.state() == LINK
    sides = {"link-a", "link-b"} if pair.link.form == "namespaces" else set()
    assert set(pair.processes.names()) == {"region-a", "region-b", "link", *sides}
    assert {path.name for path in pair.home.iterdir()} == {"a", "b", "made.json", "running.json", "passfile"}
    return primary


def roles(pair: Pair) -> tuple[str, ...]:
    """Primary and standby of a healthy pair; less when it is not."""
    seen = survey(pair.nodes(), "test", 2.0)
    leaders = [n.node for n in seen.with_role("primary")]
    return (*leaders, *followers_of(seen, leaders[0])) if len(leaders) == 1 else ()


def slots(pair: Pair, name: str) -> set[str]:
    with pair.server(name).connect() as connection:
        return {row[0] for row in connection.execute("select slot_name from pg_replication_slots")}


def ask(pair: Pair, name: str, question: str) -> object:
    with pair.server(name).connect(DATABASE) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row
    return row[0]


def wait_until(is_so: Callable[[], bool], words: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, words()
        time.sleep(0.02)


def assert_ended_well(rehearsal: Rehearsal, *outcomes: Outcome) -> History:
    """The newest run has ended like this, is sealed once, and left nothing; the pair is whole."""
    primary = assert_whole(rehearsal.pair)
    home, (run, *_) = rehearsal.home, rehearsal.runs()
    assert run.outcome in outcomes
    history = rehearsal.history(run.run)
    assert history.run_state() is RunState.SENT
    assert history.needs_undo() == ()
    cast, states = history.result("survey", Cast), history.observed(GoodState)
    if states:
        assert cast is not None
        assert states[-1].primary == primary
        assert states[-1].state == ("home" if primary == cast.old else "away")
    bundles = [p for p in Path(home.settings.store).rglob("*.tar.gz") if p.name.startswith(run.run)]
    assert len(bundles) == 1
    report = verify(bundles[0], home.settings.public_key_file)
    assert report.verdict == "pass", report
    assert home.processes() == []
    workspace = rehearsal.workspace(run.run)
    assert not workspace.root.exists()
    assert not workspace.sockets.exists()
    return history


def reach(rehearsal: Rehearsal, process: "subprocess.Popen[str]", kind: EventKind, step: str) -> None:
    """Return once the drill has written this event."""

    def found(ledger: Ledger) -> bool:
        runs = ledger.runs(limit=1)
        return bool(runs) and any(e.kind is kind and e.step == step for e in ledger.read_events(runs[0].run))

    with open_ledger(rehearsal.home.settings.ledger_url) as ledger:
        watch(process, lambda: found(ledger))


def watch(process: "subprocess.Popen[str]", found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL


def tool(rehearsal: Rehearsal, program: str) -> Identity | None:
    """A program of the newest run that runs now."""
    runs = rehearsal.runs()
    if not runs:
        return None
    workspace = rehearsal.workspace(runs[0].run)
    processes = Processes(workspace.records, workspace.logs)
    name = next((n for n in processes.alive() if n.startswith(program)), None)
    return processes.identity(name) if name else None


def hold(rehearsal: Rehearsal, process: "subprocess.Popen[str]", program: str) -> Identity:
    """Catch a program of the drill in the middle of its work, and stop it there."""
    found: list[Identity] = []

    def is_caught() -> bool:
        if caught := tool(rehearsal, program):
            caught.signal(signal.SIGSTOP)
            found.append(caught)
        return bool(found) and found[-1].is_alive()

    watch(process, is_caught)
    return found[-1]


# --- at every step ---------------------------------------------------------------------------------------------------


def test_a_healthy_rehearsal_passes_from_either_side(rehearsal: Rehearsal) -> None:
    before = assert_whole(rehearsal.pair)
    rehearsal.plan(failback=None)
    for _ in range(2):
        done = rehearsal.run()
        assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
        assert_ended_well(rehearsal, Outcome.PASSED)
    assert assert_whole(rehearsal.pair) == before


@pytest.mark.parametrize("step", STEPS)
def test_sigkill_at_a_step_is_undone(rehearsal: Rehearsal, step: str) -> None:
    rehearsal.plan(scenario=SCENARIOS.get(step, "kill"))
    died = rehearsal.run("--inject-kill", step)
    assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
    rehearsal.undo_here()
    assert_ended_well(rehearsal, Outcome.ABORTED)


def test_an_error_after_the_fence_is_undone(rehearsal: Rehearsal) -> None:
    rehearsal.plan(scenario="freeze")
    failed = rehearsal.run("--inject-error", "fence")
    assert failed.returncode == ExitCode.ABORTED, failed.stdout + failed.stderr
    assert_ended_well(rehearsal, Outcome.ABORTED)


def test_an_undo_that_fails_says_what_to_do_and_is_finished_later(rehearsal: Rehearsal) -> None:
    rehearsal.plan(scenario="partition", commit="asynchronous")
    assert rehearsal.run("--inject-kill", "promote").returncode == -signal.SIGKILL
    card = rehearsal.pair.home / "running.json"
    hidden = card.rename(card.with_name("hidden"))
    failed = rehearsal.home.muster("undo", "run")
    assert failed.returncode == ExitCode.LEFT_BEHIND
    assert "no pair of regions runs in" in failed.stdout
    assert "start it" in failed.stdout
    assert rehearsal.home.processes() == [], "the client needs no target to be ended"
    hidden.rename(card)
    rehearsal.undo()
    assert_ended_well(rehearsal, Outcome.ABORTED)
    (run,) = rehearsal.runs()
    assert any(rehearsal.workspace(run.run).kept.rglob("*.gz")), "what the old primary wrote alone was to be saved"


# --- stopped, killed, and killed again -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "step", "scenario"),
    [
        (signal.SIGINT, "away", "kill"),
        (signal.SIGTERM, "promote", "switchover"),
        (signal.SIGINT, "rejoin", "partition"),
    ],
    ids=["SIGINT-away", "SIGTERM-promote", "SIGINT-rejoin"],
)
def test_an_operator_stops_it_at_any_point(
    rehearsal: Rehearsal, number: signal.Signals, step: str, scenario: str
) -> None:
    rehearsal.plan(scenario=scenario, away="5s")
    process = rehearsal.start()
    reach(rehearsal, process, EventKind.STARTED, step)
    process.send_signal(number)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.ABORTED, said
    assert_ended_well(rehearsal, Outcome.ABORTED)


def test_killed_in_a_rewind_and_again_in_the_undo(rehearsal: Rehearsal) -> None:
    rehearsal.plan(scenario="partition", commit="asynchronous")
    process = rehearsal.start()
    rewind = hold(rehearsal, process, "pg_rewind")
    kill(process)
    undo = rehearsal.home.start("undo", "run")
    backup = hold(rehearsal, undo, "pg_basebackup")
    assert not rewind.is_alive(), "it would work on data that is being made anew"
    kill(undo)
    rehearsal.undo()
    assert not backup.is_alive()
    history = assert_ended_well(rehearsal, Outcome.ABORTED)
    assert any("rejoined as standby by rebuild" in words for words in history.observed(GoodState)[-1].done)


@pytest.mark.parametrize("step", ["promote", "failback"])
def test_killed_between_the_stop_of_one_and_the_promotion_of_the_other(rehearsal: Rehearsal, step: str) -> None:
    rehearsal.plan(scenario="switchover" if step == "promote" else "kill")
    (old, new), process = roles(rehearsal.pair), rehearsal.start()
    reach(rehearsal, process, EventKind.STARTED, step)
    leaving = old if step == "promote" else new
    watch(process, lambda: not rehearsal.pair.is_running(leaving))
    kill(process)
    rehearsal.undo()
    history = assert_ended_well(rehearsal, Outcome.ABORTED)
    assert history.observed(GoodState)


# --- what dies beside it ---------------------------------------------------------------------------------------------


def test_without_its_client_it_proves_nothing(rehearsal: Rehearsal) -> None:
    process = rehearsal.start()
    reach(rehearsal, process, EventKind.STARTED, "away")
    client = tool(rehearsal, Client.NAME)
    assert client
    client.signal(signal.SIGKILL)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode in {ExitCode.ABORTED, ExitCode.INCONCLUSIVE}, said
    assert "the independent client died" in " ".join(said.split())
    assert_ended_well(rehearsal, Outcome.ABORTED, Outcome.INCONCLUSIVE)


def test_a_link_that_dies_is_mended(rehearsal: Rehearsal) -> None:
    process = rehearsal.start()
    reach(rehearsal, process, EventKind.STARTED, "detect")
    kill_link(rehearsal.pair)
    said, _ = process.communicate(timeout=2 * PATIENCE)
    (run,) = rehearsal.runs()
    assert run.outcome is not None, said
    assert_ended_well(rehearsal, run.outcome)


def test_a_link_that_dies_under_a_tool_ends_the_drill(rehearsal: Rehearsal) -> None:
    rehearsal.plan(scenario="partition", commit="asynchronous")
    process = rehearsal.start()
    rewind = hold(rehearsal, process, "pg_rewind")
    kill_link(rehearsal.pair)
    rewind.signal(signal.SIGCONT)
    said, _ = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == ExitCode.ABORTED, said
    assert_ended_well(rehearsal, Outcome.ABORTED)


def kill_link(pair: Pair) -> None:
    """Every process of it, and the networks that they hold."""
    for name in pair.processes.names():
        identity = pair.processes.identity(name)
        if name.startswith("link") and identity:
            identity.signal(signal.SIGKILL)


@pytest.mark.parametrize("step", ["detect", "failback"])
def test_both_servers_die(rehearsal: Rehearsal, step: str) -> None:
    process = rehearsal.start()
    reach(rehearsal, process, EventKind.STARTED, step)
    for name in Pair.NAMES:
        rehearsal.pair.kill(name)
    said, _ = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode != ExitCode.PASS, said
    (run,) = rehearsal.runs()
    assert run.outcome not in {None, Outcome.PASSED}, said
    assert_ended_well(rehearsal, run.outcome)


def test_a_ledger_lost_in_mid_drill_leaves_no_second_primary(rehearsal: Rehearsal) -> None:
    folder = Path(tempfile.mkdtemp(prefix="mrel", dir="/tmp"))
    processes = Processes(folder / "processes", folder / "logs")
    server = Server(wheel_binaries(), folder / "a", folder / "s", processes, "ledger")
    try:
        server.init()
        server.start({"shared_buffers": "16MB"})
        url = f"postgresql://postgres@/postgres?host={server.sockets}"
        settings = rehearsal.home.settings.model_copy(update={"ledger": url})
        kept = Rehearsal(replace(rehearsal.home, settings=settings), rehearsal.pair)
        process = kept.start()
        reach(kept, process, EventKind.STARTED, "away")
        processes.stop("ledger", signals=AT_ONCE)
        said, _ = process.communicate(timeout=2 * PATIENCE)
        assert process.returncode not in {ExitCode.PASS, ExitCode.FAIL}, said
        assert_whole(rehearsal.pair)  # though nothing of its undo could be recorded
        assert rehearsal.home.processes() == []
        server.start({"shared_buffers": "16MB"})
        kept.undo()
        assert_ended_well(kept, Outcome.ABORTED)
    finally:
        processes.stop_all(signals=AT_ONCE)
        shutil.rmtree(folder)


KEEPER = """
import sys
from rich.console import Console
from muster.cli.run import Options, run
from muster.cli.up import estate_up
from muster.settings import Settings
from tasks.estate.estate import Part
settings = Settings.from_environment()
with estate_up(settings, Console(), parts=[Part.REGIONS]):
    run(settings, Options("rehearsal-test", "", False, True, None, "promote", (), "", as_json=False))
"""


def test_an_estate_that_dies_with_its_drill_is_brought_to_a_good_state_twice(tmp_path: Path) -> None:
    home = installed(tmp_path, {"type": "embedded-regions"})
    estate = Estate(home.settings, [Part.REGIONS])
    try:
        died = subprocess.run(
            [sys.executable, "-c", KEEPER],
            env=home.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
        refused = home.muster("run", "rehearsal-test", "--here")  # finishes what is left, and then does not drill it
        assert refused.returncode == ExitCode.REFUSED, refused.stdout + refused.stderr
        assert "muster up" in refused.stdout
        with open_ledger(home.settings.ledger_url) as ledger:
            history = History(ledger.read_events(ledger.runs()[-1].run))
            assert [run.outcome for run in ledger.runs()] == [Outcome.REFUSED, Outcome.ABORTED]
        (good,) = history.observed(GoodState)
        left = Pair.open(home.settings.estate / "regions")
        assert left is not None
        assert roles(left)[0] == good.primary
        card = estate.start()
        assert card.regions
        pair = Pair.open(card.regions.home)
        assert pair is not None
        assert roles(pair)[0] == good.primary
    finally:
        estate.stop()
        estate.processes.stop_all(signals=AT_ONCE)
    assert home.processes() == []
