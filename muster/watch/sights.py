"""Looking at targets between runs: a system that was replaced or upgraded makes its plan `changed` at once.

Promise: bounded in time; each round begins with another plan, so that a target that hangs keeps no other from its turn.
"""

from collections.abc import Sequence

from muster.conduct import Conductor
from muster.plan import Plan

_ROUND_SECONDS = 60


def look_at_targets(conductor: Conductor, plans: Sequence[Plan], seconds: float) -> tuple[str, ...]:
    """Look at target after target until the time is over; returns the plans whose target was seen.

    A plan whose target was not seen when it passed is left out: there is nothing to compare with. One look is as
    long as the target's own time-outs let it be. What cannot be seen is no change, and no error.
    """
    passed = {standing.plan for standing in conductor.ledger.standings() if standing.pass_target}
    waiting = [plan for plan in plans if plan.name in passed]
    if not waiting:
        return ()
    clock = conductor.clock
    first = int(clock.now().timestamp() // _ROUND_SECONDS) % len(waiting)
    deadline = clock.monotonic_ns() + int(seconds * 1e9)
    seen = []
    for plan in waiting[first:] + waiting[:first]:
        if clock.monotonic_ns() >= deadline:
            break
        if conductor.look_at(plan) is not None:
            seen.append(plan.name)
    return tuple(seen)
