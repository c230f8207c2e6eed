"""The Spark section of a plan, for whoever judges or tells a stress drill."""

from muster.plan import Plan
from muster.spark.spec import SparkSpec


def spec_of(plan: Plan) -> SparkSpec:
    """The plan's Spark section; a plan of this kind always has one."""
    if plan.spark is None:
        raise ValueError(f"plan {plan.name} is no Spark plan")
    return plan.spark
