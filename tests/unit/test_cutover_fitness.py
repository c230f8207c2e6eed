"""What the survey refuses, a dry run foresees, and a look tells: owners, names in claims, taken names, shared gates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cutover_paper import plan

from muster.cutover.claimants import Word, strangers
from muster.cutover.ownership import Side
from muster.cutover.schedule import CronRule, Inventory, Job, Schedule, Stage, Tick
from muster.cutover.section import spec_of
from muster.cutover.spec import CutoverSpec
from muster.identity import Identity
from muster.ledger import Ledger, open_ledger
from muster.verdict import Verdict
from tasks.cutover import ready
from tasks.handover import fitness
from tasks.handover.fitness import faults_of
from tasks.handover.scene import copied
from tasks.handover.shadowing import foresee
from tests.fakes import FakeScheduler

A, B = Side.A, Side.B
NAMES = ("orders", "stock")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}") as opened:
        yield opened


@dataclass
class Pair:
    """A crontab whose jobs are due each minute, and an empty scheduler."""

    url: str
    sides: Mapping[Side, FakeScheduler] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rule = CronRule(expression="* * * * *")
        jobs = [Job(name=name, command=f"muster tick {name} --at minute -- work") for name in NAMES]
        pairs = [(job, Schedule(name=job.name, job=job.name, rule=rule)) for job in jobs]
        self.sides = {A: FakeScheduler.of("old", pairs, keeps_history=False), B: FakeScheduler("new")}

    def identities(self) -> Mapping[Side, Identity]:
        return {side: scheduler.identify() for side, scheduler in self.sides.items()}

    def scheduler(self, side: Side) -> FakeScheduler:
        return self.sides[side]

    def holder(self, side: Side) -> str:
        return {A: "cron", B: "prefect"}[side]

    def claims(self) -> str:
        return self.url


@pytest.fixture
def pair(ledger: Ledger) -> Pair:
    return Pair(str(ledger.engine.url))


def faults(pair: Pair, ledger: Ledger, **cutover: object) -> dict[str, str]:
    """What stands against it, as every one of the three ways tells it."""
    of = plan(**cutover)
    spec, inventory = spec_of(of), pair.scheduler(A).inventory(spec_of(of).cut)
    found = {fault.about: fault.words for fault in faults_of(spec, pair, inventory, ledger)}
    looked = {f.check: f for f in ready(pair, of)}
    assert {check for check, finding in looked.items() if finding.verdict is Verdict.FAIL} - {"names"} == set(found)
    foreseen = foresee(pair, of, ledger)
    assert all(any(told.startswith(words) for told in foreseen.refused) for words in found.values())
    assert foreseen.is_fit is (not foreseen.refused)
    return found


def claim(ledger: Ledger, name: str, holder: str, *, ago: timedelta = 2 * MINUTE) -> bool:
    at = ledger.now().replace(second=0, microsecond=0) - ago
    return ledger.claim_tick(name, at, holder).granted


def test_jobs_that_claim_as_they_should_are_no_obstacle(pair: Pair, ledger: Ledger) -> None:
    assert claim(ledger, "orders", "cron")
    assert faults(pair, ledger) == {}
    ledger.assign_owner(NAMES, "cron")
    assert faults(pair, ledger) == {}
    assert claim(ledger, "stock", "cron")
    assert faults(pair, ledger) == {}


@pytest.mark.parametrize(("holder", "told"), [("crontab", "as crontab"), ("", "no MUSTER_HOLDER")])
@pytest.mark.parametrize("is_owned", [False, True])
@pytest.mark.parametrize("guarded", [False, True])
def test_jobs_that_claim_in_another_name_would_all_be_refused_from_arming_on(
    pair: Pair, ledger: Ledger, holder: str, told: str, is_owned: bool, guarded: bool
) -> None:
    if is_owned:
        ledger.assign_owner(NAMES, "cron")
    assert claim(ledger, "orders", "cron")
    assert claim(ledger, "stock", holder) is not is_owned
    assert told in faults(pair, ledger, guarded=guarded)["claims"]
    assert claim(ledger, "stock", "cron", ago=MINUTE)
    assert faults(pair, ledger, guarded=guarded) == {}, "it was put right"


def test_who_is_kept_out_beside_the_right_one_is_no_obstacle(pair: Pair, ledger: Ledger) -> None:
    """A forgotten scheduler claims as well, and is refused: that is what the owner of record is for."""
    ledger.assign_owner(NAMES, "cron")
    for name in NAMES:
        assert claim(ledger, name, "cron")
        assert not claim(ledger, name, "forgotten")
    assert faults(pair, ledger) == {}
    now = ledger.now().replace(second=0, microsecond=0)
    assert not ledger.claim_tick("orders", now, "forgotten").granted
    assert faults(pair, ledger) == {}, "the right one may be about to claim"


def test_a_rehearsal_before_leaves_no_obstacle(pair: Pair, ledger: Ledger) -> None:
    """The newest claim may be the new one's, of its own time; and the fence was tried."""
    ledger.assign_owner(NAMES, "cron")
    now = ledger.now()
    ledger.raise_epochs(NAMES, "prefect", now - 9 * MINUTE, "cron")
    assert claim(ledger, "orders", "prefect", ago=8 * MINUTE)
    ledger.raise_epochs(NAMES, "cron", now - 7 * MINUTE, "prefect")
    moment = now - 7 * MINUTE + timedelta(microseconds=7)
    assert not ledger.claim_tick("orders", moment, "prefect", by=fitness.TRIED).granted
    assert faults(pair, ledger) == {}


def test_where_jobs_are_to_claim_one_must_have(pair: Pair, ledger: Ledger) -> None:
    """For who has just put the guard in: one job, run once, is enough."""
    assert "no job of the cut has claimed" in faults(pair, ledger)["claims"]
    assert faults(pair, ledger, guarded=False) == {}
    assert claim(ledger, "stock", "cron", ago=timedelta(days=20))
    assert faults(pair, ledger) == {}


def test_what_was_never_due_need_not_have_claimed(pair: Pair, ledger: Ledger) -> None:
    old = pair.scheduler(A)
    old.keeps_history = True
    assert faults(pair, ledger) == {}, "its history says that it has started nothing yet"
    old.make(Tick("orders", ledger.now().replace(second=0, microsecond=0) - 2 * MINUTE), Stage.DONE)
    assert "no job of the cut has claimed" in faults(pair, ledger)["claims"]


def test_another_owner_is_told_before_its_claims_are(pair: Pair, ledger: Ledger) -> None:
    ledger.assign_owner(["orders"], "airflow")
    assert claim(ledger, "orders", "airflow")
    assert faults(pair, ledger) == {"owner": "orders is airflow's by the ledger, not cron's"}


def test_a_name_that_is_taken_is_foreseen(pair: Pair, ledger: Ledger) -> None:
    assert claim(ledger, "orders", "cron")
    new = pair.scheduler(B)
    new.jobs["orders"] = Job(name="orders")
    (foreseen,) = foresee(pair, plan(), ledger).refused
    assert foreseen.startswith("new has orders already (")
    (told,) = [finding for finding in ready(pair, plan()) if finding.check == "names"]
    assert (told.verdict, told.seen) == (Verdict.FAIL, "new has orders already")


def test_a_clock_that_is_off_is_foreseen(pair: Pair, ledger: Ledger) -> None:
    assert claim(ledger, "orders", "cron")
    pair.scheduler(B).clock = lambda: ledger.now() + timedelta(seconds=90)
    (told,) = foresee(pair, plan(), ledger).refused
    assert "the clock of b is +90" in told
    assert foresee(pair, plan(clocks="3m"), ledger).refused == ()


def test_a_claim_in_the_midst_of_a_command_is_told_where_a_flow_claims(pair: Pair, ledger: Ledger) -> None:
    assert claim(ledger, "orders", "cron")
    told = [{"jobs": ["*"], "own": {"entrypoint": "flows.command.command"}}]
    assert {row.untold for row in foresee(pair, plan(jobs=told), ledger).schedules} == {""}
    old = pair.scheduler(A)
    old.jobs["stock"] = Job(name="stock", command="cd /srv && muster tick stock --at minute -- work")
    rows = {row.name: row.untold for row in foresee(pair, plan(jobs=told), ledger).schedules}
    assert (rows["orders"], "its own claim" in rows["stock"]) == ("", True)
    assert {row.untold for row in foresee(pair, plan(), ledger).schedules} == {""}, "no flow claims beside it"
    old.jobs["stock"] = Job(name="stock", command="muster tick stocks --at minute -- work")
    assert "its claim is of stocks" in {r.name: r.untold for r in foresee(pair, plan(), ledger).schedules}["stock"]
    old.jobs["stock"] = Job(name="stock", command="muster tick stock --at minute --holder cron -- work")
    assert "its claim as cron" in {r.name: r.untold for r in foresee(pair, plan(), ledger).schedules}["stock"]


@pytest.mark.parametrize("away", [None, "run"])
def test_a_copy_claims_for_its_new_scheduler_and_by_the_plans_policy(away: str | None) -> None:
    """What the plan tells a flow is what the line had by its variables; a job that is no command line is left alone."""
    variables = {"MUSTER_HOLDER": "cron", "MUSTER_LEDGER": "sqlite:////x"}
    line = Job(name="line", command="muster tick line --at minute -- work", environment=variables)
    bare, flow = Job(name="bare", command="work"), Job(name="flow", parameters={"size": 1})
    rows = tuple(Schedule(name=j.name, job=j.name, rule=CronRule(expression="* * * * *")) for j in (line, bare, flow))
    inventory = Inventory(jobs=(line, bare, flow), schedules=rows)
    said = {"MUSTER_HOLDER": "prefect", **({"MUSTER_WHEN_AWAY": away} if away else {})}

    to_cron = CutoverSpec.model_validate({"when_away": away})
    jobs, schedules = copied(to_cron, inventory, "prefect")
    assert [dict(job.environment) for job in jobs] == [variables | said, {}, {}]
    assert [dict(one.parameters) for one in schedules] == [{}, {}, {"size": 1}]

    told = [{"jobs": ["*"], "own": {"entrypoint": "flows.command.command"}}]
    to_prefect = CutoverSpec.model_validate({"when_away": away, "jobs": told})
    given = {"holder": "prefect", **({"when_away": away} if away else {})}
    assert [dict(one.parameters) for one in copied(to_prefect, inventory, "prefect")[1]] == [
        {"command": line.command, "environment": variables | said, "schedule": "line", **given},
        {"command": "work", "environment": {}, "schedule": "bare", **given},
        {"size": 1},
    ]


def test_few_claims_are_read_however_many_there_are(
    pair: Pair, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = ledger.now()
    for name in NAMES:
        assert claim(ledger, name, "cron", ago=MINUTE)
    spans: list[tuple[int, timedelta]] = []
    ask = ledger.claims_between

    def counted(names: set[str], after: datetime, until: datetime) -> object:
        spans.append((len(names), until - after))
        return ask(names, after, until)

    monkeypatch.setattr(ledger, "claims_between", counted)
    assert fitness.words_of(ledger, [*NAMES, "yearly"], now)
    assert spans[0] == (3, timedelta(minutes=3))
    assert {count for count, _ in spans[1:]} == {1}


def test_of_several_the_newest_counts() -> None:
    now = datetime.fromisoformat("2026-11-26T12:00:00+00:00")

    def word(minutes: int, holder: str, *, is_fenced: bool = False) -> Word:
        return Word(Tick("orders", now - minutes * MINUTE), holder, is_owned=False, is_fenced=is_fenced)

    late = timedelta(minutes=1)
    assert strangers([word(9, "blue"), word(5, "cron")], "cron", now, late) == ()
    (odd,) = strangers([word(9, "cron"), word(5, "blue"), word(4, "blue")], "cron", now, late)
    assert odd.words("cron") == "orders claimed its tick of 2026-11-26 11:56 as blue, not as cron"
    assert strangers([word(5, "cron", is_fenced=True)], "cron", now, late) == ()
