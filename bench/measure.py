"""Measuring: repeated wall times with their spread, the ratio of two, and a process's own peak of memory.

Promises: a median never stands without its lowest and highest value; what is compared was run in turn.
"""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_LOOK_EVERY = 0.02


@dataclass(frozen=True)
class Series:
    """Repeated measurements of one thing, in the order they were taken."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        return f"{_digits(self.median)} ({_digits(low)} to {_digits(high)})"


@dataclass(frozen=True)
class Finished:
    """A process that ended well: wall seconds, what it said, the peak of its own resident memory in MB."""

    seconds: float
    output: str
    peak_mb: float


def ratio(of: Series, to: Series) -> Series:
    """Pair by pair, so that a machine which slows down meanwhile slows both."""
    return Series(tuple(a / b for a, b in zip(of.values, to.values, strict=True)))


def timed(act: Callable[[], object]) -> float:
    """Wall seconds of a call."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def run(
    argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, timeout: float, ends: Sequence[int] = (0,)
) -> Finished:
    """Run a program to its end, which has to be one of `ends`; its own memory is watched from outside.

    Source of the peak: `VmHWM`, proc_pid_status(5). Only the last glimpse before the end can be missed.
    """
    began = time.perf_counter()
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            output, complaints, peak = _watched(child, began + timeout)
        except BaseException:
            child.kill()
            raise
    if child.returncode not in ends:
        raise RuntimeError(f"{' '.join(map(str, argv))} ended with {child.returncode}:\n{output}{complaints}")
    return Finished(time.perf_counter() - began, output, peak)


def _watched(child: "subprocess.Popen[str]", deadline: float) -> tuple[str, str, float]:
    peak = 0.0
    while True:
        peak = max(peak, peak_mb(child.pid))
        try:
            return *child.communicate(timeout=_LOOK_EVERY), peak
        except subprocess.TimeoutExpired:
            if time.perf_counter() > deadline:
                raise


def peak_mb(pid: int) -> float:
    """Peak of a process's resident memory so far; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0.0)


def settle() -> None:
    """Write out what earlier work left in memory, so that the next measurement does not pay for it."""
    os.sync()


def _digits(value: float) -> str:
    """Three significant digits, never in exponent form."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
