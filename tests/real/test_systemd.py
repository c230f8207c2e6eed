"""A running systemd, for real: what is held does not start, what is released does, there and back, and from now on."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from muster.cutover.schedule import CronRule, IntervalRule, Job, Schedule, Stage, Tick
from tasks.regions.patience import countdown
from tasks.schedulers.scheduler import Reach
from tasks.schedulers.systemd import Systemd
from tests.real.systemd_manager import Manager

EVERY_2_S = IntervalRule(seconds=2, anchor=datetime(2026, 1, 1, tzinfo=UTC))
BOTH = {"orders", "report"}


@pytest.fixture
def manager() -> Iterator[Manager]:
    folder = Path(tempfile.mkdtemp(prefix="msysd", dir="/tmp"))
    made = Manager(folder)
    try:
        made.start(journal=True)
        with made.found():
            yield made
    finally:
        made.close()
        shutil.rmtree(folder)


@pytest.fixture
def out(manager: Manager) -> Path:
    made = manager.units.parents[3] / "out"
    made.touch()
    return made


def reach() -> Reach:
    return Reach("plan/run 1", countdown(60))


def wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def mirrored(manager: Manager, out: Path, *schedules: Schedule) -> Systemd:
    """One job for each, held, that writes its name and then takes a while."""
    jobs = [
        Job(
            name=s.job,
            command=f'echo "$NAME 100% \\\\ $(date +%s)" >> {out}; sleep 0.7',
            environment={"NAME": f'{s.job} $x "5%"'},
        )
        for s in schedules
    ]
    scheduler = manager.scheduler()
    assert scheduler.identify().description
    scheduler.mirror(jobs, schedules, reach())
    assert scheduler.released({s.name for s in schedules}) == frozenset()
    return scheduler


def writers(out: Path) -> list[str]:
    """Whose jobs ran."""
    lines = out.read_text().splitlines()
    assert all(' $x "5%" 100% \\' in line for line in lines)
    return [line.split()[0] for line in lines]


def runs_of(out: Path, names: list[str], seconds: float) -> None:
    """For so long these run, and no others."""
    out.write_text("")
    time.sleep(seconds)
    assert sorted(set(writers(out))) == names


def test_what_is_held_stops_and_what_is_released_starts_there_and_back(manager: Manager, out: Path) -> None:
    wanted = [Schedule(name=name, job=name, rule=EVERY_2_S) for name in sorted(BOTH)]
    scheduler = mirrored(manager, out, *wanted)
    begun = datetime.now(UTC)
    runs_of(out, [], 3)

    scheduler.release({"orders"}, reach())
    wait_until(lambda: len(writers(out)) > 1)
    wait_until(lambda: bool(scheduler.at_work(BOTH)))
    at_work = scheduler.at_work(BOTH) or ()
    assert [firing.schedule for firing in at_work] == ["orders"]
    assert at_work[0].at.second % 2 == 0
    assert abs(at_work[0].at - datetime.now(UTC)) < timedelta(seconds=3)

    scheduler.hold({"orders"}, reach())
    scheduler.release({"report"}, reach())
    wait_until(lambda: not any(f.schedule == "orders" for f in scheduler.at_work(BOTH) or ()))
    runs_of(out, ["report"], 4.5)

    scheduler.hold({"report"}, reach())
    scheduler.release({"orders"}, reach())
    wait_until(lambda: not any(f.schedule == "report" for f in scheduler.at_work(BOTH) or ()))
    runs_of(out, ["orders"], 4.5)
    scheduler.hold({"orders"}, reach())
    wait_until(lambda: scheduler.at_work(BOTH) == ())

    told = scheduler.history(BOTH, begun, datetime.now(UTC)) or ()
    assert {firing.schedule for firing in told} == BOTH
    assert {firing.stage for firing in told} == {Stage.DONE}
    ticks = [firing.tick for firing in told]
    assert len(set(ticks)) == len(ticks)
    assert set(ticks) < set(scheduler.next_ticks(wanted, begun, datetime.now(UTC)) or ())

    scheduler.remove(BOTH, reach())
    assert not list(manager.units.glob("*.timer"))
    assert not list(manager.units.glob("*.service"))


def test_a_timer_that_catches_up_does_not_when_it_is_released(manager: Manager, out: Path) -> None:
    """And would, had it not been made to forget: that is tried too."""
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    rule = CronRule(expression=f"{an_hour_ago.minute} {an_hour_ago.hour} * * *")
    scheduler = mirrored(manager, out, Schedule(name="orders", job="orders", rule=rule, catch_up=True))
    stamp = manager.stamps / "stamp-orders.timer"

    def fired_yesterday() -> None:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
        os.utime(stamp, (an_hour_ago.timestamp() - 86400,) * 2)

    fired_yesterday()
    scheduler.release({"orders"}, reach())
    runs_of(out, [], 2)
    scheduler.hold({"orders"}, reach())
    fired_yesterday()
    manager.systemctl("enable", "--now", "orders.timer")
    wait_until(lambda: writers(out) == ["orders"])


def test_due_times_are_those_that_systemd_computes(manager: Manager) -> None:
    night = datetime(2026, 3, 28, 12, tzinfo=UTC)
    rule = CronRule(expression="30 2 * * *", timezone="Europe/Berlin")
    found = manager.scheduler().next_ticks([Schedule(name="x", job="x", rule=rule)], night, night + timedelta(days=2))
    assert found == (Tick("x", datetime(2026, 3, 30, 0, 30, tzinfo=UTC)),)  # 02:30 on the 29th was not
