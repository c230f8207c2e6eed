"""Which schedules are handed over one after the other. Promise: a part that either scheduler cannot hold by itself is
found out before anything is touched.
"""

from collections.abc import Mapping

from muster.cutover.ownership import Side
from muster.cutover.schedule import Inventory, Job
from muster.cutover.spec import CutoverSpec
from tasks.schedulers.scheduler import Scheduler


def waves_of(spec: CutoverSpec, inventory: Inventory) -> tuple[tuple[str, ...], ...]:
    """Names of the active schedules, wave by wave."""
    jobs = {job.name: job for job in inventory.jobs}
    numbered = [(spec.wave_of(jobs[one.job]), one.name) for one in inventory.schedules if one.active]
    waves = [tuple(name for n, name in numbered if n == number) for number in range(len(spec.waves) + 1)]
    return tuple(wave for wave in waves if wave)


def tangle_of(spec: CutoverSpec, inventory: Inventory, schedulers: Mapping[Side, Scheduler]) -> str:
    """Two jobs of different waves that a scheduler only holds together, in words; empty where there are none."""
    active = {schedule.job for schedule in inventory.schedules if schedule.active}
    for side, scheduler in schedulers.items():
        first: dict[str, Job] = {}
        for job in inventory.jobs:
            gate = scheduler.gate_of(job if side is Side.A else spec.told_of(job)) if job.name in active else ""
            other = first.setdefault(gate, job) if gate else job
            if spec.wave_of(other) != spec.wave_of(job):
                return f"{side} can hold {other.name} and {job.name} only together ({gate}); they are of two waves"
    return ""
