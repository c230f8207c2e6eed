"""Clusters on paper, one of each kind: they answer as the real ones are documented to, and note what they are told."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.stub import ANY, Stubber

from muster.drill import Workspace
from muster.spark.observations import Victim
from muster.spark.spec import Fault, SparkSpec
from tasks.process import Processes
from tasks.spark.kubernetes_api import APPLICATION, EXECUTOR, RUN, Node, Pod
from tasks.spark.local_processes import Seen
from tasks.spark.post import CONFIG, UP, Config, Up, say
from tasks.spark.status import Stage
from tasks.targets import databricks, emr, kubernetes, standalone, yarn
from tasks.targets.kubernetes import label_of
from tasks.targets.stressable import Moment, Work

APP = "application_1700000000000_0007"
STAGE = Stage(id=3, attempt=0, name="sort", status="ACTIVE", tasks=8, done=2, active=2, shuffle_read=1, shuffle_write=1)
TWO = (
    Victim(name="executor 1", host="w1", executors=("1",)),
    Victim(name="executor 3", host="w3", executors=("3",)),
)


def work_of(folder: Path, fault: Fault = Fault.KILL_EXECUTOR, **keys: Any) -> Work:
    """A run with this fault."""
    radius = {"executors": 4, "workers": 4, "last_worker": True}
    spec = {"workload": {"type": "terasort"}, "fault": {"type": fault, "victims": 1}, "blast_radius": radius, **keys}
    return Work(
        workspace=Workspace("20261125T220000Z-shop-0a1b2c", folder / "run"),
        processes=Processes(folder / "records", folder / "logs"),
        spec=SparkSpec.model_validate(spec),
        seconds_left=lambda: 30.0,
    )


def moment_of(work: Work, application: str = APP) -> Moment:
    """When a fault strikes."""
    return Moment(2, f"muster-{work.workspace.run}-lap-2", application, STAGE, ())


def had_a_driver(work: Work, application: str = APP) -> None:
    """As if a driver of this run had come up, and is gone."""
    folder = work.workspace.scratch / "sessions" / "plain-0" / "0"
    config = Config(application=work.application, master="x", settings={}, workload={}, data="file:/x")
    say(folder, CONFIG, config)
    say(folder, UP, Up(application=application, ui="http://driver:4040", spark="4.3.0", java="21", cores=2))


@dataclass
class World:
    """A target on paper."""

    keys: dict[str, Any]
    make: Callable[[dict[str, Any]], Any]
    own: frozenset[Fault]
    """What the target can do without any hook."""
    done: list[str] = field(default_factory=list)
    """What was done to the cluster."""
    is_silent: bool = False
    """Whether nothing answers any more."""
    fake: Any = None
    """What answers, where a test looks into it."""

    def target(self, **more: Any) -> Any:
        """The target, with more or other keys."""
        return self.make({**self.keys, **more})


def _never(_: httpx.Request) -> httpx.Response:
    raise AssertionError("nothing was to be asked")


# Standalone.


def master_page(
    url: str = "spark://a:7077", status: str = "ALIVE", apps: Iterable[tuple[str, str]] = ()
) -> dict[str, Any]:
    """As a master tells it, taken from Spark 4.3."""
    worker = {"port": 4, "webuiaddress": "http://w:8081", "coresused": 0, "memoryused": 0, "resources": {}}
    workers = [
        {**worker, "id": f"worker-{n}", "host": f"127.0.0.{n + 1}", "cores": 2, "coresfree": 2, "memory": 2048,
         "memoryfree": 2048, "state": "ALIVE"}
        for n in (1, 2)
    ]  # fmt: skip
    return {
        "url": url, "workers": workers if status == "ALIVE" else [], "aliveworkers": 2, "cores": 4, "status": status,
        "activeapps": [{"id": i, "name": name, "state": "RUNNING"} for i, name in apps], "completedapps": [],
    }  # fmt: skip


@dataclass
class Masters:
    """What several masters tell, by their page's address."""

    pages: dict[str, dict[str, Any]] = field(default_factory=lambda: {"http://a:8080": master_page()})
    version: str = "4.3.0"

    def answer(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        page = self.pages.get(f"{request.url.scheme}://{request.url.netloc.decode()}")
        if page is None:
            raise httpx.ConnectError("refused", request=request)
        if request.url.path == "/json/":
            return httpx.Response(200, json=page)
        return httpx.Response(200, text=f'<a><span class="version me-3">{self.version}</span></a>')


def executor_process(pid: int, executor: str, application: str = APP, user: int = 0) -> Seen:
    """As Spark starts one."""
    words = ("/jdk/bin/java", "-cp", "x", "org.apache.spark.executor.CoarseGrainedExecutorBackend", "--driver-url",
             "spark://CoarseGrainedScheduler@a:1", "--executor-id", executor, "--hostname", "w", "--cores", "1",
             "--app-id", application, "--worker-url", "spark://Worker@w:2")  # fmt: skip
    return Seen(pid, user, words)


WORKER = Seen(1, 0, ("/jdk/bin/java", "org.apache.spark.deploy.worker.Worker", "spark://a:7077"))


def standalone_world(monkeypatch: Any, masters: Masters | None = None, here: Iterable[Seen] = ()) -> World:
    """A cluster whose workers are not within reach, unless processes are given."""
    told, real = masters or Masters(), httpx.Client
    world = World(
        keys={"type": "standalone", "master": "spark://a:7077", "masters_ui": ["http://a:8080"]},
        make=lambda keys: standalone.Target(standalone.Spec.model_validate(keys), lambda: list(here)),
        own=frozenset({Fault.KILL_DRIVER}),
    )

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            world.done.append(f"{request.method} {request.url}")
        if world.is_silent:
            raise httpx.ConnectError("refused", request=request)
        return told.answer(request)

    def client(**more: Any) -> httpx.Client:
        return real(transport=httpx.MockTransport(answer), **more)

    monkeypatch.setattr(httpx, "Client", client)
    return world


# Kubernetes.


@dataclass
class FakeKube:
    """The API on paper. `tests/unit/test_kubernetes_api.py` holds the real client against the API's own form."""

    world: World
    alive: list[Pod] = field(default_factory=list)
    maps: tuple[str, ...] = ()
    server: str = "https://k8s.test:6443"

    def identity(self) -> tuple[str, str]:
        self._answer()
        return "uid-of-cluster", "v1.31.0"

    def nodes(self, _selector: str) -> tuple[Node, ...]:
        self._answer()
        return (Node("n1", "ALIVE", 4.0, 8192), Node("n2", "ALIVE", 4.0, 8192), Node("n3", "CORDONED", 4.0, 8192))

    def every_pod(self) -> tuple[Pod, ...]:
        self._answer()
        return tuple(self.alive)

    def pods(self, _namespace: str, selector: str) -> tuple[Pod, ...]:
        self._answer()
        wanted = dict(part.split("=") for part in selector.split(",") if "=" in part)
        return tuple(pod for pod in self.alive if wanted.items() <= pod.labels.items())

    def delete(self, _namespace: str, pod: Pod) -> None:
        self.world.done.append(f"delete {pod.name}")
        self.alive = [each for each in self.alive if each.uid != pod.uid]

    def delete_maps(self, _namespace: str, selector: str) -> tuple[str, ...]:
        self.world.done += [f"delete map {name} ({selector})" for name in self.maps]
        return self.maps

    def _answer(self) -> None:
        from muster.errors import StepError

        if self.world.is_silent:
            raise StepError("the API server does not answer", "see the network")


def pod_of(executor: str, run: str = "20261125T220000Z-shop-0a1b2c", application: str = APP, **more: Any) -> Pod:
    """A pod of one of our executors."""
    labels = {APPLICATION: application, EXECUTOR: executor, "spark-role": "executor", RUN: label_of(run)}
    keys: dict[str, Any] = {
        "name": f"exec-{executor}", "uid": f"uid-{executor}", "node": "n1", "address": f"10.0.0.{executor}",
        "is_over": False, "labels": labels, "cores": 1.0, "memory": 1408, **more,
    }  # fmt: skip
    return Pod(**keys)


def kubernetes_world(_monkeypatch: Any = None, pods: Iterable[Pod] = (), maps: tuple[str, ...] = ()) -> World:
    """A cluster with two nodes that take executors."""
    world = World(
        keys={"type": "kubernetes", "master": "k8s://https://k8s.test:6443", "namespace": "spark",
              "image": "spark:4.3.0",
              "data": "s3a://bucket/drills"},
        make=lambda keys: kubernetes.Target(kubernetes.Spec.model_validate(keys), lambda _: fake),  # type: ignore[arg-type,return-value]
        own=frozenset({Fault.KILL_EXECUTOR, Fault.KILL_CACHED, Fault.KILL_DRIVER}),
    )  # fmt: skip
    world.fake = fake = FakeKube(world, list(pods), maps)
    return world


# YARN.

CONTAINERS = {n: f"container_e05_1700000000000_0007_01_00000{n + 1}" for n in range(1, 5)}


@dataclass
class FakeYarn:
    """Answers in the form of Hadoop's documentation."""

    world: World
    apps: dict[str, str] = field(default_factory=dict)
    """Id to name."""
    states: dict[str, str] = field(default_factory=lambda: {"rm1": "ACTIVE"})
    attributes: bool = True

    def answer(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        host, path = request.url.host, request.url.path
        if self.world.is_silent or (host not in self.states and host != "w1"):
            raise httpx.ConnectError("refused", request=request)
        if host == "w1":  # a NodeManager, which has lost the container by now
            return httpx.Response(404)
        if request.method != "GET":
            return self._do(request, path)
        if path.startswith("/proxy/"):
            return httpx.Response(200, json=self._executors())
        told: dict[str, Any] = {
            "/ws/v1/cluster/info": {"clusterInfo": {
                "id": 1700000000000, "state": "STARTED", "haState": self.states[host],
                "resourceManagerVersion": "3.4.1"}},
            "/ws/v1/cluster/nodes": {"nodes": {"node": [
                {"id": f"w{n}:8041", "nodeHostName": f"w{n}", "state": state,
                 "usedMemoryMB": 1024, "availMemoryMB": 7168,
                 "usedVirtualCores": 1, "availableVirtualCores": 7}
                for n, state in ((1, "RUNNING"), (2, "RUNNING"), (3, "LOST"))]}},
            "/ws/v1/cluster/apps": {"apps": {"app": [{"id": i, "name": n} for i, n in self.apps.items()]}},
        }  # fmt: skip
        return httpx.Response(200, json=told[path])

    def _do(self, request: httpx.Request, path: str) -> httpx.Response:
        self.world.done.append(f"{request.method} {path} {request.content.decode()} {request.url.params}".strip())
        if path.endswith("/state"):
            self.apps.pop(path.split("/")[-2], None)
            return httpx.Response(202, json={"state": "RUNNING"})
        return httpx.Response(200)

    def _executors(self) -> list[dict[str, Any]]:
        log = "http://w1:8042/node/containerlogs/{}/me/stderr?start=-4096"
        return [{"id": "driver"}] + [
            {"id": str(n), "executorLogs": {"stderr": log.format(name)},
             "attributes": {"CONTAINER_ID": name, "NM_HTTP_ADDRESS": "w1:8042"} if self.attributes else {}}
            for n, name in CONTAINERS.items()
        ]  # fmt: skip


def yarn_world(_monkeypatch: Any = None, folder: Path | None = None, **more: Any) -> World:
    """A cluster with two nodes that run."""
    world = World(
        keys={"type": "yarn", "hadoop_conf": str(folder or "/etc/hadoop"), "resource_managers": ["http://rm1:8088"],
              "data": "hdfs:/drills"},
        make=lambda keys: yarn.Target(yarn.Spec.model_validate(keys), httpx.MockTransport(fake.answer)),
        own=frozenset({Fault.KILL_EXECUTOR, Fault.KILL_CACHED, Fault.KILL_DRIVER}),
    )  # fmt: skip
    world.fake = fake = FakeYarn(world, **more)
    return world


# EMR.


class Aws:
    """Stubbed clients: each answer is given in its turn, and each request is held against the service's model."""

    def __init__(self) -> None:
        self._stubs: dict[str, Stubber] = {}
        for service in ("emr", "ec2", "s3"):
            client: Any = boto3.client(  # type: ignore[call-overload]
                service, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
            )
            self._stubs[service] = Stubber(client)
            self._stubs[service].activate()

    def __call__(self, service: str) -> Any:
        return self._stubs[service].client

    def answer(self, service: str, action: str, wanted: dict[str, Any] | None, answer: dict[str, Any]) -> None:
        """The next answer."""
        self._stubs[service].add_response(action, answer, wanted)

    def fail(self, service: str, action: str, code: str, message: str = "") -> None:
        """The next answer is an error."""
        self._stubs[service].add_client_error(action, code, message or f"{code} it is", http_status_code=400)

    def assert_all_asked(self) -> None:
        for stub in self._stubs.values():
            stub.assert_no_pending_responses()


CLUSTER = "j-2AXXXXXXGAPLF"
HOSTS = {"i-0core1": ("ip-10-0-0-1.ec2.internal", "CORE"), "i-0task1": ("ip-10-0-0-2.ec2.internal", "TASK"),
         "i-0task2": ("ip-10-0-0-3.ec2.internal", "TASK")}  # fmt: skip


def describe(aws: Aws, state: str = "WAITING", **more: Any) -> None:
    """The next look at the cluster."""
    found = {
        "Id": CLUSTER, "Name": "nightly", "Status": {"State": state}, "InstanceCollectionType": "INSTANCE_GROUP",
        "ReleaseLabel": "emr-7.9.0", "Applications": [{"Name": "Spark", "Version": "3.5.5"}],
        "ClusterArn": f"arn:aws:elasticmapreduce:eu-west-1:123456789012:cluster/{CLUSTER}", **more,
    }  # fmt: skip
    aws.answer("emr", "describe_cluster", {"ClusterId": CLUSTER}, {"Cluster": found})


def machines(aws: Aws, gone: Iterable[str] = ()) -> None:
    """The next look at its machines."""
    for kind in ("CORE", "TASK"):
        wanted = {"ClusterId": CLUSTER, "InstanceStates": ["RUNNING"], "InstanceGroupTypes": [kind]}
        found = [
            {"Id": f"ci-{i}", "Ec2InstanceId": i, "PrivateDnsName": host, "InstanceType": "m5.xlarge"}
            for i, (host, of) in HOSTS.items()
            if of == kind and i not in set(gone)
        ]
        aws.answer("emr", "list_instances", wanted, {"Instances": found})


def steps(aws: Aws, *found: tuple[str, str, str]) -> None:
    """The next look at its steps: id, name, state."""
    told = [{"Id": i, "Name": name, "Status": {"State": state}} for i, name, state in found]
    aws.answer("emr", "list_steps", {"ClusterId": CLUSTER, "StepStates": ANY}, {"Steps": told})


def objects(aws: Aws, *keys: str) -> None:
    """The next listing of the bucket."""
    aws.answer("s3", "list_objects_v2", {"Bucket": "bucket", "Prefix": ANY}, {"Contents": [{"Key": k} for k in keys]})


def emr_world(_monkeypatch: Any = None, aws: Aws | None = None) -> World:
    """A cluster with one CORE and two TASK machines."""
    clients = aws or Aws()
    return World(
        fake=clients,
        keys={"type": "emr", "cluster": CLUSTER, "region": "eu-west-1", "data": "s3://bucket/drills"},
        make=lambda keys: emr.Target(emr.Spec.model_validate(keys), clients, every=0),
        own=frozenset({Fault.KILL_WORKER}),
    )


# Databricks.


@dataclass
class FakeDatabricks:
    """Answers in the form of the REST API reference."""

    world: World
    files: dict[str, bytes] = field(default_factory=dict)
    """Of volumes."""
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        self.requests.append(request)
        if self.world.is_silent:
            raise httpx.ConnectError("refused", request=request)
        path = request.url.path
        if path.startswith("/api/2.0/fs/"):
            return self._fs(request, path.removeprefix("/api/2.0/fs/"))
        return {
            "/api/2.0/preview/scim/v2/Me": lambda _: _json({"userName": "drill@shop.example"}),
            "/api/2.1/clusters/list-node-types": lambda _: _json(
                {"node_types": [{"node_type_id": "i3.xlarge", "memory_mb": 31232, "num_cores": 4.0}]}
            ),
            "/api/2.1/clusters/spark-versions": lambda _: _json({"versions": [{"key": "16.4.x-scala2.12"}]}),
            "/api/2.1/clusters/get": lambda _: _json(
                {"executors": [{"private_ip": "10.1.0.4"}, {"private_ip": "10.1.0.5"}]}
            ),
            "/api/2.1/clusters/events": lambda r: _json({"events": [
                {"type": "NODES_LOST", "timestamp": json.loads(r.content)["start_time"] + 42_000}]}),
            "/api/2.2/jobs/runs/list": lambda _: _json({"runs": [r for r in self.runs.values() if r["active"]]}),
            "/api/2.2/jobs/runs/get": lambda r: _json(self.runs[int(r.url.params["run_id"])]),
            "/api/2.2/jobs/runs/submit": self._submit,
            "/api/2.2/jobs/runs/cancel": self._cancel,
        }[path](request)  # fmt: skip

    def _submit(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        number = 100 + len(self.runs)
        self.runs[number] = {"run_id": number, "run_name": body["run_name"], "active": True, "body": body,
                             "state": {"life_cycle_state": "PENDING"}, "tasks": []}  # fmt: skip
        self.world.done.append(f"submit {body['run_name']}")
        return _json({"run_id": number})

    def _cancel(self, request: httpx.Request) -> httpx.Response:
        number = json.loads(request.content)["run_id"]
        self.runs[number]["active"] = False
        self.world.done.append(f"cancel {number}")
        return _json({})

    def _fs(self, request: httpx.Request, rest: str) -> httpx.Response:
        kind, _, name = rest.partition("/")
        name = f"/{name}"
        if kind == "files" and request.method == "GET":
            found = self.files.get(name)
            return (
                httpx.Response(404, json={"error_code": "NOT_FOUND"})
                if found is None
                else httpx.Response(200, content=found)
            )
        if request.method == "PUT":
            if kind == "files":
                self.files[name] = request.content
            return httpx.Response(204)
        if request.method == "DELETE":
            self.world.done.append(f"delete {kind} {name}")
            self.files.pop(name, None)
            return httpx.Response(204)
        below = {
            path.removeprefix(f"{name}/").partition("/")[::2] for path in self.files if path.startswith(f"{name}/")
        }
        if not below:
            return httpx.Response(404, json={"error_code": "NOT_FOUND"})
        entries = {first: bool(more) for first, more in sorted(below)}
        return _json(
            {
                "contents": [
                    {"path": f"{name}/{first}", "is_directory": is_folder} for first, is_folder in entries.items()
                ]
            }
        )


def _json(body: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json=body)


def databricks_world(_monkeypatch: Any = None, **more: Any) -> World:
    """A workspace."""
    token = {"DATABRICKS_TOKEN": "dapi-hunter2hunter2"}
    world = World(
        keys={"type": "databricks", "host": "https://dbc.test", "data": "/Volumes/main/ops/drills",
              "cluster": {"spark_version": "16.4.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 2}},
        make=lambda keys: databricks.Target(
            databricks.Spec.model_validate(keys), httpx.MockTransport(fake.answer), 0, token
        ),
        own=frozenset(),
    )  # fmt: skip
    world.fake = fake = FakeDatabricks(world, **more)
    return world


WORLDS: dict[str, Callable[..., World]] = {
    "standalone": standalone_world,
    "kubernetes": kubernetes_world,
    "yarn": yarn_world,
    "emr": emr_world,
    "databricks": databricks_world,
}
