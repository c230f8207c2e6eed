"""What a drill asks of Amazon EMR and EC2: one cluster, its machines, its steps.

Promises: a request that changes something is sent once by us; a machine is terminated only if EMR says that it is of
this cluster, and no master's; steps are found by the run's own name.
Source: Amazon EMR API Reference; Amazon EC2 API Reference, "TerminateInstances".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import boto3

from muster.errors import StepError
from tasks.rds.calls import CONFIG, SecondsLeft, calling, wait_for
from tasks.spark.remote import CODE, LAPS, Job
from tasks.spark.shipment import SCRIPT, ZIP

EMR, EC2, S3 = "emr", "ec2", "s3"
Clients = Callable[[str], Any]
"""The name of a service to its client."""
Kind = Literal["CORE", "TASK"]
_KINDS: tuple[Kind, ...] = ("CORE", "TASK")
_RIGHTS = "elasticmapreduce"
_ACTIVE = ("PENDING", "RUNNING", "CANCEL_PENDING")
_ENDED = frozenset({"COMPLETED", "CANCELLED", "FAILED", "INTERRUPTED"})
_CANCEL_SECONDS = 300.0


@dataclass(frozen=True)
class Machine:
    """One instance that runs, and is no master's."""

    id: str
    """Of EC2."""
    host: str
    kind: Kind
    type: str


@dataclass(frozen=True)
class Step:
    """A step that has not ended."""

    id: str
    name: str
    state: str


def clients_of(region: str) -> Clients:
    """Clients for a region, each made once: its model takes a while to load."""
    make: Any = boto3.client

    @cache
    def client(service: str) -> Any:
        return make(service, region_name=region, config=CONFIG)

    return client


class Emr:
    """One cluster."""

    def __init__(self, cluster: str, clients: Clients, every: float) -> None:
        self.cluster = cluster
        self._clients = clients
        self._every = every
        self._types: dict[str, tuple[int, int]] = {}

    def describe(self) -> dict[str, Any]:
        """As EMR describes it."""
        with calling("DescribeCluster", _RIGHTS):
            return dict(self._clients(EMR).describe_cluster(ClusterId=self.cluster)["Cluster"])

    def machines(self, described: dict[str, Any]) -> tuple[Machine, ...]:
        """Those that run, by their kind, which EMR tells only by being asked for it."""
        is_fleet = described.get("InstanceCollectionType") == "INSTANCE_FLEET"
        found = []
        for kind in _KINDS:
            which = {"InstanceFleetType": kind} if is_fleet else {"InstanceGroupTypes": [kind]}
            with calling("ListInstances", _RIGHTS):
                told = self._pages("list_instances", "Instances", InstanceStates=["RUNNING"], **which)
            found += [Machine(i["Ec2InstanceId"], i["PrivateDnsName"], kind, i["InstanceType"]) for i in told]
        return tuple(found)

    def size(self, machine: Machine) -> tuple[int, int]:
        """Cores and MiB of a machine, by its type. YARN has somewhat less to give."""
        if machine.type not in self._types:
            with calling("DescribeInstanceTypes", EC2):
                told = self._clients(EC2).describe_instance_types(InstanceTypes=[machine.type])["InstanceTypes"][0]
            self._types[machine.type] = (told["VCpuInfo"]["DefaultVCpus"], told["MemoryInfo"]["SizeInMiB"])
        return self._types[machine.type]

    def steps(self) -> tuple[Step, ...]:
        """Whoever's."""
        with calling("ListSteps", _RIGHTS):
            told = self._pages("list_steps", "Steps", StepStates=list(_ACTIVE))
        return tuple(Step(s["Id"], s["Name"], s["Status"]["State"]) for s in told)

    def add_step(self, name: str, words: Sequence[str]) -> str:
        """A command on the master, by EMR's own runner. Its id."""
        step = {
            "Name": name,
            "ActionOnFailure": "CONTINUE",
            "HadoopJarStep": {"Jar": "command-runner.jar", "Args": list(words)},
        }
        with calling("AddJobFlowSteps", _RIGHTS):
            return str(self._clients(EMR).add_job_flow_steps(JobFlowId=self.cluster, Steps=[step])["StepIds"][0])

    def job(self, step: str) -> Job:
        """How a step stands."""
        with calling("DescribeStep", _RIGHTS):
            told = self._clients(EMR).describe_step(ClusterId=self.cluster, StepId=step)["Step"]["Status"]
        details = told.get("FailureDetails", {})
        why = "; ".join(details[key] for key in ("Reason", "Message", "LogFile") if details.get(key))
        why = why or told.get("StateChangeReason", {}).get("Message", "")
        return Job(told["State"] in _ENDED, f"step {step} is {told['State']}" + (f": {why}" if why else ""))

    def cancel(self, prefix: str, left: SecondsLeft) -> None:
        """Make sure that no step whose name begins so is pending or running."""
        ours = [step for step in self.steps() if step.name.startswith(prefix)]
        asked = [step.id for step in ours if step.state != "CANCEL_PENDING"]
        if asked:
            with calling("CancelSteps", _RIGHTS):
                answer = self._clients(EMR).cancel_steps(
                    ClusterId=self.cluster, StepIds=asked, StepCancellationOption="TERMINATE_PROCESS"
                )
            _require_submitted(answer["CancelStepsInfoList"])
        if ours:
            wait_for(
                lambda: None if any(step.name.startswith(prefix) for step in self.steps()) else True,
                f"{', '.join(step.id for step in ours)} to be cancelled",
                left,
                at_most=min(_CANCEL_SECONDS, left()),
                every=self._every,
                of="EMR",
            )

    def terminate(self, machines: Sequence[Machine]) -> None:
        """As a machine that is lost: its system is not asked to shut down."""
        with calling("TerminateInstances", EC2):
            self._clients(EC2).terminate_instances(InstanceIds=[m.id for m in machines], SkipOsShutdown=True)

    def _pages(self, action: str, key: str, **which: Any) -> list[dict[str, Any]]:
        pages = self._clients(EMR).get_paginator(action).paginate(ClusterId=self.cluster, **which)
        return [item for page in pages for item in page.get(key, ())]


class Steps:
    """Laps as steps."""

    def __init__(self, emr: Emr, uri: str, application: str, deploy_mode: str) -> None:
        self._emr = emr
        self._uri = uri
        self._application = application
        self._deploy_mode = deploy_mode

    def submit(self, group: str, settings: Mapping[str, str]) -> str:
        """`spark-submit` of our script on the lap's folder."""
        conf = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
        words = ["spark-submit", "--deploy-mode", self._deploy_mode, "--name", self._application, *conf,
                 "--py-files", f"{self._uri}/{CODE}/{ZIP}", f"{self._uri}/{CODE}/{SCRIPT}",
                 f"{self._uri}/{LAPS}/{group}"]  # fmt: skip
        return self._emr.add_step(f"{self._application} {group}", words)

    def job(self, name: str) -> Job:
        """How a step stands."""
        return self._emr.job(name)


def spark_of(described: Mapping[str, Any]) -> str:
    """The version of a cluster's Spark; empty where it has none."""
    found = (a.get("Version", "") for a in described.get("Applications", ()) if a.get("Name") == "Spark")
    return str(next(found, ""))


def _require_submitted(told: Sequence[dict[str, Any]]) -> None:
    refused = [each for each in told if each.get("Status") == "FAILED"]
    # A step that ended between two questions is refused too, and is well so: the wait that follows tells.
    if refused and not all("completed" in str(each.get("Reason", "")).lower() for each in refused):
        raise StepError(
            f"EMR does not cancel {refused[0]['StepId']}: {refused[0].get('Reason', '')}",
            f"end it by: aws emr cancel-steps --step-ids {refused[0]['StepId']}",
        )
