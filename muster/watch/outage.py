"""Rounds that could not be gone: told by the watch itself, since the ledger cannot remember for it.

Promises: a round that fails now and then wakes nobody; an outage is told once to each route, and once more when it is
over, as long as this process lives.
"""

from datetime import datetime

from muster.ledger.rows import Alert
from muster.notify.send import Notifier, Receipt
from muster.watch.concerns import KINDS, MUSTER, Concern, Condition
from muster.watch.wording import raised, resolved

PATIENCE = 3
"""Rounds in a row that fail before anybody is told."""


class Outage:
    """How many rounds in a row failed, and who was told."""

    def __init__(self, rounds: int = PATIENCE) -> None:
        self._rounds = rounds
        self._failed = 0
        self._since: datetime | None = None
        self._condition, self._why = Condition.LEDGER_AWAY, ""
        self._told: set[str] = set()

    def failed(self, condition: Condition, why: str, outbound: Notifier, now: datetime) -> tuple[Receipt, ...]:
        """Another round failed; tells the routes that do not know yet, once it is an outage."""
        self._failed += 1
        self._since = self._since or now
        self._condition, self._why = condition, why
        if self._failed < self._rounds:
            return ()
        concern = Concern(MUSTER, condition, why, since=self._since)
        missing = [route for route in outbound.routes.of(concern.severity) if route.name not in self._told]
        receipts = outbound.send(raised(concern, self._since, now, outbound.link), missing)
        self._told |= {receipt.route for receipt in receipts if receipt.took}
        return receipts

    def over(self, outbound: Notifier, now: datetime) -> tuple[Receipt, ...]:
        """A round went well; who was told of an outage hears that it is over."""
        since, told, why = self._since, self._told, self._why
        self._failed, self._since, self._told = 0, None, set()
        if since is None or not told:
            return ()
        severity = KINDS[self._condition].severity
        alert = Alert(
            subject=MUSTER, condition=self._condition, severity=severity, words=why, since=since, told=tuple(told)
        )
        message = resolved(alert, now, link=outbound.link)
        receipts = outbound.send(message, [r for r in outbound.routes.all if r.name in told])
        outbound.owed.extend((receipt.route, message) for receipt in receipts if not receipt.took)
        return receipts
