"""Who drives a run: this process named for ever, and whether another one is known to be dead.

Promise: only a process of this very machine and boot is ever called dead; of others only their lease speaks.
Source: proc(5).
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from muster.errors import MusterError
from muster.ledger import Owner

LEASE_SECONDS = 60.0
_RENEW_SECONDS = 15.0


class LeaseKeeper(Protocol):
    """The part of the ledger that keeps leases."""

    def renew_lease(self, run: str, seconds: float, owner: Owner) -> None:
        """Keep the run."""
        ...


def this_process() -> Owner:
    """The calling process."""
    started = _started(os.getpid())
    if started is None:
        raise MusterError("this process cannot be read in /proc", "Muster needs Linux with /proc mounted")
    return Owner(host=socket.gethostname(), boot_id=_boot_id(), pid=os.getpid(), started=started)


def is_dead(owner: Owner) -> bool:
    """Whether the owner is known to be gone: a process of this boot that no longer runs, or one before a reboot."""
    if owner.host != socket.gethostname():
        return False
    return owner.boot_id != _boot_id() or _started(owner.pid) != owner.started


@contextmanager
def kept_lease(keeper: LeaseKeeper, run: str, owner: Owner) -> Iterator[threading.Event]:
    """Renew the lease while the body runs. The event is set when the run is no longer ours."""
    lost, done = threading.Event(), threading.Event()

    def renew() -> None:
        while not done.wait(_RENEW_SECONDS):
            try:
                keeper.renew_lease(run, LEASE_SECONDS, owner)
            except MusterError:
                lost.set()

    thread = threading.Thread(target=renew, name=f"lease of {run}", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        done.set()
        thread.join(timeout=5)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _started(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
