"""Rounds of the watch that look at targets: what is told when one is not ready or not seen, and when it is again."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from paper_looks import Paper, a_plan, looking_conductor
from test_readiness_looking import open_run
from test_watch_round import Paper as Mail
from test_watch_round import route

from evidence.slots import stamp
from muster.cadence.dues import dues_after
from muster.cards import card_of
from muster.conduct import Conductor
from muster.errors import Refusal
from muster.ledger import Ledger, NewRun, Trigger, open_ledger
from muster.ledger.rows import Due
from muster.notify.routes import Routes
from muster.ownership import this_process
from muster.plan import Plan
from muster.readiness.looking import Looker
from muster.settings import Settings
from muster.verdict import Outcome
from muster.watch.round import Round, run_round
from tests.contract.ledgers import execute

AWAY = Refusal("neither server answers", "start them")


@dataclass
class Tower:
    """A watch that looks at one failover plan's target, with a route for everything and one for the grave."""

    conductor: Conductor
    paper: Paper
    mail: Mail
    plans: tuple[Plan, ...] = (a_plan(),)

    @property
    def ledger(self) -> Ledger:
        return self.conductor.ledger

    def go(self, *, read_all: bool = True) -> Round:
        """One round, with every look due."""
        self.forget(timedelta(minutes=6))
        return self.go_again(read_all=read_all)

    def go_again(self, *, read_all: bool = True) -> Round:
        cards = tuple(card_of(plan) for plan in self.plans)
        looker = Looker("watch")
        return run_round(self.conductor, self.plans, cards, self.mail, read_all=read_all, looker=looker)

    def forget(self, span: timedelta) -> None:
        """Make the looks so much older."""
        for plan, last in self.ledger.last_looks().items():
            execute(self.ledger, f"UPDATE readiness SET at = '{stamp(last.at - span)}' WHERE plan = '{plan}'")

    def pass_(self, plan: Plan) -> None:
        due_at, overdue_at = dues_after(plan.cadence, datetime.now(UTC))
        due = Due(timetable=plan.cadence.timetable, cadence=plan.cadence.model_dump_json(),
                  due_at=due_at, overdue_at=overdue_at)  # fmt: skip
        self.ledger.open_run(
            NewRun(run="passed", plan=plan.name, plan_digest=plan.digest, substance=plan.substance, kind=plan.kind,
                   target_type="paper", trigger=Trigger.COMMAND_LINE, owner=this_process(), lease_seconds=60)
        )  # fmt: skip
        self.ledger.close_run("passed", Outcome.PASSED, due=due)

    def titles(self) -> list[str]:
        return [title for route, title in self.mail.take() if route == "ops"]


@pytest.fixture
def tower(tmp_path: Path) -> Iterator[Tower]:
    settings = Settings(home=tmp_path / "home", store=str(tmp_path / "store"))
    with open_ledger(settings.ledger_url) as ledger:
        paper = Paper()
        mail = Mail(Routes((route("ops"), route("pager", severities=("critical",)))))
        tower = Tower(looking_conductor(settings, ledger, paper), paper, mail)
        tower.pass_(tower.plans[0])
        yield tower


def test_what_is_ready_is_no_news(tower: Tower) -> None:
    done = tower.go()
    assert (done.open, done.ready, tower.titles()) == ((), {"failover-shop"}, [])
    assert tower.ledger.looks("failover-shop", 9)[0].by == "watch"
    tower.go_again()
    assert len(tower.ledger.looks("failover-shop", 9)) == 1, "a look is taken when it is due, not each round"


def test_not_ready_is_told_once_and_once_more_when_it_is_ready_again(tower: Tower) -> None:
    tower.go()
    tower.paper.is_ill()
    done = tower.go()
    assert (done.ready, done.needs_attention) == (frozenset(), True)
    body = tower.mail.sent[0][1].body
    assert tower.titles() == ["failover-shop is not ready"]
    assert "lag: 31 s behind" in body
    assert "how: the standby does not keep up" in body
    assert "do: muster ready failover-shop" in body
    assert "by watch@" in body
    tower.go()
    assert tower.titles() == []
    tower.paper.is_well()
    done = tower.go()
    assert (done.ready, done.open) == ({"failover-shop"}, ())
    assert "now: it is ready again" in tower.mail.sent[0][1].body
    (title,) = tower.titles()
    assert title.startswith("over: failover-shop was not ready for")


def test_in_production_it_wakes_people(tower: Tower) -> None:
    guarded = {"environment": "production", "approval": {}}
    cadence = {"interval": "7d", "windows": [{"from": "00:00", "until": "23:59"}]}
    tower.plans = (a_plan("failover-gold", cadence=cadence, **guarded),)
    tower.paper.is_ill("failover-gold")
    tower.go()
    assert ("pager", "failover-gold is not ready") in tower.mail.take()


def test_not_seen_is_told_at_the_third_look(tower: Tower) -> None:
    tower.go()
    tower.paper.breaks(AWAY)
    for _ in range(2):
        tower.go()
        assert tower.titles() == []
    tower.go()
    assert "neither server answers" in tower.mail.sent[0][1].body
    assert tower.titles() == ["failover-shop is not seen"]
    tower.go()
    assert tower.titles() == []
    tower.paper.is_well()
    tower.go()
    (title,) = tower.titles()
    assert title.startswith("over: failover-shop was not seen for")


def test_one_look_that_saw_nothing_is_no_news(tower: Tower) -> None:
    tower.go()
    tower.paper.breaks(AWAY)
    tower.go()
    tower.go()
    tower.paper.is_well()
    tower.go()
    assert tower.titles() == []


def test_who_sees_nothing_does_not_end_what_was_seen(tower: Tower) -> None:
    tower.paper.is_ill()
    tower.go()
    assert tower.titles() == ["failover-shop is not ready"]
    tower.paper.breaks(AWAY)
    for _ in range(3):
        tower.go()
    assert tower.titles() == ["failover-shop is not seen"]
    assert {alert.condition for alert in tower.go().open} == {"not ready", "not seen"}
    tower.paper.is_ill()
    tower.go()
    assert "now: failover-shop is not ready" in tower.mail.sent[0][1].body
    (title,) = tower.titles()
    assert title.startswith("over: failover-shop was not seen for")
    tower.paper.is_well()
    tower.go()
    (title,) = tower.titles()
    assert title.startswith("over: failover-shop was not ready for")


def test_while_a_drill_moves_the_target_nobody_is_told_of_it(tower: Tower) -> None:
    tower.go()
    run = open_run(tower.conductor, tower.plans[0], this_process())
    tower.paper.is_ill()
    tower.forget(timedelta(hours=1))
    tower.go()
    assert tower.titles() == []
    assert len(tower.ledger.looks("failover-shop", 9)) == 1
    tower.ledger.close_run(run, Outcome.REFUSED)
    tower.go()
    assert tower.titles() == ["failover-shop is not ready"]


def test_a_plan_that_is_gone_is_over_and_not_ready_again(tower: Tower) -> None:
    tower.paper.is_ill()
    tower.go()
    tower.mail.sent.clear()
    plans, tower.plans = tower.plans, ()
    tower.go(read_all=False)
    assert tower.titles() == [], "it may be among those that could not be read"
    tower.go()
    assert "now: it is over" in tower.mail.sent[0][1].body
    tower.plans = plans


def test_a_target_that_hangs_leaves_the_others_watched(tower: Tower) -> None:
    import threading

    released = threading.Event()
    tower.plans = (*tower.plans, a_plan("failover-hangs"))
    tower.paper.finds["failover-hangs"] = lambda _target, _plan: (released.wait(120), ())[1]
    cards = tuple(card_of(plan) for plan in tower.plans)
    done = run_round(tower.conductor, tower.plans, cards, tower.mail, looker=Looker("watch", seconds=1))
    assert done.ready == {"failover-shop"}
    (hung,) = [thread for thread in threading.enumerate() if thread.name == "look at failover-hangs"]
    released.set()
    hung.join(60)


def test_prefect_hears_of_it_as_events(tower: Tower, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import health

    events: list[tuple[str, str]] = []
    monkeypatch.setattr(health, "tell", lambda plan, event, words: events.append((plan.name, event)))

    def go() -> list[tuple[str, str]]:
        health._tell_readiness(tower, tower.go())  # type: ignore[arg-type]
        told = list(events)
        events.clear()
        return told

    assert go() == []
    tower.paper.is_ill()
    assert go() == [("failover-shop", "plan.not-ready")]
    assert go() == []
    tower.paper.breaks(AWAY)
    assert [go() for _ in range(3)][2] == [("failover-shop", "plan.not-seen")]
    tower.paper.is_ill()
    assert go() == [], "it is seen again, and not ready still"
    tower.paper.is_well()
    assert go() == [("failover-shop", "plan.ready")]
