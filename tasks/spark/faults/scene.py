"""What a fault on a cluster of our own may use, and what each kind of it has to offer."""

from collections.abc import Callable
from dataclasses import dataclass, field

from muster.errors import StepError
from muster.spark.observations import Victim
from tasks.process import Identity
from tasks.spark.cluster import MASTER, SHUFFLE_SERVICE, Cluster
from tasks.targets.stressable import Moment, Work


@dataclass(frozen=True)
class Scene:
    """The cluster, and the run it serves."""

    cluster: Cluster
    work: Work

    def executor(self, moment: Moment, executor: str) -> Identity:
        """The process of one of our application's executors."""
        found = self.cluster.executor_of(moment.application, executor)
        if found is None:
            raise StepError(f"executor {executor} of {moment.application} runs on none of our workers", "see its log")
        return found

    def worker(self, victim: Victim) -> str:
        """The name on record of a victim that is a worker."""
        return self.cluster.worker_at(victim.host)


Strike = Callable[[Scene, Moment, tuple[Victim, ...]], tuple[str, ...]]
"""Carries a fault out on just these victims; says what was done."""


def always() -> bool:
    """Needs nothing beyond our own rights."""
    return True


def _nothing(_scene: Scene) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Means:
    """How one kind of fault is carried out and ended."""

    strike: Strike
    heal: Callable[[Scene], tuple[str, ...]] = field(default=_nothing)
    """Ends it, on whatever victims; says what was mended. Safe to repeat, and where nothing is wrong."""
    is_possible: Callable[[], bool] = always
    """Whether this machine has what it takes."""


def bring_back(scene: Scene) -> tuple[str, ...]:
    """Start again whatever of the cluster does not run."""
    alive, done = set(scene.work.processes.alive()), []
    if MASTER not in alive:
        scene.cluster.start_master(scene.work.seconds_left)
        done.append("the master was started again")
    if scene.cluster.shape.has_shuffle_service and SHUFFLE_SERVICE not in alive:
        scene.cluster.start_shuffle_service(scene.work.seconds_left)
        done.append("the shuffle service was started again")
    for name in scene.cluster.worker_names:
        if name not in alive:
            scene.cluster.start_worker(name)
            done.append(f"{name} was started again")
    scene.cluster.wait_for_workers(len(scene.cluster.worker_names), scene.work.seconds_left)
    return tuple(done)
