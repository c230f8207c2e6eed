"""The restore drill: choose a backup, restore it beside the source, replay, compare, promote, inspect."""

from prefect import flow
from prefect.client.schemas.objects import State

from flows.asking import PlanName, Reason, RequestedBy, run_name
from flows.engine import Form, run_drill
from muster.drill import Drill, Step
from muster.restore.checks import CHECKS
from muster.restore.telling import brief, remember, sight, tell
from tasks.restore import (
    choose_backup,
    compare_with_reference,
    drop_scratch,
    fetch_backup,
    inspect,
    promote_restored,
    replay_log,
    restore_backup,
    stop_server,
)
from tasks.targets.restorable import Restorable

DRILL = Drill(
    kind="restore",
    needs=Restorable,
    steps=(
        Step("choose", do=choose_backup, undo=drop_scratch),
        Step("fetch", do=fetch_backup, undo=drop_scratch),
        Step("restore", do=restore_backup, undo=drop_scratch),
        Step("replay", do=replay_log, undo=stop_server),
        Step("compare", do=compare_with_reference),
        Step("promote", do=promote_restored, undo=stop_server),
        Step("inspect", do=inspect, undo=stop_server),
    ),
    checks=CHECKS,
    tell=tell,
    brief=brief,
    remember=remember,
    sight=sight,
)


@flow(name="restore", flow_run_name=run_name, log_prints=False, retries=0)
def restore(plan: PlanName, reason: Reason, requested_by: RequestedBy = "", inject_error: str | None = None) -> State:
    """Prove that a backup restores.

    Args:
        plan: Name of a plan in deployments/ of kind restore.
        reason: Why it is run now. It goes into the evidence.
        requested_by: Your name. Whoever approves the run has to be someone else.
        inject_error: Name of a step that is to fail, to rehearse the undo. Leave it empty for a drill.
    """
    return run_drill("restore", Form(plan, reason, requested_by, inject_error))
