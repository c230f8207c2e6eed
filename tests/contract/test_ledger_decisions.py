"""What people decide and the watch tells: approvals, the kill switch, alerts, beats, by the database's clock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier

import pytest

from muster.errors import Refusal
from muster.ledger import Alert, Ledger, LedgerError, open_ledger
from muster.verdict import Outcome
from tests.contract.ledgers import new_run

# --- approvals ----------------------------------------------------------------------------------------------------


def test_a_decision_is_kept(ledger: Ledger) -> None:
    run, before = ledger.open_run(new_run()).run, ledger.now()
    assert ledger.decision(run) is None
    decision = ledger.record_decision(run, approved=True, by="ann", note="go")
    assert (decision.run, decision.approved, decision.by, decision.note) == (run, True, "ann", "go")
    assert before <= decision.at <= ledger.now()
    assert ledger.decision(run) == decision
    assert ledger.decision("nobody") is None


@pytest.mark.parametrize(("approved", "word"), [(True, "approved"), (False, "rejected")])
def test_the_first_decision_holds(ledger: Ledger, approved: bool, word: str) -> None:
    run = ledger.open_run(new_run()).run
    first = ledger.record_decision(run, approved=approved, by="ann")
    with pytest.raises(Refusal, match=f"already {word} by ann"):
        ledger.record_decision(run, approved=not approved, by="eve")
    assert ledger.decision(run) == first


def test_of_several_who_decide_at_once_one_does(url: str, ledger: Ledger) -> None:
    run = ledger.open_run(new_run()).run

    def decide(name: str) -> bool:
        try:
            with open_ledger(url) as mine:
                mine.record_decision(run, approved=True, by=name)
        except Refusal:
            return False
        return True

    names = [f"approver {number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(decide, names))
    assert won.count(True) == 1
    decision = ledger.decision(run)
    assert decision
    assert decision.by == names[won.index(True)]


def test_a_run_that_is_over_or_unknown_is_not_decided(ledger: Ledger) -> None:
    run = ledger.open_run(new_run()).run
    ledger.close_run(run, Outcome.REFUSED)
    with pytest.raises(Refusal, match="already ended as refused"):
        ledger.record_decision(run, approved=True, by="ann")
    with pytest.raises(LedgerError, match="nobody"):
        ledger.record_decision("nobody", approved=True, by="ann")
    assert ledger.decision(run) is None


# --- the kill switch ----------------------------------------------------------------------------------------------


def test_the_kill_switch_holds_until_it_is_ended(ledger: Ledger) -> None:
    assert ledger.current_stop() is None
    assert ledger.resume_all("ann", "nothing to end") == 0
    before = ledger.now()
    first = ledger.stop_all("eve", "smoke in the hall")
    assert (first.by, first.reason, first.resumed_at, first.resumed_by) == ("eve", "smoke in the hall", None, "")
    assert before <= first.at <= ledger.now()
    assert ledger.current_stop() == first
    second = ledger.stop_all("bob", "me too")
    assert ledger.current_stop() == second
    assert second.id != first.id
    assert ledger.resume_all("ann", "all clear") == 2
    assert ledger.current_stop() is None
    assert ledger.resume_all("ann", "all clear") == 0
    assert ledger.stop_all("eve", "again").id not in (first.id, second.id)


# --- alerts -------------------------------------------------------------------------------------------------------


def test_a_condition_that_goes_on_is_one_alert(ledger: Ledger) -> None:
    before = ledger.now()
    assert ledger.alerts() == ()
    assert ledger.raise_alert("shop", "overdue", "warn", "2 h late") is True
    assert ledger.raise_alert("shop", "overdue", "page", "9 h late") is False
    assert ledger.raise_alert("shop", "failing", "page", "rows: 7 are gone") is True
    overdue, failing = ledger.alerts()
    expected = Alert(subject="shop", condition="overdue", severity="page", words="9 h late", since=overdue.since)
    assert overdue == expected
    assert failing.condition == "failing"
    assert before <= overdue.since <= failing.since <= ledger.now()


def test_an_alert_that_is_over_can_come_back_as_another(ledger: Ledger) -> None:
    assert ledger.resolve_alert("shop", "overdue") is False
    ledger.raise_alert("shop", "overdue", "warn", "late")
    ledger.note_told("shop", "overdue", ["slack"])
    assert ledger.resolve_alert("shop", "overdue") is True
    assert ledger.resolve_alert("shop", "overdue") is False
    assert ledger.alerts() == ()
    assert ledger.raise_alert("shop", "overdue", "warn", "late again") is True
    (new,) = ledger.alerts()
    assert (new.words, new.told) == ("late again", ())
    old, same = ledger.alerts(everything=True)
    assert same == new
    assert (old.words, old.told) == ("late", ("slack",))
    assert old.resolved_at
    assert old.since <= old.resolved_at <= new.since


def test_routes_that_took_a_message_are_added_up(ledger: Ledger) -> None:
    ledger.raise_alert("shop", "overdue", "warn", "late")
    ledger.raise_alert("bank", "overdue", "warn", "late")
    ledger.note_told("shop", "overdue", ["slack", "mail"])
    ledger.note_told("shop", "overdue", ("mail", "pager"))
    ledger.note_told("nobody", "overdue", ["slack"])
    shop, bank = ledger.alerts()
    assert (shop.told, bank.told) == (("slack", "mail", "pager"), ())


def test_of_several_that_raise_one_alert_one_is_first(url: str, ledger: Ledger) -> None:
    together = Barrier(6)

    def raise_it(_number: int) -> list[bool]:
        told = []
        with open_ledger(url) as mine:
            for number in range(5):
                together.wait(60)
                told.append(mine.raise_alert(f"shop {number}", "overdue", "warn", "late"))
        return told

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(raise_it, range(6)))
    assert [answers.count(True) for answers in zip(*told, strict=True)] == [1] * 5
    assert len(ledger.alerts(everything=True)) == 5


# --- beats --------------------------------------------------------------------------------------------------------


def test_the_newest_beat_of_each_part_is_kept(ledger: Ledger) -> None:
    assert ledger.beats() == {}
    before = ledger.now()
    for name in ("watch", "health", "watch"):
        ledger.beat(name)
    beats = ledger.beats()
    assert set(beats) == {"watch", "health"}
    assert before <= beats["health"] <= beats["watch"] <= ledger.now()


# --- the clock ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment_of",
    [
        lambda ledger: ledger.open_run(new_run()).opened_at,
        lambda ledger: ledger.stop_all("eve", "").at,
        lambda ledger: ledger.record_decision(ledger.open_run(new_run()).run, approved=True, by="ann").at,
    ],
    ids=["open_run", "stop_all", "record_decision"],
)
def test_the_databases_clock_rules(
    url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, moment_of: Callable[[Ledger], datetime]
) -> None:
    """This machine's clock is set wrong; on SQLite it is the only one there is."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.fromisoformat("1999-01-01T00:00:00+00:00")

    monkeypatch.setattr("muster.ledger.database.datetime", Wrong)
    assert (moment_of(ledger).year == 1999) is url.startswith("sqlite")
