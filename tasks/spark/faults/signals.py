"""Faults by signals: what is killed, frozen or asked to leave."""

import signal

from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.process import AT_ONCE
from tasks.spark.cluster import MASTER, SHUFFLE_SERVICE
from tasks.spark.faults.scene import Means, Scene, bring_back
from tasks.spark.session import PREFIX
from tasks.targets.stressable import Moment


def _kill_executors(scene: Scene, moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    found = [(executor, scene.executor(moment, executor)) for v in victims for executor in v.executors]
    for _, process in found:
        process.signal(signal.SIGKILL)
    return tuple(f"executor {executor}: SIGKILL to process {process.pid}" for executor, process in found)


def _kill_workers(scene: Scene, _moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    names = [scene.worker(v) for v in victims]
    for name in names:  # all leaders first: a worker that lives would start another executor
        for process in scene.cluster.tree_of(name)[:1]:
            process.signal(signal.SIGSTOP)
    return tuple(f"{name}: SIGKILL to process {scene.cluster.kill(name)} and its executors" for name in names)


def _kill_master(scene: Scene, _moment: Moment, _victims: tuple[Victim, ...]) -> tuple[str, ...]:
    return (f"the master: SIGKILL to process {scene.cluster.kill(MASTER)}",)


def _kill_shuffle_service(scene: Scene, _moment: Moment, _victims: tuple[Victim, ...]) -> tuple[str, ...]:
    return (f"the shuffle service: SIGKILL to process {scene.cluster.kill(SHUFFLE_SERVICE)}, with its JVM",)


def _kill_drivers(scene: Scene, _moment: Moment, _victims: tuple[Victim, ...]) -> tuple[str, ...]:
    processes = scene.work.processes
    names = [name for name in processes.alive() if name.startswith(PREFIX)]
    for name in names:
        processes.stop(name, signals=AT_ONCE)
    return tuple(f"{name}: SIGKILL, with its JVM" for name in names)


def _freeze_executors(scene: Scene, moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    found = [(executor, scene.executor(moment, executor)) for v in victims for executor in v.executors]
    for _, process in found:
        process.signal(signal.SIGSTOP)
    return tuple(f"executor {executor}: SIGSTOP to process {process.pid}" for executor, process in found)


def _freeze_workers(scene: Scene, _moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    done = []
    for name in map(scene.worker, victims):
        tree = scene.cluster.tree_of(name)
        for process in tree:
            process.signal(signal.SIGSTOP)
        done.append(f"{name}: SIGSTOP to {len(tree)} processes")
    return tuple(done)


def _thaw(scene: Scene) -> tuple[str, ...]:
    for name in scene.cluster.worker_names:
        for process in scene.cluster.tree_of(name):
            process.signal(signal.SIGCONT)
    return ("every process of the workers goes on (SIGCONT)",)


def _decommission(scene: Scene, _moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    done = []
    for name in map(scene.worker, victims):
        for process in scene.cluster.tree_of(name)[:1]:
            process.signal(signal.SIGPWR)
        done.append(f"{name}: SIGPWR, which asks a worker to leave in good order")
    return tuple(done)


def _replace_the_decommissioned(scene: Scene) -> tuple[str, ...]:
    """A worker that was taken out takes no work again: another is started in its place."""
    alive = {w.host for w in scene.cluster.look("heal").alive}
    gone = [name for name in scene.cluster.worker_names if scene.cluster.address_of(name) not in alive]
    for name in gone:
        scene.cluster.kill(name)
    bring_back(scene)
    return tuple(f"{name} was replaced" for name in gone)


MEANS = {
    Fault.KILL_EXECUTOR: Means(_kill_executors),
    Fault.KILL_CACHED: Means(_kill_executors),
    Fault.KILL_WORKER: Means(_kill_workers, bring_back),
    Fault.RESTART_WORKERS: Means(_kill_workers, bring_back),
    Fault.RESTART_MASTER: Means(_kill_master, bring_back),
    Fault.KILL_DRIVER: Means(_kill_drivers),
    Fault.KILL_SHUFFLE_SERVICE: Means(_kill_shuffle_service, bring_back),
    Fault.FREEZE_EXECUTOR: Means(_freeze_executors, _thaw),
    Fault.FREEZE_WORKER: Means(_freeze_workers, _thaw),
    Fault.DECOMMISSION: Means(_decommission, _replace_the_decommissioned),
}
