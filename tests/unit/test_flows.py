"""The parts of the flows that need no server: turns, the stop variable, end states, steps beside a broken Prefect."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.utilities.schema_tools import ValidationError, validate
from pydantic import BaseModel

from flows import blocks, deciding, engine
from flows.engine import as_task
from flows.halting import StopVariable, words_of
from flows.remote import longest
from flows.restore import restore
from flows.showing import end_state
from muster.cli import invoke
from muster.errors import StepError, UsageError
from muster.ledger import Ledger, open_ledger
from muster.plan import Plan, load_plan
from muster.settings import Settings
from muster.turns import turn
from muster.verdict import ExitCode, Outcome

PLAN = load_plan(Path("deployments/restore-embedded.yaml"))
OTHER = Plan.model_validate(PLAN.model_dump(mode="json") | {"name": "restore-other"})
ELSEWHERE = Plan.model_validate(PLAN.model_dump(mode="json") | {"name": "elsewhere", "concurrency": "another-group"})


def in_a_while(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _hold(settings: Settings, ready: Any) -> None:
    with open_ledger(settings.ledger_url) as ledger, turn(settings, ledger, PLAN, in_a_while(5)) as why_not:
        ready.put(why_not)
        signal.pause()


def test_a_turn_is_one_process_at_a_time_and_ends_with_it_at_sigkill(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Queue()
    with open_ledger(settings.ledger_url) as ledger:
        holder = spawn.Process(target=_hold, args=(settings, ready), daemon=True)
        holder.start()
        try:
            assert ready.get(timeout=60) == ""
            told: list[str] = []
            with turn(settings, ledger, OTHER, in_a_while(0.1), told.append) as why_not:
                assert "another drill of its group" in why_not
            assert told == [why_not]
            with turn(settings, ledger, ELSEWHERE, in_a_while(0.1)) as why_not:
                assert why_not == "", "another group's turn is another's"
            os.kill(holder.pid or 0, signal.SIGKILL)
            holder.join(timeout=60)
            with turn(settings, ledger, OTHER, in_a_while(30)) as why_not:
                assert why_not == ""
        finally:
            holder.kill()


def test_a_run_in_this_process_waits_for_its_turn_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hasty = Plan.model_validate(PLAN.model_dump(mode="json") | {"time_limit": "2s"})
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / f"{hasty.name}.yaml").write_text(hasty.model_dump_json())
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MUSTER_PLANS", str(tmp_path / "plans"))
    settings = Settings.from_environment()
    with open_ledger(settings.ledger_url) as ledger, turn(settings, ledger, OTHER, in_a_while(5)) as why_not:
        assert why_not == ""
        assert invoke(["run", hasty.name, "--here", "--json"]) == ExitCode.REFUSED
        (run,) = ledger.runs()
    assert "another drill of its group has the turn" in run.headline
    assert "Waiting: another drill of its group has the turn." in capsys.readouterr().err


class Variable:
    """What a server answers, or that it does not."""

    def __init__(self) -> None:
        self.value: object = None
        self.is_away = False
        self.now = 0.0

    def __call__(self) -> object:
        if self.is_away:
            raise OSError("connection refused")
        return self.value

    def clock(self) -> float:
        return self.now


def test_any_value_of_the_variable_is_a_stop() -> None:
    variable = Variable()
    stop = StopVariable(variable, variable.clock)
    assert stop() == ""
    variable.value = {"reason": "quiet please", "by": "Ada"}
    assert stop() == "the variable muster_stop_all is set: quiet please (Ada)"
    variable.value = False
    assert "is set" in stop()


@pytest.mark.parametrize(
    ("value", "words"),
    [('{"reason": "fire"}', "fire"), ("typed in the UI", "typed in the UI"), (["x"], "['x']"), ({"a": 1}, "{'a': 1}")],
)
def test_a_stop_is_told_however_it_was_written(value: object, words: str) -> None:
    assert words_of(value) == words


def test_a_server_that_is_away_lets_nothing_start_and_ends_what_runs_after_a_minute() -> None:
    variable = Variable()
    variable.is_away = True
    assert "cannot be read: OSError" in StopVariable(variable, variable.clock)()
    variable.is_away = False
    stop = StopVariable(variable, variable.clock)
    assert stop() == ""
    variable.is_away, variable.now = True, 59.0
    assert stop() == ""
    variable.now = 61.0
    assert "cannot be read" in stop()
    variable.is_away = False
    assert stop() == ""


@pytest.mark.parametrize("outcome", Outcome)
def test_only_a_pass_is_completed(outcome: Outcome) -> None:
    state = end_state(outcome, "why")
    assert (state.name, state.message) == (outcome.value.capitalize(), "why")
    assert (state.type is StateType.COMPLETED) == (outcome is Outcome.PASSED)
    assert (state.type is StateType.CANCELLED) == (outcome is Outcome.WAIVED)


def test_the_form_asks_for_a_plan_and_a_reason() -> None:
    schema = restore.parameters.model_dump()
    assert schema["required"] == ["plan", "reason"]
    assert all(property_["description"] for property_ in schema["properties"].values())
    validate({"plan": "restore-embedded", "reason": "to see"}, schema, raise_on_error=True)
    for given in ({"plan": "x1"}, {"plan": "x1", "reason": "no"}, {"plan": "x1", "reason": "    "}):
        with pytest.raises(ValidationError):
            validate(given, schema, raise_on_error=True)


class Answer(BaseModel):
    value: int = 1


class Broken:
    """A task engine that fails before or after the step has acted."""

    def __init__(self, act: Callable[[], Answer], *, before: bool) -> None:
        self.act, self.before = act, before

    def __call__(self) -> Answer:
        if not self.before:
            self.act()
        raise RuntimeError("the server is away")


class _Log:
    def warning(self, *_: object) -> None: ...


@pytest.mark.parametrize("before", [True, False])
def test_a_step_acts_once_though_prefect_fails_around_it(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "task", lambda **_: lambda act: Broken(act, before=before))
    monkeypatch.setattr(engine, "get_run_logger", _Log)
    acted: list[int] = []
    ended: list[str] = []

    def act() -> Answer:
        acted.append(1)
        return Answer()

    assert as_task(ended.append)("fetch", act) == Answer()
    assert (acted, ended) == ([1], ["fetch"])


def test_a_step_that_fails_itself_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "task", lambda **_: lambda act: act)
    acted: list[int] = []

    def act() -> Answer:
        acted.append(1)
        raise ValueError("the step's own")

    with pytest.raises(ValueError, match="the step's own"):
        as_task()("fetch", act)
    assert acted == [1]


def test_the_ledgers_kill_switch_ends_a_wait_for_approval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan.model_validate(PLAN.model_dump(mode="json") | {"approval": {"within": "1h"}})
    asked: list[str] = []

    def ask(
        _ledger: Ledger, _run: str, _plan: Plan, _refused: str, _deadline: float, thrown: Callable[[], str]
    ) -> deciding.Answer:
        asked.append(thrown())
        ledger.stop_all("Ada", "smoke in the hall")
        asked.append(thrown())
        return deciding.Answer(approver="", approve=False)

    monkeypatch.setattr(deciding, "_ask", ask)
    with open_ledger(Settings(home=tmp_path).ledger_url) as ledger:
        wait = deciding.waiting_in_flow(ledger, "Ada", lambda: "")
        with pytest.raises(StepError, match="stopped while waiting for approval: Ada threw"):
            wait("a-run", plan)
    assert asked[0] == ""
    assert "smoke in the hall" in asked[1]


def _with_blocks(monkeypatch: pytest.MonkeyPatch, **documents: object) -> None:
    """Prefect, as it answers when it has these documents of the name that counts."""

    def load(kind: type[Block], /, name: str, **_: object) -> Block:
        assert name == "muster"
        found = documents.get(kind.get_block_type_slug().removeprefix("muster-"))
        if found is None:
            raise ValueError("unable to find it") from ObjectNotFound(OSError("404"))
        return kind.model_validate(found)

    for kind in blocks.TYPES:
        monkeypatch.setattr(kind, "load", classmethod(load))


def test_without_blocks_the_environment_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_blocks(monkeypatch)
    settings = Settings(home=tmp_path, store="s3://ours", store_lock_days=7, ledger="sqlite:////l")
    assert blocks.installation(settings) == blocks.Installation(settings)


def test_a_block_is_taken_whole_and_shows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = {"url": "s3://theirs", "access_key": "AKIA-hunter2", "secret_key": "hunter2"}
    _with_blocks(monkeypatch, store=store, ledger={"url": "postgresql://muster:hunter2@db/muster"})
    here = blocks.installation(Settings(home=tmp_path, store="s3://ours", store_lock_days=7))
    assert (here.settings.store, here.settings.store_lock_days) == ("s3://theirs", None)
    assert here.settings.ledger_url == "postgresql://muster:hunter2@db/muster"
    assert here.credentials == ("AKIA-hunter2", "hunter2")
    assert "hunter2" not in repr(here)


@pytest.mark.parametrize(
    "store",
    [{"url": "s3://theirs", "access_key": "AKIA-hunter2"}, {"url": "", "secret_key": "hunter2"}, {"secret_key": 2}],
    ids=["half a key", "no address", "nothing"],
)
def test_a_block_that_cannot_be_used_ends_the_flow_without_telling_what_it_holds(
    store: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_blocks(monkeypatch, store=store)
    with pytest.raises(UsageError, match="muster-store/muster") as caught:
        blocks.installation(Settings(home=tmp_path))
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_run_is_awaited_for_its_turn_its_approval_and_its_undo() -> None:
    asking = Plan.model_validate(PLAN.model_dump(mode="json") | {"approval": {"within": "3h"}})
    assert longest(asking) - longest(PLAN) == 3 * 3600
    assert longest(PLAN) > 2 * PLAN.time_limit.total_seconds()
