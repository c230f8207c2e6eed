"""Waiting for Patroni, which may not answer for a while in the midst of what is waited for."""

import time
from collections.abc import Callable

from muster.errors import MusterError
from tasks.patroni.api import NoAnswer
from tasks.regions.patience import SecondsLeft, pause

NAP = 0.05
GRACE = 30.0
"""Seconds beside what Patroni's own settings allow: for shutting down, promoting, a slow machine."""


def await_patroni(
    is_so: Callable[[], object],
    left: SecondsLeft,
    at_most: float,
    failed: MusterError,
    state: Callable[[], str] | None = None,
) -> None:
    """Return once it is so; `failed`, and the `state` of then, after `at_most` seconds.

    No answer for a while is no reason to give up.
    """
    until, complaint = time.monotonic() + at_most, ""
    while time.monotonic() < until:
        try:
            if is_so():
                return
            complaint = ""
        except NoAnswer as error:
            complaint = error.message
        pause(NAP, left)
    words = [f"{failed.message} (waited {at_most:g} s)", complaint, state() if state else ""]
    raise type(failed)(": ".join(word for word in words if word), failed.advice)
