"""The audit of a pgBackRest repository, from what `verify` and `repo-ls` said of it. Pure functions over their words.

Promises: a backup on which `verify` says nothing is not taken for a good one; a gap in the archive is found, which
neither `verify` nor `info` shows.
"""

import json
import re
from collections.abc import Iterable

from muster.restore.observations import BytesVerified, WalArchived
from tasks.postgres.lsn import segment_name, segment_of_name

_STATUS = re.compile(r"^ *backup: (\S+), status: ([^,\n]+), total files checked: (\d+)", re.MULTILINE)
_COMPLAINT = re.compile(r"^P\d+ +(?:INFO|WARN|ERROR): +((?:invalid|file missing|missing|unable|no) .*)$", re.MULTILINE)
_SEGMENT_FILE = re.compile(r"(?:^|/)([0-9A-F]{24})-[0-9a-f]{40}[^/]*$")
_SEGMENT_IN = re.compile(r"/([0-9A-F]{24})-[0-9a-f]{40}")
_SHOWN = 50


def backup_verified(said: str, label: str, chain: Iterable[str], *, had_errors: bool) -> BytesVerified:
    """One backup's verdict in the verbose words of `pgbackrest verify`, and the complaints about its chain's files.

    `had_errors` is what `info` says: pages failed their checksum when the backup was taken.
    """
    found = {name: (status, int(files)) for name, status, files in _STATUS.findall(said)}
    status, files = found.get(label, ("not verified", 0))
    complaints = tuple(c for c in _COMPLAINT.findall(said) if any(f"{part}/" in c for part in chain))
    problems = (f"{label}: {status}", *complaints) if status != "valid" else ()
    if had_errors:
        problems += (f"{label}: pages failed their checksum when the backup was taken",)
    return BytesVerified(tool="pgbackrest verify", ok=not problems, files=files, problems=problems[:_SHOWN])


def listed_segments(listing: str) -> tuple[str, ...]:
    """The segments in `repo-ls --recurse --output=json` of one archive, in order."""
    names = (found[1] for path in json.loads(listing) if (found := _SEGMENT_FILE.search(path)))
    return tuple(sorted(names))


def archive_judged(said: str, segments: Iterable[str], first: str, until: str | None) -> WalArchived:
    """Every segment from `first` to the archive's end, and what `verify` complained of among them."""
    names = sorted(name for name in segments if until is None or name <= until)
    timeline = names[-1][:8] if names else first[:8]
    start = segment_of_name(first)
    there = {segment_of_name(n): n for n in names if segment_of_name(n) >= start}
    last = max(there, default=start)
    damaged = [c for c in _COMPLAINT.findall(said) if (m := _SEGMENT_IN.search(c)) and m[1] in there.values()]
    return WalArchived(
        first=first,
        last=there.get(last, "none"),
        last_number=last,
        segments=len(there),
        missing=tuple(segment_name(int(timeline, 16), n) for n in range(start, last + 1) if n not in there),
        damaged=tuple(damaged[:_SHOWN]),
    )
