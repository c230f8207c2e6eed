"""The restore drill: choose a backup, restore it beside the source, replay, compare, promote, inspect."""

from prefect import flow

from flows.engine import run_drill
from muster.drill import Drill, Step
from muster.restore.checks import CHECKS
from muster.restore.telling import brief, remember, tell
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
)


@flow(name="restore", flow_run_name="restore {plan}", log_prints=False, retries=0)
def restore(plan: str = "restore-embedded", reason: str = "scheduled", inject_error: str | None = None) -> None:
    """Prove that a backup restores.

    Args:
        plan: name of a plan in deployments/ of kind restore.
        reason: why it is run now; goes into the evidence.
        inject_error: name of a step that is to fail, to rehearse the undo.
    """
    run_drill("restore", plan, reason, inject_error)
