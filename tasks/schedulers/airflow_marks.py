"""Runs that Muster puts into an Airflow: one that makes up for a tick, one that stands for a tick served elsewhere.

Promises: there is one of a kind for a tick, however often it is asked for; each names in its note who put it there. One
that stands for a tick is put only while its DAG is paused, so that no task of it is ever started.
Why they stand there: Airflow makes no run of a logical date that has one, and goes on to the next (`_create_dag_runs`
of its scheduler). Without them a DAG that is unpaused starts with a tick that the other scheduler has served.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from muster.cutover.schedule import Schedule
from muster.errors import StepError
from tasks.schedulers import airflow_rules as rules
from tasks.schedulers.airflow_api import Api, dag_path, run_path
from tasks.schedulers.airflow_runs import SERVED, STARTED, runs_of

_MANY_TICKS = 200
"""A DAG that would make up for more is not released by us."""
_WORDS = {SERVED: "served by the other scheduler, not here", STARTED: "makes up for a tick that nobody served"}


def run_id(kind: str, tick: datetime) -> str:
    """The id of a run of ours: one a tick, so that asking twice makes one."""
    return kind + tick.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def is_ours(run: Mapping[str, Any], mark: str) -> bool:
    """Whether a cutover of this mark put it there."""
    return str(run["dag_run_id"]).startswith((SERVED, STARTED)) and _note(mark) in (run["note"] or "")


def make_up(api: Api, dag: Mapping[str, Any], tick: datetime, mark: str) -> bool:
    """A run of a tick is to be taken up; what only stands for it gives way. False where none can be made."""
    schedule = rules.schedule_of(dag, _now(api))
    span = rules.data_interval(schedule.rule, dag, tick) if isinstance(schedule, Schedule) else None
    if span is None:
        return False
    if _put(api, dag, STARTED, tick, span, mark):
        return True
    there = runs_of(api, [dag["dag_id"]], tick - timedelta(microseconds=1), tick)
    if idle := [run for run in there if _never_ran(run)]:
        for run in idle:
            api.delete(run_path(dag["dag_id"], run["dag_run_id"]))
        _put(api, dag, STARTED, tick, span, mark)
    return bool(there)


def serve_passed(api: Api, dag: Mapping[str, Any], mark: str) -> None:
    """Let a run stand for each tick for which Airflow would make one as soon as the DAG is unpaused."""
    now, planned = _now(api), rules.moment_of(dag["next_dagrun_run_after"])
    schedule = rules.schedule_of(dag, now)
    if planned is None or planned > now or not isinstance(schedule, Schedule):
        return
    passed = [planned, *rules.ticks(schedule.rule, planned, now)]
    served = passed if schedule.catch_up else sorted({passed[0], passed[-1]})
    if len(served) > _MANY_TICKS:
        raise StepError(
            f"{dag['dag_id']} has catchup, and would make up for {len(served)} ticks since {planned.isoformat()}",
            "deploy it with catchup=False, or a later start_date",
        )
    for tick in served:
        if span := rules.data_interval(schedule.rule, dag, tick):
            _put(api, dag, SERVED, tick, span, mark)
            api.patch(run_path(dag["dag_id"], run_id(SERVED, tick)), {"state": "success"})


def _put(
    api: Api, dag: Mapping[str, Any], kind: str, tick: datetime, span: tuple[datetime, datetime], mark: str
) -> bool:
    """A run of ours; false where its logical date is taken."""
    body = {
        "dag_run_id": run_id(kind, tick),
        "logical_date": span[0].isoformat(),
        "data_interval_start": span[0].isoformat(),
        "data_interval_end": span[1].isoformat(),
        "run_after": tick.isoformat(),
        "note": f"{_note(mark)} {_WORDS[kind]}",
    }
    return api.post(dag_path(dag["dag_id"], "/dagRuns"), body) is not None


def _never_ran(run: Mapping[str, Any]) -> bool:
    return str(run["dag_run_id"]).startswith(SERVED) or (run["state"] == "failed" and run["start_date"] is None)


def _note(mark: str) -> str:
    return f"Muster, {mark}:"


def _now(api: Api) -> datetime:
    return api.clock() or datetime.now(UTC)
