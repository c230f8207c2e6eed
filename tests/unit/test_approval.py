"""Approval: only someone else, only those who may, only in time; and a wait ends for every other reason as well."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from muster import approval, conduct
from muster.approval import check_approver
from muster.cli.approve import approve
from muster.errors import Refusal, UsageError
from muster.journal import EventKind, History, Journal
from muster.judging import judge
from muster.ledger import Ledger, Trigger, open_ledger
from muster.ledger.rows import Decision
from muster.opening import Request
from muster.plan import Plan
from muster.settings import Settings
from muster.summary import Summary
from muster.verdict import Outcome, Verdict
from tests.unit.paper import PLAN, assert_one_good_end, paper_conductor, paper_drill
from tests.unit.test_restore_checks import Clock, Memory
from tests.unit.test_stopping import QUICK, until


def plan(**keys: object) -> Plan:
    return Plan.model_validate(PLAN.model_dump(mode="json") | {"approval": {"by": ["Bob", "Cleo"]} | keys})


@pytest.fixture
def ledger(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setattr(approval, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(conduct, "KillSwitch", QUICK)
    with open_ledger(settings.ledger_url) as opened:
        yield opened


def conducted(
    settings: Settings, ledger: Ledger, act: Callable[[str], object], which: Plan | None = None, starter: str = "ann"
) -> Summary:
    """The drill in a thread of its own, and what is done once it waits."""
    ended: list[Summary] = []
    thread = threading.Thread(
        target=lambda: ended.append(
            paper_conductor(settings, ledger).conduct(which or plan(), Request("a test", requested_by=starter))
        )
    )
    thread.start()
    until(lambda: any(approval.waits(History(ledger.read_events(r.run))) for r in ledger.runs()))
    act(ledger.runs()[0].run)
    thread.join(30)
    return ended[0]


@pytest.mark.parametrize(
    ("by", "requested_by", "error"),
    [
        ("Bob", "ann", None),
        (" bob ", "ann", None),
        ("cleo", "", None),
        ("Bob", "bob", Refusal),
        ("Bob", " BOB", Refusal),
        ("ann", "ann", Refusal),
        ("dora", "ann", Refusal),
        ("", "ann", UsageError),
        ("  ", "", UsageError),
    ],
)
def test_who_may_approve(by: str, requested_by: str, error: type[Exception] | None) -> None:
    if error is None:
        check_approver(plan(), requested_by, by)
    else:
        with pytest.raises(error):
            check_approver(plan(), requested_by, by)


def test_with_no_names_anyone_but_the_starter_may() -> None:
    check_approver(plan(by=[]), "ann", "dora")
    with pytest.raises(Refusal):
        check_approver(plan(by=[]), "ann", "Ann")


def test_an_approved_drill_runs_and_says_who_let_it(settings: Settings, ledger: Ledger) -> None:
    def yes(run: str) -> None:
        assert approve(settings, run, deny=False, note="go", who="Bob", as_json=False) == 0

    summary = conducted(settings, ledger, yes)
    assert summary.outcome is Outcome.PASSED
    assert summary.approval.startswith("approved by Bob at ")
    finding = next(f for f in summary.findings if f.check == "approval")
    assert finding.verdict is Verdict.PASS
    assert "asked for by ann" in finding.seen
    assert_one_good_end(settings, ledger, Outcome.PASSED)


def test_a_denied_drill_is_refused_with_the_note(settings: Settings, ledger: Ledger) -> None:
    def no(_run: str) -> None:
        approve(settings, PLAN.name, deny=True, note="not on pay day", who="cleo", as_json=False)

    summary = conducted(settings, ledger, no)
    assert summary.outcome is Outcome.REFUSED
    assert "denied by cleo: not on pay day" in summary.headline
    assert_one_good_end(settings, ledger, Outcome.REFUSED)


@pytest.mark.parametrize("by", ["ANN", "dora"])
def test_the_command_line_refuses_the_starter_and_strangers_and_the_run_waits_on(
    settings: Settings, ledger: Ledger, by: str
) -> None:
    def first_wrong(run: str) -> None:
        with pytest.raises(Refusal):
            approve(settings, run, deny=False, note="", who=by, as_json=False)
        assert ledger.decision(run) is None
        approve(settings, run, deny=False, note="", who="bob", as_json=False)

    assert conducted(settings, ledger, first_wrong).outcome is Outcome.PASSED


def test_a_decision_that_came_another_way_is_checked_again(settings: Settings, ledger: Ledger) -> None:
    summary = conducted(settings, ledger, lambda run: ledger.record_decision(run, approved=True, by="ann"))
    assert summary.outcome is Outcome.REFUSED
    assert "cannot approve it" in summary.headline


def test_silence_is_a_refusal(settings: Settings, ledger: Ledger) -> None:
    summary = paper_conductor(settings, ledger).conduct(plan(within="0.2s"), Request("a test", requested_by="ann"))
    assert summary.outcome is Outcome.REFUSED
    assert "nobody approved it within 0.20 s" in summary.headline
    assert_one_good_end(settings, ledger, Outcome.REFUSED)


def test_the_kill_switch_ends_the_wait(settings: Settings, ledger: Ledger) -> None:
    summary = conducted(settings, ledger, lambda _run: ledger.stop_all("eve", "fire"))
    assert summary.outcome is Outcome.ABORTED
    assert "fire" in summary.headline
    assert_one_good_end(settings, ledger, Outcome.ABORTED)


def test_an_interrupt_ends_the_wait(settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(approval.time, "sleep", interrupted)
    summary = paper_conductor(settings, ledger).conduct(plan(), Request("a test", requested_by="ann"))
    monkeypatch.undo()
    assert summary.outcome is Outcome.ABORTED
    assert_one_good_end(settings, ledger, Outcome.ABORTED)


def said(run: str, ledger: Ledger, by: str = "bob") -> Decision:
    return Decision(run=run, approved=True, by=by, at=ledger.now())


def test_the_wait_does_not_count_towards_the_time_limit(settings: Settings, ledger: Ledger) -> None:
    hasty = plan().model_copy(update={"time_limit": timedelta(seconds=4)})

    def slow(run: str, _plan: Plan) -> Decision:
        time.sleep(4.5)  # longer than the time limit
        return said(run, ledger)

    request = Request("a test", requested_by="ann")
    summary = paper_conductor(settings, ledger).conduct(hasty, request, await_approval=slow)
    assert summary.outcome is Outcome.PASSED


def test_what_held_before_the_wait_has_to_hold_after_it(settings: Settings, ledger: Ledger) -> None:
    def stopped_meanwhile(run: str, _plan: Plan) -> Decision:
        ledger.stop_all("eve", "fire")
        return said(run, ledger)

    request = Request("a test", requested_by="ann")
    summary = paper_conductor(settings, ledger).conduct(plan(), request, await_approval=stopped_meanwhile)
    assert summary.outcome is Outcome.REFUSED
    assert "fire" in summary.headline


def test_a_run_that_nobody_in_particular_asked_for_is_not_put_up_for_approval(
    settings: Settings, ledger: Ledger
) -> None:
    request = Request("a test", Trigger.RUN_BUTTON)
    summary = paper_conductor(settings, ledger).conduct(
        plan(), request, await_approval=lambda run, _: said(run, ledger)
    )
    assert summary.outcome is Outcome.REFUSED
    assert "not known who asked" in summary.headline
    by_schedule = Request("a test", Trigger.SCHEDULE)
    assert (
        paper_conductor(settings, ledger)
        .conduct(plan(), by_schedule, await_approval=lambda run, _: said(run, ledger))
        .outcome
        is Outcome.PASSED
    )


def test_a_run_that_does_not_wait_cannot_be_approved(settings: Settings, ledger: Ledger) -> None:
    summary = paper_conductor(settings, ledger).conduct(PLAN, Request("a test"))
    for name, words in (
        (summary.run, "has ended as passed"),
        (PLAN.name, "no run of plan"),
        ("no-such-plan", "no run and no plan"),
    ):
        with pytest.raises(Refusal, match=words):
            approve(settings, name, deny=False, note="", who="bob", as_json=False)


@pytest.mark.parametrize(
    ("by", "verdict"),
    [("bob", Verdict.PASS), ("ann", Verdict.FAIL), ("dora", Verdict.FAIL), (None, Verdict.INCONCLUSIVE)],
)
def test_the_check_reads_the_journal_alone(by: str | None, verdict: Verdict) -> None:
    """It must see what a defect in the waiting would let through."""
    journal = Journal("run", Memory(), Clock())
    journal.append(EventKind.OPENED, requested_by="ann", trigger="command line", steps=[])
    journal.append(EventKind.NOTED, approval_asked={"by": ["Bob"]})
    if by:
        journal.append(EventKind.NOTED, approved={"by": by, "note": "", "at": "2026-01-01T00:00:00+00:00"})
    found = {f["check"]: f["verdict"] for f in judge(paper_drill(), plan(), journal.history)["findings"]}
    assert found["approval"] == verdict
    assert "approval" not in {f["check"] for f in judge(paper_drill(), PLAN, journal.history)["findings"]}
