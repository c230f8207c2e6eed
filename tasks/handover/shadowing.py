"""The shadow: both schedulers' ticks, computed ahead and compared, before anything is touched.

Promises: what is compared is what the new scheduler really has, read back from it; ticks that a scheduler names itself
are compared as well, since an engine of ours could share a mistake of ours.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

from pydantic import BaseModel, ConfigDict

from muster.cutover.expected import doubtful, ticks
from muster.cutover.observations import Shadowed
from muster.cutover.ownership import Side
from muster.cutover.readiness import Fault
from muster.cutover.schedule import CalendarRule, Schedule, words_of
from muster.cutover.section import spec_of
from muster.cutover.spec import CutoverSpec
from muster.ledger import Ledger
from muster.plan import Plan
from tasks.handover.clocks import is_off_by, see_clock
from tasks.handover.fitness import faults_of, names_taken, untold_of
from tasks.handover.scene import copied
from tasks.handover.ticking import assert_computable
from tasks.schedulers.scheduler import Scheduler
from tasks.targets.schedulable import Schedulable

_EXAMPLES = 10


class Ahead(BaseModel):
    """One schedule, and what would become of it."""

    model_config = ConfigDict(frozen=True)

    name: str
    rule: str
    next: datetime | None
    untold: str
    """What the new scheduler could not carry exactly; empty where it is the same."""


class Foreseen(BaseModel):
    """A cutover as far as it can be told without touching anything."""

    model_config = ConfigDict(frozen=True)

    old: str
    new: str
    schedules: tuple[Ahead, ...]
    shadow: Shadowed
    refused: tuple[str, ...] = ()
    """What else a cutover would be refused for now: owners, claims, gates, names, clocks."""
    is_fit: bool
    """Every schedule can be carried, or the plan accepts how it is not, no due time differs, nothing is refused."""


def foresee(target: Schedulable, plan: Plan, ledger: Ledger) -> Foreseen:
    """Read both schedulers and the ledger; what is compared is what a mirror would make."""
    spec, old, new = spec_of(plan), target.scheduler(Side.A), target.scheduler(Side.B)
    identities = target.identities()
    inventory = old.inventory(spec.cut)
    active = [schedule for schedule in inventory.schedules if schedule.active]
    assert_computable(active, old)
    now, holder = ledger.now(), target.holder(Side.B)
    jobs, schedules = copied(spec, inventory, holder)
    untold = {u.name: u.reason for u in inventory.unfit}
    unaccepted = [words for words in untold.values() if not words.startswith(spec.accept)]
    for name, words in untold_of(new, jobs, schedules, holder):
        untold[name] = f"{untold[name]}; {words}" if name in untold else words
        unaccepted += [] if words.startswith(spec.accept) else [words]
    faults = (
        *faults_of(spec, target, inventory, ledger),
        *names_taken(new, jobs, schedules),
        *_clocks(spec, target, ledger),
    )
    refused = tuple(f"{fault.words} ({fault.advice})" for fault in faults)
    there = {s.name: carried for s in active if (carried := new.carried(s)) is not None}
    seen = shadow(spec, old, new, active, there, now)
    rows = [_row(schedule, old, untold.pop(schedule.name, ""), now) for schedule in inventory.schedules]
    rows += [Ahead(name=name, rule="", next=None, untold=reason) for name, reason in untold.items()]
    return Foreseen(
        old=f"{target.holder(Side.A)} ({identities[Side.A].description})",
        new=f"{target.holder(Side.B)} ({identities[Side.B].description})",
        schedules=tuple(rows),
        shadow=seen,
        refused=refused,
        is_fit=bool(active) and not (unaccepted or refused or seen.different or seen.told_different),
    )


def _clocks(spec: CutoverSpec, target: Schedulable, ledger: Ledger) -> list[Fault]:
    limit = spec.clocks.total_seconds()
    seen = [see_clock(target.scheduler(side), ledger, side, "foreseen", limit) for side in Side]
    return [
        Fault("clocks", f"the clock of {one.side} is {one.ahead_seconds:+.1f} s off", "set it, or raise `clocks`")
        for one in seen if is_off_by(one) > limit
    ]  # fmt: skip


def _row(schedule: Schedule, old: Scheduler, untold: str, now: datetime) -> Ahead:
    ahead = _ahead(schedule, old, now, now + timedelta(days=400), 1) if schedule.active else []
    rule = words_of(schedule.rule) + ("" if schedule.active else " (not active)")
    return Ahead(name=schedule.name, rule=rule, next=ahead[0] if ahead else None, untold=untold)


def shadow(
    spec: CutoverSpec,
    old: Scheduler,
    new: Scheduler,
    here: Sequence[Schedule],
    there: Mapping[str, Schedule],
    now: datetime,
) -> Shadowed:
    """Compare what the old scheduler starts with what the new one would. `there`: its schedules by name."""
    until = now + spec.shadow
    differences: list[str] = []
    compared = different = cut_short = unsure = 0
    for schedule in here:
        mine = _ahead(schedule, old, now, until, spec.shadow_ticks)
        theirs = _ahead(there.get(schedule.name), new, now, until, spec.shadow_ticks)
        if cut := [told[-1] for told in (mine, theirs) if len(told) == spec.shadow_ticks]:
            cut_short += 1
            last = min(cut)  # only who was cut off may end earlier than the other
            mine, theirs = [t for t in mine if t <= last], [t for t in theirs if t <= last]
        odd = set(mine) ^ set(theirs)
        doubts: set[datetime] = set()
        if odd:  # where both are read alike it does not matter what nobody can say
            doubts = _doubts(schedule, old, now, max(odd)) | _doubts(there.get(schedule.name), new, now, max(odd))
        compared += len(mine)
        unsure += len(odd & doubts)
        wrong_here = sorted(odd - doubts)
        different += len(wrong_here)
        words = (
            f"{schedule.name}: only {'the old' if t in mine else 'the new'} one at {t:%Y-%m-%d %H:%M:%S}"
            for t in wrong_here
        )
        differences += islice(words, max(0, _EXAMPLES - len(differences)))
    told, wrong = _compare_told(old, here, now)
    different_told = [f"{name}: the scheduler itself says otherwise about {at:%Y-%m-%d %H:%M:%S}" for name, at in wrong]
    return Shadowed(
        until=until,
        ticks=compared,
        schedules=len(here),
        cut_short=cut_short,
        different=different,
        differences=(*differences, *different_told)[:_EXAMPLES],
        told=told,
        told_different=len(wrong),
        doubtful=unsure,
    )


def _ahead(
    schedule: Schedule | None, scheduler: Scheduler, now: datetime, until: datetime, most: int
) -> list[datetime]:
    if schedule is None:
        return []
    if isinstance(schedule.rule, CalendarRule):
        return [tick.at for tick in islice(scheduler.next_ticks([schedule], now, until) or (), most)]
    return list(islice(ticks(schedule.rule, scheduler.dialect, now, until), most))


def _doubts(schedule: Schedule | None, scheduler: Scheduler, now: datetime, until: datetime) -> set[datetime]:
    if schedule is None or isinstance(schedule.rule, CalendarRule):
        return set()
    return set(doubtful(schedule.rule, scheduler.dialect, now, until))


def _compare_told(
    scheduler: Scheduler, schedules: Sequence[Schedule], now: datetime
) -> tuple[int, list[tuple[str, datetime]]]:
    """How many ticks the old scheduler names itself, and those on which it and the definitions differ."""
    told: dict[str, list[datetime]] = {}
    for tick in scheduler.next_ticks(schedules, now, now + timedelta(days=1)) or ():
        told.setdefault(tick.schedule, []).append(tick.at)
    wrong = []
    for schedule in schedules:
        named = told.get(schedule.name, [])
        if named and not isinstance(schedule.rule, CalendarRule):
            before = named[0] - timedelta(microseconds=1)
            computed = set(ticks(schedule.rule, scheduler.dialect, before, named[-1]))
            wrong += [(schedule.name, at) for at in sorted(computed ^ set(named))]
    return sum(map(len, told.values())), wrong
