"""The undo of a cutover: wherever it broke, one scheduler has all schedules, and the other starts none.

Promises: it knows only what the ledger and both schedulers say now; it is safe to repeat; whoever is at work by right
goes on until the other one can be reached; the owner of record is changed only while nobody is released; ticks that
fell in between are caught up once, and none of which nothing can say that nobody started it.

`tests/unit/test_cutover_settling.py` tries it from every state that a cutover can be left in.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from muster.cutover.observations import HomeSeen
from muster.cutover.ownership import Move, Side, Standing
from muster.cutover.schedule import Cut, Firing, Stage, Tick
from muster.cutover.section import spec_of
from muster.cutover.spec import CatchUp
from muster.cutover.watermark import border
from muster.drill import Context
from muster.errors import MusterError, StepError
from muster.journal import RunState
from muster.ledger import Ledger
from tasks.handover.passing import AHEAD, unclaimed
from tasks.handover.scene import active_of, claims_of, names_of, reach_of, side_of, survey_of
from tasks.handover.ticking import expected

_IN_THE_MAKING = timedelta(seconds=3)
"""How long after a due time its run may take to be told of."""


@dataclass(frozen=True)
class _Undo:
    """One go at it. Which copies the new scheduler has is looked up once: nobody makes any now."""

    context: Context
    ledger: Ledger

    @cached_property
    def copies(self) -> list[str]:
        return there(self.context, Side.B)

    def there(self, side: Side) -> list[str]:
        return self.copies if side is Side.B else list(names_of(self.context))

    def owners(self) -> set[Side]:
        """Who owns some of them: nobody before they were armed, both with waves half way."""
        holders = survey_of(self.context).holders
        found = {tenure.holder for tenure in self.ledger.owners_of(names_of(self.context)).values()}
        return {side for side in Side if holders[side] in found}

    def count(self, side: Side) -> int | None:
        """How many of them the side would start; `None` where it does not answer."""
        try:
            return len(side_of(self.context, side).released(self.there(side)))
        except MusterError:
            return None

    def history(self, side: Side, since: datetime, until: datetime) -> tuple[Firing, ...] | None:
        try:
            return side_of(self.context, side).history(self.there(side), since, until)
        except MusterError:
            return None

    def due(self, since: datetime, until: datetime) -> list[Tick]:
        """None where only a scheduler that does not answer could say."""
        try:
            return expected(active_of(self.context), side_of(self.context, Side.A), since, until)
        except MusterError:
            return []

    def since(self, now: datetime) -> datetime:
        return max(now - spec_of(self.context.plan).look_back, survey_of(self.context).began)

    def last_watermark(self) -> datetime:
        """Whoever has the schedules since then was to make up for what lies before it."""
        ends = [tenure.until for tenure in self.ledger.epochs_of(names_of(self.context)) if tenure.until]
        return max(ends, default=survey_of(self.context).began)


def settle(context: Context) -> None:
    """Make sure that one scheduler has everything: the new one after a real cutover came that far, else the old one."""
    with claims_of(context) as ledger:
        undo = _Undo(context, ledger)
        owners = undo.owners()
        home = Side.B if spec_of(context.plan).commit and owners == {Side.B} else Side.A
        if _is_home(undo, home, owners):
            _make_up(undo, home, min(undo.last_watermark(), ledger.now()))
            _make_up_for_the_gap(undo, home)
        else:
            _make_home(undo, home, owners)
        if undo.count(home.other) is not None:
            side_of(context, home.other).rest(undo.there(home.other), reach_of(context))
        seen = HomeSeen(
            owner=min(undo.owners(), default=None),
            active=len(names_of(context)),
            released={side: undo.count(side) for side in Side},
        )
    if context.history.run_state() is RunState.OPEN:  # an undo that is tried again finds its run sealed already
        context.observe(seen)


def _is_home(undo: _Undo, home: Side, owners: set[Side]) -> bool:
    return owners <= {home} and undo.count(home) == len(names_of(undo.context)) and not undo.count(home.other)


def _make_home(undo: _Undo, home: Side, owners: set[Side]) -> None:
    context, ledger, away = undo.context, undo.ledger, home.other
    reach, names = reach_of(context), names_of(context)
    _hold_away(undo, away, is_at_work=away in owners)
    held = ledger.now()
    Standing(owner=away if away in owners else home, released=frozenset()).after(Move.OWN, home)
    since = undo.since(held)
    taken = undo.history(away, since, held + AHEAD) or ()
    line = border(undo.due(since, held + AHEAD), taken, held, held - since)
    _own(undo, home, line.watermark)
    side_of(context, home).hold(names, reach)
    side_of(context, home).arm(names, reach)
    Standing(owner=home, released=frozenset()).after(Move.RELEASE, home)
    side_of(context, home).drop(line.taken, reach)
    side_of(context, home).release(names, reach)
    _make_up(undo, home, ledger.now())


def _hold_away(undo: _Undo, away: Side, *, is_at_work: bool) -> None:
    """Only who has nothing by the ledger may be out of reach: it was held before it lost what it had."""
    home, holders = away.other, survey_of(undo.context).holders
    if is_at_work and undo.count(home) is None:
        raise StepError(
            f"{home} ({holders[home]}), where the schedules belong, does not answer; {away} was left as it is",
            "bring it up, then run the undo again",
        )
    try:
        side_of(undo.context, away).hold(undo.there(away), reach_of(undo.context))
    except MusterError as error:
        if is_at_work or undo.count(away):
            raise StepError(
                f"{away} ({holders[away]}) cannot be held: {error.message}",
                "both would start the schedules when it comes back: bring it up, then run the undo again",
            ) from error


def there(context: Context, side: Side) -> list[str]:
    """Those of them that the side has: a mirror may have been cut short."""
    if side is Side.A:
        return list(names_of(context))
    jobs = tuple(job.name for job in survey_of(context).inventory.jobs)
    known = {job.name for job in side_of(context, side).inventory(Cut(names=jobs)).jobs}
    return [schedule.name for schedule in active_of(context) if schedule.job in known]


def _own(undo: _Undo, home: Side, at: datetime) -> None:
    holders, owners = survey_of(undo.context).holders, undo.ledger.owners_of(names_of(undo.context))
    elsewhere = [name for name, tenure in owners.items() if tenure.holder == holders[home.other]]
    if elsewhere:
        undo.ledger.raise_epochs(elsewhere, holders[home], at, holders[home.other])


def _make_up(undo: _Undo, home: Side, until: datetime) -> None:
    """Start ticks up to then that nobody took up, as far back as the plan makes up for them."""
    since = undo.since(undo.ledger.now())
    if until <= since or spec_of(undo.context.plan).catch_up is not CatchUp.RUN:
        return
    told = [undo.history(side, since, until) for side in Side]
    taken = {firing.tick for firings in told for firing in firings or () if firing.stage.is_taken}
    left = [tick for tick in undo.due(since, until) if tick not in taken]
    if behind := unclaimed(undo.context, undo.ledger, left, is_told=None not in told):
        side_of(undo.context, home).start(behind, reach_of(undo.context))


def _make_up_for_the_gap(undo: _Undo, home: Side) -> None:
    """Start ticks beyond the last border of which whoever is at work has no run at all: it was released after them.

    Only as far as a release may come after its border. A run that is just being made is waited for.
    """
    since = undo.last_watermark()
    until = min(since + AHEAD, undo.ledger.now())
    if home is Side.A or until <= since or spec_of(undo.context.plan).catch_up is not CatchUp.RUN:
        return
    if not (left := undo.due(since, until)):
        return
    if left[-1].at > undo.ledger.now() - _IN_THE_MAKING:
        time.sleep(_IN_THE_MAKING.total_seconds())
    made, taken = undo.history(home, since, until), undo.history(home.other, since, until)
    if made is None or taken is None:
        return
    there = {f.tick for f in made if f.stage is not Stage.CANCELLED} | {f.tick for f in taken if f.stage.is_taken}
    behind = unclaimed(undo.context, undo.ledger, [tick for tick in left if tick not in there], is_told=True)
    if behind:
        side_of(undo.context, home).start(behind, reach_of(undo.context))
