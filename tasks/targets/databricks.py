"""Target `databricks`: a workspace; each lap is a run of its own, on its own cluster. Not yet proven on Databricks.

Every request is held against the REST API reference in our tests; none was sent to Databricks. What it does not offer:

- A driver of ours. Databricks starts it, with our modules from `data`. A lap pays for the start of its cluster, which
  is not in the lap's time, but is in `lap_limit`; an instance pool makes it short.
- Progress from outside. The driver writes down, every second, what its UI tells, and that is looked at.
- Any fault. Databricks gives nobody the right to kill one executor, and its machines are the cloud's: name hooks, which
  get the workers' addresses, such as `aws ec2 terminate-instances` by the private address.
- A log at once. Event logs are delivered some minutes after a cluster has ended; that is waited for. Whether Databricks
  writes an application's end into them is not known to us: if it does not, drills are inconclusive.

The runtime must have Python 3.11 (15.4 or newer); pydantic is installed on each cluster. It must have a SparkContext:
single user access, no serverless. Rights: create runs and clusters, read and write `data`.
Source: Databricks REST API reference; "Compute configuration reference", cluster log delivery.
"""

import os
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, field_validator

from muster.errors import Refusal, StepError
from muster.identity import Identity
from muster.quantity import Duration
from muster.settings import Settings
from muster.spark.observations import ClusterSeen, Provided, Victim, WorkerSeen
from muster.spark.spec import Fault
from tasks.spark.databricks_api import Databricks
from tasks.spark.databricks_files import Files, files_at
from tasks.spark.databricks_laps import NewCluster, Runs, fetch_logs, laps_of, logs_of
from tasks.spark.hooked import HookedFaults
from tasks.spark.keys import Address, Faults, SparkSettings, words_of
from tasks.spark.post import Config, hear, say
from tasks.spark.remote import DATA, EVENTS, LapSession, prepare, refuse_other_data, standing_by
from tasks.spark.scratch import drop_scratch
from tasks.targets.stressable import Moment, Session, Work

_POLL_SECONDS = 5.0
_CANCEL_SECONDS = 300.0
_RECORD = "struck.json"
_DATA = re.compile(r"dbfs:/(?!Volumes/)[^\s:]+|(/Volumes(/[^\s/]+){3,})/?")


class Spec(Faults):
    """The target's keys in a plan."""

    type: Literal["databricks"] = "databricks"
    host: Address
    """URL of the workspace."""
    token_from: str = Field(default="DATABRICKS_TOKEN", pattern=r"^[A-Z][A-Z0-9_]*TOKEN$")
    """Environment variable with the token. Its name ends with TOKEN, so that logs are cleared of what it holds."""
    user: str = ""
    """Whose the token must be, as a proof of who and where we are."""
    cluster: NewCluster
    settings: SparkSettings = Field(default={})
    data: str
    """Where laps write, and are told and tell: `/Volumes/catalog/schema/volume/drills`, or `dbfs:/drills`."""
    delivered_within: Duration = Field(default="15m", validate_default=True, ge=timedelta())
    """How long the delivery of event logs may take."""

    @field_validator("data")
    @classmethod
    def _both_reach_it(cls, value: str) -> str:
        if not _DATA.fullmatch(value):
            raise ValueError(f"{value!r} is neither /Volumes/catalog/schema/volume/folder nor dbfs:/folder")
        return value.rstrip("/")


class _Struck(BaseModel):
    """On which cluster a fault struck, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: str
    at_ms: int


class Target:
    """The workspace."""

    def __init__(
        self,
        spec: Spec,
        transport: httpx.BaseTransport | None = None,
        every: float = _POLL_SECONDS,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._spec = spec
        self._api = Databricks(spec.host, spec.token_from, transport, environment)
        self._every = every
        self._hooked = HookedFaults(spec.hooks)

    def identify(self) -> Identity:
        """The token is taken, and is of whom the plan says."""
        self._hooked.require_programs()
        try:
            who = self._api.who()
        except StepError as error:
            raise Refusal(error.message, error.advice) from None
        if self._spec.user not in {"", who}:
            raise Refusal(
                f"the token is {who}'s, not {self._spec.user}'s", f"mend target.user or {self._spec.token_from}"
            )
        cluster = self._spec.cluster
        return Identity(
            description=f"Databricks {self._spec.host}, {cluster.num_workers} x {cluster.node_type_id} for each lap",
            system_identifier=None,
            proof=f"the workspace says that we are {who}",
        )

    def faults(self) -> frozenset[Fault]:
        """Those with hooks: Databricks lets nobody kill anything."""
        return self._hooked.possible()

    def look(self, stage: str, work: Work | None = None) -> ClusterSeen:
        """What a lap's cluster would be; while a lap runs, the machines that it has. Nobody else is ever on it."""
        wanted = self._spec.cluster
        try:
            size, has_runtime = self._api.size(wanted.node_type_id), self._api.has_runtime(wanted.spark_version)
            runs = self._api.runs(f"{work.application} ") if work else ()
            hosts = self._hosts(work)
        except StepError as error:
            return ClusterSeen(stage=stage, manager=self._spec.host, spark="", workers=(), problems=(error.message,))
        problems = [] if size else [f"there is no node type {wanted.node_type_id}"]
        problems += [] if has_runtime else [f"there is no runtime {wanted.spark_version}"]
        cores, memory = size or (0, 0)
        hosts = hosts or ("",) * (wanted.num_workers if size else 0)
        return ClusterSeen(
            stage=stage,
            manager=self._spec.host,
            spark=wanted.spark_version,
            workers=tuple(
                WorkerSeen(name=f"worker {n}", host=host, state="ALIVE", cores=cores, cores_free=cores,
                           memory=memory, memory_free=memory)
                for n, host in enumerate(hosts, 1)
            ),
            applications=(work.application,) if work and runs else (),
            problems=tuple(problems),
        )  # fmt: skip

    def provide(self, work: Work) -> Provided:
        """What a run needs of ours is in the workspace."""
        refuse_other_data(work)
        files = self._files(work)
        prepare(files)
        return Provided(master=self._spec.host, how=f"nothing was started; our modules are in {files.uri}")

    def release(self, work: Work) -> None:
        """No run is left, then no file here."""
        self.end_sessions(work)
        drop_scratch(work.workspace)

    def open_session(self, work: Work, name: str, settings: Mapping[str, str], data: str) -> Session:
        """Runs with these settings."""
        config = Config(
            application=work.application,
            master="databricks",
            settings={**words_of(self._spec.settings), **settings},
            workload=dict(work.spec.workload),
            data=data,
        )
        files, idle = self._files(work), standing_by(self.look("idle"))
        runs = Runs(self._api, files, self._spec.cluster, work.application, work.spec.lap_limit.total_seconds())
        return LapSession(runs, files, config, idle=lambda: idle, every=self._every)

    def end_sessions(self, work: Work) -> None:
        """Its runs are cancelled, and their clusters with them."""
        deadline = time.monotonic() + _CANCEL_SECONDS
        asked: set[str] = set()
        while runs := self._api.runs(f"{work.application} "):
            if time.monotonic() > deadline:
                raise StepError(f"run {runs[0].id} does not end", f"databricks jobs cancel-run {runs[0].id}")
            for run in runs:
                if run.id not in asked:
                    self._api.cancel(run.id)
                    asked.add(run.id)
            time.sleep(min(self._every, work.seconds_left()))

    def strike(self, moment: Moment, victims: tuple[Victim, ...], work: Work) -> tuple[str, ...]:
        """By the plan's hook."""
        fault = work.spec.fault.type
        if fault not in self._hooked.possible():
            raise StepError(f"Databricks cannot be made to suffer {fault}", f"name hooks in target.hooks.{fault}")
        if cluster := self._cluster(work):
            say(work.workspace.scratch, _RECORD, _Struck(cluster=cluster, at_ms=time.time_ns() // 1_000_000))
        return self._hooked.strike(moment, victims, work, self._spec.host)

    def heal(self, work: Work) -> tuple[str, ...]:
        """By the plan's hook; and what Databricks says became of the cluster."""
        done = self._hooked.heal(work)
        struck = hear(work.workspace.scratch, _RECORD, _Struck)
        if struck is None:
            return done
        happened = self._api.happened(struck.cluster, struck.at_ms)
        (work.workspace.scratch / _RECORD).unlink(missing_ok=True)
        return done + happened

    def events(self, work: Work) -> tuple[Path, ...]:
        """As they were delivered; waited for until there is one for each lap that came up."""
        files = self._files(work)
        deadline = time.monotonic() + self._spec.delivered_within.total_seconds()
        while len(logs_of(files)) < laps_of(files) and time.monotonic() < deadline:
            time.sleep(min(self._every, work.seconds_left()))
        return fetch_logs(files, work.workspace.scratch.absolute() / EVENTS)

    def data(self, work: Work) -> str:
        """In the run's folder in the workspace."""
        return f"{self._files(work).uri}/{DATA}"

    def drop_data(self, work: Work) -> None:
        """All of the run's folder in the workspace."""
        self._files(work).drop()

    def _files(self, work: Work) -> Files:
        return files_at(self._api, f"{self._spec.data}/{work.application}")

    def _cluster(self, work: Work) -> str:
        """The cluster of the lap that runs; empty when none does, or it has none yet."""
        runs = self._api.runs(f"{work.application} ")
        return self._api.cluster_of(runs[0].id) if runs else ""

    def _hosts(self, work: Work | None) -> tuple[str, ...]:
        cluster = self._cluster(work) if work else ""
        return self._api.machines(cluster) if cluster else ()


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan. Nothing is asked of Databricks yet."""
    return Target(Spec.model_validate(keys))
