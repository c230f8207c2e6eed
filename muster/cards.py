"""Plan cards: what `status`, `deck` and `gate` need of a plan, as plain tuples that are read in a moment.

Promises: a card says what its plan says; importing this module costs no pydantic.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from muster.cadence.spec import Cadence
    from muster.plan import Plan


class PlanCard(NamedTuple):
    """One plan in short. Spans are seconds."""

    name: str
    kind: str
    description: str
    environment: str
    owner: str
    controls: tuple[str, ...]
    target_type: str
    notifications: tuple[str, ...]
    rto_seconds: float | None
    """The objective."""
    rpo_seconds: float | None
    digest: str
    substance: str
    timetable: str
    """Digest of the cadence: with another one, due times computed earlier are stale."""
    cadence_json: str
    cadence_words: str
    """The cadence as a person says it: `monthly on day 1 at 03:00 UTC`, or the cron expression where words fail."""
    grace_seconds: float
    interval_seconds: float
    """The longest time between two slots."""
    path: str
    look_every_seconds: float | None = None
    """How often the target's readiness is looked at; `None` where the kind of drill has no look."""

    def cadence(self) -> "Cadence":
        """The cadence, parsed."""
        from muster.cadence.spec import Cadence

        return Cadence.recorded(self.cadence_json)


def card_of(plan: "Plan", path: str = "") -> PlanCard:
    """The card of a plan."""
    from muster.cadence.wording import words_of

    rto, rpo, cadence = plan.objectives.rto, plan.objectives.rpo, plan.cadence
    return PlanCard(
        name=plan.name,
        kind=plan.kind,
        description=plan.description,
        environment=plan.environment.value,
        owner=plan.owner,
        controls=plan.controls,
        target_type=str(plan.target["type"]),
        notifications=plan.notifications,
        rto_seconds=rto.total_seconds() if rto else None,
        rpo_seconds=rpo.total_seconds() if rpo else None,
        digest=plan.digest,
        substance=plan.substance,
        timetable=cadence.timetable,
        cadence_json=cadence.model_dump_json(),
        cadence_words=words_of(cadence),
        grace_seconds=cadence.grace_period.total_seconds(),
        interval_seconds=cadence.gaps[1].total_seconds(),
        path=path,
        look_every_seconds=plan.look_every.total_seconds() if plan.look_every else None,
    )
