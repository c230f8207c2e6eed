"""Faults in the network: a worker that reaches neither master nor driver.

Its processes know both by names that lead to a door of the worker's own, which is stopped. What the master says to the
worker still arrives, and workers fetch from each other.
"""

import signal

from muster.errors import StepError
from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.process import Identity
from tasks.spark.faults.scene import Means, Scene
from tasks.targets.stressable import Moment


def _cut(scene: Scene, _moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    names = [scene.worker(victim) for victim in victims]
    doors = {name: _door(scene, name) for name in names}
    if missing := [name for name, door in doors.items() if door is None]:
        raise StepError(f"{missing[0]} has no door that could be shut", "see the log of the door, spark-door-*.log")
    done = []
    for name, door in doors.items():
        if door:
            door.signal(signal.SIGSTOP)
            done.append(f"{name}: it reaches neither master nor driver (SIGSTOP to its proxy, process {door.pid})")
    return tuple(done)


def _mend(scene: Scene) -> tuple[str, ...]:
    done = []
    for name in scene.cluster.worker_names:
        if door := _door(scene, name):
            door.signal(signal.SIGCONT)
            done.append(f"{name}: its way to master and driver is open (SIGCONT to process {door.pid})")
    return tuple(done)


def _door(scene: Scene, name: str) -> Identity | None:
    found = scene.work.processes.identity(scene.cluster.door_of(name))
    return found if found and found.is_alive() else None


MEANS = {Fault.CUT_NETWORK: Means(_cut, _mend)}
