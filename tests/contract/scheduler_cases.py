"""The schedulers that the contract suite runs over: one case each.

A case is a context manager that is given an empty folder. It yields a `Subject` whose scheduler has the three jobs of
`SEEDS`, each with one schedule of the same name, and whatever unfit ones its kind can have; it leaves nothing running.
Real Prefect servers run on from one test to the next: `prefect_servers` stops them.
A new scheduler is a function here and a line in `CASES`.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import httpx

from muster.cutover.schedule import CronRule, Job, Schedule, Unfit
from muster.settings import Settings
from tasks.estate.bluegreen import BLUE, GREEN
from tasks.schedulers import cron, prefect, systemd
from tasks.schedulers.airflow import AirflowScheduler, Spec
from tasks.schedulers.crontab_store import FileTable
from tasks.schedulers.prefect_api import Address, Api
from tasks.schedulers.scheduler import Scheduler
from tasks.schedulers.systemd_calls import Systemctl
from tests.contract import prefect_servers
from tests.contract.airflow_replay import ReplayedAirflow
from tests.fakes import FakeScheduler
from tests.real.systemd_manager import Manager


class Seed(NamedTuple):
    """A job, and when it starts, in UTC."""

    name: str
    expression: str
    """Five fields of cron."""
    owner: str = ""
    tags: tuple[str, ...] = ()
    active: bool = True


SEEDS = (
    Seed("orders", "*/5 * * * *", "data", ("shop", "hourly")),
    Seed("invoices", "0 5 * * 1-5", "data", ("shop",)),
    Seed("report", "30 2 1 * *", "ops", active=False),
)


@dataclass(frozen=True)
class Subject:
    """A scheduler under contract."""

    scheduler: Scheduler
    empty: Scheduler
    """Another of its kind, that has nothing."""
    deaf: Callable[[], AbstractContextManager[object]]
    """While this is open the scheduler takes orders, says nothing against them, and follows none."""
    unfit: frozenset[str] = frozenset()
    """Names of what it must call unfit."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """Verbs that this kind does not have, and why. They must be refused."""
    prefix: str = ""
    """Begins the name of every job: in Prefect that of its flow."""

    def name(self, seed: str) -> str:
        """What it is called here."""
        return self.prefix + seed

    def named(self, *seeds: str) -> frozenset[str]:
        """What these are called here."""
        return frozenset(map(self.name, seeds))

    @property
    def all(self) -> frozenset[str]:
        """Names of all seeds."""
        return self.named(*(seed.name for seed in SEEDS))

    @property
    def active(self) -> frozenset[str]:
        """Names of those that start something."""
        return self.named(*(seed.name for seed in SEEDS if seed.active))


Case = Callable[[Path], AbstractContextManager[Subject]]

CRONTAB = """\
# Europe/Nowhere: "kept" as it is\t
SHELL=/bin/bash
PATH = "/usr/local/bin:/usr/bin"

# muster: name=orders owner=data tags=shop,hourly
*/5  * * * *\t{user}load-orders --since "$(date +\\%F)"
  # not ours
# muster: name=invoices owner=data tags=shop
0 5 * * 1-5 {user}invoice all%first line%second \\% line
# muster: name=report owner=ops
#muster-held# 30 2 1 * * {user}report
# muster: name=boot
@reboot {user}warm-up
#0 0 * * * {user}long gone
"""


def cron_case(form: str) -> Case:
    """A crontab as a file."""

    @contextmanager
    def case(folder: Path) -> Iterator[Subject]:
        tab, empty = folder / "tab", folder / "empty"
        tab.write_text(CRONTAB.format(user="root " if form == "system" else ""), encoding="utf-8")

        def opened(file: Path) -> Scheduler:
            return cron.open_scheduler({"file": str(file), "form": form, "timezone": "UTC"}, Settings())

        yield Subject(
            opened(tab),
            opened(empty),
            deaf=lambda: patch.object(FileTable, "write", lambda table, text: None),
            unfit=frozenset({"boot"}),
        )

    return case


SYSTEMCTL = """\
#!{python} -IS
# As far as Muster calls it. State: a folder of empty files; the units are those of the folder it is told.
import os, sys
from pathlib import Path

state, units = Path(os.environ["STAND_IN"]), Path(os.environ["STAND_IN_UNITS"])
words = [word for word in sys.argv[1:] if word not in ("--no-ask-password", "--no-pager", "--user", "--now", "--")]
with (state / "calls").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
verb, names = words[0], [word for word in words[1:] if not word.startswith("--")]
if verb == "show" and not names:
    print("Version=252")
elif verb == "show":
    blocks = []
    for name in names:
        known, on = (state / f"known-{name}").exists(), (state / f"on-{name}").exists()
        blocks.append(f"Id={name}\\nLoadState={'loaded' if known else 'not-found'}\\n"
            f"ActiveState={'active' if on else 'inactive'}\\nNeedDaemonReload=no\\nSubState=dead\\n"
            f"InvocationID=\\nInactiveExitTimestamp=\\nUnitFileState={'enabled' if on else 'disabled'}")
    print("\\n\\n".join(blocks))
elif (state / "deaf").exists():
    pass
elif verb == "daemon-reload":
    for old in state.glob("known-*"):
        old.unlink()
    for file in units.iterdir():
        (state / f"known-{file.name}").touch()
elif verb in ("enable", "disable", "clean"):
    for name in names:
        if not (units / name).exists():
            sys.exit(f"Failed to {verb} unit: Unit file {name} does not exist.")
        mark = state / f"on-{name}"
        if verb == "clean" and mark.exists():
            sys.exit(f"Failed to clean unit {name}: Unit is not inactive.")
        mark.touch() if verb == "enable" else mark.unlink(missing_ok=True)
        if verb == "clean":
            mark.unlink(missing_ok=True)
else:
    sys.exit(f"the stand-in knows no {verb}")
"""

UNITS = {
    "orders.timer": """\
# muster: name=orders owner=data tags=shop,hourly
[Unit]
Description=Orders, every five minutes
[Timer]
OnCalendar=*:0/5
AccuracySec=1us
[Install]
WantedBy=timers.target
""",
    "orders.service": """\
[Unit]
Description=Orders
[Service]
Type=oneshot
User=shop
WorkingDirectory=/srv/shop
Environment=SINCE=yesterday "NOTE=a b"
ExecStart=/usr/bin/load-orders --all
""",
    "invoices.timer": """\
# muster: name=invoices owner=data tags=shop
[Timer]
OnCalendar=Mon..Fri *-*-* 05:00:00 UTC
Persistent=true
RandomizedDelaySec=1min 30s
""",
    "invoices.service": """\
[Service]
ExecStart=/bin/sh -c "cd /srv && invoice \\"all of $$(date +%%F)\\""
""",
    "report.timer": """\
# muster: owner=ops
[Timer]
OnCalendar=*-*-01 02:30
Unit=report.service
""",
    "report.service": "[Service]\nExecStart=/usr/bin/report\n",
    "boot.timer": "[Timer]\nOnBootSec=5min\n",
    "boot.service": "[Service]\nExecStart=/usr/bin/warm-up\n",
}


class StandIn:
    """A `systemctl` on PATH that knows the units of one folder and starts nothing."""

    def __init__(self, folder: Path, units: Mapping[str, str]) -> None:
        self.state, self.units, self._bin = folder / "state", folder / "units", folder / "bin"
        for made in (self.state, self.units, self._bin):
            made.mkdir(parents=True)
        for name, text in units.items():
            (self.units / name).write_text(text, encoding="utf-8")
            (self.state / f"known-{name}").touch()
        (self._bin / "systemctl").write_text(SYSTEMCTL.replace("{python}", sys.executable), encoding="utf-8")
        (self._bin / "systemctl").chmod(0o755)

    def turn_on(self, *units: str) -> None:
        """As `enable --now` would."""
        for unit in units:
            (self.state / f"on-{unit}").touch()

    def calls(self) -> list[str]:
        """Every call that was not a question."""
        lines = (self.state / "calls").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if " show " not in line]

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Orders are taken, and not followed."""
        (self.state / "deaf").touch()
        yield
        (self.state / "deaf").unlink()

    @contextmanager
    def on_path(self) -> Iterator[None]:
        """It is what `systemctl` means."""
        with patch.dict(
            os.environ,
            PATH=f"{self._bin}:{os.environ['PATH']}",
            STAND_IN=str(self.state),
            STAND_IN_UNITS=str(self.units),
        ):
            yield

    def scheduler(self) -> Scheduler:
        """Muster's."""
        return systemd.open_scheduler({"unit_path": str(self.units), "timezone": "UTC"}, Settings())


class Apart:
    """A scheduler whose verbs are called with the environment in which its own systemd is found."""

    def __init__(self, scheduler: Scheduler, found: Callable[[], AbstractContextManager[None]]) -> None:
        self._scheduler, self._found = scheduler, found

    def __getattr__(self, name: str) -> object:
        found = getattr(self._scheduler, name)
        if not callable(found):
            return found

        def call(*arguments: object) -> object:
            with self._found():
                return found(*arguments)

        return call


@contextmanager
def systemd_case(folder: Path) -> Iterator[Subject]:
    """Unit files, and a stand-in for the manager that reads them."""
    full, empty = StandIn(folder / "full", UNITS), StandIn(folder / "empty", {})
    full.turn_on("orders.timer", "invoices.timer", "boot.timer")
    one, other = (Apart(made.scheduler(), made.on_path) for made in (full, empty))
    yield Subject(one, other, deaf=full.deaf, unfit=frozenset({"boot"}))  # type: ignore[arg-type]


@contextmanager
def systemd_live_case(folder: Path) -> Iterator[Subject]:
    """Two managers that run, each with a home of its own."""
    short = Path(tempfile.mkdtemp(prefix="msysd", dir="/tmp"))  # for sockets
    managers = [Manager(short / name) for name in ("a", "b")]
    try:
        for name, text in UNITS.items():
            (managers[0].units / name).write_text(text, encoding="utf-8")
        for manager in managers:
            manager.start()
        managers[0].systemctl("enable", "--now", "orders.timer", "boot.timer")
        managers[0].systemctl("start", "invoices.timer")
        one, other = (Apart(manager.scheduler(), manager.found) for manager in managers)
        yield Subject(one, other, deaf=deaf_systemctl, unfit=frozenset({"boot"}))  # type: ignore[arg-type]
    finally:
        for manager in managers:
            manager.close()
        shutil.rmtree(short)


def deaf_systemctl() -> AbstractContextManager[object]:
    """It answers questions alone."""
    asked = Systemctl.call

    def call(systemctl: Systemctl, *arguments: str) -> str:
        return asked(systemctl, *arguments) if arguments[0] == "show" else ""

    return patch.object(Systemctl, "call", call)


@contextmanager
def airflow_case(folder: Path) -> Iterator[Subject]:
    """What an Airflow 3 answered, which has the DAGs deployed; and one that has none."""
    full = ReplayedAirflow({"orders", "invoices", "report", "boot"}, now=datetime.now(UTC))
    full.pause("orders", "invoices", is_paused=False)
    keys = {"url": "http://airflow", "username": "muster", "password_env": "AIRFLOW_CONTRACT", "settle": "0s"}

    def opened(world: ReplayedAirflow) -> Scheduler:
        return AirflowScheduler(Spec.model_validate(keys), world.transport)

    with patch.dict(os.environ, AIRFLOW_CONTRACT="secret"):
        yield Subject(
            opened(full),
            opened(ReplayedAirflow((), now=datetime.now(UTC))),
            deaf=full.deaf,
            unfit=frozenset({"boot"}),
            cannot={"mirror": "DAGs are code, and no API deploys them"},
        )


def prefect_case(gate: str) -> Case:
    """Two real servers, emptied before."""

    @contextmanager
    def case(_folder: Path) -> Iterator[Subject]:
        servers = prefect_servers.servers()
        servers.empty()
        blue = Api(Address(api=servers.apis[BLUE]))
        for seed in SEEDS:
            tags = (*seed.tags, f"owner:{seed.owner}")
            prefect_servers.deploy(blue, seed.name, seed.expression, tags, active=seed.active)
        prefect_servers.deploy(blue, "served", "* * * * *", (), pool="")
        prefect_servers.deploy(blue, "thrice", "* * * * *", (), pool="others", max_scheduled_runs=3)

        def opened(colour: str) -> Scheduler:
            return prefect.open_scheduler({"api": servers.apis[colour], "gate": gate}, Settings())

        yield Subject(
            opened(BLUE),
            opened(GREEN),
            deaf=deaf_prefect,
            unfit=frozenset({"shop/served", "shop/thrice"}),
            prefix=f"{prefect_servers.FLOW}/",
        )

    return case


def deaf_prefect() -> AbstractContextManager[object]:
    """It answers questions alone."""
    asked = Api._once

    def once(api: Api, method: str, path: str, body: object) -> httpx.Response:
        is_question = method == "GET" or path.endswith(("/filter", "/count"))
        return asked(api, method, path, body) if is_question else httpx.Response(200, json={})

    return patch.object(Api, "_once", once)


@contextmanager
def fake_case(_folder: Path) -> Iterator[Subject]:
    """The one that other tests stand on."""
    pairs = [
        (
            Job(name=seed.name, command=f"run {seed.name}", tags=seed.tags, owner=seed.owner),
            Schedule(name=seed.name, job=seed.name, rule=CronRule(expression=seed.expression), active=seed.active),
        )
        for seed in SEEDS
    ]
    boot = Unfit(name="boot", reason="it has no due times")
    full, empty = FakeScheduler.of("full", pairs, unfit=(boot,)), FakeScheduler("empty")
    yield Subject(full, empty, deaf=lambda: patch.object(full, "is_deaf", True), unfit=frozenset({"boot"}))


CASES: Mapping[str, Case] = {
    "fake": fake_case,
    "airflow": airflow_case,
    "cron-user": cron_case("user"),
    "cron-system": cron_case("system"),
    "systemd-stand-in": systemd_case,
    "systemd": systemd_live_case,
    "prefect": prefect_case("pool"),
    "prefect-by-deployment": prefect_case("deployment"),
}
