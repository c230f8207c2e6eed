"""What a running application tells of itself: Spark's REST API, asked where its driver serves it.

Promises: what cannot be asked is `None`, and never taken for idleness; nothing here waits.
Source: Spark's "Monitoring and Instrumentation", REST API.
"""

from dataclasses import dataclass
from typing import Any, Self

import httpx

_SECONDS = 5.0
_ACTIVE, _COMPLETE = "ACTIVE", "COMPLETE"
Answer = list[dict[str, Any]]
"""What the REST API says to one question."""


@dataclass(frozen=True)
class Stage:
    """One attempt of a stage."""

    id: int
    attempt: int
    name: str
    status: str
    tasks: int
    done: int
    active: int
    shuffle_read: int
    shuffle_write: int

    @property
    def is_active(self) -> bool:
        """Whether tasks of it run."""
        return self.status == _ACTIVE and self.active > 0


@dataclass(frozen=True)
class Executor:
    """One executor of the application."""

    id: str
    host: str
    is_active: bool
    cores: int
    active_tasks: int
    cached_bytes: int


class Status:
    """One application's REST API; a context manager, or closed when it is asked no more."""

    def __init__(self, ui: str, application: str) -> None:
        self._base = f"{ui}/api/v1/applications/{application}"
        self._client = httpx.Client(trust_env=False, timeout=_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def stages(self, group: str) -> tuple[Stage, ...] | None:
        """Every attempt of the stages that jobs with this tag ran or run, by their ids; skipped ones left out."""
        jobs, stages = self._ask("jobs"), self._ask("stages?details=false")
        return None if jobs is None or stages is None else stages_of(jobs, stages, group)

    def executors(self) -> tuple[Executor, ...] | None:
        """Every executor there was, the driver left out."""
        told = self._ask("allexecutors")
        return None if told is None else executors_of(told)

    def _ask(self, what: str) -> Answer | None:
        try:
            answer = self._client.get(f"{self._base}/{what}")
            answer.raise_for_status()
            return list(answer.json())
        except (httpx.HTTPError, ValueError):
            return None


def stages_of(jobs: Answer, stages: Answer, group: str) -> tuple[Stage, ...]:
    """The stages of the jobs with this tag, out of the two lists that an application tells of."""
    ids = {int(i) for job in jobs if group in job.get("jobTags", ()) for i in job["stageIds"]}
    found = (_stage(s) for s in stages if int(s["stageId"]) in ids and s["status"] not in {"SKIPPED", "PENDING"})
    return tuple(sorted(found, key=lambda s: (s.id, s.attempt)))


def executors_of(told: Answer) -> tuple[Executor, ...]:
    """Executors, the driver left out."""
    return tuple(_executor(e) for e in told if e["id"] != "driver")


def first_attempts(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """One entry a stage, its first attempt: the job's stages in their order."""
    return tuple({s.id: s for s in reversed(stages)}[i] for i in sorted({s.id for s in stages}))


def _stage(told: dict[str, Any]) -> Stage:
    return Stage(
        id=int(told["stageId"]),
        attempt=int(told["attemptId"]),
        name=str(told["name"]),
        status=str(told["status"]),
        tasks=int(told["numTasks"]),
        done=int(told["numCompleteTasks"]),
        active=int(told["numActiveTasks"]),
        shuffle_read=int(told["shuffleReadBytes"]),
        shuffle_write=int(told["shuffleWriteBytes"]),
    )


def _executor(told: dict[str, Any]) -> Executor:
    return Executor(
        id=str(told["id"]),
        host=str(told["hostPort"]).rpartition(":")[0],
        is_active=bool(told["isActive"]),
        cores=int(told["totalCores"]),
        active_tasks=int(told["activeTasks"]),
        cached_bytes=int(told["memoryUsed"]) + int(told["diskUsed"]),
    )
