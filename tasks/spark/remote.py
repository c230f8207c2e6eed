"""A session of laps that each are a job of somebody else's service: EMR's steps, Databricks' runs.

Promises: a lap has ended only when the service says that its job has, and what it told is whole; a job that came to no
word is told with the service's own; neither the service nor its files are asked more often than they bear.
"""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel

from muster.errors import Refusal, StepError, SystemFailure
from muster.spark.observations import ClusterSeen
from tasks.spark.onelap import PROGRESS
from tasks.spark.post import CONFIG, UP, Ask, Config, Told, Up, ask_name, told_name
from tasks.spark.shipment import BEGIN, SCRIPT, ZIP, pack
from tasks.spark.status import Executor, Stage, executors_of, stages_of
from tasks.targets.stressable import Work

CODE, LAPS, DATA, EVENTS = "code", "laps", "data", "events"
"""Folders of a run."""


class Shelf(Protocol):
    """The folder of a run, where both sides reach it. Names are relative to it."""

    @property
    def uri(self) -> str:
        """As Spark names it."""
        ...

    def read(self, name: str) -> bytes | None:
        """A file; `None` when there is none."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Make a file, in the place of one that is there."""
        ...


@dataclass(frozen=True)
class Job:
    """How a job stands."""

    has_ended: bool
    words: str
    """In the service's own."""


class Service(Protocol):
    """Runs jobs, one at a time."""

    def submit(self, group: str, settings: Mapping[str, str]) -> str:
        """Ask for a lap: `onelap` on its folder, which is `LAPS/group` on the shelf. Its id."""
        ...

    def job(self, name: str) -> Job:
        """How it stands."""
        ...


def prepare(shelf: Shelf) -> None:
    """Make sure that what a lap needs of ours is there."""
    shelf.write(f"{CODE}/{ZIP}", pack())
    shelf.write(f"{CODE}/{SCRIPT}", BEGIN.encode())


def refuse_other_data(work: Work) -> None:
    """A `Refusal` of a plan that says twice where to write."""
    if work.spec.data:
        raise Refusal("this target does not read spark.data", "write it as target.data: both sides must reach it")


@dataclass
class LapSession:
    """Laps of one set of settings."""

    service: Service
    shelf: Shelf
    config: Config
    idle: Callable[[], tuple[Executor, ...]]
    """What the cluster has while no lap runs, as executors."""
    in_reach: Callable[[tuple[Executor, ...]], tuple[Executor, ...]] = lambda executors: executors
    """Those of a lap's executors that a fault may hit. The others are not told."""
    every: float = 5.0
    """Seconds between two questions to the service."""
    every_file: float = 1.0
    """Seconds between two looks at a file that may have changed."""
    _group: str = ""
    _job: str = ""
    _runs: bool = False
    _up: Up | None = None
    _progress: Mapping[str, Any] | None = None
    _idle: tuple[Executor, ...] = ()
    _asked_at: dict[str, float] = field(default_factory=dict)

    @property
    def applications(self) -> tuple[str, ...]:
        """That of the lap; each has its own."""
        return (up.application,) if (up := self._heard_up()) else ()

    def begin(self, number: int, group: str, words: str, *, disturbed: bool) -> None:
        """Ask for a lap."""
        self._group, self._up, self._progress, self._asked_at = group, None, None, {}
        self._write(CONFIG, self.config)
        self._write(ask_name(0), Ask(number=0, lap=number, group=group, words=words, disturbed=disturbed))
        self._job = self.service.submit(group, self.config.settings)
        self._runs = True

    def ended(self) -> Told | None:
        """How it ended, once its job has."""
        if not self._job:
            raise StepError("no lap was asked for")
        if not self._is_due("job", self.every):
            return None
        job = self.service.job(self._job)
        if not job.has_ended:
            return None
        self._runs, self._asked_at = False, {}
        if (content := self._read(told_name(0))) is not None:
            return Told.model_validate_json(content)
        if self._heard_up() is None:
            raise StepError(
                f"the driver of {self._job} never came up: {job.words}",
                "see the job's own log; the cluster needs Python 3.11 or newer and pydantic 2, and rights on"
                f" {self.shelf.uri}",
            )
        raise SystemFailure(f"the driver died: {job.words}", f"see the log of {self._job}")

    def stages(self, group: str) -> tuple[Stage, ...] | None:
        """As the driver last wrote them down."""
        told = self._told() if group == self._group else None
        return stages_of(told["jobs"], told["stages"], group) if told else None

    def executors(self) -> tuple[Executor, ...] | None:
        """Of the lap that runs as its driver last wrote them down; else what the cluster has."""
        if not self._runs:
            if self._is_due("idle", self.every):
                self._idle = self.idle()
            return self._idle
        told = self._told()
        return self.in_reach(executors_of(told["allexecutors"])) if told else None

    def end(self) -> None:
        """Every lap ended its application by itself."""

    def _told(self) -> Mapping[str, Any] | None:
        if self._is_due("progress", self.every_file) and (content := self._read(PROGRESS)):
            with contextlib.suppress(ValueError):  # it is being written: the one before is a second old
                self._progress = json.loads(content)
        return self._progress

    def _heard_up(self) -> Up | None:
        if self._up is None and self._group and self._is_due("up", self.every_file):
            content = self._read(UP)
            self._up = Up.model_validate_json(content) if content else None
        return self._up

    def _is_due(self, what: str, every: float) -> bool:
        now = time.monotonic()
        if now - self._asked_at.get(what, -every) < every:
            return False
        self._asked_at[what] = now
        return True

    def _read(self, name: str) -> bytes | None:
        return self.shelf.read(f"{LAPS}/{self._group}/{name}")

    def _write(self, name: str, what: BaseModel) -> None:
        self.shelf.write(f"{LAPS}/{self._group}/{name}", what.model_dump_json().encode())


def standing_by(seen: ClusterSeen) -> tuple[Executor, ...]:
    """What a cluster has for the next lap, a worker's free cores as one executor's."""
    return tuple(
        Executor(id=w.name, host=w.host, is_active=True, cores=w.cores_free, active_tasks=0, cached_bytes=0)
        for w in seen.alive
        if w.cores_free
    )
