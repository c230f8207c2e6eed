"""Executors as containers, against answers in the form of Hadoop's documentation. No cluster was asked."""

import httpx
import pytest
from stressable_worlds import APP, CONTAINERS, TWO, had_a_driver, moment_of, work_of, yarn_world

from muster.errors import Refusal, StepError
from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.spark import clientmode
from tasks.spark.post import Up
from tasks.spark.yarn_api import Container, Yarn
from tasks.targets import yarn

TWO_MANAGERS = {"resource_managers": ["http://rm1:8088/", "http://rm2:8088"]}


@pytest.fixture
def hadoop(tmp_path):
    folder = tmp_path / "hadoop"
    folder.mkdir()
    (folder / "yarn-site.xml").write_text("<configuration/>")
    return folder


def test_the_active_manager_proves_it(hadoop):
    identity = yarn_world(folder=hadoop, states={"rm1": "STANDBY", "rm2": "ACTIVE"}).target(**TWO_MANAGERS).identify()
    assert identity.description == "YARN 3.4.1 at http://rm2:8088"
    assert "1700000000000" in identity.proof


@pytest.mark.parametrize(
    ("states", "words"),
    [({"rm1": "STANDBY"}, "http://rm1:8088 is STANDBY; http://rm2:8088:.*no answer"), ({}, "no ResourceManager")],
)
def test_without_an_active_one_it_is_refused(hadoop, states, words):
    with pytest.raises(Refusal, match=words):
        yarn_world(folder=hadoop, states=states).target(**TWO_MANAGERS).identify()


def test_without_settings_of_hadoop_no_driver_would_find_it(tmp_path):
    with pytest.raises(Refusal, match=r"has no yarn-site\.xml"):
        yarn_world(folder=tmp_path).target().identify()


def test_it_shows_nodes_and_applications():
    seen = yarn_world(apps={"application_1_1": "etl"}).target().look("survey")
    assert [(w.name, w.state, w.cores, w.cores_free, w.memory_free) for w in seen.workers] == [
        ("w1:8041", "ALIVE", 8, 7, 7168),
        ("w2:8041", "ALIVE", 8, 7, 7168),
        ("w3:8041", "LOST", 8, 7, 7168),
    ]
    assert [w.host for w in seen.alive] == ["w1", "w2"]
    assert (seen.applications, seen.problems) == (("etl",), ())


@pytest.mark.parametrize("told", [{"clusterInfo": {}}, [], {"other": 1}], ids=["empty", "list", "other"])
def test_what_is_no_yarn_is_a_problem(told):
    target = yarn.Target(
        yarn.Spec.model_validate(yarn_world().keys), httpx.MockTransport(lambda _: httpx.Response(200, json=told))
    )
    (problem,) = target.look("ready").problems
    assert "this is no YARN" in problem


@pytest.mark.parametrize("attributes", [True, False], ids=["by attributes", "by the log's address"])
def test_just_the_victims_containers_are_signalled(tmp_path, attributes):
    work = work_of(tmp_path, Fault.KILL_EXECUTOR)
    world = yarn_world(attributes=attributes)
    done = world.target(user="drill").strike(moment_of(work), TWO, work)
    wanted = "POST /ws/v1/cluster/containers/{}/signal/FORCEFUL_SHUTDOWN  user.name=drill"
    assert world.done == [wanted.format(CONTAINERS[1]), wanted.format(CONTAINERS[3])]
    assert done[0] == f"executor 1: FORCEFUL_SHUTDOWN to {CONTAINERS[1]}"


def test_a_victim_without_a_container_is_told_before_any_is_hit(tmp_path):
    work, world = work_of(tmp_path, Fault.KILL_EXECUTOR), yarn_world()
    victims = (*TWO, Victim(name="executor 9", executors=("9",)))
    with pytest.raises(StepError, match=r"container of executor 9.*none was hit"):
        world.target().strike(moment_of(work), victims, work)
    assert world.done == []


@pytest.mark.parametrize("name", ["container_1700000000000_0008_01_000002", "container_1_0007_01_000002", "x"])
def test_a_container_of_another_application_is_not_signalled(name):
    world = yarn_world()
    api = Yarn(["http://rm1:8088"], "", httpx.MockTransport(world.fake.answer))
    with pytest.raises(StepError, match="it was not hit"):
        api.shut_down(Container(name, ""), APP)
    assert world.done == []


def test_a_container_is_waited_for_as_long_as_its_node_says_that_it_runs():
    states = ["RUNNING", "RUNNING", "EXITED_WITH_FAILURE", "RUNNING"]

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/ws/v1/node/containers/c"
        return httpx.Response(200, json={"container": {"id": "c", "state": states.pop(0)}})

    Yarn([], "", httpx.MockTransport(answer)).wait_for_end(Container("c", "http://w1:8042"), 30)
    assert states == ["RUNNING"]


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "target.user"), (403, "application's owner"), (404, "Hadoop 3.3"), (500, "log")]
)
def test_what_yarn_denies_is_told_with_what_would_allow_it(tmp_path, status, advice):
    world = yarn_world()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status) if request.method == "POST" else world.fake.answer(request)

    target = yarn.Target(yarn.Spec.model_validate(world.keys), httpx.MockTransport(answer))
    work = work_of(tmp_path, Fault.KILL_EXECUTOR)
    with pytest.raises(StepError, match=str(status)) as caught:
        target.strike(moment_of(work), TWO, work)
    assert advice in caught.value.advice


def test_our_application_is_killed_until_it_is_gone_and_no_other(tmp_path):
    work = work_of(tmp_path)
    had_a_driver(work)
    world = yarn_world(
        apps={APP: work.application, "application_1_1": "etl", "application_1_2": f"{work.application}x"}
    )
    for _ in range(2):
        world.target(user="drill").release(work)
    assert world.done == [f'PUT /ws/v1/cluster/apps/{APP}/state {{"state":"KILLED"}} user.name=drill']
    assert set(world.fake.apps) == {"application_1_1", "application_1_2"}


def test_one_that_does_not_end_is_told_with_the_way_to_end_it(tmp_path, monkeypatch):
    monkeypatch.setattr(yarn, "_GONE_SECONDS", 0.0)
    work = work_of(tmp_path)
    had_a_driver(work)
    world = yarn_world(apps={APP: work.application})
    monkeypatch.setattr(world.fake, "_do", lambda request, path: httpx.Response(202, json={}))
    with pytest.raises(StepError, match="does not end") as caught:
        world.target().end_sessions(work)
    assert f"yarn application -kill {APP}" in caught.value.advice


def test_the_driver_is_seen_by_the_proxy_even_while_nobody_is_active():
    world = yarn_world(states={"rm1": "ACTIVE"})
    up = Up(application=APP, ui="http://driver:4040", spark="4.3.0", java="21", cores=2)
    target = world.target()
    assert target.seen_at(up) == f"http://rm1:8088/proxy/{APP}"
    world.is_silent = True
    assert target.seen_at(up) == f"http://rm1:8088/proxy/{APP}"
    assert world.target().seen_at(up) == f"http://rm1:8088/proxy/{APP}"


@pytest.mark.parametrize(
    ("application", "apps", "is_ours"),
    [(APP, {}, True), ("application_5_0001", {"application_5_0001": "us"}, True), ("application_5_0001", {}, False)],
    ids=["of its time", "known after a failover", "of another cluster"],
)
def test_the_driver_must_have_found_the_cluster_that_was_surveyed(tmp_path, monkeypatch, application, apps, is_ours):
    class Opened:
        applications = (application,)

    monkeypatch.setattr(clientmode.DriverSession, "open", lambda self: Opened())
    monkeypatch.setattr(clientmode, "find_java", lambda: None)
    monkeypatch.setattr(clientmode, "prepare_home", lambda java, folder: folder)
    target, work = yarn_world(apps=apps).target(), work_of(tmp_path)
    if is_ours:
        assert target.open_session(work, "plain-0", {}, "hdfs:/x").applications == (application,)
    else:
        with pytest.raises(StepError, match=r"is none of http://rm1:8088"):
            target.open_session(work, "plain-0", {}, "hdfs:/x")


def test_what_spark_uploads_goes_into_the_runs_folder_which_is_removed(tmp_path):
    """`.sparkStaging` of a driver that was killed would stay in its user's home for ever."""
    work = work_of(tmp_path)
    target = yarn_world().target()
    assert target.defaults(work)["spark.yarn.stagingDir"] == target.data(work)


def test_a_driver_is_told_where_the_cluster_is_and_who_asks(hadoop):
    told = yarn_world(folder=hadoop).target(user="drill").more_environment()
    assert told == {"HADOOP_CONF_DIR": str(hadoop), "YARN_CONF_DIR": str(hadoop), "HADOOP_USER_NAME": "drill"}
