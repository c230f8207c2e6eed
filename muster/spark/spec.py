"""The `spark:` section of a plan: which job runs, what is done to it, when, and how far it may go."""

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from muster.quantity import Duration


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fault(StrEnum):
    """What is done to the cluster while the job runs."""

    KILL_EXECUTOR = "kill-executor"
    KILL_CACHED = "kill-cached"
    """The executor that holds most cached blocks."""
    KILL_WORKER = "kill-worker"
    """A worker with its executors, as when a machine is lost."""
    RESTART_WORKERS = "restart-workers"
    """All workers at once, then back."""
    RESTART_MASTER = "restart-master"
    """The master dies and comes back; it recovers from its directory."""
    KILL_DRIVER = "kill-driver"
    """The application's own process; it is started again, as a supervisor would."""
    KILL_SHUFFLE_SERVICE = "kill-shuffle-service"
    FREEZE_EXECUTOR = "freeze-executor"
    """It stops for a while, and goes on: the straggler, or the zombie."""
    FREEZE_WORKER = "freeze-worker"
    """A worker and its executors stop for a while."""
    SLOW_DISK = "slow-disk"
    FULL_DISK = "full-disk"
    """A worker's local disk has no room left."""
    OUT_OF_MEMORY = "out-of-memory"
    """An executor gets no more memory from its machine."""
    CUT_NETWORK = "cut-network"
    """A worker and its executors reach neither master nor driver for a while."""
    DECOMMISSION = "decommission"
    """A worker is taken out in good order."""
    LOSE_SHUFFLE_FILE = "lose-shuffle-file"
    CORRUPT_SHUFFLE_BLOCK = "corrupt-shuffle-block"

    @property
    def hits_workers(self) -> bool:
        """Whether its victims are workers with all that runs on them, and not single executors."""
        return self in _OF_WORKERS

    @property
    def hits_executors(self) -> bool:
        """Whether its victims are executors."""
        return not self.hits_workers and self not in _OF_SERVICES

    @property
    def reaches_others(self) -> bool:
        """Whether applications that are not ours, on the same cluster, would feel it."""
        return self.hits_workers or self in _OF_EVERYBODY

    @property
    def lasts(self) -> bool:
        """Whether it goes on for a while and is then ended."""
        return self in _LASTING


_OF_WORKERS = frozenset({Fault.KILL_WORKER, Fault.RESTART_WORKERS, Fault.FREEZE_WORKER, Fault.SLOW_DISK,
                         Fault.FULL_DISK, Fault.CUT_NETWORK, Fault.DECOMMISSION})  # fmt: skip
_OF_SERVICES = frozenset({Fault.RESTART_MASTER, Fault.KILL_DRIVER, Fault.KILL_SHUFFLE_SERVICE})
_OF_EVERYBODY = frozenset({Fault.RESTART_MASTER, Fault.KILL_SHUFFLE_SERVICE})
_LASTING = frozenset({Fault.RESTART_WORKERS, Fault.RESTART_MASTER, Fault.FREEZE_EXECUTOR, Fault.FREEZE_WORKER,
                      Fault.SLOW_DISK, Fault.FULL_DISK, Fault.CUT_NETWORK, Fault.KILL_SHUFFLE_SERVICE})  # fmt: skip


class During(StrEnum):
    """Which stage of the job the fault is aimed at; the undisturbed lap before says which one that is."""

    FIRST = "first"
    MAP = "map"
    """The stage that writes most shuffle data."""
    REDUCE = "reduce"
    """The stage that reads most shuffle data."""
    LAST = "last"


class FaultSpec(_Strict):
    """One fault, and when it strikes."""

    type: Fault = Fault.KILL_EXECUTOR
    during: During = During.REDUCE
    after: float = Field(default=0.2, ge=0, lt=1)
    """Share of that stage's tasks that have ended before."""
    victims: int = Field(default=1, ge=1)
    """Executors or workers hit at once."""
    lasts: Duration = Field(default="5s", validate_default=True, gt=timedelta())
    """How long what does not kill goes on, or what was taken away stays away."""


class BlastRadius(_Strict):
    """How far a drill may go. It is enforced where faults strike, whatever the fault asks for."""

    executors: int = Field(default=1, ge=0)
    """Executors hit at the same time, those on a worker that is hit among them."""
    workers: int = Field(default=1, ge=0)
    last_worker: bool = False
    """Whether no worker may be left."""
    others: bool = False
    """Whether applications that are not the drill's may feel a fault of workers, master or shuffle service."""


class Expect(StrEnum):
    """How the job is to end under the fault."""

    SUCCESS = "success"
    FAILURE = "failure"
    """Loudly: the job says so, and leaves no output that looks complete."""


class Ready(_Strict):
    """What the cluster must be like for the drill to start, and for the readiness look to say `ready`."""

    workers: int = Field(default=2, ge=1)
    """Alive."""
    cores: int = Field(default=2, ge=1)
    """Free, over all workers."""
    memory: int = Field(default=1024, ge=1)
    """MiB free, over all workers."""
    min_free: float = Field(default=0.05, ge=0, le=1)
    """Share of the disk for data and shuffle files that must be free, where it can be seen."""
    every: Duration = Field(default="5m", validate_default=True, gt=timedelta())


_SECRET = re.compile(r"secret|password|passphrase|token|access\.?key|private\.?key", re.IGNORECASE)
_NO_SECRET = ("file", "provider", "enabled")
"""Endings of settings that say where a secret is, not what it is."""


def without_secrets(settings: Mapping[str, str | int | float | bool]) -> Mapping[str, str | int | float | bool]:
    """Spark's settings as they are; a `ValueError` for what is none, or would put a secret on record with the plan."""
    for key in settings:
        if not key.startswith("spark."):
            raise ValueError(f"{key!r} is no setting of Spark: they begin with 'spark.'")
        if _SECRET.search(key) and not key.lower().endswith(_NO_SECRET):
            raise ValueError(
                f"{key!r} would put a secret on record: leave it to the environment that Muster runs in, to a"
                " credentials provider, or to spark-defaults.conf"
            )
    return settings


Settings = Annotated[Mapping[str, str | int | float | bool], AfterValidator(without_secrets)]
"""Settings of Spark, by their whole names."""


class SparkSpec(_Strict):
    """Everything a Spark plan can ask for."""

    workload: Mapping[str, Any]
    """`type` names a file in `tasks/spark/workloads/`; the other keys are that workload's own, checked by it."""
    fault: FaultSpec = FaultSpec()
    repeats: int = Field(default=2, ge=1, le=50)
    """Undisturbed and disturbed laps, in pairs."""
    warm: bool = True
    """Whether a first lap is run and not counted: it pays for what a fresh application has to load and compile."""
    expect: Expect = Expect.SUCCESS
    settings: Mapping[str, Settings] = Field(default={"plain": {}})
    """Named sets of Spark settings for the application; the first is drilled."""
    compare: tuple[str, ...] = ()
    """Two or more of `settings`, run in turn with the same fault and told side by side."""
    slowdown: float | None = Field(default=None, gt=1)
    """A disturbed lap takes at most so many times an undisturbed one (median over the pairs)."""
    notice: Duration | None = None
    """The loss is noticed within this time."""
    regain: Duration | None = None
    """As many cores as before are there again within this time."""
    tolerance: float = Field(default=1.0, gt=0)
    """How much worse than the median of the last passes the recovery may get, as a share of it."""
    lap_limit: Duration = Field(default="10m", validate_default=True, gt=timedelta())
    """A job that has not ended by then hangs."""
    settle: Duration = Field(default="1m", validate_default=True)
    """How long the cluster may take to be as before."""
    data: str = ""
    """Where the job may write, as Spark names it; the drill makes a folder with its run's name there, and removes it.
    Default: the run's own folder on this machine, which every worker must share."""
    blast_radius: BlastRadius = BlastRadius()
    ready: Ready = Ready()

    @model_validator(mode="after")
    def _names_fit(self) -> "SparkSpec":
        if "type" not in self.workload:
            raise ValueError("workload needs a key 'type'")
        if not self.settings:
            raise ValueError("settings needs at least one named set, such as 'plain: {}'")
        if unknown := [name for name in self.compare if name not in self.settings]:
            raise ValueError(f"compare names {', '.join(unknown)}, which settings does not have")
        if len(self.compare) == 1 or len(set(self.compare)) < len(self.compare):
            raise ValueError("compare needs two or more different names of settings")
        return self

    @model_validator(mode="after")
    def _blast_radius_is_kept(self) -> "SparkSpec":
        fault, radius = self.fault, self.blast_radius
        if fault.type.hits_executors and fault.victims > radius.executors:
            raise ValueError(f"the fault hits {fault.victims} executors, blast_radius.executors is {radius.executors}")
        if fault.type is Fault.RESTART_WORKERS and not radius.last_worker:
            raise ValueError("restart-workers takes every worker away: it needs blast_radius.last_worker")
        if fault.type.hits_workers and fault.type is not Fault.RESTART_WORKERS and fault.victims > radius.workers:
            raise ValueError(f"the fault hits {fault.victims} workers, blast_radius.workers is {radius.workers}")
        return self

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of the settings that are run."""
        return self.compare or (self.plain,)

    @property
    def plain(self) -> str:
        """The settings that a drill without `compare` runs: those that delays are kept of."""
        return next(iter(self.settings))

    @property
    def judged(self) -> str:
        """The settings that the plan's promises of time are held to; others that are run beside them are told."""
        return self.plain if self.plain in self.variants else self.variants[0]
