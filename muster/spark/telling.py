"""How a Spark stress drill is told: its measures, phases, facts, and what it cost, all from the journal."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from muster.drill import Told
from muster.identity import Identity
from muster.journal import History
from muster.phases import phases_of
from muster.plan import Plan
from muster.quantity import count_of
from muster.spark.activity import activity_of
from muster.spark.advice import advice_of
from muster.spark.checks import rto, slowdown_words
from muster.spark.measuring import Spread, laps_of, noticed, pairs_of, regained, spread_of, struck_in
from muster.spark.observations import Accounting, Known, Landing, Lap, LapMeasured, Provided
from muster.spark.section import spec_of
from muster.summary import Amount, Cost, CostColumn, Costs, Measure, Phase, Unit

_LOAD = ("baseline", "stress")


def tell(history: History, plan: Plan) -> Told:
    """The drill's part of a summary."""
    return Told(
        target=_target(history, plan),
        measures=_measures(history, plan),
        phases=phases_of(history, _placed),
        facts=tuple(_facts(history, plan)),
        activity=activity_of(history, plan),
        costs=costs_of(history, plan),
        advice=advice_of(history, plan),
    )


def _placed(phase: Phase) -> Phase:
    """RTO is a difference of laps, not a sum of steps: no step counts towards it."""
    return phase.model_copy(update={"lane": "load" if phase.name in _LOAD else "verification", "counts": False})


def _target(history: History, plan: Plan) -> str:
    identity = history.latest(Identity)
    if identity is None:
        return f"{plan.target['type']}, which proved no identity"
    return f"{plan.target['type']}: {identity.description} ({identity.proof})"


def _measures(history: History, plan: Plan) -> tuple[Measure, ...]:
    spec = spec_of(plan)
    pairs = pairs_of(history, spec.judged)
    delays = spread_of([pair.delay for pair in pairs])
    times = spread_of([pair.slowdown for pair in pairs])
    note = ""
    if delays and times:
        note = f"the answer later than undisturbed, the worst of {count_of(delays.count, 'pair', 'pairs')}"
        note += f"; {slowdown_words(times)} as long as undisturbed"
        note += f"; with {spec.judged}" if len(spec.variants) > 1 else ""
    measures = [
        Measure(
            name="RTO",
            measured=delays.most if delays else None,
            objective=_seconds(plan.objectives.rto),
            verdict=rto(history, plan).verdict,
            note=note,
        )
    ]
    for name, found, limit in (
        ("Noticed", noticed(history, spec.judged), spec.notice),
        ("Capacity back", regained(history, spec.judged), spec.regain),
    ):
        if found:
            measures.append(
                Measure(name=name, measured=found.most, objective=_seconds(limit), verdict=None, note="after the fault")
            )
    return tuple(measures)


def _facts(history: History, plan: Plan) -> Iterator[tuple[str, str]]:
    spec = spec_of(plan)
    if right := history.result("answer", Known):
        yield "job", right.question.words
        yield "compared", right.compared
        if right.not_compared:
            yield "not compared", right.not_compared
    fault = spec.fault
    yield "fault", f"{fault.type} during the {fault.during} stage, once {fault.after:.0%} of its tasks had ended"
    for lap in laps_of(history, "disturbed"):
        if struck := struck_in(history, lap.number):
            at = f"stage {struck.stage}, {struck.tasks_done} of {struck.tasks} tasks done"
            yield f"lap {lap.number}", f"{'; '.join(struck.done)} ({at})"
    if provided := history.result("cluster", Provided):
        yield "cluster", provided.how
        if provided.java:
            yield "java", provided.java
    if accounting := history.result("account", Accounting):
        yield "spark", accounting.spark
        for variant, settings in accounting.settings.items():
            told = ", ".join(f"{key}={value}" for key, value in sorted(settings.items()))
            yield f"settings {variant}", told or "Spark's defaults"


def costs_of(history: History, plan: Plan) -> Costs | None:
    """What laps cost, a column each for the undisturbed and the disturbed ones of every variant.

    Of pairs whose disturbed lap ended well; where there are none, of all laps that have an event log.
    """
    variants = spec_of(plan).variants
    read = {m.number: m for m in history.observed(LapMeasured) if m.cost.tasks}  # a log without a task measured nothing
    columns = [
        (variant, kind, laps)
        for variant in variants
        for kind, laps in zip(_KINDS, _compared(history, variant), strict=True)
    ]
    if not any(lap.number in read for _, kind, laps in columns for lap in laps if kind == "disturbed"):
        return None
    rows = (
        Cost(name="Took", unit="seconds", amounts=tuple(_amount([x.seconds for x in laps]) for *_, laps in columns)),
        *(_row(history, variants, name, unit, found) for name, unit, found in _OF_VARIANTS),
        *(
            Cost(
                name=name,
                unit=unit,
                amounts=tuple(
                    _amount([number(read[lap.number]) for lap in laps if lap.number in read]) for *_, laps in columns
                ),
            )
            for name, unit, number in _OF_LAPS
        ),
    )
    return Costs(
        columns=tuple(
            CostColumn(kind=kind, variant=variant if len(variants) > 1 else "", laps=len(laps))
            for variant, kind, laps in columns
        ),
        rows=tuple(row for row in rows if any(row.amounts)),
        note=" ".join(_notes(history, variants)),
    )


def _notes(history: History, variants: Sequence[str]) -> Iterator[str]:
    if not all(pairs_of(history, variant) for variant in variants):
        yield "Where no disturbed lap ended well, this is what they cost up to their end."
    if short := [str(x.lap) for x in history.observed(Landing) if x.landed and x.regained_seconds is None]:
        laps = "lap" if len(short) == 1 else "laps"
        yield f"The cores lost in {laps} {', '.join(short)} were not back as far as the event log goes."


def _compared(history: History, variant: str) -> tuple[list[Lap], list[Lap]]:
    """Undisturbed and disturbed laps; one that two are compared with counts once."""
    if pairs := pairs_of(history, variant):
        return list({p.undisturbed.number: p.undisturbed for p in pairs}.values()), [p.disturbed for p in pairs]
    return list(laps_of(history, "undisturbed", variant=variant)), list(laps_of(history, "disturbed", variant=variant))


def _row(
    history: History, variants: Sequence[str], name: str, unit: Unit, found: Callable[[History, str], Spread | None]
) -> Cost:
    """What only a disturbed lap has."""
    amounts = (_told(found(history, variant)) for variant in variants)
    return Cost(name=name, unit=unit, amounts=tuple(each for amount in amounts for each in (None, amount)))


def _amount(values: Sequence[float]) -> Amount | None:
    return _told(spread_of(values))


def _told(found: Spread | None) -> Amount | None:
    return Amount(median=found.median, least=found.least, most=found.most) if found else None


_KINDS = ("undisturbed", "disturbed")
_OF_VARIANTS: tuple[tuple[str, Unit, Callable[[History, str], Spread | None]], ...] = (
    ("Later than undisturbed", "seconds", lambda history, v: spread_of([p.delay for p in pairs_of(history, v)])),
    ("Times as long", "times", lambda history, v: spread_of([p.slowdown for p in pairs_of(history, v)])),
    ("Loss noticed after", "seconds", noticed),
    ("Cores back after", "seconds", regained),
)
_OF_LAPS: tuple[tuple[str, Unit, Callable[[LapMeasured], float]], ...] = (
    ("Tasks", "count", lambda m: m.cost.tasks),
    ("Tasks that failed", "count", lambda m: m.cost.tasks_failed),
    ("Tasks done again", "count", lambda m: m.cost.tasks_again),
    ("Stages", "count", lambda m: m.cost.stages),
    ("Stages run again", "count", lambda m: m.cost.stages_again),
    ("Task time", "seconds", lambda m: m.cost.task_seconds),
    ("Task time in GC", "seconds", lambda m: m.cost.gc_seconds),
    ("Shuffle written", "bytes", lambda m: m.cost.shuffle_written),
    ("Shuffle read", "bytes", lambda m: m.cost.shuffle_read),
    ("Spilled to disk", "bytes", lambda m: m.cost.spilled),
)


def _seconds(duration: timedelta | None) -> float | None:
    return duration.total_seconds() if duration is not None else None


def sight(target: object) -> dict[str, str]:
    """What the target is; nothing of a cluster that is made anew each time."""
    identifier = target.identify().system_identifier  # type: ignore[attr-defined]
    return {"system_identifier": str(identifier)} if identifier else {}
