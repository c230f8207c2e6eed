"""What a Spark stress drill measures: results of its steps and facts observed on the way.

Promises: no row of anybody's data is in here, digests alone; moments are milliseconds since 1970 by the clock of the
machine that the driver runs on, which is the one that Spark's event log has; spans are differences of one clock.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from muster.journal import Observation
from muster.spark.digest import Answer
from muster.spark.spec import During, Expect, Fault


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkerSeen(_Part):
    """A machine that offers executors, as the cluster's manager tells."""

    name: str
    host: str
    state: str
    """`ALIVE` is well."""
    cores: int
    cores_free: int
    memory: int
    """MiB."""
    memory_free: int


class ClusterSeen(Observation):
    """The cluster at one moment. `stage` is the step that looked."""

    stage: str
    manager: str
    """Where it was asked."""
    spark: str
    """Version; empty where it was not told."""
    workers: tuple[WorkerSeen, ...]
    applications: tuple[str, ...] = ()
    """Names of applications that run."""
    free_share: float | None = None
    """Of the disk for data and shuffle files."""
    problems: tuple[str, ...] = ()
    """What speaks against a drill, beside what the numbers say."""

    @property
    def alive(self) -> tuple[WorkerSeen, ...]:
        """Workers that take work."""
        return tuple(w for w in self.workers if w.state == "ALIVE")


class Provided(Observation):
    """Result of `cluster`: where applications are sent."""

    master: str
    how: str
    """What was started, or that nothing was."""
    java: str = ""
    spark: str = ""


class Question(_Part):
    """What a lap ran: two laps are comparable exactly if these are the same."""

    workload: str
    """Its type."""
    keys: Mapping[str, str]
    """Its keys: rows, partitions, seed and what else it has."""

    @property
    def words(self) -> str:
        """As people read it."""
        return f"{self.workload} ({', '.join(f'{key} {value}' for key, value in self.keys.items())})"


class Known(Observation):
    """Result of `answer`: what is right, and how that is known."""

    question: Question
    basis: Literal["mathematics", "baseline", "invariant"]
    """`mathematics`: computed without Spark. `baseline`: the first undisturbed lap. `invariant`: the job's own rule."""
    answer: Answer | None
    """Of mathematics; a baseline's is that of its lap."""
    compared: str
    """What is compared between laps, in words."""
    not_compared: str = ""
    """What cannot be, and why."""


class Output(_Part):
    """What a job wrote, looked at file by file."""

    files: int
    bytes: int
    is_marked_complete: bool
    """Whether the committer's `_SUCCESS` is there."""
    extra: tuple[str, ...] = ()
    """Files and folders that do not belong there: `_temporary`, partial files."""
    missing: tuple[str, ...] = ()
    """What should be there and is not."""


class Inspection(_Part):
    """A job's result, read back after it ended."""

    answer: Answer
    output: Output | None = None
    problems: tuple[str, ...] = ()
    """What is wrong with the result beside its digest, in words: rows out of order, a broken invariant."""
    facts: Mapping[str, str] = {}


class Lap(Observation):
    """One run of the job: `cold` is not counted, `undisturbed` is what `disturbed` is compared with."""

    number: int
    kind: Literal["cold", "undisturbed", "disturbed"]
    variant: str
    question: Question
    group: str
    """The tag that Spark's jobs of this lap carry."""
    applications: tuple[str, ...]
    """Ids, in their order; several where the driver was started again."""
    state: Literal["succeeded", "failed", "hung"]
    error: str = ""
    began_ms: int
    ended_ms: int
    seconds: float
    """The job alone, by a monotonic clock; where its driver was started again, from the first one's beginning on."""
    inspect_seconds: float = 0.0
    inspection: Inspection | None = None


class Aim(Observation):
    """Which stage the faults of a variant are aimed at, read off its undisturbed lap."""

    variant: str
    during: During
    ordinal: int
    """Place of the stage among those the job ran, from 0."""
    name: str
    tasks: int
    stages: int
    """How many the job ran."""


class Victim(_Part):
    """One process or machine that a fault hit."""

    name: str
    """`executor 1`, `worker-2`, `master`, `driver`."""
    host: str = ""
    pid: int | None = None
    """Where it is on this machine."""
    executors: tuple[str, ...] = ()
    """Ids of the application's executors that are hit with it."""


class Struck(Observation):
    """A fault that was carried out."""

    lap: int
    fault: Fault
    group: str
    stage: int
    """Spark's id of the stage that ran."""
    stage_name: str
    tasks_done: int
    tasks: int
    at_ms: int
    """When the drill began to strike, and then `done_ms`, when it was told that the fault is there."""
    done_ms: int | None = None
    victims: tuple[Victim, ...]
    done: tuple[str, ...]


class Healed(Observation):
    """A fault was ended, or what it killed was brought back."""

    lap: int
    at_ms: int
    done: tuple[str, ...]


class Missed(Observation):
    """The moment that a fault was aimed at never came."""

    lap: int
    why: str


class Landing(Observation):
    """Whether a fault was seen to hit the stage it was aimed at, from the event log, which the drill does not write."""

    lap: int
    fault: Fault
    landed: bool
    seen: str
    """What the log holds of it, or what it does not."""
    noticed_seconds: float | None = None
    """From the strike until Spark wrote that it lost something; `None` where all that was seen is a late task."""
    regained_seconds: float | None = None
    """From the strike until as many cores as before were there again; `None` while they were not."""


class Cost(_Part):
    """What a lap took, by its tasks."""

    tasks: int
    tasks_failed: int
    """Ended by an error, a lost executor, or a fetch that failed."""
    tasks_again: int
    """Ended well for a partition that had ended well before."""
    stages: int
    stages_again: int
    """Attempts of stages beyond the first."""
    task_seconds: float
    gc_seconds: float
    shuffle_written: int
    shuffle_read: int
    """Bytes, local ones too."""
    spilled: int
    """Bytes to disk."""


class Strip(_Part):
    """One executor through a lap: for each column of time, the share of its cores at work, and of lost work."""

    executor: str
    host: str
    cores: int
    since: float
    until: float | None
    """Seconds into the lap; `None`: to its end."""
    busy: tuple[float, ...]
    lost: tuple[float, ...]
    """Share at work on tasks whose work was lost."""


class Band(_Part):
    """One attempt of a stage."""

    stage: int
    attempt: int
    name: str
    start: float
    end: float


class Activity(_Part):
    """Tasks over time, by executor."""

    column_seconds: float
    strips: tuple[Strip, ...]
    bands: tuple[Band, ...]


class LapMeasured(Observation):
    """A lap by its event log."""

    number: int
    cost: Cost
    executors_lost: tuple[str, ...]
    """With Spark's reason."""
    activity: Activity
    log_is_whole: bool
    why_not_whole: str = ""
    logs_cut: tuple[str, ...] = ()
    """Applications whose log was not written to its end."""
    logs_missing: tuple[str, ...] = ()
    """Applications that have none."""


class Accounting(Observation):
    """Result of `account`: the event logs, read."""

    logs: Mapping[str, str]
    """File below the run's exhibits, to the SHA-256 of the log it was made of."""
    laps: int
    settings: Mapping[str, Mapping[str, str]]
    """Variant to the settings that matter, as the applications had them."""
    spark: str


class Stress(Observation):
    """Result of `stress`: how many laps were run."""

    laps: int
    expect: Expect
