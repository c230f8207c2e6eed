"""Target `emr`: a cluster of Amazon EMR on EC2; each lap is a step of its own. Not yet proven on AWS.

Every call is held against the APIs' own models in our tests; none has been made to AWS. What it does not offer:

- A driver of ours: EMR starts it, as `spark-submit` in a step, with our modules from S3. So each lap is an application,
  and pays for its start, which is not in the lap's time.
- Progress from outside. The driver writes down, every second, what its UI tells, and that is looked at: a fault strikes
  a few seconds after its moment. Whether it landed is judged by the event log, as always.
- The death of one executor, or of the driver. A machine is terminated (`kill-worker`); anything else takes a hook.
- What YARN has free: a cluster that runs any step counts as full, one that waits as empty.

The cluster's Python must be 3.11 or newer with pydantic 2: a bootstrap action, and `spark.pyspark.python`.
Rights: elasticmapreduce:DescribeCluster, ListInstances, ListSteps, AddJobFlowSteps, DescribeStep, CancelSteps;
ec2:DescribeInstanceTypes, TerminateInstances; s3:ListBucket, GetObject, PutObject, DeleteObject below `data`.
Source: Amazon EMR Management Guide, "Submit work to a cluster"; Release Guide, "Run commands and scripts".
"""

import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from muster.errors import Refusal, StepError
from muster.identity import Identity
from muster.quantity import Duration
from muster.settings import Settings
from muster.spark.observations import ClusterSeen, Provided, Victim, WorkerSeen
from muster.spark.spec import Fault
from tasks.rds.calls import wait_for
from tasks.spark.emr_api import Clients, Emr, Kind, Machine, Steps, clients_of, spark_of
from tasks.spark.emr_files import S3Shelf
from tasks.spark.hooked import HookedFaults
from tasks.spark.keys import Faults, Folder, SparkSettings, words_of
from tasks.spark.post import Config, hear, say
from tasks.spark.remote import DATA, EVENTS, LapSession, prepare, refuse_other_data, standing_by
from tasks.spark.scratch import drop_scratch
from tasks.spark.session import COMMON
from tasks.spark.status import Executor
from tasks.targets.stressable import Moment, Session, Work

_POLL_SECONDS = 5.0
_RECORD = "terminated.json"
_UP = frozenset({"WAITING", "RUNNING"})


class Spec(Faults):
    """The target's keys in a plan. AWS credentials come from where boto3 finds them."""

    type: Literal["emr"] = "emr"
    cluster: str = Field(pattern=r"^j-[A-Z0-9]+$")
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    deploy_mode: Literal["client", "cluster"] = "client"
    """Where the driver runs: on the master, or on a machine that a fault can hit."""
    settings: SparkSettings = Field(default={})
    data: Folder
    """`s3://bucket/prefix`: where laps write, and are told and tell."""
    terminates: frozenset[Kind] = Field(default=frozenset({"TASK"}))
    """Kinds of machines that `kill-worker` may take. A CORE machine holds blocks of HDFS."""
    within: Duration = Field(default="20m", validate_default=True, gt=timedelta())
    """How long EMR may take to replace a machine."""

    @field_validator("data")
    @classmethod
    def _is_in_s3(cls, value: str) -> str:
        if not value.startswith("s3://") or value.count("/") < 3:
            raise ValueError("data is a folder in S3, such as s3://bucket/drills: EMR and Muster both reach that")
        return value


class _Terminated(BaseModel):
    """How many machines there were before some were terminated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machines: int


class Target:
    """The cluster."""

    def __init__(self, spec: Spec, clients: Clients | None = None, every: float = _POLL_SECONDS) -> None:
        self._spec = spec
        self._clients = clients or clients_of(spec.region)
        self._every = every
        self._emr = Emr(spec.cluster, self._clients, every)
        self._hooked = HookedFaults(spec.hooks)

    def identify(self) -> Identity:
        """It is up, and has Spark."""
        self._hooked.require_programs()
        try:
            found = self._emr.describe()
        except StepError as error:
            raise Refusal(error.message, error.advice) from None
        state, version = found["Status"]["State"], spark_of(found)
        if state not in _UP:
            raise Refusal(f"{self._spec.cluster} is {state}", "start another, and name it in target.cluster")
        if not version:
            raise Refusal(f"{self._spec.cluster} has no Spark", "make one with the application Spark")
        return Identity(
            description=f"Amazon EMR {found.get('ReleaseLabel', '')} {found.get('Name', '')!r}, Spark {version}",
            system_identifier=self._spec.cluster,
            proof=f"elasticmapreduce:DescribeCluster: {found.get('ClusterArn', self._spec.cluster)}",
        )

    def faults(self) -> frozenset[Fault]:
        """Those with hooks, and a lost machine."""
        own = {Fault.KILL_WORKER} if self._spec.terminates else set()
        return self._hooked.possible() | own

    def look(self, stage: str, work: Work | None = None) -> ClusterSeen:
        """Machines by EMR, their size by EC2, what is free by whether a step runs."""
        name = f"emr {self._spec.cluster}"
        try:
            found = self._emr.describe()
            machines, steps = self._emr.machines(found), self._emr.steps()
            workers = tuple(self._worker(machine, is_free=not steps) for machine in machines)
        except StepError as error:
            return ClusterSeen(stage=stage, manager=name, spark="", workers=(), problems=(error.message,))
        state = found["Status"]["State"]
        return ClusterSeen(
            stage=stage,
            manager=name,
            spark=spark_of(found),
            workers=workers,
            applications=tuple(step.name.partition(" ")[0] for step in steps),
            problems=() if state in _UP else (f"the cluster is {state}",),
        )

    def provide(self, work: Work) -> Provided:
        """What a step needs of ours is in S3."""
        refuse_other_data(work)
        shelf = self._shelf(work)
        prepare(shelf)
        shelf.write(f"{EVENTS}/.muster", b"")  # Spark logs to no folder that is not there
        return Provided(master=f"emr {self._spec.cluster}", how=f"nothing was started; our modules are in {shelf.uri}")

    def release(self, work: Work) -> None:
        """No step of the run is left, then no file here."""
        self.end_sessions(work)
        drop_scratch(work.workspace)

    def open_session(self, work: Work, name: str, settings: Mapping[str, str], data: str) -> Session:
        """Steps with these settings."""
        shelf = self._shelf(work)
        events = {"spark.eventLog.dir": f"{shelf.uri}/{EVENTS}", "spark.yarn.maxAppAttempts": "1"}
        config = Config(
            application=work.application,
            master="yarn",
            settings={**COMMON, **events, **words_of(self._spec.settings), **settings},
            workload=dict(work.spec.workload),
            data=data,
        )
        return LapSession(
            Steps(self._emr, shelf.uri, work.application, self._spec.deploy_mode),
            shelf,
            config,
            idle=lambda: standing_by(self.look("idle", work)),
            in_reach=lambda executors: self._in_reach(executors, work),
            every=self._every,
        )

    def end_sessions(self, work: Work) -> None:
        """Its steps are cancelled; their process ends, and with the driver its application."""
        self._emr.cancel(f"{work.application} ", work.seconds_left)

    def strike(self, moment: Moment, victims: tuple[Victim, ...], work: Work) -> tuple[str, ...]:
        """By the plan's hook; else the machines of just these victims are terminated."""
        fault = work.spec.fault.type
        if fault in self._hooked.possible():
            return self._hooked.strike(moment, victims, work, f"emr {self._spec.cluster}")
        if fault not in self.faults():
            raise StepError(f"EMR cannot be made to suffer {fault}", f"name hooks in target.hooks.{fault}")
        machines = self._emr.machines(self._emr.describe())
        by_host = {m.host: m for m in machines if m.kind in self._spec.terminates}
        if strange := [v.host for v in victims if v.host not in by_host]:
            raise StepError(f"{strange[0]} is no machine that may be terminated: none was", "see target.terminates")
        say(work.workspace.scratch, _RECORD, _Terminated(machines=len(machines)))
        self._emr.terminate([by_host[v.host] for v in victims])
        return tuple(f"{v.host}: {by_host[v.host].id} ({by_host[v.host].kind}) terminated" for v in victims)

    def heal(self, work: Work) -> tuple[str, ...]:
        """EMR replaces a machine by itself; that is waited for."""
        done = self._hooked.heal(work)
        record = hear(work.workspace.scratch, _RECORD, _Terminated)
        if record is None:
            return done
        began = time.monotonic()
        wait_for(
            lambda: len(self._emr.machines(self._emr.describe())) >= record.machines or None,
            f"{self._spec.cluster} to have {record.machines} machines again",
            work.seconds_left,
            at_most=min(self._spec.within.total_seconds(), work.seconds_left()),
            every=self._every,
            of="EMR",
        )
        (work.workspace.scratch / _RECORD).unlink(missing_ok=True)
        return (*done, f"EMR has {record.machines} machines again, after {time.monotonic() - began:.0f} s of waiting")

    def events(self, work: Work) -> tuple[Path, ...]:
        """From S3, where each driver put its log when it ended."""
        return self._shelf(work).fetch(EVENTS, work.workspace.scratch.absolute() / EVENTS)

    def data(self, work: Work) -> str:
        """In the run's folder in S3."""
        return f"{self._shelf(work).uri}/{DATA}"

    def drop_data(self, work: Work) -> None:
        """All of the run's folder in S3."""
        self._shelf(work).drop()

    def _shelf(self, work: Work) -> S3Shelf:
        return S3Shelf(f"{self._spec.data}/{work.application}", self._clients)

    def _worker(self, machine: Machine, *, is_free: bool) -> WorkerSeen:
        cores, memory = self._emr.size(machine)
        return WorkerSeen(
            name=f"{machine.id} ({machine.kind})", host=machine.host, state="ALIVE", cores=cores,
            cores_free=cores if is_free else 0, memory=memory, memory_free=memory if is_free else 0,
        )  # fmt: skip

    def _in_reach(self, executors: tuple[Executor, ...], work: Work) -> tuple[Executor, ...]:
        """A machine that may not be terminated is no victim, however busy."""
        if work.spec.fault.type is not Fault.KILL_WORKER or Fault.KILL_WORKER in self._hooked.possible():
            return executors
        machines = self._emr.machines(self._emr.describe())
        hosts = {m.host for m in machines if m.kind in self._spec.terminates}
        return tuple(executor for executor in executors if executor.host in hosts)


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan. Nothing is asked of AWS yet."""
    return Target(Spec.model_validate(keys))
