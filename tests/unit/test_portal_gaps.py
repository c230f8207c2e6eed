"""Gaps: what is missing or contradicted is told; what is healthy, waived or still open is not."""

from dataclasses import replace
from datetime import timedelta

from portal_samples import BILLING, DAY, FORTY, NOW, ORDERS, SINCE, past, portal_of, sealed

from muster.portal.gaps import Gap, Lack, counted, gaps_of
from muster.portal.model import Anchor, Cosignature, LogEntry, PortalData, PortalPlan, Slot, Waiting
from muster.portal.reading import runs_of


def lacks(data: PortalData) -> tuple[Lack, ...]:
    return gaps_of(data, runs_of(data))


def healthy(plan: PortalPlan = ORDERS) -> PortalData:
    return portal_of([sealed(plan, due, "passed", 400.0) for due in past(plan)], (plan,))


def kinds(data: PortalData) -> dict[Gap, int]:
    return dict(counted(lacks(data)))


def test_a_healthy_estate_has_none() -> None:
    assert lacks(healthy()) == ()
    assert lacks(healthy(BILLING)) == ()


def test_every_kind_of_the_sample_is_found_the_gravest_first_then_the_newest() -> None:
    found = lacks(FORTY)
    assert [lack.gap for lack in found] == [Gap.UNSEALED, Gap.UNSEALED, Gap.UNSEALED, Gap.OVERDUE, Gap.MISSED]
    assert [lack.plan for lack in found[:3]] == ["stress-nightly-job", "restore-billing", "restore-billing"]
    assert found[1].at == SINCE + timedelta(days=21 * 8)
    assert found[4].entry == 19


def test_a_slot_is_unsealed_a_day_after_its_time_is_over_and_open_until_then() -> None:
    slot = Slot(NOW - 3 * DAY, NOW - DAY)
    plan = PortalPlan("p", "restore", "", slots=(slot,), grace=10 * DAY)
    assert kinds(portal_of((), (plan,))) == {}
    assert kinds(portal_of((), (plan,), at=NOW + timedelta(minutes=1))) == {Gap.UNSEALED: 1}


def test_a_waived_slot_is_no_gap_and_a_missed_one_tells_its_sealed_reason() -> None:
    dues = list(past(ORDERS))
    outcomes = {3: "waived", 5: "missed"}
    runs = [sealed(ORDERS, due, outcomes.get(n, "passed"), 400.0) for n, due in enumerate(dues)]
    (only,) = lacks(portal_of(runs, (ORDERS,)))
    assert (only.gap, only.at, only.words) == (Gap.MISSED, dues[5], "no worker took it")


def test_a_plan_is_overdue_once_its_grace_is_over_also_if_it_never_passed() -> None:
    def after(grace: timedelta, *outcomes: str) -> dict[Gap, int]:
        slots = (Slot(NOW - 9 * DAY, NOW), Slot(NOW - 2 * DAY, NOW + 5 * DAY))
        plan = PortalPlan("p", "restore", "", slots=slots, grace=grace)
        return kinds(portal_of([sealed(plan, slots[0].due, outcome) for outcome in outcomes], (plan,)))

    assert after(3 * DAY, "passed") == {}
    assert after(DAY, "passed") == {Gap.OVERDUE: 1}
    assert after(8 * DAY, "failed") == {Gap.OVERDUE: 1}
    assert after(10 * DAY) == {}


def test_a_run_that_waits_in_the_outbox_is_told_once_and_its_slot_not_again() -> None:
    slot = Slot(NOW - 5 * DAY, NOW - 4 * DAY)
    plan = PortalPlan("p", "restore", "", slots=(slot,), grace=10 * DAY)
    waiting = (Waiting("p", "run-1", slot.due, "the store is away"),)
    (only,) = lacks(portal_of((), (plan,), waiting=waiting))
    assert (only.gap, only.run) == (Gap.UNSEALED, "run-1")
    assert "the store is away" in only.words


def test_a_seal_that_was_not_read_and_one_that_says_otherwise() -> None:
    data = healthy()
    key = f"restore-orders/{runs_of(data)[2].run}.tar.gz"
    unread = {name: seal for name, seal in data.predicates.items() if name != key}
    assert kinds(replace(data, predicates=unread)) == {Gap.UNREAD: 1}
    for change in ({"outcome": "failed"}, {"plan": "other"}, {"scheduledAt": NOW.isoformat()}, {"run": "another"}):
        changed = {**data.predicates, key: {**data.predicates[key], **change}}
        assert kinds(replace(data, predicates=changed)) == {Gap.CONTRADICTED: 1}, change


def test_a_receipt_that_says_otherwise() -> None:
    data = healthy()
    key = f"restore-orders/{runs_of(data)[0].run}.tar.gz"
    for change in ({"sha256": "0" * 64}, {"size": 1}, {"deleteMarkers": 1}, {"versions": 2}):
        changed = {**data.receipts, key: {**data.receipts[key], **change}}
        assert kinds(replace(data, receipts=changed)) == {Gap.CONTRADICTED: 1}, change


def test_a_log_that_is_shorter_than_who_vouched_for_it() -> None:
    data = healthy()
    cut = replace(data, entries=data.entries[:-1])
    assert kinds(cut)[Gap.CONTRADICTED] == 1
    beyond = (Anchor(data.size + 1, "freetsa", NOW), Anchor(3, "freetsa", NOW))
    assert [lack.words for lack in lacks(replace(data, anchors=beyond))] == [
        f"a time-stamp by freetsa is for {data.size + 1} entries, the newest head has {data.size}: the log was cut"
    ]
    assert kinds(replace(data, cosignatures=(Cosignature(data.size + 1, "w"),))) == {Gap.CONTRADICTED: 1}
    assert kinds(replace(data, cosignatures=(Cosignature(data.size, "w"),))) == {}
    twice = [*data.entries[:-1], LogEntry(0, data.entries[0].entry)]
    assert kinds(replace(data, entries=twice))[Gap.CONTRADICTED] == 1


def test_a_run_that_was_logged_late() -> None:
    on_time, late = (
        sealed(ORDERS, SINCE, "passed", 5.0, endedAt=(SINCE + gap).isoformat()) for gap in (DAY, timedelta(hours=1))
    )
    data = portal_of([on_time])
    assert kinds(data) == {}
    assert kinds(replace(data, predicates={key: late for key in data.predicates})) == {}
    logged = {**data.entries[0].entry, "loggedAt": (SINCE + timedelta(hours=26)).isoformat()}
    assert kinds(replace(data, entries=[LogEntry(0, logged)], predicates={key: late for key in data.predicates})) == {
        Gap.LATE: 1
    }
