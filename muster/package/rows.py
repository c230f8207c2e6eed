"""One due time and what became of it, from its entry in the log and its bundle.

Promise: a row with a problem shows nothing, whatever its outcome says.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from evidence.slots import slot_key
from muster.cadence.spec import Cadence
from muster.cadence.ticks import next_tick
from muster.package.log import LoggedRun, written
from muster.package.owed import SETTLED_AFTER, is_open
from muster.package.sealed import Reading, SealedRun, Waiver
from muster.quantity import format_seconds
from muster.verdict import Outcome

UNSEALED = "unsealed"
"""The outcome of a due time for which nothing was sealed."""
OPEN = "open"
"""The outcome of a due time that is not over."""
NO_RECORD = "no sealed record: nothing shows what became of it"
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Row:
    """One due time, or one run on demand, and what became of it."""

    plan: str
    at: datetime
    """Its time: of the slot, or when the run was logged."""
    scheduled_at: datetime | None
    """`None` for a run that served no slot."""
    slot: str | None
    outcome: str
    """As the log says; else `unsealed` or `open`."""
    is_due: bool
    """Whether the plan's cadence asked for it; a run on demand is told too."""
    entry: LoggedRun | None = None
    sealed: SealedRun | None = None
    problems: tuple[str, ...] = ()
    """Why it shows nothing, whatever its outcome."""
    remarks: tuple[str, ...] = ()
    claimable_until: datetime | None = None
    """Of an open one: until when a run may claim it."""

    @property
    def index(self) -> int | None:
        """Of its entry in the log."""
        return self.entry.index if self.entry else None

    @property
    def run(self) -> str | None:
        """The run that served it."""
        return self.entry.run if self.entry else None

    @property
    def is_gap(self) -> bool:
        """Whether nothing was sealed for it, and should have been."""
        return self.outcome == UNSEALED and self.entry is None

    @property
    def passed(self) -> bool:
        """Whether it ended in a pass that can be relied on."""
        return self.outcome == Outcome.PASSED and self.sealed is not None and not self.problems

    @property
    def waiver(self) -> Waiver | None:
        """Who waived it."""
        return self.sealed.waiver if self.sealed else None

    @property
    def kind(self) -> str:
        """The kind of drill; empty where nothing sealed says it."""
        return self.sealed.kind if self.sealed else ""

    def as_json(self) -> dict[str, Any]:
        """As `population.json` has it."""
        waiver = self.waiver
        claimable = {"claimableUntil": written(self.claimable_until)} if self.claimable_until else {}
        return claimable | {
            "bundle": self.entry.bundle if self.entry else None,
            "endedAt": _or_null(self.sealed.ended_at if self.sealed else None),
            "entry": self.index,
            "headline": self.sealed.headline if self.sealed else "",
            "isDue": self.is_due,
            "kind": self.kind,
            "loggedAt": _or_null(self.entry.logged_at if self.entry else None),
            "outcome": self.outcome,
            "plan": self.plan,
            "problems": list(self.problems),
            "remarks": list(self.remarks),
            "run": self.run,
            "scheduledAt": _or_null(self.scheduled_at),
            "slot": self.slot,
            "waiver": waiver and {"owner": waiver.owner, "reason": waiver.reason, "until": _or_null(waiver.until)},
        }


class Several:
    """Slots that more than one entry claims."""

    def __init__(self, runs: Iterable[LoggedRun]) -> None:
        self._entries: dict[str, list[int]] = defaultdict(list)
        for run in runs:
            if run.slot:
                self._entries[run.slot].append(run.index)

    def told(self, slot: str | None) -> tuple[str, ...]:
        """What is wrong with the slot, if that is its fault."""
        entries = self._entries.get(slot or "", [])
        if len(entries) < 2:
            return ()
        return (f"{len(entries)} records of one slot, which has one: entries {', '.join(map(str, entries))}",)


def row_of(run: LoggedRun, readings: Mapping[str, Reading], several: Several) -> Row:
    """The row of a logged run. A bundle that nobody read is a problem too."""
    reading = readings.get(run.key, Reading(None, ("its bundle could not be had",)))
    sealed = reading.sealed
    cadence = sealed.cadence if sealed else None
    return Row(
        plan=run.plan,
        at=run.at,
        scheduled_at=run.scheduled_at,
        slot=run.slot,
        outcome=run.outcome,
        is_due=run.scheduled_at is not None and _names(cadence, run.scheduled_at),
        entry=run,
        sealed=sealed,
        problems=(*reading.problems, *_wrong_slot(run), *several.told(run.slot)),
        remarks=tuple(_remarks(run, sealed)),
    )


def row_without_record(
    plan: str, at: datetime, claimable: datetime, as_of: datetime, remarks: tuple[str, ...] = ()
) -> Row:
    """The row of a due time for which the log has no entry: open, or a gap."""
    row = partial(Row, plan, at, at, slot_key(plan, at), is_due=True, remarks=remarks)
    if is_open(claimable, as_of):
        return row(outcome=OPEN, claimable_until=claimable)
    return row(outcome=UNSEALED, problems=(NO_RECORD,))


def in_order(rows: Iterable[Row]) -> tuple[Row, ...]:
    """By time as it is written, plan and entry."""
    return tuple(sorted(rows, key=_place))


def _place(row: Row) -> tuple[str, str, int]:
    return written(row.scheduled_at), row.plan, -1 if row.index is None else row.index


def _names(cadence: Cadence | None, at: datetime) -> bool:
    """Whether a cadence is due then. Where it is not known, a slot is taken for a due time."""
    return cadence is None or next_tick(cadence, at - _INSTANT) == at


def _wrong_slot(run: LoggedRun) -> Iterator[str]:
    if run.slot and (run.scheduled_at is None or run.slot != slot_key(run.plan, run.scheduled_at)):
        yield "its entry names another slot than that of its plan and time"


def _remarks(run: LoggedRun, sealed: SealedRun | None) -> Iterator[str]:
    if sealed and sealed.ended_at and run.logged_at - sealed.ended_at > SETTLED_AFTER:
        late = format_seconds((run.logged_at - sealed.ended_at).total_seconds())
        yield f"sealed late: logged {late} after it ended"


def _or_null(moment: datetime | None) -> str | None:
    return written(moment) or None
