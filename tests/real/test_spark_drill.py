"""A stress drill as a user runs it, on a real cluster: one that passes, one of two settings side by side, some that
were killed, after each step or in a lap, and one whose driver somebody else kills. Nothing of them is left."""

import json
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.spark import DRILL
from muster.ledger import open_ledger
from muster.spark.observations import Lap, Struck
from muster.summary import Summary
from muster.verdict import ExitCode, Outcome
from tests.real.conftest import Home
from tests.real.spark_home import (
    PATIENCE,
    assert_nothing_is_left,
    family,
    history_of,
    installed,
    members,
    sealed_logs,
    wait_for,
)

pytestmark = [pytest.mark.xdist_group("spark"), pytest.mark.timeout(900)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = installed(tmp_path)
    yield made
    made.muster("undo", "run", timeout=PATIENCE)
    assert family(made) == []


def temporary() -> set[Path]:
    """What JVMs left in the machine's folder for temporary files: libraries, blocks, artifacts."""
    names = ("liblz4-java*", "snappy-*", "libzstd*", "blockmgr-*", "spark-*", "artifacts-*")
    return {path for name in names for path in Path(tempfile.gettempdir()).glob(name)}


def test_a_drill_that_lost_an_executor_passes_and_is_sealed(home: Home, tmp_path: Path) -> None:
    before = temporary()
    done = home.muster("run", home.plan, "--here", "--json", timeout=PATIENCE)
    assert temporary() == before, "an executor that is killed cannot clear up after itself"
    summary = Summary.model_validate_json(done.stdout)
    assert (done.returncode, summary.outcome) == (ExitCode.PASS, Outcome.PASSED), done.stdout + done.stderr
    assert {"answer", "landed", "event log", "as before"} <= {f.check for f in summary.findings if f.word == "pass"}
    assert_nothing_is_left(home)
    (bundle,) = Path(home.settings.store).rglob("*.tar.gz")
    assert home.muster("verify", str(bundle), "--key", str(home.settings.public_key_file)).returncode == ExitCode.PASS
    (log,) = sealed_logs(home, tmp_path / "sealed").values()
    (struck,) = history_of(home).observed(Struck)
    assert log.is_whole
    assert log.executors[struck.victims[0].executors[0]].removed_ms is not None


def test_settings_are_compared_in_turn(tmp_path: Path) -> None:
    settings = {"plain": {"spark.sql.adaptive.enabled": True}, "still": {"spark.sql.adaptive.enabled": False}}
    home = installed(tmp_path, settings=settings)
    done = home.muster(
        "run", home.plan, "--here", "--json", "--compare", "plain", "--compare", "still", timeout=PATIENCE
    )
    assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
    laps = history_of(home).observed(Lap)
    assert [(lap.variant, lap.kind) for lap in laps] == [
        (variant, kind) for variant in settings for kind in ("undisturbed", "disturbed")
    ]
    assert len({lap.applications for lap in laps}) == 2
    facts = dict(Summary.model_validate_json(done.stdout).facts)
    assert "spark.sql.adaptive.enabled=false" in facts["settings still"]
    assert_nothing_is_left(home)


@pytest.mark.parametrize("step", [step.name for step in DRILL.steps])
def test_what_a_killed_drill_left_is_ended_by_the_undo(home: Home, step: str) -> None:
    installed(home.root, workload={"type": "terasort", "rows": 20_000, "partitions": 4})
    home.muster("run", home.plan, "--here", "--inject-kill", step, timeout=PATIENCE)
    assert any("deploy.master.Master" in line for line in family(home)) is (step not in {"survey", "answer"})
    done = home.muster("undo", "run", timeout=PATIENCE)
    assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
    assert_nothing_is_left(home)
    with open_ledger(home.settings.ledger_url) as ledger:
        assert ledger.runs()[0].outcome is Outcome.ABORTED


def test_a_drill_killed_in_the_midst_of_a_lap_leaves_nothing_that_runs_or_stands_still(home: Home) -> None:
    """Its driver ends by itself, in the midst of a job that would never end, and takes its JVM along."""
    installed(home.root, fault={"type": "freeze-executor", "during": "reduce", "after": 0.2, "lasts": "8m"})
    running = home.start("run", home.plan, "--here")
    wait_for(home, lambda: stopped(home))
    running.kill()
    running.communicate(timeout=PATIENCE)
    wait_for(home, lambda: not [line for line in family(home) if "tasks.spark.driver" in line or "SparkSubmit" in line])
    assert any("deploy.master.Master" in line for line in family(home))
    assert stopped(home), "nobody has undone anything yet"
    done = home.muster("undo", "run", timeout=PATIENCE)
    assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
    assert_nothing_is_left(home)


def stopped(home: Home) -> list[str]:
    """What stands still (SIGSTOP)."""
    return [line for process, line in members(home).items() if stands_still(process)]


def stands_still(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def test_a_driver_that_somebody_else_kills_fails_the_drill_and_leaves_nothing(home: Home) -> None:
    running = home.start("run", home.plan, "--here", "--json")
    _kill_once_up(home, "tasks.spark.driver")
    said, _ = running.communicate(timeout=PATIENCE)
    found = {f["check"]: f for f in json.loads(said[said.index("{") :])["findings"]}
    assert found["stressed"]["verdict"] == "fail"
    assert "the driver died" in found["stressed"]["seen"]
    assert running.returncode == ExitCode.FAIL
    assert_nothing_is_left(home)


def _kill_once_up(home: Home, words: str) -> None:
    """SIGKILL to the drill's driver, once its application runs."""
    deadline = time.monotonic() + PATIENCE
    while not list(home.settings.runs.glob("*/scratch/sessions/*/0/lap-000.ask.json")):
        assert time.monotonic() < deadline, family(home)
        time.sleep(0.1)
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if words in line and str(home.settings.home) in line:
            process.send_signal(signal.SIGKILL)
