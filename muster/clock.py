"""Time, passed in: a wall clock to name moments, a monotonic one to measure spans."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

AHEAD = timedelta(minutes=5)
"""How far clocks may be apart: a moment further in the future is not trusted, some clock was set back or is wrong."""


class Clock(Protocol):
    """Two readings. Spans are only ever taken from `monotonic_ns` of one process."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary point; never steps back."""
        ...


class SystemClock:
    """This machine's clocks."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        return datetime.now(UTC)

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary point; never steps back."""
        return time.monotonic_ns()
