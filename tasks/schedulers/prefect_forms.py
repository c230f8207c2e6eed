"""What Prefect's API says of deployments and runs, as jobs, schedules and firings, and back. Pure.

Promises: whatever is not understood is unfit with a reason, never left out; what `created` makes, `job_of` and
`schedules_of` read as it was.
Sources: Prefect 3.8, `prefect.server.schemas` (`schedules`, `actions`, `states`). A flow run made ahead of a schedule
names that schedule's id in `created_by`; `expected_start_time` stays the tick however often the run is put off.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from muster.cutover.schedule import (
    CalendarRule,
    CronRule,
    Firing,
    IntervalRule,
    Job,
    RecurrenceRule,
    Rule,
    Schedule,
    Stage,
    Tick,
    Unfit,
)

MARK = "muster:"
"""Begins the tag that a mirror puts on what it makes."""
CAUGHT_UP = "muster "
"""Begins the idempotency key of a run that makes up for a tick."""
ALONE = "muster-alone"
"""Tag on a mirror's deployment of a job whose name names no flow. Flow and deployment both have the job's name then."""
_OWNER = "owner:"
_KEPT = (
    "path",
    "entrypoint",
    "pull_steps",
    "job_variables",
    "parameter_openapi_schema",
    "enforce_parameter_schema",
    "concurrency_options",
    "description",
    "version",
    "work_pool_name",
    "work_queue_name",
)
"""Of a deployment, what makes the same one elsewhere."""
_DEFAULT_QUEUE = "default"
"""Every pool has it."""
_NOT_IN_NAMES = re.compile(r"[/%&<>]")
_NOTHING: tuple[object, ...] = (None, [], {})
"""Left unsaid: a server answers with one of these where it was given another."""
_STAGES = {
    "SCHEDULED": Stage.WAITING,
    "PENDING": Stage.TAKEN,
    "PAUSED": Stage.RUNNING,
    "RUNNING": Stage.RUNNING,
    "CANCELLING": Stage.RUNNING,
    "COMPLETED": Stage.DONE,
    "FAILED": Stage.FAILED,
    "CRASHED": Stage.FAILED,
    "CANCELLED": Stage.CANCELLED,
}

AT_WORK = {
    "operator": "or_",
    "type": {"any_": ["PENDING", "RUNNING", "CANCELLING", "PAUSED"]},
    "name": {"any_": ["AwaitingRetry"]},
}
"""Filter of runs that are taken up and not over. Between two tries a run counts as scheduled."""


def job_of(deployment: Mapping[str, Any], flow: str) -> Job:
    """A deployment is a job; a tag `owner:NAME` names its owner. What a mirror noted for itself is none of its tags."""
    tags = tuple(tag for tag in deployment["tags"] if not tag.startswith(MARK) and tag != ALONE)
    is_alone = ALONE in deployment["tags"] and flow == deployment["name"]
    limit = deployment.get("global_concurrency_limit") or {}
    return Job(
        name=flow if is_alone else f"{flow}/{deployment['name']}",
        parameters=deployment["parameters"],
        tags=tags,
        owner=next((tag.removeprefix(_OWNER) for tag in tags if tag.startswith(_OWNER)), ""),
        concurrency=limit.get("limit", deployment.get("concurrency_limit")),
        own={key: deployment[key] for key in _KEPT if deployment.get(key) not in _NOTHING},
    )


def mark_of(deployment: Mapping[str, Any]) -> str:
    """The mark of the mirror that made it; empty where none did."""
    return next((tag.removeprefix(MARK) for tag in deployment["tags"] if tag.startswith(MARK)), "")


def schedules_of(deployment: Mapping[str, Any], job: Job) -> tuple[dict[str, Schedule], tuple[Unfit, ...]]:
    """Its schedules by Prefect's id of each; or why they cannot be handed over: all of them can, or none."""
    if deployment.get("storage_document_id") or deployment.get("infrastructure_document_id"):
        return {}, (Unfit(name=job.name, reason="it keeps its code or place in a block of this server"),)
    found: dict[str, Schedule] = {}
    unfit: list[Unfit] = []
    rows = deployment["schedules"]
    for row in rows:
        name = job.name if len(rows) == 1 else f"{job.name}#{row.get('slug') or _digest(row)}"
        rule = _rule_of(row["schedule"])
        if rule is None:
            unfit.append(Unfit(name=name, reason="a schedule of a kind that is not known"))
        elif name in {schedule.name for schedule in found.values()}:
            unfit.append(Unfit(name=name, reason="the job has the same schedule twice, and would run twice a tick"))
        elif row.get("max_scheduled_runs"):
            unfit.append(Unfit(name=name, reason="max_scheduled_runs is set on it"))
        else:
            found[row["id"]] = Schedule(
                name=name,
                job=job.name,
                rule=rule,
                active=row["active"] and not deployment["paused"],
                parameters={**job.parameters, **(row.get("parameters") or {})},
            )
    if not unfit:
        return found, ()
    why = f"its job also has a schedule that cannot be handed over: {unfit[0].reason}"
    return {}, (*unfit, *(Unfit(name=schedule.name, reason=why) for schedule in found.values()))


def _digest(row: Mapping[str, Any]) -> str:
    said = json.dumps([row["schedule"], row.get("parameters") or {}], sort_keys=True)
    return sha256(said.encode()).hexdigest()[:8]


def _rule_of(said: Mapping[str, Any]) -> Rule | None:
    zone = said.get("timezone") or "UTC"
    if "cron" in said:
        return CronRule(expression=said["cron"], timezone=zone, day_or=said.get("day_or", True))
    if "interval" in said:
        return IntervalRule(seconds=said["interval"], anchor=said["anchor_date"], timezone=zone)
    if "rrule" in said:
        return RecurrenceRule(text=said["rrule"], timezone=zone)
    return None


def placed(job: Job, pool: Mapping[str, Any], queue: Mapping[str, Any]) -> Job:
    """With what its pool and its queue are like; a limit that is not set is left out."""
    said = {
        "pool_type": pool.get("type"),
        "pool_limit": pool.get("concurrency_limit"),
        "queue_limit": queue.get("concurrency_limit"),
        "queue_priority": queue.get("priority"),
    }
    return job.model_copy(update={"own": {**job.own, **{k: v for k, v in said.items() if v is not None}}})


def queue_of(job: Job) -> str:
    """Name of the queue in its pool."""
    return str(job.own.get("work_queue_name") or _DEFAULT_QUEUE)


def rank_of(job: Job) -> tuple[bool, int, str]:
    """Pools' own queues first, then by priority: a server moves queues that are in the way of a new one."""
    queue = queue_of(job)
    return queue != _DEFAULT_QUEUE, int(job.own.get("queue_priority") or 0), queue


def pool_of(job: Job, mark: str) -> dict[str, Any]:
    """The work pool to create, shut."""
    return {
        "name": job.own["work_pool_name"],
        "type": job.own.get("pool_type") or "process",
        "concurrency_limit": job.own.get("pool_limit"),
        "is_paused": True,
        "description": MARK + mark,
    }


def work_queue_of(job: Job) -> dict[str, Any]:
    """What is set on its queue."""
    said = {"concurrency_limit": job.own.get("queue_limit"), "priority": job.own.get("queue_priority")}
    return {key: value for key, value in said.items() if value is not None}


def flow_of(job: str) -> str:
    """Name of the flow of a job of this name."""
    return job.partition("/")[0]


def deployment_of(job: str) -> str:
    """Name of its deployment."""
    return job.partition("/")[2] or job


def created(job: Job, schedules: Sequence[Schedule], flow_id: str, mark: str = "") -> dict[str, Any]:
    """The deployment to create: paused, so that nothing is made ahead of it."""
    noted = (f"{_OWNER}{job.owner}" if job.owner else "", MARK + mark if mark else "", "" if "/" in job.name else ALONE)
    own = {key: value for key, value in job.own.items() if key in _KEPT and value is not None}
    return {
        **own,
        "name": deployment_of(job.name),
        "flow_id": flow_id,
        "paused": True,
        "parameters": dict(job.parameters),
        "tags": list(dict.fromkeys([*job.tags, *filter(None, noted)])),
        "concurrency_limit": job.concurrency,
        "schedules": [
            {
                "active": schedule.active,
                "schedule": _said(schedule.rule),
                "parameters": {k: v for k, v in schedule.parameters.items() if job.parameters.get(k, ...) != v},
                **({"slug": schedule.name.partition("#")[2]} if "#" in schedule.name else {}),
            }
            for schedule in schedules
        ],
    }


def _said(rule: Rule) -> dict[str, Any]:
    match rule:
        case CronRule():
            return {"cron": rule.expression, "timezone": rule.timezone, "day_or": rule.day_or}
        case IntervalRule():
            return {
                "interval": rule.seconds,
                "anchor_date": rule.anchor.isoformat(),
                "timezone": rule.timezone,
            }
        case RecurrenceRule():
            return {"rrule": rule.text, "timezone": rule.timezone}
        case CalendarRule():
            raise ValueError("Prefect knows no OnCalendar expressions")


def untold_of(job: Job, schedule: Schedule) -> tuple[str, ...]:
    """What Prefect could not carry exactly."""
    untold = []
    if _NOT_IN_NAMES.search(job.name.replace("/", "", 1)) or not all((flow_of(job.name), deployment_of(job.name))):
        untold.append(f"the name {job.name}: Prefect takes no / % & < > in that of a flow or a deployment")
    if isinstance(schedule.rule, CalendarRule):
        untold.append("an OnCalendar expression: write it as cron")
    if schedule.catch_up:
        untold.append("catching up by itself: Prefect starts only what is due from now on")
    if schedule.jitter_seconds:
        untold.append(f"a jitter of {schedule.jitter_seconds:g} s: Prefect starts at the tick")
    if not job.own.get("work_pool_name"):
        untold.append("where the job runs: name a `work_pool_name` in the plan's `jobs`")
    if not job.own.get("entrypoint") and not job.own.get("pull_steps"):
        untold.append("the job itself: name the flow that does its work in the plan's `jobs`")
    return tuple(untold)


def made_up_for(tick: Tick, schedule: Schedule) -> dict[str, Any]:
    """The run to create for a tick that passed."""
    return {
        "state": {"type": "SCHEDULED", "name": "Late", "state_details": {"scheduled_time": tick.at.isoformat()}},
        "idempotency_key": CAUGHT_UP + tick.key,
        "parameters": dict(schedule.parameters),
        "tags": ["caught-up"],
    }


def firing_of(run: Mapping[str, Any], schedules: Mapping[str, Schedule]) -> Firing | None:
    """What became of a tick; `None` for a run that no schedule asked for."""
    at = datetime.fromisoformat(run["expected_start_time"])
    name = _served(run, at, schedules)
    if name is None:
        return None
    stage = _STAGES[run["state_type"] or "SCHEDULED"]
    if stage is Stage.WAITING and run.get("run_count"):
        stage = Stage.RUNNING  # it failed, and is to be tried again
    if stage is Stage.CANCELLED and run.get("start_time"):
        stage = Stage.FAILED
    return Firing(
        schedule=name,
        at=at,
        run=run["id"],
        stage=stage,
        started=run.get("start_time"),
        ended=run.get("end_time"),
        parameters=run.get("parameters"),
    )


def _served(run: Mapping[str, Any], at: datetime, schedules: Mapping[str, Schedule]) -> str | None:
    key = run.get("idempotency_key") or ""
    if key.startswith(CAUGHT_UP):
        said = key.removeprefix(CAUGHT_UP)
        return next((s.name for s in schedules.values() if Tick(s.name, at).key == said), None)
    if not run.get("auto_scheduled"):
        return None
    asked = str((run.get("created_by") or {}).get("id"))
    if asked in schedules:
        return schedules[asked].name
    return next(iter(schedules.values())).name if len(schedules) == 1 else None
