"""Reading what `pg_basebackup` left: labels, manifests, chains and the archive beside them.

Promise: a damaged backup is still listed, so that the drill can judge it.
Source: PostgreSQL documentation, "Backup Manifest Format", "pg_combinebackup", "Continuous Archiving".
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from muster.errors import SystemFailure
from muster.restore.observations import Backup

_SEGMENT = re.compile(r"[0-9A-F]{24}")


@dataclass(frozen=True)
class Label:
    """What `backup_label` says: where the backup began, and what it builds upon."""

    start_lsn: str
    start_segment: str
    builds_on: str | None
    """Start LSN of the backup this one is an increment of."""
    started_at: datetime


def read_label(folder: Path) -> Label | None:
    """The label of a backup, or `None` if it cannot be read."""
    try:
        text = (folder / "backup_label").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    start = re.search(r"^START WAL LOCATION: (\S+) \(file (\w{24})\)", text, re.MULTILINE)
    began = re.search(r"^START TIME: (\S+ \S+) (\S+)", text, re.MULTILINE)
    builds_on = re.search(r"^INCREMENTAL FROM LSN: (\S+)", text, re.MULTILINE)
    if not start or not began:
        return None
    return Label(
        start_lsn=start[1],
        start_segment=start[2],
        builds_on=builds_on[1] if builds_on else None,
        started_at=datetime.fromisoformat(began[1]).replace(tzinfo=UTC),
    )


def read_backups(folder: Path, archive: Path) -> tuple[Backup, ...]:
    """Every backup below `folder`, oldest first. Labels are the folders' names."""
    found = [p for p in sorted(folder.iterdir()) if (p / "PG_VERSION").is_file()] if folder.is_dir() else []
    labels = {p.name: label for p in found if (label := read_label(p))}
    backups = [_read(p, labels, archive) for p in found]
    return tuple(sorted(backups, key=lambda b: b.taken_at))


def _read(path: Path, labels: dict[str, Label], archive: Path) -> Backup:
    manifest, label = _manifest(path), labels.get(path.name)
    history = _history(archive, label) if label else {}
    ranges = manifest.get("WAL-Ranges") or [{}]
    stop = history.get("STOP WAL LOCATION") or ranges[-1].get("End-LSN")
    identifier = manifest.get("System-Identifier")
    chain = _chain(path.name, labels)
    return Backup(
        label=path.name,
        form="physical",
        taken_at=_time(history.get("STOP TIME")) or (label.started_at if label else _modified(path)),
        bytes=sum(f.stat().st_size for part in chain for f in (path.parent / part).rglob("*") if f.is_file()),
        major=int((path / "PG_VERSION").read_text(encoding="ascii").split(".")[0]),
        system_identifier=str(identifier) if identifier else None,
        chain=chain,
        stop_lsn=stop,
        location=str(path),
    )


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / "backup_manifest").read_bytes())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _chain(name: str, labels: dict[str, Label]) -> tuple[str, ...]:
    """From the full backup to `name`; a parent that is not there stands as `missing at LSN`."""
    chain = [name]
    label = labels.get(name)
    while label and label.builds_on and len(chain) <= len(labels):
        parent = next((n for n, other in labels.items() if other.start_lsn == label.builds_on), None)
        chain.append(parent or f"missing at {label.builds_on}")
        label = labels.get(parent) if parent else None
    return tuple(reversed(chain))


def _history(archive: Path, label: Label) -> dict[str, str]:
    """The backup history file in the archive: it alone knows when and where the backup ended."""
    for path in archive.glob(f"{label.start_segment}.*.backup"):
        text = path.read_text(encoding="utf-8", errors="replace")
        pairs = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        if pairs.get("START WAL LOCATION", "").startswith(label.start_lsn + " "):
            return {key: value.split(" (file")[0] for key, value in pairs.items()}
    return {}


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text.rsplit(" ", 1)[0]).replace(tzinfo=UTC) if text else None


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp((path / "PG_VERSION").stat().st_mtime, UTC)


def assert_chain_is_whole(backup: Backup) -> None:
    """Raise `SystemFailure` if a backup that this one builds upon is gone."""
    missing = [part for part in backup.chain if part.startswith("missing at ")]
    if missing:
        raise SystemFailure(
            f"the backup that {backup.label} builds upon is gone ({missing[0]})",
            "take a new full backup; keep the parents of every increment",
        )


def archived_segments(archive: Path) -> tuple[str, ...]:
    """The names of the archive's whole segments, in order."""
    return tuple(sorted(p.name for p in archive.iterdir() if _SEGMENT.fullmatch(p.name)))
