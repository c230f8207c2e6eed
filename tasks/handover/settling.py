"""The undo of a cutover: wherever it broke, one scheduler has all schedules, and the other starts none.

Promises: it knows only what the ledger and both schedulers say now; it is safe to repeat; whoever is at work by right
goes on until the other one can be reached; the owner of record is changed only while nobody is released; ticks that
fell in between are caught up once, and none of which nothing can say that nobody started it.

`tests/unit/test_cutover_settling.py` tries it from every state that a cutover can be left in.
"""

from datetime import datetime

from muster.cutover.observations import HomeSeen
from muster.cutover.ownership import Move, Side, Standing
from muster.cutover.schedule import Cut, Firing, Tick
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


def settle(context: Context) -> None:
    """Make sure that one scheduler has everything: the new one after a real cutover came that far, else the old one."""
    names = names_of(context)
    with claims_of(context) as ledger:
        owners = _owners(context, ledger)
        home = Side.B if spec_of(context.plan).commit and owners == {Side.B} else Side.A
        if _is_home(context, home, owners):
            _make_up(context, ledger, home, min(_last_watermark(context, ledger), ledger.now()))
        else:
            _make_home(context, ledger, home, owners)
        if _count(context, home.other) is not None:
            side_of(context, home.other).rest(there(context, home.other), reach_of(context))
        owned = _owners(context, ledger)
        seen = HomeSeen(
            owner=min(owned, default=None),
            active=len(names),
            released={side: _count(context, side) for side in Side},
        )
    if context.history.run_state() is RunState.OPEN:  # an undo that is tried again finds its run sealed already
        context.observe(seen)


def _owners(context: Context, ledger: Ledger) -> set[Side]:
    """Who owns some of them: nobody before they were armed, both with waves half way."""
    holders = survey_of(context).holders
    found = {tenure.holder for tenure in ledger.owners_of(names_of(context)).values()}
    return {side for side in Side if holders[side] in found}


def _is_home(context: Context, home: Side, owners: set[Side]) -> bool:
    return owners <= {home} and _count(context, home) == len(names_of(context)) and not _count(context, home.other)


def _make_home(context: Context, ledger: Ledger, home: Side, owners: set[Side]) -> None:
    reach, names, away = reach_of(context), names_of(context), home.other
    _hold_away(context, away, is_at_work=away in owners)
    held = ledger.now()
    Standing(owner=away if away in owners else home, released=frozenset()).after(Move.OWN, home)
    since = _since(context, held)
    taken = _history(context, away, since, held + AHEAD) or ()
    line = border(_due(context, since, held + AHEAD), taken, held, held - since)
    _own(context, ledger, home, line.watermark)
    side_of(context, home).hold(names, reach)
    side_of(context, home).arm(names, reach)
    Standing(owner=home, released=frozenset()).after(Move.RELEASE, home)
    side_of(context, home).drop(line.taken, reach)
    side_of(context, home).release(names, reach)
    _make_up(context, ledger, home, ledger.now())


def _hold_away(context: Context, away: Side, *, is_at_work: bool) -> None:
    """Only who has nothing by the ledger may be out of reach: it was held before it lost what it had."""
    home, holders = away.other, survey_of(context).holders
    if is_at_work and _count(context, home) is None:
        raise StepError(
            f"{home} ({holders[home]}), where the schedules belong, does not answer; {away} was left as it is",
            "bring it up, then run the undo again",
        )
    try:
        side_of(context, away).hold(there(context, away), reach_of(context))
    except MusterError as error:
        if is_at_work or _count(context, away):
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


def _own(context: Context, ledger: Ledger, home: Side, at: datetime) -> None:
    holders, owners = survey_of(context).holders, ledger.owners_of(names_of(context))
    elsewhere = [name for name, tenure in owners.items() if tenure.holder == holders[home.other]]
    if elsewhere:
        ledger.raise_epochs(elsewhere, holders[home], at, holders[home.other])


def _make_up(context: Context, ledger: Ledger, home: Side, until: datetime) -> None:
    """Start ticks up to then that nobody took up, as far back as the plan makes up for them."""
    since = _since(context, ledger.now())
    if until <= since or spec_of(context.plan).catch_up is not CatchUp.RUN:
        return
    told = [_history(context, side, since, until) for side in Side]
    taken = {firing.tick for firings in told for firing in firings or () if firing.stage.is_taken}
    left = [tick for tick in _due(context, since, until) if tick not in taken]
    if behind := unclaimed(context, ledger, left, is_told=None not in told):
        side_of(context, home).start(behind, reach_of(context))


def _last_watermark(context: Context, ledger: Ledger) -> datetime:
    """Whoever has the schedules since then was to make up for what lies before it."""
    ends = [tenure.until for tenure in ledger.epochs_of(names_of(context)) if tenure.until]
    return max(ends, default=survey_of(context).began)


def _since(context: Context, now: datetime) -> datetime:
    return max(now - spec_of(context.plan).look_back, survey_of(context).began)


def _due(context: Context, since: datetime, until: datetime) -> list[Tick]:
    """None where only a scheduler that does not answer could say."""
    try:
        return expected(active_of(context), side_of(context, Side.A), since, until)
    except MusterError:
        return []


def _history(context: Context, side: Side, since: datetime, until: datetime) -> tuple[Firing, ...] | None:
    try:
        return side_of(context, side).history(there(context, side), since, until)
    except MusterError:
        return None


def _count(context: Context, side: Side) -> int | None:
    try:
        return len(side_of(context, side).released(there(context, side)))
    except MusterError:
        return None
