"""Looks of paper: bounded, kept, and never a pass where nothing was seen."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from paper import PLAN, paper_conductor, paper_drill
from paper_looks import ILL, WELL, Paper, a_plan, looking_conductor
from rich.console import Console

from muster.conduct import Conductor
from muster.errors import Refusal, StepError, UsageError
from muster.finding import Finding
from muster.journal import EventKind, Journal
from muster.ledger import Ledger, LedgerError, NewRun, Owner, Trigger
from muster.ledger.standing import STALE_AFTER, LastLook
from muster.opening import Request, look_words
from muster.ownership import this_process
from muster.plan import Plan
from muster.readiness.looking import Looker, due
from muster.report.html import render_html
from muster.report.markdown import render_markdown
from muster.report.terminal import render_terminal
from muster.settings import Settings
from muster.verdict import Outcome, Verdict


@pytest.fixture
def paper() -> Paper:
    return Paper()


@pytest.fixture
def conductor(settings: Settings, ledger: Ledger, paper: Paper) -> Conductor:
    return looking_conductor(settings, ledger, paper)


def test_a_look_is_kept_with_who_looked(conductor: Conductor, paper: Paper) -> None:
    (look,) = Looker("ann").look(conductor, [a_plan()])
    assert (look.plan, look.verdict, look.by, look.findings) == ("failover-shop", Verdict.PASS, "ann", (WELL,))
    assert look.host
    assert conductor.ledger.looks("failover-shop", 9) == (look,)
    paper.is_ill()
    (look,) = Looker("ann").look(conductor, [a_plan()])
    assert (look.verdict, look.findings) == (Verdict.FAIL, (WELL, ILL))


@pytest.mark.parametrize(
    ("error", "seen", "advice"),
    [
        (Refusal("the estate is not up", "start it"), "not observed: the estate is not up", "start it"),
        (StepError("no answer in 2 s"), "not observed: no answer in 2 s", "look at the target by hand"),
        (ZeroDivisionError("by zero\nand more"), "not observed: ZeroDivisionError: by zero", "this is a defect"),
        (OSError("password=hunter2secret"), "not observed: OSError: password=[redacted]", "this is a defect"),
    ],
    ids=["refusal", "step", "defect", "secret"],
)
def test_a_look_that_breaks_saw_nothing(
    conductor: Conductor, paper: Paper, monkeypatch: pytest.MonkeyPatch, error: BaseException, seen: str, advice: str
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2secret")
    paper.breaks(error)
    (look,) = Looker("watch").look(conductor, [a_plan()])
    assert look.verdict is Verdict.INCONCLUSIVE
    (finding,) = look.findings
    assert finding.seen.startswith(seen)
    assert finding.advice.startswith(advice)


def test_a_look_that_finds_nothing_saw_nothing(conductor: Conductor, paper: Paper) -> None:
    paper.finds["failover-shop"] = lambda _target, _plan: ()
    (look,) = Looker("watch").look(conductor, [a_plan()])
    assert look.verdict is Verdict.INCONCLUSIVE


def test_a_target_that_cannot_be_opened_or_is_another_was_not_seen(settings: Settings, ledger: Ledger) -> None:
    drill = replace(paper_drill(), kind="failover", ready=lambda _target, _plan: (WELL,))

    def refuses(*_: Any) -> Any:
        raise UsageError("target.nodes: Field required", "mend it")

    cases = (
        (replace(paper_conductor(settings, ledger, drill), open_target=refuses), "target.nodes: Field required"),
        (paper_conductor(settings, ledger, replace(drill, needs=Drawbridge)), "is not Drawbridge"),
        (paper_conductor(settings, ledger, replace(drill, ready=None)), "a failover drill has no look"),
        (replace(paper_conductor(settings, ledger, drill), drill_of=refuses), "target.nodes: Field required"),
    )
    for conductor, why in cases:
        (look,) = Looker("watch").look(conductor, [a_plan()])
        assert look.verdict is Verdict.INCONCLUSIVE
        assert why in look.findings[0].seen


class Drawbridge:
    pass


@contextmanager
def hanging(paper: Paper, *names: str) -> Iterator[threading.Event]:
    released = threading.Event()

    def hangs(_target: Any, _plan: Plan) -> tuple[Finding, ...]:
        released.wait(120)
        return (WELL,)

    paper.finds |= dict.fromkeys(names, hangs)
    try:
        yield released
    finally:
        released.set()


def test_one_that_hangs_was_not_seen_and_keeps_no_other_from_its_turn(conductor: Conductor, paper: Paper) -> None:
    plans = [a_plan("hangs"), *(a_plan(f"failover-{n}") for n in range(6))]
    looker = Looker("watch", seconds=2, at_once=2)
    with hanging(paper, "hangs") as released:
        looks = {look.plan: look for look in looker.look(conductor, plans)}
        assert {name for name, look in looks.items() if look.verdict is Verdict.PASS} == {p.name for p in plans[1:]}
        assert "no answer within 2 s" in looks["hangs"].findings[0].seen
        (again,) = looker.look(conductor, plans[:1])
        assert "the look before still hangs" in again.findings[0].seen
        assert paper.looked.count("hangs") == 1, "one thread hangs, however often it is asked"
        (hung,) = [thread for thread in threading.enumerate() if thread.name == "look at hangs"]
        released.set()
        hung.join(60)
    paper.is_well("hangs")
    (well,) = looker.look(conductor, plans[:1])
    assert well.verdict is Verdict.PASS


def test_a_round_begins_no_look_once_its_time_is_over(conductor: Conductor, paper: Paper) -> None:
    plans = [a_plan("hangs-1"), a_plan("hangs-2"), a_plan("failover-shop")]
    looker = Looker("watch", seconds=1, at_once=2, round_seconds=0.5)
    with hanging(paper, "hangs-1", "hangs-2"):
        assert [look.plan for look in looker.look(conductor, plans)] == ["hangs-1", "hangs-2"]
        assert [look.plan for look in looker.look_where_due(conductor, plans)] == ["failover-shop"]


def test_no_plans_are_no_looks(conductor: Conductor) -> None:
    assert Looker("watch").look(conductor, []) == ()


def test_a_ledger_that_is_away_is_no_look(conductor: Conductor, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise LedgerError("away")

    monkeypatch.setattr(type(conductor.ledger), "record_look", away)
    with pytest.raises(LedgerError):
        Looker("watch").look(conductor, [a_plan()])


# While a drill is going on


def open_run(conductor: Conductor, plan: Plan, owner: Owner) -> str:
    run = f"run-{len(conductor.ledger.runs())}"
    conductor.ledger.open_run(
        NewRun(run=run, plan=plan.name, plan_digest=plan.digest, kind=plan.kind, target_type="paper",
               trigger=Trigger.COMMAND_LINE, owner=owner, lease_seconds=60)
    )  # fmt: skip
    journal = Journal(run, conductor.ledger, conductor.clock)
    journal.append(EventKind.OPENED, plan=plan.model_dump(mode="json"), steps=[])
    return run


def test_what_a_drill_moves_is_not_looked_at(conductor: Conductor, paper: Paper) -> None:
    drilled, twin, other = a_plan(), a_plan("failover-twin", target={"type": "failover-shop"}), a_plan("failover-other")
    run = open_run(conductor, drilled, this_process())
    assert [look.plan for look in Looker("watch").look(conductor, [drilled, twin, other])] == ["failover-other"]
    conductor.ledger.close_run(run, Outcome.PASSED)
    assert len(Looker("watch").look(conductor, [drilled, twin])) == 2


def test_what_a_dead_drill_left_is_looked_at(conductor: Conductor) -> None:
    open_run(conductor, a_plan(), this_process().model_copy(update={"started": 1}))
    assert len(Looker("watch").look(conductor, [a_plan()])) == 1


def test_a_look_in_which_a_drill_began_is_not_kept(conductor: Conductor, paper: Paper) -> None:
    def meanwhile(_target: Any, plan: Plan) -> tuple[Finding, ...]:
        open_run(conductor, plan, this_process())
        return (ILL,)

    paper.finds["failover-shop"] = meanwhile
    assert Looker("watch").look(conductor, [a_plan()]) == ()
    assert conductor.ledger.last_looks() == {}


# When


def test_each_target_is_looked_at_as_often_as_its_plan_says(conductor: Conductor, paper: Paper) -> None:
    restore = Plan.model_validate(
        {"name": "restore-shop", "kind": "restore", "environment": "test", "owner": "me", "target": {"type": "paper"},
         "restore": {}}
    )  # fmt: skip
    plans, looker = [a_plan(), restore], Looker("watch")
    assert [look.plan for look in looker.look_where_due(conductor, plans)] == ["failover-shop"]
    assert looker.look_where_due(conductor, plans) == ()
    changed = a_plan(environment="staging")
    assert len(looker.look_where_due(conductor, [changed])) == 1, "what was looked at before was another"


def test_the_longest_unseen_comes_first(ledger: Ledger) -> None:
    plans = [
        a_plan(name) for name in ("failover-new", "failover-old", "failover-fresh", "failover-ahead", "failover-0")
    ]
    now, every = ledger.now(), timedelta(minutes=5)
    ages = {
        "failover-new": every, "failover-old": 2 * every, "failover-fresh": every - timedelta(microseconds=1),
        "failover-ahead": -timedelta(hours=1),
    }  # fmt: skip
    last = {
        name: LastLook(name, 1, now - age, "watch", "h", plans[0].substance, "pass", now - age, 0.1, 1, "", "")
        for name, age in ages.items()
    }
    substances = {plan.name: plan.substance for plan in plans}
    last = {name: look._replace(substance=substances[name]) for name, look in last.items()}
    assert [plan.name for plan in due(plans, last, now)] == [
        "failover-0", "failover-old", "failover-new", "failover-ahead",
    ]  # fmt: skip


# What a run says of it


def test_a_run_says_what_was_seen_before_it_and_by_whom(conductor: Conductor, paper: Paper) -> None:
    ledger, plan = conductor.ledger, a_plan()
    assert look_words(plan, None, ledger.now()) == "not seen: never looked at"
    paper.is_ill()
    (look,) = Looker("ann").look(conductor, [plan])
    words = look_words(plan, ledger.last_look(plan.name), look.at + timedelta(seconds=60))
    assert words.startswith("not ready (lag: 31 s behind), last looked at 2")
    assert f"by ann@{look.host}" in words
    assert words.endswith("60.0 s before")
    late = look_words(plan, ledger.last_look(plan.name), look.at + (STALE_AFTER + 1) * timedelta(minutes=5))
    assert late.startswith("not seen (nobody has looked since")


def test_every_form_of_a_runs_report_says_it_apart_from_last_proven(conductor: Conductor, paper: Paper) -> None:
    (look,) = Looker("ann").look(conductor, [a_plan()])
    summary = conductor.conduct(a_plan(), Request("a test"))
    assert summary.last_look.startswith("ready, last looked at")
    assert f"by ann@{look.host}" in summary.last_look
    console = Console(file=StringIO(), width=200)
    render_terminal(summary, console, bundle="b", verify="v")
    for told in (render_markdown(summary), render_html(summary), console.file.getvalue()):  # type: ignore[attr-defined]
        assert "Readiness before" in told
        assert told.index("Readiness before") < told.index("Last proven")


def test_a_run_of_a_kind_without_a_look_says_nothing_of_it(settings: Settings, ledger: Ledger) -> None:
    summary = paper_conductor(settings, ledger).conduct(PLAN, Request("a test"))
    assert summary.last_look == ""
    assert "Readiness before" not in render_markdown(summary) + render_html(summary)
