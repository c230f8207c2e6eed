"""What the verbs of a cutover share: the two schedulers, what is handed over, the ledger where ticks are claimed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from muster.cutover.observations import Counts, ReleasedSeen, Surveyed
from muster.cutover.ownership import Side
from muster.cutover.schedule import Inventory, Job, Schedule
from muster.cutover.section import spec_of
from muster.cutover.spec import CutoverSpec
from muster.drill import Context
from muster.errors import MusterError
from muster.ledger import Ledger, Tenure, open_ledger
from tasks.schedulers.scheduler import Reach, Scheduler
from tasks.targets.schedulable import Schedulable

HOLDER, WHEN_AWAY = "MUSTER_HOLDER", "MUSTER_WHEN_AWAY"
"""The variables by which a job says whose it is when it claims, and what it does without an answer."""
_EXAMPLES = 10


def target_of(context: Context) -> Schedulable:
    """The target; what keeps it from being opened is what keeps a step, or an undo, from being done."""
    if isinstance(context.target, MusterError):
        raise context.target
    target: Schedulable = context.target
    return target


def side_of(context: Context, side: Side) -> Scheduler:
    """The scheduler of a side."""
    return target_of(context).scheduler(side)


def reach_of(context: Context) -> Reach:
    """What a verb may use. The mark names the run, which no other has."""
    return Reach(mark=context.history[0].run, seconds_left=lambda: context.seconds_left)


@contextmanager
def claims_of(context: Context) -> Iterator[Ledger]:
    """The ledger where jobs claim; its database's clock is the cutover's."""
    with open_ledger(target_of(context).claims()) as ledger:
        yield ledger


def now_of(context: Context) -> datetime:
    """What time it is by that clock."""
    with claims_of(context) as ledger:
        return ledger.now()


def survey_of(context: Context) -> Surveyed:
    """What is handed over."""
    return context.result("survey", Surveyed)


def translated(context: Context) -> tuple[tuple[Job, ...], tuple[Schedule, ...]]:
    """Jobs and schedules as the new scheduler is to have them."""
    spec, inventory = spec_of(context.plan), survey_of(context).inventory
    return copied(spec, inventory, survey_of(context).holders[Side.B])


def copied(spec: CutoverSpec, inventory: Inventory, holder: str) -> tuple[tuple[Job, ...], tuple[Schedule, ...]]:
    """Jobs and schedules as a scheduler of this holder is to have them."""
    claims = {HOLDER: holder, **({WHEN_AWAY: spec.when_away.value} if spec.when_away else {})}
    jobs = {job.name: spec.told_of(_claiming(claims, job)) for job in inventory.jobs}
    schedules = tuple(
        schedule.model_copy(update={"parameters": _asked(jobs[schedule.job], schedule, claims)})
        for schedule in inventory.schedules
    )
    return tuple(jobs.values()), schedules


def _claiming(claims: Mapping[str, str], job: Job) -> Job:
    """A command that claims by the variable claims for its new scheduler from now on."""
    if HOLDER not in job.environment:
        return job
    return job.model_copy(update={"environment": {**job.environment, **claims}})


def _asked(job: Job, schedule: Schedule, claims: Mapping[str, str]) -> dict[str, Any]:
    """A command line's flow has to know whose ticks it claims, for whom, and what it does without an answer."""
    if not (job.command and "command" in job.parameters):
        return {**job.parameters, **schedule.parameters}
    named = {name.removeprefix("MUSTER_").lower(): said for name, said in claims.items()}
    return {**job.parameters, "schedule": schedule.name, **named, **schedule.parameters}


def active_of(context: Context) -> tuple[Schedule, ...]:
    """Those that the old scheduler started when the drill began."""
    return tuple(schedule for schedule in survey_of(context).inventory.schedules if schedule.active)


def names_of(context: Context) -> tuple[str, ...]:
    """Their names."""
    return tuple(schedule.name for schedule in active_of(context))


def see_released(context: Context, stage: str) -> None:
    """Ask both sides what they would start, and the ledger whose it is, and keep it."""
    names = names_of(context)
    found = {side: _released(context, side, names) for side in Side}
    both = frozenset.intersection(*(names or frozenset() for names in found.values()))
    with claims_of(context) as ledger:
        owners, now = ledger.owners_of(names), ledger.now()
    context.observe(
        ReleasedSeen(
            at=now,
            stage=stage,
            released={side: None if names is None else len(names) for side, names in found.items()},
            both=len(both),
            idle=_idle(found, owners, survey_of(context).holders),
        )
    )


def _idle(
    found: Mapping[Side, frozenset[str] | None], owners: Mapping[str, Tenure], holders: Mapping[Side, str]
) -> Counts:
    """Schedules that their owner would not start. Of one that does not answer nothing is said."""
    sides = {holder: side for side, holder in holders.items()}
    idle = []
    for name, tenure in sorted(owners.items()):
        side = sides.get(tenure.holder)
        going = found[side] if side else None
        if going is not None and name not in going:
            idle.append(f"{side} would not start {name}")
    return Counts(count=len(idle), examples=tuple(idle[:_EXAMPLES]))


def _released(context: Context, side: Side, names: tuple[str, ...]) -> frozenset[str] | None:
    try:
        return side_of(context, side).released(names)
    except MusterError:
        return None
