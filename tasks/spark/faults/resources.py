"""Faults in what a machine gives: a local disk that is full, one that is slow, memory that is not to be had.

Promises: what is full is a disk of the worker's own; what is limited are the victims' processes, in groups that carry
the run's name and are on record; nothing of the machine's is used up.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from muster.errors import StepError
from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.spark.faults import cgroups, disk
from tasks.spark.faults.cgroups import Controller, Group
from tasks.spark.faults.scene import Means, Scene
from tasks.targets.stressable import Moment

_SLOW = 2**20
"""Bytes a second that a slow disk takes: a hundredth of what an old one does."""
_MEMORY = 2**20
"""Bytes that an executor still gets, after all that it has: the kernel counts what is taken from now on."""


def _fill(scene: Scene, _moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    done = []
    for name in map(scene.worker, victims):
        own = scene.cluster.disk_of(name)
        if own is None:
            raise StepError(f"{name} has no disk of its own, and the machine's is not ours to fill", "set `local_disk`")
        done.append(f"{name}: its local disk holds {own.fill():,} bytes, and not one more")
    return tuple(done)


def _empty(scene: Scene) -> tuple[str, ...]:
    disks = {name: scene.cluster.disk_of(name) for name in scene.cluster.worker_names}
    names = [name for name, own in disks.items() if own and own.make_room()]
    return tuple(f"{name}: there is room on its local disk again" for name in names)


def _slow(scene: Scene, _moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    done = []
    for name in map(scene.worker, victims):
        device = _device_of(scene.cluster.local_of(name))
        if device is None:
            raise StepError(f"the local folder of {name} is on no block device", "put Muster's home on a disk")
        leader = scene.cluster.tree_of(name)[0]
        group = _group(scene, "blkio", leader.pid, f"slow-{name}")
        _limit_writes(group, device, str(_SLOW))
        group.take(leader.pid)  # first, so that whatever it starts from now on is slow too
        rest = scene.cluster.tree_of(name)[1:]
        for process in rest:
            group.take(process.pid)
        done.append(f"{name}: {1 + len(rest)} processes write {_SLOW:,} bytes a second at the most to device {device}")
    return tuple(done)


def _limit_writes(group: Group, device: str, rate: str) -> None:
    if group.version == 1:
        group.limit("blkio.throttle.write_bps_device", f"{device} {rate}")
    else:
        group.limit("io.max", f"{device} wbps={rate}")


def _starve(scene: Scene, moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    done = []
    for executor in (executor for victim in victims for executor in victim.executors):
        process = scene.executor(moment, executor)
        group = _group(scene, "memory", process.pid, f"memory-executor-{executor}")
        _limit_memory(group)
        group.take(process.pid)
        done.append(f"executor {executor}: process {process.pid} gets no more memory than it has")
    return tuple(done)


def _limit_memory(group: Group) -> None:
    """Nor room on a swap device, where the kernel counts that."""
    if group.version == 1:
        group.limit("memory.limit_in_bytes", str(_MEMORY))
        group.limit_if_known("memory.memsw.limit_in_bytes", str(_MEMORY))
    else:
        group.limit("memory.max", str(_MEMORY))
        group.limit_if_known("memory.swap.max", "0")


def _group(scene: Scene, controller: Controller, pid: int, what: str) -> Group:
    place = cgroups.place_for(controller, pid)
    if place is None:
        raise StepError(f"the kernel limits no {controller} for process {pid} here", "choose another fault")
    return cgroups.make(place, f"muster-{scene.work.workspace.run}-{what}", records_of(scene.cluster.home))


def _lift(scene: Scene) -> tuple[str, ...]:
    return lift(scene.cluster.home)


def lift(home: Path) -> tuple[str, ...]:
    """Make sure that no control group made for the cluster below `home` is left; what became of each."""
    records, done = records_of(home), []
    for name, group in cgroups.recorded(records).items():
        killed = group.says("memory.oom_control" if group.version == 1 else "memory.events").get("oom_kill")
        _unlimit_writes(group)  # or what still waits to be written would wait on
        if cgroups.remove(name, records):
            told = "" if killed is None else f", in which the kernel ended {killed} for want of memory"
            done.append(f"the control group {name} was removed{told}")
    return tuple(done)


def _unlimit_writes(group: Group) -> None:
    kept, none = ("blkio.throttle.write_bps_device", "0") if group.version == 1 else ("io.max", "max")
    path = group.folder / kept
    for line in path.read_text(encoding="ascii").splitlines() if path.exists() else ():
        _limit_writes(group, line.split()[0], none)


def records_of(home: Path) -> Path:
    """Where the control groups of a cluster are on record."""
    return home / "groups"


def _device_of(folder: Path) -> str | None:
    """The number of the whole disk that a folder is on, as `MAJOR:MINOR`; `None` of what is on none, as memory."""
    number = folder.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    if (device / "partition").exists():
        device = device.parent
    return (device / "dev").read_text(encoding="ascii").strip() if (device / "dev").exists() else None


@cache
def _can_slow() -> bool:
    device = _device_of(Path.cwd())
    return device is not None and _works("blkio", lambda group: _limit_writes(group, device, str(_SLOW)))


@cache
def _can_starve() -> bool:
    return _works("memory", _limit_memory)


def _works(controller: Controller, limit: Callable[[Group], None]) -> bool:
    """Whether we may make a control group with this limit, and move a process of ours into it: tried with a sleeper."""
    sleeper = subprocess.Popen(["sleep", "30"])
    name = f"muster-probe-{sleeper.pid}"
    with tempfile.TemporaryDirectory(prefix="muster-") as folder:
        records = Path(folder) / "groups"
        try:
            place = cgroups.place_for(controller, sleeper.pid)
            if place is None:
                return False
            group = cgroups.make(place, name, records)
            group.take(sleeper.pid)
            limit(group)
        except OSError:
            return False
        finally:
            sleeper.kill()
            sleeper.wait()
            cgroups.remove(name, records)
    return True


MEANS = {
    Fault.FULL_DISK: Means(_fill, _empty, disk.is_possible),
    Fault.SLOW_DISK: Means(_slow, _lift, _can_slow),
    Fault.OUT_OF_MEMORY: Means(_starve, _lift, _can_starve),
}
