"""Spark's event log: what is read of it, what a cut one says, and what never leaves it."""

import json
from typing import Any

import pytest

from muster.spark.eventlog import public_events, read_log, settings_that_matter
from muster.spark.laps import landing
from muster.spark.observations import Lap, Question, Struck, Victim
from muster.spark.spec import Fault

SECRET = "the-name-of-a-customer"


def task(stage: int, attempt: int, index: int, reason: dict[str, Any]) -> dict[str, Any]:
    return {
        "Event": "SparkListenerTaskEnd", "Stage ID": stage, "Stage Attempt ID": attempt, "Task End Reason": reason,
        "Task Info": {"Index": index, "Executor ID": "1", "Launch Time": 1000, "Finish Time": 1500,
                      "Accumulables": [{"Name": SECRET}]},
        "Task Metrics": {"Executor Run Time": 400, "JVM GC Time": 30, "Disk Bytes Spilled": 7,
                         "Shuffle Read Metrics": {"Remote Bytes Read": 5, "Local Bytes Read": 6},
                         "Shuffle Write Metrics": {"Shuffle Bytes Written": 9}},
    }  # fmt: skip


def stage(kind: str, number: int, attempt: int, done: int | None) -> dict[str, Any]:
    info = {"Stage ID": number, "Stage Attempt ID": attempt, "Stage Name": f"stage {number}", "Number of Tasks": 8,
            "Submission Time": 900, "Completion Time": done, "Details": SECRET,
            "Failure Reason": f"java.lang.RuntimeException: {SECRET}"}  # fmt: skip
    return {"Event": f"SparkListenerStage{kind}", "Stage Info": info}


EVENTS = [
    {"Event": "SparkListenerLogStart", "Spark Version": "4.3.0"},
    {"Event": "SparkListenerEnvironmentUpdate", "Spark Properties": {"spark.speculation": "true", "spark.x": SECRET},
     "System Properties": {"user.name": SECRET}, "Classpath Entries": {SECRET: "System"}},
    {"Event": "SparkListenerApplicationStart", "App ID": "app-1", "Timestamp": 10, "User": SECRET},
    {"Event": "SparkListenerExecutorAdded", "Timestamp": 20, "Executor ID": "1",
     "Executor Info": {"Host": "h1", "Total Cores": 2}},
    {"Event": "SparkListenerJobStart", "Job ID": 0, "Stage IDs": [3, 4], "Stage Infos": [{"Details": SECRET}],
     "Properties": {"spark.job.tags": "lap-1,spark-session-x", "spark.job.description": SECRET}},
    stage("Submitted", 3, 0, None),
    stage("Completed", 3, 0, 1600),
    stage("Submitted", 4, 1, None),
    task(3, 0, 0, {"Reason": "Success"}),
    task(3, 0, 1, {"Reason": "ExceptionFailure", "Description": SECRET, "Full Stack Trace": SECRET}),
    {"Event": "org.apache.spark.sql.execution.ui.SparkListenerSQLExecutionStart", "physicalPlanDescription": SECRET},
    {"Event": "SparkListenerExecutorRemoved", "Timestamp": 1700, "Executor ID": "1", "Removed Reason": "exit 137"},
    {"Event": "SparkListenerJobEnd", "Job ID": 0, "Job Result": {"Exception": {"Message": SECRET}}},
    {"Event": "SparkListenerApplicationEnd", "Timestamp": 2000},
]  # fmt: skip
LINES = [json.dumps(event) for event in EVENTS]


def test_what_ran_is_read() -> None:
    log = read_log(LINES)
    assert (log.application, log.spark, log.started_ms, log.ended_ms, log.is_whole) == (
        "app-1",
        "4.3.0",
        10,
        2000,
        True,
    )
    life = log.executors["1"]
    assert (life.host, life.cores, life.added_ms, life.removed_ms, life.reason) == ("h1", 2, 20, 1700, "exit 137")
    assert [(s.id, s.attempt, s.completed_ms) for s in log.stages_of("lap-1")] == [(3, 0, 1600), (4, 1, None)]
    good, bad = log.tasks_of("lap-1")
    assert (good.is_good, bad.is_good, bad.reason) == (True, False, "ExceptionFailure")
    assert (good.gc_ms, good.spilled, good.shuffle_read, good.shuffle_written) == (30, 7, 11, 9)
    assert (log.stages_of("lap-2"), log.tasks_of("lap-2")) == ((), ())
    assert settings_that_matter(log) == {"spark.speculation": "true"}


def test_a_log_that_was_cut_says_so() -> None:
    assert not read_log(LINES[:-1]).is_whole
    broken = read_log([*LINES[:5], LINES[5][:40], *LINES[6:]])
    assert (broken.is_whole, broken.broken_lines) == (False, 1)


def test_evidence_keeps_what_is_judged_and_nobodys_data() -> None:
    kept = list(public_events(LINES))
    assert SECRET not in "".join(kept)
    again, first = read_log(kept), read_log(LINES)
    assert again.tasks_of("lap-1")[0] == first.tasks_of("lap-1")[0]
    assert (again.executors, again.is_whole, again.application) == (first.executors, True, "app-1")
    assert [(s.id, s.attempt) for s in again.stages_of("lap-1")] == [(3, 0), (4, 1)]
    assert settings_that_matter(again) == settings_that_matter(first)


TOLD = f"java.io.IOException: no space left on device while writing {SECRET}"


@pytest.mark.parametrize(
    ("said", "fault", "landed"),
    [
        ({"Reason": "ExceptionFailure", "Class Name": "java.io.IOException", "Description": TOLD}, "full-disk", True),
        ({"Reason": "ExceptionFailure", "Description": f"Checksum of {SECRET}"}, "corrupt-shuffle-block", True),
        ({"Reason": "FetchFailed", "Message": f"no file of {SECRET}"}, "lose-shuffle-file", True),
        ({"Reason": "ExceptionFailure", "Description": SECRET}, "full-disk", False),
        ({"Reason": "ExceptionFailure", "Description": f"{SECRET:300}No space left"}, "full-disk", False),
    ],
)
def test_whether_a_fault_landed_can_be_told_again_from_the_evidence(
    said: dict[str, Any], fault: Fault, landed: bool
) -> None:
    """Its stage had failed before it was seen, and went on."""
    lines = [*LINES[:5], *(json.dumps(event) for event in (
        stage("Submitted", 3, 0, None), stage("Completed", 3, 0, 1200), stage("Submitted", 3, 1, None),
        task(3, 1, 1, said),
    ))]  # fmt: skip
    kept = list(public_events(lines))
    assert SECRET in lines[-1]
    assert SECRET not in "".join(kept)
    struck = Struck(
        lap=1, fault=fault, group="lap-1", stage=3, stage_name="stage 3", tasks_done=0, tasks=8, at_ms=1100,
        done_ms=3000, victims=(Victim(name="worker", executors=("1",)),), done=(),
    )  # fmt: skip
    lap = Lap(
        number=1, kind="disturbed", variant="plain", question=Question(workload="terasort", keys={}), group="lap-1",
        applications=("app-1",), state="succeeded", began_ms=800, ended_ms=9500, seconds=8.7,
    )  # fmt: skip
    judged, again = (landing(struck, lap, [read_log(each)]) for each in (lines, kept))
    assert (judged.landed, again.landed, again.noticed_seconds) == (landed, landed, judged.noticed_seconds)


def test_a_secret_would_be_seen() -> None:
    assert SECRET in "".join(LINES)
