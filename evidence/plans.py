"""Plan statements: that a plan was enrolled, changed or retired, signed and entered in the log like any other record.

Promises: the statements of a plan are a chain, each naming the one before, that begins with an enrolment; what is no
such statement in its one form is none.
Source: docs/evidence-format.md, "Plans".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from evidence.envelope import open_envelope
from evidence.statement import PredicateType, predicate_of, statement, utc


class PlanEvent(StrEnum):
    """What became of a plan."""

    ENROLLED = "enrolled"
    """Its slots count from here on: it is new, or came back."""
    CHANGED = "changed"
    """It goes on with another digest."""
    RETIRED = "retired"
    """Its file is gone, and no slot is owed any more."""


@dataclass(frozen=True)
class PlanStatement:
    """What one statement says."""

    plan: str
    number: int
    """Of the plan's statements, from 0."""
    event: PlanEvent
    at: datetime | None
    """When, by the ledger's clock; `None` where no ledger tells: then not later than it was logged."""
    plan_digest: str
    cadence: Mapping[str, Any]
    """As the plan's sealed records hold it, from then on; of a retired plan, up to then."""
    kind: str
    owner: str
    controls: tuple[str, ...]
    reason: str
    by: str
    """Which machine saw it."""
    previous: str | None
    """SHA-256 (hex) of the envelope of the plan's statement before."""

    @property
    def subjects(self) -> dict[str, str]:
        """What it is about: the plan's file, by its digest."""
        return {f"{self.plan}.yaml": self.plan_digest}

    def predicate(self) -> dict[str, Any]:
        """`urn:muster:plan:v1`: docs/schemas/plan.schema.json."""
        return {
            "at": utc(self.at) if self.at else None,
            "by": self.by,
            "cadence": dict(self.cadence),
            "controls": list(self.controls),
            "event": self.event.value,
            "kind": self.kind,
            "number": self.number,
            "owner": self.owner,
            "plan": self.plan,
            "planDigest": {"sha256": self.plan_digest},
            "previous": self.previous,
            "reason": self.reason,
        }

    def payload(self) -> bytes:
        """The bytes to sign."""
        return statement(self.subjects, self.predicate(), PredicateType.PLAN)


@dataclass(frozen=True)
class LoggedStatement:
    """A statement in its place in the log. `envelope` is SHA-256 (hex) of its envelope's bytes."""

    said: PlanStatement
    envelope: str
    index: int
    logged_at: datetime

    @property
    def moment(self) -> datetime:
        """From when on it holds, as far as is known."""
        return self.said.at or self.logged_at


def parse_plan_statement(envelope: bytes) -> PlanStatement | None:
    """The statement in an envelope of any origin. Who signed it is not looked at."""
    opened = open_envelope(envelope)
    body = predicate_of(opened.payload, PredicateType.PLAN) if opened else None
    said = parse_predicate(body) if body is not None else None
    return said if opened and said and said.payload() == opened.payload else None


def parse_predicate(body: Mapping[str, Any]) -> PlanStatement | None:
    """The statement that has this predicate, if one has."""
    try:
        said = PlanStatement(
            plan=body["plan"],
            number=body["number"],
            event=PlanEvent(body["event"]),
            at=datetime.fromisoformat(body["at"]) if body["at"] is not None else None,
            plan_digest=body["planDigest"]["sha256"],
            cadence=body["cadence"],
            kind=body["kind"],
            owner=body["owner"],
            controls=tuple(body["controls"]),
            reason=body["reason"],
            by=body["by"],
            previous=body["previous"],
        )
        words = (said.plan, said.plan_digest, said.kind, said.owner, said.reason, said.by, said.previous or "")
        is_typed = type(said.number) is int and all(isinstance(each, str) for each in (*words, *said.controls))
        return said if is_typed and said.predicate() == body else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def follows(said: PlanStatement, envelope: str | None, before: PlanStatement | None) -> bool:
    """Whether it is the next one of its plan, after `before`, whose envelope has this digest."""
    if (said.number, said.previous) != (before.number + 1 if before else 0, envelope):
        return False
    is_enrolled = before is not None and before.event is not PlanEvent.RETIRED
    return (said.event is not PlanEvent.ENROLLED) == is_enrolled
