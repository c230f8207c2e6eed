"""Runs of DAGs as firings: which tick a run serves, and how far it has come.

Promises: a run counts as taken up when one of its tasks was, whatever Airflow says of the run: on a paused DAG a run
"is running" of which no task ever starts. A run that stands for a tick served elsewhere is never a firing.
Traps: only `run_after` is when a run was due; a run somebody cleared waits again, and keeps its history.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from muster.cutover.schedule import Firing, Stage
from tasks.schedulers.airflow_api import Api
from tasks.schedulers.airflow_rules import moment_of

SERVED = "muster-served-"
"""Begins the id of a run that keeps Airflow from making one of a tick that was served elsewhere."""
STARTED = "muster-started-"
"""Begins the id of a run that makes up for a tick."""
_MANY = 100
_BY_HAND, _OF_RULE = "manual", "scheduled"
_STAGES = {"running": Stage.RUNNING, "success": Stage.DONE, "failed": Stage.FAILED}


def runs_of(
    api: Api, dags: Iterable[str], after: datetime | None = None, until: datetime | None = None, **only: object
) -> list[dict[str, Any]]:
    """Runs of ticks in (after, until], as Airflow has them; those that only stand for a tick too."""
    span = {"run_after_gte": after, "run_after_lte": until}
    body = {name: moment.isoformat() for name, moment in span.items() if moment} | only
    found = [
        run
        for batch in _batches(dags)
        for run in api.found("dags/~/dagRuns/list", {**body, "dag_ids": batch, "order_by": "id"})
    ]
    return [run for run in found if _is_of_tick(run) and (after is None or due(run) > after)]


def firings_of(api: Api, runs: Sequence[Mapping[str, Any]]) -> tuple[Firing, ...]:
    """What was made of ticks, in order; runs that only stand for one are left out."""
    real = [run for run in runs if not str(run["dag_run_id"]).startswith(SERVED)]
    taken = _taken(api, [run for run in real if run["state"] in {"queued", "running"}])
    return tuple(sorted((_firing(run, taken) for run in real), key=lambda firing: (firing.at, firing.schedule)))


def due(run: Mapping[str, Any]) -> datetime:
    """When a run was due."""
    return datetime.fromisoformat(run["run_after"]).astimezone(UTC)


def _is_of_tick(run: Mapping[str, Any]) -> bool:
    by_hand = run["run_type"] == _BY_HAND and str(run["dag_run_id"]).startswith((SERVED, STARTED))
    return by_hand or run["run_type"] == _OF_RULE


def _firing(run: Mapping[str, Any], taken: Collection[tuple[str, str]]) -> Firing:
    return Firing(
        schedule=run["dag_id"],
        at=due(run),
        run=run["dag_run_id"],
        stage=_stage(run, (run["dag_id"], run["dag_run_id"]) in taken),
        started=moment_of(run["start_date"]),
        ended=moment_of(run["end_date"]),
        parameters=run["conf"] or None,
    )


def _stage(run: Mapping[str, Any], is_taken: bool) -> Stage:
    state = run["state"]
    if state in {"queued", "running"} and not is_taken:
        return Stage.WAITING
    if state == "queued":
        return Stage.TAKEN
    if state == "failed" and run["start_date"] is None:
        return Stage.CANCELLED
    return _STAGES[state]


def _taken(api: Api, runs: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Those of which a task was handed to a worker."""
    wanted = {(run["dag_id"], run["dag_run_id"]) for run in runs}
    tasks = (
        task
        for batch in _batches({dag for dag, _ in wanted})
        for task in api.found(
            "dags/~/dagRuns/~/taskInstances/list",
            {"dag_ids": batch, "dag_run_ids": sorted({run for dag, run in wanted if dag in batch})},
        )
    )
    return {key for task in tasks if (key := (task["dag_id"], task["dag_run_id"])) in wanted and _is_begun(task)}


def _is_begun(task: Mapping[str, Any]) -> bool:
    return task["state"] not in {None, "scheduled"} or task["start_date"] is not None or task["try_number"] > 1


def _batches(names: Iterable[str]) -> Iterable[list[str]]:
    source = iter(sorted(set(names)))
    while batch := list(islice(source, _MANY)):
        yield batch
