"""The independent client with a wall clock that somebody sets an hour ahead while it runs.

`python -m tasks.faults.failover_clock CONFIG.json`; everything but `time.time_ns` is the client's own.
"""

import sys
import time
from pathlib import Path

from tasks.client.__main__ import main

AHEAD_NS = 3600 * 10**9
_AFTER_NS = 500_000_000


def step_clock() -> None:
    """From half a second on, the wall clock is an hour ahead."""
    true_ns, from_ns = time.time_ns, time.monotonic_ns() + _AFTER_NS

    def time_ns() -> int:
        return true_ns() + (AHEAD_NS if time.monotonic_ns() >= from_ns else 0)

    time.time_ns = time_ns


if __name__ == "__main__":
    step_clock()
    main(Path(sys.argv[1]))
