"""Every family of fault on a real cluster of our own: struck, seen in Spark's event log, borne, ended, and nothing is left.

One cluster and one application serve all: each worker has a disk of its own and a door, the application bears what a plan's
settings make it bear. A fault that is reported and not carried out is looked at too, by the same judge.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from muster.drill import Workspace
from muster.spark.eventlog import Log, read_log
from muster.spark.laps import landing
from muster.spark.observations import Aim, Landing, Lap, Struck
from muster.spark.spec import Fault, SparkSpec
from tasks.process import Processes
from tasks.spark.aiming import aim_at, reached
from tasks.spark.cluster import Cluster
from tasks.spark.course import victims_of
from tasks.spark.faults import catalogue
from tasks.spark.faults.scene import Scene
from tasks.spark.post import Told
from tasks.spark.status import Status
from tasks.spark.workloads.workload import open_workload
from tasks.targets.embedded_spark import Spec, Target
from tasks.targets.stressable import Moment, Work

PATIENCE = 120.0
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
    healed: tuple[str, ...]

    @property
    def landing(self) -> Landing:
        return landing(self.struck, self.lap, [self.log])

    def never_struck(self) -> Landing:
        """The judge's word on the same lap, had the fault been aimed at one that nothing happened to."""
        return self.landing


class Ground:
    """A cluster, an application on it, and laps."""

    def __init__(self, folder: Path, local_disk: int | None = 96) -> None:
        self.workspace = Workspace(f"faults{os.getpid()}", folder)
        self.processes = Processes(self.workspace.records, self.workspace.logs)
        self.target = Target(Spec(local_disk=local_disk))
        self.work = self.work_for(Fault.CUT_NETWORK)
        self.cluster: Cluster = self.target._cluster(self.work)
        self.answer = open_workload(WORKLOAD).answer()
        self._number = 0

    def work_for(self, fault: Fault, during: str = "reduce", lasts: str = "5s", after: float = 0.2) -> Work:
        radius = {"executors": 2, "workers": 2, "last_worker": True}
        keys = {"type": fault, "during": during, "lasts": lasts, "after": after}
        spec = SparkSpec.model_validate({"workload": WORKLOAD, "fault": keys, "blast_radius": radius})
        return Work(self.workspace, self.processes, spec, lambda: 600.0)

    def open(self) -> None:
        self.target.provide(self.work)
        self.session = self.target.open_session(self.work, "plain-0", SETTINGS, self.target.data(self.work))
        self.status = Status(self.session.up.ui, self.session.up.application)
        self.undisturbed()
        self.usual = self.undisturbed()

    def undisturbed(self) -> Lap:
        return self._ended(self._begin(), lambda: None)

    def disturbed(
        self, fault: Fault, during: str = "reduce", lasts: str = "5s", after: float = 0.2, carry_out: bool = True
    ) -> Outcome:
        """One lap under a fault; `carry_out` is whether more is done than said."""
        work = self.work_for(fault, during, lasts, after)
        scene = Scene(self.cluster, work)
        aim = self._aim(work)
        self._wait_for_cores()
        group = self._begin()
        struck: list[Struck] = []
        healed: list[str] = []
        over = [0.0]

        def further() -> None:
            if not struck:
                if found := self._strike(scene, group, aim, carry_out):
                    struck.append(found)
                    over[0] = time.monotonic() + work.spec.fault.lasts.total_seconds()
            elif fault.lasts and not healed and time.monotonic() > over[0]:
                healed.extend(catalogue.heal(scene) or ("nothing",))

        lap = self._ended(group, further)
        if not healed:
            healed.extend(catalogue.heal(scene))
        assert struck, "the moment never came"
        return Outcome(struck[0], lap, self.log(), tuple(healed))

    def _strike(self, scene: Scene, group: str, aim: Aim, carry_out: bool) -> Struck | None:
        spec = scene.work.spec.fault
        stages, executors = self.status.stages(group), self.status.executors()
        stage = reached(stages or (), aim, spec)
        if stage is None or executors is None:
            return None
        moment = Moment(self._number, group, self.session.applications[-1], stage, executors)
        victims = victims_of(moment, spec.type, spec.victims)
        if not victims:
            return None
        at_ms = time.time_ns() // 1_000_000
        done = catalogue.strike(scene, moment, victims) if carry_out else tuple(f"{v.name}: done" for v in victims)
        return Struck(
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
            time.sleep(0.05)
        return self._lap(told, group)

    def _lap(self, told: Told, group: str) -> Lap:
        question = open_workload(WORKLOAD).question
        return Lap(
            number=self._number, kind="disturbed", variant="plain", question=question, group=group,
            applications=self.session.applications, state=told.state, error=told.error, began_ms=told.began_ms,
            ended_ms=told.ended_ms, seconds=told.seconds, inspection=told.inspection,
        )  # fmt: skip

    def _wait_for_cores(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while sum(e.cores for e in self.session.executors() or () if e.is_active) < 2:
            assert time.monotonic() < deadline, "the application has not its two cores"
            time.sleep(0.05)

    def log(self) -> Log:
        (path,) = self.target.events(self.work)
        with path.open(encoding="utf-8") as lines:
            return read_log(lines)
