"""A local disk of a worker's own: a small file system in memory that only the worker and its executors see.

Promises: nothing is mounted on the machine; the mount is in a namespace that dies with the last process in it; what is
made full is proved to be that file system, and nothing is written for it: its size becomes what is on it.
Source: mount_namespaces(7), unshare(1), nsenter(1), tmpfs(5).
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from muster.errors import StepError

_TRIES = 20
_PAGE = 4096
"""A size of nothing would be no limit."""
_SECONDS = 10.0
_SOURCE = "muster"
_MOUNT_THEN_EXEC = f'mount -t tmpfs -o "size=$1,mode=700" {_SOURCE} "$2" && shift 2 && exec "$@"'
"""`exec` keeps the pid: the process on record is the worker itself."""


def prefix(folder: Path, mebibytes: int) -> tuple[str, ...]:
    """The words before an argument list that give the program a disk of so many MiB at a folder that is there."""
    return (*_unshare(), "sh", "-c", _MOUNT_THEN_EXEC, "sh", f"{mebibytes}m", str(folder))


@cache
def is_possible() -> bool:
    """Whether this user may have a mount namespace of his own on this machine. Tried once a process."""
    if not all(map(shutil.which, ("unshare", "nsenter", "mount"))):
        return False
    words = (*_unshare(), "sh", "-c", "mount -t tmpfs -o size=1m muster /tmp")
    return subprocess.run(words, capture_output=True, timeout=_SECONDS, check=False).returncode == 0


def _unshare() -> tuple[str, ...]:
    """Root needs no user namespace, and files keep their owner without one."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *user, "--mount", "--propagation", "private", "--")


@dataclass(frozen=True)
class OwnDisk:
    """The disk of a worker that runs."""

    pid: int
    """The worker's."""
    folder: Path
    """As the worker knows it."""
    mebibytes: int

    @property
    def path(self) -> Path:
        """The same folder by a path of ours (proc_pid_root(5))."""
        return Path(f"/proc/{self.pid}/root") / self.folder.relative_to("/")

    def fill(self) -> int:
        """Leave no byte free; how many bytes are on it."""
        if not self._is_ours():
            raise StepError(f"{self.folder} is no disk of a worker's own", "see the worker's log: was it mounted?")
        for _ in range(_TRIES):  # what is written meanwhile makes the kernel refuse, what is deleted leaves room
            sizes = os.statvfs(self.path)
            used = (sizes.f_blocks - sizes.f_bfree) * sizes.f_frsize
            if self._resize(max(used, _PAGE)) and os.statvfs(self.path).f_bfree == 0:
                return used
        raise StepError(f"the local disk at {self.folder} does not stay full", "strike at a quieter moment")

    def make_room(self) -> bool:
        """Make sure that it has its size again; whether it had another."""
        if not self._is_ours() or _size(self.path) == self.mebibytes * 2**20:
            return False
        if not self._resize(self.mebibytes * 2**20):
            raise StepError(f"the local disk at {self.folder} cannot be given its room back", "end the worker")
        return True

    def _is_ours(self) -> bool:
        """Never the machine's disk, whatever became of the mount."""
        is_mount = os.lstat(self.path).st_dev != os.lstat(self.path.parent).st_dev
        return is_mount and _size(self.path) <= self.mebibytes * 2**20

    def _resize(self, size: int) -> bool:
        user = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
        inside = ("nsenter", "--target", str(self.pid), *user, "--mount", "--")
        # With its source named, nothing but the size is set anew: its owner has no name in a namespace of users.
        words = (*inside, "mount", "-o", f"remount,size={size}", _SOURCE, str(self.folder))
        return subprocess.run(words, capture_output=True, timeout=_SECONDS, check=False).returncode == 0


def _size(folder: Path) -> int:
    sizes = os.statvfs(folder)
    return sizes.f_blocks * sizes.f_frsize
