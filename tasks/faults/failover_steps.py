"""Faults in the failover rehearsal's own steps."""

import time

from muster.drill import Context
from muster.failover.observations import Cast, FailedBack
from tasks.faults.failover_stage import pair_of

_WHILE = 0.4
"""Seconds in which clients write what is then lost."""


def lose_the_tail(context: Context) -> FailedBack:
    """Home is promoted without what the other region took last."""
    cast, pair = context.result("survey", Cast), pair_of(context)
    asked = time.monotonic_ns()
    pair.link.cut()
    time.sleep(_WHILE)
    pair.fence(cast.new)
    promoted = pair.promote(cast.old)
    pair.link.heal()
    pair.rejoin(cast.new, cast.old)
    return FailedBack(
        node=cast.old,
        asked_ns=asked,
        switched_ns=promoted.promoted_ns,
        timeline=promoted.timeline,
        how="promoted, whatever it lacked",
    )
