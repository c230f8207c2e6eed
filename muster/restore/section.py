"""The restore section of a plan, for whoever judges or tells a restore drill."""

from muster.plan import Plan
from muster.restore.spec import RestoreSpec


def spec_of(plan: Plan) -> RestoreSpec:
    """The plan's restore section; a plan of this kind always has one."""
    if plan.restore is None:
        raise ValueError(f"plan {plan.name} is no restore plan")
    return plan.restore
