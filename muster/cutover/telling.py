"""How a cutover is told: its measures, phases and facts, and the picture of its ticks, all from the journal."""

from collections.abc import Iterator

from muster.cutover.checks import gap_is_short
from muster.cutover.homechecks import told_of
from muster.cutover.measuring import WAYS, gap_of, handovers, reckoned
from muster.cutover.observations import HomeSeen, Surveyed, Translated
from muster.cutover.ownership import Side
from muster.cutover.section import spec_of
from muster.cutover.ticklines import ticklines_of
from muster.drill import Told
from muster.identity import Identity
from muster.journal import History
from muster.phases import phases_of
from muster.plan import Plan
from muster.quantity import count_of
from muster.summary import Measure, Phase

_NOBODY = frozenset(step + way for step in ("drain", "fence", "activate") for way in WAYS)
_LOAD = ("steady", "watch", "watch-back", "waves", "waves-back")


def tell(history: History, plan: Plan) -> Told:
    """The drill's part of a summary."""
    return Told(
        target=_target(history, plan),
        measures=_measures(history, plan),
        phases=phases_of(history, _placed),
        facts=tuple(_facts(history, plan)),
        ticks=ticklines_of(history),
    )


def _placed(phase: Phase) -> Phase:
    """Only between hold and release is nobody at work."""
    lane = "recovery" if phase.name in _NOBODY else "load" if phase.name in _LOAD else "verification"
    return phase.model_copy(update={"lane": lane, "counts": False})


def _target(history: History, plan: Plan) -> str:
    found = history.observed(Identity)
    if not found:
        return f"{plan.target['type']}, which proved no identity"
    return f"{plan.target['type']}: {' and '.join(identity.description for identity in found[:2])} ({found[0].proof})"


def _measures(history: History, plan: Plan) -> tuple[Measure, ...]:
    limit, book = plan.objectives.rto, reckoned(history)
    measures = [
        Measure(
            name="RTO",
            measured=gap_of(history),
            objective=limit.total_seconds() if limit else None,
            verdict=gap_is_short(history, plan).verdict,
            note="with nobody to start what is due, the longest of "
            + count_of(len(handovers(history)), "handover", "handovers"),
        )
    ]
    if book and book.lateness:
        late = spec_of(plan).late.total_seconds()
        measures.append(
            Measure(
                name="Lateness",
                measured=book.lateness.p95,
                objective=late,
                verdict=None,
                note=f"95 % of {book.lateness.count:,} runs began within it",
            )
        )
    return tuple(measures)


def _facts(history: History, plan: Plan) -> Iterator[tuple[str, str]]:
    spec = spec_of(plan)
    yield "kind", "cutover, for good" if spec.commit else "rehearsal, handed back"
    if survey := history.result("survey", Surveyed):
        active = sum(schedule.active for schedule in survey.inventory.schedules)
        yield "cut", f"{count_of(len(survey.inventory.schedules), 'schedule', 'schedules')}, {active} active," \
            f" of {count_of(len(survey.inventory.jobs), 'job', 'jobs')}"  # fmt: skip
        yield "from", f"{survey.holders[Side.A]} ({survey.dialects[Side.A]})"
        yield "to", f"{survey.holders[Side.B]} ({survey.dialects[Side.B]})"
        if len(survey.waves) > 1:
            yield "waves", ", ".join(str(len(wave)) for wave in survey.waves)
    if (translated := history.result("translate", Translated)) and translated.untold:
        yield "inexact", "; ".join(f"{u.schedule}: {u.words}" for u in translated.untold[:5])
    for one in handovers(history):
        drained, activated = one.drained, one.activated
        made_up = f", {len(activated.caught_up)} caught up" if activated.caught_up else ""
        yield (
            f"{drained.out} to {activated.into}",
            f"watermark {drained.watermark:%H:%M:%S.%f}"[:-3]
            + f"; {_unless_unknown(drained.in_flight)} in flight, {activated.dropped} made ahead dropped{made_up}",
        )
    if (seen := history.latest(HomeSeen)) and (seen.caught_up.count or seen.missed.count or seen.untold):
        yield "undo", told_of(seen)
    if book := reckoned(history):
        yield (
            "ticks",
            f"{book.expected:,} due; " + ", ".join(f"{count:,} by {side}" for side, count in book.by_side.items()),
        )
        if book.claims:
            yield "claims", f"{book.claims:,} granted, {book.stopped} second runs stopped"


def _unless_unknown(count: int | None) -> str:
    return "nobody knows how many" if count is None else str(count)


def sight(target: object) -> dict[str, str]:
    """Which schedulers they are."""
    found = target.identities()  # type: ignore[attr-defined]
    return {str(side): str(identity.system_identifier) for side, identity in found.items()}
