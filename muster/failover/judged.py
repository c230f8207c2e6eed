"""A history held against every whole read of a primary: what is there, what is lost, what came back. See `checker`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from muster.failover.attempts import NEVER, Attempts, Bools, Logs, Times
from muster.failover.history import Kind
from muster.failover.observations import SetRead, StageLoss
from muster.failover.servers import process_of
from muster.failover.wholereads import (
    AWAY,
    MISSED,
    PRESENT,
    RESURRECTED,
    Marks,
    blank_marks,
    complaint_about,
    mark_present,
)


@dataclass
class Judged:
    """The attempts of a history, held against every whole read of a primary."""

    marks: Marks
    truth: SetRead | None = None
    stages: list[StageLoss] = field(default_factory=list)
    unexpected: int = 0
    amiss: list[str] = field(default_factory=list)

    def marked(self, attempts: Attempts, mark: np.uint8) -> Bools:
        """Which attempts of a connection carry the mark."""
        carries: Bools = (self.marks[attempts.connection] & mark) != 0
        return carries

    def lost(self, attempts: Attempts) -> Bools:
        """Which were acknowledged before the truth was read, and are not there."""
        if self.truth is None:
            return np.zeros(len(attempts), np.bool_)
        return _acknowledged_before(attempts, self.truth) & ~self.marked(attempts, PRESENT)


def judge_reads(folder: Path, logs: Logs, reads: Sequence[SetRead], promoted_ns: int | None) -> Judged:
    """Go through the whole reads of primaries in order of time; one whose file is not whole is told and left out."""
    judged = Judged(blank_marks(logs.connections))
    strange = np.zeros(0, np.uint64)
    first: SetRead | None = None
    for read in sorted((r for r in reads if r.is_primary), key=lambda r: r.invoked_ns):
        if complaint := complaint_about(folder, read):
            judged.amiss.append(complaint)
            continue
        strange = np.union1d(strange, mark_present(folder / read.file, judged.marks))
        judged.truth = read
        judged.stages.append(_stage_loss(read, logs, judged))
        if first is not None:
            _mark_resurrected(judged.marks)
        elif promoted_ns is None or read.invoked_ns >= promoted_ns:
            first = read
            for attempts in logs.connections.values():
                judged.marks[attempts.connection][_away(attempts, read, logs, judged)] |= AWAY
    judged.unexpected = len(strange)
    return judged


def _acknowledged_before(attempts: Attempts, read: SetRead) -> Bools:
    before: Bools = attempts.told(Kind.OK) & (attempts.ended_ns < read.invoked_ns)
    return before


def _away(attempts: Attempts, read: SetRead, logs: Logs, judged: Judged) -> Bools:
    over: Bools = (attempts.ended_ns < read.invoked_ns) & ~judged.marked(attempts, PRESENT)
    here = [n for n, s in enumerate(logs.servers) if not s or process_of(s) == process_of(read.server)]
    over &= ~(attempts.told(Kind.INFO) & np.isin(attempts.server, here))
    return over


def _mark_resurrected(marks: Marks) -> None:
    both = AWAY | PRESENT
    for flags in marks.values():
        flags[(flags & both) == both] |= RESURRECTED


def _stage_loss(read: SetRead, logs: Logs, judged: Judged) -> StageLoss:
    acknowledged, lost, newly = 0, _Loss(), _Loss()
    for attempts in logs.connections.values():
        missing = judged.lost(attempts)
        acknowledged += int(_acknowledged_before(attempts, read).sum())
        lost.add(attempts, missing)
        newly.add(attempts, missing & ~judged.marked(attempts, MISSED))
        judged.marks[attempts.connection][missing] |= MISSED
    newest = _newest(logs, read) if lost.count else {}
    return StageLoss(
        stage=read.stage,
        node=read.node,
        acknowledged=acknowledged,
        lost=lost.count,
        rpo_seconds=lost.seconds(newest),
        newly_lost=newly.count,
        newly_rpo_seconds=newly.seconds(newest),
    )


@dataclass
class _Loss:
    """Acknowledged attempts that are missing: how many, and the oldest acknowledgement of each server."""

    count: int = 0
    oldest: dict[int, int] = field(default_factory=dict)

    def add(self, attempts: Attempts, missing: Bools) -> None:
        self.count += int(missing.sum())
        for server, times in times_by_server(attempts, missing):
            self.oldest[server] = min(self.oldest.get(server, NEVER), int(times.min()))

    def seconds(self, newest: Mapping[int, int]) -> float:
        return max((newest[server] - at for server, at in self.oldest.items()), default=0) / 1e9


def _newest(logs: Logs, read: SetRead) -> dict[int, int]:
    """Each server's last acknowledgement before the read."""
    newest: dict[int, int] = {}
    for attempts in logs.connections.values():
        for server, times in times_by_server(attempts, _acknowledged_before(attempts, read)):
            newest[server] = max(newest.get(server, 0), int(times.max()))
    return newest


def times_by_server(attempts: Attempts, where: Bools) -> Iterator[tuple[int, Times]]:
    """Ends of the attempts picked, for each server that has any."""
    servers, times = attempts.server[where], attempts.ended_ns[where]
    for server in np.flatnonzero(np.bincount(servers)) if len(servers) else ():
        yield int(server), times[servers == server]
