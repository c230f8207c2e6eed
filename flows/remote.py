"""Prefect from another process: running a plan through its deployment, starting a slot, approving, stopping.

Promises: the run that is followed is the one this flow run opened; Ctrl-C cancels the flow run and waits until it is
undone and sealed; a flow run that dies without a word is told, with the next move; a slot asked for twice is one flow
run.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)
from prefect.states import Cancelling, Crashed, Scheduled

from evidence.slots import slot_key
from flows.asking import COMMAND_LINE_TAG, SLOT_TAG
from flows.halting import VARIABLE
from flows.showing import end_state
from muster.errors import MusterError, UsageError
from muster.ledger import Ledger, Run, open_ledger
from muster.ledger.rows import Decision
from muster.ownership import is_dead
from muster.plan import Plan
from muster.prefectfile import TAG
from muster.settings import Settings
from tasks.estate.card import read_card

_POLL_SECONDS = 0.3
_SOON_SECONDS = 5.0
"""For an answer to what has its effect without the server as well."""
_MOST_ATTEMPTS = 5
_MOST_RUNS = 50
"""Of a plan, looked through for the one of a flow run that never ended."""
_UNENDED = [StateType.RUNNING, StateType.CANCELLING, StateType.PAUSED]
_UNDO_SECONDS = 120.0  # an undo stops processes and deletes folders


def run_deployment(
    settings: Settings,
    plan: Plan,
    reason: str,
    inject_error: str | None,
    follow: Callable[[str], None],
    requested_by: str = "",
    compare: Sequence[str] = (),
) -> str:
    """Run `KIND/PLAN` and wait for its end; returns the run's name once it ended, or its process died."""
    with _client(settings) as client, open_ledger(settings.ledger_url) as ledger:
        parameters: dict[str, Any] = {
            "plan": plan.name, "reason": reason, "requested_by": requested_by, "inject_error": inject_error
        }  # fmt: skip
        parameters |= {"compare": list(compare)} if compare else {}
        try:
            flow_run = client.create_flow_run_from_deployment(
                _deployment(client, plan), parameters=parameters, tags=[COMMAND_LINE_TAG]
            )
        except PrefectHTTPStatusError as error:
            raise UsageError(f"Prefect refused the run: {_detail(error)}", "give a --reason of a few words") from None
        try:
            return _wait(client, ledger, plan, flow_run, follow)
        except KeyboardInterrupt:
            client.set_flow_run_state(flow_run.id, Cancelling(message="interrupted on the command line"))
            return _wait(client, ledger, plan, flow_run, follow, time.monotonic() + _UNDO_SECONDS)


def start_slot(settings: Settings, plan: Plan, tick: datetime) -> str:
    """Have the scheduler run a due slot that did not start; the flow run's id, the same however often it is asked.

    One that ended without taking the slot, such as a crashed one, is followed by another, a few times.
    """
    with _client(settings) as client:
        deployment = _deployment(client, plan)
        for attempt in range(_MOST_ATTEMPTS):
            made = client.create_flow_run_from_deployment(
                deployment,
                parameters={"plan": plan.name, "reason": "its slot was due and had not started"},
                state=Scheduled(scheduled_time=tick),
                tags=[SLOT_TAG],
                idempotency_key=f"{slot_key(plan.name, tick)} {attempt}",
            )
            if made.state is None or not made.state.is_final():
                break
        return str(made.id)


def resume_approved(settings: Settings, run: Run, decision: Decision) -> bool:
    """Wake the flow run that waits for this decision, which is on record already; `False` when that was not to be.

    Nothing is lost then: a waiting flow run looks at the ledger once a second by itself.
    """
    if not run.flow_run:
        return False
    answer = {"approver": decision.by, "approve": decision.approved, "note": decision.note}
    try:
        with _client(settings, retries=0) as client:
            client.resume_flow_run(UUID(run.flow_run), run_input=answer)
    except (httpx.HTTPError, ObjectNotFound, UsageError):
        return False
    return True


def end_crashed(settings: Settings, run: Run) -> None:
    """Take the flow run of a run that died out of a state in which Prefect would leave it for ever."""
    if not run.flow_run:
        return
    with _client(settings) as client:
        state = client.read_flow_run(UUID(run.flow_run)).state
        if state is not None and not state.is_final():
            died: State[None] = Crashed(message=f"its process died; run {run.run} was undone and sealed by another")
            client.set_flow_run_state(UUID(run.flow_run), died)


def end_forgotten(settings: Settings, ledger: Ledger) -> tuple[str, ...]:
    """Tell Prefect how those runs ended whose process died before it could: the server was away, or a kill came.

    Returns the runs. Prefect would show them as running for ever.
    """
    with _client(settings) as client:
        unended = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNENDED)))
        ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
        told = []
        for flow_run in client.read_flow_runs(flow_run_filter=unended, deployment_filter=ours):
            runs = ledger.runs(str(flow_run.parameters.get("plan", "")), limit=_MOST_RUNS)
            run = next((run for run in runs if run.flow_run == str(flow_run.id)), None)
            if run and run.outcome and is_dead(run.owner):
                client.set_flow_run_state(flow_run.id, end_state(run.outcome, run.headline or ""), force=True)
                told.append(run.run)
    return tuple(told)


def set_stop_variable(settings: Settings, reason: str | None, *, by: str = "", at: str = "") -> bool:
    """Set the kill switch's variable, or with `None` take it away; `False` when no server can be reached."""
    try:
        with _client(settings, retries=3) as client:  # a busy server says 503; one that is gone is not tried again
            _write_stop(client, None if reason is None else json.dumps({"reason": reason, "by": by, "at": at}))
    except (httpx.HTTPError, UsageError):
        return False
    return True


def _write_stop(client: SyncPrefectClient, value: str | None) -> None:
    is_there = client.read_variable_by_name(VARIABLE) is not None
    if value is None:
        if is_there:
            client.delete_variable_by_name(VARIABLE)
    elif is_there:
        client.update_variable(VariableUpdate(name=VARIABLE, value=value))
    else:
        client.create_variable(VariableCreate(name=VARIABLE, value=value))


@contextmanager
def _client(settings: Settings, retries: int | None = None) -> Iterator[SyncPrefectClient]:
    changes: dict[Any, Any] = {PREFECT_API_URL: _server_of(settings)}
    if retries is not None:
        changes |= {PREFECT_CLIENT_MAX_RETRIES: retries, PREFECT_API_REQUEST_TIMEOUT: _SOON_SECONDS}
    with temporary_settings(changes), get_client(sync_client=True) as client:
        yield client


def _server_of(settings: Settings) -> str:
    """The estate's server when it is up, else the one that is configured, else the one that Prefect is set up for."""
    card = read_card(settings)
    if card and card.scheduler:
        return card.scheduler.api
    if found := settings.scheduler or PREFECT_API_URL.value():
        return str(found)
    raise UsageError(
        "there is no Prefect server to run the drill on",
        "start one with `muster up` in another terminal, add `--up`, or run in this process with `--here`",
    )


def _deployment(client: SyncPrefectClient, plan: Plan) -> UUID:
    try:
        return client.read_deployment_by_name(f"{plan.kind}/{plan.name}").id
    except ObjectNotFound:
        raise UsageError(
            f"the server has no deployment {plan.kind}/{plan.name}", "deploy the plans with `prefect deploy --all`"
        ) from None


def _detail(error: PrefectHTTPStatusError) -> str:
    try:
        return str(error.response.json()["detail"])
    except (ValueError, KeyError):
        return str(error)


def _wait(
    client: SyncPrefectClient,
    ledger: Ledger,
    plan: Plan,
    flow_run: FlowRun,
    follow: Callable[[str], None],
    deadline: float | None = None,
) -> str:
    limit = deadline or time.monotonic() + longest(plan)
    name = ""
    while time.monotonic() < limit:
        name = name or _opened_by(ledger, plan, flow_run.id)
        if name:
            follow(name)
        state = client.read_flow_run(flow_run.id).state
        if name and state is not None and state.is_final() and _is_at_rest(ledger.run(name)):
            return name  # its bundle was sent, if the store is there, before the flow run ended
        if state is not None and state.is_final() and not name and state.type is not StateType.COMPLETED:
            raise MusterError(f"the flow run ended as {state.name}: {state.message}", "see its log in the Prefect UI")
        time.sleep(_POLL_SECONDS)  # neither the server nor the ledger tells us by itself
    raise MusterError(f"run {name or 'of ' + plan.name} did not end in time", "see `muster undo list`")


def longest(plan: Plan) -> float:
    """Seconds that a run of the plan may take: its turn, which it awaits as long as it may last, approval, undo."""
    approval = plan.approval.within.total_seconds() if plan.approval else 0.0
    return 2 * plan.time_limit.total_seconds() + approval + _UNDO_SECONDS


def _is_at_rest(run: Run) -> bool:
    """Whether nobody drives the run any more: it ended, or its process died."""
    return run.outcome is not None or is_dead(run.owner)


def _opened_by(ledger: Ledger, plan: Plan, flow_run: UUID) -> str:
    """The run that this flow run opened."""
    return next((run.run for run in ledger.runs(plan.name, limit=5) if run.flow_run == str(flow_run)), "")
