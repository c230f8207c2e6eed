"""The drill through a real Prefect server, worker and deployment: what people see there, and what it survives."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from evidence.stores import open_store
from evidence.verify import verify
from flows.remote import end_forgotten
from muster.journal import EventKind, History, RunState
from muster.ledger import Run, open_ledger
from muster.settings import Settings
from muster.verdict import ExitCode, Outcome
from tasks.estate.card import Card, read_card
from tasks.process import Processes

MUSTER = Path(sys.executable).parent / "muster"
PLAN = "restore-embedded"
STEPS = {"choose", "fetch", "restore", "replay", "compare", "promote", "inspect"}
PATIENCE = 180.0
T = TypeVar("T")


@dataclass
class Installation:
    """A home, its plans, and the `muster up` that keeps its estate."""

    settings: Settings
    up: "subprocess.Popen[str] | None" = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PREFECT_"))},
            "MUSTER_HOME": str(self.settings.home),
            "MUSTER_PLANS": str(self.settings.plans),
        }

    def start(self) -> Card:
        log = (self.settings.home.parent / "up.log").open("a")
        self.up = subprocess.Popen(
            [MUSTER, "up", "--scale", "300"], env=self.environment, stdout=log, stderr=log, text=True
        )
        return wait_for(self._card, self.up)

    def stop(self) -> None:
        if self.up:
            self.up.send_signal(signal.SIGINT)
            assert self.up.wait(timeout=PATIENCE) == ExitCode.PASS
            self.up = None

    def _card(self) -> Card | None:
        card = read_card(self.settings)
        return card if card and card.scheduler and card.objects and card.shop else None

    @property
    def card(self) -> Card:
        card = self._card()
        assert card is not None
        return card

    def muster(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MUSTER, *arguments], env=self.environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def api(self, path: str, body: dict[str, Any]) -> Any:
        assert self.card.scheduler
        request = urllib.request.Request(
            f"{self.card.scheduler.api}{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        for _ in range(20):  # a busy server says 503, as its own client knows
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
            time.sleep(1)
        raise AssertionError("the server stays busy")

    def run_button(self, plan: str) -> str:
        """What the UI's Run button does; returns the flow run's id."""
        (deployment,) = self.api("/deployments/filter", {"deployments": {"name": {"any_": [PLAN]}}})
        made = self.api(
            f"/deployments/{deployment['id']}/create_flow_run",
            {"parameters": {"plan": plan, "reason": "the Run button"}, "state": {"type": "SCHEDULED"}},
        )
        return str(made["id"])

    def newest(self, plan: str) -> Run | None:
        with open_ledger(self.settings.ledger_url) as ledger:
            return next(iter(ledger.runs(plan, limit=1)), None)

    def history(self, run: Run) -> History:
        with open_ledger(self.settings.ledger_url) as ledger:
            return History(ledger.read_events(run.run))

    def wait_until_inspecting(self, plan: str) -> Run:
        def inspecting() -> Run | None:
            run = self.newest(plan)
            events = self.history(run) if run else ()
            return run if any(e.kind is EventKind.STARTED and e.step == "inspect" for e in events) else None

        return wait_for(inspecting)

    def wait_until_ended(self, plan: str) -> Run:
        def ended() -> Run | None:
            run = self.newest(plan)
            return run if run and run.outcome else None

        return wait_for(ended)


def wait_for(found: Callable[[], T | None], process: "subprocess.Popen[str] | None" = None) -> T:
    deadline = time.monotonic() + PATIENCE
    while (answer := found()) is None:
        assert process is None or process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.5)
    return answer


def slow_plan(plans: Path, name: str, seconds: int) -> None:
    plan = yaml.safe_load(Path(f"deployments/{PLAN}.yaml").read_text())
    plan["name"] = name
    plan["restore"]["sql"] = [{"name": "slow", "sql": f"select 1 from pg_sleep({seconds})", "equals": 1}]
    (plans / f"{name}.yaml").write_text(yaml.safe_dump(plan))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    root = tmp_path_factory.mktemp("prefect")
    plans = root / "plans"
    plans.mkdir()
    (plans / f"{PLAN}.yaml").write_text(Path(f"deployments/{PLAN}.yaml").read_text())
    slow_plan(plans, "restore-slow", 120)
    slow_plan(plans, "restore-slower", 10)
    made = Installation(Settings(home=root / "home", plans=plans))
    try:
        made.start()
        yield made
    finally:
        made.stop()
    assert Processes(made.settings.estate / "processes", made.settings.estate / "logs").alive() == ()


def test_a_run_shows_its_steps_its_report_and_its_evidence(installation: Installation) -> None:
    done = installation.muster("run", PLAN, "--reason", "to be seen")
    assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
    run = installation.newest(PLAN)
    assert run
    assert run.outcome is Outcome.PASSED
    flow_run = installation.history(run)[0].body["flow_run"]
    (seen,) = installation.api("/flow_runs/filter", {"flow_runs": {"id": {"any_": [flow_run]}}})
    assert seen["state"]["type"] == "COMPLETED"
    tasks = installation.api("/task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [flow_run]}}})
    assert {task["name"] for task in tasks} == STEPS | {"evidence"}
    artifacts = installation.api("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [flow_run]}}})
    (report,) = [a for a in artifacts if a["key"] == f"{PLAN}-report"]
    assert "Pass" in report["data"]
    assert run.run in report["data"]
    assert "muster verify" in report["data"]
    _assert_in_store_once(installation, run)


def _assert_in_store_once(installation: Installation, run: Run) -> None:
    objects = installation.card.objects
    assert objects
    store = open_store(f"s3://{objects.bucket}", objects.endpoint, credentials=objects.credentials())
    assert run.bundle_key
    receipt = store.head(run.bundle_key)
    assert receipt
    assert receipt.sha256 == run.bundle_sha256
    assert receipt.lock_mode == "COMPLIANCE"
    copy = installation.settings.home / "copy.tar.gz"
    store.get(run.bundle_key, copy)
    assert verify(copy, installation.settings.public_key_file).verdict == "pass"
    assert installation.history(run).run_state() is RunState.SENT


def test_a_killed_flow_process_is_undone_and_sealed(installation: Installation) -> None:
    installation.run_button("restore-slow")
    run = installation.wait_until_inspecting("restore-slow")
    os.kill(run.owner.pid, signal.SIGKILL)
    wait_for(lambda: None if Path(f"/proc/{run.owner.pid}/stat").exists() else True)
    undone = installation.muster("undo", "run")
    assert undone.returncode == ExitCode.PASS, undone.stdout
    ended = installation.newest("restore-slow")
    assert ended
    assert ended.outcome is Outcome.ABORTED
    assert not (installation.settings.runs / run.run).exists()
    _assert_in_store_once(installation, ended)


def test_ctrl_c_cancels_the_flow_run_which_is_undone_and_sealed(installation: Installation) -> None:
    before = installation.newest(PLAN)
    slow_plan(installation.settings.plans, PLAN, 120)
    watching = subprocess.Popen(
        [MUSTER, "run", PLAN], env=installation.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def inspecting() -> bool | None:
        run = installation.newest(PLAN)
        if run is None or (before and run.run == before.run):
            return None
        return "inspect" in installation.history(run).step_states() or None

    try:
        wait_for(inspecting, watching)
        watching.send_signal(signal.SIGINT)
        said, _ = watching.communicate(timeout=PATIENCE)
    finally:
        (installation.settings.plans / f"{PLAN}.yaml").write_text(Path(f"deployments/{PLAN}.yaml").read_text())
    assert watching.returncode == ExitCode.ABORTED, said
    run = installation.newest(PLAN)
    assert run
    assert run.outcome is Outcome.ABORTED
    _assert_in_store_once(installation, run)


def test_a_killed_server_worker_and_store_lose_no_evidence(installation: Installation) -> None:
    flow_run = installation.run_button("restore-slower")
    installation.wait_until_inspecting("restore-slower")
    estate = Processes(installation.settings.estate / "processes", installation.settings.estate / "logs")
    for name in ("prefect-server", "prefect-worker", "objects"):
        identity = estate.identity(name)
        assert identity
        identity.signal(signal.SIGKILL)
    run = installation.wait_until_ended("restore-slower")
    assert (run.outcome, run.flow_run) == (Outcome.PASSED, flow_run)
    history = installation.history(run)
    assert history.run_state() is RunState.SEALED
    (began,) = (e for e in history if e.kind is EventKind.STARTED and e.step == "inspect")
    (ended,) = (e for e in history if e.kind is EventKind.SUCCEEDED and e.step == "inspect")
    assert ended.at - began.at < timedelta(seconds=40), "a step of 10 seconds does not wait for the server"
    installation.stop()
    installation.start()
    wait_for(lambda: installation.history(run).run_state() is RunState.SENT or None)
    _assert_in_store_once(installation, run)

    def seen() -> tuple[str, str]:
        (found,) = installation.api("/flow_runs/filter", {"flow_runs": {"id": {"any_": [flow_run]}}})
        return found["state_type"], found["state"]["name"]

    assert seen() == ("RUNNING", "Running"), "the estate's stop ended its process, which could tell nobody"
    with open_ledger(installation.settings.ledger_url) as ledger:
        assert end_forgotten(installation.settings, ledger) == (run.run,)
        assert end_forgotten(installation.settings, ledger) == ()
    assert seen() == ("COMPLETED", "Passed")
