"""The cutover drill: hand every schedule from one scheduler to another, and in a rehearsal back again."""

from prefect import flow
from prefect.client.schemas.objects import State

from flows.asking import PlanName, Reason, RequestedBy, run_name
from flows.engine import Form, run_drill
from muster.cutover.checks import CHECKS
from muster.cutover.ownership import Side
from muster.cutover.telling import sight, tell
from muster.drill import Drill, Step
from tasks.cutover import (
    account,
    activate,
    activate_back,
    arm,
    arm_back,
    compare_ticks,
    drain,
    drain_back,
    fence,
    fence_back,
    hold_steady,
    mirror,
    pass_waves,
    pass_waves_back,
    ready,
    remove_copies,
    rest,
    rest_back,
    settle,
    survey_schedulers,
    translate,
    watch,
    watch_back,
)
from tasks.targets.schedulable import Schedulable

DRILL = Drill(
    kind="cutover",
    needs=Schedulable,
    steps=(
        Step("survey", do=survey_schedulers),
        Step("translate", do=translate),
        Step("mirror", do=mirror, undo=remove_copies),
        Step("shadow", do=compare_ticks),
        Step("arm", do=arm, undo=settle),
        Step("steady", do=hold_steady),
        Step("drain", do=drain, is_urgent=True),
        Step("fence", do=fence, is_urgent=True),
        Step("activate", do=activate, is_urgent=True),
        Step("rest", do=rest),
        Step("watch", do=watch),
        Step("waves", do=pass_waves),
        Step("arm-back", do=arm_back),
        Step("drain-back", do=drain_back, is_urgent=True),
        Step("fence-back", do=fence_back, is_urgent=True),
        Step("activate-back", do=activate_back, is_urgent=True),
        Step("rest-back", do=rest_back),
        Step("waves-back", do=pass_waves_back),
        Step("watch-back", do=watch_back),
        Step("account", do=account),
    ),
    checks=CHECKS,
    tell=tell,
    sight=sight,
    parts=frozenset(Side),
    ready=ready,
)


@flow(name="cutover", flow_run_name=run_name, log_prints=False, retries=0)
def cutover(plan: PlanName, reason: Reason, requested_by: RequestedBy = "", inject_error: str | None = None) -> State:
    """Prove that every schedule moves to another scheduler without a missed or a doubled run.

    Args:
        plan: Name of a plan in deployments/ of kind cutover.
        reason: Why it is run now. It goes into the evidence.
        requested_by: Your name. Whoever approves the run has to be someone else.
        inject_error: Name of a step that is to fail, to rehearse the undo. Leave it empty for a drill.
    """
    return run_drill("cutover", Form(plan, reason, requested_by, inject_error))
