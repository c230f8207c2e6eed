"""What every target of a stress drill promises, one suite for all: the clusters are on paper, the targets are real."""

import re
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from stressable_worlds import (
    TWO,
    WORLDS,
    World,
    describe,
    emr_world,
    had_a_driver,
    machines,
    moment_of,
    objects,
    steps,
    work_of,
)

from flows.registry import open_target
from muster.errors import MusterError, Refusal, StepError, UsageError
from muster.plan import Plan
from muster.settings import Settings
from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.spark.clientmode import ClientMode
from tasks.targets.stressable import Stressable

NAMES = sorted(WORLDS)
TOLD = "FAULT MASTER APPLICATION EXECUTORS HOSTS"
SAY = f"import os; print(*(os.environ['MUSTER_' + k] for k in '{TOLD}'.split()), sep='|')"


@pytest.fixture(params=NAMES)
def world(request, monkeypatch) -> World:
    return WORLDS[request.param](monkeypatch)


@pytest.fixture
def work(tmp_path):
    return work_of(tmp_path, Fault.FREEZE_WORKER)


def hooks(fault: Fault, folder: Path, *, heal: bool = True) -> dict[Fault, Any]:
    """Both note that they were called, and with what."""
    note = "; open(os.environ['NOTES'], 'a').write(os.environ['MUSTER_EXECUTORS'] + '\\n')"
    command = [sys.executable, "-c", SAY + note]
    return {fault: {"strike": command, "heal": command}} if heal else {fault: {"strike": command}}


@pytest.fixture
def notes(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "notes"
    monkeypatch.setenv("NOTES", str(path))
    return path


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"tpyo": 1}, "target.tpyo"),
        ({"hooks": {"kill-everything": {"strike": ["x"]}}}, "kill-everything"),
        ({"hooks": {"kill-executor": {"strike": ["x"], "hael": ["y"]}}}, "Extra inputs"),
        ({"hooks": {"kill-executor": {"heal": ["x"]}}}, "Field required"),
        ({"hooks": {"kill-executor": {"strike": "ssh host kill"}}}, "no shell splits it"),
        ({"hooks": {"kill-worker": {"strike": ["x"]}}}, "needs 'heal' too"),
        ({"hooks": {"freeze-executor": {"strike": ["x"]}}}, "needs 'heal' too"),
        ({"hooks": {"kill-driver": {"strike": ["x"]}}}, "takes no hook"),
        ({"settings": {"spark.hadoop.fs.s3a.secret.key": "hunter2"}}, "would put a secret on record"),
        ({"settings": {"executor.memory": "1g"}}, "no setting of Spark"),
        ({"type": "nowhere"}, "no target of type"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_keys_are_strict(world, more, words):
    with pytest.raises(UsageError, match=words) as caught:
        open_target({**world.keys, **more}, Settings())
    assert "hunter2" not in str(caught.value)
    assert caught.value.advice


def test_settings_that_say_where_a_secret_is_are_no_secrets(world):
    keys = {
        "spark.hadoop.fs.s3a.aws.credentials.provider": "x",
        "spark.kubernetes.authenticate.oauthTokenFile": "/run/t",
    }
    assert open_target({**world.keys, "settings": {**keys, "spark.speculation": True}}, Settings())


def test_each_is_stressable_and_asks_nothing_when_it_is_opened(world):
    world.is_silent = True
    assert isinstance(world.target(), Stressable)
    assert world.done == []


def test_only_what_can_be_done_is_offered(world):
    assert world.target().faults() == world.own


def test_a_hook_is_offered(world, tmp_path):
    offered = world.target(hooks=hooks(Fault.FREEZE_WORKER, tmp_path)).faults()
    assert offered == world.own | {Fault.FREEZE_WORKER}


def test_what_is_not_offered_is_not_done(world, work):
    with pytest.raises(StepError, match="cannot be made to suffer freeze-worker") as caught:
        world.target().strike(moment_of(work), TWO, work)
    assert "target.hooks.freeze-worker" in caught.value.advice
    assert world.done == []


def test_a_hook_whose_program_is_not_there_is_refused(world):
    with pytest.raises(Refusal, match=r"freeze-worker.heal \(no-such-program\)"):
        world.target(hooks={"freeze-worker": {"strike": [sys.executable], "heal": ["no-such-program"]}}).identify()


def test_a_hook_hits_whom_it_is_told_and_is_ended_once(world, work, notes, tmp_path):
    target = world.target(hooks=hooks(Fault.FREEZE_WORKER, tmp_path))
    (done,) = target.strike(moment_of(work), TWO, work)
    said = done.rpartition(": ")[2]
    fault, master, application, executors, hosts = said.split("|")
    assert (fault, application, executors, hosts) == ("freeze-worker", moment_of(work).application, "1 3", "w1 w3")
    assert master
    again = world.target(hooks=hooks(Fault.FREEZE_WORKER, tmp_path))  # another process of Muster
    (healed,) = again.heal(work)
    assert "freeze-worker.heal" in healed
    assert again.heal(work) == ()
    assert notes.read_text() == "1 3\n1 3\n"


def test_a_hook_that_fails_to_strike_is_ended_all_the_same(world, work, notes, tmp_path):
    command = hooks(Fault.FREEZE_WORKER, tmp_path)[Fault.FREEZE_WORKER]["heal"]
    target = world.target(hooks={"freeze-worker": {"strike": ["false"], "heal": command}})
    with pytest.raises(StepError, match=r"hook 'freeze-worker.strike' failed on executor 1 and executor 3") as caught:
        target.strike(moment_of(work), TWO, work)
    assert "MUSTER_EXECUTORS='1 3'" in caught.value.advice
    assert len(target.heal(work)) == 1
    assert notes.read_text() == "1 3\n"


def test_a_hook_comes_before_the_targets_own_means(world, tmp_path, notes):
    if Fault.KILL_EXECUTOR not in world.own:
        world.own = world.own | {Fault.KILL_EXECUTOR}
    work = work_of(tmp_path, Fault.KILL_EXECUTOR)
    target = world.target(hooks=hooks(Fault.KILL_EXECUTOR, tmp_path, heal=False))
    assert target.faults() == world.own
    target.strike(moment_of(work), TWO[:1], work)
    assert notes.read_text() == "1\n"
    assert world.done == []
    assert target.heal(work) == ()


def test_one_that_does_not_answer_is_a_problem_and_no_drill(world):
    if world.keys["type"] == "emr":
        world.fake.fail("emr", "describe_cluster", "InternalServerException")
        world.fake.fail("emr", "describe_cluster", "InternalServerException")
    world.is_silent = True
    seen = world.target().look("ready")
    assert seen.problems
    assert seen.workers == ()
    with pytest.raises(MusterError) as caught:
        world.target().identify()
    assert isinstance(caught.value, Refusal)
    assert caught.value.advice


@pytest.mark.parametrize("name", ["standalone", "kubernetes", "yarn", "databricks"])
def test_where_nothing_is_there_ends_and_release_are_quiet_and_repeat(name, monkeypatch, tmp_path):
    world, work = WORLDS[name](monkeypatch), work_of(tmp_path)
    for _ in range(2):
        target = world.target()
        assert target.heal(work) == ()
        target.end_sessions(work)
        target.drop_data(work)
        target.release(work)
        assert target.events(work) == ()
        shutil.rmtree(work.workspace.scratch, ignore_errors=True)
    # A folder of a volume is deleted without asking first whether it is there.
    assert [done for done in world.done if not done.startswith("delete directories")] == []


def test_on_emr_too(tmp_path):
    world, work = emr_world(), work_of(tmp_path)
    for _ in range(2):
        steps(world.fake, ("s-1", "muster-of-another lap", "RUNNING"), ("s-2", f"{work.application}x lap", "RUNNING"))
        objects(world.fake)
        steps(world.fake)
        objects(world.fake)
        target = world.target()
        assert target.heal(work) == ()
        target.end_sessions(work)
        target.drop_data(work)
        target.release(work)
        assert target.events(work) == ()
        world.fake.assert_all_asked()
    describe(world.fake)
    machines(world.fake)
    with pytest.raises(StepError, match="no machine that may be terminated: none was"):
        target.strike(moment_of(work), (Victim(name="worker", host="elsewhere"),), work_of(tmp_path, Fault.KILL_WORKER))


@pytest.mark.parametrize("name", ["standalone", "kubernetes", "yarn"])
def test_the_driver_is_ours_to_kill_and_nobody_elses(name, monkeypatch, tmp_path):
    world, work = WORLDS[name](monkeypatch), work_of(tmp_path, Fault.KILL_DRIVER)
    target = world.target()
    assert isinstance(target, ClientMode)
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    work.processes.start("driver-plain-0", sleep, log="d.log")
    work.processes.start("another", sleep, log="a.log")
    try:
        assert target.strike(moment_of(work), (Victim(name="driver"),), work) == (
            "driver-plain-0: SIGKILL, with its JVM",
        )
        assert work.processes.alive() == ("another",)
        target.end_sessions(work)
        assert work.processes.alive() == ("another",)
        assert world.done == []
    finally:
        work.processes.stop_all()


@pytest.mark.parametrize("name", ["standalone", "kubernetes", "yarn"])
def test_data_is_a_folder_of_the_runs_own(name, monkeypatch, tmp_path):
    world, work = WORLDS[name](monkeypatch), work_of(tmp_path)
    own = {"standalone": f"{tmp_path.as_uri()}/run/scratch/data", "kubernetes": f"s3a://bucket/drills/{work.application}",
           "yarn": f"hdfs:/drills/{work.application}"}[name]  # fmt: skip
    assert world.target().data(work) == own
    assert world.target(data="s3a://other/x/").data(work) == f"s3a://other/x/{work.application}"
    plan = work_of(tmp_path, data="file:/mnt/shared")
    assert world.target(data="s3a://other/x").data(plan) == f"file:/mnt/shared/{work.application}"


def test_a_folder_on_this_machine_is_dropped_and_its_neighbour_stays(monkeypatch, tmp_path):
    shared = tmp_path / "shared"
    world, work = WORLDS["standalone"](monkeypatch), work_of(tmp_path, data=shared.as_uri())
    for name in (work.application, f"{work.application}-2"):
        (shared / name).mkdir(parents=True)
    had_a_driver(work)
    for _ in range(2):
        world.target().drop_data(work)
        assert [path.name for path in shared.iterdir()] == [f"{work.application}-2"]


@pytest.mark.parametrize("name", ["emr", "databricks"])
def test_where_to_write_is_said_once(name, monkeypatch, tmp_path):
    with pytest.raises(Refusal, match=r"does not read spark\.data"):
        WORLDS[name](monkeypatch).target().provide(work_of(tmp_path, data="s3://elsewhere/x"))


PAGE = (Path(__file__).parents[2] / "docs" / "spark-targets.md").read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_key_of_a_target_is_documented(name):
    section = re.search(rf"^## Target `{name}`\n(.*?)^## ", PAGE, re.M | re.S)
    assert section
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section[1], re.MULTILINE)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert set(import_module(f"tasks.targets.{name}").Spec.model_fields) - {"type"} == documented


def test_the_worked_plan_is_one_that_muster_takes(monkeypatch):
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
    plan = Plan.model_validate(yaml.safe_load(shown))
    assert plan.spark is not None
    target = open_target(plan.target, Settings())
    assert plan.spark.fault.type in target._hooked.possible()
