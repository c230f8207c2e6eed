"""The few questions and deletions that a drill has for a Kubernetes cluster, by the official client.

Promises: the client is imported when it is needed, and is missed with one clear sentence; a pod is deleted only with
the uid that was read, so that another of its name lives; what the API refuses is told with the right that is missing.
Source: Kubernetes API reference; Spark's "Running on Kubernetes", `Constants` for the labels.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from muster.errors import StepError, UsageError

APPLICATION, EXECUTOR, ROLE = "spark-app-selector", "spark-exec-id", "spark-role"
NAME = "spark-app-name"
RUN = "muster-run"
"""Our own label, on every pod of a run: it is known before Spark has named the application."""
_SECONDS = 20.0
_MIB = 2**20
_HARD = frozenset({"NoSchedule", "NoExecute"})
_OVER = frozenset({"Succeeded", "Failed"})
_CLUSTER = "kube-system"
"""The namespace whose uid is taken for that of the cluster: it is never made anew."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    name: str
    state: str
    """`ALIVE`, or why it takes no executor."""
    cores: float
    memory: int
    """MiB, that pods may have."""


@dataclass(frozen=True)
class Pod:
    """A pod."""

    name: str
    uid: str
    node: str
    address: str
    is_over: bool
    labels: Mapping[str, str]
    cores: float
    memory: int
    """MiB; both as it asked for."""


class Kube:
    """One cluster, as one context of a kubeconfig reaches it."""

    def __init__(self, core: Any, version: Any, server: str) -> None:
        self._core = core
        self._version = version
        self.server = server
        """URL of the API server."""

    def identity(self) -> tuple[str, str]:
        """The uid that stands for the cluster, and the version of its API."""
        with calling(f"get namespaces/{_CLUSTER}"):
            uid = self._core.read_namespace(_CLUSTER, _request_timeout=_SECONDS).metadata.uid
        with calling("get /version"):
            return str(uid), str(self._version.get_code(_request_timeout=_SECONDS).git_version)

    def nodes(self, selector: str) -> tuple[Node, ...]:
        """Those with these labels."""
        with calling("list nodes, in the whole cluster"):
            found = self._core.list_node(label_selector=selector, _request_timeout=_SECONDS).items
        return tuple(_node(each) for each in found)

    def every_pod(self) -> tuple[Pod, ...]:
        """Whoever's, wherever: what they ask for is not free."""
        with calling("list pods, in the whole cluster"):
            return tuple(map(_pod, self._core.list_pod_for_all_namespaces(_request_timeout=_SECONDS).items))

    def pods(self, namespace: str, selector: str) -> tuple[Pod, ...]:
        """Those with these labels."""
        with calling(f"list pods, in {namespace}"):
            found = self._core.list_namespaced_pod(namespace, label_selector=selector, _request_timeout=_SECONDS)
        return tuple(map(_pod, found.items))

    def delete(self, namespace: str, pod: Pod) -> None:
        """Make sure that just this pod is gone, without grace: its process gets no word before."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid}}
        with calling(f"delete pods, in {namespace}", is_gone_well=True):
            self._core.delete_namespaced_pod(pod.name, namespace, body=body, _request_timeout=_SECONDS)

    def delete_maps(self, namespace: str, selector: str) -> tuple[str, ...]:
        """Make sure that no configuration map with these labels is left; the names of those that were."""
        with calling(f"list configmaps, in {namespace}"):
            found = self._core.list_namespaced_config_map(namespace, label_selector=selector, _request_timeout=_SECONDS)
        names = tuple(str(each.metadata.name) for each in found.items)
        for name in names:
            with calling(f"delete configmaps, in {namespace}", is_gone_well=True):
                self._core.delete_namespaced_config_map(name, namespace, _request_timeout=_SECONDS)
        return names


Connect = Callable[[str], Kube]
"""The name of a context, or nothing for the one that is current, to the cluster."""


def connect(context: str) -> Kube:
    """By the kubeconfig; in a pod without one, by its service account."""
    try:
        client, config = import_module("kubernetes.client"), import_module("kubernetes.config")
    except ModuleNotFoundError:
        raise UsageError(
            "the Kubernetes client for Python is not installed", "pip install 'muster[kubernetes]' where Muster runs"
        ) from None
    settings = client.Configuration()
    try:
        if context or _has_kubeconfig(config):
            config.load_kube_config(context=context or None, client_configuration=settings)
        else:
            config.load_incluster_config(client_configuration=settings)
    except config.ConfigException as error:
        raise StepError(f"there is no way to the cluster: {error}", "set KUBECONFIG, and mend target.context") from None
    api = client.ApiClient(settings)
    return Kube(client.CoreV1Api(api), client.VersionApi(api), str(settings.host))


def _has_kubeconfig(config: Any) -> bool:
    try:
        config.list_kube_config_contexts()
    except config.ConfigException:
        return False
    return True


@contextmanager
def calling(what: str, *, is_gone_well: bool = False) -> Iterator[None]:
    """What the API answers, in our words. `is_gone_well`: what is not there any more, or is another's, is well so."""
    errors = import_module("kubernetes.client.exceptions")
    try:
        yield
    except errors.ApiException as error:
        if is_gone_well and error.status in {404, 409}:
            return
        advice = {
            401: "log in again: the credentials of the kubeconfig are not taken",
            403: f"give the user of the kubeconfig the right to: {what}",
        }.get(error.status, "see the state of the cluster's API server")
        raise StepError(f"{what}: {error.status} {error.reason}", advice) from None
    except import_module("urllib3.exceptions").HTTPError as error:
        raise StepError(f"{what}: the API server does not answer: {error}", "see the network, and KUBECONFIG") from None


def _node(told: Any) -> Node:
    ready = next((c.status for c in told.status.conditions or () if c.type == "Ready"), "Unknown")
    tainted = [taint.key for taint in told.spec.taints or () if taint.effect in _HARD]
    state = "ALIVE"
    if ready != "True":
        state = "NOT READY"
    elif told.spec.unschedulable:
        state = "CORDONED"
    elif tainted:
        state = f"TAINTED ({tainted[0]})"
    has = told.status.allocatable or {}
    return Node(str(told.metadata.name), state, _amount(has.get("cpu")), int(_amount(has.get("memory")) / _MIB))


def _pod(told: Any) -> Pod:
    asked = [(c.resources.requests if c.resources else None) or {} for c in told.spec.containers]
    return Pod(
        name=str(told.metadata.name),
        uid=str(told.metadata.uid),
        node=str(told.spec.node_name or ""),
        address=str(told.status.pod_ip or ""),
        is_over=told.status.phase in _OVER,
        labels=dict(told.metadata.labels or {}),
        cores=sum(_amount(each.get("cpu")) for each in asked),
        memory=int(sum(_amount(each.get("memory")) for each in asked) / _MIB),
    )


def _amount(quantity: Any) -> float:
    """A quantity as Kubernetes writes it: `500m`, `2`, `3Gi`."""
    return float(import_module("kubernetes.utils").parse_quantity(quantity)) if quantity else 0.0
