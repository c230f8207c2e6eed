"""Expected ticks: by the definitions alone, or by the scheduler itself where nobody else can compute them."""

from collections.abc import Sequence
from datetime import datetime

from muster.cutover.expected import fault_in, ticks_of
from muster.cutover.schedule import CalendarRule, Schedule, Tick
from muster.errors import Refusal
from tasks.schedulers.scheduler import Scheduler


def assert_computable(schedules: Sequence[Schedule], scheduler: Scheduler) -> None:
    """Every rule can be read; `Refusal` names those that cannot."""
    faults = [
        f"{schedule.name}: {fault}"
        for schedule in schedules
        if not isinstance(schedule.rule, CalendarRule) and (fault := fault_in(schedule.rule, scheduler.dialect))
    ]
    if faults:
        raise Refusal(
            f"due times cannot be computed of {len(faults)} schedules: {'; '.join(faults[:3])}",
            "leave them out of the cut, or write them otherwise",
        )


def expected(schedules: Sequence[Schedule], scheduler: Scheduler, after: datetime, until: datetime) -> list[Tick]:
    """Due times in (after, until], in order."""
    computed = [s for s in schedules if not isinstance(s.rule, CalendarRule)]
    asked = [s for s in schedules if isinstance(s.rule, CalendarRule)]
    found = ticks_of(computed, scheduler.dialect, after, until)
    if asked:
        found = sorted([*found, *(scheduler.next_ticks(asked, after, until) or ())], key=lambda t: (t.at, t.schedule))
    return found
