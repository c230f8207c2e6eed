"""Control groups made for one fault: what the kernel gives a few processes of ours, and no others.

Promises: a group is on record before it is made, so that another process of Muster removes it; what is in it when it is
removed goes back to where it was; the machine's own groups are left as they are.
Sources: cgroups(7); the kernel's "Control Group v2", "Memory Resource Controller" and "Block IO Controller" pages.
"""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from muster.errors import StepError

Controller = Literal["memory", "blkio", "io"]

_EMPTY_WITHIN = 10.0
_NAP = 0.02
_PROCESSES = "cgroup.procs"
_V2 = ""
"""The controller of the line of `/proc/PID/cgroup` that is version 2's."""


@dataclass(frozen=True)
class Place:
    """A folder of the kernel's in which a group for these processes may be made."""

    folder: Path
    back: Path
    """The group that the processes are in now."""
    version: Literal[1, 2]


@dataclass(frozen=True)
class Group:
    """A group of ours."""

    folder: Path
    version: Literal[1, 2]

    def limit(self, file: str, value: str) -> None:
        """Write one of its limits; an `OSError` where the kernel has none of the kind, or takes no such value."""
        (self.folder / file).write_text(value, encoding="ascii")

    def limit_if_known(self, file: str, value: str) -> None:
        """The same, where the kernel has it."""
        if (self.folder / file).exists():
            self.limit(file, value)

    def take(self, pid: int) -> None:
        """Move a process with all its threads into it; what it starts from now on is in it too."""
        (self.folder / _PROCESSES).write_text(str(pid), encoding="ascii")

    def says(self, file: str) -> dict[str, int]:
        """One of its files of the form `key number`; nothing of it where there is none."""
        try:
            lines = (self.folder / file).read_text(encoding="ascii").splitlines()
        except OSError:
            return {}
        words = [line.split() for line in lines]
        return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdigit()}


def place_for(controller: Controller, pid: int) -> Place | None:
    """Where a group for a process can be made; `None` where the controller is not to be had.

    Version 2 gives a group's children a controller only when it is switched on for them, which a group with processes
    cannot do: then the group is made beside theirs. Nothing is switched on by us.
    """
    if (found := _folder_of(pid, controller)) is not None:
        return Place(found, found, 1)
    own = _folder_of(pid, _V2)
    if own is None:
        return None
    name = "io" if controller == "blkio" else controller
    for folder in (own, own.parent):
        if name in _words(folder / "cgroup.subtree_control"):
            return Place(folder, own, 2)
    return None


def make(place: Place, name: str, records: Path) -> Group:
    """A group under a name of ours, on record; one of this name that is there already is taken as it is."""
    records.mkdir(parents=True, exist_ok=True)
    folder = place.folder / name
    partial = records.with_name("control-group.partial")
    partial.write_text(f"{place.version}\n{folder}\n{place.back}\n", encoding="utf-8")
    partial.replace(records / name)
    folder.mkdir(exist_ok=True)
    return Group(folder, place.version)


def recorded(records: Path) -> dict[str, Group]:
    """The groups on record, whoever made them; those that are gone too."""
    found = {}
    for path in sorted(records.glob("*")):
        version, folder, _ = _read(path)
        found[path.name] = Group(folder, version)
    return found


def remove(name: str, records: Path) -> bool:
    """Make sure that a group is gone, its processes back where they were; whether there was one."""
    if not (records / name).exists():
        return False
    _, folder, back = _read(records / name)
    was_there = folder.exists()
    deadline = time.monotonic() + _EMPTY_WITHIN
    while folder.exists():
        for pid in _words(folder / _PROCESSES):
            with contextlib.suppress(OSError):  # it has ended
                (back / _PROCESSES).write_text(pid, encoding="ascii")
        with contextlib.suppress(OSError):
            folder.rmdir()
        if folder.exists():
            if time.monotonic() > deadline:
                raise StepError(f"the control group {folder} cannot be removed", "move its processes, and remove it")
            time.sleep(_NAP)
    (records / name).unlink(missing_ok=True)
    return was_there


def _read(record: Path) -> tuple[Literal[1, 2], Path, Path]:
    version, folder, back = record.read_text(encoding="utf-8").splitlines()
    return (1 if version == "1" else 2), Path(folder), Path(back)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []


def _folder_of(pid: int, controller: str) -> Path | None:
    """The folder of the group that a process is in, as it is mounted here; `None` where it is not."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    path = next((p for _, names, p in (line.split(":", 2) for line in lines) if controller in names.split(",")), None)
    return None if path is None else _mounted(mounts, controller, path)


def _mounted(mounts: list[str], controller: str, path: str) -> Path | None:
    """Where a group's path is mounted (proc_pid_mountinfo(5)): fields 4 and 5 are root and mount point."""
    for line in mounts:
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        wanted = kind == "cgroup2" if controller == _V2 else kind == "cgroup" and controller in options.split(",")
        if not wanted:
            continue
        root, point = fields.split()[3:5]
        below = Path(path).relative_to(root) if Path(path).is_relative_to(root) else Path(path.lstrip("/"))
        folder = Path(point) / below
        if (folder / _PROCESSES).exists():
            return folder
    return None
