"""The set checker written plainly, record by record, with dictionaries and sets: what the fast one is held against."""

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from muster.failover.checker import Span
from muster.failover.observations import Accounting, SetRead, StageLoss, Tally

INVOKE, OK, FAIL, INFO, READ_INVOKE, READ_PRESENT, READ_ABSENT, READ_FAIL = range(1, 9)


@dataclass(eq=False)
class Call:
    """One attempt."""

    id: int
    invoked: int
    kind: int = INVOKE
    ended: int | None = None
    server: str = ""

    def was_over(self, at: int) -> bool:
        return self.ended is not None and self.ended < at

    def was_acknowledged(self, at: int) -> bool:
        return self.kind == OK and self.was_over(at)


@dataclass
class Asked:
    """One read of one id that was answered."""

    node: str
    id: int
    invoked: int
    kind: int


class NaiveChecker:
    """Reads everything, then answers one question at a time."""

    def __init__(
        self,
        folder: Path,
        reads: Sequence[SetRead],
        phases: Sequence[Span],
        servers: Mapping[str, str],
        promoted_ns: int | None,
    ) -> None:
        self.folder, self.spans, self.nodes, self.promoted_ns = folder, phases, servers, promoted_ns
        self.calls: dict[int, Call] = {}
        self.asked: list[Asked] = []
        self.is_damaged = False
        self.apart: set[int] = set()
        self._sessions()
        self._end()
        self.next: dict[int, int] = {}
        self.newest: dict[int, int] = {}
        for path in sorted(folder.glob("w-*.log")):
            self._writer(path)
        for path in sorted(folder.glob("r-*.log")):
            self._reader(path)
        self.truths: list[tuple[SetRead, list[int]]] = []
        for read in sorted(reads, key=lambda r: r.invoked_ns):
            if read.is_primary:
                self._whole_read(read)

    def _sessions(self) -> None:
        self.session: dict[tuple[str, int], str] = {}
        for line in (self.folder / "sessions.jsonl").read_text().splitlines():
            said = json.loads(line)
            self.session[said["log"], said["session"]] = said["server"]

    def _end(self) -> None:
        path = self.folder / "end.json"
        self.has_ended = path.exists()
        if not self.has_ended:
            return
        said = json.loads(path.read_text())["logs"]
        there = {p.name for p in self.folder.glob("*.log")}
        self.is_damaged |= there != set(said)
        for name in there & set(said):
            data = (self.folder / name).read_bytes()
            self.is_damaged |= len(data) != 32 * said[name]["records"]
            self.is_damaged |= hashlib.sha256(data).hexdigest() != said[name]["sha256"]

    def _records(self, path: Path) -> list[tuple[int, ...]]:
        data = path.read_bytes()
        records = list(struct.iter_unpack("<BBHIQQQ", data[: len(data) // 32 * 32]))
        self.apart |= {wall - mono for *_, mono, wall in records}
        return records

    def _writer(self, path: Path) -> None:
        before = 0
        for kind, _, connection, session, number, mono, _ in self._records(path):
            sequence = number - (connection << 40)
            open_call = self.calls.get((connection << 40) + self.next.get(connection, 1) - 1)
            is_open = open_call is not None and open_call.kind == INVOKE
            if mono < before or mono < self.newest.get(connection, 0):
                self.is_damaged = True
                return
            if kind == INVOKE and not is_open and sequence == self.next.get(connection, 1):
                self.calls[number] = Call(number, mono, server=self.session.get((path.name, session), ""))
                self.next[connection] = sequence + 1
            elif kind in (OK, FAIL, INFO) and is_open and open_call is not None and open_call.id == number:
                open_call.kind, open_call.ended = kind, mono
                open_call.server = self.session.get((path.name, session), "")
                self.is_damaged |= kind == OK and not open_call.server
            else:
                self.is_damaged = True
                return
            before = self.newest[connection] = mono

    def _reader(self, path: Path) -> None:
        before, is_open, invoked, wanted = 0, False, 0, 0
        for kind, _, _, _, number, mono, _ in self._records(path):
            fits = (
                number == wanted and kind in (READ_PRESENT, READ_ABSENT, READ_FAIL) if is_open else kind == READ_INVOKE
            )
            if mono < before or not fits:
                self.is_damaged = True
                return
            if is_open:
                self.asked.append(Asked(path.name[2:-4], number, invoked, kind))
            else:
                invoked, wanted = mono, number
            before, is_open = mono, not is_open

    def _whole_read(self, read: SetRead) -> None:
        path = self.folder / read.file
        data = path.read_bytes() if path.exists() else b""
        ids = [n for (n,) in struct.iter_unpack("<Q", data[: len(data) // 8 * 8])]
        if not path.exists() or len(data) != 8 * read.ids or ids != sorted(ids):
            self.is_damaged = True
        else:
            self.truths.append((read, ids))

    def account(self) -> Accounting:
        """The same numbers, slowly; why it is not whole is not told."""
        resurrected, doubled, lost = self._resurrected(), self._doubled(), self._lost()
        names = list(dict.fromkeys(span.phase for span in self.spans))
        tallies = {name: self._tally(name, lost, resurrected, doubled) for name in [*names, "outside"]}
        if "outside" not in names and tallies["outside"] == Tally(phase="outside"):
            del tallies["outside"]
        counts: Counter[str] = Counter()
        for tally in tallies.values():
            counts.update(tally.model_dump(exclude={"phase"}))
        return Accounting(
            is_whole=self.has_ended and not self.is_damaged,
            is_damaged=self.is_damaged,
            total=Tally(phase="total", **counts),
            phases=tuple(tallies.values()),
            stages=tuple(self._stage(*truth, self.truths[:nth]) for nth, truth in enumerate(self.truths)),
            unexpected=len({n for _, ids in self.truths for n in ids} - set(self.calls)),
            lost_ids=tuple(sorted(lost))[:100],
            resurrected_ids=tuple(sorted(resurrected))[:100],
            duplicated_ids=tuple(sorted(doubled))[:100],
            clock_steps_seconds=(max(self.apart) - min(self.apart)) / 1e9 if self.apart else 0.0,
            old_acks_after_promotion=self._old_acks(),
        )

    def _phase(self, at: int) -> str:
        return next((s.phase for s in self.spans if s.from_ns <= at < s.to_ns), "outside")

    def _truth(self) -> set[int]:
        return set(self.truths[-1][1]) if self.truths else set()

    def _lost(self) -> set[int]:
        if not self.truths:
            return set()
        at = self.truths[-1][0].invoked_ns
        return {c.id for c in self.calls.values() if c.was_acknowledged(at)} - self._truth()

    def _doubled(self) -> set[int]:
        return {n for _, ids in self.truths for n, times in Counter(ids).items() if times > 1 and n in self.calls}

    def _resurrected(self) -> set[int]:
        after = [t for t in self.truths if self.promoted_ns is None or t[0].invoked_ns >= self.promoted_ns]
        if not after:
            return set()
        (first, there), later = after[0], {n for _, ids in after[1:] for n in ids}
        here = first.server.rpartition("/")[0]
        gone = {c for c in map(self.calls.get, later - set(there)) if c is not None and c.was_over(first.invoked_ns)}
        return {c.id for c in gone if c.kind != INFO or (c.server and c.server.rpartition("/")[0] != here)}

    def _stage(self, read: SetRead, ids: list[int], earlier: list[tuple[SetRead, list[int]]]) -> StageLoss:
        acknowledged = [c for c in self.calls.values() if c.was_acknowledged(read.invoked_ns)]
        missing = [c for c in acknowledged if c.id not in set(ids)]
        newly = [
            c for c in missing
            if not any(c.was_acknowledged(before.invoked_ns) and c.id not in there for before, there in earlier)
        ]  # fmt: skip
        return StageLoss(
            stage=read.stage,
            node=read.node,
            acknowledged=len(acknowledged),
            lost=len(missing),
            rpo_seconds=self._span(missing, acknowledged),
            newly_lost=len(newly),
            newly_rpo_seconds=self._span(newly, acknowledged),
        )

    def _span(self, missing: list[Call], acknowledged: list[Call]) -> float:
        spans = [0]
        for server in {c.server for c in missing}:
            oldest = min(c.ended or 0 for c in missing if c.server == server)
            spans.append(max(c.ended or 0 for c in acknowledged if c.server == server) - oldest)
        return max(spans) / 1e9

    def _tally(self, phase: str, lost: set[int], resurrected: set[int], doubled: set[int]) -> Tally:
        calls = {c.id: c for c in self.calls.values() if self._phase(c.invoked) == phase}
        ids, there = set(calls), self._truth()
        acknowledged = {n for n in ids if calls[n].kind == OK}
        failed = {n for n in ids if calls[n].kind == FAIL}
        unknown = ids - acknowledged - failed
        asked = [a for a in self.asked if self._phase(a.invoked) == phase]
        stale = [a for a in asked if self._is_stale(a)]
        return Tally(
            phase=phase,
            attempts=len(ids),
            acknowledged=len(acknowledged),
            failed=len(failed),
            unknown=len(unknown),
            recovered=len(acknowledged & there),
            lost=len(lost & ids),
            unknown_present=len(unknown & there),
            unknown_absent=len(unknown - there) if self.truths else 0,
            failed_present=len(failed & there),
            resurrected=len(resurrected & ids),
            duplicated=len(doubled & ids),
            reads=len([a for a in asked if a.kind != READ_FAIL]),
            stale_reads=len(stale),
            stale_primary_reads=len([a for a in stale if a.node == self._primary_at(a.invoked)]),
        )

    def _is_stale(self, asked: Asked) -> bool:
        call = self.calls.get(asked.id)
        if call is None or asked.kind != READ_ABSENT:
            return False
        return call.was_acknowledged(asked.invoked) and call.id in self._truth()

    def _first_acks(self) -> dict[str, int]:
        first: dict[str, int] = {}
        for call in self.calls.values():
            if call.kind == OK:
                first[call.server] = min(first.get(call.server, call.ended or 0), call.ended or 0)
        return first

    def _primary_at(self, at: int) -> str:
        began = sorted((since, self._node(server)) for server, since in self._first_acks().items() if since <= at)
        return began[-1][1] if began else ""

    def _node(self, server: str) -> str:
        if server in self.nodes:
            return self.nodes[server]
        process = server.rpartition("/")[0]
        return next((n for known, n in self.nodes.items() if process and known.rpartition("/")[0] == process), "")

    def _old_acks(self) -> int:
        count = 0
        for call in self.calls.values():
            if call.kind != OK or not call.server:
                continue
            process, _, timeline = call.server.rpartition("/")
            count += any(
                int(timeline) and newer.rpartition("/")[0] != process
                and int(newer.rpartition("/")[2]) > int(timeline) and call.invoked > since
                for newer, since in self._first_acks().items() if newer
            )  # fmt: skip
        return count
