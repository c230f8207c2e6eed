"""Time, passed in: a wall clock to name moments, a monotonic one to measure spans."""

import time
from datetime import UTC, datetime
from typing import Protocol


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
