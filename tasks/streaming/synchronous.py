"""`synchronous_standby_names` of a server that takes over: its commits would wait for a standby that is lost.

Promises: what is taken from a server is noted before, and set again when there is a standby that confirms; a setting
that nobody would fulfil is not left behind.
"""

from collections.abc import Iterable

from muster.errors import StepError, SystemFailure
from muster.failover.observations import Node
from tasks.regions.patience import SecondsLeft, wait_until
from tasks.streaming import roles
from tasks.streaming.notes import Notes
from tasks.streaming.spec import Spec

_LOOK_SECONDS = 5.0
_RELOAD_SECONDS = 15.0
_CONFIRM_SECONDS = 30.0
_ADVICE = "let the hook 'promote' clear it, or set target.clear_synchronous: true"


def require_no_hang(spec: Spec, standby: Node) -> None:
    """A `SystemFailure` when nobody would clear the setting of a standby that is to take over."""
    if spec.clear_synchronous or spec.hooks.promote is not None:
        return
    if names := roles.synchronous_names(standby):
        raise SystemFailure(
            f"{standby.name} has synchronous_standby_names = {names!r}: once it is promoted, commits would wait"
            " for a standby that is lost",
            _ADVICE,
        )


def require_confirmation(primary: Node) -> None:
    """A `SystemFailure` when commits of a promoted server wait for nobody who is there."""
    if not roles.has_synchronous_standby(primary):
        raise SystemFailure(
            f"{primary.name} is promoted, but commits hang: synchronous_standby_names is"
            f" {roles.synchronous_names(primary)!r}, and no such standby streams",
            _ADVICE,
        )


def clear(node: Node, notes: Notes, left: SecondsLeft) -> None:
    """Make sure that commits on this node will wait for nobody."""
    if names := roles.synchronous_names(node):
        notes.add_synchronous(node.name, names if roles.is_synchronous_by_command(node) else None)
        _set(node, "", left)


def restore(nodes: Iterable[Node], notes: Notes, left: SecondsLeft) -> None:
    """Set again what `clear` took; of a primary only if a standby then confirms, else it is a `SystemFailure`."""
    noted = notes.synchronous()
    for node in nodes:
        if node.name not in noted:
            continue
        _set(node, noted[node.name], left)
        if roles.role_of(node, min(_LOOK_SECONDS, left())) == "primary":
            _wait_for_confirmation(node, left)
        notes.drop_synchronous(node.name)


def _set(node: Node, names: str | None, left: SecondsLeft) -> None:
    """Set it, or leave it to the node's files, and wait until that holds."""
    roles.set_synchronous(node, names)

    def holds() -> bool:
        now = roles.synchronous_names(node)
        return now == names if names is not None else bool(now)

    wait_until(
        holds,
        f"synchronous_standby_names of {node.name} to change",
        left,
        at_most=_RELOAD_SECONDS,
        every=roles.POLL_SECONDS,
    )


def _wait_for_confirmation(primary: Node, left: SecondsLeft) -> None:
    words = f"a standby to confirm commits on {primary.name}"
    try:
        wait_until(
            lambda: roles.has_synchronous_standby(primary),
            words,
            left,
            at_most=_CONFIRM_SECONDS,
            every=roles.POLL_SECONDS,
        )
    except StepError:
        names = roles.synchronous_names(primary)
        roles.set_synchronous(primary, "")
        left()
        raise SystemFailure(
            f"no standby that streams from {primary.name} is one of its synchronous_standby_names {names!r}",
            "let the hook 'rejoin' give the standby the expected application_name; until then nobody is waited for",
        ) from None
