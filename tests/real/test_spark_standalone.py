"""A stress drill on a standalone cluster that is not the drill's: it goes on before, beside and after it.

The cluster is started by the test, in a folder of its own, as a team would have one: one by Spark's own programs with
nothing but their defaults. The last two show what is shipped to clusters where the drill starts no driver, by the words
that it is started with there.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from muster.drill import Workspace
from muster.spark.eventlog import read_log
from muster.spark.observations import ClusterSeen, Healed, Lap, Struck
from muster.spark.spec import SparkSpec
from muster.summary import Summary
from muster.verdict import ExitCode
from tasks.estate.loopback import free_ports
from tasks.process import AT_ONCE, Identity, Processes
from tasks.spark.cluster import Cluster, Shape
from tasks.spark.emr_api import Steps
from tasks.spark.java import find_java, prepare_home, spark_home
from tasks.spark.post import Config, Told, Up
from tasks.spark.remote import LapSession, prepare
from tasks.spark.session import COMMON
from tasks.spark.standalone import look
from tasks.targets import standalone
from tasks.targets.stressable import Work
from tests.real.conftest import Home
from tests.real.spark_home import PATIENCE, family, history_of, installed, sealed_logs

pytestmark = [pytest.mark.xdist_group("spark"), pytest.mark.timeout(900)]
SMALL = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "512m",
    "spark.executor.memory": "540m",
}
# What a team would do over ssh: the worker at a host, and all that it started, stop and go on.
SIGNAL = """
import os, psutil, signal, sys
hosts = os.environ["MUSTER_HOSTS"].split()
for process in psutil.process_iter():
    try:
        words = process.cmdline()
        if "org.apache.spark.deploy.worker.Worker" in words and words[words.index("--host") + 1] in hosts:
            for each in (process, *process.children(recursive=True)):
                each.send_signal(getattr(signal, sys.argv[1]))
            print(os.environ["MUSTER_FAULT"], "of", process.pid)
    except psutil.Error:
        pass
"""


@dataclass(frozen=True)
class Theirs:
    """Somebody's cluster."""

    master: str
    ui: str
    processes: Processes

    def target(self, **more: Any) -> dict[str, Any]:
        """How a plan names it."""
        keys = {"type": "standalone", "master": self.master, "masters_ui": [self.ui]}
        return {**keys, "settings": SMALL, **more}

    def look(self) -> ClusterSeen:
        """What its master tells."""
        return look(self.ui, "test")

    def identities(self) -> dict[str, Identity | None]:
        """Its own processes."""
        return {name: self.processes.identity(name) for name in self.processes.alive()}


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[Theirs]:
    """A cluster of Spark's own programs with their defaults: both workers have the machine's name, cores and memory."""
    folder = tmp_path / "stock"
    processes, (port, ui) = Processes(folder / "records", folder / "logs"), free_ports(folder, "stock", 2)
    environment = {
        "SPARK_HOME": str(spark_home()),
        "JAVA_HOME": str(prepare_home(find_java(), folder / "java")),
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_LOCAL_IP": "127.0.0.1",  # nobody else's network is to reach it
        "SPARK_WORKER_DIR": str(folder / "work"),
        "SPARK_LOCAL_DIRS": str(folder),
        "JAVA_TOOL_OPTIONS": f'"-Djava.io.tmpdir={folder}"',
    }
    theirs = Theirs(f"spark://127.0.0.1:{port}", f"http://127.0.0.1:{ui}", processes)

    def start(name: str, *words: object) -> None:
        argv = [str(spark_home() / "bin" / "spark-class"), *map(str, words)]
        processes.start(name, argv, log=f"{name}.log", env=environment, cwd=folder)

    try:
        start("master", "org.apache.spark.deploy.master.Master", "--port", port, "--webui-port", ui)
        for number in (1, 2):
            start(f"worker-{number}", "org.apache.spark.deploy.worker.Worker", theirs.master)
        deadline = time.monotonic() + PATIENCE
        while len(theirs.look().alive) < 2:
            assert time.monotonic() < deadline, theirs.look()
            time.sleep(0.1)
        yield theirs
    finally:
        processes.stop_all(signals=AT_ONCE)


@contextmanager
def left_as_it_was(theirs: Theirs) -> Iterator[None]:
    """Whatever a drill does, the team's own processes are the same ones afterwards, and none of ours is there."""
    before, cores = theirs.identities(), sum(w.cores for w in theirs.look().alive)
    yield
    assert theirs.identities() == before
    seen = theirs.look()
    assert (len(seen.alive), seen.applications, sum(w.cores_free for w in seen.alive)) == (2, (), cores)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theirs]:
    folder = tmp_path_factory.mktemp("theirs")
    processes = Processes(folder / "records", folder / "logs")
    cluster = Cluster(folder / "cluster", processes, find_java(), Shape(workers=2, cores=1, memory=900))
    try:
        cluster.start(lambda: PATIENCE)
        yield Theirs(cluster.master_url, cluster.master_ui, processes)
    finally:
        cluster.stop()


@pytest.fixture
def as_before(theirs: Theirs) -> Iterator[None]:
    with left_as_it_was(theirs):
        yield


def drilled(home: Home) -> Summary:
    done = home.muster("run", home.plan, "--here", "--json", timeout=PATIENCE)
    summary = Summary.model_validate_json(done.stdout)
    assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
    assert family(home) == []
    assert list(home.settings.runs.iterdir()) == []
    return summary


def test_an_executor_on_a_stock_cluster_of_this_machine_is_killed_without_a_hook(stock: Theirs, tmp_path: Path) -> None:
    home = installed(tmp_path, stock.target())
    with left_as_it_was(stock):
        summary = drilled(home)
    assert {"answer", "landed", "event log", "as before"} <= {f.check for f in summary.findings if f.word == "pass"}
    (struck,) = history_of(home).observed(Struck)
    assert "SIGKILL to process" in struck.done[0]
    assert stock.master in summary.target


def test_a_worker_is_frozen_by_the_teams_own_command(theirs: Theirs, as_before: None, tmp_path: Path) -> None:
    script = tmp_path / "fault.py"
    script.write_text(SIGNAL)
    hooks = {"freeze-worker": {"strike": [sys.executable, str(script), "SIGSTOP"],
                               "heal": [sys.executable, str(script), "SIGCONT"]}}  # fmt: skip
    home = installed(
        tmp_path,
        theirs.target(hooks=hooks),
        fault={"type": "freeze-worker", "during": "reduce", "after": 0.2, "lasts": "4s"},
    )
    drilled(home)
    history = history_of(home)
    (struck,) = history.observed(Struck)
    assert "hook freeze-worker.strike: freeze-worker of" in struck.done[0]
    assert "hook freeze-worker.heal" in history.observed(Healed)[0].done[0]


def test_a_stream_whose_driver_is_killed_goes_on_from_its_checkpoint(
    theirs: Theirs, as_before: None, tmp_path: Path
) -> None:
    """In its last batch: of what was through before, nothing is done again, and each event is in the sink once."""
    home = installed(
        tmp_path,
        theirs.target(),
        workload={"type": "stream", "rows": 60_000, "partitions": 6},
        fault={"type": "kill-driver", "during": "last", "after": 0},
    )
    summary = drilled(home)
    assert {"answer", "landed", "sound", "output"} <= {f.check for f in summary.findings if f.word == "pass"}
    history = history_of(home)
    assert "SIGKILL, with its JVM" in history.observed(Struck)[0].done[0]
    undisturbed, disturbed = history.observed(Lap)
    logs = sealed_logs(home, tmp_path / "sealed")
    whole = logs[undisturbed.applications[0]].stages_of(undisturbed.group)
    went_on = logs[disturbed.applications[-1]].stages_of(disturbed.group)
    assert 0 < len(went_on) < len(whole) / 2


def work_of(folder: Path) -> Work:
    return Work(
        workspace=Workspace("run", folder / "run"),
        processes=Processes(folder / "records", folder / "logs"),
        spec=SparkSpec.model_validate({"workload": {"type": "terasort", "rows": 20_000, "partitions": 2}}),
        seconds_left=lambda: PATIENCE,
    )


def test_a_folder_is_dropped_by_sparks_own_file_system(tmp_path: Path) -> None:
    keys = {"master": "spark://127.0.0.1:1", "masters_ui": ["http://127.0.0.1:1"], "settings": SMALL}
    target, work = standalone.Target(standalone.Spec.model_validate(keys)), work_of(tmp_path)
    data = work.workspace.scratch / "data"
    (data / "lap").mkdir(parents=True)
    (data / "lap" / "part-0").write_text("x")
    (data.parent / "kept").touch()
    for _ in range(2):
        target._clear(work)
        assert not data.exists()
        assert (data.parent / "kept").exists()


class Folder:
    """A run's folder, on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = root.as_uri()

    def read(self, name: str) -> bytes | None:
        path = self.root / name
        return path.read_bytes() if path.exists() else None

    def write(self, name: str, content: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_a_lap_that_is_shipped_runs_by_the_words_of_its_step(tmp_path: Path) -> None:
    """The step of EMR's, but for its master: what it would do there is done here."""
    shelf, steps = Folder(tmp_path / "shelf"), []
    prepare(shelf)
    (shelf.root / "events").mkdir()
    work = work_of(tmp_path)
    settings = {**COMMON, **SMALL, "spark.eventLog.dir": f"{shelf.uri}/events", "spark.master": "local[2]"}
    emr: Any = SimpleNamespace(add_step=lambda name, words: steps.append(words) or "s-1")
    service = Steps(emr, shelf.uri, work.application, "client")
    config = Config(application=work.application, master="yarn", settings=settings, workload=dict(work.spec.workload),
                    data=f"{shelf.uri}/data")  # fmt: skip
    session = LapSession(service, shelf, config, idle=lambda: (), every=0, every_file=0)
    session.begin(0, "muster-run-lap-0", "lap 0", disturbed=False)
    home = prepare_home(find_java(), tmp_path / "java")
    environment = {"PATH": os.environ["PATH"], "JAVA_HOME": str(home), "SPARK_HOME": str(spark_home()),
                   "PYSPARK_PYTHON": sys.executable, "PYTHONSAFEPATH": "1"}  # fmt: skip
    (words,) = steps
    done = subprocess.run(
        [spark_home() / "bin" / words[0], *words[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lap = shelf.root / "laps" / "muster-run-lap-0"
    told = Told.model_validate_json((lap / "lap-000.told.json").read_bytes())
    assert told.state == "succeeded", told.error
    assert told.inspection is not None
    assert told.inspection.answer.whole.rows == 20_000
    stages = session.stages("muster-run-lap-0")
    assert stages
    assert all(stage.status == "COMPLETE" for stage in stages)
    up = Up.model_validate_json((lap / "up.json").read_bytes())
    assert session.applications == (up.application,)
    assert json.loads((lap / "driver.json").read_bytes())["application"] == work.application
    (log,) = (shelf.root / "events").iterdir()
    with log.open(encoding="utf-8") as lines:
        read = read_log(lines)
    assert (read.is_whole, read.application) == (True, up.application)
    assert {stage.id for stage in read.stages_of("muster-run-lap-0")} >= {stage.id for stage in stages}
