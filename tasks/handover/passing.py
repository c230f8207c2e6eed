"""Passing schedules on: hold the one, draw the border, raise the epoch, release the other.

Promises: the other is released only after the first is held and the epoch raised (`muster.cutover.ownership`); what the
first has taken up, the other does not start; what the first did not take up is made up for once, or told as skipped;
between hold and release nothing is waited for but runs in flight, as long as the plan says, and a number of calls that
does not grow with the schedules.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from muster.cutover.observations import Activated, Drained, Raised, TickOf
from muster.cutover.ownership import Move, Side, Standing
from muster.cutover.schedule import Schedule, Tick
from muster.cutover.section import spec_of
from muster.cutover.spec import AtLimit, CatchUp, InFlight
from muster.cutover.watermark import Border, border, made_ahead, quietest
from muster.drill import Context
from muster.errors import StepError, SystemFailure
from muster.ledger import Ledger
from muster.ledger.claiming import FENCED
from muster.quantity import format_seconds
from tasks.handover.scene import active_of, claims_of, reach_of, side_of, survey_of
from tasks.handover.ticking import expected

AHEAD = timedelta(seconds=90)
"""No worker takes up what is due later than that."""
_NAP = 0.25


def wave_of(context: Context, number: int) -> tuple[Schedule, ...]:
    """The active schedules of a wave."""
    names = set(survey_of(context).waves[number])
    return tuple(schedule for schedule in active_of(context) if schedule.name in names)


def drain(context: Context, out: Side, wave: int, draw: Callable[..., Border] = border) -> Drained:
    """Hold the old scheduler at a quiet moment, draw the border, and wait for what it has in hand.

    A `StepError` where that takes too long and the plan says to give up: nothing was handed over yet.
    """
    spec, scheduler, schedules = spec_of(context.plan), side_of(context, out), wave_of(context, wave)
    names = [schedule.name for schedule in schedules]
    Standing(owner=out, released=frozenset({out})).after(Move.HOLD, out)
    with claims_of(context) as ledger:
        began = ledger.now()
        ahead = due_of(context, schedules, began, began + spec.quiet + AHEAD)
        _sleep_until(context, ledger, quietest(ahead, began, began + spec.quiet))
        scheduler.hold(names, reach_of(context))
        held, held_ns = ledger.now(), context.clock.monotonic_ns()
        since = max(held - spec.look_back, survey_of(context).began)
        due = due_of(context, schedules, since, held + AHEAD)
        firings = scheduler.history(names, since, held + AHEAD)
        line = draw(due, firings or (), held, held - since)
        behind = unclaimed(context, ledger, line.behind, is_told=firings is not None)
        at_work = scheduler.at_work(names)
        left, waited = None if at_work is None else len(at_work), 0.0
        if left is not None and spec.in_flight is InFlight.WAIT:
            left, waited = outwait(context, out, names)
            _assert_may_go_on(context, out, left)
    return Drained(
        wave=wave,
        out=out,
        began=began,
        held=held,
        held_ns=held_ns,
        watermark=line.watermark,
        nearest_tick_seconds=_nearest(due, line.watermark),
        taken=len(line.taken),
        behind=_kept(behind),
        in_flight=None if at_work is None else len(at_work),
        still_in_flight=left,
        waited_seconds=round(waited, 3),
    )


def _assert_may_go_on(context: Context, out: Side, left: int) -> None:
    spec = spec_of(context.plan)
    if left and spec.at_limit is AtLimit.GIVE_UP:
        limit = format_seconds(spec.in_flight_limit.total_seconds())
        raise StepError(
            f"{left} runs of {out} were still at work {limit} after it was held",
            "choose a quieter time, raise `in_flight_limit`, or say `at_limit: go-on`",
        )


def unclaimed(context: Context, ledger: Ledger, ticks: Sequence[Tick], *, is_told: bool) -> tuple[Tick, ...]:
    """Those that no job claimed. `is_told`: histories say that nobody took them up. Where nothing says so, none: what
    is missed can be made up for by hand, what worked twice cannot be taken back.
    """
    if not ticks or not (is_told or spec_of(context.plan).guarded):
        return ()
    first, last = min(tick.at for tick in ticks), max(tick.at for tick in ticks)
    found = ledger.claims_between({tick.schedule for tick in ticks}, first - timedelta(microseconds=1), last)
    claimed = {(claim.schedule, claim.at) for claim in found}
    return tuple(tick for tick in ticks if tick not in claimed)


def due_of(context: Context, schedules: Sequence[Schedule], after: datetime, until: datetime) -> list[Tick]:
    """Due times by the definitions, which are the old scheduler's, whichever way they are handed over."""
    return expected(schedules, side_of(context, Side.A), after, until)


def _nearest(due: Sequence[Tick], watermark: datetime) -> float | None:
    return min((abs((tick.at - watermark).total_seconds()) for tick in due), default=None)


def outwait(context: Context, out: Side, names: Sequence[str]) -> tuple[int, float]:
    """How many runs were still at work when patience ended, and how long they were waited for."""
    began, limit = time.monotonic(), spec_of(context.plan).in_flight_limit.total_seconds()
    scheduler = side_of(context, out)
    while left := scheduler.at_work(names) or ():
        if time.monotonic() - began > min(limit, context.seconds_left):
            return len(left), time.monotonic() - began
        time.sleep(_NAP)
    return 0, time.monotonic() - began


def fence(context: Context, drained: Drained) -> Raised:
    """The old scheduler's epoch ends at the watermark: by the ledger all are the other one's now, and a claim of the
    old one beyond it is refused, for that reason.
    """
    spec, into = spec_of(context.plan), drained.out.other
    names = [schedule.name for schedule in wave_of(context, drained.wave)]
    holders = survey_of(context).holders
    Standing(owner=drained.out, released=frozenset()).after(Move.OWN, into)
    with claims_of(context) as ledger:
        ledger.raise_epochs(names, holders[into], drained.watermark, holders[drained.out])
        raised = ledger.now()
        proof = "not guarded"
        if spec.guarded:
            moment = drained.watermark + timedelta(microseconds=7)
            said = ledger.claim_tick(names[0], moment, holders[drained.out], by="muster: the fence is tried")
            proof = "fenced" if said.why == FENCED else "granted"  # a duplicate would have been granted too
        owners = ledger.owners_of(names)
    left = [name for name in names if name not in owners or owners[name].holder != holders[into]]
    if proof == "granted" or left:
        told = f"{left[0]} is not {holders[into]}'s" if left else "by the ledger it has"
        raise SystemFailure(
            f"a claim of {holders[drained.out]} beyond the watermark was granted, or would be: its epoch should have"
            f" ended, and {told}",
            "nobody is released: look at the ledger's owners",
        )
    return Raised.model_validate(
        {"wave": drained.wave, "into": into, "raised": raised, "schedules": len(names), "proof": proof}
    )


def activate(context: Context, drained: Drained) -> Activated:
    """The new scheduler starts what comes after the watermark, and what the old one left before it."""
    spec, into = spec_of(context.plan), drained.out.other
    scheduler, reach = side_of(context, into), reach_of(context)
    names = [schedule.name for schedule in wave_of(context, drained.wave)]
    behind = {Tick(t.schedule, t.at) for t in drained.behind}
    keep = behind if spec.catch_up is CatchUp.RUN else set()
    Standing(owner=into, released=frozenset()).after(Move.RELEASE, into)
    since = min((drained.held - spec.look_back, *(tick.at for tick in behind)))
    made = scheduler.history(names, since, drained.watermark + timedelta(seconds=1)) or ()
    drop = made_ahead(made, drained.watermark, keep)
    scheduler.drop(drop, reach)
    scheduler.release(names, reach)
    with claims_of(context) as ledger:
        released, released_ns = ledger.now(), context.clock.monotonic_ns()
    behind |= _passed(context, drained, released)
    keep = behind if spec.catch_up is CatchUp.RUN else set()
    started = scheduler.start(keep, reach) if keep else frozenset()
    return Activated(
        wave=drained.wave,
        into=into,
        released=released,
        released_ns=released_ns,
        dropped=len(drop),
        caught_up=_kept(started),
        skipped=_kept(behind - started),
    )


def _passed(context: Context, drained: Drained, released: datetime) -> set[Tick]:
    """Ticks beyond the watermark that came due while nobody was at work, and of which the new scheduler has no run."""
    schedules, new = wave_of(context, drained.wave), drained.out.other
    due = due_of(context, schedules, drained.watermark, released)
    names = [schedule.name for schedule in schedules]
    made = side_of(context, new).history(names, drained.watermark, released) or () if due else ()
    return set(due) - {firing.tick for firing in made}


def _kept(ticks: Sequence[Tick] | set[Tick] | frozenset[Tick]) -> tuple[TickOf, ...]:
    return tuple(TickOf(schedule=t.schedule, at=t.at) for t in sorted(ticks, key=lambda t: (t.at, t.schedule)))


def _sleep_until(context: Context, ledger: Ledger, moment: datetime) -> None:
    while (left := (moment - ledger.now()).total_seconds()) > 0:
        context.check_may_go_on()
        time.sleep(min(left, _NAP))
