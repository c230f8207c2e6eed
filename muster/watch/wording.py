"""What people are told when a concern begins, and when it is over."""

from datetime import datetime

from muster.ledger.rows import Alert
from muster.notify.message import Event, Message, Severity, body_of
from muster.quantity import format_seconds
from muster.watch.concerns import KINDS, Concern, Condition


def raised(concern: Concern, since: datetime, now: datetime, link: str = "") -> Message:
    """The message about a concern; `since` is when the ledger first had it, which makes the message's id."""
    kind, card = KINDS[concern.condition], concern.card
    lines = [
        ("owner", card.owner if card else ""),
        ("where", f"{card.kind} drill, {card.environment}" if card else ""),
        ("for", ", ".join(card.controls) if card else ""),
        *concern.more,
        ("do", kind.do.format(s=concern.subject)),
        ("see", link),
    ]
    return Message(
        event=Event.RAISED,
        subject=concern.subject,
        condition=concern.condition.value,
        severity=concern.severity,
        title=kind.now.format(s=concern.subject),
        body=body_of(concern.why, concern.since or since, now, lines),
        since=since,
        at=now,
    )


def resolved(
    alert: Alert, now: datetime, instead: Concern | None = None, link: str = "", *, well: str = "it is over"
) -> Message:
    """The message that an alert is over; `instead` is what is the matter now, if anything, else all is `well`."""
    kind = KINDS.get(Condition(alert.condition)) if alert.condition in set(Condition) else None
    was = kind.over.format(s=alert.subject) if kind else f"{alert.subject}: {alert.condition}"
    lasted = format_seconds(max(0.0, (now - alert.since).total_seconds()))
    now_is = KINDS[instead.condition].now.format(s=instead.subject) if instead else well
    body = body_of(alert.words, alert.since, now, [("now", now_is), ("see", link)])
    return Message(
        event=Event.RESOLVED,
        subject=alert.subject,
        condition=alert.condition,
        severity=Severity(alert.severity),
        title=f"over: {was} for {lasted}",
        body=body,
        since=alert.since,
        at=now,
    )
