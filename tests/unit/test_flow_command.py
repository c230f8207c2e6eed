"""The flow that a line of a crontab becomes: it works on a tick that it was granted, and on no other."""

import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.client.schemas.objects import State, StateType

from flows import command as module
from flows.guarding import Run
from muster.ledger import Ledger, open_ledger
from muster.settings import Settings

AT = datetime(2026, 11, 26, 2, 30, tzinfo=UTC)
NAME = "orders"
NOWHERE = {"MUSTER_LEDGER": "postgresql://nobody@127.0.0.1:1/none"}


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The ledger where jobs claim; the worker's own is another, and knows nothing."""
    for name in ("MUSTER_HOLDER", "MUSTER_LEDGER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "worker"))
    monkeypatch.setattr(module, "run_here", lambda: Run("one", AT))
    monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("a run"))
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}") as opened:
        opened.assign_owner([NAME], "prefect")
        yield opened


def run(ledger: Ledger, work: str, **asked: object) -> State:
    environment = {"MUSTER_LEDGER": str(ledger.engine.url), "MUSTER_HOLDER": "cron", "DAY": "monday"}
    return module.command.fn(work, NAME, **{"environment": environment, "holder": "prefect", **asked})  # type: ignore[arg-type]


def claims(ledger: Ledger) -> list[tuple[datetime, str]]:
    since = AT.replace(hour=0)
    return [(claim.at, claim.holder) for claim in ledger.claims_between([NAME], since, AT)]


def test_a_copied_line_claims_for_its_new_scheduler_and_works(ledger: Ledger, tmp_path: Path) -> None:
    said = tmp_path / "said"
    done = run(ledger, f'muster tick orders --at minute -- echo "$DAY $MUSTER_HOLDER $MUSTER_TICK" > {said}')
    assert (done.type, done.name) == (StateType.COMPLETED, "Completed")
    assert said.read_text() == "monday prefect 2026-11-26T02:30:00Z\n"
    assert claims(ledger) == [(AT, "prefect")]


@pytest.mark.parametrize("muster", ["muster", str(Path(sys.executable).with_name("muster"))])
def test_it_claims_once_however_cron_finds_the_program(ledger: Ledger, muster: str) -> None:
    assert run(ledger, f"{muster} tick orders --at {AT.isoformat()} -- true").is_completed()
    assert claims(ledger) == [(AT, "prefect")]
    assert ledger.refusals_between([NAME], AT.replace(hour=0), AT) == ()


def test_the_exit_code_is_the_runs_end(ledger: Ledger) -> None:
    failed = run(ledger, "exit 3")
    assert failed.is_failed()
    assert failed.message == "exit code 3"


def test_it_ends_at_its_time_limit(ledger: Ledger) -> None:
    assert run(ledger, "sleep 60", time_limit=0.1).is_failed()


def test_a_tick_that_somebody_has_is_not_worked_and_is_no_failure(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.claim_tick(NAME, AT, "prefect").granted
    done = run(ledger, f"touch {tmp_path / 'worked'}")
    assert (done.type, done.name) == (StateType.COMPLETED, "Refused")
    assert not (tmp_path / "worked").exists()


@pytest.mark.parametrize(("holder", "told"), [("cron", "claimed as cron"), ("", "claimed as cron")])
def test_a_scheduler_that_is_fenced_is_not_shown_as_well(
    ledger: Ledger, tmp_path: Path, holder: str, told: str
) -> None:
    """Nobody may do the work here, and nobody is known to do it elsewhere."""
    done = run(ledger, f"touch {tmp_path / 'worked'}", holder=holder)
    assert done.is_failed()
    assert told in str(done.message)
    assert not (tmp_path / "worked").exists()


@pytest.mark.parametrize(
    ("command", "asked", "works"),
    [
        ("touch {}", {}, False),
        ("touch {}", {"when_away": "wait"}, False),
        ("touch {}", {"when_away": "run"}, True),
        ("touch {}", {"environment": NOWHERE | {"MUSTER_WHEN_AWAY": "run"}}, True),
        ("muster tick orders --at minute --patience 0 --when-away run -- touch {}", {}, True),
        ("muster tick orders --at minute --patience 0 --when-away run -- touch {}", {"when_away": "wait"}, False),
    ],
)
def test_while_the_ledger_is_away_the_policy_decides_and_a_run_that_does_nothing_has_failed(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, asked: dict[str, object], works: bool
) -> None:
    monkeypatch.setattr("muster.guard.PATIENCE", {"run": 0.0, "wait": 0.0})
    done = run(ledger, command.format(tmp_path / "worked"), **{"environment": NOWHERE, **asked})
    assert done.is_completed() is works
    assert done.is_failed() is not works
    assert (tmp_path / "worked").exists() is works
    assert claims(ledger) == []


def test_a_run_that_is_tried_again_works_again(ledger: Ledger, tmp_path: Path) -> None:
    """Its tick is its own: to refuse it would show a run as well that failed, and did nothing the second time."""
    assert run(ledger, f"echo x >> {tmp_path / 'worked'}; exit 1").is_failed()
    assert run(ledger, f"echo x >> {tmp_path / 'worked'}").name == "Completed"
    assert (tmp_path / "worked").read_text() == "x\nx\n"
    assert claims(ledger) == [(AT, "prefect")]
    assert ledger.refusals_between([NAME], AT.replace(hour=0), AT) == ()


def test_a_run_by_hand_serves_no_due_time(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_here", lambda: Run("one", None))
    assert run(ledger, '[ -z "$MUSTER_TICK" ]').is_completed()
    assert claims(ledger) == []


def test_the_workers_own_settings_do_where_the_line_says_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_LEDGER", str(ledger.engine.url))
    monkeypatch.setenv("MUSTER_HOLDER", "prefect")
    assert run(ledger, "true", environment=None, holder="").is_completed()
    assert claims(ledger) == [(AT, "prefect")]
    assert Settings.from_environment().holder == "prefect"
