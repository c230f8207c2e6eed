"""The shadow: what differs is told however long the lists are, and what is alike is not."""

from datetime import UTC, datetime, timedelta

import pytest

from muster.cutover.observations import Shadowed
from muster.cutover.schedule import Dialect, IntervalRule, RecurrenceRule, Rule, Schedule, Tick
from muster.cutover.spec import CutoverSpec
from tasks.handover.shadowing import shadow

NOW = datetime(2026, 11, 26, tzinfo=UTC)
HOURLY = RecurrenceRule(text="DTSTART:20260101T000000\nRRULE:FREQ=HOURLY")
ENDS = RecurrenceRule(text="DTSTART:20260101T000000\nRRULE:FREQ=HOURLY;UNTIL=20261127T000000")


class Reader:
    """As much of a scheduler as the shadow asks."""

    dialect = Dialect.PREFECT

    def __init__(self, named: tuple[datetime, ...] = ()) -> None:
        self._named = named

    def next_ticks(self, schedules: list[Schedule], _after: datetime, _until: datetime) -> tuple[object, ...]:
        return tuple(Tick(schedules[0].name, at) for at in self._named)


def shadowed(here: Rule, there: Rule | None, named: tuple[datetime, ...] = ()) -> Shadowed:
    spec = CutoverSpec.model_validate({"shadow": "30d", "shadow_ticks": 100})
    mine = Schedule(name="x", job="x", rule=here)
    copies = {"x": Schedule(name="x", job="x", rule=there)} if there else {}
    return shadow(spec, Reader(named), Reader(), [mine], copies, NOW)  # type: ignore[arg-type]


def test_what_is_alike_differs_in_nothing() -> None:
    seen = shadowed(HOURLY, HOURLY)
    assert (seen.ticks, seen.different, seen.cut_short) == (100, 0, 1)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (HOURLY, ENDS),
        (ENDS, HOURLY),
        (HOURLY, None),
        (HOURLY, IntervalRule(seconds=3600, anchor=NOW + timedelta(seconds=1))),
        (HOURLY, IntervalRule(seconds=1800, anchor=NOW)),
    ],
    ids=["copy ends", "copy goes on", "no copy", "shifted", "denser"],
)
def test_what_differs_is_told_though_a_list_is_cut_short(here: Rule, there: Rule | None) -> None:
    seen = shadowed(here, there)
    assert seen.different
    assert seen.differences


def test_a_scheduler_that_names_other_ticks_than_its_definitions_is_told() -> None:
    hours = tuple(NOW + timedelta(hours=n) for n in (1, 2, 3))
    assert shadowed(HOURLY, HOURLY, hours).told_different == 0
    odd = shadowed(HOURLY, HOURLY, (hours[0], hours[2]))
    assert odd.told_different == 1
    assert "says otherwise" in odd.differences[0]
