"""Whether a cutover may begin: what the survey refuses, and what a look or a dry run foresees of it. Only asks.

Promises: nobody is made the owner of schedules whose jobs are known to claim in another name, or are to claim and were
never seen to; however many claims there are, few are read.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from muster.cutover.claimants import Word, strangers
from muster.cutover.claimline import read_claim
from muster.cutover.ownership import Side
from muster.cutover.readiness import APART, Fault
from muster.cutover.schedule import Inventory, Job, Schedule, Tick
from muster.cutover.spec import CutoverSpec
from muster.ledger import Ledger
from muster.ledger.claiming import FENCED
from tasks.handover.ticking import expected
from tasks.handover.waves import tangle_of
from tasks.schedulers.scheduler import Scheduler
from tasks.targets.schedulable import Schedulable

TRIED = "muster: the fence is tried"
"""Who a claim is by that is made to be refused."""
_SPANS = (timedelta(minutes=3), timedelta(hours=1), timedelta(days=1), timedelta(days=31))
"""What is due often has claimed lately; only for the rest it is worth looking further back."""
_STARTED = (timedelta(hours=1), timedelta(days=1))
_SETTLED = timedelta(minutes=1)
_NO_RUN = "no run"
"""A mark that nothing has."""


def faults_of(spec: CutoverSpec, target: Schedulable, inventory: Inventory, ledger: Ledger) -> tuple[Fault, ...]:
    """What the ledger, and both schedulers' gates, say against handing these over now."""
    active, holder = [s for s in inventory.schedules if s.active], target.holder(Side.A)
    names = [schedule.name for schedule in active]
    found = [_of_another(ledger, names, holder)]
    if tangle := tangle_of(spec, inventory, {side: target.scheduler(side) for side in Side}):
        found.append(Fault("waves", tangle, APART))
    if not any(found):  # whose they are comes before as whom they claim
        found.append(_in_another_name(spec, target.scheduler(Side.A), active, ledger, holder))
    return tuple(fault for fault in found if fault)


def _of_another(ledger: Ledger, names: Sequence[str], holder: str) -> Fault | None:
    """Whoever else owns them is at work by right; an undo would give them back to it."""
    strange = [tenure for tenure in ledger.owners_of(names).values() if tenure.holder != holder]
    if not strange:
        return None
    return Fault(
        "owner",
        f"{strange[0].schedule} is {strange[0].holder}'s by the ledger, not {holder}'s",
        "hand over from whoever owns it, or find out who took it back without a cutover",
    )


def _in_another_name(
    spec: CutoverSpec, old: Scheduler, active: Sequence[Schedule], ledger: Ledger, holder: str
) -> Fault | None:
    """To own a schedule is to refuse claims in all other names: its jobs would do nothing from then on."""
    now = ledger.now()
    spoken = words_of(ledger, [schedule.name for schedule in active], now)
    if strange := strangers(spoken, holder, now, _SETTLED):
        more = f", and {len(strange) - 1} more" if len(strange) > 1 else ""
        return Fault(
            "claims",
            f"{strange[0].words(holder)}{more}: owned by {holder}, it would be refused",
            f"set MUSTER_HOLDER={holder} for the job, or correct `holder` in the plan; then let it run once",
        )
    if spec.guarded and not spoken and (began := _last_started(old, active, now)):
        return Fault(
            "claims",
            f"no job of the cut has claimed a tick, though {began.schedule} was due at {began.at:%Y-%m-%d %H:%M}: "
            "nobody knows as whom they do",
            "guard the jobs, and let one run once, by its scheduler or by hand (docs/cutover-guard.md); "
            "or say `guarded: false`",
        )
    return None


def words_of(ledger: Ledger, names: Sequence[str], now: datetime) -> list[Word]:
    """The newest claims of each schedule, and those that were fenced, of whatever age they are."""
    found: list[Word] = []
    left = set(names)
    for span in _SPANS:
        granted = ledger.claims_between(left, now - span, now) if left else ()
        fenced = [r for r in ledger.refusals_between(left, now - span, now) if r.why == FENCED] if left else []
        spoken = [Word(Tick(c.schedule, c.at), c.holder, c.epoch is not None, is_fenced=False) for c in granted]
        spoken += [
            Word(Tick(r.schedule, r.at), r.holder, is_owned=False, is_fenced=True)
            for r in fenced if not r.by.startswith(TRIED)
        ]  # fmt: skip
        found += spoken
        left -= {word.tick.schedule for word in spoken}
    return found


def _last_started(old: Scheduler, active: Sequence[Schedule], now: datetime) -> Tick | None:
    """By its history, and where it keeps none, by its definitions."""
    names, until = [schedule.name for schedule in active], now - _SETTLED
    for span in _STARTED:
        told = old.history(names, now - span, until)
        ticks = expected(active, old, now - span, until) if told is None else [f.tick for f in told if f.stage.is_taken]
        if ticks:
            return max(ticks, key=lambda tick: tick.at)
    return None


def names_taken(new: Scheduler, jobs: Sequence[Job], schedules: Sequence[Schedule]) -> tuple[Fault, ...]:
    """What a mirror would be refused for: a name that is taken, a DAG that is not there. Of what can be carried."""
    fit = [schedule for schedule in schedules if new.carried(schedule) is not None]
    named = {schedule.job for schedule in fit}
    words = new.objection([job for job in jobs if job.name in named], fit, _NO_RUN)
    return (Fault("names", words, "rename or remove what is there, or deploy what is not"),) if words else ()


def untold_of(new: Scheduler, jobs: Sequence[Job], schedules: Sequence[Schedule], holder: str) -> list[tuple[str, str]]:
    """What the new scheduler cannot carry exactly, by schedule; `jobs` and `schedules` as it is to have them."""
    by_name = {job.name: job for job in jobs}
    found = [(s.name, words) for s in schedules for words in new.untold(by_name[s.job], s)]
    return found + [(s.name, words) for s in schedules if (words := _own_claim(by_name[s.job], s.name, holder))]


def _own_claim(job: Job, schedule: str, holder: str) -> str:
    """What is wrong with the claim in its command; empty where nothing is, or it makes none there."""
    claim = read_claim(job.command)
    if claim.schedule not in {"", schedule}:
        return (
            f"its claim is of {claim.schedule}, and guards another schedule's ticks: name the line so, or claim as it"
        )
    if "command" in job.parameters:  # its flow claims
        inside = "its own claim, in the midst of its command: the flow makes one, and this would be the second"
        return inside if claim.is_inside else ""
    return f"its claim as {claim.holder}: say it by MUSTER_HOLDER" if claim.holder not in {"", holder} else ""
