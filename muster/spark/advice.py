"""Which settings would have made a loss cheaper, by what was seen of it: pure rules over the journal.

Promises: each piece of advice says first what was seen; a setting that was on is never advised; where the settings are
not known, nothing is advised; what variants were measured at comes before what Spark's documentation promises.
Source: Spark's "Configuration", "Job Scheduling", "Performance Tuning", "Spark Standalone Mode" (Spark 4).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from muster.journal import History
from muster.plan import Plan
from muster.quantity import count_of, format_bytes, format_seconds
from muster.spark.activity import alone_in, before, lost_in, worst_of
from muster.spark.measuring import Spread, landing_in, measured, pairs_of, spread_of, struck_in
from muster.spark.observations import Accounting, Lap, LapMeasured
from muster.spark.section import spec_of
from muster.spark.spec import Expect, Fault, SparkSpec
from muster.summary import Advice

_LATE = 10.0
"""Seconds from which a loss is noticed late."""
_SHORT = 30.0
"""A `spark.network.timeout` of so many seconds has been shortened already."""
_MUCH_GC = 0.1
_LEAST = 1.0
"""Seconds of anything that are not worth a word."""
_SKEWED = 0.3
"""Share of a stage in which one executor alone is at work."""
_SLOWED = frozenset({Fault.FREEZE_EXECUTOR, Fault.FREEZE_WORKER, Fault.SLOW_DISK, Fault.CUT_NETWORK})
_DEFAULTS = {
    "spark.network.timeout": "120s",
    "spark.stage.maxConsecutiveAttempts": "4",
    "spark.sql.adaptive.enabled": "true",
    "spark.storage.decommission.shuffleBlocks.enabled": "true",
}
"""What Spark does where a setting is not set; switches that are not here are off."""
_TIME = re.compile(r"(\d+)\s*(ms|s|m|min|h|d)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_HANDOVER = (
    "`spark.decommission.enabled` with `spark.storage.decommission.enabled` and"
    " `spark.storage.decommission.shuffleBlocks.enabled`"
)


@dataclass(frozen=True)
class _Case:
    """The worst disturbed lap of one variant, with what was seen of it and the settings that were on."""

    plan: Plan
    lap: Lap
    seen: LapMeasured
    fault: Fault | None
    """What landed; `None` where nothing did."""
    landed: str
    noticed: float | None
    hit: frozenset[str]
    usual: Lap | None
    usual_seen: LapMeasured | None
    settings: Mapping[str, str]

    @property
    def where(self) -> str:
        """The lap, as every sentence begins."""
        several = len(spec_of(self.plan).variants) > 1
        return f"Lap {self.lap.number}{f' ({self.lap.variant})' if several else ''}"

    @property
    def delay(self) -> float:
        """Seconds later than undisturbed; 0 where there is nothing to compare with."""
        return max(0.0, self.lap.seconds - self.usual.seconds) if self.usual and self.lap.state == "succeeded" else 0.0

    def value(self, key: str) -> str:
        """A setting as it was, by default or not."""
        return self.settings.get(key, _DEFAULTS.get(key, "false"))

    def is_on(self, *keys: str) -> bool:
        """Whether all of these switches were on."""
        return all(self.value(key).lower() == "true" for key in keys)

    @property
    def hands_over(self) -> bool:
        """Whether an executor that is taken out in good order hands its shuffle files over."""
        return self.is_on(*re.findall(r"spark\.[\w.]+", _HANDOVER))


def advice_of(history: History, plan: Plan) -> tuple[Advice, ...]:
    """What would have made the loss cheaper; nothing of a job that is to fail, or whose settings nobody read."""
    spec = spec_of(plan)
    if spec.expect is Expect.FAILURE:
        return ()
    cases = tuple(_cases(history, plan, spec))
    found = (next((advice for case in cases if (advice := rule(case))), None) for rule in _RULES)
    return tuple(advice for advice in (_by_measurement(history, spec), *found) if advice)


def _cases(history: History, plan: Plan, spec: SparkSpec) -> Iterator[_Case]:
    accounting = history.result("account", Accounting)
    for variant in spec.variants:
        lap = worst_of(history, variant)
        seen = measured(history, lap.number) if lap else None
        if lap and seen and accounting and variant in accounting.settings:
            yield _case(history, plan, lap, seen, accounting.settings[variant])


def _case(history: History, plan: Plan, lap: Lap, seen: LapMeasured, settings: Mapping[str, str]) -> _Case:
    struck, landing, usual = struck_in(history, lap.number), landing_in(history, lap.number), before(history, lap)
    landed = landing if struck and landing and landing.landed else None
    return _Case(
        plan=plan,
        lap=lap,
        seen=seen,
        fault=landed.fault if landed else None,
        landed=landed.seen if landed else "",
        noticed=landed.noticed_seconds if landed else None,
        hit=frozenset(e for victim in struck.victims for e in victim.executors) if struck else frozenset(),
        usual=usual,
        usual_seen=measured(history, usual.number) if usual else None,
        settings=settings,
    )


def _by_measurement(history: History, spec: SparkSpec) -> Advice | None:
    """Of variants that were compared, the one under which the loss cost least."""
    found = [(v, s) for v in spec.compare if (s := spread_of([p.delay for p in pairs_of(history, v)]))]
    if len(found) < 2:
        return None
    (best, least), (_, second), *_ = ranked = sorted(found, key=lambda each: each[1].median)
    return Advice(
        seen=f"Under the same fault the answer came later by {'; '.join(_delay_words(v, s) for v, s in ranked)}.",
        advice=_choice(best, spec)
        if least.most < second.least
        else "what they cost overlaps: more `repeats` would tell them apart",
    )


def _delay_words(variant: str, found: Spread) -> str:
    spread = f"{format_seconds(found.least)} to {format_seconds(found.most)}, " if found.count > 1 else ""
    pairs = count_of(found.count, "pair", "pairs")
    return f"{format_seconds(found.median)} with {variant} ({spread}{pairs})"


def _choice(best: str, spec: SparkSpec) -> str:
    if best == spec.variants[0]:
        return f"{best} is the cheapest of them already"
    settings = ", ".join(f"`{key}={_word(value)}`" for key, value in spec.settings[best].items())
    return f"take {best}: {settings or 'Spark’s defaults'}"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _driver_died(case: _Case) -> Advice | None:
    if case.fault is not Fault.KILL_DRIVER:
        return None
    seen = f"{case.where}: {case.landed}; the drill started the driver again, and the job began anew."
    kept = "what is written or checkpointed on the way need not be computed anew"
    if case.is_on("spark.driver.supervise"):
        return Advice(seen=seen, advice=kept)
    supervised = "cluster deploy mode with `spark.driver.supervise`, or a scheduler that retries, starts it again"
    return Advice(seen=seen, advice=f"{supervised}; {kept}")


def _map_output_is_made_again(case: _Case) -> Advice | None:
    cost, lost = case.seen.cost, case.seen.executors_lost
    if case.fault is None or not lost or not (cost.stages_again or cost.tasks_again):
        return None
    advice = _keeping_map_output(case, case.fault)
    if not advice:
        return None
    told = [
        f"{count_of(len(lost), 'executor was', 'executors were')} lost",
        f"{count_of(cost.stages_again, 'stage was', 'stages were')} run again" if cost.stages_again else "",
        f"{count_of(cost.tasks_again, 'task was', 'tasks were')} done again" if cost.tasks_again else "",
        f"{format_seconds(lost_seconds)} of work lost" if (lost_seconds := lost_in(case.seen.activity)) else "",
    ]
    return Advice(seen=f"{case.where}: {', '.join(filter(None, told))}.", advice=advice)


def _keeping_map_output(case: _Case, fault: Fault) -> str:
    """What keeps shuffle files when who wrote them is gone: a service beside it, or a way to hand them over."""
    if fault is Fault.DECOMMISSION:
        return "" if case.hands_over else f"{_HANDOVER} hand shuffle files over before a worker goes"
    notice = f"where the end is announced, as with spot machines, {_HANDOVER} hand shuffle files over in time"
    if fault.hits_workers:  # its shuffle service goes with it
        away = "where it is not, only shuffle files kept off the workers outlive one"
        return "" if case.hands_over else f"{notice}; {away}"
    if case.is_on("spark.shuffle.service.enabled"):
        return ""
    service = (
        "an external shuffle service on each worker (`spark.shuffle.service.enabled`) goes on serving what an executor"
        " wrote after it died"
    )
    return service if case.hands_over else f"{service}; {notice}"


def _noticed_late(case: _Case) -> Advice | None:
    timeout = _seconds(case.value("spark.network.timeout"))
    if case.fault in {None, Fault.KILL_DRIVER} or not case.seen.executors_lost:
        return None
    if case.noticed is None or case.noticed <= _LATE or timeout is None or timeout <= _SHORT:
        return None
    whose = "" if "spark.network.timeout" in case.settings else ", Spark’s default"
    return Advice(
        seen=f"{case.where}: the loss was noticed after {format_seconds(case.noticed)}; the network timeout was"
        f" {format_seconds(timeout)}{whose}.",
        advice="a shorter `spark.network.timeout`, looked at more often (`spark.network.timeoutInterval`), with a"
        " `spark.executor.heartbeatInterval` well below it, gives a silent executor up sooner; the risk: one in a long"
        " garbage collection, or behind a slow network, is taken for dead, and its work is done again",
    )


def _seconds(value: str) -> float | None:
    """A time as Spark reads this setting: without a unit it is seconds; `None` of what is none."""
    found = _TIME.fullmatch(value.strip().lower())
    return int(found[1]) * _UNITS[found[2] or "s"] if found else None


def _straggler(case: _Case) -> Advice | None:
    alone = alone_in(case.seen.activity)
    if case.fault not in _SLOWED or alone is None or alone.executor not in case.hit or case.is_on("spark.speculation"):
        return None
    usual = alone_in(case.usual_seen.activity) if case.usual_seen else None
    usually = usual.seconds if usual else 0.0
    if alone.seconds - usually < max(_LEAST, 0.1 * case.lap.seconds):
        return None
    return Advice(
        seen=f"{case.where}: {alone.words}; undisturbed, that lasted {format_seconds(usually)}.",
        advice="`spark.speculation` starts a second copy of a task that falls behind, on another executor; the risk:"
        " work done twice, and tasks whose side effects must bear it",
    )


def _cache_is_lost(case: _Case) -> Advice | None:
    is_replicated = any(word.upper().endswith("_2") for word in case.lap.question.keys.values())
    if case.fault is not Fault.KILL_CACHED or not case.seen.executors_lost or case.delay < _LEAST or is_replicated:
        return None
    return Advice(
        seen=f"{case.where}: an executor that held cached blocks was lost, and the answer came"
        f" {format_seconds(case.delay)} later.",
        advice="a storage level with two copies (`MEMORY_ONLY_2`, `MEMORY_AND_DISK_2`) outlives one executor, for"
        " twice the memory; a checkpoint cuts what has to be computed anew",
    )


def _stages_are_repeated(case: _Case) -> Advice | None:
    bands = case.seen.activity.bands
    limit = case.value("spark.stage.maxConsecutiveAttempts")
    if case.fault is None or not bands or not limit.isdigit():
        return None
    worst = max(bands, key=lambda b: b.attempt)
    begun = worst.attempt + 1
    if begun < 3 or begun < int(limit) - 1:
        return None
    return Advice(
        seen=f"{case.where}: stage {worst.stage} was begun {begun} times; the job is given up once a stage has failed"
        f" {limit} times in a row.",
        advice="a higher `spark.stage.maxConsecutiveAttempts` bears more losses in a row; it makes none cheaper",
    )


def _memory_is_short(case: _Case) -> Advice | None:
    cost = case.seen.cost
    told = []
    if cost.gc_seconds >= _LEAST and cost.gc_seconds > _MUCH_GC * cost.task_seconds:
        share = cost.gc_seconds / cost.task_seconds if cost.task_seconds else 1.0
        told.append(f"{share:.0%} of {format_seconds(cost.task_seconds)} of task time went into garbage collection")
    if cost.spilled:
        told.append(f"{format_bytes(cost.spilled)} spilled to disk")
    if not told:
        return None
    memory = case.settings.get("spark.executor.memory")
    with_memory = f", with {memory} for an executor" if memory else ""
    return Advice(
        seen=f"{case.where}: {', and '.join(told)}{with_memory}.",
        advice="more `spark.executor.memory`, or more and so smaller partitions (`spark.sql.shuffle.partitions`), leave"
        " each task more room",
    )


def _stage_is_skewed(case: _Case) -> Advice | None:
    alone = alone_in(case.usual_seen.activity) if case.usual_seen else None
    if alone is None or case.usual is None or case.is_on("spark.sql.adaptive.enabled"):
        return None
    if alone.seconds < max(_LEAST, _SKEWED * alone.of_seconds):
        return None
    return Advice(
        seen=f"Lap {case.usual.number}, undisturbed: {alone.words}; the stage took {format_seconds(alone.of_seconds)}.",
        advice="`spark.sql.adaptive.enabled` splits partitions of a join that are far larger than others: less is lost"
        " with one task; it serves DataFrames and SQL, not RDDs",
    )


_RULES: tuple[Callable[[_Case], Advice | None], ...] = (
    _driver_died,
    _map_output_is_made_again,
    _noticed_late,
    _straggler,
    _cache_is_lost,
    _stages_are_repeated,
    _memory_is_short,
    _stage_is_skewed,
)
