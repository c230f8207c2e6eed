"""Running a plan through its Prefect deployment, from another process.

Promises: the run that is followed is the one this flow run opened; Ctrl-C cancels the flow run and waits until it is
undone and sealed; a flow run that dies without a word is told, with the next move.
"""

import time
from collections.abc import Callable
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling

from muster.errors import MusterError, UsageError
from muster.ledger import Ledger, Run, open_ledger
from muster.ownership import is_dead
from muster.plan import Plan
from muster.settings import Settings
from tasks.estate.card import read_card

_POLL_SECONDS = 0.3
_UNDO_SECONDS = 120.0  # an undo stops processes and deletes folders


def run_deployment(
    settings: Settings, plan: Plan, reason: str, inject_error: str | None, follow: Callable[[str], None]
) -> str:
    """Run `KIND/PLAN` and wait for its end; returns the run's name once it ended, or its process died."""
    address = {PREFECT_API_URL: _server_of(settings)}
    with (
        temporary_settings(address),
        get_client(sync_client=True) as client,
        open_ledger(settings.ledger_url) as ledger,
    ):
        flow_run = _create(client, plan, reason, inject_error)
        try:
            return _wait(client, ledger, plan, flow_run, follow)
        except KeyboardInterrupt:
            client.set_flow_run_state(flow_run.id, Cancelling(message="interrupted on the command line"))
            return _wait(client, ledger, plan, flow_run, follow, time.monotonic() + _UNDO_SECONDS)


def _server_of(settings: Settings) -> str:
    """The estate's server when it is up, else the one that Prefect is set up for."""
    card = read_card(settings)
    if card and card.scheduler:
        return card.scheduler.api
    if not PREFECT_API_URL.value():
        raise UsageError(
            "there is no Prefect server to run the drill on",
            "start one with `muster up` in another terminal, add `--up`, or run in this process with `--here`",
        )
    return str(PREFECT_API_URL.value())


def _create(client: SyncPrefectClient, plan: Plan, reason: str, inject_error: str | None) -> FlowRun:
    try:
        deployment = client.read_deployment_by_name(f"{plan.kind}/{plan.name}")
    except ObjectNotFound:
        raise UsageError(
            f"the server has no deployment {plan.kind}/{plan.name}", "deploy the plans with `prefect deploy --all`"
        ) from None
    parameters = {"plan": plan.name, "reason": reason, "inject_error": inject_error}
    return client.create_flow_run_from_deployment(deployment.id, parameters=parameters)


def _wait(
    client: SyncPrefectClient,
    ledger: Ledger,
    plan: Plan,
    flow_run: FlowRun,
    follow: Callable[[str], None],
    deadline: float | None = None,
) -> str:
    limit = deadline or time.monotonic() + plan.time_limit.total_seconds() + _UNDO_SECONDS
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


def _is_at_rest(run: Run) -> bool:
    """Whether nobody drives the run any more: it ended, or its process died."""
    return run.outcome is not None or is_dead(run.owner)


def _opened_by(ledger: Ledger, plan: Plan, flow_run: UUID) -> str:
    """The run that this flow run opened; its journal says so."""
    for run in ledger.runs(plan.name, limit=5):
        events = ledger.read_events(run.run)
        if events and events[0].body.get("flow_run") == str(flow_run):
            return run.run
    return ""
