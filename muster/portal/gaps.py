"""Gaps: what an auditor must see before anything else, for everything the evidence lacks or contradicts.

Promises: a pure function of the data and its moment; a slot that is still within its time is no gap, one that is
beyond it is, whoever is to blame, and in a package too; what was waived is no gap, since its record says why.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from muster.cadence.ticks import next_tick
from muster.portal.model import PortalData, PortalPlan, Slot
from muster.portal.reading import Run, by_plan, text
from muster.quantity import count_of, format_seconds
from muster.verdict import Outcome


class Gap(StrEnum):
    """The kinds of gap, the gravest first."""

    CONTRADICTED = "contradicted"
    """Two parts of the evidence do not agree."""
    UNSEALED = "unsealed"
    """A slot whose time is over, or a run that ended, without a sealed record in the log."""
    OVERDUE = "overdue"
    """A plan that has not passed again by the end of its grace."""
    MISSED = "missed"
    """A slot that no run served."""
    UNREAD = "unread"
    """An entry whose bundle was not read when the page was drawn."""
    LATE = "sealed late"
    """A run that was logged more than a day after it ended."""


MEANINGS = {
    Gap.CONTRADICTED: "two parts of the evidence do not agree: find out which is wrong before you rely on either",
    Gap.UNSEALED: "something was due, or ended, and the log holds no record of it",
    Gap.OVERDUE: "the plan has not passed again in the time its cadence allows",
    Gap.MISSED: "no run started while the slot could be claimed; the record of that is sealed",
    Gap.UNREAD: "the log names a bundle that was not read when this page was drawn, so its findings are not shown",
    Gap.LATE: "until it was logged, only its runner vouched for its times",
}
_GRAVITY = {gap: place for place, gap in enumerate(Gap)}


@dataclass(frozen=True)
class Lack:
    """One gap."""

    gap: Gap
    plan: str
    """Empty where it concerns the whole log."""
    at: datetime | None
    """When it was due, or came about."""
    words: str
    entry: int | None = None
    """The entry of the log that shows it, if one does."""
    run: str = ""


def gaps_of(data: PortalData, runs: Sequence[Run]) -> tuple[Lack, ...]:
    """Every gap, the gravest kind first, in a kind the newest first."""
    own = by_plan(runs)
    found = [*_of_the_log(data), *_unlogged(data)]
    for plan in data.plans:
        found += _unsealed(plan, own[text(plan.name)], data)
        found += _overdue(plan, own[text(plan.name)], data.at)
    for run in runs:
        found += _of_the_run(run)
    return tuple(sorted(found, key=_order))


def _order(lack: Lack) -> tuple[int, float, str, str]:
    return _GRAVITY[lack.gap], -lack.at.timestamp() if lack.at else 0.0, lack.plan, lack.run


def _of_the_log(data: PortalData) -> Iterator[Lack]:
    read = len({entry.index for entry in data.entries if 0 <= entry.index < data.size})
    if read != data.size or read != len(data.entries):
        words = f"the newest head has {count_of(data.size, 'entry', 'entries')}, {len(data.entries):,} were read"
        yield Lack(Gap.CONTRADICTED, "", data.at, words)
    told = {(f"time-stamp by {text(each.authority)}", each.size) for each in data.anchors}
    told |= {(f"cosignature of {text(each.witness)}", each.size) for each in data.cosignatures}
    for who, size in sorted(told):
        if size > data.size:
            words = f"a {who} is for {size:,} entries, the newest head has {data.size:,}: the log was cut"
            yield Lack(Gap.CONTRADICTED, "", data.at, words)


def _unlogged(data: PortalData) -> Iterator[Lack]:
    for each in data.waiting:
        words = f"it ended and is not in the log{': ' + text(each.why) if each.why else ''}"
        yield Lack(Gap.UNSEALED, text(each.plan), each.due, words, run=text(each.run))


def unrecorded(plan: PortalPlan, runs: Iterable[Run], data: PortalData) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """Slots that neither the log nor the outbox knows: those whose time is over, and those still open or to come."""
    known = {run.scheduled for run in runs}
    known |= {each.due for each in data.waiting if each.plan == plan.name}
    left = [slot for slot in plan.slots if slot.due not in known]
    return tuple(slot for slot in left if not slot.is_open), tuple(slot for slot in left if slot.is_open)


def _unsealed(plan: PortalPlan, runs: Iterable[Run], data: PortalData) -> Iterator[Lack]:
    words = f"no sealed record (plan {plan.ended})" if plan.ended else "no sealed record"
    for slot in unrecorded(plan, runs, data)[0]:
        yield Lack(Gap.UNSEALED, text(plan.name), slot.due, words)


def _overdue(plan: PortalPlan, runs: Iterable[Run], now: datetime) -> Iterator[Lack]:
    """By the cadence of today from the last pass on, as the ledger counts: a new cadence makes nothing fresh."""
    passes = (run for run in runs if run.outcome == Outcome.PASSED)
    passed = max((at for run in passes for at in (run.due, run.opened) if at), default=None)
    after = passed or plan.since
    if plan.current is None or after is None or after >= now:
        return
    due = next_tick(plan.current, after)
    if (until := due + plan.current.grace_period) < now:
        last = f"last passed {minute(passed)}" if passed else "never passed"
        yield Lack(Gap.OVERDUE, text(plan.name), due, f"{last}; was to pass by {minute(until)}")


def _of_the_run(run: Run) -> Iterator[Lack]:
    def lack(gap: Gap, words: str) -> Lack:
        return Lack(gap, run.plan, run.due, words, entry=run.index, run=run.run)

    if run.quarrel:
        yield lack(Gap.CONTRADICTED, run.quarrel)
    if run.outcome == Outcome.MISSED:
        yield lack(Gap.MISSED, _why_missed(run))
    if not run.is_read:
        yield lack(Gap.UNREAD, "its seal was not read")
    if run.is_late and run.ended and run.logged:
        after = format_seconds((run.logged - run.ended).total_seconds())
        yield lack(Gap.LATE, f"logged {after} after it ended")


def _why_missed(run: Run) -> str:
    return next(
        (found.seen for found in run.findings if found.check == "slot" and found.seen), "no run started in time"
    )


def minute(at: datetime) -> str:
    """A UTC date and time of day."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def counted(lacks: Iterable[Lack]) -> Mapping[Gap, int]:
    """How many of each kind, the gravest first; kinds without any are left out."""
    found = [lack.gap for lack in lacks]
    return {gap: found.count(gap) for gap in Gap if gap in found}
