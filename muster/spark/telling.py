"""How a Spark stress drill is told: its measures, phases and facts, all from the journal."""

from collections.abc import Iterator
from datetime import timedelta

from muster.drill import Told
from muster.identity import Identity
from muster.journal import History
from muster.phases import phases_of
from muster.plan import Plan
from muster.quantity import count_of, format_bytes, format_seconds
from muster.spark.checks import rto, slowdown_words
from muster.spark.measuring import laps_of, measured, noticed, pairs_of, regained, spread_of, struck_in
from muster.spark.observations import Accounting, Cost, Known, Provided
from muster.spark.section import spec_of
from muster.summary import Measure, Phase

_LOAD = ("baseline", "stress")


def tell(history: History, plan: Plan) -> Told:
    """The drill's part of a summary."""
    return Told(
        target=_target(history, plan),
        measures=_measures(history, plan),
        phases=phases_of(history, _placed),
        facts=tuple(_facts(history, plan)),
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
    delays = spread_of([pair.delay for pair in pairs_of(history)])
    times = spread_of([pair.slowdown for pair in pairs_of(history)])
    note = f"the answer later than undisturbed, the worst of {count_of(delays.count, 'pair', 'pairs')}" if delays else ""
    if times:
        note += f"; {slowdown_words(times)} as long as undisturbed"
    measures = [
        Measure(
            name="RTO",
            measured=delays.most if delays else None,
            objective=_seconds(plan.objectives.rto),
            verdict=rto(history, plan).verdict,
            note=note,
        )
    ]
    spec = spec_of(plan)
    for name, found, limit in (
        ("Noticed", noticed(history), spec.notice),
        ("Capacity back", regained(history), spec.regain),
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
    yield from _costs(history)
    if provided := history.result("cluster", Provided):
        yield "cluster", provided.how
        if provided.java:
            yield "java", provided.java
    if accounting := history.result("account", Accounting):
        yield "spark", accounting.spark
        for variant, settings in accounting.settings.items():
            yield f"settings {variant}", ", ".join(f"{k}={v}" for k, v in sorted(settings.items())) or "Spark's defaults"


def _costs(history: History) -> Iterator[tuple[str, str]]:
    pairs = pairs_of(history)
    if not pairs:
        return
    worst = max(pairs, key=lambda pair: pair.slowdown)
    usual, dear = measured(history, worst.undisturbed.number), measured(history, worst.disturbed.number)
    yield "undisturbed", f"{format_seconds(worst.undisturbed.seconds)}" + (f": {cost_words(usual.cost)}" if usual else "")
    yield "disturbed", f"{format_seconds(worst.disturbed.seconds)}" + (f": {cost_words(dear.cost)}" if dear else "")


def cost_words(cost: Cost) -> str:
    """What a lap took."""
    return (
        f"{cost.tasks:,} tasks ({cost.tasks_failed:,} failed, {cost.tasks_again:,} done again),"
        f" {cost.stages:,} stages ({cost.stages_again:,} again), {format_seconds(cost.task_seconds)} of task time"
        f" ({format_seconds(cost.gc_seconds)} of it in GC), {format_bytes(cost.shuffle_written)} shuffled,"
        f" {format_bytes(cost.spilled)} spilled"
    )


def _seconds(duration: timedelta | None) -> float | None:
    return duration.total_seconds() if duration is not None else None


def sight(target: object) -> dict[str, str]:
    """What the target is; nothing of a cluster that is made anew each time."""
    identifier = target.identify().system_identifier  # type: ignore[attr-defined]
    return {"system_identifier": str(identifier)} if identifier else {}
