"""A local disk of a worker's own: a small file system in memory that only the worker and its executors see.

Promises: nothing is mounted on the machine; the mount is in a namespace that dies with the last process in it; what is
filled is proved to be that file system, and never the machine's disk.
Source: mount_namespaces(7), unshare(1), tmpfs(5).
"""

import errno
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from muster.errors import StepError

FILLER = "muster-filler"
_CHUNK = 2**20
_MOUNT_THEN_EXEC = 'mount -t tmpfs -o "size=$1,mode=700" muster "$2" && shift 2 && exec "$@"'
"""`exec` keeps the pid: the process on record is the worker itself."""


def prefix(folder: Path, mebibytes: int) -> tuple[str, ...]:
    """The words before an argument list that give the program a disk of so many MiB at a folder, which must be there."""
    return (*_unshare(), "sh", "-c", _MOUNT_THEN_EXEC, "sh", f"{mebibytes}m", str(folder))


@cache
def is_possible() -> bool:
    """Whether this user may have a mount namespace of his own on this machine. Tried once a process."""
    if not all(map(shutil.which, ("unshare", "mount"))):
        return False
    words = (*_unshare(), "sh", "-c", "mount -t tmpfs -o size=1m muster /tmp")
    return subprocess.run(words, capture_output=True, timeout=10, check=False).returncode == 0


def _unshare() -> tuple[str, ...]:
    """Root needs no user namespace, and files keep their owner without one."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *user, "--mount", "--propagation", "private", "--")


def seen_by(pid: int, folder: Path) -> Path:
    """A folder as a process sees it, by a path of ours (proc_pid_root(5))."""
    return Path(f"/proc/{pid}/root") / folder.relative_to("/")


def fill(folder: Path, mebibytes: int) -> int:
    """Leave no byte free in a disk of a worker's own; how many were written."""
    sizes = os.statvfs(folder)
    if os.lstat(folder).st_dev == os.lstat(folder.parent).st_dev or sizes.f_blocks * sizes.f_frsize > mebibytes * 2**20:
        raise StepError(f"{folder} is no disk of a worker's own", "see the worker's log: was its file system mounted?")
    size, written = _CHUNK, 0
    descriptor = os.open(folder / FILLER, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while size:
            try:
                written += os.write(descriptor, bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
    finally:
        os.close(descriptor)
    return written


def empty(folder: Path) -> bool:
    """Make sure that what `fill` wrote is gone; whether there was any."""
    try:
        (folder / FILLER).unlink()
    except FileNotFoundError:
        return False
    return True
