"""What a flow run was asked for: the fields of its form, what started it, which slot it serves, its name.

Promises: a run without a reason is refused before it starts, by Prefect's own check of the form; a run's slot comes
from its due time and the plan, never from a scheduler's id.
"""

from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from pydantic import Field

from muster.claims import claim_of
from muster.errors import MusterError
from muster.ledger import Trigger
from muster.plan import Plan, find_plan
from muster.settings import Settings

PlanName = Annotated[str, Field(min_length=2)]
Reason = Annotated[str, Field(min_length=3, max_length=500, pattern=r"\S")]
RequestedBy = Annotated[str, Field(max_length=200)]

SLOT_TAG = "muster:slot"
"""On a flow run that serves the slot at its start time, though no schedule made it."""
COMMAND_LINE_TAG, EVENT_TAG = "muster:command-line", "muster:event"
_TRIGGERS = {SLOT_TAG: Trigger.WATCH, COMMAND_LINE_TAG: Trigger.COMMAND_LINE, EVENT_TAG: Trigger.EVENT}


class Asked(NamedTuple):
    """Why this flow run exists."""

    trigger: Trigger
    at: datetime
    """When it was to start: the due time of a scheduled run, else the moment it was asked for. UTC."""
    serves_slot: bool
    """Whether it serves a due slot of its plan; otherwise it is a slot of its own."""
    flow_run: str


def asked() -> Asked:
    """What the current flow run was asked for."""
    run = _flow_run()
    if run is None:
        return Asked(Trigger.RUN_BUTTON, datetime.now(UTC), serves_slot=False, flow_run="")
    due = run.expected_start_time or datetime.now(UTC)
    at = datetime.fromtimestamp(due.timestamp(), UTC)
    trigger = _trigger_of(run)
    return Asked(trigger, at, trigger in (Trigger.SCHEDULE, Trigger.WATCH), str(run.id))


def run_name() -> str:
    """`PLAN · TARGET · SLOT`. A plan that cannot be read still has a name; the flow itself tells what is wrong."""
    run = _flow_run()
    name = str(run.parameters.get("plan", "")) if run else ""
    try:
        plan = find_plan(Settings.from_environment().plans, name)
    except MusterError:
        return name or "drill"
    return f"{plan.name} · {plan.target['type']} · {slot_of(plan, asked()):%Y-%m-%d %H:%MZ}"


def slot_of(plan: Plan, asked: Asked) -> datetime:
    """The time that names the slot."""
    return claim_of(plan, asked.at, asked.at).tick if asked.serves_slot else asked.at


def _trigger_of(run: FlowRun) -> Trigger:
    if run.auto_scheduled:
        return Trigger.SCHEDULE
    if run.created_by is not None and run.created_by.type == "AUTOMATION":
        return Trigger.EVENT
    return next((_TRIGGERS[tag] for tag in run.tags if tag in _TRIGGERS), Trigger.RUN_BUTTON)


def _flow_run() -> FlowRun | None:
    context = FlowRunContext.get()
    return context.flow_run if context else None
