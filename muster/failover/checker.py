"""The set checker: accounts for every write of a rehearsal, in the manner of Jepsen's `set` and `set-full`.

Words.
An *attempt* is an `INVOKE`. It is *acknowledged* by `OK`, *failed* by `FAIL`, *unknown* by `INFO` or when nothing
followed. It is *over* at its end's monotonic time, or never. It belongs to the first span of the rehearsal that holds
the moment of its invocation (from inclusive, to exclusive), or to `outside`.
The *truth* is the last whole read of a primary. An acknowledged attempt is *recovered* when it is there; *lost* when it
is not, and was over before that read was invoked; neither when it was acknowledged later and is not there, because no
read has judged it. So acknowledged = recovered + lost + those not yet judged, and the drill stops the client before its
last read, so that there are none. Unknown attempts are *unknown-present* or *unknown-absent*, whenever they ended;
failed ones that are there are *failed-present*. Where no primary was read, all of these are zero.
A *stage's loss* is the same for each whole read of a primary. Its RPO: for each server, the time from its oldest
missing acknowledgement to its last acknowledgement before the read; the longest of them. So it holds for the takeover
and for the failback alike, and what a server acknowledged that was fenced too late counts in full. *Newly lost*
is what no whole read of a primary had missed before: a stage's own loss.
*Resurrected*: over before the first whole read of a primary that was invoked at or after the promotion, absent there,
and present in a later one of a primary. An unknown attempt counts only when it was made in a session of another,
known process than the one read: a call that is merely slow is no ghost.
*Duplicated*: there more than once in any whole read of a primary. *Unexpected*: there, and never invoked.
A *stale read* of one id saw it absent, though it had been acknowledged before that read was invoked and is there in the
truth. It is *of the primary* when the reader's node is the node of the server that began to acknowledge last, up to the
read's invocation. `reads` counts those that saw present or absent.
*Old acknowledgements*: by a server whose timeline is older than another process's, in a call that was invoked after
that other's first acknowledgement. The same process is never its own rival: a session may outlive a promotion.

Promises: pure over files; equal to a naive checker made of dictionaries and sets (`tests/unit/naive_checker.py`);
memory is some twenty bytes an attempt and one chunk. What does not fit together is told in `why_not_whole`, and what
came before it is counted all the same.

Sources: jepsen.checker (github.com/jepsen-io/jepsen, `checker.clj`): a read concurrent with its write proves presence,
never absence; K. Kingsbury, "Call me maybe: Postgres" (aphyr.com/posts/282): an unacknowledged write may be there.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from muster.failover.attempts import NEVER, Attempts, Bools, Logs, Reads, Times, is_kind, load
from muster.failover.history import SEQUENCE_BITS, Kind
from muster.failover.judged import Judged, judge_reads, times_by_server
from muster.failover.observations import Accounting, SetRead, Tally
from muster.failover.servers import node_of, process_of, timeline_of
from muster.failover.wholereads import DOUBLED, PRESENT, RESURRECTED

OUTSIDE = "outside"
"""The phase of what was invoked in no span."""
NAMED = 100
"""Ids that an accounting names of each sort, the least first."""
_TOLD = 5


@dataclass(frozen=True)
class Span:
    """A phase of the rehearsal, from inclusive to exclusive, in monotonic nanoseconds."""

    phase: str
    from_ns: int
    to_ns: int


def account(
    folder: Path,
    reads: Sequence[SetRead],
    phases: Sequence[Span],
    servers: Mapping[str, str],
    promoted_ns: int | None,
) -> Accounting:
    """Account for every write of the history in `folder`; see the module for what each number counts.

    `servers` is every `NodeState.server` seen and its node; `promoted_ns` when the new primary was promoted, `None`
    when it never was. Spans of one name are put together. Raises nothing for a history that is damaged: it says so.
    """
    logs = load(folder)
    judged = judge_reads(folder, logs, reads, promoted_ns)
    tallies = _tallied(logs, judged, phases)
    _add_reads(tallies, logs, judged, phases, servers)
    names = [*dict.fromkeys(span.phase for span in phases)]
    names += [OUTSIDE] if tallies.get(OUTSIDE) and OUTSIDE not in names else []
    total: Counter[str] = sum(tallies.values(), Counter())
    amiss = (*logs.amiss, *judged.amiss)
    return Accounting(
        is_whole=logs.has_ended and not amiss,
        is_damaged=bool(amiss),
        why_not_whole=_why_not_whole(logs, amiss),
        total=Tally(phase="total", **total),
        phases=tuple(Tally(phase=name, **tallies.get(name, Counter())) for name in names),
        stages=tuple(judged.stages),
        unexpected=judged.unexpected,
        lost_ids=_named(logs, judged.lost),
        resurrected_ids=_named(logs, lambda a: judged.marked(a, RESURRECTED)),
        duplicated_ids=_named(logs, lambda a: judged.marked(a, DOUBLED)),
        clock_steps_seconds=((logs.clock_high or 0) - (logs.clock_low or 0)) / 1e9,
        old_acks_after_promotion=_old_acks(logs),
    )


def _tallied(logs: Logs, judged: Judged, phases: Sequence[Span]) -> dict[str, Counter[str]]:
    tallies: dict[str, Counter[str]] = {}
    for attempts in logs.connections.values():
        outcomes = _outcomes(attempts, judged)
        for phase, part in _stretches(attempts.invoked_ns, phases):
            counts = {name: int(np.count_nonzero(where[part])) for name, where in outcomes.items()}
            tallies.setdefault(phase, Counter()).update(attempts=part.stop - part.start, **counts)
    return tallies


def _outcomes(attempts: Attempts, judged: Judged) -> dict[str, Bools]:
    acknowledged, failed = attempts.told(Kind.OK), attempts.told(Kind.FAIL)
    unknown, present = ~(acknowledged | failed), judged.marked(attempts, PRESENT)
    return {
        "acknowledged": acknowledged,
        "failed": failed,
        "unknown": unknown,
        "recovered": acknowledged & present,
        "lost": judged.lost(attempts),
        "unknown_present": unknown & present,
        "unknown_absent": unknown & ~present if judged.truth else np.zeros_like(unknown),
        "failed_present": failed & present,
        "resurrected": judged.marked(attempts, RESURRECTED),
        "duplicated": judged.marked(attempts, DOUBLED),
    }


def _stretches(times: Times, phases: Sequence[Span]) -> Iterator[tuple[str, slice]]:
    """Ascending times, cut wherever a span begins or ends; each stretch with the first span that holds it."""
    cuts = sorted({0, NEVER, *(at for span in phases for at in (span.from_ns, span.to_ns) if 0 < at < NEVER)})
    ends = np.searchsorted(times, np.array(cuts, np.uint64))
    ends[-1] = len(times)
    for begins, low, high in zip(cuts, ends, ends[1:], strict=False):
        if low < high:
            held = (span.phase for span in phases if span.from_ns <= begins < span.to_ns)
            yield next(held, OUTSIDE), slice(int(low), int(high))


def _add_reads(
    tallies: dict[str, Counter[str]],
    logs: Logs,
    judged: Judged,
    phases: Sequence[Span],
    servers: Mapping[str, str],
) -> None:
    primaries = _primaries(logs, servers)
    for reads in logs.readers:
        answered = is_kind(reads.kind, Kind.READ_PRESENT) | is_kind(reads.kind, Kind.READ_ABSENT)
        stale = _stale(reads, logs, judged)
        at_primary = stale & (_primary_at(reads.invoked_ns, primaries) == reads.node)
        for phase, part in _stretches(reads.invoked_ns, phases):
            tallies.setdefault(phase, Counter()).update(
                reads=int(answered[part].sum()),
                stale_reads=int(stale[part].sum()),
                stale_primary_reads=int(at_primary[part].sum()),
            )


def _stale(reads: Reads, logs: Logs, judged: Judged) -> Bools:
    stale = np.zeros(len(reads.id), np.bool_)
    absent = np.flatnonzero(is_kind(reads.kind, Kind.READ_ABSENT))
    ids = reads.id[absent]
    for attempts in logs.connections.values():
        at = (ids - np.uint64((attempts.connection << SEQUENCE_BITS) + 1)).astype(np.uint64)
        ours = np.flatnonzero(at < len(attempts))
        nth, read = at[ours].astype(np.intp), absent[ours]
        acknowledged = is_kind(attempts.kind[nth], Kind.OK) & (attempts.ended_ns[nth] < reads.invoked_ns[read])
        stale[read] = acknowledged & judged.marked(attempts, PRESENT)[nth]
    return stale


def _first_acks(logs: Logs) -> dict[str, int]:
    """Server to its first acknowledgement."""
    first: dict[str, int] = {}
    for attempts in logs.connections.values():
        for server, times in times_by_server(attempts, attempts.told(Kind.OK)):
            name = logs.servers[server]
            first[name] = min(first.get(name, NEVER), int(times.min()))
    return first


def _primaries(logs: Logs, servers: Mapping[str, str]) -> list[tuple[int, str]]:
    """When each server began to acknowledge, and its node, in order of time."""
    return sorted((at, node_of(server, servers)) for server, at in _first_acks(logs).items())


def _primary_at(times: Times, primaries: Sequence[tuple[int, str]]) -> NDArray[np.str_]:
    """The node that was primary at each of the times; empty before the first acknowledgement."""
    began = np.array([at for at, _ in primaries], np.uint64)
    nodes = np.array(["", *(node for _, node in primaries)])
    return nodes[np.searchsorted(began, times, side="right")]


def _old_acks(logs: Logs) -> int:
    first = {name: at for name, at in _first_acks(logs).items() if name}
    limits: dict[int, int] = {}
    for number, old in enumerate(logs.servers):
        age = timeline_of(old)
        rivals = [
            at for new, at in first.items() if _is_newer(timeline_of(new), age) and process_of(new) != process_of(old)
        ]
        if rivals:
            limits[number] = min(rivals)
    count = 0
    for attempts in logs.connections.values():
        for number, limit in limits.items():
            late = (attempts.server == number) & (attempts.invoked_ns > limit)
            count += int((late & attempts.told(Kind.OK)).sum())
    return count


def _is_newer(timeline: int | None, than: int | None) -> bool:
    return timeline is not None and than is not None and timeline > than


def _named(logs: Logs, which: Callable[[Attempts], Bools]) -> tuple[int, ...]:
    """The first hundred ids."""
    named: list[int] = []
    for number in sorted(logs.connections):
        attempts = logs.connections[number]
        named += attempts.ids(which(attempts))[: NAMED - len(named)].tolist()
    return tuple(named)


def _why_not_whole(logs: Logs, amiss: Sequence[str]) -> str:
    told = [*amiss[:_TOLD], *([f"and {len(amiss) - _TOLD} more"] if len(amiss) > _TOLD else [])]
    if not logs.has_ended:
        told.insert(0, "the client did not end by itself: it left no end.json that can be read")
    return "; ".join(told)
