"""A standalone cluster of somebody's: who it is, what is taken of it, and whom of its processes we may hit."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from stressable_worlds import (
    APP,
    TWO,
    WORKER,
    Masters,
    executor_process,
    had_a_driver,
    master_page,
    moment_of,
    standalone_world,
    work_of,
)

from muster.errors import Refusal, StepError
from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.process import AT_ONCE, Processes
from tasks.spark import clientmode, local_processes, session
from tasks.spark.local_processes import Seen, is_here, look_around, may_signal, signal_executors, thaw
from tasks.targets import standalone

PAIR = {"master": "spark://a:7077,b:7077", "masters_ui": ["http://a:8080/", "http://b:8080"]}
STANDBY = master_page("spark://b:7077", "STANDBY")


@pytest.fixture(autouse=True)
def the_drivers_version(monkeypatch):
    monkeypatch.setattr(standalone, "spark_version", lambda: "4.3.0")


def test_it_proves_itself_by_url_status_and_version(monkeypatch):
    identity = standalone_world(monkeypatch).target().identify()
    assert "spark://a:7077" in identity.description
    assert "ALIVE" in identity.proof
    assert "4.3.0" in identity.proof


@pytest.mark.parametrize("status", ["STANDBY", "RECOVERING", "COMPLETING_RECOVERY"])
def test_of_several_masters_the_one_alive_is_asked(monkeypatch, status):
    pages = {"http://a:8080": master_page("spark://a:7077", status), "http://b:8080": master_page("spark://b:7077")}
    target = standalone_world(monkeypatch, Masters(pages)).target(**PAIR)
    assert "spark://b:7077" in target.identify().description
    seen = target.look("survey")
    assert (seen.manager, len(seen.alive), seen.problems) == ("http://b:8080", 2, ())


def test_masters_may_each_be_written_in_full():
    spec = standalone.Spec.model_validate({**PAIR, "master": "spark://a:7077, spark://b:7077"})
    assert spec.master == "spark://a:7077,b:7077"
    assert spec.urls == {"spark://a:7077", "spark://b:7077"}
    assert spec.masters_ui == ("http://a:8080", "http://b:8080")


@pytest.mark.parametrize(
    ("pages", "version", "words"),
    [
        ({"http://a:8080": master_page("spark://a:7077", "RECOVERING")}, "4.3.0", "no master is alive.*RECOVERING"),
        ({}, "4.3.0", "no master is alive.*does not answer"),
        ({"http://a:8080": master_page("spark://c:7077")}, "4.3.0", "the page of spark://c:7077, not of"),
        ({"http://a:8080": master_page(), "http://b:8080": master_page("spark://b:7077")}, "4.3.0", "both alive"),
        ({"http://a:8080": master_page(), "http://b:8080": STANDBY}, "3.5.1", "the cluster has Spark 3.5.1"),
        ({"http://a:8080": {"url": "spark://a:7077"}}, "4.3.0", "does not answer: 'status'"),
    ],
    ids=["recovering", "silent", "another", "two", "version", "no master"],
)
def test_it_refuses_what_it_is_not(monkeypatch, pages, version, words):
    with pytest.raises(Refusal, match=words) as caught:
        standalone_world(monkeypatch, Masters(pages, version)).target(**PAIR).identify()
    assert caught.value.advice


def test_a_page_that_tells_no_version_is_no_reason_against_it(monkeypatch):
    assert "not told" in standalone_world(monkeypatch, Masters(version="")).target().identify().proof


def test_it_shows_who_else_is_there(monkeypatch):
    pages = {"http://a:8080": master_page(apps=[("app-1", "nightly")])}
    seen = standalone_world(monkeypatch, Masters(pages)).target().look("ready")
    assert seen.applications == ("nightly",)
    assert sum(worker.cores_free for worker in seen.alive) == 4


def test_when_no_master_answers_each_is_told(monkeypatch):
    seen = standalone_world(monkeypatch, Masters({"http://b:8080": STANDBY})).target(**PAIR).look("ready")
    assert len(seen.problems) == 2
    assert "STANDBY" in seen.problems[1]


@pytest.mark.parametrize(
    ("here", "offered"),
    [
        ([WORKER, WORKER], True),
        ([WORKER], False),
        ([WORKER, Seen(2, 12345, WORKER.words)], os.geteuid() == 0),
        ([Seen(3, 0, ("grep", "org.apache.spark.deploy.worker.Worker.log")), WORKER], False),
    ],
    ids=["all ours", "one elsewhere", "another's", "a word alone"],
)
def test_executors_are_within_reach_where_every_worker_is_ours(monkeypatch, here, offered):
    faults = standalone_world(monkeypatch, here=here).target().faults()
    assert (faults >= local_processes.FAULTS) is offered


def test_a_worker_elsewhere_is_out_of_reach():
    assert is_here("127.0.0.7")
    assert not is_here("192.0.2.1")
    assert not is_here("no-such-host.invalid")
    assert may_signal(["127.0.0.2"], lambda: [WORKER])
    assert not may_signal(["127.0.0.2", "192.0.2.1"], lambda: [WORKER, WORKER])
    assert not may_signal([], lambda: [WORKER])


def test_it_takes_no_more_than_the_plan_was_found_to_need(monkeypatch, tmp_path):
    launched = opened(monkeypatch, tmp_path, {}, {})
    assert launched.settings["spark.cores.max"] == "2"
    assert launched.master == "spark://a:7077"


def test_the_plan_comes_before_the_target_and_that_before_our_defaults(monkeypatch, tmp_path):
    keys = {"spark.cores.max": 8, "spark.speculation": True, "spark.driver.host": "me"}
    launched = opened(monkeypatch, tmp_path, keys, {"spark.speculation": "false"})
    assert launched.settings == {"spark.cores.max": "8", "spark.speculation": "false", "spark.driver.host": "me"}
    assert launched.application.startswith("muster-")
    assert launched.environment["JAVA_HOME"]


def opened(monkeypatch, tmp_path, keys, settings) -> session.Launch:
    monkeypatch.setattr(clientmode.DriverSession, "open", lambda self: self)
    monkeypatch.setattr(clientmode, "find_java", lambda: None)
    monkeypatch.setattr(clientmode, "prepare_home", lambda java, folder: folder)
    work = work_of(tmp_path)
    target = standalone_world(monkeypatch).target(settings=keys)
    return target.open_session(work, "plain-0", settings, target.data(work)).launch


def test_an_application_that_goes_away_is_waited_for(monkeypatch, tmp_path):
    work = work_of(tmp_path)
    had_a_driver(work)
    masters = Masters({"http://a:8080": master_page(apps=[(APP, work.application), ("app-9", "nightly")])})
    world = standalone_world(monkeypatch, masters)
    asked = []
    real = masters.answer

    def answer(request):
        asked.append(request)
        if len(asked) > 4:
            masters.pages["http://a:8080"] = master_page(apps=[("app-9", "nightly")])
        return real(request)

    monkeypatch.setattr(masters, "answer", answer)
    world.target().end_sessions(work)
    assert len(asked) > 4


def test_one_that_stays_is_told_with_the_way_to_end_it(monkeypatch, tmp_path):
    monkeypatch.setattr(standalone, "_GONE_SECONDS", 0.0)
    work = work_of(tmp_path)
    had_a_driver(work)
    masters = Masters({"http://a:8080": master_page(apps=[("app-7", work.application)])})
    with pytest.raises(StepError, match="app-7") as caught:
        standalone_world(monkeypatch, masters).target().release(work)
    assert "curl -X POST -d 'id=app-7&terminate=true' http://a:8080/app/kill/" in caught.value.advice
    assert work.workspace.scratch.exists()


def test_nobody_says_that_it_is_gone_so_something_is_left(monkeypatch, tmp_path):
    world, work = standalone_world(monkeypatch), work_of(tmp_path)
    had_a_driver(work)
    world.is_silent = True
    world.target().end_sessions(work)  # the master may be what the drill took away
    for _ in range(2):
        with pytest.raises(StepError, match="nobody says whether"):
            world.target().release(work)
    world.is_silent = False
    world.target().release(work)
    assert not work.workspace.scratch.exists()


# Processes of executors, real ones: Python with an executor's words behind it.


@pytest.fixture
def executors(tmp_path):
    made = Processes(tmp_path / "fakes", tmp_path / "logs")
    sleep = [
        sys.executable,
        "-c",
        "import time; time.sleep(600)",
        "org.apache.spark.executor.CoarseGrainedExecutorBackend",
    ]

    def start(name: str, executor: str, application: str = APP):
        return made.start(name, [*sleep, "--executor-id", executor, "--app-id", application], log=f"{name}.log")

    start("one", "1")
    start("two", "2")
    start("three", "3")
    start("another's", "1", "app-of-another")
    yield made
    made.stop_all(signals=AT_ONCE)


def test_just_the_victims_are_killed(monkeypatch, tmp_path, executors):
    work = work_of(tmp_path, Fault.KILL_EXECUTOR)
    target = standalone_world(monkeypatch, here=[]).target()
    target._look = look_around
    done = target.strike(moment_of(work), TWO, work)
    assert [words.split(" to ")[0] for words in done] == ["executor 1: SIGKILL", "executor 3: SIGKILL"]
    wait_until(lambda: set(executors.alive()) == {"two", "another's"})


def test_what_is_frozen_goes_on_and_nothing_else_is_touched(monkeypatch, tmp_path, executors):
    work = work_of(tmp_path, Fault.FREEZE_EXECUTOR)
    had_a_driver(work)
    target = standalone_world(monkeypatch).target()
    target._look = look_around
    another = executors.identity("another's")
    another.signal(signal.SIGSTOP)
    target.strike(moment_of(work), TWO[:1], work)
    wait_until(lambda: status(executors, "one") == psutil.STATUS_STOPPED)
    assert status(executors, "two") != psutil.STATUS_STOPPED
    (healed,) = target.heal(work)
    assert "executor 1: SIGCONT" in healed
    wait_until(lambda: status(executors, "one") != psutil.STATUS_STOPPED)
    assert target.heal(work) == ()
    assert status(executors, "another's") == psutil.STATUS_STOPPED


def status(executors: Processes, name: str) -> str:
    return psutil.Process(executors.identity(name).pid).status()


def wait_until(is_so) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_where_two_could_be_meant_neither_is_hit(tmp_path, executors):
    executors.start("again", executor_words("1"), log="again.log")
    with pytest.raises(StepError, match="2 processes say that they are executor 1"):
        signal_executors(moment_of(work_of(tmp_path)), TWO[:1], signal.SIGKILL)
    assert {"one", "again"} <= set(executors.alive())


def executor_words(executor: str) -> list[str | Path]:
    return [sys.executable, "-c", "import time; time.sleep(600)", "a.CoarseGrainedExecutorBackend", "--executor-id",
            executor, "--app-id", APP]  # fmt: skip


@pytest.mark.parametrize(
    ("here", "words"),
    [
        ([executor_process(1, "2")], "is not on this machine"),
        ([executor_process(1, "1", "app-of-another")], "is not on this machine"),
        (
            [Seen(1, 0, ("bash", "-c", f"java CoarseGrainedExecutorBackend --executor-id 1 --app-id {APP}"))],
            "is not on",
        ),
    ],
    ids=["another executor", "another application", "whoever started it"],
)
def test_a_victim_that_is_not_found_is_told_and_nothing_is_hit(tmp_path, here, words):
    victims = (Victim(name="executor 1", executors=("1",)),)
    with pytest.raises(StepError, match=words) as caught:
        signal_executors(moment_of(work_of(tmp_path)), victims, signal.SIGKILL, lambda: here)
    assert "target.hooks" in caught.value.advice


def test_nothing_is_thawed_for_a_run_that_had_no_application():
    assert thaw((), lambda: [executor_process(1, "1")]) == ()
