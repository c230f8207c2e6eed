"""The audit of an archived log: is every segment there, and does every record in it check.

With the recovery target "end", PostgreSQL takes a missing or damaged segment for the end of the log and says nothing;
`pg_verifybackup` does not look at the archive. This does.
"""

import re
from pathlib import Path

from muster.restore.observations import WalArchived
from tasks.postgres.basebackup import archived_segments
from tasks.postgres.lsn import SEGMENT_BYTES, segment_name, segment_number, segment_of_name
from tasks.targets.restorable import Work

_COMPLAINT = re.compile(r"error: (.*)")


def audit_wal(archive: Path, start_lsn: str | None, work: Work) -> WalArchived:
    """Every segment from the backup's start to the archive's end, and every record's checksum in them."""
    names = [n for n in archived_segments(archive) if work.archive_end is None or n <= work.archive_end]
    timeline = names[-1][:8] if names else "00000001"
    first = segment_number(start_lsn) if start_lsn else (segment_of_name(names[0]) if names else 0)
    there = {segment_of_name(n): n for n in names if n[:8] <= timeline and segment_of_name(n) >= first}
    last = max(there, default=first)
    missing = tuple(segment_name(int(timeline, 16), n) for n in range(first, last + 1) if n not in there)
    damaged = [f"{name}: not 16 MiB" for name in there.values() if (archive / name).stat().st_size != SEGMENT_BYTES]
    if there and not missing and not damaged:
        damaged += _unsound_records(archive, there[min(there)], there[last], start_lsn, work)
    return WalArchived(
        first=segment_name(int(timeline, 16), first),
        last=there.get(last, "none"),
        last_number=last,
        segments=len(there),
        missing=missing,
        damaged=tuple(damaged),
    )


def _unsound_records(archive: Path, first: str, last: str, start_lsn: str | None, work: Work) -> list[str]:
    argv: list[str | Path] = [work.binaries.tool("pg_waldump"), "--quiet", "--path", archive]
    if start_lsn:
        argv += ["--start", start_lsn]
    completed = work.processes.run([*argv, first, last], log="waldump.log", timeout=work.seconds_left, check=False)
    complaints = _COMPLAINT.findall(completed.output)
    # The last record may go on in the segment that is not archived yet: that is the end, not a hole.
    after = segment_name(int(last[:8], 16), segment_of_name(last) + 1)
    return [c for c in complaints if after not in c and f'"{last}"' not in c.split(":")[0]][:10]
