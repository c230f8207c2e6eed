"""Spark's event log, read: what ran where, what was lost, what it cost. Pure over a file.

Promises: only what is known by name is read, so that logs of other Spark versions do; a log that was cut says so;
nothing of the environment, of query plans or of anybody's data leaves it (`public_events`); what does is enough to tell
again whether a fault landed. Source: Spark's `JsonProtocol`, "Monitoring and Instrumentation".
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_PREFIX = "SparkListener"
SUCCESS = "Success"
_TAGS = "spark.job.tags"
_SAID = 300
"""Characters of an error that are read."""
NO_ROOM = ("No space left", "Disk quota exceeded")
SPOILT = ("checksum", "corrupt")
"""What errors say that a fault is known by. Of their messages, evidence keeps these words and no other."""


@dataclass(frozen=True)
class Task:
    """One attempt of a task that ended."""

    stage: int
    stage_attempt: int
    index: int
    executor: str
    launched_ms: int
    finished_ms: int
    reason: str
    """`Success`, `FetchFailed`, `ExecutorLostFailure`, `ExceptionFailure`, `TaskKilled`, ..."""
    said: str
    run_ms: int
    gc_ms: int
    spilled: int
    shuffle_read: int
    shuffle_written: int

    @property
    def is_good(self) -> bool:
        """Whether its work counts."""
        return self.reason == SUCCESS


@dataclass(frozen=True)
class StageRun:
    """One attempt of a stage."""

    id: int
    attempt: int
    name: str
    tasks: int
    submitted_ms: int
    completed_ms: int | None
    failure: str


@dataclass(frozen=True)
class ExecutorLife:
    """One executor, from its registration to its end."""

    id: str
    host: str
    cores: int
    added_ms: int
    removed_ms: int | None = None
    reason: str = ""


@dataclass
class Log:
    """One application's log."""

    application: str = ""
    spark: str = ""
    started_ms: int = 0
    ended_ms: int | None = None
    executors: dict[str, ExecutorLife] = field(default_factory=dict)
    stages: dict[tuple[int, int], StageRun] = field(default_factory=dict)
    stages_of_group: dict[str, set[int]] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    broken_lines: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the application wrote it to its end."""
        return self.ended_ms is not None and not self.broken_lines

    def stages_of(self, group: str) -> tuple[StageRun, ...]:
        """The attempts of the stages that a job group ran, by time."""
        ids = self.stages_of_group.get(group, set())
        return tuple(sorted((s for s in self.stages.values() if s.id in ids), key=lambda s: (s.submitted_ms, s.id)))

    def tasks_of(self, group: str) -> tuple[Task, ...]:
        """The task attempts of a job group, by the time of their end."""
        ids = self.stages_of_group.get(group, set())
        return tuple(t for t in self.tasks if t.stage in ids)


def tells(said: str, words: Iterable[str]) -> bool:
    """Whether an error says one of these."""
    return any(word.lower() in said.lower() for word in words)


def read_log(lines: Iterable[str]) -> Log:
    """Read a whole log; a line that is no JSON is counted, and nothing else of it."""
    log = Log()
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            log.broken_lines += 1
            continue
        if reader := _READERS.get(str(event.get("Event", "")).removeprefix(_PREFIX)):
            reader(log, event)
    return log


def _environment(log: Log, event: Mapping[str, Any]) -> None:
    log.settings.update({str(k): str(v) for k, v in event.get("Spark Properties", {}).items()})


def _started(log: Log, event: Mapping[str, Any]) -> None:
    log.application, log.started_ms = str(event.get("App ID", "")), int(event["Timestamp"])


def _version(log: Log, event: Mapping[str, Any]) -> None:
    log.spark = str(event.get("Spark Version", ""))


def _ended(log: Log, event: Mapping[str, Any]) -> None:
    log.ended_ms = int(event["Timestamp"])


def _executor_added(log: Log, event: Mapping[str, Any]) -> None:
    info, name = event["Executor Info"], str(event["Executor ID"])
    log.executors[name] = ExecutorLife(name, str(info["Host"]), int(info["Total Cores"]), int(event["Timestamp"]))


def _executor_removed(log: Log, event: Mapping[str, Any]) -> None:
    name = str(event["Executor ID"])
    if (life := log.executors.get(name)) and life.removed_ms is None:
        log.executors[name] = ExecutorLife(
            life.id, life.host, life.cores, life.added_ms, int(event["Timestamp"]), str(event.get("Removed Reason", ""))
        )


def _job_started(log: Log, event: Mapping[str, Any]) -> None:
    for tag in _tags(event):
        log.stages_of_group.setdefault(tag, set()).update(int(i) for i in event["Stage IDs"])


def _tags(event: Mapping[str, Any]) -> list[str]:
    """A lap's jobs carry its tag: unlike a job group, no job takes it away by naming one of its own."""
    return [tag for tag in str((event.get("Properties") or {}).get(_TAGS, "")).split(",") if tag]


def _stage(log: Log, event: Mapping[str, Any]) -> None:
    info = event["Stage Info"]
    key = (int(info["Stage ID"]), int(info["Stage Attempt ID"]))
    done = info.get("Completion Time")
    log.stages[key] = StageRun(
        id=key[0],
        attempt=key[1],
        name=str(info["Stage Name"]),
        tasks=int(info["Number of Tasks"]),
        submitted_ms=int(info.get("Submission Time") or 0),
        completed_ms=None if done is None else int(done),
        failure=str(info.get("Failure Reason", "")),
    )


def _task_ended(log: Log, event: Mapping[str, Any]) -> None:
    info, reason = event["Task Info"], event.get("Task End Reason", {})
    metrics = event.get("Task Metrics") or {}
    read, written = metrics.get("Shuffle Read Metrics", {}), metrics.get("Shuffle Write Metrics", {})
    log.tasks.append(
        Task(
            stage=int(event["Stage ID"]),
            stage_attempt=int(event["Stage Attempt ID"]),
            index=int(info["Index"]),
            executor=str(info["Executor ID"]),
            launched_ms=int(info["Launch Time"]),
            finished_ms=int(info["Finish Time"]),
            reason=str(reason.get("Reason", "")),
            said=str(reason.get("Loss Reason") or reason.get("Description") or reason.get("Message") or "")[:_SAID],
            run_ms=int(metrics.get("Executor Run Time", 0)),
            gc_ms=int(metrics.get("JVM GC Time", 0)),
            spilled=int(metrics.get("Disk Bytes Spilled", 0)),
            shuffle_read=int(read.get("Remote Bytes Read", 0)) + int(read.get("Local Bytes Read", 0)),
            shuffle_written=int(written.get("Shuffle Bytes Written", 0)),
        )
    )


_READERS = {
    "LogStart": _version,
    "EnvironmentUpdate": _environment,
    "ApplicationStart": _started,
    "ApplicationEnd": _ended,
    "ExecutorAdded": _executor_added,
    "ExecutorRemoved": _executor_removed,
    "JobStart": _job_started,
    "StageSubmitted": _stage,
    "StageCompleted": _stage,
    "TaskEnd": _task_ended,
}

MATTERS = (
    "spark.decommission.enabled",
    "spark.storage.decommission.enabled",
    "spark.storage.decommission.shuffleBlocks.enabled",
    "spark.shuffle.service.enabled",
    "spark.dynamicAllocation.enabled",
    "spark.dynamicAllocation.shuffleTracking.enabled",
    "spark.speculation",
    "spark.task.maxFailures",
    "spark.stage.maxConsecutiveAttempts",
    "spark.sql.adaptive.enabled",
    "spark.sql.shuffle.partitions",
    "spark.network.timeout",
    "spark.network.timeoutInterval",
    "spark.shuffle.io.maxRetries",
    "spark.shuffle.io.retryWait",
    "spark.executor.heartbeatInterval",
    "spark.executor.memory",
    "spark.executor.cores",
    "spark.cores.max",
    "spark.shuffle.checksum.enabled",
    "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version",
    "spark.sql.sources.commitProtocolClass",
)
"""Settings that decide how a loss is borne; they go on record."""


def settings_that_matter(log: Log) -> dict[str, str]:
    """Of the application's settings, those that decide how it bears a loss; one that is not set has Spark's default."""
    return {key: log.settings[key] for key in MATTERS if key in log.settings}


_DROPPED = frozenset({"Task Executor Metrics", "Accumulables", "RDD Info", "Parent IDs", "Details",
                      "Accumulator Updates", "Stack Trace", "Full Stack Trace", "User", "Exception"})  # fmt: skip
"""What may quote somebody's data, or is not judged."""
_MESSAGES = frozenset({"Message", "Description", "Failure Reason"})
"""What may quote it, and is judged by the words that a fault is known by, or by being there at all."""


def public_events(lines: Iterable[str]) -> Iterator[str]:
    """The log as evidence keeps it: the events that are judged, without environment, query plans and stack traces."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        kind = str(event.get("Event", "")).removeprefix(_PREFIX)
        if kind == "EnvironmentUpdate":
            properties = {k: v for k, v in event.get("Spark Properties", {}).items() if k in MATTERS}
            yield json.dumps({"Event": event["Event"], "Spark Properties": properties})
        elif kind == "JobStart":
            yield json.dumps(_without(event) | {"Properties": {_TAGS: ",".join(_tags(event))}})
        elif kind in _READERS or kind == "JobEnd":
            yield json.dumps(_without(event))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _words_of(v) if k in _MESSAGES else _without(v) for k, v in value.items() if k not in _DROPPED}
    return [_without(v) for v in value] if isinstance(value, list) else value


def _words_of(message: Any) -> str:
    """Those that a fault is known by; that there was a message, but not which, where it has none of them."""
    kept = [word for word in (*NO_ROOM, *SPOILT) if tells(str(message or "")[:_SAID], [word])]
    return ", ".join(kept) or ("not kept" if message else "")
