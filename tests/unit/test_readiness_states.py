"""Ready, not ready, not seen: as a table; what is old, dated ahead, or of another promise is never ready."""

from datetime import timedelta

import pytest
from deck_samples import DAY, NOW, PROVEN, card

from muster.cadence.states import State
from muster.clock import AHEAD
from muster.deck.model import build_deck
from muster.ledger.standing import Alarm, LastLook, Overview, Standing
from muster.plan import KINDS, Plan
from muster.readiness.states import Readiness, Ready, as_of, ready_of
from muster.watch.concerns import Concern, readiness_concerns
from muster.watch.conditions import OF_READINESS, Condition

EVERY = timedelta(minutes=5)
MOST, INSTANT = 3 * EVERY, timedelta(microseconds=1)
CARD = card(name="failover-shop", kind="failover", look_every_seconds=EVERY.total_seconds())


def look(verdict: str = "pass", **changes: object) -> LastLook:
    against = {"pass": ("", ""), "fail": ("lag: 31 s behind", "it does not keep up"), "inconclusive": ("no answer", "")}
    why, advice = against[verdict]
    usual = LastLook(
        "failover-shop", 9, NOW - EVERY, "watch", "db1", "s", verdict, NOW - DAY, 0.2, times=5, why=why, advice=advice
    )
    return usual._replace(**changes)  # type: ignore[arg-type]


def seen(last: LastLook | None) -> Ready:
    found = ready_of(CARD, last, NOW)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("verdict", "state"),
    [("pass", Readiness.READY), ("fail", Readiness.NOT_READY), ("inconclusive", Readiness.NOT_SEEN)],
)
def test_a_new_look_says_what_it_saw(verdict: str, state: Readiness) -> None:
    last = look(verdict)
    assert seen(last) == Ready(state, last.why, last.advice, NOW - DAY, NOW - EVERY, "watch@db1", 300.0)


@pytest.mark.parametrize("verdict", ["pass", "fail", "inconclusive"])
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"at": NOW - MOST - INSTANT}, "nobody has looked since 2026-08-03 05:44 UTC, when it was "),
        ({"at": NOW + AHEAD + INSTANT}, "the last look is dated in the future"),
        ({"substance": "another"}, "the plan was changed since it was looked at"),
    ],
    ids=["old", "ahead", "changed"],
)
def test_what_says_nothing_of_now_is_not_seen(verdict: str, changes: dict[str, object], why: str) -> None:
    found = seen(look(verdict, **changes))
    assert found.state is Readiness.NOT_SEEN
    assert found.why.startswith(why)
    assert found.advice == "muster ready failover-shop"
    assert found.since != NOW - DAY


@pytest.mark.parametrize("at", [NOW - MOST, NOW + AHEAD], ids=["oldest", "newest"])
def test_at_the_very_limit_it_still_counts(at: object) -> None:
    assert seen(look(at=at)).state is Readiness.READY


def test_what_was_never_looked_at_is_not_seen() -> None:
    found = seen(None)
    assert (found.state, found.why, found.looked_at, found.by) == (Readiness.NOT_SEEN, "never looked at", None, "")


def test_a_kind_without_a_look_has_no_readiness() -> None:
    assert ready_of(card(), look(), NOW) is None
    assert build_deck([card(cadence_json='{"cron": "0 3 * * *"}')], Overview(NOW, {}, {}, (), {}, None), NOW).rows[
        0
    ].ready is None  # fmt: skip


def test_readiness_ages_after_it_was_told() -> None:
    ready = seen(look())
    assert as_of(ready, NOW + 2 * EVERY, "failover-shop") == ready
    late = as_of(ready, NOW + 2 * EVERY + INSTANT, "failover-shop")
    assert (late.state, late.since) == (Readiness.NOT_SEEN, NOW + 2 * EVERY)
    assert as_of(seen(None), NOW + DAY, "failover-shop") == seen(None)


def test_neither_column_of_a_deck_says_what_the_other_does() -> None:
    """Ready and never proven; proven and not ready."""
    cards = [
        CARD._replace(cadence_json='{"cron": "0 3 * * *"}'), CARD._replace(name="failover-stock", timetable="t"),
    ]  # fmt: skip
    passed = Standing(
        "failover-stock", since=NOW - 9 * DAY, timetable="t", due_at=NOW + DAY, overdue_at=NOW + 2 * DAY, last_run="r",
        judged_run="r", judged_outcome="passed", pass_run="r", pass_at=NOW - DAY, pass_substance="s",
    )  # fmt: skip
    looks = {"failover-shop": look(), "failover-stock": look("fail", plan="failover-stock")}
    overview = Overview(NOW, {"failover-stock": passed}, {"failover": PROVEN}, (), {"watch": NOW}, None, looks)
    shop, stock = (row for row in build_deck(cards, overview, NOW).rows if row.plan)
    assert shop.ready is not None
    assert stock.ready is not None
    assert (shop.state, shop.pass_at, shop.ready.state) == (State.NEVER, None, Readiness.READY)
    assert (stock.state, stock.pass_at, stock.ready.state) == (State.FRESH, NOW - DAY, Readiness.NOT_READY)


@pytest.mark.parametrize("condition", sorted(OF_READINESS))
def test_an_alarm_of_readiness_is_told_by_its_row_alone(condition: Condition) -> None:
    alarms = tuple(Alarm(name, condition, "warning", "words", NOW) for name in ("failover-shop", "gone"))
    overview = Overview(NOW, {}, {}, alarms, {"watch": NOW}, None)
    deck = build_deck([CARD._replace(cadence_json='{"cron": "0 3 * * *"}')], overview, NOW)
    assert [trouble.subject for trouble in deck.troubles] == ["gone"]


# Concerns


def told(last: LastLook | None, *, is_drilled: bool = False) -> tuple[Concern, ...]:
    return readiness_concerns(CARD, last, NOW, is_drilled=is_drilled)


def test_what_is_ready_or_was_never_looked_at_is_no_concern() -> None:
    assert told(look()) == ()
    assert told(None) == ()
    assert readiness_concerns(card(), look("fail"), NOW) == ()


def test_what_is_not_ready_is_a_concern_at_once() -> None:
    (concern,) = told(look("fail", times=1))
    assert (concern.condition, concern.why, concern.since) == (Condition.NOT_READY, "lag: 31 s behind", NOW - DAY)
    assert dict(concern.more)["how"] == "it does not keep up"


@pytest.mark.parametrize(("times", "is_told"), [(1, False), (2, False), (3, True), (9, True)])
def test_what_is_not_seen_is_a_concern_at_the_third_look(times: int, is_told: bool) -> None:
    conditions = [concern.condition for concern in told(look("inconclusive", times=times))]
    assert conditions == [Condition.NOT_SEEN] * is_told


@pytest.mark.parametrize("verdict", ["pass", "fail", "inconclusive"])
def test_what_nobody_looks_at_any_more_is_a_concern(verdict: str) -> None:
    (concern,) = told(look(verdict, at=NOW - MOST - INSTANT, times=1))
    assert concern.condition is Condition.NOT_SEEN
    assert told(look(verdict, at=NOW - MOST - INSTANT), is_drilled=True) == (), "a drill moves it: nobody may look"


def test_a_plan_that_was_changed_is_looked_at_before_anybody_is_told() -> None:
    assert told(look("fail", substance="another")) == ()


# Which kinds


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_says_how_often_exactly_if_its_drill_can_look(kind: str) -> None:
    from flows.registry import drill_of

    spark = {"workload": {"type": "sql"}}
    section = {"restore": {"database": "shop"}, "failover": {"scenario": "kill"}, "spark": spark, "cutover": {}}[kind]
    content = {"name": "a-plan", "kind": kind, "environment": "test", "owner": "me", "target": {"type": "paper"}}
    plan = Plan.model_validate({**content, kind: section})
    assert (plan.look_every is not None) == (drill_of(kind).ready is not None)
