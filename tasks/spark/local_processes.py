"""Executors of a cluster that is not ours, but whose processes are on this very machine, and may be signalled by us.

Promises: a process is taken for an executor only by the whole words of its own command line: its class, the id of our
application and the executor's; where two could be meant, neither is. Nothing but such a process is ever signalled.
Source: Spark's `CoarseGrainedExecutorBackend` and `Worker`.
"""

import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import psutil

from muster.errors import StepError
from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.process import Identity
from tasks.targets.stressable import Moment

FAULTS = frozenset({Fault.KILL_EXECUTOR, Fault.KILL_CACHED, Fault.FREEZE_EXECUTOR})
_EXECUTOR = "CoarseGrainedExecutorBackend"
_WORKER = "org.apache.spark.deploy.worker.Worker"
_LOOPBACK = "127."


@dataclass(frozen=True)
class Seen:
    """A process and the words that it was started with."""

    pid: int
    user: int
    words: tuple[str, ...]


Look = Callable[[], Iterable[Seen]]
"""Every process of this machine."""


def look_around() -> Iterator[Seen]:
    """By `/proc`. A process that goes in the midst of it, or tells nothing, is passed over."""
    for process in psutil.process_iter():
        try:
            yield Seen(process.pid, process.uids().effective, tuple(process.cmdline()))
        except psutil.Error:
            continue


def may_signal(hosts: Iterable[str], look: Look = look_around) -> bool:
    """Whether every one of these workers' hosts is this machine, and as many workers here are of our user."""
    wanted = list(hosts)
    ours = [seen for seen in look() if _WORKER in seen.words and _is_ours(seen)]
    return bool(wanted) and len(ours) >= len(wanted) and all(is_here(host) for host in wanted)


def is_here(host: str) -> bool:
    """Whether an address or a name leads to this machine."""
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    own = {each.address.partition("%")[0] for found in psutil.net_if_addrs().values() for each in found}
    return bool(addresses) and all(address.startswith(_LOOPBACK) or address in own for address in addresses)


def signal_executors(
    moment: Moment, victims: tuple[Victim, ...], number: signal.Signals, look: Look = look_around
) -> tuple[str, ...]:
    """Send a signal to just these executors. All are found before the first is hit."""
    wanted = [executor for victim in victims for executor in victim.executors]
    found = [(executor, _process_of(moment.application, executor, look)) for executor in wanted]
    for _, process in found:
        process.signal(number)
    return tuple(f"executor {executor}: {number.name} to process {process.pid}" for executor, process in found)


def thaw(applications: Iterable[str], look: Look = look_around) -> tuple[str, ...]:
    """Let every executor of these applications that stands still go on."""
    wanted, done = set(applications), []
    for seen in look() if wanted else ():
        application, executor = _names(seen)
        if not _is_executor(seen) or application not in wanted or not _is_ours(seen):
            continue
        if _stands_still(seen.pid) and (process := Identity.of(seen.pid)):
            process.signal(signal.SIGCONT)
            done.append(f"executor {executor}: SIGCONT to process {seen.pid}")
    return tuple(done)


def _process_of(application: str, executor: str, look: Look) -> Identity:
    wanted = (application, executor)
    found = [seen for seen in look() if _is_executor(seen) and _names(seen) == wanted]
    if len(found) > 1:
        raise StepError(
            f"{len(found)} processes say that they are executor {executor} of {application}: none was hit",
            "two masters on this machine gave the same id; name a hook in target.hooks",
        )
    process = Identity.of(found[0].pid) if found and _is_ours(found[0]) else None
    if process is None:
        why = "belongs to another user" if found else "is not on this machine"
        raise StepError(f"executor {executor} of {application} {why}", "name a hook in target.hooks that reaches it")
    return process


def _is_executor(seen: Seen) -> bool:
    return any(word.endswith(_EXECUTOR) and "." in word and " " not in word for word in seen.words)


def _is_ours(seen: Seen) -> bool:
    return os.geteuid() in {0, seen.user}


def _stands_still(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def _names(seen: Seen) -> tuple[str, str]:
    """The ids of the application and of the executor."""
    said = dict(pairwise(seen.words))
    return said.get("--app-id", ""), said.get("--executor-id", "")
