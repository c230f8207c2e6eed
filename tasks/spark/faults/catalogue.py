"""Every fault that a cluster of our own can be made to suffer, and its means."""

from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.spark.faults import files, network, resources, signals
from tasks.spark.faults.scene import Scene
from tasks.targets.stressable import Moment

MEANS = {**signals.MEANS, **files.MEANS, **resources.MEANS, **network.MEANS}


def possible() -> frozenset[Fault]:
    """Those for which this machine has what it takes."""
    return frozenset(fault for fault, means in MEANS.items() if means.is_possible())


def strike(scene: Scene, moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    """Carry out the plan's fault."""
    return MEANS[scene.work.spec.fault.type].strike(scene, moment, victims)


def heal(scene: Scene) -> tuple[str, ...]:
    """End the plan's fault."""
    return MEANS[scene.work.spec.fault.type].heal(scene)
