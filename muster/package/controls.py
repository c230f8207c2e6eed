"""The control matrix: what each control asks in its own words, how often we drill, which runs support it, what lacks.

Promises: a run supports a control only if it passed, shows no problem, is of a kind that is evidence for the control,
and its own sealed plan named it and had what it needs; a control *supports* nothing by silence: without such a run
the matrix says what it *does not show*, and why. Whether a control is met is for its auditor.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from muster.cadence.controls import BY_ID, CONTROLS, INTERNAL, Control
from muster.cadence.support import Showing, own_control, why_not
from muster.package.log import Log, written
from muster.package.population import PlanAccount, Population
from muster.package.rows import Row
from muster.quantity import count_of
from muster.verdict import Outcome

SCHEMA = "muster.controls/1"
SUPPORTS = "supports"
DOES_NOT_SHOW = "does not show"
NOTE = (
    "A run supports a control, or does not show what it asks for. Whether the control is met is for its auditor. What"
    " stands in quotation marks is the control's own text, the rest is ours."
)
_MOST_TOLD = 5


@dataclass(frozen=True)
class ControlRow:
    """One control in the period."""

    control: Control
    plans: tuple[PlanAccount, ...]
    """Those that name it now, or did in the period."""
    supports: tuple[Row, ...]
    lacks: tuple[str, ...]
    """What is not shown, each in words."""

    @property
    def says(self) -> str:
        """`supports` or `does not show`, of the runs as a whole."""
        return SUPPORTS if self.supports else DOES_NOT_SHOW

    def as_json(self) -> dict[str, Any]:
        """As `controls.json` has it; the runs are an iterator."""
        control = self.control
        return {
            "asks": control.words,
            "control": control.id,
            "doesNotShow": list(self.lacks),
            "framework": control.framework,
            "isSecondary": control.is_secondary,
            "kinds": list(control.kinds),
            "minimumDays": control.days,
            "needs": control.needs or None,
            "ourCadence": [_cadence_json(plan) for plan in self.plans],
            "says": self.says,
            "source": control.source,
            "supports": map(_run_json, self.supports),
        }


def build_matrix(population: Population, log: Log) -> tuple[ControlRow, ...]:
    """Every control that Muster knows, then those of the company's own, by name."""
    named: dict[str, list[PlanAccount]] = defaultdict(list)
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in population.rows:
        rows[row.plan].append(row)
    for plan in population.plans:
        for control in sorted(_named_by(plan, rows[plan.name])):
            named[control].append(plan)
    own = [own_control(name) for name in sorted(named) if name not in BY_ID]
    build = _Building(population, log, rows)
    return tuple(build.row(control, named.get(control.id, [])) for control in (*CONTROLS, *own))


def controls_json(population: Population, matrix: Sequence[ControlRow]) -> dict[str, Any]:
    """The document `controls.json`."""
    return {
        "controls": [row.as_json() for row in matrix],
        "from": written(population.period.start),
        "note": NOTE,
        "schema": SCHEMA,
        "until": written(population.period.end),
    }


def _named_by(plan: PlanAccount, rows: Sequence[Row]) -> set[str]:
    now = set(plan.controls) if rows or plan.retired_at is None else set()
    return now.union(*(row.sealed.controls for row in rows if row.sealed))


@dataclass(frozen=True)
class _Building:
    population: Population
    log: Log
    rows: Mapping[str, Sequence[Row]]

    def row(self, control: Control, plans: Sequence[PlanAccount]) -> ControlRow:
        of_plan = {
            plan.name: tuple(row for row in self.rows[plan.name] if not _why_not(control, row)) for plan in plans
        }
        lacks = list(_lacks_at_all(control, plans))
        for plan in plans:
            lacks += self._lacks(control, plan, of_plan[plan.name])
        return ControlRow(control, tuple(plans), tuple(row for rows in of_plan.values() for row in rows), tuple(lacks))

    def _lacks(self, control: Control, plan: PlanAccount, supports: Sequence[Row]) -> Iterator[str]:
        rows = self.rows[plan.name]
        if not rows:
            yield f"{plan.name}: no run in the period"
        elif others := _others(rows):
            yield f"{plan.name}: {others}"
        reasons = Counter(why for row in rows if row.passed and (why := _why_not(control, row)))
        for why, count in list(reasons.items())[:_MOST_TOLD]:
            yield f"{plan.name}: {count_of(count, 'run', 'runs')} passed and cannot be counted: {why}"
        if control.days is not None and control.kinds and (gap := self._gap(control.days, plan, supports)):
            yield f"{plan.name}: {gap}"

    def _gap(self, days: int, plan: PlanAccount, supports: Sequence[Row]) -> str:
        """The longest time without a run that supports, if it is longer than the control's own minimum."""
        moments = [self._counted_from(plan), *(row.at for row in supports)]
        moments.append(min(self.population.period.end, self.population.as_of))
        after, before = max(pairwise(sorted(moments)), key=lambda pair: pair[1] - pair[0])
        if (before - after).days <= days:
            return ""
        return f"from {after:%Y-%m-%d} to {before:%Y-%m-%d} no run that supports it, {days} days are allowed"

    def _counted_from(self, plan: PlanAccount) -> datetime:
        """The newest pass before the period, if the log has one; else where period and plan both count."""
        start, until = self.population.period.start, min(self.population.period.end, self.population.as_of)
        return min(self.log.passed_before.get(plan.name) or max(start, plan.since or start), until)


def _lacks_at_all(control: Control, plans: Sequence[PlanAccount]) -> Iterator[str]:
    is_own = control.id.startswith(INTERNAL)
    if not control.kinds and not is_own:
        yield "no drill of Muster is evidence for it; telemetry/ holds what looks and alerts say"
    elif not plans:
        yield f"no plan names it; drills of kind {', '.join(control.kinds)} would be evidence"


def _why_not(control: Control, row: Row) -> str:
    """Why a row does not support a control; empty where it does."""
    if not row.passed or row.sealed is None:
        return "it did not pass"
    rto = row.sealed.measured("RTO")
    showing = Showing(
        kind=row.kind,
        controls=row.sealed.controls,
        approval=row.sealed.approval,
        rto_objective=rto.objective if rto else None,
        rto_verdict=rto.verdict if rto else "",
    )
    return why_not(control, showing)


def _others(rows: Sequence[Row]) -> str:
    """What did not pass: `2 failed, 1 missed, 1 unsealed`; empty where all did."""
    counts = Counter(_word(row) for row in rows if not row.passed)
    return ", ".join(f"{counts[word]:,} {word}" for word in sorted(counts))


def _word(row: Row) -> str:
    return f"said to have {row.outcome}, which cannot be relied on" if row.outcome == Outcome.PASSED else row.outcome


def _cadence_json(plan: PlanAccount) -> dict[str, Any]:
    return {
        "cadence": plan.cadence,
        "kind": plan.kind,
        "longestGapDays": plan.longest_gap.days if plan.longest_gap else None,
        "plan": plan.name,
    }


def _run_json(row: Row) -> dict[str, Any]:
    return {
        "bundle": row.entry.key if row.entry else None,
        "entry": row.index,
        "plan": row.plan,
        "run": row.run,
        "scheduledAt": written(row.scheduled_at) or None,
    }
