"""A plan's card becomes its slots: every due one, a few to come, each with its deadline."""

from datetime import UTC, datetime, timedelta

from muster.cadence.spec import Cadence
from muster.cards import PlanCard
from muster.portal.model import AHEAD, MOST_AHEAD, plan_of

AT = datetime(2026, 8, 3, 6, 0, tzinfo=UTC)


def card(**cadence: str) -> PlanCard:
    found = Cadence.model_validate(cadence)
    return PlanCard(
        "p", "restore", "", "staging", "team", ("SOC 2 A1.3",), "embedded", (), None, None, "", "", found.timetable,
        found.model_dump_json(), "words", found.grace_period.total_seconds(), found.gaps.longest.total_seconds(), "",
    )  # fmt: skip


def test_slots_count_from_where_they_are_counted() -> None:
    plan = plan_of(card(cron="0 3 * * *"), datetime(2026, 7, 31, 3, 0, tzinfo=UTC), AT)
    assert [slot.due.day for slot in plan.slots[:3]] == [1, 2, 3]
    assert len(plan.slots) == 3 + MOST_AHEAD
    assert plan.slots[0].until == plan.slots[1].due
    assert plan.grace == timedelta(hours=6)


def test_a_rare_plan_shows_its_next_slot_and_nothing_beyond_the_horizon() -> None:
    plan = plan_of(card(cron="0 3 1 1 *"), AT, AT)
    assert [slot.due.year for slot in plan.slots] == [2027]
    assert all(slot.due <= AT + AHEAD for slot in plan.slots)


def test_slots_are_in_order_and_each_but_once_whatever_the_zone() -> None:
    plan = plan_of(card(cron="0 3 * * *", timezone="Europe/Berlin"), datetime(2026, 1, 1, tzinfo=UTC), AT)
    dues = [slot.due for slot in plan.slots]
    assert dues == sorted(set(dues))
    assert {due.tzinfo for due in dues} == {UTC}
