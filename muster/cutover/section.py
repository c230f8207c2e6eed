"""The cutover section of a plan, for whoever judges or tells a cutover."""

from muster.cutover.spec import CutoverSpec
from muster.plan import Plan


def spec_of(plan: Plan) -> CutoverSpec:
    """The plan's cutover section; a plan of this kind always has one."""
    if plan.cutover is None:
        raise ValueError(f"plan {plan.name} is no cutover plan")
    return plan.cutover
