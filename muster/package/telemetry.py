"""What was seen and told between drills in the period: looks at targets, alerts, and proofs that checks catch faults.

Promises: it is the ledger's word and supports no control; looks that were not kept any more are said to be missing;
the looks are written one by one, whatever their number.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from muster.ledger.rows import Alert, Look, Proof
from muster.package.inputs import PackageInputs
from muster.package.jsonfile import write_json
from muster.package.log import written
from muster.package.period import Period

FOLDER = "telemetry"
READINESS, INCIDENTS, VALIDATION = "readiness.json", "incidents.json", "validation.json"


@dataclass
class Looked:
    """The looks at one plan's target."""

    first: datetime
    last: datetime
    counts: Counter[str] = field(default_factory=Counter)
    """By verdict: `pass` is ready."""


@dataclass(frozen=True)
class Telemetry:
    """What the report tells of it. The files lie in `folder`."""

    folder: Path
    looked: Mapping[str, Looked]
    """By plan."""
    looks_since: datetime | None
    """Older looks were not kept; `None` where none is missing."""
    alerts: tuple[Alert, ...]
    proofs: tuple[Proof, ...]

    @property
    def files(self) -> dict[str, Path]:
        """By their names in the package."""
        return {f"{FOLDER}/{name}": self.folder / name for name in (READINESS, INCIDENTS, VALIDATION)}


def write_telemetry(inputs: PackageInputs, folder: Path) -> Telemetry:
    """Write the three files, and count what is in them."""
    folder.mkdir()
    period, looks = inputs.period, _Looks(inputs.looks, inputs.period)
    since = inputs.looks_since if inputs.looks_since and inputs.looks_since > period.start else None
    alerts = tuple(alert for alert in inputs.alerts if _held_in(alert, period))
    proofs = tuple(proof for proof in inputs.proofs if proof.at < period.end)
    write_json(folder / READINESS, {"keptSince": written(since) or None, "looks": iter(looks)})
    write_json(folder / INCIDENTS, {"incidents": map(_dump, alerts)})
    write_json(folder / VALIDATION, {"proofs": map(_dump, proofs)})
    return Telemetry(folder, looks.by_plan, since, alerts, proofs)


class _Looks:
    """The looks of the period as JSON, counted on their way."""

    def __init__(self, looks: Iterable[Look], period: Period) -> None:
        self._looks, self._period = looks, period
        self.by_plan: dict[str, Looked] = {}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for look in self._looks:
            if look.at in self._period:
                self._count(look)
                yield _dump(look)

    def _count(self, look: Look) -> None:
        found = self.by_plan.setdefault(look.plan, Looked(look.at, look.at))
        found.first, found.last = min(found.first, look.at), max(found.last, look.at)
        found.counts[look.verdict.value] += 1


def _held_in(alert: Alert, period: Period) -> bool:
    return alert.since < period.end and (alert.resolved_at is None or alert.resolved_at >= period.start)


def _dump(row: Look | Alert | Proof) -> dict[str, Any]:
    dumped: dict[str, Any] = row.model_dump(mode="json")
    return dumped
