"""Debian's cron, for real: what is held does not start, what is released does, there and back, in both forms.

To see three ticks takes between two minutes and three.
"""

import json
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from muster.cutover.schedule import CronRule, Job, Schedule, Stage
from muster.settings import Settings
from tasks.regions.patience import countdown
from tasks.schedulers.cron import open_scheduler
from tasks.schedulers.scheduler import Reach, Scheduler
from tasks.schedulers.zones import machine_zone
from tests.real.cron_daemon import Daemon, cron_daemon, wait_until

pytestmark = pytest.mark.timeout(600)  # cron counts in minutes
MINUTE = timedelta(minutes=1)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with cron_daemon() as made:
        yield made


def reach() -> Reach:
    return Reach("plan/run 1", countdown(30))


def released(daemon: Daemon, name: str, file: str, form: str) -> Scheduler:
    """A scheduler with one job for each minute, held."""
    keys = {"file": str(daemon.folder / file), "form": form, "log": str(daemon.log)}
    scheduler = open_scheduler(keys | ({"run_as": "root"} if form == "system" else {}), Settings())
    job = Job(name=name, command=f'echo "{name} $(date -u +%FT%H:%M)" >> {daemon.out}; sleep 4')
    schedule = Schedule(name=name, job=name, rule=CronRule(expression="* * * * *", timezone=machine_zone()))
    scheduler.mirror([job], [schedule], reach())
    scheduler.identify()
    assert scheduler.released({name}) == frozenset()
    return scheduler


def started(daemon: Daemon, after: list[str], name: str) -> datetime:
    """The tick at which this one started, and no other did."""
    wait_until(lambda: len(daemon.lines()) > len(after), 70)
    time.sleep(1.5)
    assert [line.split()[0] for line in daemon.lines()[len(after) :]] == [name]
    return datetime.fromisoformat(daemon.lines()[-1].split()[1]).replace(tzinfo=UTC)


def test_what_is_held_stops_and_what_is_released_starts_there_and_back(daemon: Daemon) -> None:
    user = released(daemon, "orders", "crontabs/root", "user")
    system = released(daemon, "report", "cron.d/handover", "system")
    user.release({"orders"}, reach())
    daemon.start()
    begun = datetime.now(UTC)
    first = started(daemon, [], "orders")
    assert [(f.schedule, f.at) for f in user.at_work({"orders"}) or ()] == [("orders", first)]
    assert system.at_work({"report"}) == ()

    user.hold({"orders"}, reach())
    system.release({"report"}, reach())
    assert started(daemon, daemon.lines(), "report") == first + MINUTE

    system.hold({"report"}, reach())
    user.release({"orders"}, reach())
    assert started(daemon, daemon.lines(), "orders") == first + 2 * MINUTE

    wait_until(lambda: user.at_work({"orders"}) == (), 20)
    until = datetime.now(UTC)
    told = [*(user.history({"orders"}, begun, until) or ()), *(system.history({"report"}, begun, until) or ())]
    assert [(f.schedule, f.at, f.stage) for f in sorted(told, key=lambda firing: firing.at)] == [
        ("orders", first, Stage.DONE),
        ("report", first + MINUTE, Stage.DONE),
        ("orders", first + 2 * MINUTE, Stage.DONE),
    ]
    assert user.history({"orders"}, begun - timedelta(hours=1), datetime.now(UTC)) is None


THERE = """
import json, subprocess, sys
from muster.cutover.schedule import Cut, CronRule, Job, Schedule
from muster.settings import Settings
from tasks.schedulers.cron import open_scheduler
from tasks.schedulers.scheduler import Reach

def kept():
    return subprocess.run(["crontab", "-l"], capture_output=True, text=True).stdout

seen = [kept()]
scheduler = open_scheduler({"user": "root", "timezone": "UTC"}, Settings())
reach = Reach("plan/run 1", lambda: 30)
found = scheduler.inventory(Cut(names=("old",)))
scheduler.hold(["old"], reach)
seen.append(kept())
new = Job(name="new", command="date +%F", environment={"MAILTO": "", "PATH": "/bin"})
scheduler.mirror([new], [Schedule(name="new", job="new", rule=CronRule(expression="0 5 * * *"))], reach)
scheduler.release(["new"], reach)
seen.append(kept())
scheduler.remove(["new"], reach)
scheduler.release(["old"], reach)
seen.append(kept())
json.dump(seen, sys.stdout)
"""


def test_a_users_table_is_changed_by_crontab_and_by_nothing_else(daemon: Daemon) -> None:
    before = 'MAILTO=""\n# muster: name=old\n*/5 *  * * *\tdate +\\%F%x\n'
    (daemon.folder / "before").write_text(before)
    ran = daemon.run('crontab before && cd "$2" && exec "$1" -c "$3"', sys.executable, str(Path.cwd()), THERE)
    said, _ = ran.communicate(timeout=60)
    assert ran.returncode == 0, said
    seen = json.loads(said)
    assert seen[0] == seen[3] == before
    assert seen[1] == before.replace("*/5", "#muster-held# */5")
    assert seen[2] == seen[1] + textwrap.dedent(
        """\
        # muster: mark='plan/run 1' name=new
        MAILTO=""
        PATH=/bin
        0 5 * * * date +\\%F
        """
    )
    kept = daemon.folder / "crontabs/root"
    assert kept.read_text().endswith(before)
