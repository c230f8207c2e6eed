"""A disk of a few megabytes, to restore on: a tmpfs in a mount namespace of its own.

Promises: the machine's own mounts are not touched; no root is needed where user namespaces are allowed; the disk is
gone with the one process that holds it. Source: mount_namespaces(7), user_namespaces(7), proc(5) on `/proc/PID/root`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.faults.base import wait_for
from tasks.process import Processes

_HOLD = 'mount -t tmpfs -o size="$2" tmpfs "$1" && touch "$1/ready" && exec sleep infinity'


@contextmanager
def small_disk(folder: Path, size: int, processes: Processes) -> Iterator[Path]:
    """A disk of `size` bytes; the path leads into the holder's namespace, and works for us and what we start."""
    folder.mkdir()
    holder = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _HOLD, "sh", str(folder), str(size)]
    started = processes.start("small-disk", holder, log="small-disk.log")
    disk = Path(f"/proc/{started.pid}/root{folder}")
    try:
        wait_for((disk / "ready").exists, f"a disk of {size} bytes")
        yield disk
    finally:
        processes.stop("small-disk")
