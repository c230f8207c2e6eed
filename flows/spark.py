"""The Spark stress drill: run a job with a known answer, break the cluster in the midst of it, compare."""

from prefect import flow
from prefect.client.schemas.objects import State

from flows.asking import PlanName, Reason, RequestedBy, run_name
from flows.engine import Form, run_drill
from muster.drill import Drill, Step
from muster.spark.checks import CHECKS
from muster.spark.telling import sight, tell
from muster.spark.trend import remember
from tasks.stress import (
    account,
    brief,
    end_application,
    end_faults,
    know_answer,
    provide_cluster,
    ready,
    release_cluster,
    run_disturbed,
    run_undisturbed,
    settle,
    survey_cluster,
)
from tasks.targets.stressable import Stressable

DRILL = Drill(
    kind="spark",
    needs=Stressable,
    steps=(
        Step("survey", do=survey_cluster),
        Step("answer", do=know_answer),
        Step("cluster", do=provide_cluster, undo=release_cluster),
        Step("baseline", do=run_undisturbed, undo=end_application),
        Step("stress", do=run_disturbed, undo=end_faults),
        Step("settle", do=settle),
        Step("account", do=account),
    ),
    checks=CHECKS,
    tell=tell,
    brief=brief,
    remember=remember,
    sight=sight,
    ready=ready,
)


@flow(name="spark", flow_run_name=run_name, log_prints=False, retries=0)
def spark(
    plan: PlanName,
    reason: Reason,
    requested_by: RequestedBy = "",
    inject_error: str | None = None,
    compare: list[str] | None = None,
) -> State:
    """Prove that a job gives the same answer when machines are lost under it.

    Args:
        plan: Name of a plan in deployments/ of kind spark.
        reason: Why it is run now. It goes into the evidence.
        requested_by: Your name. Whoever approves the run has to be someone else.
        inject_error: Name of a step that is to fail, to rehearse the undo. Leave it empty for a drill.
        compare: Names of settings in the plan, to be run in turn and told side by side. Leave it empty for the first.
    """
    return run_drill("spark", Form(plan, reason, requested_by, inject_error, tuple(compare or ())))
