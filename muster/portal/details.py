"""What one run tells, in script files of some runs each that the page loads when somebody asks.

Promises: such a file is JavaScript that hands the page one text of JSON, which is parsed and never run; it depends on
the log, the seals and the receipts of its own entries alone, so that a full one does not change any more.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from muster.portal.gaps import minute
from muster.portal.reading import Run, moment, text
from muster.quantity import format_bytes
from muster.report.wording import moment as second

SHARD = 64
"""Entries of the log that one file covers."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
"""Nothing else stands in a command that people copy."""


def shards_of(runs: Iterable[Run]) -> dict[int, bytes]:
    """JavaScript files by number: each hands the page a text of JSON, which is parsed and never run."""
    parts: dict[int, dict[int, dict[str, Any]]] = {}
    for run in runs:
        parts.setdefault(run.index // SHARD, {})[run.index] = _told(run)
    return {number: _script(number, part) for number, part in parts.items()}


def _script(number: int, part: Mapping[int, Any]) -> bytes:
    quoted = dumped(part).replace("\\", "\\\\").replace("'", "\\'")
    return f"musterPortal({number}, '{quoted}');\n".encode()


def dumped(value: Any) -> str:
    """ASCII JSON that may stand in a page or a script: no `<`, no `&`, nothing but printable characters."""
    plain = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _told(run: Run) -> dict[str, Any]:
    return {
        "key": run.key,
        "sha256": run.sha256 if _DIGEST.fullmatch(run.sha256) else "",
        "isRead": run.is_read,
        "quarrel": run.quarrel,
        "isLate": run.is_late,
        "verdict": text(run.seal.get("verdict")),
        "log": _pairs(
            ("Entry", f"{run.index:,}"),
            ("Logged", _at(run.logged)),
            ("Leaf hash", run.leaf),
            ("Bundle SHA-256", run.sha256),
            ("Bundle size", "" if run.size is None else f"{format_bytes(run.size)}, {run.size:,} bytes"),
            ("Envelope SHA-256", run.envelope),
        ),
        "receipt": _receipt(run),
        "facts": _facts(run),
        "measures": [(each.name, each.seconds, each.objective, each.word, each.note) for each in run.measures],
        "findings": [(each.check, each.word, each.expected, each.seen, each.advice) for each in run.findings],
    }


def _facts(run: Run) -> list[tuple[str, str]]:
    seal = run.seal
    digest = seal.get("planDigest")
    return _pairs(
        ("Target", text(seal.get("target"))),
        ("Slot", minute(run.due) if run.due else ""),
        ("Opened", _at(run.opened)),
        ("Ended", _at(run.ended)),
        ("Started by", text(seal.get("trigger"))),
        ("Asked for by", text(seal.get("requestedBy"))),
        ("Approval", text(seal.get("approval"))),
        ("Last proven", text(seal.get("lastProven"))),
        ("Plan SHA-256", text(digest.get("sha256")) if isinstance(digest, Mapping) else ""),
        ("Sealed by", f"Muster {text(seal.get('muster'))}" if text(seal.get("muster")) else ""),
    )


def _receipt(run: Run) -> list[tuple[str, str]]:
    """What the store said it holds, or nothing where the receipt was not read."""
    if run.stored is None:
        return []
    stored = run.stored
    mode, until = text(stored.get("lockMode")), moment(stored.get("lockedUntil"))
    lock = f"{mode}, until {minute(until)}" if mode and until else mode or "none"
    return _pairs(
        ("Asked", _at(moment(stored.get("askedAt")))),
        ("Store", text(stored.get("store"))),
        ("Version", text(stored.get("version"))),
        ("Lock", f"{lock}, with a legal hold" if stored.get("legalHold") is True else lock),
        ("SHA-256", _compared(text(stored.get("sha256")), run.sha256)),
        ("Receipt SHA-256", run.receipt),
    )


def _compared(said: str, logged: str) -> str:
    return f"{said} ({'as' if said == logged else 'NOT as'} the log says)" if said else ""


def _pairs(*pairs: tuple[str, str]) -> list[tuple[str, str]]:
    return [(label, value) for label, value in pairs if value]


def _at(at: datetime | None) -> str:
    return second(at) if at else ""
