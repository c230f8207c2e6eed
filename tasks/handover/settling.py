"""The undo of a cutover: wherever it broke, one scheduler has all schedules, and the other starts none.

Promises: it knows only what the ledger and both schedulers say now; it is safe to repeat; the owner of record is
changed only while nobody is released; ticks that fell in between are caught up once, or told.
"""

from datetime import datetime, timedelta

from muster.cutover.observations import HomeSeen
from muster.cutover.ownership import Move, Side, Standing
from muster.cutover.schedule import Cut, Tick
from muster.cutover.section import spec_of
from muster.cutover.spec import CatchUp
from muster.drill import Context
from muster.errors import MusterError, StepError
from muster.journal import RunState
from muster.ledger import Ledger
from tasks.handover.passing import AHEAD
from tasks.handover.scene import active_of, claims_of, names_of, reach_of, side_of, survey_of
from tasks.handover.ticking import expected


def settle(context: Context) -> None:
    """Make sure that one scheduler has everything: the new one after a real cutover came that far, else the old one."""
    names = names_of(context)
    with claims_of(context) as ledger:
        owner = _owner(context, ledger)
        home = owner if spec_of(context.plan).commit and owner else Side.A
        _make_home(context, ledger, home, owner or Side.A)
        seen = HomeSeen(
            owner=_owner(context, ledger),
            active=len(names),
            released={side: _count(context, side) for side in Side},
        )
    if context.history.run_state() is RunState.OPEN:  # an undo that is tried again finds its run sealed already
        context.observe(seen)


def _owner(context: Context, ledger: Ledger) -> Side | None:
    """Who owns all of them; with waves half way, whoever owned them first."""
    holders = survey_of(context).holders
    found = {tenure.holder for tenure in ledger.owners_of(names_of(context)).values()}
    if not found:
        return None
    return next((side for side in Side if found == {holders[side]}), Side.A)


def _make_home(context: Context, ledger: Ledger, home: Side, owner: Side) -> None:
    reach, names, away = reach_of(context), names_of(context), home.other
    if (
        _count(context, home) == len(names)
        and not _count(context, away)
        and owner is home
        and _is_whole(context, ledger)
    ):
        return
    try:
        side_of(context, away).hold(_there(context, away), reach)
    except MusterError as error:
        if owner is away or _is_split(context, ledger):
            raise StepError(
                f"{away} ({survey_of(context).holders[away]}) cannot be held: {error.message}",
                "both would start the schedules when it comes back: bring it up, then run the undo again",
            ) from error
    held = ledger.now()
    Standing(owner=owner, released=frozenset()).after(Move.OWN, home)
    _own(context, ledger, home, held)
    side_of(context, home).hold(names, reach)
    side_of(context, home).arm(names, reach)
    behind = _behind(context, home, held)
    Standing(owner=home, released=frozenset()).after(Move.RELEASE, home)
    side_of(context, home).release(names, reach)
    if behind and spec_of(context.plan).catch_up is CatchUp.RUN:
        side_of(context, home).start(behind, reach)
    if _count(context, away) is not None:
        side_of(context, away).rest(_there(context, away), reach)


def _there(context: Context, side: Side) -> list[str]:
    """Those of them that the side has: a mirror may have been cut short."""
    if side is Side.A:
        return list(names_of(context))
    jobs = tuple(job.name for job in survey_of(context).inventory.jobs)
    there = {job.name for job in side_of(context, side).inventory(Cut(names=jobs)).jobs}
    return [schedule.name for schedule in active_of(context) if schedule.job in there]


def _is_split(context: Context, ledger: Ledger) -> bool:
    return len({tenure.holder for tenure in ledger.owners_of(names_of(context)).values()}) > 1


def _is_whole(context: Context, ledger: Ledger) -> bool:
    return not _is_split(context, ledger)


def _own(context: Context, ledger: Ledger, home: Side, at: datetime) -> None:
    holders, owners = survey_of(context).holders, ledger.owners_of(names_of(context))
    elsewhere = [name for name, tenure in owners.items() if tenure.holder == holders[home.other]]
    if elsewhere:
        ledger.raise_epochs(elsewhere, holders[home], at, holders[home.other])


def _behind(context: Context, home: Side, held: datetime) -> set[Tick]:
    """Ticks since the drill began that nobody took up, as far back as the plan makes up for them."""
    spec, survey, names = spec_of(context.plan), survey_of(context), names_of(context)
    since = max(held - spec.look_back, survey.began)
    taken: set[Tick] = set()
    for side in Side:
        try:
            found = side_of(context, side).history(
                names if side is Side.A else _there(context, side), since, held + AHEAD
            )
        except MusterError:
            continue
        taken |= {firing.tick for firing in found or () if firing.stage.is_taken}
    due = expected(active_of(context), side_of(context, Side.A), since, held + timedelta(microseconds=1))
    return set(due) - taken if home else set()


def _count(context: Context, side: Side) -> int | None:
    try:
        return len(side_of(context, side).released(_there(context, side)))
    except MusterError:
        return None
