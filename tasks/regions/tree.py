"""What can happen to a running server from outside: it freezes, thaws, or may write to no file any more.

Promises: a backend is reached though each is a session of its own; only processes that descend from the server on
record are touched; the postmaster stops first and goes on last, so that it starts nothing in between.
"""

import resource
import signal

import psutil

from tasks.process import Identity, Processes


def freeze(processes: Processes, name: str) -> int:
    """Stop the server and its backends (SIGSTOP); how many processes that are."""
    leader = processes.identity(name)
    if leader is None or not leader.is_alive():
        return 0
    leader.signal(signal.SIGSTOP)
    backends = _backends(leader)
    for backend in backends:
        backend.signal(signal.SIGSTOP)
    return 1 + len(backends)


def thaw(processes: Processes, name: str) -> int:
    """Let frozen processes of the server go on (SIGCONT); how many there were."""
    leader = processes.identity(name)
    if leader is None:
        return 0
    frozen = [process for process in (*_backends(leader), leader) if _is_stopped(process)]
    for process in frozen:
        process.signal(signal.SIGCONT)
    return len(frozen)


def is_frozen(processes: Processes, name: str) -> bool:
    """Whether the server is stopped."""
    leader = processes.identity(name)
    return leader is not None and _is_stopped(leader)


def forbid_writing(processes: Processes, name: str) -> int:
    """Give the server no room: every further write to a file fails; how many processes that are.

    By the soft `RLIMIT_FSIZE`, setrlimit(2): it needs no root, holds for backends yet to come, and is taken back.
    PostgreSQL ignores SIGXFSZ, so that its write fails as on a full disk, with EFBIG in the place of ENOSPC.
    """
    return _limit_files(processes, name, 0)


def allow_writing(processes: Processes, name: str) -> int:
    """Take `forbid_writing` back; how many processes were under it."""
    return _limit_files(processes, name, resource.RLIM_INFINITY)


def _limit_files(processes: Processes, name: str, bytes_: int) -> int:
    leader = processes.identity(name)
    if leader is None or not leader.is_alive():
        return 0
    return sum(_limit(process, bytes_) for process in (leader, *_backends(leader)))


def _limit(process: Identity, bytes_: int) -> bool:
    """Whether the limit was another one; a process that has gone meanwhile has none."""
    try:
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        wanted = hard if bytes_ == resource.RLIM_INFINITY else bytes_
        if soft == wanted or not process.is_alive():
            return False
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (wanted, hard))
    except ProcessLookupError:
        return False
    return True


def _backends(leader: Identity) -> tuple[Identity, ...]:
    try:
        children = psutil.Process(leader.pid).children(recursive=True) if leader.is_alive() else []
    except psutil.NoSuchProcess:
        return ()
    return tuple(found for child in children if (found := Identity.of(child.pid)))


def _is_stopped(process: Identity) -> bool:
    try:
        return process.is_alive() and psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False
