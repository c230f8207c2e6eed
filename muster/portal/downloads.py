"""The list of all runs for other programs: one CSV, one JSON.

Promises: the same rows as the page; a cell of the CSV never begins as a formula does (OWASP, "CSV Injection").
Source: RFC 4180.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from muster.cadence.controls import Control
from muster.portal.coverage import checked
from muster.portal.gaps import Lack
from muster.portal.model import PortalData
from muster.portal.reading import Measured, Package, Run, text
from muster.portal.support import supported_by

SCHEMA = "muster.portal/1"
COLUMNS = (
    "entry", "run", "plan", "kind", "outcome", "due", "logged", "anchored", "rto_seconds", "rto_objective_seconds",
    "rpo_seconds", "rpo_objective_seconds", "controls", "supports", "bundle", "bundle_sha256",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(runs: Sequence[Run], data: PortalData) -> bytes:
    """Every run in the log, the newest entry first; UTF-8, with a line of names."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for row in _rows(runs, data):
        cells = {name: "; ".join(value) if isinstance(value, tuple) else value for name, value in row.items()}
        writer.writerow({name: _harmless(value) for name, value in cells.items()})
    return out.getvalue().encode()


def json_of(runs: Sequence[Run], packages: Sequence[Package], lacks: Sequence[Lack], data: PortalData) -> bytes:
    """The same as JSON, with packages and gaps."""
    content = {
        "schema": SCHEMA,
        "at": _at(data.at),
        "log": {
            "origin": text(data.origin), "size": data.size, "root": text(data.root), "anchored": _anchored(data),
        },
        "gaps": [
            {"gap": each.gap, "plan": each.plan, "at": _at(each.at), "words": each.words, "entry": each.entry,
             "run": each.run or None} for each in lacks
        ],
        "packages": [
            {"entry": each.index, "name": each.name, "period": each.period, "logged": _at(each.logged),
             "bundle": each.key, "bundle_sha256": each.sha256} for each in packages
        ],
    }  # fmt: skip
    rows = ",\n".join(_dumped(row) for row in _rows(runs, data))
    return f'{_dumped(content)[:-1]}, "runs": [\n{rows}\n]}}\n'.encode()


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _rows(runs: Sequence[Run], data: PortalData) -> Iterator[dict[str, Any]]:
    anchored, known = _anchored(data), {control.id: control for control in data.controls}
    return (_row_of(run, anchored, known) for run in reversed(runs))


def _row_of(run: Run, anchored: int, known: Mapping[str, Control]) -> dict[str, Any]:
    rto, rpo = run.measured("RTO"), run.measured("RPO")
    supports = supported_by(run, known)
    row = (
        run.index, run.run, run.plan, run.kind, run.outcome, _at(run.due), _at(run.logged), run.index < anchored,
        *_pair(rto), *_pair(rpo), run.controls, supports, run.key, run.sha256,
    )  # fmt: skip
    return dict(zip(COLUMNS, row, strict=True))


def _pair(measured: Measured | None) -> tuple[float | None, float | None]:
    return (measured.seconds, measured.objective) if measured else (None, None)


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _anchored(data: PortalData) -> int:
    """Entries below this are covered by a time-stamp."""
    return max((size for size, _, _ in checked(data)), default=0)


def _at(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None
