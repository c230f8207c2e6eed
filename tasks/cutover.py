"""The verbs of a scheduler cutover, and their undos.

Promises: nothing is started on the new scheduler before the old one is held and its epoch raised; nothing of either
scheduler is touched before both proved fit and their ticks were compared; whatever is half done, the undo leads to one
scheduler that has all of it.
"""

import time
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from muster.cutover import readiness
from muster.cutover.measuring import part
from muster.cutover.observations import (
    Activated,
    Armed,
    Drained,
    Handover,
    Mirrored,
    NotAsked,
    Raised,
    Reckoned,
    Rested,
    Shadowed,
    Surveyed,
    Translated,
    Untold,
    Watched,
    Waves,
)
from muster.cutover.ownership import Side
from muster.cutover.schedule import Cut, Schedule
from muster.cutover.section import spec_of
from muster.drill import Context
from muster.errors import Refusal
from muster.finding import Finding
from muster.ledger import open_ledger
from muster.plan import Plan
from tasks.handover import accounting, passing, settling
from tasks.handover.clocks import see_clock
from tasks.handover.fitness import faults_of, names_taken, untold_of
from tasks.handover.scene import (
    active_of,
    claims_of,
    copied,
    names_of,
    now_of,
    reach_of,
    see_released,
    side_of,
    survey_of,
    target_of,
    translated,
)
from tasks.handover.shadowing import shadow
from tasks.handover.ticking import assert_computable
from tasks.handover.waves import waves_of
from tasks.targets.schedulable import Schedulable

_SAMPLES = 6
"""Times that a watch asks both schedulers what they would start."""
_HALF_A_SECOND = 0.5
_EXAMPLES = 10


def survey_schedulers(context: Context) -> Surveyed:
    """Who has what; every reason against a cutover at once."""
    spec, target = spec_of(context.plan), target_of(context)
    for identity in target.identities().values():
        context.observe(identity)
    _see_clocks(context, "survey")
    inventory = side_of(context, Side.A).inventory(spec.cut)
    active = [schedule for schedule in inventory.schedules if schedule.active]
    if not active:
        raise Refusal("no active schedule is in the cut", "see `cutover.cut`: tags, owner and names must all hold")
    assert_computable(active, side_of(context, Side.A))
    with claims_of(context) as ledger:
        faults = faults_of(spec, target, inventory, ledger)
    if faults:
        raise Refusal("; ".join(fault.words for fault in faults), "; ".join(fault.advice for fault in faults))
    return Surveyed(
        inventory=inventory,
        holders={side: target.holder(side) for side in Side},
        dialects={side: target.scheduler(side).dialect.value for side in Side},
        waves=waves_of(spec, inventory),
        began=now_of(context),
    )


def _see_clocks(context: Context, stage: str) -> None:
    limit = spec_of(context.plan).clocks.total_seconds()
    with claims_of(context) as ledger:
        for side in Side:
            context.observe(see_clock(side_of(context, side), ledger, side, stage, limit))


def translate(context: Context) -> Translated:
    """What the new scheduler cannot carry exactly, schedule by schedule."""
    spec, new = spec_of(context.plan), side_of(context, Side.B)
    jobs, schedules = translated(context)
    found = untold_of(new, jobs, schedules, survey_of(context).holders[Side.B])
    found += [(unfit.name, unfit.reason) for unfit in survey_of(context).inventory.unfit]
    return Translated(
        schedules=len(schedules),
        jobs=len(jobs),
        untold=tuple(Untold(schedule=n, words=w, accepted=w.startswith(spec.accept)) for n, w in found),
    )


def mirror(context: Context) -> Mirrored:
    """Copies on the new scheduler, held, and read back."""
    refused = [u for u in context.result("translate", Translated).untold if not u.accepted]
    if refused:
        raise Refusal(
            f"{len(refused)} schedules cannot be carried: {refused[0].schedule}: {refused[0].words}",
            "change them, leave them out of the cut, or accept it (`cutover.accept`)",
        )
    jobs, schedules = translated(context)
    new = side_of(context, Side.B)
    new.mirror(jobs, schedules, reach_of(context))
    there = new.inventory(Cut(names=tuple(job.name for job in jobs)))
    same_kind = side_of(context, Side.A).dialect is new.dialect
    found = _differences({s.name: s for s in schedules}, {s.name: s for s in there.schedules}, same_kind=same_kind)
    return Mirrored(
        jobs=len(there.jobs), schedules=len(there.schedules), differences=tuple(found[:_EXAMPLES]), different=len(found)
    )


def _differences(here: dict[str, Schedule], there: dict[str, Schedule], *, same_kind: bool) -> list[str]:
    """`active` is not compared: a held copy is not."""
    found = [f"{name} is missing" for name in sorted(here.keys() - there.keys())]
    found += [f"{name} is there, and nobody asked for it" for name in sorted(there.keys() - here.keys())]
    for name in sorted(here.keys() & there.keys()):
        for key in ("rule", "parameters") if same_kind else ("parameters",):
            if getattr(here[name], key) != getattr(there[name], key):
                found.append(f"{name} has another {key}: {getattr(there[name], key)}")
    return found


def compare_ticks(context: Context) -> Shadowed:
    """Both schedulers' due times ahead."""
    new = side_of(context, Side.B)
    jobs = tuple(job.name for job in survey_of(context).inventory.jobs)
    there = {schedule.name: schedule for schedule in new.inventory(Cut(names=jobs)).schedules}
    old, now = side_of(context, Side.A), now_of(context)
    shadowed = shadow(spec_of(context.plan), old, new, active_of(context), there, now)
    if shadowed.different or shadowed.told_different:
        raise Refusal(
            f"{shadowed.different + shadowed.told_different} due times would differ: {shadowed.differences[0]}",
            "write the rule so that both read it alike, or leave it out of the cut",
        )
    return shadowed


def arm(context: Context) -> Armed:
    """The old scheduler is the owner of record; the new one could begin at once."""
    survey = survey_of(context)
    with claims_of(context) as ledger:
        ledger.assign_owner(names_of(context), survey.holders[Side.A])
    return _arm(context, Side.B)


def arm_back(context: Context) -> BaseModel:
    """The old one could begin at once."""
    return _back(context) or _arm(context, Side.A)


def _arm(context: Context, side: Side) -> Armed:
    began = now_of(context)
    side_of(context, side).arm(names_of(context), reach_of(context))
    see_released(context, f"{side} is armed")
    return Armed(side=side, schedules=len(names_of(context)), began=began)


def hold_steady(context: Context) -> Watched:
    """The old scheduler, as it always is."""
    return _watch(context, Side.A, spec_of(context.plan).steady, "steady")


def drain(context: Context) -> Drained:
    """The first wave: the old scheduler is held, and the border drawn."""
    return passing.drain(context, Side.A, 0)


def fence(context: Context) -> Raised:
    """The old scheduler's epoch ends."""
    return passing.fence(context, context.result("drain", Drained))


def activate(context: Context) -> Activated:
    """The new scheduler begins."""
    return passing.activate(context, context.result("drain", Drained))


def rest(context: Context) -> Rested:
    """The old scheduler makes nothing ahead any more."""
    return _rest(context, Side.A, 0)


def watch(context: Context) -> Watched:
    """The new scheduler, for a while."""
    _see_clocks(context, "watch")
    return _watch(context, Side.B, spec_of(context.plan).watch, "watch")


def pass_waves(context: Context) -> BaseModel:
    """Every other wave, one after the other, with time between to see what became of the one before."""
    return _pass_waves(context, Side.A)


def drain_back(context: Context) -> BaseModel:
    """The way home: the new scheduler is held."""
    return _back(context) or passing.drain(context, Side.B, 0)


def fence_back(context: Context) -> BaseModel:
    """The new scheduler's epoch ends."""
    drained = part(context.history, "drain-back", Drained)
    return passing.fence(context, drained) if drained else _not_asked()


def activate_back(context: Context) -> BaseModel:
    """The old scheduler begins again."""
    drained = part(context.history, "drain-back", Drained)
    return passing.activate(context, drained) if drained else _not_asked()


def rest_back(context: Context) -> BaseModel:
    """The new scheduler makes nothing ahead any more."""
    return _back(context) or _rest(context, Side.B, 0)


def pass_waves_back(context: Context) -> BaseModel:
    """Every other wave, home."""
    return _back(context) or _pass_waves(context, Side.B)


def watch_back(context: Context) -> BaseModel:
    """The old scheduler, as before."""
    return _back(context) or _watch(context, Side.A, spec_of(context.plan).watch, "watch-back")


def account(context: Context) -> Reckoned:
    """Every due time, and who started it."""
    _see_clocks(context, "account")
    return accounting.account(context)


def remove_copies(context: Context) -> None:
    """Make sure that the new scheduler has no copy of ours, unless it is to keep them. What may be at work stays."""
    survey = context.history.result("survey", Surveyed)
    if survey is None or settling.are_to_stay(context):
        return
    copies = settling.there(context, Side.B)
    passing.outwait(context, Side.B, copies)  # a run whose job is taken away from under it is lost
    side_of(context, Side.B).remove([job.name for job in survey.inventory.jobs], reach_of(context))


def settle(context: Context) -> None:
    """Make sure that one scheduler has all of it, and the other starts none."""
    if context.history.result("survey", Surveyed) is not None:
        settling.settle(context)


def ready(target: Schedulable, plan: Plan) -> tuple[Finding, ...]:
    """A harmless look: would the pair take a cutover now?"""
    target.identities()
    old, new, spec = target.scheduler(Side.A), target.scheduler(Side.B), spec_of(plan)
    inventory, holder = old.inventory(spec.cut), target.holder(Side.B)
    jobs, schedules = copied(spec, inventory, holder)
    untold = untold_of(new, jobs, schedules, holder)
    with open_ledger(target.claims()) as ledger:
        faults = faults_of(spec, target, inventory, ledger)
    return readiness.findings_of(inventory, untold, spec, [*faults, *names_taken(new, jobs, schedules)])


def _back(context: Context) -> NotAsked | None:
    return _not_asked() if spec_of(context.plan).commit else None


def _not_asked() -> NotAsked:
    return NotAsked(why="the plan hands over for good")


def _rest(context: Context, side: Side, wave: int) -> Rested:
    names = [schedule.name for schedule in passing.wave_of(context, wave)]
    side_of(context, side).rest(names, reach_of(context))
    see_released(context, f"{side} rests")
    return Rested(side=side, schedules=len(names))


def _pass_waves(context: Context, out: Side) -> Waves:
    done = []
    for wave in range(1, len(survey_of(context).waves)):
        _watch(context, out.other, spec_of(context.plan).bake, f"before wave {wave + 1}")
        drained = passing.drain(context, out, wave)
        raised = passing.fence(context, drained)
        done.append(Handover(drained=drained, raised=raised, activated=passing.activate(context, drained)))
        _rest(context, out, wave)
    return Waves(handovers=tuple(done))


def _watch(context: Context, side: Side, lasts: timedelta, stage: str) -> Watched:
    began, deadline = now_of(context), time.monotonic() + lasts.total_seconds()
    pause, samples = lasts.total_seconds() / _SAMPLES, 0
    while (left := deadline - time.monotonic()) > 0:
        see_released(context, stage)
        samples += 1
        _sleep(context, min(max(pause, _HALF_A_SECOND), left))
    return Watched(side=side, began=began, ended=now_of(context), samples=samples)


def _sleep(context: Context, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        context.check_may_go_on()
        time.sleep(min(left, _HALF_A_SECOND))


def brief(_plan: Plan) -> dict[str, Any]:
    """Nothing from outside the run is needed."""
    return {}
