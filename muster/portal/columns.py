"""All runs as the page's script reads them: one column for each attribute.

Promises: plain JSON of numbers and printable texts; every slot that is over is a row, one without a sealed record too;
ten thousand rows are about a megabyte.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from muster.cadence.controls import INTERNAL
from muster.portal.coverage import checked
from muster.portal.details import SHARD
from muster.portal.gaps import unrecorded
from muster.portal.model import PortalData, PortalPlan
from muster.portal.outcomes import OUTCOMES, TONES, UNSEALED
from muster.portal.reading import Measured, Run, by_plan, text
from muster.portal.support import supported_by

_COLUMNS = ("entry", "run", "plan", "outcome", "due", "controls", "supports", "rto", "rtoLimit", "rpo", "rpoLimit")


def index_of(data: PortalData, runs: Sequence[Run]) -> dict[str, Any]:
    """All that the page's lists, filters, calendar and plots need."""
    return _Index(data, runs).content()


class _Names(dict[Any, int]):
    """Names and where each stands, in the order in which they came."""

    def place(self, name: Any) -> int:
        return self.setdefault(name, len(self))


class _Index:
    """Rows point at plans, at controls and at sets of controls by their places."""

    def __init__(self, data: PortalData, runs: Sequence[Run]) -> None:
        self.data, self.runs = data, runs
        self.plans, self.controls, self.together = _Names(), _Names(), _Names()
        self.known = {control.id: control for control in data.controls}
        self.open: dict[str, list[int]] = {}
        self.rows = [self._row(run) for run in runs]
        own, promised = by_plan(runs), {plan.name: tuple(map(text, plan.controls)) for plan in data.plans}
        for each in data.waiting:
            self.rows.append(self._unlogged(text(each.plan), each.due, text(each.run), promised.get(each.plan, ())))
        for plan in data.plans:
            self._add_unrecorded(plan, own[text(plan.name)])

    def content(self) -> dict[str, Any]:
        """What stands in the page."""
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(_COLUMNS)
        return {
            "at": _seconds(self.data.at),
            "outcomes": OUTCOMES,
            "tones": TONES,
            "plans": self._plans(),
            "controls": [self._control(name) for name in self.controls],
            "together": list(self.together),
            "anchors": [(size, who, _seconds(at)) for size, at, who in checked(self.data)],
            "shard": SHARD,
            "runs": dict(zip(_COLUMNS, columns, strict=True)),
        }

    def _row(self, run: Run) -> tuple[Any, ...]:
        return (
            run.index, run.run, self.plans.place(run.plan), OUTCOMES.index(run.outcome), _seconds(run.due),
            self._set(run.controls), self._set(supported_by(run, self.known)),
            *_pair(run.measured("RTO")), *_pair(run.measured("RPO")),
        )  # fmt: skip

    def _unlogged(self, plan: str, due: datetime | None, run: str, controls: Iterable[str]) -> tuple[Any, ...]:
        place, outcome = self.plans.place(plan), OUTCOMES.index(UNSEALED)
        return None, run, place, outcome, _seconds(due), self._set(controls), self._set(()), None, None, None, None

    def _add_unrecorded(self, plan: PortalPlan, runs: Sequence[Run]) -> None:
        name, controls = text(plan.name), tuple(map(text, plan.controls))
        over, still_open = unrecorded(plan, runs, self.data)
        self.plans.place(name)
        self.rows += [self._unlogged(name, slot.due, "", controls) for slot in over]
        self.open[name] = [int(slot.due.timestamp()) for slot in still_open]

    def _set(self, controls: Iterable[str]) -> int:
        return self.together.place(tuple(sorted({self.controls.place(control) for control in controls})))

    def _plans(self) -> list[dict[str, Any]]:
        kinds = {run.plan: run.kind for run in self.runs} | {text(p.name): text(p.kind) for p in self.data.plans}
        cadences = {text(plan.name): text(plan.cadence) for plan in self.data.plans}
        ended = {text(plan.name): plan.ended for plan in self.data.plans}
        return [
            {
                "name": name,
                "kind": kinds.get(name, ""),
                "cadence": cadences.get(name, ""),
                "ended": ended.get(name, ""),
                "next": self.open.get(name, []),
            }
            for name in self.plans
        ]

    def _control(self, name: str) -> dict[str, Any]:
        known = self.known.get(name)
        if known is None:
            words = "a control of your own" if name.startswith(INTERNAL) else "not known to Muster"
            return {"id": name, "words": words, "source": "", "days": None}
        check = "; check the text before quoting" if known.is_secondary else ""
        return {"id": name, "words": known.words, "source": f"{known.source}{check}", "days": known.days}


def _pair(measured: Measured | None) -> tuple[float | None, float | None]:
    return (_short(measured.seconds), _short(measured.objective)) if measured else (None, None)


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _seconds(at: datetime | None) -> int | None:
    return int(at.timestamp()) if at else None
