"""The undo of a cutover: wherever it broke, one scheduler has all schedules, and the other starts none.

Promises: it knows what the ledger and both schedulers say now, and of the journal alone whether the new one ever began;
it is safe to repeat; whoever is at work by right goes on until the other one can be reached; the owner of record is
changed only while nobody is released; a side that could not be held is passed over only where nothing of it works
(`muster.cutover.ownership.Unheld`); where one cannot be brought to work, and the other can, the other has them; copies
go only once they are needed by nobody; ticks that fell in between are caught up once, or told as missed, and none is
caught up of which nothing can say that nobody started it.

`tests/unit/test_cutover_settling.py` tries it from every state that a cutover can be left in.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from muster.cutover.measuring import reckoned
from muster.cutover.observations import BegunByUndo, Counts, HomeSeen
from muster.cutover.ownership import Move, Side, Standing, Unheld
from muster.cutover.schedule import Cut, Firing, Stage, Tick
from muster.cutover.section import spec_of
from muster.cutover.spec import CatchUp
from muster.cutover.watermark import border
from muster.drill import Context
from muster.errors import MusterError, StepError
from muster.journal import EventKind, RunState
from muster.ledger import Ledger
from tasks.handover.passing import AHEAD, unclaimed
from tasks.handover.scene import active_of, claims_of, names_of, reach_of, side_of, survey_of
from tasks.handover.ticking import expected

_IN_THE_MAKING = timedelta(seconds=3)
"""How long after a due time its run may take to be told of."""
_EXAMPLES = 10
_BEGINNINGS = frozenset({"activate", "waves"})
"""Steps that release the new scheduler."""


@dataclass(frozen=True)
class _Undo:
    """One go at it. Which copies the new scheduler has is looked up once: nobody makes any now."""

    context: Context
    ledger: Ledger
    caught_up: set[Tick] = field(default_factory=set)
    missed: set[Tick] = field(default_factory=set)
    untold: set[Tick] = field(default_factory=set)
    released: list[datetime] = field(default_factory=list)
    """When a side was released."""
    made: set[Tick] = field(default_factory=set)
    """Ticks of which the side that has all of them has a run."""
    silent: dict[Side, str] = field(default_factory=dict)
    """Sides that did not answer, and why: each question costs all of their patience, with nobody at work meanwhile."""

    @cached_property
    def copies(self) -> list[str]:
        return there(self.context, Side.B)

    def there(self, side: Side) -> list[str]:
        return self.copies if side is Side.B else list(names_of(self.context))

    @cached_property
    def gone(self) -> frozenset[Side]:
        return frozenset(side for side in Side if side in self.context.gone)

    def owners(self) -> set[Side]:
        """Who owns some of them: nobody before they were armed, both with waves half way."""
        holders = survey_of(self.context).holders
        found = {tenure.holder for tenure in self.ledger.owners_of(names_of(self.context)).values()}
        return {side for side in Side if holders[side] in found}

    def strangers(self) -> dict[str, str]:
        """Schedules that a scheduler owns which is neither of the two, with its name."""
        holders = set(survey_of(self.context).holders.values())
        owned = self.ledger.owners_of(names_of(self.context))
        return {name: tenure.holder for name, tenure in owned.items() if tenure.holder not in holders}

    def has_begun(self, side: Side) -> bool:
        """Whether the side was ever released: the old one, and the new one once a step, or an undo, was about to."""
        history = self.context.history
        return (
            side is Side.A
            or not _BEGINNINGS.isdisjoint(history.step_states())
            or any(seen.side is side for seen in history.observed(BegunByUndo))
            or any(side.other in event.body.get("gone", ()) for event in history.of(EventKind.UNDO_STARTED))
        )

    def home(self) -> Side:
        """Where all of it belongs: with the new one only after a cutover for good, and only once that had begun."""
        is_new = spec_of(self.context.plan).commit and self.owners() == {Side.B} and self.has_begun(Side.B)
        home = Side.B if is_new else Side.A
        return home.other if home in self.gone else home

    def count(self, side: Side) -> int | None:
        """How many of them the side would start; `None` where it does not answer."""
        if side in self.silent:
            return None
        try:
            return len(side_of(self.context, side).released(self.there(side)))
        except MusterError as error:
            self.silent[side] = error.message
            return None

    def works_by_right(self, side: Side) -> frozenset[str]:
        """What it starts of what it owns."""
        holder = survey_of(self.context).holders[side]
        owned = {n for n, t in self.ledger.owners_of(names_of(self.context)).items() if t.holder == holder}
        if not owned or not self.count(side):
            return frozenset()
        return side_of(self.context, side).released(self.there(side)) & owned

    def history(self, side: Side, since: datetime, until: datetime) -> tuple[Firing, ...] | None:
        try:
            return None if side in self.silent else side_of(self.context, side).history(self.there(side), since, until)
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

    def accounted(self) -> datetime:
        """Up to then every tick is accounted for, or was nothing of this drill's."""
        book = reckoned(self.context.history)
        return book.ended if book else survey_of(self.context).began

    def last_watermark(self) -> datetime:
        """Whoever has the schedules since then was to make up for what lies before it."""
        ends = [tenure.until for tenure in self.ledger.epochs_of(names_of(self.context)) if tenure.until]
        return max(ends, default=survey_of(self.context).began)


def settle(context: Context) -> None:
    """Make sure that one scheduler has everything: the new one after a real cutover came that far, else the old one.

    Where that one cannot be brought to work and the other can, the other has everything: until it can, in a rehearsal.
    """
    with claims_of(context) as ledger:
        undo = _Undo(context, ledger)
        home = undo.home()
        if undo.strangers():
            _assert_elsewhere(undo)
        else:
            try:
                _bring(undo, home)
            except MusterError as error:
                _stand_in(undo, home, error)
        owner = min(undo.owners(), default=None)
        forgotten = _forget(undo)
        seen = HomeSeen(
            owner=owner,
            active=len(names_of(context)),
            released={side: undo.count(side) for side in Side},
            released_at=undo.released[-1] if undo.released else None,
            caught_up=_counts(undo.caught_up),
            missed=_counts(undo.missed),
            untold=len(undo.untold),
            forgotten=forgotten,
            gone=tuple(sorted(undo.gone)),
        )
    if context.history.run_state() is RunState.OPEN:  # an undo that is tried again finds its run sealed already
        context.observe(seen)


def are_to_stay(context: Context) -> bool:
    """Whether the new scheduler's copies are not to be removed.

    A `StepError` where they may be at work, or where they were and nobody has taken over.
    """
    with claims_of(context) as ledger:
        undo = _Undo(context, ledger)
        names, owners, starts = names_of(context), undo.owners(), undo.count(Side.B)
        is_for_good = spec_of(context.plan).commit and owners == {Side.B} and starts == len(names)
        if is_for_good or undo.gone:  # nothing can be removed of a new one; of an old one it is what is left
            return True
        is_served = undo.count(Side.A) == len(names) or undo.strangers().keys() == set(names)
        is_unused = not undo.has_begun(Side.B) and starts == 0
        if Side.B in owners or not (is_served or is_unused):
            raise StepError(
                "the copies may be at work, or needed: it is not certain that anybody else starts the schedules",
                "bring both schedulers and the ledger up, then run the undo again",
            )
    return False


def _assert_elsewhere(undo: _Undo) -> None:
    """Somebody else has all of them, so that neither is to start any: then there is nothing to do."""
    names, strangers = names_of(undo.context), undo.strangers()
    if strangers.keys() == set(names) and [undo.count(side) for side in Side] == [0, 0]:
        return
    name, holder = min(strangers.items())
    raise StepError(
        f"{name} is {holder}'s by the ledger, which has no part in this cutover; both sides were left as they are",
        f"see that {holder} alone starts them and both sides hold all of them, or hand them over from it;"
        " then run the undo again",
    )


def _bring(undo: _Undo, home: Side) -> None:
    owners = undo.owners()
    if _is_home(undo, home, owners):
        _make_up(undo, home, min(undo.last_watermark(), undo.ledger.now()))
        _make_up_for_the_gap(undo, home)
    else:
        _make_home(undo, home, owners)
    if undo.count(home.other) is not None:
        side_of(undo.context, home.other).rest(undo.there(home.other), reach_of(undo.context))


def _stand_in(undo: _Undo, home: Side, error: MusterError) -> None:
    """Where they belong nobody can be brought to work: the other one has all of them, if that is safe.

    Whoever is at work stays so: then, and where it is not safe, the error is raised again. After a rehearsal it is too.
    """
    other, owners = home.other, undo.owners()
    may_begin = undo.has_begun(other) or (owners == {other} and undo.context.history.run_state() is RunState.OPEN)
    if undo.count(home) or undo.count(other) is None or _is_home(undo, other, owners) or not may_begin:
        raise error
    try:
        _make_home(undo, other, owners)
    except MusterError:
        raise error from None
    if not spec_of(undo.context.plan).commit:
        raise StepError(
            f"{error.message}; until it can be, {other} ({survey_of(undo.context).holders[other]}) has the schedules",
            error.advice,
        ) from error


def _is_home(undo: _Undo, home: Side, owners: set[Side]) -> bool:
    return owners <= {home} and undo.count(home) == len(names_of(undo.context)) and not undo.count(home.other)


def _make_home(undo: _Undo, home: Side, owners: set[Side]) -> None:
    context, ledger, away = undo.context, undo.ledger, home.other
    reach, names = reach_of(context), names_of(context)
    is_idle = _starts_nothing(undo, home, is_needed=away in owners)
    if undo.count(away) is None:
        _pass_over(undo, away, owns=away in owners, why=undo.silent[away])
    if is_idle:  # whether it obeys shows before whoever is at work is held
        _arm(undo, home)
    working = undo.works_by_right(away)
    _hold_away(undo, away, owns=away in owners)
    if not is_idle:
        _arm_or_give_back(undo, home, working)
    held = ledger.now()
    Standing(owner=away if away in owners else home, released=frozenset()).after(Move.OWN, home)
    since = undo.since(held)
    taken = undo.history(away, since, held + AHEAD) or ()
    line = border(undo.due(since, held + AHEAD), taken, held, held - since)
    _own(undo, home, line.watermark)
    Standing(owner=home, released=frozenset()).after(Move.RELEASE, home)
    side_of(context, home).drop(line.taken, reach)
    if not undo.has_begun(home):
        context.observe(BegunByUndo(side=home))
    side_of(context, home).release(names, reach)
    undo.released.append(ledger.now())
    _make_up(undo, home, ledger.now())


def _starts_nothing(undo: _Undo, home: Side, *, is_needed: bool) -> bool:
    starts = undo.count(home)
    if is_needed and starts is None:
        raise StepError(
            f"{home} ({survey_of(undo.context).holders[home]}), where the schedules belong, does not answer;"
            f" {home.other} was left as it is",
            f"bring it up, then run the undo again; {_IF_GONE.format(home)}",
        )
    return starts == 0


def _arm(undo: _Undo, home: Side) -> None:
    reach, names = reach_of(undo.context), names_of(undo.context)
    side_of(undo.context, home).hold(names, reach)
    side_of(undo.context, home).arm(names, reach)


def _arm_or_give_back(undo: _Undo, home: Side, working: frozenset[str]) -> None:
    try:
        _arm(undo, home)
    except MusterError:
        if working:
            side_of(undo.context, home.other).release(working, reach_of(undo.context))
        raise


_IF_GONE = "if it is lost for good: `muster undo run RUN --gone {}`"


def _hold_away(undo: _Undo, away: Side, *, owns: bool) -> None:
    if away in undo.silent:
        return  # it was passed over
    try:
        side_of(undo.context, away).hold(undo.there(away), reach_of(undo.context))
    except MusterError as error:
        _pass_over(undo, away, owns=owns, why=error.message)


def _pass_over(undo: _Undo, away: Side, *, owns: bool, why: str) -> None:
    """Go on without having held it: only where nothing that it may start does any work."""
    unheld = Unheld(
        owns=owns,
        has_begun=undo.has_begun(away),
        starts=undo.count(away),
        is_guarded=spec_of(undo.context.plan).guarded,
        is_gone=away in undo.gone,
    )
    if not unheld.may_be_passed_over:
        raise StepError(
            f"{away} ({survey_of(undo.context).holders[away]}) cannot be held: {why}",
            "both would start the schedules when it comes back: bring it up, then run the undo again"
            + (f"; {_IF_GONE.format(away)}" if unheld.is_guarded and unheld.starts is None else ""),
        )


def there(context: Context, side: Side) -> list[str]:
    """Those of them that the side has: a mirror may have been cut short."""
    if side is Side.A:
        return list(names_of(context))
    jobs = tuple(job.name for job in survey_of(context).inventory.jobs)
    known = {job.name for job in side_of(context, side).inventory(Cut(names=jobs)).jobs}
    return [schedule.name for schedule in active_of(context) if schedule.job in known]


def _own(undo: _Undo, home: Side, at: datetime) -> None:
    names, holders = names_of(undo.context), survey_of(undo.context).holders
    if home is Side.B:  # what nobody owns everybody may claim
        unowned = set(names) - undo.ledger.owners_of(names).keys()
        undo.ledger.assign_owner(unowned, holders[Side.A])
    owners = undo.ledger.owners_of(names)
    elsewhere = [name for name, tenure in owners.items() if tenure.holder == holders[home.other]]
    if elsewhere:
        undo.ledger.raise_epochs(elsewhere, holders[home], at, holders[home.other])


def _forget(undo: _Undo) -> int:
    """Owners that `arm` made known are forgotten where no handover has used them; how many there were.

    Jobs that claim in another name were refused since then, and would be from now on.
    """
    began = survey_of(undo.context).began
    tenures = undo.ledger.epochs_of(names_of(undo.context))
    fresh = [tenure.schedule for tenure in tenures if tenure.epoch == 1 and tenure.since >= began]
    if not fresh or any(tenure.epoch > 1 and tenure.since >= began for tenure in tenures):
        return 0
    undo.ledger.forget_owners(fresh)
    return len(fresh)


def _make_up(undo: _Undo, home: Side, until: datetime) -> None:
    """Start ticks up to then that nobody took up, as far back as the plan makes up for them; older ones are missed."""
    accounted, since = undo.accounted(), undo.since(undo.ledger.now())
    _tell_missed(undo, _left(undo, home, accounted, min(since, until)))
    _start(undo, home, _left(undo, home, since, until))


def _left(undo: _Undo, home: Side, since: datetime, until: datetime) -> tuple[Tick, ...]:
    """Ticks that nobody took up; where nothing says so of any, they are untold."""
    if until <= since or not (due := undo.due(since, until)):
        return ()
    told = {side: undo.history(side, since, until) for side in Side}
    undo.made.update(firing.tick for firing in told[home] or () if firing.stage is not Stage.CANCELLED)
    taken = {firing.tick for firings in told.values() for firing in firings or () if firing.stage.is_taken}
    left = [tick for tick in due if tick not in taken]
    is_told = None not in told.values()
    if not is_told and not spec_of(undo.context.plan).guarded:
        undo.untold.update(tick for tick in left if tick.at > undo.accounted())
    return unclaimed(undo.context, undo.ledger, left, is_told=is_told)


def _start(undo: _Undo, home: Side, behind: Collection[Tick]) -> None:
    """Once, late, if the plan says so and the scheduler can."""
    started: frozenset[Tick] = frozenset()
    if behind and spec_of(undo.context.plan).catch_up is CatchUp.RUN:
        started = side_of(undo.context, home).start(behind, reach_of(undo.context))
    undo.caught_up.update(started)
    _tell_missed(undo, set(behind) - started)


def _tell_missed(undo: _Undo, ticks: Collection[Tick]) -> None:
    """But for those of which there is a run that waits, and those that may have one by now, unseen."""
    accounted, fresh = undo.accounted(), undo.ledger.now() - _IN_THE_MAKING
    for tick in ticks:
        if tick.at > accounted and tick not in undo.made:
            (undo.missed if tick.at <= fresh else undo.untold).add(tick)


def _make_up_for_the_gap(undo: _Undo, home: Side) -> None:
    """Start ticks beyond the last border of which whoever is at work has no run at all: it was released after them.

    Only as far as a release may come after its border. A run that is just being made is waited for.
    """
    since = undo.last_watermark()
    until = min(since + AHEAD, undo.ledger.now())
    if home is Side.A or until <= since or not (left := undo.due(since, until)):
        return
    if left[-1].at > undo.ledger.now() - _IN_THE_MAKING:
        time.sleep(_IN_THE_MAKING.total_seconds())
    made, taken = undo.history(home, since, until), undo.history(home.other, since, until)
    if made is None or taken is None:
        return
    there = {f.tick for f in made if f.stage is not Stage.CANCELLED} | {f.tick for f in taken if f.stage.is_taken}
    left = [tick for tick in left if tick not in there]
    _start(undo, home, unclaimed(undo.context, undo.ledger, left, is_told=True))


def _counts(ticks: Collection[Tick]) -> Counts:
    first = sorted(ticks, key=lambda tick: (tick.at, tick.schedule))[:_EXAMPLES]
    words = tuple(f"{tick.schedule} of {tick.at:%Y-%m-%d %H:%M:%S}" for tick in first)
    return Counts(count=len(ticks), examples=words)
