"""Accounting on a real ledger: enrolled, changed, removed; records that survive a death; two watchers; one bad plan."""

import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from evidence.verify import verify
from muster import conduct
from muster.cli.account import account
from muster.conduct import Conductor
from muster.errors import StepError, UsageError
from muster.journal import EventKind, History, RunState
from muster.ledger import Ledger, Trigger, open_ledger
from muster.ledger.errors import SlotTaken
from muster.opening import Request
from muster.plan import Plan
from muster.report.html import render_html
from muster.report.markdown import render_markdown
from muster.report.terminal import render_terminal
from muster.settings import Settings
from muster.slots import Accounted, account_slots
from muster.verdict import Outcome, Verdict
from tests.unit.paper import PLAN, Died, Mortal, bundles_of, paper_conductor

HOUR = timedelta(hours=1)
HOURLY = {"cron": "0 * * * *", "grace": "30m"}


def plan(name: str = "paper-drill", **cadence: object) -> Plan:
    raw = PLAN.model_dump(mode="json", include={"kind", "environment", "owner", "target", "restore"})
    return Plan.model_validate({"name": name, **raw, "cadence": HOURLY | cadence})


def write(settings: Settings, *plans: Plan) -> None:
    settings.plans.mkdir(parents=True, exist_ok=True)
    for old in settings.plans.glob("*.yaml"):
        old.unlink()
    for found in plans:
        (settings.plans / f"{found.name}.yaml").write_text(
            yaml.safe_dump(found.model_dump(mode="json", exclude_none=True))
        )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", store=str(tmp_path / "store"), plans=tmp_path / "plans")


@pytest.fixture
def start(ledger: Ledger) -> datetime:
    """A few minutes after some full hour to come: what the ledger enrols by its own clock lies before."""
    return ledger.now().replace(minute=5, second=0, microsecond=0) + HOUR


def outcomes(ledger: Ledger, name: str = "paper-drill") -> dict[datetime, Outcome | None]:
    runs = ledger.runs(name)
    assert len({run.slot for run in runs}) == len(runs)
    return {run.scheduled_at: run.outcome for run in sorted(runs, key=lambda run: run.scheduled_at)}


def slot(start: datetime, hours: int) -> datetime:
    return start.replace(minute=0) + hours * HOUR


class Later:
    """A ledger whose clock has come to a moment."""

    def __init__(self, ledger: Ledger, moment: datetime) -> None:
        self._ledger, self._moment = ledger, moment

    def now(self) -> datetime:
        return self._moment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


def serve(settings: Settings, ledger: Ledger, served: Plan, due: datetime) -> None:
    """Run the plan on a slot, when it is due."""
    conductor = paper_conductor(settings, Later(ledger, due))
    assert conductor.conduct(served, Request("due", Trigger.SCHEDULE, due)).outcome is Outcome.PASSED


def test_a_plan_is_owed_slots_since_it_was_enrolled_and_each_gets_its_record(
    settings: Settings, ledger: Ledger, start: datetime
) -> None:
    conductor = paper_conductor(settings, ledger)
    assert account_slots(conductor, [plan()], now=start).enrolled == ("paper-drill",)
    assert account_slots(conductor, [plan()], now=start) == Accounted()
    assert ledger.runs() == ()
    serve(settings, ledger, plan(), slot(start, 2))
    done = account_slots(conductor, [plan()], now=start + 3 * HOUR + HOUR / 2)
    assert outcomes(ledger) == {slot(start, 1): Outcome.MISSED, slot(start, 2): Outcome.PASSED}
    assert done.missed == tuple(run.run for run in ledger.runs() if run.outcome is Outcome.MISSED)
    assert done.startable == (("paper-drill", slot(start, 3)),)
    assert len(bundles_of(settings)) == 2
    assert account_slots(conductor, [plan()], now=start + 3 * HOUR).missed == ()


def test_a_record_is_judged_sealed_and_told_like_any_other(settings: Settings, ledger: Ledger, start: datetime) -> None:
    def no_drill(_kind: str) -> Any:
        raise AssertionError("a slot that was not run needs no drill")

    base = paper_conductor(settings, ledger)
    conductor = Conductor(settings, ledger, base.clock, no_drill, no_drill, base.open_store)
    summary = conductor.record_unrun(plan(), slot(start, 1), Outcome.MISSED, "no worker was up")
    assert summary is not None
    assert (summary.outcome, summary.verdict) == (Outcome.MISSED, Verdict.FAIL)
    (finding,) = summary.findings
    assert (finding.check, finding.seen) == ("slot", "no worker was up")
    assert "muster run paper-drill" in finding.advice
    (bundle,) = bundles_of(settings)
    report = verify(bundle, settings.public_key_file)
    assert report.verdict == "pass"
    assert report.predicate is not None
    assert report.predicate["outcome"] == "missed"
    assert report.predicate["scheduledAt"] == slot(start, 1).isoformat()
    console = Console(width=100, record=True)
    render_terminal(summary, console, bundle="b", verify="v")
    for text in (render_html(summary), render_markdown(summary), console.export_text()):
        assert "no worker was up" in text
        assert "never started" in text
        assert f"{slot(start, 1):%Y-%m-%d %H:%M}" in text
    waived = conductor.record_unrun(plan(), slot(start, 2), Outcome.WAIVED, "blackout: the audit is here")
    assert waived is not None
    assert (waived.outcome, waived.verdict) == (Outcome.WAIVED, Verdict.INCONCLUSIVE)
    assert conductor.record_unrun(plan(), slot(start, 2), Outcome.MISSED, "again") is None


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("at", range(4), ids=["opened", "judged", "sealed", "sent"])
def test_a_death_while_a_slot_is_recorded_is_finished_by_the_next_watcher(
    settings: Settings, ledger: Ledger, start: datetime, monkeypatch: pytest.MonkeyPatch, at: int, before: bool
) -> None:
    write(settings, plan())
    account_slots(paper_conductor(settings, ledger), [plan()], now=start)
    with pytest.raises(Died):
        account_slots(paper_conductor(settings, Mortal(ledger, at, before=before)), [plan()], now=start + 2 * HOUR)
    monkeypatch.setattr(conduct, "is_dead", lambda owner: True)
    conductor = paper_conductor(settings, ledger)
    conductor.finish_dead_runs()
    account_slots(conductor, [plan()], now=start + 2 * HOUR)
    assert outcomes(ledger) == {slot(start, 1): Outcome.MISSED}
    history = History(ledger.read_events(ledger.runs()[0].run))
    assert history.run_state() is RunState.SENT
    assert len(bundles_of(settings)) == 1
    assert ledger.runs()[0].trigger is Trigger.WATCH


def test_a_run_that_died_before_its_first_event_is_sealed_as_aborted_when_its_plan_is_known(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(settings, PLAN)
    with pytest.raises(Died):
        paper_conductor(settings, Mortal(ledger, 0, before=True)).conduct(PLAN, Request("a test", requested_by="ann"))
    monkeypatch.setattr(conduct, "is_dead", lambda owner: True)
    paper_conductor(settings, ledger).finish_dead_runs()
    (run,) = ledger.runs()
    history = History(ledger.read_events(run.run))
    assert (run.outcome, history.run_state()) == (Outcome.ABORTED, RunState.SENT)
    assert history[0].body["requested_by"] == "ann"


def test_two_watchers_at_once_record_each_slot_once(settings: Settings, ledger: Ledger, start: datetime) -> None:
    account_slots(paper_conductor(settings, ledger), [plan()], now=start)
    gate, rounds = threading.Barrier(2), []

    def watch() -> None:
        with open_ledger(settings.ledger_url) as own:
            gate.wait(10)
            rounds.append(account_slots(paper_conductor(settings, own), [plan()], now=start + 6 * HOUR))

    threads = [threading.Thread(target=watch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [done.problems for done in rounds] == [(), ()]
    assert sorted(run for done in rounds for run in done.missed) == sorted(run.run for run in ledger.runs())
    assert outcomes(ledger) == {slot(start, hours): Outcome.MISSED for hours in range(1, 6)}
    assert len(bundles_of(settings)) == 5


def test_a_new_cadence_is_not_held_against_the_time_of_the_old_one(
    settings: Settings, ledger: Ledger, start: datetime
) -> None:
    conductor, often = paper_conductor(settings, ledger), plan(cron="*/10 * * * *", grace="5m")
    account_slots(conductor, [plan()], now=start)
    changed = account_slots(conductor, [often], now=start + 2 * HOUR + HOUR / 4)
    assert changed.enrolled == ("paper-drill",)
    assert outcomes(ledger) == {slot(start, 1): Outcome.MISSED, slot(start, 2): Outcome.WAIVED}
    waived = next(run for run in ledger.runs() if run.outcome is Outcome.WAIVED)
    assert "cadence was changed" in waived.headline
    account_slots(conductor, [often], now=start + 2 * HOUR + timedelta(minutes=36))
    newer = [at for at in outcomes(ledger) if at > slot(start, 2)]
    assert newer == [slot(start, 2) + timedelta(minutes=30)]  # changed at :20; that of :40 is still open


def test_a_pass_does_not_change_the_cadence_that_slots_are_accounted_for_by(
    settings: Settings, ledger: Ledger, start: datetime
) -> None:
    conductor = paper_conductor(settings, ledger)
    account_slots(conductor, [plan()], now=start)
    serve(settings, ledger, plan(cron="*/10 * * * *", grace="5m"), start)
    standing = ledger.standing("paper-drill")
    assert standing is not None
    assert standing.timetable == plan().cadence.timetable
    assert standing.due_at == slot(start, 1)


def test_a_new_cadence_makes_nothing_fresh(settings: Settings, ledger: Ledger, start: datetime) -> None:
    conductor, other = paper_conductor(settings, ledger), plan(cron="30 * * * *")
    account_slots(conductor, [plan()], now=start)
    serve(settings, ledger, plan(), slot(start, 1))
    account_slots(conductor, [other], now=start + 4 * HOUR)
    standing = ledger.standing("paper-drill")
    assert standing is not None
    assert standing.timetable == other.cadence.timetable
    assert standing.due_at == slot(start, 1) + HOUR / 2  # since the pass; not since the change


def test_a_plan_that_is_removed_is_accounted_for_up_to_then_and_counts_anew_when_it_is_back(
    settings: Settings, ledger: Ledger, start: datetime
) -> None:
    conductor = paper_conductor(settings, ledger)
    account_slots(conductor, [plan()], now=start)
    serve(settings, ledger, plan(), slot(start, 1))
    assert account_slots(conductor, [], read_all=False, now=start + 2 * HOUR) == Accounted()
    gone = account_slots(conductor, [], now=start + 3 * HOUR)
    assert gone.retired == ("paper-drill",)
    known = {slot(start, 1): Outcome.PASSED, slot(start, 2): Outcome.MISSED, slot(start, 3): Outcome.WAIVED}
    assert outcomes(ledger) == known
    assert account_slots(conductor, [], now=start + 5 * HOUR) == Accounted()
    assert account_slots(conductor, [plan()], now=start + 6 * HOUR).enrolled == ("paper-drill",)
    account_slots(conductor, [plan()], now=start + 8 * HOUR)
    assert outcomes(ledger) == known | {slot(start, 7): Outcome.MISSED}


def test_accounting_from_another_folder_retires_nothing(settings: Settings, ledger: Ledger) -> None:
    """The plans folder is a relative path by default: where it is not there, no plan is gone."""
    write(settings, plan())
    assert account(settings, start=False, as_json=True) == 0
    with pytest.raises(UsageError, match="the plans folder"):
        account(settings.model_copy(update={"plans": settings.plans / "deployments"}), start=False, as_json=True)
    standing = ledger.standing("paper-drill")
    assert standing is not None
    assert standing.retired_at is None
    write(settings)  # the healthy case: a folder that is there, and empty
    assert account(settings, start=False, as_json=True) == 0
    standing = ledger.standing("paper-drill")
    assert standing is not None
    assert standing.retired_at is not None


def test_a_plan_that_was_removed_before_it_ever_ran_is_told(
    settings: Settings, ledger: Ledger, start: datetime
) -> None:
    conductor = paper_conductor(settings, ledger)
    account_slots(conductor, [plan()], now=start)
    gone = account_slots(conductor, [], now=start + 3 * HOUR)
    assert gone.retired == ("paper-drill",)
    assert gone.problems == ("paper-drill: 3 slots have no record: its file is gone, and it never ran",)


def test_a_fault_with_one_plan_leaves_the_others_alone(
    settings: Settings, ledger: Ledger, start: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    conductor, plans = paper_conductor(settings, ledger), [plan("bad-drill"), plan("good-drill")]
    account_slots(conductor, plans, now=start)
    honest = Conductor.record_unrun

    def record(self: Conductor, one: Plan, *rest: Any, **more: Any) -> Any:
        if one.name == "bad-drill":
            raise StepError("its disk is full")
        return honest(self, one, *rest, **more)

    monkeypatch.setattr(Conductor, "record_unrun", record)
    done = account_slots(conductor, plans, now=start + 2 * HOUR)
    assert done.problems == ("bad-drill: its disk is full",)
    assert outcomes(ledger, "good-drill") == {slot(start, 1): Outcome.MISSED}
    monkeypatch.setattr(Conductor, "record_unrun", honest)
    assert len(account_slots(conductor, plans, now=start + 2 * HOUR).missed) == 1


def test_every_run_is_a_slot_and_says_whose(settings: Settings, ledger: Ledger) -> None:
    conductor = paper_conductor(settings, ledger)
    summary = conductor.conduct(plan(), Request("by hand", requested_by="ann", flow_run="f-1"))
    run, opened = ledger.run(summary.run), ledger.read_events(summary.run)[0].body
    assert run.slot
    assert (run.requested_by, run.flow_run, run.substance) == ("ann", "f-1", plan().substance)
    assert (opened["requested_by"], opened["flow_run"], opened["substance"]) == ("ann", "f-1", plan().substance)
    assert datetime.fromisoformat(opened["scheduled_at"]) == run.scheduled_at == summary.scheduled_at
    again = Request("again", Trigger.SCHEDULE, run.scheduled_at)
    with pytest.raises(SlotTaken):
        conductor.conduct(plan(), again)
    assert len(ledger.runs()) == 1


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"blackouts": [{"from": "2020-01-01T00:00Z", "until": "2999-01-01T00:00Z", "reason": "the audit"}]},
            "the audit",
        ),
        ({"windows": [{"from": "03:00", "until": "03:01"}]}, "outside the plan's change windows"),
    ],
    ids=["blackout", "window"],
)
def test_a_drill_at_a_forbidden_time_is_refused(
    settings: Settings, ledger: Ledger, keys: dict[str, object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conductor = paper_conductor(settings, ledger)
    noon = ledger.now().replace(hour=12, minute=30)
    monkeypatch.setattr(type(conductor.clock), "now", lambda self: noon)
    summary = conductor.conduct(plan(cron="0 3 * * *", **keys), Request("a test"))
    assert summary.outcome is Outcome.REFUSED
    assert words in summary.headline
    assert History(ledger.read_events(summary.run)).of(EventKind.STARTED) == ()


def test_account_tells_what_it_recorded(
    settings: Settings, ledger: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(settings, plan())
    assert account(settings, start=False, as_json=False) == 0
    assert "enrolled" in capsys.readouterr().out
    assert account(settings, start=False, as_json=False) == 0
    assert "Every slot up to now has its record." in capsys.readouterr().out
    later = ledger.now() + 2 * HOUR
    monkeypatch.setattr(Ledger, "now", lambda self: later)
    assert account(settings, start=False, as_json=True) == 0
    assert '"missed": [\n' in capsys.readouterr().out
