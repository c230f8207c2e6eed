"""What a drill survives: death and error at every step, interrupts, a dead server, a store that is away.

After each: no process, folder or socket is left, the journal is whole, one bundle reached the store, and it verifies.
"""

import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from evidence.verify import verify
from muster.drill import Workspace
from muster.journal import EventKind, History, RunState
from muster.ledger import Ledger, Run, open_ledger
from muster.verdict import ExitCode, Outcome
from tasks.process import Processes
from tests.real.conftest import Home

STEPS = ("choose", "fetch", "restore", "replay", "compare", "promote", "inspect")
PATIENCE = 60.0


def _runs(home: Home) -> tuple[Run, ...]:
    with open_ledger(home.settings.ledger_url) as ledger:
        return ledger.runs()


def _history(home: Home, run: str) -> History:
    with open_ledger(home.settings.ledger_url) as ledger:
        return History(ledger.read_events(run))


def _assert_nothing_is_left(home: Home) -> None:
    assert home.processes() == []
    for run in _runs(home):
        workspace = Workspace(run.run, home.settings.runs / run.run)
        assert not workspace.root.exists()
        assert not workspace.sockets.exists()
    assert home.muster("undo", "list").returncode == ExitCode.PASS


def _assert_sealed_once(home: Home, run: Run, outcome: Outcome) -> None:
    assert run.outcome is outcome
    history = _history(home, run.run)
    assert history.run_state() is RunState.SENT
    assert [e.seq for e in history] == list(range(len(history)))
    bundles = [p for p in Path(home.settings.store).rglob("*.tar.gz") if p.name.startswith(run.run)]
    assert len(bundles) == 1
    report = verify(bundles[0], home.settings.public_key_file)
    assert report.verdict == "pass", report
    assert report.predicate is not None
    assert report.predicate["outcome"] == outcome.value


def _wait_for(home: Home, found: Callable[[Ledger], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE
    with open_ledger(home.settings.ledger_url) as ledger:
        while not found(ledger):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)


def _has(kind: EventKind, step: str) -> Callable[[Ledger], bool]:
    def found(ledger: Ledger) -> bool:
        runs = ledger.runs(limit=1)
        return bool(runs) and any(e.kind is kind and e.step == step for e in ledger.read_events(runs[0].run))

    return found


def _slow_inspection(home: Home) -> None:
    """A plan whose last step takes long enough to be met in the middle."""
    path = home.settings.plans / f"{home.plan}.yaml"
    plan = yaml.safe_load(path.read_text())
    plan["restore"]["sql"] = [{"name": "slow", "sql": "select pg_sleep(120)::text", "equals": ""}]
    path.write_text(yaml.safe_dump(plan))


def test_a_healthy_drill_passes_and_leaves_nothing(home: Home) -> None:
    done = home.muster("run", home.plan, "--here")
    assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
    assert "PASS" in done.stdout
    (run,) = _runs(home)
    _assert_sealed_once(home, run, Outcome.PASSED)
    _assert_nothing_is_left(home)


@pytest.mark.parametrize("step", STEPS)
def test_sigkill_at_a_step_is_undone_and_sealed(home: Home, step: str) -> None:
    died = home.muster("run", home.plan, "--here", "--inject-kill", step)
    assert died.returncode == -signal.SIGKILL
    assert home.muster("undo", "list").returncode == ExitCode.LEFT_BEHIND
    undone = home.muster("undo", "run")
    assert undone.returncode == ExitCode.PASS, undone.stdout + undone.stderr
    (run,) = _runs(home)
    _assert_sealed_once(home, run, Outcome.ABORTED)
    _assert_nothing_is_left(home)


@pytest.mark.parametrize("step", STEPS)
def test_an_error_at_a_step_is_undone_and_sealed(home: Home, step: str) -> None:
    failed = home.muster("run", home.plan, "--here", "--inject-error", step)
    assert failed.returncode == ExitCode.ABORTED, failed.stdout + failed.stderr
    assert f"aborted in step {step}" in " ".join(failed.stdout.split())
    (run,) = _runs(home)
    _assert_sealed_once(home, run, Outcome.ABORTED)
    _assert_nothing_is_left(home)


def test_the_next_run_finishes_what_a_dead_one_left(home: Home) -> None:
    assert home.muster("run", home.plan, "--here", "--inject-kill", "promote").returncode == -signal.SIGKILL
    assert home.processes() != []
    assert home.muster("run", home.plan, "--here").returncode == ExitCode.PASS
    passed, aborted = _runs(home)
    _assert_sealed_once(home, passed, Outcome.PASSED)
    _assert_sealed_once(home, aborted, Outcome.ABORTED)
    _assert_nothing_is_left(home)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_an_interrupt_undoes_and_seals(home: Home, number: signal.Signals) -> None:
    _slow_inspection(home)
    process = home.start("run", home.plan, "--here")
    _wait_for(home, _has(EventKind.STARTED, "inspect"), process)
    time.sleep(1)  # into the slow question
    process.send_signal(number)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.ABORTED, said
    (run,) = _runs(home)
    _assert_sealed_once(home, run, Outcome.ABORTED)
    _assert_nothing_is_left(home)


def test_a_scratch_server_that_is_killed_fails_the_drill_and_leaves_nothing(home: Home) -> None:
    _slow_inspection(home)
    process = home.start("run", home.plan, "--here")
    _wait_for(home, _has(EventKind.STARTED, "inspect"), process)
    (run,) = _runs(home)
    pid = int((home.settings.runs / run.run / "scratch" / "data" / "postmaster.pid").read_text().split()[0])
    time.sleep(0.5)  # into the inspection
    subprocess.run(["kill", "-KILL", str(pid)], check=True)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode in (ExitCode.ABORTED, ExitCode.FAIL), said
    (run,) = _runs(home)
    assert run.outcome is not Outcome.PASSED
    assert run.outcome is not None
    _assert_sealed_once(home, run, run.outcome)
    _assert_nothing_is_left(home)


@pytest.mark.parametrize("step", ["restore", "replay", "compare", "promote", "inspect"])
def test_a_tool_or_server_that_is_killed_in_a_step_ends_the_drill_and_leaves_nothing(home: Home, step: str) -> None:
    _slow_inspection(home)  # so that the drill cannot come to its end before something is killed
    process = home.start("run", home.plan, "--here")
    _wait_for(home, _has(EventKind.STARTED, step), process)
    (run,) = _runs(home)
    workspace = Workspace(run.run, home.settings.runs / run.run)
    _kill_until_ended(process, Processes(workspace.records, workspace.logs))
    said, _ = process.communicate(timeout=PATIENCE)
    (run,) = _runs(home)
    assert run.outcome not in (None, Outcome.PASSED), said
    _assert_sealed_once(home, run, run.outcome)
    _assert_nothing_is_left(home)


def _alive(processes: Processes) -> tuple[str, ...]:
    """Nobody, once the run's undo has taken the records away under us."""
    try:
        return processes.alive()
    except FileNotFoundError:
        return ()


def _kill_until_ended(drill: "subprocess.Popen[str]", processes: Processes) -> None:
    """SIGKILL whatever is on record until the drill has ended.

    One kill can fall on a server that the step is about to stop itself, and then changes nothing.
    """
    deadline = time.monotonic() + PATIENCE
    killed = 0
    while drill.poll() is None:
        assert time.monotonic() < deadline, f"the drill goes on after {killed} kills"
        for name in _alive(processes):
            identity = processes.identity(name)
            if identity and identity.is_alive():
                identity.signal(signal.SIGKILL)
                killed += 1
        time.sleep(0.005)
    assert killed, "nothing ran that could be killed"


def test_a_store_that_is_away_costs_the_drill_nothing_and_gets_the_bundle_later_once(home: Home) -> None:
    store = Path(home.settings.store)
    store.write_text("a file where the folder should be")
    done = home.muster("run", home.plan, "--here")
    assert done.returncode == ExitCode.PASS
    assert "(waits: " in " ".join(done.stdout.split())
    store.unlink()
    assert home.muster("undo", "run").returncode == ExitCode.PASS
    (run,) = _runs(home)
    _assert_sealed_once(home, run, Outcome.PASSED)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"tpyo": 1}, ExitCode.USAGE, "tpyo"),
        ({"kind": "resotre"}, ExitCode.USAGE, "resotre"),
        ({"target": {"type": "nowhere"}}, ExitCode.USAGE, "no target of type 'nowhere'"),
        ({"target": {"type": "embedded", "foldre": "x"}}, ExitCode.USAGE, "foldre"),
        ({"restore": {"postgres_bin": "/nowhere"}}, ExitCode.REFUSED, "no PostgreSQL server in /nowhere"),
        ({"restore": {"catalog": "/nowhere"}}, ExitCode.USAGE, "/nowhere"),
    ],
    ids=["unknown key", "wrong kind", "wrong target", "unknown target key", "missing binary", "missing catalog"],
)
def test_bad_input_is_one_clear_message_before_anything_is_touched(
    home: Home, change: dict[str, object], code: ExitCode, words: str
) -> None:
    path = home.settings.plans / f"{home.plan}.yaml"
    plan = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**plan, **change}))
    refused = home.muster("run", home.plan, "--here")
    assert refused.returncode == code, refused.stdout + refused.stderr
    said = " ".join((refused.stdout + refused.stderr).split())
    assert words in said
    assert "Traceback" not in said
    assert "->" in said or "→" in said
    assert home.processes() == []


def test_an_unknown_step_and_an_unknown_plan_are_usage_errors(home: Home) -> None:
    assert home.muster("run", home.plan, "--here", "--inject-error", "dance").returncode == ExitCode.USAGE
    assert home.muster("run", "no-such-plan", "--here").returncode == ExitCode.USAGE
    assert home.muster("dance").returncode == ExitCode.USAGE


def test_nothing_is_left_in_the_temporary_folder(home: Home) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="m") as folder:  # short: a socket's path is
        done = home.muster("run", home.plan, "--here", variables={"TMPDIR": folder})
        assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
        assert list(Path(folder).iterdir()) == []
