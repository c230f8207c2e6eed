"""The audit of an archived log: is every segment there, is it this cluster's, and does every record in it check.

With the recovery target "end", PostgreSQL takes a missing or damaged segment for the end of the log and says nothing;
`pg_verifybackup` does not look at the archive. This does. Not seen, because PostgreSQL does not look at it either: the
padding between records, and what follows a switch of segments.
Source: PostgreSQL's src/include/access/xlog_internal.h (`XLogLongPageHeaderData`), "Timelines", pg_waldump.
"""

import re
import struct
from itertools import groupby
from pathlib import Path

from muster.restore.observations import WalArchived
from tasks.postgres.basebackup import archived_segments
from tasks.postgres.lsn import SEGMENT_BYTES, segment_name, segment_number, segment_of_name
from tasks.targets.restorable import Work

_COMPLAINT = re.compile(r"error: (.*)")
_HEADER = struct.Struct("=HHIQI4xQ")
"""The first page of a segment: magic, flags, timeline, address, bytes of a record begun before, system identifier."""
_FORK = re.compile(r"^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)", re.MULTILINE)
"""A line of a timeline's history file: a timeline that led to it, and where that was left."""


def audit_wal(archive: Path, start_lsn: str | None, work: Work) -> WalArchived:
    """Every segment from the backup's start to the archive's end, and every record's checksum in them."""
    names = [n for n in archived_segments(archive) if work.archive_end is None or n <= work.archive_end]
    timeline = int(names[-1][:8], 16) if names else 1
    first = segment_number(start_lsn) if start_lsn else (segment_of_name(names[0]) if names else 0)
    there = {n: name for n, name in _in_force(names, archive).items() if n >= first}
    last = max(there, default=first)
    missing = tuple(segment_name(timeline, n) for n in range(first, last + 1) if n not in there)
    damaged = _unsound_segments(archive, tuple(there.values()))
    if there and not missing and not damaged:
        damaged = _unsound_records(archive, [there[n] for n in sorted(there)], start_lsn, work)
    return WalArchived(
        first=segment_name(timeline, first),
        last=there.get(last, "none"),
        last_number=last,
        segments=len(there),
        missing=missing,
        damaged=damaged,
    )


def _in_force(names: list[str], archive: Path) -> dict[int, str]:
    """Segment number to the file that recovery takes: of each timeline up to where the next one left it."""
    if not names:
        return {}
    newest = names[-1][:8]
    history = archive / f"{newest}.history"
    forks = _FORK.findall(history.read_text(encoding="utf-8")) if history.is_file() else []
    left = {f"{int(timeline):08X}": segment_number(lsn) for timeline, lsn in forks}
    return {n: name for name in names if (n := segment_of_name(name)) < left.get(name[:8], n) or name[:8] == newest}


def _unsound_segments(archive: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """What a segment's size and first page say: pg_waldump looks at neither cluster nor, at the end, timeline."""
    said: list[str] = []
    clusters: dict[int, str] = {}
    for name in names:
        if (archive / name).stat().st_size != SEGMENT_BYTES:
            said.append(f"{name}: not 16 MiB")
            continue
        with (archive / name).open("rb") as file:
            _, _, timeline, _, _, cluster = _HEADER.unpack(file.read(_HEADER.size))
        clusters.setdefault(cluster, name)
        if timeline > int(name[:8], 16):  # less is right: a new timeline begins with a copy of the old one's segment
            said.append(f"{name}: of timeline {timeline}")
    if len(clusters) > 1:
        said += [f"{name}: of the cluster with system identifier {cluster}" for cluster, name in clusters.items()]
    return tuple(said)


def _unsound_records(archive: Path, names: list[str], start_lsn: str | None, work: Work) -> tuple[str, ...]:
    """What pg_waldump complains of, timeline by timeline. The end of the last segment is no complaint of its."""
    said: list[str] = []
    for _, group in groupby(names, key=lambda name: name[:8]):
        stretch = list(group)
        start = ["--start", start_lsn] if start_lsn and stretch[0] == names[0] else []
        said += _complaints(archive, [*start, stretch[0], stretch[-1]], work)
    return tuple(said[:10])


def _complaints(archive: Path, stretch: list[str], work: Work) -> list[str]:
    argv: list[str | Path] = [work.binaries.tool("pg_waldump"), "--quiet", "--path", archive, *stretch]
    completed = work.processes.run(argv, log="waldump.log", timeout=work.seconds_left, check=False)
    if completed.returncode == 0:
        return []
    return _COMPLAINT.findall(completed.output) or [f"pg_waldump ended with exit code {completed.returncode}"]
