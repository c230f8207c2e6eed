"""Gaps: what is missing or contradicted is told; what is healthy, waived or still open is not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from portal_samples import BILLING, DAY, FORTY, NOW, ORDERS, SINCE, past, portal_of, sealed

from muster.cadence.spec import Cadence
from muster.notary.vouched import Anchor, Cosignature
from muster.portal.gaps import Gap, Lack, counted, gaps_of
from muster.portal.model import LogEntry, PortalData, PortalPlan, Slot, Waiting
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


def test_a_slot_is_unsealed_once_it_is_no_longer_open() -> None:
    for is_open, found in ((True, {}), (False, {Gap.UNSEALED: 1})):
        plan = PortalPlan("p", "restore", "", slots=(Slot(NOW - 3 * DAY, is_open),))
        assert kinds(portal_of((), (plan,))) == found


def test_a_run_on_demand_takes_no_slot_though_it_was_opened_when_one_was_due() -> None:
    slot = Slot(NOW - 3 * DAY, is_open=False)
    plan = PortalPlan("p", "restore", "", slots=(slot,))
    asked = sealed(plan, slot.due, "passed", 5.0, scheduledAt=None, openedAt=slot.due.isoformat())
    data = portal_of([sealed(plan, slot.due, "passed", 5.0)], (plan,))
    assert kinds(data) == {}
    entry = {**data.entries[0].entry, "scheduledAt": None, "slot": None}
    by_hand = replace(data, entries=[LogEntry(0, entry)], predicates=dict.fromkeys(data.predicates, asked))
    assert kinds(by_hand) == {Gap.UNSEALED: 1}


def test_a_gap_of_a_plan_that_is_gone_says_so() -> None:
    slots = (Slot(NOW - 30 * DAY, is_open=False),)
    for plan, words in (
        (PortalPlan("p", "restore", "", slots=slots, is_gone=True, retired_at=NOW - 20 * DAY), "retired 2026-07-14"),
        (PortalPlan("p", "restore", "", slots=slots, is_gone=True), "without a file"),
        (PortalPlan("p", "restore", "", slots=slots), ""),
    ):
        (only,) = lacks(portal_of((), (plan,)))
        assert plan.ended == words
        assert (f"(plan {words})" in only.words) == bool(words)


def test_a_waived_slot_is_no_gap_and_a_missed_one_tells_its_sealed_reason() -> None:
    dues = list(past(ORDERS))
    outcomes = {3: "waived", 5: "missed"}
    runs = [sealed(ORDERS, due, outcomes.get(n, "passed"), 400.0) for n, due in enumerate(dues)]
    (only,) = lacks(portal_of(runs, (ORDERS,)))
    assert (only.gap, only.at, only.words) == (Gap.MISSED, dues[5], "no worker took it")


def test_a_plan_is_overdue_once_its_grace_is_over_also_if_it_never_passed() -> None:
    every = {"interval": "7d", "anchor": NOW - 9 * DAY}

    def after(grace: timedelta, *outcomes: str, **changes: Any) -> dict[Gap, int]:
        cadence = Cadence.model_validate({**every, "grace": grace})
        plan = PortalPlan("p", "restore", "", **{"current": cadence, "since": NOW - 10 * DAY} | changes)
        return kinds(portal_of([sealed(plan, NOW - 9 * DAY, outcome) for outcome in outcomes], (plan,)))

    assert after(3 * DAY, "passed") == {}
    assert after(DAY, "passed") == {Gap.OVERDUE: 1}
    assert after(6 * DAY, "failed") == {Gap.OVERDUE: 1}
    assert after(6 * DAY) == {Gap.OVERDUE: 1}
    assert after(DAY, since=NOW - DAY) == {}
    assert after(DAY, since=None) == {}
    assert after(DAY, "passed", current=None) == {}, "a retired plan does not have to pass again"


def test_a_pass_that_is_yet_to_come_overflows_nothing() -> None:
    plan = replace(ORDERS, slots=())
    beyond = sealed(plan, SINCE, "passed", 5.0)
    data = portal_of([beyond], (plan,))
    last = {**data.entries[0].entry, "scheduledAt": "9999-12-31T23:00:00Z"}
    said = {name: {**seal, "scheduledAt": last["scheduledAt"]} for name, seal in data.predicates.items()}
    assert kinds(replace(data, entries=[LogEntry(0, last)], predicates=said)) == {}


def test_a_run_that_waits_in_the_outbox_is_told_once_and_its_slot_not_again() -> None:
    slot = Slot(NOW - 5 * DAY, is_open=False)
    plan = PortalPlan("p", "restore", "", slots=(slot,))
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
