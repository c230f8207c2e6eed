"""Messages to people: what is the matter, since when, why, who owns it, what to run.

Promises: a message sent again, by whichever process, has the id it had the first time; no message holds a secret.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from muster.quantity import format_seconds


class Severity(StrEnum):
    """How much it matters."""

    CRITICAL = "critical"
    """Somebody has to act now."""
    WARNING = "warning"
    """Somebody has to act, in working hours."""
    INFO = "info"
    """Good to know."""


class Event(StrEnum):
    """What a message is about; the `type` of a webhook's body."""

    RAISED = "muster.alert.raised"
    RESOLVED = "muster.alert.resolved"
    DIGEST = "muster.alert.digest"
    """Several of the others in one, so that an outage is not a thousand messages."""
    TEST = "muster.test"


class Message(NamedTuple):
    """One message. `subject` and `condition` are those of the alert in the ledger."""

    event: Event
    subject: str
    condition: str
    severity: Severity
    title: str
    body: str
    """Plain text, several lines."""
    since: datetime
    at: datetime
    parts: tuple["Message", ...] = ()
    """Of a digest: what it holds."""

    @property
    def id(self) -> str:
        """The same for the same news, so that who gets it twice can tell."""
        if self.parts:
            news = "\n".join(part.id for part in self.parts)
        else:
            since = self.since.astimezone(UTC).isoformat(timespec="microseconds")
            news = f"{self.event}\n{self.subject}\n{self.condition}\n{since}"
        return f"msg_{hashlib.sha256(news.encode()).hexdigest()[:32]}"

    @property
    def data(self) -> dict[str, Any]:
        """The `data` of a webhook's body."""
        told = {
            "subject": self.subject,
            "condition": self.condition,
            "severity": self.severity.value,
            "title": self.title,
            "body": self.body,
            "since": self.since.astimezone(UTC).isoformat(),
        }
        return {**told, "messages": [{"type": p.event.value, **p.data} for p in self.parts]} if self.parts else told


def body_of(why: str, since: datetime, at: datetime, lines: Sequence[tuple[str, str]]) -> str:
    """The body: why, since when, and labelled lines; a line without words is left out."""
    lasted = format_seconds(max(0.0, (at - since).total_seconds()))
    when = f"since: {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {lasted}"
    return "\n".join([f"why: {why}", when, *(f"{label}: {words}" for label, words in lines if words)])


def digest_of(messages: Sequence[Message]) -> Message:
    """One message for many: as grave as the gravest, one line each."""
    grades = list(Severity)
    gravest = min((m.severity for m in messages), key=grades.index)
    ordered = sorted(messages, key=lambda m: (grades.index(m.severity), m.title))
    return Message(
        event=Event.DIGEST,
        subject="muster",
        condition="digest",
        severity=gravest,
        title=f"{len(messages)} messages: {ordered[0].title}, and {len(messages) - 1} more",
        body="\n".join(["\n".join(f"{m.severity}: {m.title}" for m in ordered), "see: `muster status`"]),
        since=min(m.since for m in messages),
        at=max(m.at for m in messages),
        parts=tuple(messages),
    )


def trial(route: str, at: datetime) -> Message:
    """A message that asks of nobody anything but to arrive."""
    return Message(
        event=Event.TEST,
        subject=f"route {route}",
        condition="test",
        severity=Severity.INFO,
        title=f"test: route {route} takes messages",
        body="why: Muster tries whether this route works\ndo: nothing",
        since=at,
        at=at,
    )
