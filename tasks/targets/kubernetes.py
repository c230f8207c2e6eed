"""Target `kubernetes`: executors are pods, the driver is a process on this machine. Not yet proven on a cluster.

What is asked of the API is held against recorded answers in our tests. Pods of executors are deleted without grace,
which takes their object away at once, and their process a moment later. Machines are the team's own to kill, by
hooks: a worker is a node, with every executor on it.

Pods must reach the driver here (`spark.driver.host`, `spark.driver.port`), and the image must have the driver's Spark.
Rights, in the namespace: what Spark needs (pods and configmaps: create, get, list, watch, delete). In the whole
cluster: list nodes and pods, get the namespace kube-system, whose uid proves which cluster this is.
Source: Spark's "Running on Kubernetes".
"""

import hashlib
from dataclasses import replace
from typing import Literal

from pydantic import Field, field_validator

from muster.errors import Refusal, StepError
from muster.identity import Identity
from muster.settings import Settings
from muster.spark.observations import ClusterSeen, Victim, WorkerSeen
from muster.spark.spec import Fault
from tasks.spark.clientmode import ClientKeys, ClientMode
from tasks.spark.keys import Folder
from tasks.spark.kubernetes_api import APPLICATION, EXECUTOR, NAME, ROLE, RUN, Connect, Kube, Pod, connect
from tasks.spark.status import Executor
from tasks.targets.stressable import Moment, Work

_PREFIX = "k8s://"


class Spec(ClientKeys):
    """The target's keys in a plan. Credentials are the kubeconfig's."""

    type: Literal["kubernetes"] = "kubernetes"
    master: str = Field(pattern=r"^k8s://https?://[^\s@]+$")
    """`k8s://` and the URL of the API server."""
    context: str = ""
    """Of the kubeconfig. Default: the current one; in a pod, its service account."""
    namespace: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    """Where executors run."""
    image: str = Field(min_length=1)
    """Container image of the executors."""
    cluster_uid: str = ""
    """Uid of the namespace kube-system, as a further proof of which cluster it is."""
    nodes: str = ""
    """Labels of the nodes that executors may run on, such as `pool=spark`."""
    data: Folder
    """Where the job writes: executors must reach it, and the driver too."""

    @field_validator("master")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        return value.rstrip("/")


class Target(ClientMode):
    """The cluster."""

    means = frozenset({Fault.KILL_EXECUTOR, Fault.KILL_CACHED})

    def __init__(self, spec: Spec, connect: Connect = connect) -> None:
        super().__init__(spec)
        self._spec = spec
        self._connect = connect
        self._known: Kube | None = None
        self._places: dict[str, str] = {}

    def identify(self) -> Identity:
        """The kubeconfig leads to the plan's API server, and that to the plan's cluster."""
        self._hooked.require_programs()
        try:
            kube = self._kube()
            uid, version = kube.identity()
        except StepError as error:
            raise Refusal(error.message, error.advice) from None
        if _PREFIX + kube.server.rstrip("/") != self._spec.master:
            raise Refusal(
                f"the kubeconfig leads to {kube.server}, the plan to {self._spec.master}",
                "mend target.context or target.master: they must name one cluster",
            )
        if self._spec.cluster_uid not in {"", uid}:
            raise Refusal(f"the cluster's uid is {uid}, not {self._spec.cluster_uid}", "this is another cluster")
        return Identity(
            description=f"Kubernetes {version} at {kube.server}, namespace {self._spec.namespace}",
            system_identifier=uid,
            proof=f"the namespace kube-system has the uid {uid}",
        )

    def look(self, stage: str, work: Work | None = None) -> ClusterSeen:
        """Nodes, what pods leave free of them, and which Spark applications run in the namespace, or on them."""
        try:
            nodes, pods = self._kube().nodes(self._spec.nodes), self._kube().every_pod()
            spark = self._kube().pods(self._spec.namespace, ROLE)
        except StepError as error:
            return ClusterSeen(
                stage=stage, manager=self._spec.master, spark="", workers=(), problems=(error.message,)
            )  # fmt: skip
        running = [pod for pod in pods if not pod.is_over]
        workers = []
        for node in nodes:
            on_it = [pod for pod in running if pod.node == node.name]
            workers.append(
                WorkerSeen(
                    name=node.name,
                    host=node.name,
                    state=node.state,
                    cores=int(node.cores),
                    cores_free=max(0, int(node.cores - sum(pod.cores for pod in on_it))),
                    memory=node.memory,
                    memory_free=max(0, node.memory - sum(pod.memory for pod in on_it)),
                )
            )
        hosts = {node.name for node in nodes}
        beside = [pod for pod in running if ROLE in pod.labels and pod.node in hosts]
        names = {_name_of(pod, work) for pod in (*spark, *beside) if not pod.is_over}
        return ClusterSeen(
            stage=stage, manager=self._spec.master, spark="", workers=tuple(workers), applications=tuple(sorted(names))
        )

    def placed(self, executor: Executor, work: Work) -> Executor:
        """On its node: Spark knows a pod's address alone. Only a fault of nodes needs it."""
        if not (executor.is_active and work.spec.fault.type.hits_workers):
            return executor
        if executor.host not in self._places:
            ours = self._kube().pods(self._spec.namespace, f"{RUN}={label_of(work.workspace.run)}")
            self._places.update({pod.address: pod.node for pod in ours if pod.address and not pod.is_over})
        return replace(executor, host=self._places.get(executor.host, executor.host))

    def carry_out(self, moment: Moment, victims: tuple[Victim, ...], work: Work) -> tuple[str, ...]:
        """Delete the pods of just these executors. All are found before the first is hit."""
        wanted = [executor for victim in victims for executor in victim.executors]
        found = [self._pod_of(moment.application, executor) for executor in wanted]
        for pod in found:
            self._kube().delete(self._spec.namespace, pod)
        return tuple(
            f"executor {executor}: pod {pod.name} on {pod.node} deleted without grace"
            for executor, pod in zip(wanted, found, strict=True)
        )

    def end_own_faults(self, work: Work) -> tuple[str, ...]:
        """Spark asks for new pods by itself."""
        return ()

    def master_of_now(self) -> str:
        """The API server."""
        return self._spec.master

    def defaults(self, work: Work) -> dict[str, str]:
        """Where executors run, of what image, as many as the plan needs of one core each, and the run's label."""
        context = {"spark.kubernetes.context": self._spec.context} if self._spec.context else {}
        return {
            "spark.kubernetes.namespace": self._spec.namespace,
            "spark.kubernetes.container.image": self._spec.image,
            "spark.executor.instances": str(work.spec.ready.cores),
            "spark.executor.cores": "1",
            f"spark.kubernetes.executor.label.{RUN}": label_of(work.workspace.run),
            **context,
        }

    def end_on_cluster(self, work: Work) -> None:
        """A driver that was killed leaves pods behind, ended or not, and the map of their configuration."""
        for pod in self._kube().pods(self._spec.namespace, f"{RUN}={label_of(work.workspace.run)}"):
            self._kube().delete(self._spec.namespace, pod)
        if ids := self.applications(work):
            self._kube().delete_maps(self._spec.namespace, f"{APPLICATION} in ({', '.join(ids)})")

    def _pod_of(self, application: str, executor: str) -> Pod:
        selector = f"{APPLICATION}={application},{EXECUTOR}={executor}"
        found = [pod for pod in self._kube().pods(self._spec.namespace, selector) if not pod.is_over]
        if len(found) != 1:
            raise StepError(
                f"{len(found)} pods in {self._spec.namespace} are executor {executor} of {application}: none was hit",
                "see `kubectl get pods -l spark-app-selector`; the namespace must be the executors'",
            )
        return found[0]

    def _kube(self) -> Kube:
        self._known = self._known or self._connect(self._spec.context)
        return self._known


def label_of(run: str) -> str:
    """A run's name as a label's value, which may have 63 characters at most."""
    return hashlib.sha256(run.encode()).hexdigest()[:32]


def _name_of(pod: Pod, work: Work | None) -> str:
    """The application that a pod is of: ours by the run's label, others as Spark names them."""
    if work and pod.labels.get(RUN) == label_of(work.workspace.run):
        return work.application
    return pod.labels.get(NAME) or pod.labels.get(APPLICATION) or pod.name


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan. Nothing is asked of the cluster yet."""
    return Target(Spec.model_validate(keys))
