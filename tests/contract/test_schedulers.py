"""Every scheduler keeps the same promises: all is told, held is silent, a mirror takes away nothing but itself.

Each verb is called twice wherever that is asked of it. The cases are in `scheduler_cases`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from muster.cutover.schedule import Cut, Dialect, Inventory, Job, Schedule, Tick
from muster.errors import Refusal, StepError, SystemFailure
from tasks.regions.patience import countdown
from tasks.schedulers.scheduler import Reach, Scheduler
from tests.contract.scheduler_cases import CASES, SEEDS, Subject

NOON = datetime(2026, 5, 29, 12, tzinfo=UTC)


@pytest.fixture(params=list(CASES))
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    with CASES[request.param](tmp_path) as made:
        yield made


@pytest.fixture
def scheduler(subject: Subject) -> Scheduler:
    return subject.scheduler


def reach(mark: str = "plan/run 1") -> Reach:
    return Reach(mark, countdown(60))


def inventory(scheduler: Scheduler, **cut: object) -> Inventory:
    return scheduler.inventory(Cut.model_validate(cut))


def jobs(found: Inventory) -> dict[str, Job]:
    return {job.name: job for job in found.jobs}


def schedules(found: Inventory) -> dict[str, Schedule]:
    return {schedule.name: schedule for schedule in found.schedules}


def mirrored(subject: Subject, mark: str = "plan/run 1") -> Inventory:
    """Mirror all to the empty one; what is there then."""
    found = inventory(subject.scheduler)
    subject.empty.mirror(found.jobs, found.schedules, reach(mark))
    return inventory(subject.empty)


def refused(subject: Subject, verb: str) -> bool:
    """Whether the kind does not have the verb; then it must say so."""
    if verb not in subject.cannot:
        return False
    found = inventory(subject.scheduler)
    with pytest.raises(Refusal):
        {
            "mirror": lambda: subject.empty.mirror(found.jobs, found.schedules, reach()),
            "remove": lambda: subject.empty.remove(subject.all, reach()),
        }[verb]()
    return True


def is_half_a_gate(subject: Subject, names: frozenset[str]) -> bool:
    """Whether some of what is held together is among these names, and some is not."""
    gates = {job.name: subject.scheduler.gate_of(job) for job in inventory(subject.scheduler).jobs}
    within, without = ({gates[n] for n in some} for some in (names & gates.keys(), gates.keys() - names))
    return bool((within & without) - {""})


def test_it_is_a_scheduler_and_says_which(scheduler: Scheduler) -> None:
    assert isinstance(scheduler, Scheduler)
    assert isinstance(scheduler.dialect, Dialect)
    identity = scheduler.identify()
    assert identity.description
    assert identity.proof
    now = scheduler.now()
    assert now is None or abs(now - datetime.now(UTC)) < timedelta(minutes=1)


def test_two_schedulers_are_told_apart(subject: Subject) -> None:
    one, other = subject.scheduler.identify(), subject.empty.identify()
    assert not one.system_identifier or one.system_identifier != other.system_identifier
    assert one == subject.scheduler.identify()


def test_all_is_told_once_under_names_that_stay(subject: Subject, scheduler: Scheduler) -> None:
    found = inventory(scheduler)
    assert sorted(s.name for s in found.schedules) == sorted(subject.all)
    assert sorted(job.name for job in found.jobs) == sorted(subject.all)
    for seed in SEEDS:
        name = subject.name(seed.name)
        schedule = schedules(found)[name]
        job = found.job_of(schedule)
        assert (job.name, job.owner, {tag for tag in job.tags if not tag.startswith("owner:")}) == (
            name,
            seed.owner,
            set(seed.tags),
        )
        assert schedule.active == seed.active
    assert inventory(scheduler) == found


def test_what_has_no_ticks_is_told_apart_with_a_reason(subject: Subject) -> None:
    unfit = inventory(subject.scheduler).unfit
    assert {one.name for one in unfit} == subject.unfit
    assert all(one.reason for one in unfit)


@pytest.mark.parametrize(
    ("cut", "names"),
    [
        ({"tags": ("shop",)}, {"orders", "invoices"}),
        ({"tags": ("shop", "hourly")}, {"orders"}),
        ({"owner": "ops"}, {"report"}),
        ({"names": ("invoices", "rep*")}, {"invoices", "report"}),
        ({"names": ("o*",), "owner": "ops"}, set()),
    ],
)
def test_a_cut_takes_what_it_names_and_no_more(
    subject: Subject, scheduler: Scheduler, cut: dict[str, object], names: set[str]
) -> None:
    if "names" in cut:
        cut = {**cut, "names": [subject.name(str(name)) for name in cut["names"]]}  # type: ignore[attr-defined]
    if is_half_a_gate(subject, subject.named(*names)):
        with pytest.raises(Refusal):
            inventory(scheduler, **cut)
        return
    found = inventory(scheduler, **cut)
    assert set(schedules(found)) == set(jobs(found)) == subject.named(*names)
    assert found.unfit == ()


def test_what_is_held_starts_nothing_and_what_is_released_does(subject: Subject, scheduler: Scheduler) -> None:
    before = inventory(scheduler)
    assert scheduler.released(subject.all) == subject.active
    for _ in range(2):
        scheduler.hold(subject.all, reach())
        assert scheduler.released(subject.all) == frozenset()
    scheduler.rest(subject.all, reach())
    assert not any(schedule.active for schedule in inventory(scheduler).schedules)
    scheduler.arm(subject.all, reach())
    assert scheduler.released(subject.all) == frozenset()
    for _ in range(2):
        scheduler.release(subject.active, reach())
        assert scheduler.released(subject.all) == subject.active
    assert inventory(scheduler) == before


def test_only_what_is_named_is_held_or_released(subject: Subject, scheduler: Scheduler) -> None:
    orders, report = subject.named("orders"), subject.named("report")
    if is_half_a_gate(subject, orders):
        with pytest.raises(Refusal):
            scheduler.hold(orders, reach())
        assert scheduler.released(subject.all) == subject.active
        scheduler.hold(subject.active, reach())
        with pytest.raises(Refusal):
            scheduler.release(orders, reach())
        assert scheduler.released(subject.all) == frozenset()
        return
    scheduler.hold(orders, reach())
    assert scheduler.released(subject.all) == subject.active - orders
    scheduler.release(report, reach())
    assert scheduler.released(subject.all) == (subject.active | report) - orders
    assert scheduler.released(orders) == frozenset()


def test_what_is_not_there_cannot_be_released(subject: Subject, scheduler: Scheduler) -> None:
    with pytest.raises(StepError, match="nothing-like-it"):
        scheduler.release(subject.named("nothing-like-it", "orders"), reach())
    assert scheduler.released(subject.all) == subject.active


def test_orders_that_are_taken_and_not_followed_are_found_out(subject: Subject) -> None:
    scheduler = subject.scheduler
    with subject.deaf():
        with pytest.raises(SystemFailure):
            scheduler.hold(subject.all, reach())
        with pytest.raises(SystemFailure):
            scheduler.release(subject.all, reach())
    assert scheduler.released(subject.all) == subject.active


def test_a_mirror_is_held_the_same_and_safe_to_repeat(subject: Subject) -> None:
    if refused(subject, "mirror"):
        return
    found = mirrored(subject)
    assert set(schedules(found)) == subject.all
    assert subject.empty.released(subject.all) == frozenset()
    assert mirrored(subject) == found
    subject.empty.release(subject.all, reach())
    assert mirrored(subject) == found
    assert inventory(subject.scheduler).unfit == inventory(subject.scheduler).unfit


def test_what_comes_through_a_mirror_is_the_same_but_for_what_was_told(subject: Subject) -> None:
    if refused(subject, "mirror"):
        return
    before, after = inventory(subject.scheduler), mirrored(subject)
    for name, schedule in schedules(before).items():
        carried = subject.empty.carried(schedule)
        assert carried is not None
        assert schedules(after)[name] == carried.model_copy(update={"active": False})
        told = subject.empty.untold(before.job_of(schedule), schedule)
        assert all(told)
        if not told:
            assert after.job_of(schedules(after)[name]) == before.job_of(schedule)
            assert schedules(after)[name] == schedule.model_copy(update={"active": False})
        else:
            assert schedules(after)[name].rule == schedule.rule


def test_a_mirror_takes_the_place_of_its_own_older_self_alone(subject: Subject) -> None:
    if refused(subject, "mirror"):
        return
    found = inventory(subject.scheduler)
    orders = schedules(found)[subject.name("orders")]
    mirrored(subject)
    changed = orders.model_copy(update={"rule": schedules(found)[subject.name("invoices")].rule})
    subject.empty.mirror([found.job_of(orders)], [changed], reach())
    after = schedules(inventory(subject.empty))
    assert set(after) == subject.all
    assert after[subject.name("orders")].rule == after[subject.name("invoices")].rule


def test_a_name_that_is_taken_is_refused_and_nothing_is_touched(subject: Subject) -> None:
    if refused(subject, "mirror"):
        return
    before = inventory(subject.scheduler)
    with pytest.raises(Refusal, match="orders"):
        subject.scheduler.mirror(before.jobs, before.schedules, reach())
    assert inventory(subject.scheduler) == before
    there = mirrored(subject, "plan/run 1")
    with pytest.raises(Refusal):
        mirrored(subject, "plan/run 2")
    assert inventory(subject.empty) == there


def test_what_a_mirror_would_be_refused_for_is_foreseen(subject: Subject, scheduler: Scheduler) -> None:
    before, there = inventory(scheduler), inventory(subject.empty)
    one = [(before.job_of(s), s) for s in before.schedules if s.name == subject.name("orders")]
    jobs, wanted = [job for job, _ in one], [schedule for _, schedule in one]
    words = scheduler.objection(jobs, wanted, "plan/run 9")
    if "mirror" in subject.cannot:
        assert "orders" in subject.empty.objection(jobs, wanted, "plan/run 9")
    else:
        assert "orders" in words
        assert subject.empty.objection(jobs, wanted, "plan/run 9") == ""
    assert (inventory(scheduler), inventory(subject.empty)) == (before, there)


def test_nothing_is_taken_away_but_what_this_mirror_made(subject: Subject) -> None:
    if refused(subject, "mirror") or refused(subject, "remove"):
        return
    before = inventory(subject.scheduler)
    subject.scheduler.remove(subject.all, reach())
    assert inventory(subject.scheduler) == before
    there = mirrored(subject)
    subject.empty.remove(subject.all, reach("plan/run 2"))
    assert inventory(subject.empty) == there
    for _ in range(2):
        subject.empty.remove(subject.named("orders"), reach())
        assert set(schedules(inventory(subject.empty))) == subject.all - subject.named("orders")
    subject.empty.release(subject.named("report"), reach())
    subject.empty.remove(subject.all, reach())
    assert inventory(subject.empty) == Inventory(jobs=(), schedules=())


def test_due_times_are_its_own_and_in_order(subject: Subject, scheduler: Scheduler) -> None:
    found = tuple(schedule for schedule in inventory(scheduler).schedules if schedule.active)
    ticks = scheduler.next_ticks(found, NOON, NOON + timedelta(hours=1))
    if ticks is None:
        return
    assert [tick for tick in ticks if tick.schedule == subject.name("orders")] == [
        Tick(subject.name("orders"), NOON + timedelta(minutes=5 * number)) for number in range(1, 13)
    ]
    moments = [tick.at for tick in ticks]
    assert moments == sorted(moments)


def test_a_history_is_of_what_was_asked_for(subject: Subject, scheduler: Scheduler) -> None:
    until = datetime.now(UTC)
    found = scheduler.history(subject.all, until - timedelta(minutes=5), until)
    assert found is None or all(
        f.schedule in subject.all and until - timedelta(minutes=5) < f.at <= until for f in found
    )
    at_work = scheduler.at_work(subject.all)
    assert at_work is None or all(not firing.stage.is_over for firing in at_work)


def test_what_was_missed_is_made_up_for_or_said_not_to_be(subject: Subject, scheduler: Scheduler) -> None:
    due = frozenset({Tick(subject.name("orders"), NOON)})
    assert scheduler.start(due, reach()) <= due
    scheduler.drop(due, reach())
    assert set(schedules(inventory(scheduler))) == subject.all
