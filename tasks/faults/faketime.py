"""A process whose clock is off, by libfaketime: its wall clock alone, so that its time-outs go by the true one."""

from collections.abc import Mapping
from pathlib import Path

_LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
_SHARED = Path("/dev/shm")  # noqa: S108 - it is not we who choose it


def has_faketime() -> bool:
    """Whether this machine can give one process another clock."""
    return _LIBRARY.exists()


def clock_from(source: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process with another clock; `source` says where it gets it."""
    return {"LD_PRELOAD": str(_LIBRARY), "FAKETIME_DONT_FAKE_MONOTONIC": "1", **source}


def clock_ahead(seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is so far ahead."""
    return clock_from({"FAKETIME": f"{seconds:+d}s"})


def forget_clock(pid: int) -> None:
    """What the library left behind for a process: it is mapped there, and nobody else needs the name."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        (_SHARED / name).unlink(missing_ok=True)
