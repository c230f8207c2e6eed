"""Every due time accounted for: expected ticks against what both schedulers and the claims say became of them. Pure.

Promises: what is expected comes from the definitions alone, by an engine that is neither scheduler's; a tick counts as
started only where a history or a claim says so, and of a scheduler that keeps no history its claims are the history;
whatever somebody started and nobody expected is told too.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

from muster.cutover.observations import Counts, Handover, Lateness, Reckoned, Slice
from muster.cutover.ownership import Side
from muster.cutover.schedule import Firing, Schedule, Stage, Tick

T = TypeVar("T")
_EXAMPLES = 10
_COLUMNS = 120


@dataclass(frozen=True)
class Claim:
    """One claim."""

    tick: Tick
    holder: str


_PHASES = ("a", "b", "a again")
_UNENDED = {Stage.RUNNING: "is still at work", Stage.BEGUN: "began, and nothing tells how it ended"}


@dataclass(frozen=True)
class Told:
    """Everything that is known of a span."""

    began: datetime
    ended: datetime
    schedules: Sequence[Schedule]
    """The active ones."""
    expected: Sequence[Tick]
    """In order."""
    doubtful: frozenset[Tick]
    """Of those, the ones that nobody can be sure of."""
    firings: Mapping[Side, Sequence[Firing] | None]
    claims: Sequence[Claim]
    refused: Sequence[Claim]
    """Claims that were refused as doubled or fenced, as often as they were."""
    holders: Mapping[Side, str]
    handovers: Sequence[tuple[Handover, frozenset[str]]]
    """Each with the schedules that it moved, in order."""
    guarded: bool
    late: timedelta
    order: timedelta
    translated: Sequence[Schedule] = ()
    """Those that the new scheduler has otherwise, as it has them."""


@dataclass(frozen=True)
class _Start:
    """One run of a tick that somebody took up."""

    side: Side
    firing: Firing

    @property
    def words(self) -> str:
        return f"{_words(self.firing.tick)} by {self.side}"


@dataclass(frozen=True)
class _Ledger:
    """The same, sorted."""

    told: Told

    @cached_property
    def starts(self) -> dict[Tick, list[_Start]]:
        found: dict[Tick, list[_Start]] = defaultdict(list)
        for side, firings in self.told.firings.items():
            for firing in self._claimed(side) if firings is None else firings:
                if firing.stage.is_taken:
                    found[firing.tick].append(_Start(side, firing))
        return found

    def _claimed(self, side: Side) -> list[Firing]:
        """What stands in for a history that there is not: whoever was refused a tick that another one has began too."""
        second = [claim for claim in self.told.refused if claim.tick in self.claims]
        return [
            Firing(schedule=claim.tick.schedule, at=claim.tick.at, run="", stage=Stage.DONE)
            for claim in (*self.told.claims, *second)
            if claim.holder == self.told.holders[side]
        ]

    @cached_property
    def claims(self) -> dict[Tick, str]:
        return {claim.tick: claim.holder for claim in self.told.claims}

    @cached_property
    def skipped(self) -> set[Tick]:
        return {Tick(t.schedule, t.at) for h, _ in self.told.handovers for t in h.activated.skipped}

    @cached_property
    def caught_up(self) -> set[Tick]:
        return {Tick(t.schedule, t.at) for h, _ in self.told.handovers for t in h.activated.caught_up}

    @cached_property
    def expected(self) -> set[Tick]:
        return set(self.told.expected)

    def owner(self, tick: Tick) -> Side:
        """Whose tick it was, by the watermarks, and by what the new owner was to make up for."""
        side = Side.A
        for handover, names in self.told.handovers:
            if tick.schedule not in names:
                continue
            behind = any(t.schedule == tick.schedule and t.at == tick.at for t in handover.activated.caught_up)
            if behind or tick.at > handover.drained.watermark:
                side = handover.activated.into
        return side


def reckon(told: Told) -> Reckoned:
    """The account of a span."""
    book = _Ledger(told)
    flat = [start for starts in book.starts.values() for start in starts]
    missed = [t for t in told.expected if _is_missed(book, t)]
    doubled = [t for t, starts in book.starts.items() if len(starts) > 1]
    misplaced = [s for s in flat if s.firing.tick in book.expected and s.side is not book.owner(s.firing.tick)]
    wrong = {*missed, *doubled, *(start.firing.tick for start in misplaced)}
    late, lateness = _lateness(book, flat)
    return Reckoned(
        began=told.began,
        ended=told.ended,
        schedules=len(told.schedules),
        expected=len(told.expected),
        doubtful=len(told.doubtful),
        by_side={side: len({s.firing.tick for s in flat if s.side is side}) for side in Side},
        phases=_phases(told),
        undue=_undue(told),
        unseen_waves=_unseen_waves(told),
        histories={side: told.firings.get(side) is not None for side in Side},
        claims=len(told.claims),
        missed=_counts(missed, _words),
        skipped=_counts(sorted(book.skipped - set(book.starts), key=_by_time), _words),
        caught_up=len(book.caught_up & set(book.starts)),
        doubled=_counts(sorted(doubled, key=_by_time), lambda t: ", ".join(s.words for s in book.starts[t])),
        stopped=sum(min(count, len(book.starts.get(t, ())) - 1) for t, count in _refusals(told, doubled).items()),
        unexpected=_counts([s for s in flat if _is_unexpected(book, s.firing.tick)], lambda s: s.words),
        misplaced=_counts(misplaced, lambda s: f"{s.words}, {book.owner(s.firing.tick)}'s to start"),
        late=late,
        lateness=lateness,
        out_of_order=_counts(_out_of_order(_in_turn(book, flat), told.order), lambda s: s.words),
        parameters=_counts(_wrong_parameters(told, flat), lambda s: s.words),
        given=sum(s.firing.parameters is not None for s in flat),
        unclaimed=_counts([s for s in flat if told.guarded and s.firing.tick not in book.claims
                           and s.firing.stage.is_over], lambda s: s.words),
        unrecorded=_counts([t for t in book.claims if t not in book.starts], _words),
        lost=_counts([s for s in flat if s.firing.stage not in {Stage.DONE, *_UNENDED}],
                     lambda s: f"{s.words} is {s.firing.stage}"),
        unended=_counts([s for s in flat if s.firing.stage in _UNENDED],
                        lambda s: f"{s.words} {_UNENDED[s.firing.stage]}"),
        **_picture(told, flat, wrong),
    )  # fmt: skip


def _is_missed(book: _Ledger, tick: Tick) -> bool:
    known = tick in book.starts or tick in book.claims
    return not known and tick not in book.skipped and tick not in book.told.doubtful


def _is_unexpected(book: _Ledger, tick: Tick) -> bool:
    return tick not in book.expected and book.told.began < tick.at <= book.told.ended


def _refusals(told: Told, doubled: Iterable[Tick]) -> Counter[Tick]:
    wanted = set(doubled)
    return Counter(claim.tick for claim in told.refused if claim.tick in wanted)


def _lateness(book: _Ledger, starts: Sequence[_Start]) -> tuple[Counts, Lateness | None]:
    """What was made up for counts as well: else a scheduler that starts nothing would be made good by the next one."""
    found = sorted(
        (((s.firing.started - s.firing.at).total_seconds(), s.words) for s in starts if s.firing.started is not None),
        reverse=True,
    )
    if not found:
        return Counts(), None
    over = [f"{words}, {seconds:.1f} s late" for seconds, words in found if seconds > book.told.late.total_seconds()]
    seconds = [seconds for seconds, _ in reversed(found)]
    return Counts(count=len(over), examples=tuple(over[:_EXAMPLES])), Lateness(
        count=len(seconds),
        median=round(seconds[len(seconds) // 2], 3),
        p95=round(seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))], 3),
        most=round(seconds[-1], 3),
    )


def _in_turn(book: _Ledger, starts: Sequence[_Start]) -> list[_Start]:
    """Without what was made up for, which is overtaken by its nature."""
    return [start for start in starts if start.firing.tick not in book.caught_up]


def _out_of_order(starts: Sequence[_Start], patience: timedelta) -> list[_Start]:
    """Runs that began more than that after one of a later tick of the same schedule."""
    by_schedule: dict[str, list[_Start]] = defaultdict(list)
    for start in starts:
        if start.firing.started is not None:
            by_schedule[start.firing.schedule].append(start)
    wrong = []
    for runs in by_schedule.values():
        newest: datetime | None = None
        for run in sorted(runs, key=lambda r: r.firing.at, reverse=True):
            began = run.firing.started
            if newest is not None and began is not None and began - newest > patience:
                wrong.append(run)
            newest = min(x for x in (newest, began) if x is not None)
    return wrong


def _wrong_parameters(told: Told, starts: Sequence[_Start]) -> list[_Start]:
    old = {schedule.name: dict(schedule.parameters) for schedule in told.schedules}
    new = {schedule.name: dict(schedule.parameters) for schedule in told.translated}
    asked = {Side.A: old, Side.B: {**old, **new}}
    return [
        s for s in starts
        if s.firing.parameters is not None and s.firing.schedule in asked[s.side]
        and dict(s.firing.parameters) != asked[s.side][s.firing.schedule]
    ]  # fmt: skip


def _unseen_waves(told: Told) -> tuple[str, ...]:
    """Waves that a side had while none of their ticks was due, in words; what one wave alone saw `phases` says."""
    waves: dict[int, list[tuple[Handover, frozenset[str]]]] = {}
    for handover, names in told.handovers:
        waves.setdefault(handover.drained.wave, []).append((handover, names))
    found = []
    for number, parts in sorted(waves.items()) if len(waves) > 1 else ():
        counts = _phases(told, frozenset().union(*(names for _, names in parts)))
        empty = [phase for phase in _PHASES[: len(parts) + 1] if not counts.get(phase)]
        found += [f"none of wave {number + 1} while {phase} had it" for phase in empty]
    return tuple(found)


def _phases(told: Told, among: frozenset[str] | None = None) -> dict[str, int]:
    """Ticks that were due while each side had its schedule: `a`, then `b`, then `a again`."""
    counts: Counter[str] = Counter()
    for tick in told.expected:
        if among is not None and tick.schedule not in among:
            continue
        counts[_phase(told, tick)] += 1
    return dict(counts)


def _undue(told: Told) -> dict[str, int]:
    """Schedules of which nothing was due while each side had them, by the names of `_phases`."""
    moves = {schedule.name: 0 for schedule in told.schedules}
    for _, names in told.handovers:
        moves.update({name: moves[name] + 1 for name in names if name in moves})
    due = {(tick.schedule, _phase(told, tick)) for tick in told.expected}
    had = [(name, phase) for name, count in moves.items() for phase in _PHASES[: count + 1]]
    return dict(Counter(phase for name, phase in had if (name, phase) not in due))


def _phase(told: Told, tick: Tick) -> str:
    passed = [h for h, names in told.handovers if tick.schedule in names and tick.at > h.drained.watermark]
    return _PHASES[min(2, len(passed))]


def _picture(told: Told, starts: Sequence[_Start], wrong: set[Tick]) -> dict[str, Any]:
    span = max(1.0, (told.ended - told.began).total_seconds())
    width = span / _COLUMNS
    started = {side: Counter[int]() for side in Side}
    bad: Counter[int] = Counter()

    def column(at: datetime) -> int:
        return min(_COLUMNS - 1, max(0, int((at - told.began).total_seconds() / width)))

    for start in starts:
        started[start.side][column(start.firing.at)] += 1
    for tick in wrong:
        bad[column(tick.at)] += 1
    return {
        "column_seconds": width,
        "columns": tuple(
            Slice(start=n * width, started={side: started[side][n] for side in Side}, wrong=bad[n])
            for n in range(_COLUMNS)
        ),
    }


def _words(tick: Tick) -> str:
    return f"{tick.schedule} of {tick.at:%Y-%m-%d %H:%M:%S}"


def _counts(found: Sequence[T], words: Callable[[T], str]) -> Counts:
    return Counts(count=len(found), examples=tuple(words(one) for one in found[:_EXAMPLES]))


def _by_time(tick: Tick) -> tuple[datetime, str]:
    return tick.at, tick.schedule
