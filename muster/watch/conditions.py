"""Conditions: what can be the matter, as the ledger's alerts name it.

Promise: importing this module costs nothing; the deck reads alerts by it, and it is read in a hurry.
"""

from enum import StrEnum


class Condition(StrEnum):
    """What can be the matter."""

    NEVER_RUN = "never run"
    OVERDUE = "overdue"
    FAILING = "failing"
    CHANGED = "changed"
    MISSED = "slot missed"
    NOT_READY = "not ready"
    NOT_SEEN = "not seen"
    LEFT_BEHIND = "left behind"
    UNWATCHED = "cannot be watched"
    STOPPED = "stopped"
    SCHEDULER_DOWN = "scheduler down"
    PLANS_UNREADABLE = "plans cannot be read"
    ROUTES_UNREADABLE = "routes cannot be read"
    ROUTE_REFUSES = "route refuses"
    PING_REFUSES = "ping refuses"
    LEDGER_AWAY = "ledger away"
    WATCH_FAILS = "watch fails"


OF_PLANS = frozenset({Condition.NEVER_RUN, Condition.OVERDUE, Condition.FAILING, Condition.CHANGED, Condition.MISSED})
"""Conditions that a plan's standing tells; a round that has the plan has looked at all of them."""
OF_READINESS = frozenset({Condition.NOT_READY, Condition.NOT_SEEN})
"""Conditions that the looks at a plan's target tell; a look that saw nothing ends neither."""
