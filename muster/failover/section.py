"""The failover section of a plan, for whoever judges or tells a rehearsal."""

from muster.failover.spec import FailoverSpec
from muster.plan import Plan


def spec_of(plan: Plan) -> FailoverSpec:
    """The plan's failover section; a plan of this kind always has one."""
    if plan.failover is None:
        raise ValueError(f"plan {plan.name} is no failover plan")
    return plan.failover
