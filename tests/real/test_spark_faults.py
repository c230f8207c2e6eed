"""Every family of fault on a real cluster of our own: struck, seen in Spark's logs, borne, ended, and nothing is left.

One cluster and one application serve all, in the order of this file: each worker has a door, the first one a disk of
its own, and the application's settings let it bear what comes. A fault that is only reported is looked at too, by the
same judge.
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from muster.drill import Workspace
from muster.errors import StepError
from muster.spark.eventlog import Log, read_log
from muster.spark.laps import landing
from muster.spark.observations import Aim, Landing, Lap, Struck
from muster.spark.spec import Fault, SparkSpec
from tasks.process import AT_ONCE, Identity, Processes
from tasks.spark.aiming import aim_at, reached
from tasks.spark.cluster import SHUFFLE_SERVICE, Cluster, Shape, free_ports_once
from tasks.spark.course import victims_of
from tasks.spark.faults import catalogue, cgroups, resources
from tasks.spark.faults.scene import Scene
from tasks.spark.java import find_java
from tasks.spark.post import Told
from tasks.spark.status import Status
from tasks.spark.workloads.workload import open_workload
from tasks.targets.embedded_spark import Spec, Target
from tasks.targets.stressable import Moment, Work

PATIENCE = 150.0
DISK = 256
OWN, SHARED = "127.0.0.2", "127.0.0.3"
"""Addresses of the worker with a disk of its own, and of the one on the machine's."""
WORKLOAD = {"type": "terasort", "rows": 800_000, "partitions": 24}
SETTINGS = {
    # The loss of somebody who says nothing is noticed within some ten seconds.
    "spark.network.timeout": "10s",
    "spark.network.timeoutInterval": "2s",
    "spark.executor.heartbeatInterval": "1s",
    "spark.storage.blockManagerHeartbeatTimeoutMs": "10000",
    # A task that failed for want of room goes elsewhere.
    "spark.excludeOnFailure.taskAndStage.enabled": "true",
    "spark.decommission.enabled": "true",
    "spark.storage.decommission.enabled": "true",
    "spark.storage.decommission.shuffleBlocks.enabled": "true",
    # What is not written out at once cannot be made slow.
    "spark.shuffle.sync": "true",
}


@dataclass(frozen=True)
class Outcome:
    """One lap under a fault."""

    struck: Struck
    lap: Lap
    log: Log
    said: list[str]
    healed: tuple[str, ...]

    def landing(self, fault: Fault | None = None) -> Landing:
        """The judge's word; of another fault, had that one been reported."""
        struck = self.struck if fault is None else self.struck.model_copy(update={"fault": fault})
        return landing(struck, self.lap, [self.log], self.said)


class Ground:
    """A cluster, an application on it, and laps."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(f"faults-{os.getpid()}", folder)
        self.processes = Processes(self.workspace.records, self.workspace.logs)
        self.target = Target(Spec(local_disk=DISK))
        self.work = self.work_for(Fault.CUT_NETWORK)
        self.cluster: Cluster = self.target._cluster(self.work)
        self.answer = open_workload(WORKLOAD).answer()
        self._number = 0

    def work_for(self, fault: Fault, during: str = "reduce", after: float = 0.2) -> Work:
        radius = {"executors": 2, "workers": 2, "last_worker": True}
        spec = SparkSpec.model_validate(
            {
                "workload": WORKLOAD,
                "fault": {"type": fault, "during": during, "after": after},
                "blast_radius": radius,
            }
        )
        return Work(self.workspace, self.processes, spec, lambda: 600.0)

    def open(self) -> None:
        shared = replace(self.cluster.shape, local_disk=None)
        plain = Cluster(self.cluster.home, self.processes, find_java(), shared)
        plain.start_master(self.work.seconds_left)
        plain.start_worker("spark-worker-2")  # what is in memory cannot be slow
        self.target.provide(self.work)
        self.session = self.target.open_session(self.work, "plain-0", SETTINGS, self.target.data(self.work))
        self.status = Status(self.session.up.ui, self.session.up.application)  # type: ignore[attr-defined]
        self._ended(self._begin(), lambda: None)  # cold
        self.usual = self._ended(self._begin(), lambda: None)

    def disturbed(
        self,
        fault: Fault,
        during: str = "reduce",
        after: float = 0.2,
        host: str = "",
        *,
        carry_out: bool = True,
    ) -> Outcome:
        """One lap under a fault. `carry_out`: whether more is done than said; `host`: of the worker to hit, if any."""
        scene = Scene(self.cluster, self.work_for(fault, during, after))
        self.wait_for_cores()
        group = self._begin()
        struck: list[Struck] = []
        healed: list[str] = []
        over = [0.0]

        def further() -> None:
            if not struck:
                struck.extend(self._strike(scene, group, carry_out, host))
                over[0] = time.monotonic() + scene.work.spec.fault.lasts.total_seconds()
            elif fault.lasts and not healed and time.monotonic() > over[0]:
                healed.extend(catalogue.heal(scene))

        lap = self._ended(group, further)
        healed.extend(catalogue.heal(scene))
        assert struck, "the moment never came"
        return Outcome(struck[0], lap, self.log(), self.said(), tuple(healed))

    def _strike(self, scene: Scene, group: str, carry_out: bool, host: str) -> Iterator[Struck]:
        spec = scene.work.spec.fault
        stages, executors = self.status.stages(group), self.status.executors()
        stage = reached(stages or (), self._aim(scene.work), spec)
        if stage is None or executors is None:
            return
        executors = tuple(e for e in executors if host in {"", e.host})
        moment = Moment(self._number, group, self.session.applications[-1], stage, executors)
        victims = victims_of(moment, spec.type, spec.victims)
        at_ms = time.time_ns() // 1_000_000
        done = catalogue.strike(scene, moment, victims) if carry_out else tuple(f"{v.name}: done" for v in victims)
        if victims:
            yield Struck(
                lap=self._number, fault=spec.type, group=group, stage=stage.id, stage_name=stage.name,
                tasks_done=stage.done, tasks=stage.tasks, at_ms=at_ms, victims=victims, done=done,
            )  # fmt: skip

    def _aim(self, work: Work) -> Aim:
        found = aim_at(self.session.stages(self.usual.group) or (), "plain", work.spec.fault.during)
        assert found
        return found

    def _begin(self) -> str:
        self._number += 1
        group = f"faults-lap-{self._number}"
        self.session.begin(self._number, group, "a lap", disturbed=False)
        return group

    def _ended(self, group: str, further: Callable[[], None]) -> Lap:
        deadline = time.monotonic() + PATIENCE
        while (told := self.session.ended()) is None:
            further()
            assert time.monotonic() < deadline, "the lap hangs"
            time.sleep(0.02)
        return self._lap(told, group)

    def _lap(self, told: Told, group: str) -> Lap:
        return Lap(
            number=self._number, kind="disturbed", variant="plain", question=open_workload(WORKLOAD).question,
            group=group, applications=self.session.applications, state=told.state, error=told.error,
            began_ms=told.began_ms, ended_ms=told.ended_ms, seconds=told.seconds, inspection=told.inspection,
        )  # fmt: skip

    def wait_for_cores(self) -> None:
        """Both workers take work, and the application has an executor on each."""
        deadline = time.monotonic() + PATIENCE
        while (
            sum(e.cores for e in self.session.executors() or () if e.is_active) < 2
            or len(self.cluster.look("test").alive) < 2
        ):
            assert time.monotonic() < deadline, "the cluster is not as before"
            time.sleep(0.05)

    def log(self) -> Log:
        (path,) = self.target.events(self.work)
        with path.open(encoding="utf-8") as lines:
            return read_log(lines)

    def said(self) -> list[str]:
        """The driver's own log."""
        return (self.workspace.logs / "driver-plain-0.log").read_text(encoding="utf-8", errors="replace").splitlines()

    def groups(self) -> list[Path]:
        """Control groups with the run's name."""
        return [path for path in Path("/sys/fs/cgroup").rglob(f"muster-{self.workspace.run}-*")]

    def family(self) -> set[Identity]:
        """Everything that runs for this cluster, drivers too."""
        return {process for name in self.processes.names() for process in self.cluster.tree_of(name)}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    found = Ground(tmp_path_factory.mktemp("faults"))
    try:
        found.open()
        yield found
    finally:
        found.target.release(found.work)


def listeners(family: Iterable[Identity]) -> set[str]:
    """The addresses that processes listen on."""
    found = [
        c
        for process in family
        for c in psutil.Process(process.pid).net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    ]
    return {c.laddr.ip.removeprefix("::ffff:") for c in found}


def assert_right_or_loud(ground: Ground, lap: Lap) -> None:
    if lap.state == "failed":
        assert lap.error
        assert lap.inspection is None or not lap.inspection.output or not lap.inspection.output.is_marked_complete
    else:
        assert lap.inspection
        assert lap.inspection.answer == ground.answer
        assert not lap.inspection.problems


def needs(fault: Fault) -> pytest.MarkDecorator:
    return pytest.mark.skipif(fault not in catalogue.possible(), reason=f"this machine has no means for {fault}")


@pytest.mark.timeout(600)
def test_nothing_but_loopback_is_listened_on(ground: Ground) -> None:
    assert ground.groups() == []
    found = listeners(ground.family())
    assert {"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.1.1", "127.0.1.2"} <= found
    assert all(address.startswith("127.") for address in found), found


def test_a_fault_that_is_only_reported_has_not_landed(ground: Ground) -> None:
    """One undisturbed lap, and the judge's word on each fault that could have been claimed of it."""
    outcome = ground.disturbed(Fault.FREEZE_WORKER, carry_out=False)
    assert outcome.lap.state == "succeeded"
    assert [fault for fault in Fault if outcome.landing(fault).landed] == []


@pytest.mark.parametrize(
    ("fault", "during", "after", "host", "words"),
    [
        pytest.param(Fault.FULL_DISK, "map", 0.0, OWN, "No space left on device", marks=needs(Fault.FULL_DISK)),
        pytest.param(Fault.SLOW_DISK, "map", 0.0, SHARED, "are usual", marks=needs(Fault.SLOW_DISK)),
        (Fault.CUT_NETWORK, "reduce", 0.2, "", "are usual"),
        pytest.param(Fault.OUT_OF_MEMORY, "reduce", 0.2, "", "lost", marks=needs(Fault.OUT_OF_MEMORY)),
        (Fault.CORRUPT_SHUFFLE_BLOCK, "reduce", 0.2, OWN, "FetchFailed"),
        (Fault.FREEZE_EXECUTOR, "reduce", 0.2, "", "are usual"),
        (Fault.RESTART_MASTER, "reduce", 0.2, "", "Disconnected"),
        (Fault.DECOMMISSION, "reduce", 0.2, "", "decommission"),
    ],
)
def test_a_fault_lands_is_borne_and_ended(
    ground: Ground, fault: Fault, during: str, after: float, host: str, words: str
) -> None:
    outcome = ground.disturbed(fault, during, after, host)
    assert outcome.struck.done
    assert_right_or_loud(ground, outcome.lap)
    found = outcome.landing()
    assert found.landed, found
    assert words in found.seen
    ground.wait_for_cores()
    assert ground.groups() == []
    disks = [ground.cluster.disk_of(name) for name in ground.cluster.worker_names]
    assert not any(own is None or own.make_room() for own in disks), "a disk was left full"


def test_nothing_is_left(ground: Ground) -> None:
    family = ground.family()
    assert len(family) >= 8, "master, driver, and of each worker itself, its door and its executor"
    ground.target.release(ground.work)
    assert ground.processes.names() == ()
    assert not any(process.is_alive() for process in family)
    assert str(ground.workspace.root) not in Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert ground.groups() == []
    assert not ground.workspace.scratch.exists()


def test_a_shuffle_service_listens_on_loopback_alone_and_comes_back(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "records", tmp_path / "logs")
    cluster = Cluster(tmp_path / "home", processes, find_java(), Shape(has_shuffle_service=True))
    try:
        for _ in range(2):
            cluster.start_shuffle_service(lambda: PATIENCE)
            family = cluster.tree_of(SHUFFLE_SERVICE)
            found = listeners(family)
            assert {"127.0.0.2", "127.0.0.3"} <= found
            assert all(address.startswith("127.") for address in found), found
            assert cluster.kill(SHUFFLE_SERVICE)
            assert not any(process.is_alive() for process in family)
    finally:
        processes.stop_all(signals=AT_ONCE)


@pytest.mark.parametrize("which", [0, 1], ids=["its own port", "that of its page"])
def test_a_port_that_somebody_took_is_told_at_once(tmp_path: Path, which: int) -> None:
    processes = Processes(tmp_path / "records", tmp_path / "logs")
    cluster = Cluster(tmp_path / "home", processes, find_java(), Shape())
    port = free_ports_once(tmp_path / "home")[which]
    try:
        with (
            socket.create_server(("127.0.0.1", port)),
            pytest.raises(StepError, match="spark-master ended while it started") as caught,
        ):
            cluster.start_master(lambda: PATIENCE)
        assert "spark-master.log" in caught.value.advice
        assert f"starting from {port}" in (tmp_path / "logs" / "spark-master.log").read_text()
        assert processes.alive() == ()
    finally:
        processes.stop_all(signals=AT_ONCE)


@needs(Fault.OUT_OF_MEMORY)
def test_a_control_group_is_removed_by_whoever_finds_its_record(tmp_path: Path) -> None:
    """As after the death of the process that made it, with a process of ours still in it."""
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        place = cgroups.place_for("memory", sleeper.pid)
        assert place
        name = f"muster-test-{os.getpid()}"
        cgroups.make(place, name, resources.records_of(tmp_path)).take(sleeper.pid)
        inside = Path(f"/proc/{sleeper.pid}/cgroup").read_text(encoding="ascii")
        assert name in inside
        (told,) = resources.lift(tmp_path)
        assert name in told
        assert name not in Path(f"/proc/{sleeper.pid}/cgroup").read_text(encoding="ascii")
        assert not (place.folder / name).exists()
        assert sleeper.poll() is None
        assert resources.lift(tmp_path) == ()
    finally:
        sleeper.kill()
        sleeper.wait()
