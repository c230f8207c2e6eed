"""Waiting with an end: for a condition, within the time that is left."""

import time
from collections.abc import Callable

from muster.errors import StepError

SecondsLeft = Callable[[], float]
"""Seconds until everything must be over; raises when they are up."""

_NAP = 0.005


def countdown(seconds: float) -> SecondsLeft:
    """The time left of so many seconds from now."""
    until = time.monotonic() + seconds

    def seconds_left() -> float:
        left = until - time.monotonic()
        if left <= 0:
            raise StepError(f"not done within {seconds:g} seconds", "look at the servers' logs")
        return left

    return seconds_left


def wait_until(
    is_so: Callable[[], bool], words: str, seconds_left: SecondsLeft, *, at_most: float, every: float = _NAP
) -> None:
    """Return once it is so, asked again after so many seconds; a `StepError` after `at_most` seconds."""
    until = time.monotonic() + at_most
    while not is_so():
        seconds_left()
        if time.monotonic() > until:
            raise StepError(f"waited {at_most:g} seconds in vain for {words}", "look at the servers' logs")
        time.sleep(every)


def pause(seconds: float, seconds_left: SecondsLeft) -> None:
    """Let time pass, unless it is up before."""
    until = time.monotonic() + seconds
    while (rest := until - time.monotonic()) > 0:
        time.sleep(min(rest, 0.05, seconds_left()))
