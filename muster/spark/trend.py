"""The recovery over runs: what a pass leaves for the next ones to be compared with, and whether this one got worse."""

from statistics import median
from typing import Any

from muster.finding import Finding, judge
from muster.journal import History
from muster.plan import Plan
from muster.quantity import count_of, format_seconds
from muster.spark.measuring import known, laps_of, pairs_of, spread_of
from muster.spark.section import spec_of
from muster.spark.spec import SparkSpec

KEPT = 10
"""Passes that are looked back on."""
_LEAST = 3
"""Passes before there is a trend to speak of."""
_FLOOR_SECONDS = 2.0
"""A delay that grew by less is noise, whatever share it is."""


def delay_of(history: History, spec: SparkSpec) -> float | None:
    """The median delay of the answer, with the settings that every run of the plan has: others are no trend of it."""
    found = spread_of([pair.delay for pair in pairs_of(history, spec.plain)])
    return found.median if found else None


def trend(history: History, plan: Plan) -> Finding:
    """No more than the tolerance worse than the median of the last passes."""
    spec = spec_of(plan)
    expected = f"the delay is at most {1 + spec.tolerance:g} times the median of the last passes"
    earlier = _delays(history, spec)
    now = delay_of(history, spec)
    if len(earlier) < _LEAST:
        return Finding(check="trend", verdict=None, expected=expected,
                       seen=f"{count_of(len(earlier), 'pass', 'passes')} before, {_LEAST} are needed")  # fmt: skip
    if now is None:
        return Finding(check="trend", verdict=None, expected=expected, seen="this run has no delay to compare")
    usual = median(earlier)
    limit = max(usual * (1 + spec.tolerance), usual + _FLOOR_SECONDS)
    return judge("trend", now <= limit, expected,
                 f"{format_seconds(now)}, {format_seconds(usual)} in the last {len(earlier)} passes",
                 "something made the recovery dearer: compare settings and versions with the last pass")  # fmt: skip


def _delays(history: History, spec: SparkSpec) -> list[float]:
    """Of passes of the same job and fault."""
    earlier = history[0].body.get("earlier", {})
    return [float(d) for d in earlier.get("delays", [])] if earlier.get("of") == subject_of(spec) else []


def subject_of(spec: SparkSpec) -> str:
    """What delays are comparable of: the job, the fault, the settings."""
    whole = spec.model_dump(mode="json", include={"workload", "fault", "settings"})
    return str(sorted(whole.items()))


def remember(history: History) -> dict[str, Any]:
    """The delays so far, and the baseline where it is what is right."""
    plan = Plan.recorded(history[0].body["plan"])
    spec, right = spec_of(plan), known(history)
    now = delay_of(history, spec)
    delays = _delays(history, spec)
    kept: dict[str, Any] = {
        "of": subject_of(spec),
        "delays": [*delays, *([round(now, 3)] if now is not None else [])][-KEPT:],
    }
    baseline = next((lap for lap in laps_of(history, "undisturbed") if lap.inspection), None)
    if right and right.basis == "baseline" and baseline and baseline.inspection:
        kept["baseline"] = {
            "question": right.question.model_dump(mode="json"),
            "answer": baseline.inspection.answer.model_dump(mode="json"),
        }
    return kept
