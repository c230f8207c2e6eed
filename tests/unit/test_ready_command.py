"""`muster ready`: what it prints, what programs get, and how it ends."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from paper_looks import Paper, a_plan, looking_conductor
from rich.console import Console
from test_readiness_looking import open_run

import muster.cli.ready as command
from muster.cli import invoke
from muster.cli.ready import ready
from muster.errors import Refusal, UsageError
from muster.ledger import open_ledger
from muster.ownership import this_process
from muster.settings import Settings

SCHEMA = json.loads(Path("docs/schemas/ready.schema.json").read_text())


@dataclass
class Desk:
    """An installation whose plans' looks are of paper."""

    settings: Settings
    paper: Paper

    def write(self, *names: str) -> None:
        for name in names:
            plan = a_plan(name).model_dump(mode="json", include={"name", "kind", "environment", "owner", "target"})
            (self.settings.plans / f"{name}.yaml").write_text(yaml.safe_dump(plan | {"failover": {"scenario": "kill"}}))

    def ask(self, name: str | None = None, **options: Any) -> tuple[int, list[str]]:
        console = Console(file=StringIO(), width=80)
        code = ready(self.settings, name, console=console, **options)
        return code, [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    plans = tmp_path / "plans"
    plans.mkdir()
    restore = {"name": "restore-shop", "kind": "restore", "environment": "test", "owner": "me"}
    restore |= {"target": {"type": "embedded"}, "restore": {"database": "shop"}}
    (plans / "restore-shop.yaml").write_text(yaml.safe_dump(restore))
    paper = Paper()
    monkeypatch.setattr(command, "conductor_of", lambda settings, ledger: looking_conductor(settings, ledger, paper))
    return Desk(Settings(home=tmp_path / "home", plans=plans, store=str(tmp_path / "store")), paper)


def well(_: Paper) -> None:
    pass


def blind(paper: Paper) -> None:
    paper.breaks(Refusal("neither server answers", "start them"))


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [(well, 0, "✓ ready"), (Paper.is_ill, 1, "✕ not ready"), (blind, 2, "○ not seen")],
    ids=["ready", "not ready", "not seen"],
)
def test_its_exit_code_is_what_it_saw(desk: Desk, make: Callable[[Paper], None], code: int, words: str) -> None:
    desk.write("failover-shop")
    make(desk.paper)
    ended, lines = desk.ask("failover-shop")
    assert ended == code
    assert lines[0].split() == ["readiness", "plan", "so", "for", "checks"]
    assert lines[1].startswith(words)
    assert lines[-1] == "A look is no proof: `muster status` tells what drills proved."


def test_every_finding_against_it_is_told_with_its_advice(desk: Desk) -> None:
    desk.write("failover-shop", "failover-stock")
    desk.paper.is_ill()
    code, lines = desk.ask()
    assert code == 1
    assert "✕ not ready  failover-shop: lag: 31 s behind; owner: shop team" in lines
    assert "             → the standby does not keep up" in lines
    assert [line.split()[:2] for line in lines[1:3]] == [["✕", "not"], ["✓", "ready"]]
    assert not any("restore-shop" in line for line in lines)


def test_of_several_the_worst_counts(desk: Desk) -> None:
    desk.write("failover-shop", "failover-stock")
    blind(desk.paper)
    assert desk.ask()[0] == 2
    desk.paper.is_ill("failover-stock")
    assert desk.ask()[0] == 1


def test_programs_get_what_the_schema_says(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write("failover-shop", "failover-stock", "failover-west")
    desk.paper.is_ill("failover-stock")
    desk.paper.breaks(Refusal("away"), "failover-west")
    assert desk.ask(as_json=True, who="ann") == (1, [])
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert [(p["plan"], p["state"], len(p["findings"])) for p in told["plans"]] == [
        ("failover-shop", "ready", 1), ("failover-stock", "not ready", 2), ("failover-west", "not seen", 1),
    ]  # fmt: skip
    assert told["exit_code"] == 1
    assert all(p["by"].startswith("ann@") for p in told["plans"])


def test_what_it_saw_is_kept(desk: Desk) -> None:
    desk.write("failover-shop")
    desk.ask()
    desk.ask()
    with open_ledger(desk.settings.ledger_url) as ledger:
        assert [look.number for look in ledger.looks("failover-shop", 9)] == [2, 1]


def test_what_a_drill_moves_was_not_seen(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write("failover-shop")
    with open_ledger(desk.settings.ledger_url) as ledger:
        open_run(looking_conductor(desk.settings, ledger, desk.paper), a_plan(), this_process())
    code, lines = desk.ask()
    assert code == 2
    assert "a drill of its group is going on" in " ".join(lines)
    assert desk.paper.looked == []
    desk.ask(as_json=True)
    jsonschema.validate(json.loads(capsys.readouterr().out), SCHEMA)


def test_of_nothing_nothing_was_seen(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.ask() == (2, ["No plan here has a target that can be looked at: nothing was seen."])
    assert desk.ask(as_json=True)[0] == 2
    jsonschema.validate(json.loads(capsys.readouterr().out), SCHEMA)


def test_a_kind_without_a_look_says_so(desk: Desk) -> None:
    with pytest.raises(UsageError, match="a restore drill has no look") as caught:
        desk.ask("restore-shop")
    assert "muster run restore-shop" in caught.value.advice


def test_it_is_a_command(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write("failover-shop")
    monkeypatch.setenv("MUSTER_HOME", str(desk.settings.home))
    monkeypatch.setenv("MUSTER_PLANS", str(desk.settings.plans))
    assert invoke(["ready", "failover-shop", "--as", "ann"]) == 0
    assert "✓ ready" in capsys.readouterr().out
    assert invoke(["ready", "nowhere"]) == 64
