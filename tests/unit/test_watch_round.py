"""Rounds of the watch over a real ledger: what is told, to whom, how often, and that it is over."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evidence.stores import DirectoryStore
from muster.cadence.dues import dues_after
from muster.cards import PlanCard, card_of
from muster.clock import SystemClock
from muster.conduct import Conductor
from muster.ledger import Ledger, LedgerError, NewRun, Owner, Trigger, open_ledger
from muster.ledger.rows import Due
from muster.ledger.standing import Standing
from muster.notify.message import Event, Message
from muster.notify.refusal import RouteRefuses
from muster.notify.routes import Route, Routes
from muster.notify.send import Notifier
from muster.ownership import this_process
from muster.plan import Plan
from muster.settings import Settings
from muster.verdict import Outcome
from muster.watch.concerns import KINDS, Concern, Condition, concerns_of
from muster.watch.round import Round, run_round

DAY = timedelta(days=1)
LATER = 10 * DAY
"""More than a weekly slot and its grace."""
FIRST_SLOT = (datetime.now(UTC) + DAY).replace(microsecond=0)
"""The ledger's clock is the true one: where the week's slots lie must not depend on the day on which this is run."""


@dataclass(frozen=True)
class Paper(Notifier):
    """A notifier that writes down what it sends. Routes in `down` refuse."""

    sent: list[tuple[str, Message]] = field(default_factory=list)
    down: set[str] = field(default_factory=set)

    def post(self, route: Route, message: Message) -> None:
        if route.name in self.down:
            raise RouteRefuses("it answered 500")
        self.sent.append((route.name, message))

    def take(self) -> list[tuple[str, str]]:
        """Route and title of what was sent since the last look."""
        told = [(name, message.title) for name, message in self.sent]
        self.sent.clear()
        return sorted(told)


def plan(name: str = "restore-shop", environment: str = "test", **more: Any) -> Plan:
    content = {"name": name, "kind": "restore", "environment": environment, "owner": "shop team", "restore": {}}
    guarded = {"approval": {}} if environment == "production" else {}
    windows = {"windows": [{"from": "00:00", "until": "23:59"}]} if environment == "production" else {}
    cadence = {"interval": "7d", "anchor": FIRST_SLOT, "grace": "1d", **windows}
    return Plan.model_validate({**content, "target": {"type": "paper"}, "cadence": cadence, **guarded, **more})


@dataclass
class Sea:
    """A conductor over a real ledger, plans, and a clock that is moved by hand."""

    conductor: Conductor
    out: Paper
    plans: tuple[Plan, ...] = (plan(),)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def ledger(self) -> Ledger:
        return self.conductor.ledger

    def go(self, **options: Any) -> Round:
        cards = options.pop("cards", None) or tuple(card_of(p) for p in self.plans)
        return run_round(self.conductor, self.plans, cards, options.pop("out", self.out), now=self.now, **options)

    def run(self, of: Plan, outcome: Outcome, headline: str = "") -> None:
        name = f"run-{len(self.ledger.runs())}"
        self.open(of, name, this_process())
        due_at, overdue_at = dues_after(of.cadence, self.now)
        timetable, cadence = of.cadence.timetable, of.cadence.model_dump_json()
        due: Due | None = Due(timetable=timetable, cadence=cadence, due_at=due_at, overdue_at=overdue_at)
        due = due if outcome is Outcome.PASSED else None
        self.ledger.close_run(name, outcome, headline=headline, due=due)

    def open(self, of: Plan, name: str, owner: Owner) -> None:
        self.ledger.open_run(
            NewRun(run=name, plan=of.name, plan_digest=of.digest, substance=of.substance, kind=of.kind,
                   target_type="paper", scheduled_at=self.now, trigger=Trigger.COMMAND_LINE, owner=owner,
                   lease_seconds=60)
        )  # fmt: skip


def route(name: str, **more: Any) -> Route:
    return Route(name=name, apprise_env="NOWHERE", **more)


@pytest.fixture
def sea(tmp_path: Path) -> Iterator[Sea]:
    settings = Settings(home=tmp_path / "home", store=str(tmp_path / "store"))
    with open_ledger(settings.ledger_url) as ledger:
        store = DirectoryStore(tmp_path / "store")
        conductor = Conductor(settings, ledger, SystemClock(), lambda _: None, lambda *_: None, lambda: store)  # type: ignore[arg-type, return-value]
        yield Sea(conductor, Paper(Routes((route("ops"), route("pager", severities=("critical",))))))


def bodies(out: Paper) -> str:
    return "\n".join(message.body for _, message in out.sent)


def test_a_plan_in_time_is_no_news_and_the_round_is_heard_of(sea: Sea) -> None:
    assert sea.go().is_good
    sea.run(sea.plans[0], Outcome.PASSED)
    done = sea.go()
    assert sea.out.take() == []
    assert done.open == ()
    assert not done.needs_attention
    assert "watch" in sea.ledger.beats()


def test_what_is_overdue_is_told_once_and_once_more_when_it_is_over(sea: Sea) -> None:
    sea.go()
    sea.run(sea.plans[0], Outcome.PASSED)
    sea.go()
    sea.now += LATER
    assert sea.go().needs_attention
    body = bodies(sea.out)
    assert "why: its slot was missed" in body
    assert "owner: shop team" in body
    assert "do: muster run restore-shop" in body
    assert sea.out.take() == [("ops", "restore-shop is overdue")]
    sea.now += timedelta(hours=3)
    sea.go()
    assert sea.out.take() == []
    sea.run(sea.plans[0], Outcome.PASSED)
    done = sea.go()
    ((told, title),) = sea.out.take()
    assert told == "ops"
    assert title.startswith("over: restore-shop was overdue for ")
    assert not done.needs_attention
    sea.go()
    assert sea.out.take() == []


def test_a_plan_that_never_ran_is_news_when_its_first_slot_is_over(sea: Sea) -> None:
    sea.go()
    assert sea.out.take() == []
    sea.now += LATER
    sea.go()
    assert sea.out.take() == [("ops", "restore-shop has never run")]


@pytest.mark.parametrize("passed_before", [True, False])
def test_a_drill_that_fails_is_told_with_its_headline(sea: Sea, passed_before: bool) -> None:
    sea.go()
    if passed_before:
        sea.run(sea.plans[0], Outcome.PASSED)
        sea.now += DAY
    sea.run(sea.plans[0], Outcome.FAILED, "rows: 3 are missing")
    sea.go()
    assert "rows: 3 are missing" in bodies(sea.out)
    assert sea.out.take() == [("ops", "restore-shop is failing")]


def test_one_condition_that_follows_another_says_so(sea: Sea) -> None:
    sea.go()
    sea.now += LATER
    sea.go()
    sea.out.take()
    sea.run(sea.plans[0], Outcome.FAILED, "rows: 3 are missing")
    sea.go()
    over = next(message for _, message in sea.out.sent if message.event is Event.RESOLVED)
    assert over.title.startswith("over: restore-shop had never run")
    assert "now: restore-shop is failing" in over.body
    assert [title for _, title in sea.out.take() if "over" not in title] == ["restore-shop is failing"]


def test_a_changed_plan_is_good_to_know_and_asks_nobody_to_act(sea: Sea) -> None:
    sea.go()
    sea.run(sea.plans[0], Outcome.PASSED)
    sea.plans = (plan(objectives={"rto": "1m"}),)
    done = sea.go()
    assert sea.out.take() == [("ops", "restore-shop has changed since it last passed")]
    assert not done.needs_attention


def test_production_is_critical(sea: Sea) -> None:
    sea.plans = (plan(environment="production"),)
    sea.go()
    sea.now += LATER
    sea.go()
    assert sea.out.take() == [("ops", "restore-shop has never run"), ("pager", "restore-shop has never run")]


def test_a_slot_missed_beside_another_trouble_is_told_too() -> None:
    card, now = card_of(plan()), datetime.now(UTC)
    timetable, ahead = card.timetable, now + DAY
    passed = Standing(
        card.name,
        timetable=timetable,
        due_at=ahead,
        overdue_at=ahead,
        judged_run="p",
        judged_outcome="passed",
        pass_run="p",
        pass_at=now,
        pass_substance=card.substance,
    )
    failed = passed._replace(judged_run="f", judged_outcome="failed")
    late = passed._replace(overdue_at=now - DAY)

    def told(standing: Standing) -> list[str]:
        return [concern.condition for concern in concerns_of(card, standing, now)]

    assert told(passed._replace(last_outcome="missed")) == ["slot missed"]
    assert told(failed._replace(last_outcome="missed")) == ["failing", "slot missed"]
    assert told(late._replace(last_outcome="missed")) == ["overdue"]
    assert told(failed._replace(last_outcome="failed")) == ["failing"]
    assert told(passed._replace(last_outcome="passed")) == []


def test_two_watchers_tell_once(sea: Sea) -> None:
    other = replace(sea.out, sent=[])
    sea.go()
    sea.now += LATER
    sea.go()
    sea.go(out=other)
    assert len(sea.out.take()) == 1
    assert other.take() == []


def test_a_route_that_refuses_is_told_through_the_others_and_gets_everything_later(sea: Sea) -> None:
    sea.out = replace(sea.out, routes=Routes((route("ops"), route("chat"))), down={"chat"})
    sea.go()
    sea.now += LATER
    done = sea.go()
    assert sea.out.take() == [("ops", "restore-shop has never run"), ("ops", "route chat refuses messages")]
    assert {(a.subject, a.condition) for a in done.open} == {
        ("restore-shop", "never run"), ("route chat", "route refuses"),
    }  # fmt: skip
    assert done.is_good, "somebody was told"
    sea.now += timedelta(minutes=5)
    sea.go()
    assert sea.out.take() == []
    sea.out.down.clear()
    sea.now += timedelta(minutes=5)
    done = sea.go()
    (missed, over) = sea.out.take()
    assert missed == ("chat", "restore-shop has never run")
    assert over[0] == "ops"
    assert over[1].startswith("over: route chat refused messages for ")
    assert [a.subject for a in done.open] == ["restore-shop"]


def test_a_route_with_nothing_to_carry_is_tried_until_it_is_back(sea: Sea) -> None:
    sea.out = replace(sea.out, routes=Routes((route("ops"), route("chat"))), down={"chat"})
    sea.go()
    sea.now += LATER
    sea.go()
    sea.run(sea.plans[0], Outcome.PASSED)
    sea.go()
    sea.out.take()
    sea.out.down.clear()
    assert sea.go().open == ()
    ((trial, _), *_) = sea.out.sent
    assert trial == "chat"
    assert [m.event for name, m in sea.out.sent if name == "chat"] == [Event.TEST]
    assert [m.event for name, m in sea.out.sent if name == "ops"] == [Event.RESOLVED]


def test_an_alarm_that_nobody_took_is_no_good_round_and_is_tried_again(sea: Sea) -> None:
    sea.out.down.update({"ops", "pager"})
    sea.go()
    sea.now += LATER
    done = sea.go()
    assert not done.is_good
    assert "restore-shop" in {alert.subject for alert in done.unheard}
    sea.out.down.clear()
    sea.now += timedelta(minutes=1)
    done = sea.go()
    assert done.is_good
    assert ("ops", "restore-shop has never run") in sea.out.take()


def test_without_any_route_nobody_is_owed_a_message(sea: Sea) -> None:
    sea.out = replace(sea.out, routes=Routes())
    sea.go()
    sea.now += LATER
    done = sea.go()
    assert done.is_good
    assert done.needs_attention


def test_a_recovery_that_a_route_did_not_take_is_owed(sea: Sea) -> None:
    sea.go()
    sea.now += LATER
    sea.go()
    sea.out.take()
    sea.out.down.add("ops")
    sea.run(sea.plans[0], Outcome.PASSED)
    sea.go()
    assert [name for name, _ in sea.out.take()] == ["pager"], "the pager hears of the route"
    sea.out.down.clear()
    sea.go()
    assert any(name == "ops" and title.startswith("over: restore-shop") for name, title in sea.out.take())


def test_a_plan_names_its_routes(sea: Sea) -> None:
    sea.out = replace(sea.out, routes=Routes((route("ops"), route("shop"))))
    sea.plans = (plan(notifications=["shop"]),)
    sea.go()
    sea.now += LATER
    sea.go()
    assert sea.out.take() == [("shop", "restore-shop has never run")]


def test_the_kill_switch_and_its_end_are_told(sea: Sea) -> None:
    sea.ledger.stop_all("kim", "the disk is full")
    sea.go()
    assert "the disk is full (kim)" in bodies(sea.out)
    assert sea.out.take() == [("ops", "every drill is stopped"), ("pager", "every drill is stopped")]
    sea.ledger.resume_all("kim", "there is room")
    sea.go()
    assert [title.partition(" for ")[0] for _, title in sea.out.take()] == ["over: every drill was stopped"] * 2


def test_what_a_dead_process_left_is_told_and_what_a_live_one_does_is_not(sea: Sea) -> None:
    sea.open(sea.plans[0], "alive", this_process())
    sea.go()
    assert sea.out.take() == []
    dead = this_process().model_copy(update={"started": 1})
    sea.open(plan("restore-crm"), "dead", dead)
    sea.go()
    assert "and sealed: dead" in bodies(sea.out)
    assert ("ops", "restore-crm has left something behind") in sea.out.take()
    sea.ledger.close_run("dead", Outcome.ABORTED)
    sea.go()
    assert any(title.startswith("over: restore-crm had left") for _, title in sea.out.take())


def test_what_a_round_did_not_look_at_stays(sea: Sea) -> None:
    down = Concern("muster", Condition.SCHEDULER_DOWN, "it cannot be reached")
    sea.go(looked={down.key: down})
    assert {title for _, title in sea.out.take()} == {"the scheduler is down"}
    assert [a.condition for a in sea.go().open] == ["scheduler down"]
    assert sea.out.take() == []
    assert sea.go(looked={down.key: None}).open == ()
    assert {title.partition(" for ")[0] for _, title in sea.out.take()} == {"over: the scheduler was down"}


def test_a_plan_that_is_gone_is_over_unless_the_folder_could_not_be_read(sea: Sea) -> None:
    sea.go()
    sea.now += LATER
    sea.go()
    sea.out.take()
    sea.plans = ()
    assert [a.subject for a in sea.go(read_all=False).open] == ["restore-shop"]
    assert sea.go(read_all=True).open == ()
    assert len(sea.out.take()) == 1


def test_one_plan_that_cannot_be_judged_leaves_the_others_watched(sea: Sea) -> None:
    sea.plans = (plan("restore-a"), plan("restore-b"))
    good = tuple(card_of(p) for p in sea.plans)
    sea.go()
    sea.now += LATER
    broken: tuple[PlanCard, ...] = (good[0]._replace(cadence_json="no JSON", timetable="other"), good[1])
    done = sea.go(cards=broken)
    titles = {title for _, title in sea.out.take()}
    assert titles == {"restore-a cannot be watched", "restore-b has never run"}
    assert done.is_good
    assert {a.condition for a in sea.go(cards=good).open} == {"never run"}


def test_an_outage_of_many_plans_is_one_message(sea: Sea) -> None:
    sea.plans = tuple(plan(f"restore-{n:02}") for n in range(30))
    sea.go()
    sea.now += LATER
    done = sea.go()
    assert len(done.raised) == 30
    ((name, title),) = sea.out.take()
    assert name == "ops"
    assert title.startswith("30 messages: ")
    sea.go()
    assert sea.out.take() == []


def test_a_ledger_that_is_away_is_for_the_caller_to_tell(sea: Sea, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise LedgerError("the ledger is away", "wait for it")

    monkeypatch.setattr(Ledger, "standings", away)
    with pytest.raises(LedgerError):
        sea.go()
    assert sea.ledger.beats() == {}


def test_every_condition_is_in_the_table() -> None:
    assert set(KINDS) == set(Condition)
    for kind in KINDS.values():
        assert kind.now.format(s="x") != kind.over.format(s="x")
