"""What a lost primary had written beyond the fork: saved and counted before it is rewound.

Promises: only what is beyond the fork is counted; how much is kept is bounded, and what was left out is said.
Log holds rows, so its segments stay on this machine; the list of commits holds none, and is evidence.
Trap: autovacuum's commits count too, so there can be a few more than clients made.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from muster.errors import StepError
from muster.failover.observations import Salvaged
from tasks.postgres.lsn import lsn_value, segment_name
from tasks.postgres.server import Server
from tasks.process import Processes
from tasks.regions.timeline import fork_lsn, timeline_on_disk

_MOST_SEGMENTS = 64
_MOST_TEXT = 4 * 2**20
"""Bytes of the list of commits."""
_COMMIT = re.compile(rb"^rmgr: Transaction .*desc: COMMIT", re.MULTILINE)
_POSITION = re.compile(r"at ([0-9A-F]+/[0-9A-F]+)")


@dataclass(frozen=True)
class Shelf:
    """Where the finds go."""

    exhibits: Path
    """What is evidence."""
    kept: Path
    """What stays on this machine."""


def salvage(old: Server, new: Server, shelf: Shelf, tools: Processes, timeout: float) -> Salvaged:
    """Look at the data directory of `old`, which must not run, past the point where `new` went its own way."""
    node = old.data.name
    parent = timeline_on_disk(old)
    fork = fork_lsn(new, timeline_on_disk(new), parent)
    if fork is None:
        return Salvaged(node=node, fork_lsn=None, commits=None, why_not=f"{new.data.name} never left timeline {parent}")
    listing = shelf.exhibits / f"salvage-{node}.txt"
    ended_at = _list_commits(old, parent, fork, listing, tools, timeout)
    commits = len(_COMMIT.findall(listing.read_bytes()))
    shorten(listing)
    segments = _segments(old, parent, fork, ended_at)
    folder = shelf.kept / f"salvage-{node}"
    kept = [_keep(segment, folder) for segment in segments[:_MOST_SEGMENTS]]
    left_out = len(segments) - len(kept)
    return Salvaged(
        node=node,
        fork_lsn=fork,
        commits=commits,
        ended_at=ended_at,
        listed=listing.name,
        kept=str(folder) if kept else "",
        kept_sha256=tuple(kept),
        why_not=f"{left_out} more segments of the log were not kept" if left_out else "",
    )


def _list_commits(old: Server, timeline: int, fork: str, listing: Path, tools: Processes, timeout: float) -> str:
    """Write what `pg_waldump` says of transactions; where the log ends. It always ends with a complaint.

    It is told in which segment to begin: left to itself it looks into any one for how large they are, and fails when
    that is one which was made in advance, and is all zeros.
    """
    listing.parent.mkdir(parents=True, exist_ok=True)
    first = _segment_at(old, timeline, fork)
    if first.exists() and not _is_begun(first):
        listing.touch()
        return fork
    argv: list[str | Path] = [old.binaries.tool("pg_waldump"), "--path", old.data / "pg_wal", "--rmgr=Transaction"]
    argv += [f"--timeline={timeline}", f"--start={fork}", *([first.name] if first.exists() else [])]
    done = tools.run(argv, log="pg_waldump.log", timeout=timeout, stdout_path=listing, check=False)
    complaint = done.output.strip().splitlines()[-1] if done.output.strip() else ""
    if "could not find a valid record after" in complaint:
        return fork
    found = _POSITION.findall(complaint)
    if not found:
        raise StepError(
            f"pg_waldump does not say where the log of {old.data.name} ends: {complaint}", f"see {done.log}"
        )
    return str(found[-1])


def _segments(old: Server, timeline: int, fork: str, ended_at: str) -> list[Path]:
    """The segments from the fork to the end; those after it are made in advance, and hold nothing."""
    size = _segment_bytes(old)
    numbers = range(lsn_value(fork) // size, max(lsn_value(ended_at) - 1, lsn_value(fork)) // size + 1)
    paths = [old.data / "pg_wal" / segment_name(timeline, number, size) for number in numbers]
    return [path for path in paths if path.exists()]


def _segment_at(old: Server, timeline: int, lsn: str) -> Path:
    size = _segment_bytes(old)
    return old.data / "pg_wal" / segment_name(timeline, lsn_value(lsn) // size, size)


def _is_begun(segment: Path) -> bool:
    """Whether its first page has a header."""
    with segment.open("rb") as file:
        return any(file.read(16))


def _segment_bytes(server: Server) -> int:
    found = re.search(r"^Bytes per WAL segment:\s+(\d+)$", server.control_data(), re.MULTILINE)
    if found is None:
        raise StepError(f"pg_controldata does not say how large a segment of {server.data.name} is")
    return int(found[1])


def _keep(segment: Path, folder: Path) -> str:
    """A compressed copy, the same bytes each time; its digest."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    packed = gzip.compress(segment.read_bytes(), compresslevel=1, mtime=0)
    (folder / f"{segment.name}.gz").write_bytes(packed)
    return hashlib.sha256(packed).hexdigest()


def shorten(listing: Path) -> None:
    """Cut a list that is too long for the evidence at the end of a line, and say so in it."""
    if listing.stat().st_size <= _MOST_TEXT:
        return
    whole = listing.stat().st_size
    with listing.open("r+b") as file:
        cut = file.read(_MOST_TEXT).rfind(b"\n") + 1
        file.truncate(cut)
        file.seek(cut)
        file.write(f"(cut here: {whole} bytes in all)\n".encode())
