"""The failover rehearsal: lose a region on purpose, take over in the other, account for every write, come home."""

from prefect import flow
from prefect.client.schemas.objects import State

from flows.asking import PlanName, Reason, RequestedBy, run_name
from flows.engine import Form, run_drill
from muster.drill import Drill, Step
from muster.failover.checks import CHECKS
from muster.failover.telling import brief, remember, sight, tell
from tasks.failover import (
    account,
    detect,
    end_client,
    fail_back,
    fence,
    hold_steady,
    promote,
    prove_fenced,
    ready,
    rejoin,
    reroute,
    run_away,
    salvage,
    settle,
    start_client,
    steady_after,
    strike,
    survey_pair,
    verify,
    verify_again,
)
from tasks.targets.promotable import Promotable

DRILL = Drill(
    kind="failover",
    needs=Promotable,
    steps=(
        Step("survey", do=survey_pair),
        Step("client", do=start_client, undo=end_client),
        Step("steady", do=hold_steady),
        Step("fault", do=strike, undo=settle, is_urgent=True),
        Step("detect", do=detect, is_urgent=True),
        Step("fence", do=fence, undo=settle, is_urgent=True),
        Step("prove-fence", do=prove_fenced, is_urgent=True),
        Step("promote", do=promote, undo=settle, is_urgent=True),
        Step("reroute", do=reroute, undo=settle, is_urgent=True),
        Step("verify", do=verify),
        Step("away", do=run_away),
        Step("salvage", do=salvage),
        Step("rejoin", do=rejoin, undo=settle),
        Step("failback", do=fail_back, undo=settle),
        Step("verify-again", do=verify_again),
        Step("steady-after", do=steady_after),
        Step("account", do=account),
    ),
    checks=CHECKS,
    tell=tell,
    brief=brief,
    remember=remember,
    sight=sight,
    ready=ready,
)


@flow(name="failover", flow_run_name=run_name, log_prints=False, retries=0)
def failover(plan: PlanName, reason: Reason, requested_by: RequestedBy = "", inject_error: str | None = None) -> State:
    """Prove that the other region takes over.

    Args:
        plan: Name of a plan in deployments/ of kind failover.
        reason: Why it is run now. It goes into the evidence.
        requested_by: Your name. Whoever approves the run has to be someone else.
        inject_error: Name of a step that is to fail, to rehearse the undo. Leave it empty for a drill.
    """
    return run_drill("failover", Form(plan, reason, requested_by, inject_error))
