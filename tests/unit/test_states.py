"""The states of a plan: a table of events, their precedence, and that time alone only moves fresh to due to overdue."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from muster.cadence.dues import dues_after
from muster.cadence.spec import Cadence
from muster.cadence.states import State, condition_of
from muster.cards import card_of
from muster.clock import AHEAD
from muster.ledger.standing import Standing
from muster.plan import Plan

PLAN = Plan.model_validate(
    {
        "name": "orders",
        "kind": "restore",
        "environment": "demo",
        "owner": "dba",
        "target": {"type": "embedded"},
        "cadence": {"cron": "0 3 * * *", "grace": "6h"},
        "restore": {},
    }
)
CARD = card_of(PLAN)
SLOT = datetime(2026, 3, 1, 3, tzinfo=UTC)  # the slot that passed
DUE, OVERDUE = SLOT + timedelta(days=1), SLOT + timedelta(days=1, hours=6)
SECOND = timedelta(seconds=1)


def _after(event, standing):
    """The standing after an event, as the ledger keeps it."""
    return standing._replace(**EVENTS[event])


_RUN = {"last_run": "run-2", "last_at": SLOT + timedelta(hours=1)}


def _judged(outcome):
    return {**_RUN, "last_outcome": outcome, "judged_run": "run-2", "judged_outcome": outcome, "judged_headline": "why"}


EVENTS = {
    "seen": {"since": SLOT},
    "pass": {
        "last_run": "run-1", "last_at": SLOT, "last_outcome": "passed", "judged_run": "run-1",
        "judged_outcome": "passed", "pass_run": "run-1", "pass_at": SLOT, "pass_substance": CARD.substance,
        "pass_target": "t1", "seen_target": "t1",
    },
    "pass again": {
        **_judged("passed"), "pass_run": "run-2", "pass_at": SLOT, "pass_substance": CARD.substance,
        "pass_target": "t2", "seen_target": "t2",
    },
    "fail": _judged("failed"),
    "inconclusive": _judged("inconclusive"),
    "abort": _judged("aborted"),
    "refuse": {**_RUN, "last_outcome": "refused"},
    "miss": {**_RUN, "last_outcome": "missed"},
    "waive": {**_RUN, "last_outcome": "waived"},
    "open": {"open_run": "run-3"},
    "target edit": {"seen_target": "t2"},
    "target unseen": {"seen_target": None},
    "plan edit": {"pass_substance": "of another plan"},
}  # fmt: skip

FRESH, LATE, VERY_LATE = SLOT + SECOND, DUE, OVERDUE + SECOND


@pytest.mark.parametrize(
    ("events", "now", "state", "why"),
    [
        ("", FRESH, State.NEVER, "never run"),
        ("seen", FRESH, State.NEVER, "never run"),
        ("seen", VERY_LATE, State.NEVER, "never run, and its first slot is over"),
        ("seen, open", FRESH, State.NEVER, "never run"),
        ("seen, miss", VERY_LATE, State.NEVER, "never passed; its last slot was missed"),
        ("seen, refuse", FRESH, State.NEVER, "never passed; its last slot was refused"),
        ("seen, fail", FRESH, State.NEVER, "never passed; failed: why"),
        ("seen, pass", FRESH, State.FRESH, "passed in time"),
        ("seen, pass", DUE - SECOND, State.FRESH, "passed in time"),
        ("seen, pass", DUE, State.DUE, "its slot is due"),
        ("seen, pass", OVERDUE, State.DUE, "its slot is due"),
        ("seen, pass", VERY_LATE, State.OVERDUE, "no run since its slot was due"),
        ("seen, pass, open", VERY_LATE, State.OVERDUE, "no run since its slot was due"),
        ("seen, pass, miss", VERY_LATE, State.OVERDUE, "its slot was missed"),
        ("seen, pass, waive", VERY_LATE, State.OVERDUE, "its slot was waived"),
        ("seen, pass, refuse", VERY_LATE, State.OVERDUE, "its slot was refused"),
        # What says nothing of the system does not make it failing.
        ("seen, pass, refuse", FRESH, State.FRESH, "passed in time"),
        ("seen, pass, miss", LATE, State.DUE, "its slot is due"),
        ("seen, pass, fail", FRESH, State.FAILING, "failed: why"),
        ("seen, pass, inconclusive", FRESH, State.FAILING, "inconclusive: why"),
        ("seen, pass, abort", FRESH, State.FAILING, "aborted: why"),
        ("seen, pass, fail, miss", VERY_LATE, State.FAILING, "failed: why"),
        ("seen, pass, fail, pass again", FRESH, State.FRESH, "passed in time"),
        ("seen, pass, plan edit", FRESH, State.CHANGED, "the plan was changed since it last passed"),
        ("seen, pass, target edit", FRESH, State.CHANGED, "the target is not what it was when it last passed"),
        ("seen, pass, target unseen", FRESH, State.FRESH, "passed in time"),
        ("seen, pass, plan edit, pass again", FRESH, State.FRESH, "passed in time"),
        ("seen, pass, target edit, pass again", FRESH, State.FRESH, "passed in time"),
        # Precedence: never, failing, changed, overdue, due, fresh.
        ("seen, plan edit, fail", VERY_LATE, State.NEVER, "never passed; failed: why"),
        ("seen, pass, plan edit, target edit, fail", VERY_LATE, State.FAILING, "failed: why"),
        ("seen, pass, plan edit, target edit", VERY_LATE, State.CHANGED, "the plan was changed since it last passed"),
        ("seen, pass, target edit", VERY_LATE, State.CHANGED, "the target is not what it was when it last passed"),
    ],
)
def test_events_make_states(events, now, state, why):
    standing = Standing("orders")
    for event in filter(None, events.split(", ")):
        standing = _after(event, standing)
    condition = condition_of(CARD, standing, now)
    assert (condition.state, condition.why) == (state, why)
    assert condition.due_at < condition.overdue_at


def test_a_plan_that_the_ledger_never_saw_is_never():
    condition = condition_of(CARD, None, FRESH)
    assert (condition.state, condition.why) == (State.NEVER, "never run")
    assert (condition.due_at, condition.overdue_at) == (DUE, OVERDUE)


PASSED = _after("pass", Standing("orders", since=SLOT))


def test_an_edited_plan_is_changed_and_an_edit_without_substance_is_not():
    raw = PLAN.model_dump(mode="json")
    assert condition_of(card_of(Plan.model_validate(raw)), PASSED, FRESH).state is State.FRESH
    for edit in ({"objectives": {"rto": "1m"}}, {"target": {"type": "embedded", "port": 1}}, {"environment": "test"}):
        assert condition_of(card_of(Plan.model_validate({**raw, **edit})), PASSED, FRESH).state is State.CHANGED
    for edit in ({"owner": "me"}, {"description": "x"}, {"controls": ["SOC 2 A1.3"]}, {"cadence": {"interval": "30d"}}):
        assert condition_of(card_of(Plan.model_validate({**raw, **edit})), PASSED, FRESH).state is State.FRESH


def test_due_times_of_another_timetable_are_stale():
    stale = PASSED._replace(timetable="of another cadence", due_at=SLOT, overdue_at=SLOT)
    assert condition_of(CARD, stale, FRESH).due_at == DUE
    kept = stale._replace(timetable=CARD.timetable, due_at=LATE, overdue_at=VERY_LATE)
    assert condition_of(CARD, kept, FRESH)[2:] == (LATE, VERY_LATE)
    weekly = card_of(PLAN.model_copy(update={"cadence": Cadence(cron="0 3 * * 0")}))
    assert condition_of(weekly, kept, FRESH).due_at == SLOT + timedelta(days=7)


@pytest.mark.parametrize("step", [timedelta(days=-4000), timedelta(hours=-1), timedelta(hours=1), timedelta(days=4000)])
def test_a_clock_that_steps_leaves_no_trace(step):
    before = condition_of(CARD, PASSED, LATE)
    assert condition_of(CARD, PASSED, LATE + step).state in (State.FRESH, State.DUE, State.OVERDUE)
    assert condition_of(CARD, PASSED, LATE) == before


def test_a_pass_of_a_time_to_come_is_no_pass_in_time():
    """A clock was a year ahead, or was set back: who trusts that pass sees a fresh plan for a year."""
    now = PASSED.pass_at - AHEAD
    assert condition_of(CARD, PASSED, now).state is State.FRESH
    found = condition_of(CARD, PASSED, now - timedelta(seconds=1))
    assert (found.state, "is a clock wrong?" in found.why) == (State.OVERDUE, True)
    graver = PASSED._replace(judged_run="r9", judged_outcome="failed")
    assert condition_of(CARD, graver, now - timedelta(days=1)).state is State.FAILING


_moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))
_outcomes = st.sampled_from(["passed", "failed", "inconclusive", "aborted", "refused", "missed", "waived"])
_runs, _targets = st.sampled_from(["r1", "r2"]), st.sampled_from(["t1", "t2"])
_standings = st.builds(
    lambda **known: Standing("orders", **known),
    since=st.none() | _moments,
    timetable=st.sampled_from([CARD.timetable, ""]),
    open_run=st.none() | _runs,
    last_run=st.none() | _runs,
    last_outcome=st.none() | _outcomes,
    judged_run=st.none() | _runs,
    judged_outcome=st.none() | _outcomes,
    pass_run=st.none() | _runs,
    pass_at=st.none() | _moments,
    pass_substance=st.sampled_from([CARD.substance, "other"]),
    pass_target=st.none() | _targets,
    seen_target=st.none() | _targets,
)
_ORDER = [State.FRESH, State.DUE, State.OVERDUE]


@given(_standings, _moments, st.lists(st.timedeltas(timedelta(0), timedelta(days=60)), max_size=6), st.booleans())
def test_time_alone_only_moves_fresh_to_due_to_overdue(standing, now, steps, is_kept):
    """For any standing, even one that no ledger would write: one state, no exception, and the graver ones stay."""
    assume(standing.pass_at is None or standing.pass_at <= now)
    if is_kept and (after := standing.pass_at or standing.since):
        due_at, overdue_at = dues_after(PLAN.cadence, after)
        standing = standing._replace(due_at=due_at, overdue_at=overdue_at)
    states = []
    for step in [timedelta(0), *steps]:
        now += step
        condition = condition_of(CARD, standing, now)
        assert isinstance(condition.state, State)
        assert condition.why
        states.append(condition.state)
    if set(states) <= set(_ORDER):
        assert [_ORDER.index(state) for state in states] == sorted(_ORDER.index(state) for state in states)
    else:
        assert len(set(states)) == 1
