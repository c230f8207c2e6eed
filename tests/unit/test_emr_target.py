"""The EMR target, held against the models of the APIs: botocore's Stubber checks every call, and answers it.

No call is made to AWS, so what is proven is what is asked and how each answer is taken, not what AWS does.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY
from pydantic import ValidationError
from stressable_worlds import (
    CLUSTER,
    HOSTS,
    Aws,
    describe,
    emr_world,
    machines,
    moment_of,
    objects,
    steps,
    work_of,
)

from muster.errors import Refusal, StepError, SystemFailure
from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.spark.post import Told, Up, told_name
from tasks.spark.remote import LapSession
from tasks.targets import emr

TASK = HOSTS["i-0task1"][0]
CORE = HOSTS["i-0core1"][0]
BUCKET = {"Bucket": "bucket"}


@pytest.fixture
def aws() -> Iterator[Aws]:
    made = Aws()
    yield made
    made.assert_all_asked()


@pytest.fixture
def work(tmp_path):
    return work_of(tmp_path, Fault.KILL_WORKER)


def target(aws: Aws, **more: Any) -> emr.Target:
    return emr_world(aws=aws).target(**more)


def sizes(aws: Aws) -> None:
    answer = {
        "InstanceTypes": [
            {"InstanceType": "m5.xlarge", "VCpuInfo": {"DefaultVCpus": 4}, "MemoryInfo": {"SizeInMiB": 16384}}
        ]
    }
    aws.answer("ec2", "describe_instance_types", {"InstanceTypes": ["m5.xlarge"]}, answer)


def body(content: bytes) -> dict[str, Any]:
    return {"Body": StreamingBody(io.BytesIO(content), len(content))}


def key(work, name: str) -> str:
    return f"drills/{work.application}/{name}"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"data": "s3a://bucket/x"}, "data is a folder in S3"),
        ({"data": "s3://bucket"}, "data is a folder in S3"),
        ({"cluster": "nightly"}, "cluster"),
        ({"terminates": ["MASTER"]}, "'CORE' or 'TASK'"),
        ({"region": "Ireland"}, "region"),
    ],
)
def test_keys_that_cannot_be_are_told(keys, words):
    with pytest.raises(ValidationError, match=words):
        emr_world().target(**keys)


def test_it_proves_itself_by_its_arn(aws):
    describe(aws)
    identity = target(aws).identify()
    assert identity.system_identifier == CLUSTER
    assert "emr-7.9.0 'nightly', Spark 3.5.5" in identity.description
    assert identity.proof.endswith(f"cluster/{CLUSTER}")


@pytest.mark.parametrize(
    ("state", "more", "words"),
    [("TERMINATED", {}, "is TERMINATED"), ("WAITING", {"Applications": [{"Name": "Hive"}]}, "has no Spark")],
)
def test_a_cluster_that_takes_no_lap_is_refused(aws, state, more, words):
    describe(aws, state, **more)
    with pytest.raises(Refusal, match=words):
        target(aws).identify()


def test_one_that_may_not_be_asked_is_refused_with_the_right_that_is_missing(aws):
    aws.fail("emr", "describe_cluster", "AccessDeniedException")
    with pytest.raises(Refusal, match="elasticmapreduce:DescribeCluster: AccessDeniedException") as caught:
        target(aws).identify()
    assert "the right elasticmapreduce:DescribeCluster" in caught.value.advice


def test_a_cluster_that_waits_is_free_and_one_that_runs_a_step_is_full(aws):
    describe(aws)
    machines(aws)
    steps(aws)
    sizes(aws)
    seen = target(aws).look("survey")
    assert (seen.spark, seen.applications, seen.problems) == ("3.5.5", (), ())
    assert sorted(w.name for w in seen.alive) == ["i-0core1 (CORE)", "i-0task1 (TASK)", "i-0task2 (TASK)"]
    assert sum(w.cores_free for w in seen.alive) == 12
    describe(aws, "RUNNING")
    machines(aws)
    steps(aws, ("s-1", "etl nightly", "RUNNING"), ("s-2", "muster-r muster-r-lap-1", "PENDING"))
    sizes(aws)
    seen = target(aws).look("ready")
    assert seen.applications == ("etl", "muster-r")
    assert sum(w.cores_free for w in seen.alive) == 0


def test_machines_of_a_fleet_are_asked_for_by_its_type(aws):
    describe(aws, InstanceCollectionType="INSTANCE_FLEET")
    for kind in ("CORE", "TASK"):
        wanted = {"ClusterId": CLUSTER, "InstanceStates": ["RUNNING"], "InstanceFleetType": kind}
        aws.answer("emr", "list_instances", wanted, {"Instances": []})
    found = target(aws)
    assert found._emr.machines(found._emr.describe()) == ()


def test_just_the_victims_machine_is_terminated_at_once(aws, work):
    describe(aws)
    machines(aws)
    aws.answer(
        "ec2",
        "terminate_instances",
        {"InstanceIds": ["i-0task1"], "SkipOsShutdown": True},
        {"TerminatingInstances": []},
    )
    (done,) = target(aws).strike(moment_of(work), (Victim(name="worker", host=TASK, executors=("1",)),), work)
    assert done == f"{TASK}: i-0task1 (TASK) terminated"


@pytest.mark.parametrize("host", [CORE, "ip-10-9-9-9.ec2.internal"], ids=["core", "another cluster's"])
def test_a_machine_that_may_not_be_terminated_is_told_before_any_is(aws, work, host):
    describe(aws)
    machines(aws)
    victims = (Victim(name="worker", host=TASK), Victim(name="worker", host=host))
    with pytest.raises(StepError, match="no machine that may be terminated: none was"):
        target(aws).strike(moment_of(work), victims, work)


def test_a_core_machine_is_terminated_where_the_plan_says_so(aws, work):
    describe(aws)
    machines(aws)
    wanted = {"InstanceIds": ["i-0core1"], "SkipOsShutdown": True}
    aws.answer("ec2", "terminate_instances", wanted, {"TerminatingInstances": []})
    target(aws, terminates=["CORE", "TASK"]).strike(moment_of(work), (Victim(name="worker", host=CORE),), work)


def test_what_ec2_denies_is_the_drills_to_tell_and_healing_waits_for_nothing_lost(aws, work):
    describe(aws)
    machines(aws)
    aws.fail("ec2", "terminate_instances", "OperationNotPermitted", "termination protection is on")
    with pytest.raises(StepError, match="ec2:TerminateInstances: OperationNotPermitted"):
        target(aws).strike(moment_of(work), (Victim(name="worker", host=TASK),), work)
    describe(aws)
    machines(aws)
    assert "3 machines again" in target(aws).heal(work)[0]


def test_a_machine_is_healed_once_emr_has_replaced_it(aws, work):
    describe(aws)
    machines(aws)
    aws.answer("ec2", "terminate_instances", None, {"TerminatingInstances": []})
    target(aws).strike(moment_of(work), (Victim(name="worker", host=TASK),), work)
    for gone in (("i-0task1",), ("i-0task1",), ()):
        describe(aws)
        machines(aws, gone)
    (done,) = target(aws).heal(work)  # another process of Muster
    assert done.startswith("EMR has 3 machines again")
    assert target(aws).heal(work) == ()


def test_one_that_emr_does_not_replace_is_the_systems_fault(aws, work):
    describe(aws)
    machines(aws)
    aws.answer("ec2", "terminate_instances", None, {"TerminatingInstances": []})
    target(aws).strike(moment_of(work), (Victim(name="worker", host=TASK),), work)
    describe(aws)
    machines(aws, ("i-0task1",))
    with pytest.raises(SystemFailure, match="to have 3 machines again") as caught:
        target(aws).heal(replace(work, seconds_left=lambda: 0.0))
    assert "the events of EMR" in caught.value.advice


def test_the_runs_steps_are_cancelled_and_waited_for_and_no_other(aws, work):
    ours = f"{work.application} lap"
    steps(
        aws, ("s-1", ours, "RUNNING"), ("s-2", ours, "CANCEL_PENDING"), ("s-3", f"{work.application}x lap", "RUNNING")
    )
    wanted = {"ClusterId": CLUSTER, "StepIds": ["s-1"], "StepCancellationOption": "TERMINATE_PROCESS"}
    aws.answer("emr", "cancel_steps", wanted, {"CancelStepsInfoList": [{"StepId": "s-1", "Status": "SUBMITTED"}]})
    steps(aws, ("s-1", ours, "CANCEL_PENDING"))
    steps(aws, ("s-3", f"{work.application}x lap", "RUNNING"))
    target(aws).end_sessions(work)


def test_a_step_that_emr_does_not_cancel_is_told(aws, work):
    steps(aws, ("s-1", f"{work.application} lap", "RUNNING"))
    refused = {"StepId": "s-1", "Status": "FAILED", "Reason": "not supported"}
    aws.answer("emr", "cancel_steps", None, {"CancelStepsInfoList": [refused]})
    with pytest.raises(StepError, match="EMR does not cancel s-1: not supported"):
        target(aws).end_sessions(work)


def test_what_a_lap_needs_is_put_into_s3(aws, work):
    for name in ("code/muster.zip", "code/onelap.py", "events/.muster"):
        aws.answer("s3", "put_object", {**BUCKET, "Key": key(work, name), "Body": ANY}, {})
    assert target(aws).provide(work).master == f"emr {CLUSTER}"


def asked(aws: Aws, work, session: LapSession, group: str = "g") -> None:
    """A lap is asked for."""
    for name in ("driver.json", "lap-000.ask.json"):
        aws.answer("s3", "put_object", {**BUCKET, "Key": key(work, f"laps/{group}/{name}"), "Body": ANY}, {})
    root = f"s3://bucket/drills/{work.application}"
    args = ["spark-submit", "--deploy-mode", "client", "--name", work.application]
    settings = session.config.settings
    args += [word for k, v in settings.items() for word in ("--conf", f"{k}={v}")]
    args += ["--py-files", f"{root}/code/muster.zip", f"{root}/code/onelap.py", f"{root}/laps/{group}"]
    step = {
        "Name": f"{work.application} {group}",
        "ActionOnFailure": "CONTINUE",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": args},
    }
    aws.answer("emr", "add_job_flow_steps", {"JobFlowId": CLUSTER, "Steps": [step]}, {"StepIds": ["s-9"]})
    session.begin(2, group, "lap 2", disturbed=True)


def step_is(aws: Aws, state: str, **more: Any) -> None:
    told = {"Step": {"Id": "s-9", "Status": {"State": state, **more}}}
    aws.answer("emr", "describe_step", {"ClusterId": CLUSTER, "StepId": "s-9"}, told)


def opened(aws: Aws, work, **more: Any) -> LapSession:
    found = target(aws, **more)
    session = found.open_session(work, "plain-0", {"spark.speculation": "true"}, found.data(work))
    assert isinstance(session, LapSession)
    session.every = session.every_file = 0
    return session


def test_a_lap_is_a_step_with_the_plans_settings_and_an_event_log_in_s3(aws, work):
    session = opened(aws, work, settings={"spark.executor.memory": "4g"})
    settings = session.config.settings
    assert settings["spark.eventLog.dir"] == f"s3://bucket/drills/{work.application}/events"
    assert (settings["spark.eventLog.rolling.enabled"], settings["spark.eventLog.compress"]) == ("false", "false")
    assert (settings["spark.executor.memory"], settings["spark.speculation"]) == ("4g", "true")
    assert session.config.data == f"s3://bucket/drills/{work.application}/data"
    asked(aws, work, session)


def test_a_lap_ends_when_its_step_has_and_tells_what_the_driver_wrote(aws, work):
    session = opened(aws, work)
    asked(aws, work, session)
    step_is(aws, "PENDING")
    assert session.ended() is None
    step_is(aws, "RUNNING")
    assert session.ended() is None
    step_is(aws, "COMPLETED")
    told = Told(number=0, state="succeeded", began_ms=1, ended_ms=2, seconds=0.001)
    aws.answer(
        "s3",
        "get_object",
        {**BUCKET, "Key": key(work, f"laps/g/{told_name(0)}")},
        body(told.model_dump_json().encode()),
    )
    assert session.ended() == told


def test_progress_is_what_the_driver_wrote_and_only_machines_in_reach_are_told(aws, work):
    session = opened(aws, work)
    asked(aws, work, session)
    aws.fail("s3", "get_object", "NoSuchKey")
    assert session.stages("g") is None
    executor = {"isActive": True, "totalCores": 4, "activeTasks": 4, "memoryUsed": 0, "diskUsed": 0}
    progress = {
        "jobs": [{"jobTags": ["g"], "stageIds": [0, 1]}, {"jobTags": ["other"], "stageIds": [7]}],
        "stages": [
            {"stageId": i, "attemptId": 0, "name": "s", "status": "ACTIVE", "numTasks": 8, "numCompleteTasks": 2,
             "numActiveTasks": 4, "shuffleReadBytes": 1, "shuffleWriteBytes": 0}
            for i in (1, 7)
        ],
        "allexecutors": [{**executor, "id": name, "hostPort": f"{host}:1"}
                         for name, host in (("driver", "m"), ("1", CORE), ("2", TASK))],
    }  # fmt: skip
    wanted = {**BUCKET, "Key": key(work, "laps/g/progress.json")}
    aws.answer("s3", "get_object", wanted, body(json.dumps(progress).encode()))
    assert [(s.id, s.done) for s in session.stages("g") or ()] == [(1, 2)]
    aws.answer("s3", "get_object", wanted, body(b'{"jobs": [half'))
    describe(aws)
    machines(aws)
    assert [e.host for e in session.executors() or ()] == [TASK]
    up = Up(application="application_1_2", ui="http://m:4040", spark="3.5.5", java="17", cores=4)
    aws.answer("s3", "get_object", {**BUCKET, "Key": key(work, "laps/g/up.json")}, body(up.model_dump_json().encode()))
    assert session.applications == ("application_1_2",)


@pytest.mark.parametrize("came_up", [True, False])
def test_a_step_without_a_word_is_told_with_emrs_own(aws, work, came_up):
    session = opened(aws, work)
    asked(aws, work, session)
    step_is(aws, "FAILED", FailureDetails={"Reason": "Unknown Error.", "LogFile": "s3://logs/s-9/stderr.gz"})
    aws.fail("s3", "get_object", "NoSuchKey")
    if came_up:
        up = Up(application="application_1_2", ui="", spark="3.5.5", java="17", cores=4)
        aws.answer("s3", "get_object", {**BUCKET, "Key": ANY}, body(up.model_dump_json().encode()))
    else:
        aws.fail("s3", "get_object", "NoSuchKey")
    with pytest.raises(StepError, match=r"step s-9 is FAILED: Unknown Error.; s3://logs/s-9/stderr.gz") as caught:
        session.ended()
    assert isinstance(caught.value, SystemFailure) is came_up
    assert came_up or "Python 3.11" in caught.value.advice


def test_between_laps_it_has_what_the_cluster_has(aws, work):
    session = opened(aws, work)
    describe(aws)
    machines(aws, ("i-0task1",))
    steps(aws)
    sizes(aws)
    assert sum(e.cores for e in session.executors() or ()) == 8


def test_event_logs_are_fetched_and_nothing_hidden(aws, work):
    folder = key(work, "events")
    objects(aws, f"{folder}/.muster", f"{folder}/application_1_2", f"{folder}/application_1_3_1", f"{folder}_$folder$")
    for name in ("application_1_2", "application_1_3_1"):
        aws.answer("s3", "get_object", {**BUCKET, "Key": f"{folder}/{name}"}, body(f"log of {name}".encode()))
    found = target(aws).events(work)
    assert [(path.name, path.read_text()) for path in found] == [
        ("application_1_2", "log of application_1_2"),
        ("application_1_3_1", "log of application_1_3_1"),
    ]


def test_only_the_runs_own_folder_is_deleted(aws, work):
    own = [key(work, "data/x"), key(work, "code/muster.zip"), f"drills/{work.application}_$folder$"]
    objects(aws, *own, f"drills/{work.application}x/data/y")
    wanted = {**BUCKET, "Delete": {"Objects": [{"Key": k} for k in own], "Quiet": True}}
    aws.answer("s3", "delete_objects", wanted, {})
    target(aws).drop_data(work)
    objects(aws)
    target(aws).drop_data(work)


def test_what_s3_does_not_delete_is_told_with_the_way_to(aws, work):
    objects(aws, key(work, "data/x"))
    denied = {"Key": key(work, "data/x"), "Code": "AccessDenied", "Message": "Access Denied"}
    aws.answer("s3", "delete_objects", None, {"Errors": [denied]})
    with pytest.raises(StepError, match="was not deleted: Access Denied") as caught:
        target(aws).drop_data(work)
    assert "aws s3 rm --recursive s3://bucket/drills/" in caught.value.advice


def test_a_file_that_may_not_be_read_is_told_with_the_right(aws, work):
    session = opened(aws, work)
    asked(aws, work, session)
    aws.fail("s3", "get_object", "AccessDenied")
    with pytest.raises(StepError, match="s3:GetObject: AccessDenied"):
        session.stages("g")
