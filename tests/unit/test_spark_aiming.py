"""Aiming: the stage that is meant, the moment that has come, whom it hits, and how far it may go."""

from pathlib import Path
from typing import Any

import pytest
from spark_paper import cluster, plan

from muster.drill import Workspace
from muster.errors import Refusal
from muster.spark.observations import Aim, ClusterSeen, Victim
from muster.spark.spec import During, Fault, FaultSpec
from tasks.process import Processes
from tasks.spark.aiming import aim_at, is_over, reached
from tasks.spark.course import require_within, victims_of
from tasks.spark.status import Executor, Stage, first_attempts
from tasks.targets.stressable import Moment, Work


def stage(number: int, status: str = "COMPLETE", attempt: int = 0, **changes: Any) -> Stage:
    usual = {"name": f"stage {number}", "tasks": 8, "done": 8, "active": 0, "shuffle_read": 0, "shuffle_write": 0}
    return Stage(id=number, attempt=attempt, status=status, **{**usual, **changes})


SAMPLED = stage(10)
MAPPED = stage(11, shuffle_write=900)
REDUCED = stage(13, shuffle_read=900)
RAN = (SAMPLED, MAPPED, REDUCED)
AIM = Aim(variant="plain", during=During.REDUCE, ordinal=2, name="stage 13", tasks=8, stages=3)
FAULT = FaultSpec(after=0.25)


@pytest.mark.parametrize(
    ("during", "ordinal"), [(During.FIRST, 0), (During.MAP, 1), (During.REDUCE, 2), (During.LAST, 2)]
)
def test_a_stage_is_found_by_what_it_did(during: During, ordinal: int) -> None:
    found = aim_at(RAN, "plain", during)
    assert found is not None
    assert (found.ordinal, found.stages) == (ordinal, 3)


@pytest.mark.parametrize("during", [During.MAP, During.REDUCE])
def test_a_job_that_shuffles_nothing_has_no_such_stage(during: During) -> None:
    assert aim_at((SAMPLED,), "plain", during) is None
    assert aim_at((), "plain", During.FIRST) is None


def test_attempts_are_one_stage() -> None:
    again = stage(11, attempt=1)
    assert first_attempts((SAMPLED, MAPPED, again, REDUCED)) == RAN


@pytest.mark.parametrize(
    ("now", "is_reached"),
    [
        (RAN[:2], False),
        ((*RAN[:2], stage(13, "ACTIVE", done=1, active=2)), False),
        ((*RAN[:2], stage(13, "ACTIVE", done=2, active=2)), True),
        ((*RAN[:2], stage(13, "ACTIVE", done=7, active=0)), False),
        (RAN, False),
    ],
    ids=["not begun", "too early", "now", "idle", "over"],
)
def test_the_moment_comes_by_the_jobs_own_progress(now: tuple[Stage, ...], is_reached: bool) -> None:
    assert (reached(now, AIM, FAULT) is not None) is is_reached


def test_a_stage_that_has_ended_is_over() -> None:
    assert is_over(RAN, AIM)
    assert not is_over(RAN[:2], AIM)
    assert not is_over((*RAN[:2], stage(13, "ACTIVE")), AIM)


def executor(name: str, host: str, active: int = 0, cached: int = 0, alive: bool = True) -> Executor:
    return Executor(id=name, host=host, is_active=alive, cores=1, active_tasks=active, cached_bytes=cached)


EXECUTORS = (
    executor("0", "h0"),
    executor("1", "h1", active=1),
    executor("2", "h1", cached=9),
    executor("3", "h2", 9, 9, False),
)
MOMENT = Moment(lap=2, group="g", application="app", stage=REDUCED, executors=EXECUTORS)


@pytest.mark.parametrize(
    ("fault", "count", "hit"),
    [
        (Fault.KILL_EXECUTOR, 1, [("1",)]),
        (Fault.KILL_EXECUTOR, 2, [("1",), ("0",)]),
        (Fault.KILL_EXECUTOR, 4, []),
        (Fault.KILL_CACHED, 1, [("2",)]),
        (Fault.KILL_WORKER, 1, [("1", "2")]),
        (Fault.RESTART_WORKERS, 1, [("1", "2"), ("0",)]),
        (Fault.LOSE_SHUFFLE_FILE, 1, [("1", "2")]),
        (Fault.RESTART_MASTER, 1, [()]),
        (Fault.KILL_DRIVER, 1, [()]),
    ],
)
def test_whom_a_fault_hits(fault: Fault, count: int, hit: list[tuple[str, ...]]) -> None:
    assert [v.executors for v in victims_of(MOMENT, fault, count)] == hit


class Looked:
    def __init__(self, alive: int, **changes: Any) -> None:
        self.alive, self.changes = alive, changes

    def look(self, stage: str, work: Work | None = None) -> ClusterSeen:
        return cluster(stage, self.alive, **self.changes)


def within(
    tmp_path: Path, victims: tuple[Victim, ...], alive: int = 2, seen: dict[str, Any] | None = None, **spark: Any
) -> None:
    spec = plan(**spark).spark
    assert spec is not None
    work = Work(Workspace("r", tmp_path), Processes(tmp_path, tmp_path), spec, lambda: 9.0)
    require_within(victims, Looked(alive, **(seen or {})), work)  # type: ignore[arg-type]


ONE = Victim(name="executor 1", host="h1", executors=("1",))
WORKER = Victim(name="worker at h1", host="h1", executors=("1",))


def test_the_blast_radius_is_enforced_where_a_fault_strikes(tmp_path: Path) -> None:
    within(tmp_path, (ONE,))
    with pytest.raises(Refusal, match="would hit 2 executors"):
        within(tmp_path, (ONE, ONE))
    two = Victim(name="worker at h1", host="h1", executors=("1", "2"))
    with pytest.raises(Refusal, match="would hit 2 executors"):
        within(tmp_path, (two,), fault={"type": "kill-worker"})


def test_the_last_worker_is_spared_unless_the_plan_says_otherwise(tmp_path: Path) -> None:
    fault = {"type": "kill-worker"}
    within(tmp_path, (WORKER,), fault=fault)
    only = Victim(name="worker at h0", host="h0", executors=("1",))
    with pytest.raises(Refusal, match="no worker"):
        within(tmp_path, (only,), alive=1, fault=fault)
    within(tmp_path, (only,), alive=1, fault=fault, blast_radius={"last_worker": True})


def test_a_worker_by_a_name_that_the_cluster_does_not_know_is_not_hit(tmp_path: Path) -> None:
    """Else the worker that is hit would be counted among those that are left."""
    fault = {"type": "kill-worker"}
    spelt = Victim(name="worker at h0.example", host="h0.example", executors=("1",))
    with pytest.raises(Refusal, match=r"would hit h0\.example, which the cluster does not list"):
        within(tmp_path, (spelt,), alive=1, fault=fault)
    within(tmp_path, (spelt,), alive=1, fault=fault, blast_radius={"last_worker": True})
    within(tmp_path, (Victim(name="worker at h0", host="h0", executors=("1",)),), fault=fault)


@pytest.mark.parametrize("fault", ["kill-worker", "restart-workers", "restart-master", "kill-shuffle-service"])
def test_others_that_came_since_the_survey_are_spared_unless_the_plan_says_otherwise(
    tmp_path: Path, fault: str
) -> None:
    spark: dict[str, Any] = {"fault": {"type": fault}, "blast_radius": {"last_worker": True}}
    within(tmp_path, (WORKER,), seen={"applications": ("muster-r",)}, **spark)
    with pytest.raises(Refusal, match=f"{fault} would reach etl"):
        within(tmp_path, (WORKER,), seen={"applications": ("etl", "muster-r")}, **spark)
    with pytest.raises(Refusal, match="could reach others: no answer"):
        within(tmp_path, (WORKER,), seen={"problems": ("no answer",)}, **spark)
    within(tmp_path, (ONE,), seen={"applications": ("etl", "muster-r")})
    allowed = {"last_worker": True, "others": True}
    within(tmp_path, (WORKER,), seen={"applications": ("etl",)}, fault={"type": fault}, blast_radius=allowed)
