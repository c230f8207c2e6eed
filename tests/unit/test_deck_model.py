"""The deck as data: every expected drill is a row, every trouble beside the plans is told once."""

from datetime import timedelta

import pytest
from deck_samples import DAY, NOW, PROVEN, card

from muster.cadence.states import State
from muster.clock import AHEAD
from muster.deck.model import EXPECTED, SILENT_AFTER, build_deck
from muster.ledger.standing import Alarm, Halt, Overview, Standing
from muster.watch.conditions import OF_PLANS

PASSED = Standing(
    "restore-shop", since=NOW - 9 * DAY, timetable="t", due_at=NOW + DAY, overdue_at=NOW + 2 * DAY, last_run="r",
    judged_run="r", judged_outcome="passed", pass_run="r", pass_at=NOW - DAY, pass_substance="s", pass_bundle="b.tgz",
)  # fmt: skip
QUIET = Overview(NOW, {"restore-shop": PASSED}, {"restore": PROVEN}, (), {"watch": NOW}, None)


def test_a_plan_is_a_row_with_what_the_ledger_knows() -> None:
    row = build_deck([card()], QUIET, NOW).rows[0]
    assert (row.plan, row.state, row.evidence, row.proven) == ("restore-shop", State.FRESH, "b.tgz", PROVEN)
    assert row.path == "deployments/restore-shop.yaml"


def test_a_plan_that_the_ledger_never_saw_is_never_and_not_absent() -> None:
    unknown = card(name="restore-new", timetable="t", cadence_json='{"cron": "0 3 * * *"}')
    row = build_deck([unknown], QUIET, NOW).rows[0]
    assert (row.plan, row.state, row.pass_at) == ("restore-new", State.NEVER, None)


def test_a_kind_without_a_plan_is_a_row_and_one_with_a_plan_is_not() -> None:
    bare = build_deck([], QUIET, NOW)
    assert [(row.plan, row.kind, row.state) for row in bare.rows] == [("", kind, State.NEVER) for kind in EXPECTED]
    covered = build_deck([card()], QUIET, NOW)
    assert [row.kind for row in covered.rows if not row.plan] == [kind for kind in EXPECTED if kind != "restore"]


def test_a_quiet_installation_has_no_troubles() -> None:
    assert build_deck([card()], QUIET, NOW).troubles == ()


def test_the_kill_switch_stands_first_and_once() -> None:
    alarms = tuple(
        Alarm("muster", name, "critical", "as the watch says", NOW) for name in ("scheduler down", "stopped")
    )
    stopped = QUIET._replace(alerts=alarms, stop=Halt(NOW - DAY, "ann", "storage migration"))
    first, second = build_deck([card()], stopped, NOW).troubles
    assert (first.condition, first.words) == ("stopped", "the kill switch is on: storage migration (ann)")
    assert second.condition == "scheduler down"


@pytest.mark.parametrize("condition", sorted(OF_PLANS))
def test_an_alarm_that_a_row_tells_is_no_trouble_beside_the_plans(condition: str) -> None:
    alarmed = QUIET._replace(alerts=(Alarm("restore-shop", condition, "warning", "words", NOW),))
    assert build_deck([card()], alarmed, NOW).troubles == ()
    gone = QUIET._replace(alerts=(Alarm("gone", condition, "warning", "words", NOW),))
    assert [t.subject for t in build_deck([card()], gone, NOW).troubles] == ["gone"], "no row tells it"
    left = QUIET._replace(alerts=(Alarm("restore-shop", "left behind", "critical", "words", NOW),))
    assert [t.condition for t in build_deck([card()], left, NOW).troubles] == ["left behind"]


def test_a_silent_watch_is_told_since_it_was_last_heard_of() -> None:
    beat = NOW - SILENT_AFTER - timedelta(seconds=1)
    (silent,) = build_deck([card()], QUIET._replace(beats={"watch": beat}), NOW).troubles
    assert (silent.subject, silent.condition, silent.since) == ("watch", "silent", beat)
    for heard in (NOW - SILENT_AFTER, NOW + AHEAD):
        assert build_deck([card()], QUIET._replace(beats={"watch": heard}), NOW).troubles == ()
    ahead = QUIET._replace(beats={"watch": NOW + AHEAD + timedelta(seconds=1)})
    assert "is a clock wrong?" in build_deck([card()], ahead, NOW).troubles[0].words


def test_a_watch_that_never_went_round_is_told_since_the_first_plan() -> None:
    (silent,) = build_deck([card()], QUIET._replace(beats={}), NOW).troubles
    assert "never went round" in silent.words
    assert silent.since == NOW - 9 * DAY
