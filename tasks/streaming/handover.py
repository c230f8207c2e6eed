"""A planned switch by SQL and one command: the old primary is stopped, and nothing that it wrote is missing.

Promise: it returns only once the standby has applied the old primary's shutdown checkpoint, the last that a server
writes when it stops in good order; so whatever the old one acknowledged is there.
"""

from collections.abc import Callable

from muster.errors import StepError
from muster.failover.observations import Node
from tasks.regions.patience import SecondsLeft, wait_until
from tasks.streaming import roles
from tasks.streaming.notes import Notes

_LOOK_SECONDS = 5.0
_CHECKPOINT_SECONDS = 300.0
_ARRIVAL_SECONDS = 15.0
"""For the last of the log; a primary that stops in good order waits until its standbys have received it."""


def hand_over(old: Node, new: Node, notes: Notes, stop: Callable[[], object], left: SecondsLeft) -> None:
    """Make sure that `old` is stopped and `new` has all of its log, also when an earlier attempt was cut short."""
    after = (
        _prepare(old, new, notes, left)
        if roles.role_of(old, min(_LOOK_SECONDS, left())) == "primary"
        else notes.handed_over()
    )
    if not after:
        raise StepError(
            f"{old.name} does not answer as primary", f"fail over to {new.name} instead: a switch takes both"
        )
    stop()
    wait_until(
        lambda: roles.has_all_of_a_clean_stop(new, after, min(_CHECKPOINT_SECONDS, left())),
        f"{new.name} to apply the shutdown checkpoint of {old.name}, after {after}",
        left,
        at_most=_ARRIVAL_SECONDS,
        every=roles.POLL_SECONDS,
    )
    if roles.role_of(old, min(_LOOK_SECONDS, left())) is not None:
        raise StepError(f"{old.name} answers, though it was stopped", "let the hook 'stop' keep it down")


def _prepare(old: Node, new: Node, notes: Notes, left: SecondsLeft) -> str:
    """Note where the log is, and write out what stopping and proving would have to write; clients are still served."""
    roles.resume_replay(new)
    at = roles.position(old)
    if not roles.streams(new, at.timeline, "0/0"):
        raise StepError(f"{new.name} does not stream from {old.name}", "mend replication first")
    for node in (old, new):
        roles.checkpoint(node, min(_CHECKPOINT_SECONDS, left()))
    notes.set_handed_over(at.lsn)
    return at.lsn
