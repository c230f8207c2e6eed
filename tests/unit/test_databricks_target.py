"""The Databricks target, against answers in the form of its REST API reference. Nothing was sent to Databricks."""

import base64
import gzip
import json
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from stressable_worlds import World, databricks_world, moment_of, work_of

from muster.errors import Refusal, StepError
from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.spark.databricks_api import Databricks, Missing
from tasks.spark.databricks_files import Dbfs
from tasks.spark.databricks_laps import fetch_logs, logs_of
from tasks.spark.post import Told, told_name
from tasks.spark.remote import LapSession
from tasks.targets import databricks

TOKEN = "dapi-hunter2hunter2"
ROOT = "/Volumes/main/ops/drills"
VICTIMS = (Victim(name="worker at 10.1.0.4", host="10.1.0.4", executors=("0",)),)
HOOK = {"kill-worker": {"strike": ["true"], "heal": ["true"]}}


@pytest.fixture
def world() -> World:
    return databricks_world()


@pytest.fixture
def work(tmp_path):
    return work_of(tmp_path, Fault.KILL_WORKER)


def opened(world: World, work, **more: Any) -> LapSession:
    found = world.target(**more)
    session = found.open_session(work, "plain-0", {"spark.speculation": "true"}, found.data(work))
    assert isinstance(session, LapSession)
    session.every = session.every_file = 0
    return session


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"data": "dbfs:/Volumes/a/b/c/d"}, "is neither"),
        ({"data": "s3://bucket/x"}, "is neither"),
        ({"data": "/Volumes/a/b"}, "is neither"),
        ({"host": "dbc.test"}, "is no address"),
        ({"host": "https://me:hunter2@dbc.test"}, "is no address"),
        ({"token_from": "dapi123"}, "token_from"),
        ({"token_from": "DATABRICKS_SECRET_THING"}, "token_from"),
        ({"token": TOKEN}, "Extra inputs"),
        ({"cluster": {"spark_version": "x", "node_type_id": "y", "num_workers": 2, "spark_conf": {}}}, "Extra inputs"),
    ],
)
def test_keys_that_cannot_be_are_told(world, keys, words):
    with pytest.raises(ValidationError, match=words):
        world.target(**keys)


def test_it_proves_itself_by_whose_the_token_is(world):
    identity = world.target(user="drill@shop.example").identify()
    assert "https://dbc.test" in identity.description
    assert "drill@shop.example" in identity.proof
    with pytest.raises(Refusal, match=r"the token is drill@shop\.example's, not another's"):
        world.target(user="another").identify()


def test_without_a_token_it_is_refused_by_its_name(world):
    spec = databricks.Spec.model_validate({**world.keys, "token_from": "SHOP_TOKEN"})
    with pytest.raises(Refusal, match="SHOP_TOKEN is not set"):
        databricks.Target(spec, httpx.MockTransport(world.fake.answer), 0, {}).identify()
    assert world.fake.requests == []


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "make a new one"), (403, "the right to it"), (429, "fewer requests"), (500, "status page")],
)
def test_what_databricks_denies_is_told_and_never_the_token(world, status, advice):
    answer = httpx.Response(status, json={"error_code": "NO", "message": "no"})
    spec = databricks.Spec.model_validate(world.keys)
    target = databricks.Target(spec, httpx.MockTransport(lambda _: answer), 0, {"DATABRICKS_TOKEN": TOKEN})
    with pytest.raises(Refusal, match=f"{status} NO no") as caught:
        target.identify()
    assert advice in caught.value.advice
    assert TOKEN not in str(caught.value) + repr(target) + repr(target._api) + repr(spec)


def test_the_token_goes_into_the_header_alone(world):
    world.target().identify()
    (request,) = world.fake.requests
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in str(request.url)


def test_what_is_no_workspace_is_told(world):
    spec = databricks.Spec.model_validate(world.keys)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>"))
    with pytest.raises(Refusal, match="is no JSON object"):
        databricks.Target(spec, transport, 0, {"DATABRICKS_TOKEN": TOKEN}).identify()


def test_without_a_lap_it_shows_what_a_laps_cluster_would_be(world, work):
    for seen in (world.target().look("survey"), world.target().look("settle", work)):
        assert [(w.name, w.host, w.cores_free, w.memory_free) for w in seen.alive] == [
            ("worker 1", "", 4, 31232),
            ("worker 2", "", 4, 31232),
        ]
        assert (seen.problems, seen.applications) == ((), ())


@pytest.mark.parametrize(
    ("change", "words"), [({"node_type_id": "x9"}, "no node type x9"), ({"spark_version": "1.x"}, "no runtime 1.x")]
)
def test_a_cluster_that_cannot_be_is_a_problem(world, change, words):
    seen = world.target(cluster={**world.keys["cluster"], **change}).look("ready")
    assert any(words in problem for problem in seen.problems)


def test_while_a_lap_runs_it_shows_the_machines_that_it_has(world, work):
    world.fake.runs[5] = {"run_id": 5, "run_name": f"{work.application} g", "active": True, "state": {},
                          "tasks": [{"task_key": "lap", "cluster_instance": {"cluster_id": "c-5"}}]}  # fmt: skip
    seen = world.target().look("strike", work)
    assert [w.host for w in seen.alive] == ["10.1.0.4", "10.1.0.5"]
    assert seen.applications == (work.application,)


def test_a_lap_is_a_run_on_a_cluster_of_its_own(world, work):
    target = world.target()
    assert target.provide(work).master == "https://dbc.test"
    root = f"{ROOT}/{work.application}"
    assert set(world.fake.files) == {f"{root}/code/muster.zip", f"{root}/code/onelap.py"}
    session = opened(world, work, settings={"spark.executor.cores": 2})
    session.begin(2, "g", "lap 2", disturbed=True)
    assert json.loads(world.fake.files[f"{root}/laps/g/driver.json"])["data"] == f"{root}/data"
    assert json.loads(world.fake.files[f"{root}/laps/g/lap-000.ask.json"])["lap"] == 2
    body = world.fake.runs[100]["body"]
    assert body["run_name"] == f"{work.application} g"
    assert len(body["idempotency_token"]) == 64
    assert body["timeout_seconds"] == 600 + 1800
    (task,) = body["tasks"]
    assert task["spark_python_task"] == {
        "python_file": f"{root}/code/onelap.py",
        "parameters": [f"{root}/laps/g", f"{root}/code/muster.zip"],
    }
    assert task["new_cluster"] == {
        **world.keys["cluster"],
        "data_security_mode": "SINGLE_USER",
        "spark_conf": {"spark.executor.cores": "2", "spark.speculation": "true"},
        "cluster_log_conf": {"volumes": {"destination": f"{root}/events"}},
    }
    assert task["libraries"][0]["pypi"]["package"].startswith("pydantic>=2")
    assert TOKEN not in json.dumps(body)


def test_a_pool_says_what_its_machines_are(world, work):
    session = opened(world, work, cluster={**world.keys["cluster"], "instance_pool_id": "p-1"})
    session.begin(0, "g", "lap 0", disturbed=False)
    cluster = world.fake.runs[100]["body"]["tasks"][0]["new_cluster"]
    assert cluster["instance_pool_id"] == "p-1"
    assert "node_type_id" not in cluster


def test_on_dbfs_python_finds_our_modules_below_its_mount(world, work):
    session = opened(world, work, data="dbfs:/drills/")
    service = session.service
    service.submit("g", {})
    task = world.fake.runs[100]["body"]["tasks"][0]
    assert task["spark_python_task"]["parameters"][1] == f"/dbfs/drills/{work.application}/code/muster.zip"
    assert task["new_cluster"]["cluster_log_conf"] == {
        "dbfs": {"destination": f"dbfs:/drills/{work.application}/events"}
    }


@pytest.mark.parametrize(
    ("state", "has_ended"),
    [
        ({"life_cycle_state": "PENDING"}, False),
        ({"life_cycle_state": "TERMINATING", "result_state": "SUCCESS"}, False),
        ({"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}, True),
        ({"life_cycle_state": "INTERNAL_ERROR", "result_state": "FAILED", "state_message": "no machines"}, True),
        ({"life_cycle_state": "SKIPPED"}, True),
    ],
)
def test_a_run_has_ended_when_its_life_has(world, work, state, has_ended):
    session = opened(world, work)
    session.begin(0, "g", "lap 0", disturbed=False)
    world.fake.runs[100]["state"] = state
    job = session.service.job("100")
    assert job.has_ended is has_ended
    assert all(word in job.words for word in state.values())
    if has_ended:
        told = Told(number=0, state="succeeded", began_ms=1, ended_ms=2, seconds=0.001)
        world.fake.files[f"{ROOT}/{work.application}/laps/g/{told_name(0)}"] = told.model_dump_json().encode()
        assert session.ended() == told


def test_the_runs_of_this_drill_are_cancelled_and_no_other(world, work):
    for number, name in ((1, f"{work.application} g"), (2, f"{work.application}x g"), (3, "nightly")):
        world.fake.runs[number] = {"run_id": number, "run_name": name, "active": True, "state": {}}
    world.target().end_sessions(work)
    world.target().end_sessions(work)
    assert world.done == ["cancel 1"]


def test_one_that_does_not_end_is_told_with_the_way_to_end_it(world, work, monkeypatch):
    monkeypatch.setattr(databricks, "_CANCEL_SECONDS", 0.0)
    world.fake.runs[1] = {"run_id": 1, "run_name": f"{work.application} g", "active": True, "state": {}}
    with pytest.raises(StepError, match="run 1 does not end") as caught:
        world.target().end_sessions(work)
    assert "databricks jobs cancel-run 1" in caught.value.advice


def test_after_a_hook_struck_databricks_says_what_became_of_the_cluster(world, work):
    world.fake.runs[5] = {"run_id": 5, "run_name": f"{work.application} g", "active": True, "state": {},
                          "tasks": [{"cluster_instance": {"cluster_id": "c-5"}}]}  # fmt: skip
    world.target(hooks=HOOK).strike(moment_of(work), VICTIMS, work)
    healed = world.target(hooks=HOOK).heal(work)
    assert healed[-1] == "NODES_LOST, 42 s after the strike"
    assert world.target(hooks=HOOK).heal(work) == ()


def test_event_logs_are_waited_for_unpacked_and_put_together(world, work):
    root = f"{ROOT}/{work.application}"
    world.fake.files[f"{root}/laps/g/up.json"] = b"{}"
    pieces = {
        "eventlog": b"third\n",
        "eventlog-2026-11-25--22-00.gz": gzip.compress(b"first\n"),
        "eventlog-2026-11-25--23-00.gz": gzip.compress(b"second\n"),
        "stdout": b"no log",
    }
    asked = []
    real = world.fake._fs

    def later(request: httpx.Request, rest: str) -> httpx.Response:
        asked.append(rest)
        if len(asked) == 6:
            for name, content in pieces.items():
                world.fake.files[f"{root}/events/0101-abc/eventlog/0101-abc_10_1_0_3/42/{name}"] = content
        return real(request, rest)

    world.fake._fs = later
    (path,) = world.target().events(work)
    assert path.name == "0101-abc.jsonl"
    assert path.read_text() == "first\nsecond\nthird\n"


def test_logs_that_are_not_delivered_in_time_are_not_waited_for_for_ever(world, work):
    world.fake.files[f"{ROOT}/{work.application}/laps/g/up.json"] = b"{}"
    assert world.target(delivered_within="0s").events(work) == ()


def test_only_the_runs_own_folder_is_deleted(world, work):
    root = f"{ROOT}/{work.application}"
    for name in (f"{root}/data/x", f"{root}/code/muster.zip", f"{root}x/data/y"):
        world.fake.files[name] = b""
    world.target().drop_data(work)
    assert set(world.fake.files) == {f"{root}x/data/y"}
    assert world.done[-1] == f"delete directories {root}"


# DBFS, whose answers have another form.


class FakeDbfs:
    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/2.0/dbfs/")
        if path == "put":
            body = json.loads(request.content)
            self.files[body["path"]] = base64.b64decode(body["contents"])
            return httpx.Response(200, json={})
        if path == "delete":
            gone = json.loads(request.content)["path"]
            self.files = {name: content for name, content in self.files.items() if not name.startswith(f"{gone}/")}
            return httpx.Response(200, json={})
        where = request.url.params["path"]
        if path == "read" and where in self.files:
            start, length = int(request.url.params["offset"]), int(request.url.params["length"])
            piece = self.files[where][start : start + length]
            return httpx.Response(200, json={"bytes_read": len(piece), "data": base64.b64encode(piece).decode()})
        below = {name.removeprefix(f"{where}/").split("/")[0] for name in self.files if name.startswith(f"{where}/")}
        if path == "list" and below:
            told = [{"path": f"{where}/{n}", "is_dir": f"{where}/{n}" not in self.files} for n in sorted(below)]
            return httpx.Response(200, json={"files": told})
        return httpx.Response(400, json={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such file"})


@pytest.fixture
def dbfs() -> tuple[Dbfs, FakeDbfs]:
    fake = FakeDbfs({"/drills/run2/x": b""})
    api = Databricks("https://dbc.test", "T", httpx.MockTransport(fake.answer), {"T": "t"})
    return Dbfs(api, "dbfs:/drills/run"), fake


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1, 5 * 2**19])
def test_a_file_is_read_in_pieces(dbfs, size):
    files, fake = dbfs
    fake.files["/drills/run/log"] = bytes(n % 251 for n in range(size))
    assert files.read("log") == fake.files["/drills/run/log"]


def test_dbfs_writes_lists_and_deletes_below_its_own_folder(dbfs, tmp_path):
    files, fake = dbfs
    assert files.read("nothing") is None
    assert files.entries("events") == ()
    files.write("code/muster.zip", b"zip")
    files.write("events/c-1/eventlog/x/1/eventlog", b"log\n")
    assert files.read("code/muster.zip") == b"zip"
    assert logs_of(files) == {"c-1": ["events/c-1/eventlog/x/1/eventlog"]}
    assert [path.read_bytes() for path in fetch_logs(files, tmp_path)] == [b"log\n"]
    with pytest.raises(StepError, match="too large for DBFS"):
        files.write("x", bytes(2**20 + 1))
    for _ in range(2):
        files.drop()
        assert set(fake.files) == {"/drills/run2/x"}


def test_what_is_not_there_is_missing(dbfs):
    files, _ = dbfs
    with pytest.raises(Missing, match="RESOURCE_DOES_NOT_EXIST no such file"):
        files._api.json("GET", "/api/2.0/dbfs/read", params={"path": "/x", "offset": "0", "length": "1"})
