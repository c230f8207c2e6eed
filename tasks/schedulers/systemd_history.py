"""What the journal tells of a service's starts.

Promises: a start is laid to the last tick before it, of whichever timer starts the service. Trap: the journal does
not say who started a service: one started by hand looks like a late one of its timer.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from muster.cutover.schedule import CalendarRule, Firing, Schedule, Stage
from tasks.schedulers.systemd_calls import Event, Run, last_tick, ticks


def firings(
    events: Iterable[Event], watched: Mapping[str, Sequence[Schedule]], after: datetime, until: datetime
) -> tuple[Firing, ...]:
    """Of ticks in (after, until]; `watched`: services, and the schedules that start them."""
    due = {unit: _due(schedules, after, until) for unit, schedules in watched.items()}
    found: dict[str, Firing] = {}
    for event in events:
        if event.run in found:
            found[event.run] = _later(found[event.run], event)
        elif event.stage is Stage.RUNNING:
            before = [tick for tick in due.get(event.unit, ()) if tick[0] <= event.at]
            if before:
                at, schedule = before[-1]
                found[event.run] = Firing(
                    schedule=schedule, at=at, run=event.run, stage=Stage.RUNNING, started=event.at
                )
    return tuple(found.values())


def at_work(run: Run, schedules: Sequence[Schedule]) -> Firing | None:
    """A run that is at work, laid to the last tick before it; `schedules`: those that start its service."""
    rules = [(schedule, schedule.rule) for schedule in schedules if isinstance(schedule.rule, CalendarRule)]
    found = [(at, schedule.name) for schedule, rule in rules if (at := last_tick(rule, run.started))]
    if not found:
        return None
    at, name = max(found)
    return Firing(schedule=name, at=at, run=run.run, stage=Stage.RUNNING, started=run.started)


def _due(schedules: Sequence[Schedule], after: datetime, until: datetime) -> list[tuple[datetime, str]]:
    return sorted(
        (at, schedule.name)
        for schedule in schedules
        if isinstance(schedule.rule, CalendarRule)
        for at in ticks(schedule.rule, after, until)
    )


def _later(firing: Firing, event: Event) -> Firing:
    if not event.stage.is_over or firing.stage.is_over:
        return firing
    return firing.model_copy(update={"stage": event.stage, "ended": event.at})
