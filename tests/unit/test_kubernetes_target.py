"""Executors as pods: whom a fault hits, what is left of a cluster, and what the real client sends and reads.

The client is the official one, down to where it would open a connection: answers there are in the form of the API's own
reference. No cluster was asked.
"""

import io
import json
import sys
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from kubernetes import client
from stressable_worlds import APP, TWO, had_a_driver, kubernetes_world, moment_of, pod_of, work_of

from muster.errors import Refusal, StepError, UsageError
from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.spark import kubernetes_api
from tasks.spark.kubernetes_api import Kube, Pod
from tasks.spark.status import Executor
from tasks.targets.kubernetes import label_of

RUN = "20261125T220000Z-shop-0a1b2c"


def test_it_proves_itself_by_server_and_uid():
    identity = kubernetes_world().target(cluster_uid="uid-of-cluster").identify()
    assert identity.system_identifier == "uid-of-cluster"
    assert "https://k8s.test:6443" in identity.description


@pytest.mark.parametrize(
    ("more", "words"),
    [({"master": "k8s://https://other:6443"}, "leads to https://k8s.test"), ({"cluster_uid": "x"}, "uid-of-cluster")],
)
def test_another_cluster_is_refused(more, words):
    with pytest.raises(Refusal, match=words):
        kubernetes_world().target(**more).identify()


def test_what_pods_ask_for_is_not_free(tmp_path):
    work = work_of(tmp_path)
    others = pod_of(
        "9", "another", "spark-9", uid="u9", cores=2.5, labels={"spark-role": "executor", "spark-app-name": "etl"}
    )
    ended = pod_of("8", uid="u8", is_over=True, cores=4.0)
    seen = kubernetes_world(pods=[pod_of("1"), others, ended]).target().look("settle", work)
    assert [(w.name, w.state, w.cores_free, w.memory_free) for w in seen.workers] == [
        ("n1", "ALIVE", 0, 8192 - 2 * 1408),
        ("n2", "ALIVE", 4, 8192),
        ("n3", "CORDONED", 4, 8192),
    ]
    assert [w.name for w in seen.alive] == ["n1", "n2"]
    assert set(seen.applications) == {work.application, "etl"}


def test_sparks_pods_of_another_namespace_are_seen_where_they_share_a_node(tmp_path):
    labels = {"spark-role": "executor", "spark-app-name": "etl"}
    there = [pod_of("9", uid="u9", labels=labels), pod_of("7", uid="u7", labels={}),
             pod_of("8", uid="u8", node="elsewhere", labels={**labels, "spark-app-name": "bi"})]  # fmt: skip
    world = kubernetes_world(pods=there)
    world.fake.pods = lambda _namespace, _selector: ()
    assert world.target().look("strike", work_of(tmp_path)).applications == ("etl",)


def test_just_the_victims_pods_are_deleted(tmp_path):
    work = work_of(tmp_path, Fault.KILL_EXECUTOR)
    world = kubernetes_world(pods=[pod_of(n) for n in ("1", "2", "3")] + [pod_of("1", "r", "spark-other", uid="x")])
    done = world.target().strike(moment_of(work), TWO, work)
    assert world.done == ["delete exec-1", "delete exec-3"]
    assert done[0] == "executor 1: pod exec-1 on n1 deleted without grace"


@pytest.mark.parametrize("pods", [[pod_of("1")], [pod_of("1"), pod_of("3"), pod_of("3", uid="y")]], ids=["gone", "two"])
def test_a_victim_that_is_not_certain_is_told_before_any_is_hit(tmp_path, pods):
    work, world = work_of(tmp_path, Fault.KILL_CACHED), kubernetes_world(pods=pods)
    with pytest.raises(StepError, match=r"executor 3 of application_.*none was hit"):
        world.target().strike(moment_of(work), TWO, work)
    assert world.done == []


def test_what_a_killed_driver_left_behind_is_deleted_by_the_runs_label(tmp_path):
    work = work_of(tmp_path)
    had_a_driver(work)
    left = [pod_of("1"), pod_of("2", is_over=True), pod_of("3", "another-run", uid="o")]
    world = kubernetes_world(pods=left, maps=("spark-exec-conf-map",))
    world.target().end_sessions(work)
    assert world.done == [
        "delete exec-1",
        "delete exec-2",
        f"delete map spark-exec-conf-map (spark-app-selector in ({APP}))",
    ]


def test_a_fault_of_nodes_has_nodes_for_victims(tmp_path):
    target = kubernetes_world(pods=[pod_of("1"), pod_of("2", node="n2")]).target()
    executor = Executor("2", "10.0.0.2", is_active=True, cores=1, active_tasks=1, cached_bytes=0)
    assert target.placed(executor, work_of(tmp_path, Fault.KILL_WORKER)).host == "n2"
    assert target.placed(executor, work_of(tmp_path, Fault.KILL_EXECUTOR)) == executor
    strange = replace(executor, host="10.9.9.9")
    assert target.placed(strange, work_of(tmp_path, Fault.KILL_WORKER)) == strange


def test_every_pod_of_a_run_carries_its_label(tmp_path):
    work = work_of(tmp_path)
    settings = kubernetes_world().target(context="prod").defaults(work)
    assert settings["spark.kubernetes.executor.label.muster-run"] == label_of(RUN)
    assert len(label_of("x" * 300)) <= 63
    assert settings["spark.kubernetes.context"] == "prod"
    assert settings["spark.executor.instances"] == "2"


def test_without_the_client_the_next_move_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes.client", None)
    with pytest.raises(UsageError, match="is not installed") as caught:
        kubernetes_api.connect("")
    assert "muster[kubernetes]" in caught.value.advice


def test_without_a_way_to_a_cluster_the_next_move_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    for context in ("", "prod"):
        with pytest.raises(StepError, match="no way to the cluster") as caught:
            kubernetes_api.connect(context)
        assert "KUBECONFIG" in caught.value.advice


def test_a_kubeconfig_leads_to_its_server(monkeypatch, tmp_path):
    path = tmp_path / "config"
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": n, "cluster": {"server": f"https://{n}.test:6443"}} for n in "ab"],
        "users": [{"name": "u", "user": {"token": "hunter2"}}],
        "contexts": [{"name": n, "context": {"cluster": n, "user": "u"}} for n in "ab"],
    }))  # fmt: skip
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    assert kubernetes_api.connect("").server == "https://a.test:6443"
    assert kubernetes_api.connect("b").server == "https://b.test:6443"


# The real client.


class Wire:
    """Where the client would open a connection."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, list[str]], Any]] = []
        self.answers: dict[str, tuple[int, Any]] = {}

    def request(self, method: str, url: str, **more: Any) -> urllib3.HTTPResponse:
        address = urlsplit(url)
        body = json.loads(more["body"]) if more.get("body") else None
        asked = {key: [value] for key, value in more.get("fields") or ()}  # as some versions of the client say it
        self.sent.append((method, address.path, parse_qs(address.query) | asked, body))
        status, told = self.answers.get(f"{method} {address.path}", (404, {"message": "not found"}))
        if told is None:
            raise urllib3.exceptions.MaxRetryError(None, url, "refused")  # type: ignore[arg-type]
        return urllib3.HTTPResponse(
            io.BytesIO(json.dumps(told).encode()), {"Content-Type": "application/json"}, status, preload_content=False
        )

    def clear(self) -> None:
        """As of a pool."""


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def kube(wire) -> Kube:
    api = client.ApiClient(client.Configuration(host="https://k8s.test:6443"))
    api.rest_client.pool_manager = wire
    return Kube(client.CoreV1Api(api), client.VersionApi(api), "https://k8s.test:6443")


NODE = {
    "metadata": {"name": "n1"},
    "spec": {},
    "status": {
        "allocatable": {"cpu": "3920m", "memory": "7Gi"},
        "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
    },
}
POD = {
    "metadata": {"name": "exec-1", "uid": "u1", "labels": {"spark-exec-id": "1"}},
    "spec": {
        "nodeName": "n1",
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1408Mi"}}}, {"name": "sidecar"}],
    },
    "status": {"phase": "Running", "podIP": "10.0.0.1"},
}


def listed(*items: Any) -> tuple[int, Any]:
    return 200, {"kind": "List", "apiVersion": "v1", "items": list(items)}


def test_who_the_cluster_is_is_read(kube, wire):
    wire.answers["GET /api/v1/namespaces/kube-system"] = (200, {"metadata": {"name": "kube-system", "uid": "u-1"}})
    told = dict.fromkeys(("buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion", "platform"), "x")
    wire.answers["GET /version/"] = (200, {**told, "gitVersion": "v1.31.2", "major": "1", "minor": "31"})
    assert kube.identity() == ("u-1", "v1.31.2")


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "ALIVE"),
        ({"spec": {"unschedulable": True}}, "CORDONED"),
        (
            {"spec": {"taints": [{"key": "control-plane", "effect": "NoSchedule"}]}},
            "TAINTED (control-plane)",
        ),
        ({"spec": {"taints": [{"key": "soft", "effect": "PreferNoSchedule"}]}}, "ALIVE"),
        ({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, "NOT READY"),
        ({"status": {}}, "NOT READY"),
    ],
    ids=["ready", "cordoned", "tainted", "soft taint", "unknown", "silent"],
)
def test_a_node_is_alive_when_it_takes_executors(kube, wire, change, state):
    wire.answers["GET /api/v1/nodes"] = listed({**NODE, **change})
    (node,) = kube.nodes("pool=spark")
    assert node.state.startswith(state)
    assert wire.sent[0][2] == {"labelSelector": ["pool=spark"]}
    if not change:
        assert (node.cores, node.memory) == (3.92, 7168)


def test_pods_are_found_by_their_labels(kube, wire):
    wire.answers["GET /api/v1/namespaces/spark/pods"] = listed(POD)
    (pod,) = kube.pods("spark", f"spark-app-selector={APP},spark-exec-id=1")
    assert wire.sent[0][2] == {"labelSelector": [f"spark-app-selector={APP},spark-exec-id=1"]}
    assert pod == Pod("exec-1", "u1", "n1", "10.0.0.1", False, {"spark-exec-id": "1"}, 1.0, 1408)


def test_a_pod_is_deleted_without_grace_and_only_by_its_uid(kube, wire):
    wire.answers["DELETE /api/v1/namespaces/spark/pods/exec-1"] = (200, POD)
    pod = Pod("exec-1", "u1", "n1", "", False, {}, 1.0, 1)
    kube.delete("spark", pod)
    method, path, _, body = wire.sent[0]
    assert (method, path) == ("DELETE", "/api/v1/namespaces/spark/pods/exec-1")
    assert body == {"gracePeriodSeconds": 0, "preconditions": {"uid": "u1"}}
    for status in (404, 409):
        wire.answers["DELETE /api/v1/namespaces/spark/pods/exec-1"] = (status, {"message": "gone, or another's"})
        kube.delete("spark", pod)


def test_maps_are_deleted_by_their_label(kube, wire):
    wire.answers["GET /api/v1/namespaces/spark/configmaps"] = listed({"metadata": {"name": "m"}})
    wire.answers["DELETE /api/v1/namespaces/spark/configmaps/m"] = (200, {"status": "Success"})
    assert kube.delete_maps("spark", "spark-app-selector in (a)") == ("m",)
    assert [method for method, *_ in wire.sent] == ["GET", "DELETE"]


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "log in again"), (403, "the right to: list pods, in the whole cluster"), (500, "the state of the cluster")],
)
def test_what_the_api_refuses_is_told_with_what_would_allow_it(kube, wire, status, advice):
    wire.answers["GET /api/v1/pods"] = (status, {"message": "no"})
    with pytest.raises(StepError, match=str(status)) as caught:
        kube.every_pod()
    assert advice in caught.value.advice


def test_an_api_server_that_is_silent_is_told(kube, wire):
    wire.answers["GET /api/v1/pods"] = (0, None)
    with pytest.raises(StepError, match="does not answer"):
        kube.every_pod()


def test_a_victim_of_another_application_is_never_listed(tmp_path):
    work, world = work_of(tmp_path, Fault.KILL_EXECUTOR), kubernetes_world(pods=[pod_of("1", "r", "spark-other")])
    with pytest.raises(StepError, match="0 pods"):
        world.target().strike(moment_of(work), (Victim(name="executor 1", executors=("1",)),), work)
    assert world.done == []
