"""Slots accounted for: plans enrolled and retired, and a record written for each slot that no run served.

Promises: every slot since a plan was enrolled gets exactly one record, a run or a missed or waived slot, whoever
watches, however often and in whatever order; a fault with one plan leaves the others alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from muster.cadence.dues import dues_after
from muster.cadence.spec import Cadence
from muster.claims import Account, Claim, Unrun, account_for, claim_of
from muster.errors import MusterError
from muster.ledger import LedgerError
from muster.ledger.rows import Due
from muster.ledger.standing import Standing
from muster.plan import Plan
from muster.quantity import count_of
from muster.summary import Summary
from muster.verdict import Outcome

__all__ = ["Account", "Accounted", "Claim", "Unrun", "account_for", "account_slots", "claim_of", "due_after"]


class Accounted(NamedTuple):
    """What one round of accounting did."""

    enrolled: tuple[str, ...] = ()
    """Plans that are new, came back, or whose cadence was changed: their slots count from now."""
    retired: tuple[str, ...] = ()
    """Plans whose file is gone."""
    missed: tuple[str, ...] = ()
    """Runs that record a missed slot."""
    waived: tuple[str, ...] = ()
    """Runs that record a waived slot."""
    startable: tuple[tuple[str, datetime], ...] = ()
    """Plan and slot that should have been started by now, and still can be."""
    more: bool = False
    """There is more to account for than one round does."""
    problems: tuple[str, ...] = ()
    """What could not be done, by plan; the rest was."""


class SlotLedger(Protocol):
    """The part of the ledger that knows where each plan's slots stand."""

    def now(self) -> datetime:
        """The ledger's clock."""
        ...

    def standings(self) -> tuple[Standing, ...]:
        """Every plan that was ever seen."""
        ...

    def enroll(self, plans: Mapping[str, Due]) -> None:
        """Count slots by these cadences."""
        ...

    def retire(self, plan: str) -> None:
        """Note that the plan is gone."""
        ...

    def set_accounted(self, untils: Mapping[str, datetime]) -> None:
        """Move watermarks."""
        ...

    def slots_taken(self, plan: str, after: datetime, until: datetime) -> frozenset[datetime]:
        """Slots in (after, until] that have a run."""
        ...


class Recorder(Protocol):
    """The part of the conductor that writes the record of a slot that was not run."""

    @property
    def ledger(self) -> SlotLedger:
        """Where slots are kept."""
        ...

    def record_unrun(
        self, plan: Plan, tick: datetime, outcome: Outcome, why: str, *, send: bool = True
    ) -> Summary | None:
        """Record, judge and seal; `None` when the slot has a run."""
        ...

    def last_known(self, plan: str) -> Plan | None:
        """A plan whose file is gone, as its newest run knew it."""
        ...

    def send_waiting(self) -> object:
        """Send what waits in the outbox."""
        ...


def account_slots(
    conductor: Recorder, plans: Sequence[Plan], *, read_all: bool = True, now: datetime | None = None
) -> Accounted:
    """Bring every plan's slots up to now: enrol, record, retire, and move the watermarks.

    `read_all` says that `plans` are all there are: a plan that is known and not among them is then retired. `now` is
    the ledger's clock unless given. Raises `LedgerError` when the ledger is away; a fault with one plan is told in
    `problems`.
    """
    ledger = conductor.ledger
    round_ = _Round(conductor, now or ledger.now())
    known = {standing.plan: standing for standing in ledger.standings()}
    for plan in plans:
        round_.isolated(plan.name, lambda p=plan: round_.bring_up(p, known.get(p.name)))  # type: ignore[misc]
    names = {plan.name for plan in plans}
    for standing in known.values() if read_all else ():
        if standing.plan not in names and standing.retired_at is None:
            round_.isolated(standing.plan, lambda s=standing: round_.retire(s))  # type: ignore[misc]
    return round_.finish()


@dataclass
class _Round:
    conductor: Recorder
    now: datetime
    new: dict[str, Due] = field(default_factory=dict)
    untils: dict[str, datetime] = field(default_factory=dict)
    retired: list[str] = field(default_factory=list)
    recorded: list[Summary] = field(default_factory=list)
    startable: list[tuple[str, datetime]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    more: bool = False

    def isolated(self, plan: str, act: Callable[[], None]) -> None:
        """Do it; what goes wrong with this plan is told, and is no reason to leave the others."""
        try:
            act()
        except LedgerError as error:
            self.conductor.ledger.now()  # raises when it is the ledger that is away, not this plan that is wrong
            self.problems.append(f"{plan}: {error.message}")
        except Exception as error:
            self.problems.append(f"{plan}: {error.message if isinstance(error, MusterError) else repr(error)}")

    def bring_up(self, plan: Plan, standing: Standing | None) -> None:
        """Account for a plan whose file is there."""
        if standing is None or not standing.timetable or standing.retired_at is not None:
            self._enroll(plan, standing)  # no slot before is owed
        elif standing.timetable == plan.cadence.timetable:
            self._account(plan, standing)
        else:
            old = plan.model_copy(update={"cadence": Cadence.recorded(standing.cadence)})
            if self._account(old, standing, closing="the plan's cadence was changed"):
                self._enroll(plan, standing)

    def retire(self, standing: Standing) -> None:
        """Account for a plan whose file is gone, up to now."""
        if standing.timetable:
            cadence = Cadence.recorded(standing.cadence)
            known = self.conductor.last_known(standing.plan)
            if known is None:
                self._tell_what_is_lost(standing, cadence)
            elif not self._account(known.model_copy(update={"cadence": cadence}), standing, "the plan was removed"):
                return  # there is more: the next round goes on
        self.conductor.ledger.retire(standing.plan)
        self.retired.append(standing.plan)

    def finish(self) -> Accounted:
        """Write what was gathered, and tell it."""
        ledger = self.conductor.ledger
        from_now = dict.fromkeys(self.new, self.now)
        if self.untils or from_now:
            # Before the new cadence is known: it must not be held against the time of the old one.
            ledger.set_accounted(self.untils | from_now)
        if self.new:
            ledger.enroll(self.new)
            ledger.set_accounted(from_now)
        if self.recorded:
            self.conductor.send_waiting()
        return Accounted(
            enrolled=tuple(self.new),
            retired=tuple(self.retired),
            missed=tuple(s.run for s in self.recorded if s.outcome is Outcome.MISSED),
            waived=tuple(s.run for s in self.recorded if s.outcome is Outcome.WAIVED),
            startable=tuple(self.startable),
            more=self.more,
            problems=tuple(self.problems),
        )

    def _enroll(self, plan: Plan, standing: Standing | None) -> None:
        """Slots count from now. What is due counts from the last pass: a new cadence makes nothing fresh."""
        known = standing or Standing(plan.name)
        is_back = known.retired_at is not None
        since = known.pass_at or (None if is_back else known.since) or self.now
        self.new[plan.name] = due_after(plan.cadence, since)

    def _account(self, plan: Plan, standing: Standing, closing: str = "") -> bool:
        """Record what is over; whether that is all of it. The watermark moves only when the records are written."""
        after = self._after(standing)
        found = account_for(plan.cadence, after, self.now, frozenset(), closing=closing)
        if found.until == after and not found.unrun and not found.startable:
            return not found.more
        taken = self.conductor.ledger.slots_taken(plan.name, after, self.now)
        found = account_for(plan.cadence, after, self.now, taken, closing=closing)
        for tick, outcome, why in found.unrun:
            if summary := self.conductor.record_unrun(plan, tick, outcome, why, send=False):
                self.recorded.append(summary)
        if found.until != after:
            self.untils[plan.name] = found.until
        if not closing:
            self.startable += [(plan.name, tick) for tick in found.startable]
        self.more = self.more or found.more
        return not found.more

    def _after(self, standing: Standing) -> datetime:
        return standing.accounted_until or standing.since or self.now

    def _tell_what_is_lost(self, standing: Standing, cadence: Cadence) -> None:
        """A slot's record needs its plan, which nobody has any more: it was removed before it ever ran."""
        found = account_for(cadence, self._after(standing), self.now, frozenset(), closing="the plan was removed")
        if found.unrun:
            lost = count_of(len(found.unrun), "slot has", "slots have")
            self.problems.append(f"{standing.plan}: {lost} no record: its file is gone, and it never ran")


def due_after(cadence: Cadence, moment: datetime) -> Due:
    """The slot that follows a moment, as the ledger keeps it."""
    due_at, overdue_at = dues_after(cadence, moment)
    return Due(timetable=cadence.timetable, cadence=cadence.model_dump_json(), due_at=due_at, overdue_at=overdue_at)
