"""Target `embedded-spark`: a standalone cluster that the drill starts on this machine, and stops.

Spark and a Java come as wheels. Every worker has a loopback address of its own; nothing else is listened on. What only
some faults need is there only for them: a local disk of each worker's own, a door between it and master and driver.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field, model_validator

from muster.drill import Workspace
from muster.errors import StepError
from muster.identity import Identity
from muster.settings import Settings
from muster.spark.observations import ClusterSeen, Provided, Victim, WorkerSeen
from muster.spark.spec import Fault
from tasks.process import AT_ONCE
from tasks.spark.cluster import Cluster, Shape
from tasks.spark.faults import catalogue, resources
from tasks.spark.faults.scene import Scene
from tasks.spark.java import find_java, spark_home
from tasks.spark.session import PREFIX, DriverSession, Launch
from tasks.targets.stressable import Moment, Session, Work

_SMALL_JVM = "-XX:+UseSerialGC"
_OVERHEAD = 0.6
"""Share of a worker's memory that is its executor's heap; the rest is what a JVM needs beside it."""
_DRIVER_MEMORY = 512  # MiB
_DAEMONS_MEMORY = 800
"""MiB of master, driver and workers beside the executors."""
_LOCAL_DISK = 512
"""MiB of a worker's own disk where the plan's fault fills it and the target says no size."""


class Spec(BaseModel):
    """The target's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["embedded-spark"] = "embedded-spark"
    workers: int = Field(default=2, ge=1, le=16)
    cores: int = Field(default=1, ge=1)
    """Of each worker."""
    memory: int = Field(default=1024, ge=700)
    """MiB of each worker."""
    local_disk: int | None = Field(default=None, ge=16)
    """MiB of a local disk, in memory, of each worker's own. Default: all share the machine's, but for `full-disk`."""
    shuffle_service: bool = False
    """Whether shuffle files are served by a service beside the executors, and outlive them."""

    @model_validator(mode="after")
    def _files_are_seen(self) -> "Spec":
        if self.shuffle_service and self.local_disk is not None:
            raise ValueError("shuffle_service cannot read a worker's own local_disk: leave one of them out")
        return self

    def shape(self, fault: Fault) -> Shape:
        """The cluster that a fault needs."""
        return Shape(
            self.workers,
            self.cores,
            self.memory,
            local_disk=self.local_disk or (_LOCAL_DISK if fault is Fault.FULL_DISK else None),
            has_doors=fault is Fault.CUT_NETWORK,
            has_shuffle_service=self.shuffle_service,
        )


class Target:
    """The cluster of one run."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def identify(self) -> Identity:
        """It is made anew for each drill, so it is who we say it is."""
        java = find_java()
        return Identity(
            description=f"{self._spec.workers} workers that the drill starts, Spark in {spark_home()}",
            system_identifier=None,
            proof=f"made by the drill, with Java {java.version} of the {java.source}",
        )

    def faults(self) -> frozenset[Fault]:
        """Those that need no rights beyond our own, and those that machine and keys have the means for."""
        beyond = Fault.FULL_DISK if self._spec.shuffle_service else Fault.KILL_SHUFFLE_SERVICE
        return catalogue.possible() - {beyond}

    def look(self, stage: str, work: Work | None = None) -> ClusterSeen:
        """What the machine would give the cluster; within a drill, what its master says."""
        if work is not None:
            return self._cluster(work).look(stage)
        free = psutil.virtual_memory().available // 2**20
        wanted = self._spec.workers * (self._spec.memory + (self._spec.local_disk or 0)) + _DAEMONS_MEMORY
        problems = () if free >= wanted else (f"{free} MiB of memory are free, the cluster takes {wanted}",)
        cores, memory = self._spec.cores, self._spec.memory
        return ClusterSeen(
            stage=stage,
            manager="this machine",
            spark=_spark_version(),
            workers=tuple(
                WorkerSeen(
                    name=f"worker {n}", host="", state="ALIVE",
                    cores=cores, cores_free=cores, memory=memory, memory_free=memory,
                )
                for n in range(1, self._spec.workers + 1)
            ),
            free_share=shutil.disk_usage(Path.cwd()).free / shutil.disk_usage(Path.cwd()).total,
            problems=problems,
        )  # fmt: skip

    def provide(self, work: Work) -> Provided:
        """Master and workers, started and asked."""
        cluster = self._cluster(work)
        cluster.start(work.seconds_left)
        java = find_java()
        return Provided(
            master=cluster.master_url,
            how=f"a master and {self._spec.workers} workers with {self._spec.cores} core(s) each, started",
            java=f"{java.version} of the {java.source}",
            spark=_spark_version(),
        )

    def release(self, work: Work) -> None:
        """No limit and no process of it is left, then no file."""
        resources.lift(_home(work))
        work.processes.stop_all(signals=AT_ONCE)
        shutil.rmtree(work.workspace.scratch, ignore_errors=True)
        if work.workspace.scratch.exists():
            raise StepError(f"{work.workspace.scratch} cannot be removed", "remove it by hand")

    def open_session(self, work: Work, name: str, settings: Mapping[str, str], data: str) -> Session:
        """A driver on this machine."""
        cluster = self._cluster(work)
        memory = int(self._spec.memory * _OVERHEAD)
        defaults = {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.memory": f"{_DRIVER_MEMORY}m",
            "spark.driver.extraJavaOptions": _SMALL_JVM,
            "spark.executor.memory": f"{memory}m",
            "spark.executor.extraJavaOptions": _SMALL_JVM,
        }
        launch = Launch(
            application=work.application,
            master=cluster.master_url,
            settings={**defaults, **cluster.settings, **settings},
            environment=cluster.environment,
            workload=work.spec.workload,
            data=data,
            folder=work.workspace.scratch / "sessions",
            events=events_of(work.workspace),
        )
        restarts = work.spec.fault.type is Fault.KILL_DRIVER
        return DriverSession(name, launch, work.processes, work.seconds_left, restarts).open()

    def end_sessions(self, work: Work) -> None:
        """Drivers are ended; executors end with their application."""
        for name in work.processes.names():
            if name.startswith(PREFIX):
                work.processes.stop(name, signals=AT_ONCE)

    def strike(self, moment: Moment, victims: tuple[Victim, ...], work: Work) -> tuple[str, ...]:
        """On processes on record and their files, never on what is not the cluster's."""
        return catalogue.strike(Scene(self._cluster(work), work), moment, victims)

    def heal(self, work: Work) -> tuple[str, ...]:
        """Processes go on, what was killed is started again."""
        return catalogue.heal(Scene(self._cluster(work), work))

    def events(self, work: Work) -> tuple[Path, ...]:
        """Where drivers on this machine write them."""
        return tuple(path for path in events_of(work.workspace).glob("*") if path.is_file())

    def data(self, work: Work) -> str:
        """In the run's own folder."""
        return (work.workspace.scratch / "data").absolute().as_uri()

    def drop_data(self, work: Work) -> None:
        """With the rest of the scratch folder."""
        shutil.rmtree(work.workspace.scratch / "data", ignore_errors=True)

    def _cluster(self, work: Work) -> Cluster:
        return Cluster(_home(work), work.processes, find_java(), self._spec.shape(work.spec.fault.type))


def _home(work: Work) -> Path:
    return work.workspace.scratch.absolute() / "cluster"


def events_of(workspace: Workspace) -> Path:
    """Where the event logs of a run are written."""
    return workspace.scratch.absolute() / "events"


def _spark_version() -> str:
    from importlib import metadata

    return metadata.version("pyspark")


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan."""
    return Target(Spec.model_validate(keys))
