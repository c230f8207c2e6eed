"""The watch's plans and routes while files change under it, and outages of the ledger."""

import os
import shlex
from configparser import ConfigParser
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from muster.cli import app
from muster.cli.watch import scheduler_of
from muster.notify.message import Event
from muster.notify.routes import Route, Routes
from muster.settings import Settings
from muster.watch.concerns import KINDS, Condition
from muster.watch.outage import Outage
from muster.watch.shelf import Shelf
from tasks.estate.card import Card, SchedulerCard, write_card
from tasks.process import Identity
from tests.unit.test_watch_round import Paper

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAN = {"kind": "restore", "environment": "test", "owner": "tests", "target": {"type": "paper"}, "restore": {}}


def write(folder: Path, name: str, **more: object) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, **PLAN, **more}))
    return path


def names(shelf: Shelf) -> list[str]:
    shelf.read()
    assert [card.name for card in shelf.cards] == [plan.name for plan in shelf.plans]
    return [plan.name for plan in shelf.plans]


def test_plans_that_come_change_and_go_are_seen(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert names(shelf) == []
    path = write(tmp_path, "restore-a")
    assert names(shelf) == ["restore-a"]
    first = shelf.plans[0]
    assert names(shelf) == ["restore-a"]
    assert shelf.plans[0] is first, "an unchanged file is not parsed again"
    write(tmp_path, "restore-a", owner="others")
    names(shelf)
    assert shelf.plans[0].owner == "others"
    path.unlink()
    assert names(shelf) == []
    assert shelf.is_whole


def test_a_broken_plan_is_told_and_known_as_it_was(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    path, _ = write(tmp_path, "restore-a"), write(tmp_path, "restore-b")
    names(shelf)
    path.write_text("name: [")
    write(tmp_path, "restore-b", owner="others")
    assert names(shelf) == ["restore-a", "restore-b"]
    assert [plan.owner for plan in shelf.plans] == ["tests", "others"], "the others are read anew"
    assert not shelf.is_whole
    assert "restore-a.yaml" in shelf.plan_faults[0]
    write(tmp_path, "restore-a")
    names(shelf)
    assert shelf.is_whole


def test_a_plan_broken_from_the_start_leaves_the_others_watched(tmp_path: Path) -> None:
    write(tmp_path, "restore-a", tpyo=1)
    write(tmp_path, "restore-b")
    shelf = Shelf(tmp_path)
    assert names(shelf) == ["restore-b"]
    assert not shelf.is_whole


def test_a_folder_that_is_gone_is_not_a_folder_without_plans(tmp_path: Path) -> None:
    folder = tmp_path / "plans"
    folder.mkdir()
    path = write(folder, "restore-a")
    shelf = Shelf(folder)
    names(shelf)
    path.unlink()
    folder.rmdir()
    assert names(shelf) == ["restore-a"]
    assert not shelf.is_whole


def test_broken_routes_are_told_and_known_as_they_were(tmp_path: Path) -> None:
    routes = tmp_path / "routes.yaml"
    routes.write_text("routes: [{name: ops, apprise_env: OPS_URL}]")
    shelf = Shelf(tmp_path)
    shelf.read()
    assert shelf.route_fault == ""
    routes.write_text("routes: [{name: ops, apprise: OPS_URL}]")
    shelf.read()
    assert "apprise" in shelf.route_fault
    assert [route.name for route in shelf.routes.all] == ["ops"]


def test_a_plan_that_names_a_route_there_is_not_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, "restore-a", notifications=["ops"])
    shelf = Shelf(tmp_path)
    assert names(shelf) == ["restore-a"]
    assert "'ops'" in shelf.plan_faults[0]
    (tmp_path / "routes.yaml").write_text("routes: [{name: ops, apprise_env: OPS_URL}]")
    names(shelf)
    assert shelf.plan_faults == ()


def test_an_outage_is_told_once_when_it_is_no_accident_and_once_when_it_is_over() -> None:
    out, outage = Paper(Routes((Route(name="ops", apprise_env="X"), Route(name="pager", apprise_env="X")))), Outage()
    out.down.add("pager")

    def fail(minute: int) -> list[str]:
        outage.failed(Condition.LEDGER_AWAY, "it is locked", out, NOON + timedelta(minutes=minute))
        told = [name for name, message in out.sent if message.event is Event.RAISED]
        out.sent.clear()
        return told

    assert [fail(0), fail(1), fail(2), fail(3)] == [[], [], ["ops"], []]
    out.down.clear()
    assert fail(4) == ["pager"]
    outage.over(out, NOON + timedelta(minutes=63))
    assert [(name, m.title) for name, m in out.sent] == [
        ("ops", "over: the ledger was away for 63 m 00 s"), ("pager", "over: the ledger was away for 63 m 00 s"),
    ]  # fmt: skip
    out.sent.clear()
    outage.over(out, NOON + timedelta(minutes=64))
    assert out.sent == []


def test_a_round_that_fails_now_and_then_wakes_nobody() -> None:
    out, outage = Paper(Routes((Route(name="ops", apprise_env="X"),))), Outage()
    for minute in range(0, 20, 2):
        outage.failed(Condition.LEDGER_AWAY, "it is locked", out, NOON + timedelta(minutes=minute))
        outage.failed(Condition.LEDGER_AWAY, "it is locked", out, NOON + timedelta(minutes=minute + 1))
        outage.over(out, NOON + timedelta(minutes=minute + 2))
    assert out.sent == []


@pytest.fixture
def unit() -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read("deployments/watch/muster-watch.service")
    return parser


def commands() -> set[str]:
    import typer

    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_the_service_runs_a_command_there_is_and_stays(unit: ConfigParser) -> None:
    program, command, *options = shlex.split(unit["Service"]["ExecStart"])
    assert program.endswith("/muster")
    assert command in commands()
    assert options == ["--every", "60"]
    assert unit["Service"]["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Service"]["Environment"] == f"MUSTER_HOME=/var/lib/{unit['Service']['StateDirectory']}"


def test_the_cron_line_runs_one_round() -> None:
    lines = Path("deployments/watch/muster-watch.cron").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("*")]
    assert line.split()[:6] == ["*"] * 5 + ["muster"]
    assert line.endswith("muster watch --once")


def test_the_scheduler_looked_at_is_the_one_named_or_the_estates(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert scheduler_of(settings) == ("", False), "no estate, or one that was told to stop"
    me = Identity.of(os.getpid())
    assert me
    gone = replace(me, ticks=1)
    settings.estate.mkdir()
    for process, died in ((me, False), (gone, True)):
        scheduler = SchedulerCard(process=process, api="http://127.0.0.1:1/api", ui="http://127.0.0.1:1", pool="muster")
        write_card(Card(keeper=gone, scheduler=scheduler), settings)
        assert scheduler_of(settings) == ("http://127.0.0.1:1/api", died)
    named = Settings(home=tmp_path, scheduler="http://prefect.internal:4200/api")
    assert scheduler_of(named) == ("http://prefect.internal:4200/api", False)


def test_every_condition_is_documented_with_its_severities() -> None:
    page = Path("docs/watch.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    told = {row[0]: (row[2], row[3]) for row in rows if len(row) == 4 and row[0] in set(Condition)}
    assert told == {c.value: (k.severity, k.in_production) for c, k in KINDS.items()}
