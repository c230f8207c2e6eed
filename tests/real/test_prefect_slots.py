"""Slots through a real Prefect server: the form, schedules, duplicates, late runs, approval, the kill switch, states.

One server and worker for all of it; drills run on backups that are there already.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
import yaml
from sqlalchemy import update

from flows.registry import conductor_of
from flows.remote import set_stop_variable, start_slot
from muster.journal import EventKind, History, RunState
from muster.ledger import NewRun, Run, Trigger, open_ledger
from muster.ledger.schema import standings
from muster.ownership import this_process
from muster.plan import find_plan
from muster.settings import Settings
from muster.slots import account_slots
from muster.verdict import ExitCode, Outcome
from tasks.estate.deployments import take_away_others, write_prefect_file
from tasks.estate.estate import Estate, Part
from tasks.postgres.binaries import wheel_binaries
from tests.real.conftest import Backups, Home

PATIENCE = 120.0
T = TypeVar("T")
HOURLY = {"cron": "0 * * * *", "grace": "10m"}
FORGOTTEN = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)
"""A slot that nobody started; the next is 23 hours away."""
REFUSED = {"postgres_bin": "/nowhere"}
PLANS: dict[str, dict[str, Any]] = {
    "whole": {"approval": {"by": ["Grace Hopper"], "within": "2m"}, "concurrency": "those-who-wait"},
    "broken": {"restore": {"sql": [{"name": "no order at all", "sql": "select count(*) from orders", "equals": 0}]}},
    "unseen": {"target": {"folder": "without references"}},
    "gone": {"restore": REFUSED},
    "forgotten": {"restore": REFUSED, "cadence": {"interval": "1d", "anchor": FORGOTTEN.isoformat(), "grace": "10m"}},
    "skipped": {"restore": REFUSED, "cadence": {**HOURLY, "late": "skip"}},
    "waived": {
        "cadence": {**HOURLY, "blackouts": [
            {"from": "2020-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z", "reason": "frozen"}]},
    },
    "impatient": {"approval": {"within": "4s"}},
    "slow": {"restore": {"postgres_bin": "slow tools"}},
}  # fmt: skip


@dataclass
class Server:
    """An installation whose scheduler is up, and the API as a browser sees it."""

    home: Home
    api: str

    def post(self, path: str, body: object, method: str = "POST") -> Any:
        request = urllib.request.Request(
            f"{self.api}{path}", json.dumps(body).encode(), {"content-type": "application/json"}, method=method
        )
        for _ in range(20):  # a busy server says 503, as its own client knows
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read() or "null")
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
            time.sleep(1)
        raise AssertionError("the server stays busy")

    def deployment(self, plan: str) -> dict[str, Any]:
        (found,) = self.post("/deployments/filter", {"deployments": {"name": {"any_": [plan]}}})
        return dict(found)

    def run_button(self, plan: str, **parameters: Any) -> str:
        """What the UI's Run form sends; the flow run's id. Muster's own round is the plan `muster`."""
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self.post(f"/deployments/{self.deployment(plan)['id']}/create_flow_run", body)["id"])

    def block(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """What the UI's form for a new block sends."""
        asked = urllib.request.Request(f"{self.api}/block_types/slug/{kind}")
        with urllib.request.urlopen(asked, timeout=60) as answer:
            type_id = json.loads(answer.read())["id"]
        (schema,) = self.post("/block_schemas/filter", {"block_schemas": {"block_type_id": {"any_": [type_id]}}})
        body = {"name": "muster", "data": data, "block_schema_id": schema["id"], "block_type_id": type_id}
        return dict(self.post("/block_documents/", body))

    def emit(self, event: str, resource: str, name: str) -> None:
        about = {"prefect.resource.id": resource, "prefect.resource.name": name}
        now = datetime.now(UTC).isoformat()
        self.post("/events", [{"event": event, "resource": about, "occurred": now, "id": str(uuid4())}])

    def flow_run(self, name: str) -> dict[str, Any]:
        (found,) = self.post("/flow_runs/filter", {"flow_runs": {"id": {"any_": [name]}}})
        return dict(found)

    def ended(self, flow_run: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.flow_run(flow_run)
            return found if found["state_type"] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED") else None

        return wait_for(look)

    def paused(self, flow_run: str, again: str = "") -> str:
        """Wait until the flow run asks (again, after the form of this key); the key of its form."""

        def look() -> str | None:
            state = self.flow_run(flow_run)["state"]
            key = (state["state_details"].get("run_input_keyset") or {}).get("schema")
            return str(key) if state["type"] == "PAUSED" and key and key != again else None

        return wait_for(look)

    def answer(self, flow_run: str, **answer: Any) -> dict[str, Any]:
        return dict(self.post(f"/flow_runs/{flow_run}/resume", {"run_input": answer}))

    def run_of(self, flow_run: str, plan: str) -> Run:
        with open_ledger(self.home.settings.ledger_url) as ledger:
            return next(run for run in ledger.runs(plan, limit=20) if run.flow_run == flow_run)

    def runs(self, plan: str) -> tuple[Run, ...]:
        with open_ledger(self.home.settings.ledger_url) as ledger:
            return tuple(ledger.runs(plan, limit=20))

    def history(self, run: Run) -> History:
        with open_ledger(self.home.settings.ledger_url) as ledger:
            return History(ledger.read_events(run.run))


def wait_for(found: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + PATIENCE
    while (answer := found()) is None:
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.5)
    return answer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, backups: Backups) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("slots")
    plans = root / "plans"
    plans.mkdir()
    for name, changes in PLANS.items():
        plan = yaml.safe_load(Path("deployments/restore-embedded.yaml").read_text())
        plan |= {"name": name, "objectives": {"rto": "10m", "rpo": "1d"}, "cadence": HOURLY, "controls": []}
        plan["target"] = {
            "type": "embedded",
            "folder": str(backups.folder),
            "system_identifier": backups.system_identifier,
        }
        for key, value in changes.items():
            plan[key] = {**plan[key], **value} if key in ("target", "restore") else value
        text = yaml.safe_dump(plan)
        for words, folder in (("without references", _without_references), ("slow tools", _slow_tools)):
            if words in text:
                text = text.replace(words, str(folder(root, backups)))
        (plans / f"{name}.yaml").write_text(text)
    settings = Settings(home=root / "home", plans=plans, store=str(root / "store"))
    home = Home(root, settings, "whole")
    before = dict(os.environ)
    os.environ.update(home.environment())
    estate = Estate(settings, (Part.SCHEDULER,))
    try:
        card = estate.start()
        assert card.scheduler
        yield Server(home, card.scheduler.api)
    finally:
        estate.stop()
        os.environ.clear()
        os.environ.update(before)
    assert estate.processes.alive() == ()


def _without_references(root: Path, backups: Backups) -> Path:
    """The same backups, and nothing that says what the source looked like."""
    folder = root / "unseen"
    folder.mkdir()
    for part in ("backups", "archive"):
        (folder / part).symlink_to(backups.folder / part)
    return folder


def _slow_tools(root: Path, _backups: Backups) -> Path:
    """PostgreSQL's own programs, of which those that most steps start take seconds more."""
    folder = root / "bin"
    folder.mkdir()
    for tool in wheel_binaries().folder.iterdir():
        (folder / tool.name).symlink_to(tool)
    for name in ("pg_combinebackup", "pg_amcheck", "postgres"):
        (folder / name).unlink()
        (folder / name).write_text(f'#!/bin/sh\nsleep 4\nexec {wheel_binaries().tool(name)} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def test_every_plan_is_scheduled_as_its_cadence_says(server: Server) -> None:
    for name in PLANS:
        deployment = server.deployment(name)
        plan = find_plan(server.home.settings.plans, name)
        (schedule,) = deployment["schedules"]
        wanted = (plan.cadence.cron, "UTC") if plan.cadence.cron else (None, "UTC")
        assert (schedule["schedule"].get("cron"), schedule["schedule"]["timezone"]) == wanted
        assert schedule["active"]
        assert schedule["parameters"] == {"reason": "scheduled"}
        assert deployment["version"] == plan.digest[:12]
        assert deployment["concurrency_limit"] is None
    automations = {a["name"] for a in server.post("/automations/filter", {})}
    assert {"muster: a drill did not pass", "muster: a plan is overdue"} <= automations


@pytest.mark.parametrize("reason", [None, "", "no", "   "])
def test_a_run_without_a_reason_is_refused_by_the_form(server: Server, reason: str | None) -> None:
    given = {} if reason is None else {"reason": reason}
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.run_button("gone", **given)
    assert refused.value.code in (409, 422)
    assert server.runs("gone") == ()


def test_an_approved_run_passes_and_shows_everything(server: Server) -> None:
    """Asked for by one, refused to herself and to a stranger, approved by the one who may: in the UI's own form."""
    started = server.run_button("whole", reason="the yearly look", requested_by="Ada Lovelace")
    first = server.paused(started)
    refused = server.answer(started, approve=True)
    assert refused["status"] == "REJECT", "the form asks for a name"
    server.answer(started, approver="ada lovelace", approve=True)
    second = server.paused(started, again=first)
    server.answer(started, approver="Mallory", approve=True)
    server.paused(started, again=second)
    server.answer(started, approver="Grace Hopper", approve=True, note="seen")
    seen = server.ended(started)
    assert (seen["state_type"], seen["state"]["name"]) == ("COMPLETED", "Passed"), seen["state"]
    run = server.run_of(started, "whole")
    assert (run.outcome, run.trigger) == (Outcome.PASSED, Trigger.RUN_BUTTON)
    assert (run.reason, run.requested_by) == ("the yearly look", "Ada Lovelace")
    assert run.scheduled_at
    assert seen["name"] == f"whole · embedded · {run.scheduled_at:%Y-%m-%d %H:%MZ}"
    artifacts = server.post("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [started]}}})
    shown = {artifact["key"]: artifact for artifact in artifacts}
    assert set(shown) == {"whole-progress", "whole-report", "whole-checks", "whole-evidence"}
    assert float(shown["whole-progress"]["data"]) == 100.0
    assert run.run in shown["whole-report"]["data"]
    wanted = {"muster.drill.passed", "prefect.asset.materialization.succeeded", "prefect.asset.referenced"}

    def told() -> bool | None:  # the server writes events a few seconds after it took them
        asked = {"event": {"prefix": ["muster.drill", "prefect.asset"]}}
        return wanted <= {e["event"] for e in server.post("/events/filter", {"filter": asked})["events"]} or None

    wait_for(told)


def test_a_denied_run_is_refused_whoever_hears_of_it(server: Server) -> None:
    """By `muster approve` while the flow run is paused."""
    started = server.run_button("whole", reason="to be denied", requested_by="Ada")
    server.paused(started)
    run = server.run_of(started, "whole")
    said = server.home.muster("approve", run.run, "--deny", "--as", "Grace Hopper", "--note", "not today")
    assert said.returncode == ExitCode.PASS, said.stdout + said.stderr
    seen = server.ended(started)
    assert (seen["state_type"], seen["state"]["name"]) == ("FAILED", "Refused")
    assert "not today" in seen["state"]["message"]


def test_nobody_in_time_is_a_refusal(server: Server) -> None:
    seen = server.ended(server.run_button("impatient", reason="nobody is here", requested_by="Ada"))
    assert (seen["state_type"], seen["state"]["name"]) == ("FAILED", "Refused"), seen["state"]
    assert "nobody approved it" in seen["state"]["message"]


def test_a_failed_drill_is_a_failed_run_that_starts_a_round_of_the_watch(server: Server) -> None:
    """The round starts the slot that nobody started, once, though another round runs; and ends what a dead run left."""
    dead = _leave_a_dead_run(server, "gone")
    with open_ledger(server.home.settings.ledger_url) as ledger:
        account_slots(conductor_of(server.home.settings, ledger), [find_plan(server.home.settings.plans, "forgotten")],
                      read_all=False)  # fmt: skip
        before = FORGOTTEN - timedelta(hours=1)
        with ledger.engine.begin() as connection:
            forgotten = update(standings).where(standings.c.plan == "forgotten")
            connection.execute(forgotten.values(since=before, accounted_until=before))
    asked = server.run_button("muster")
    assert server.ended(asked)["state_type"] == "COMPLETED"  # before another drill finishes what the dead one left
    started = server.run_button("broken", reason="to see it fail")
    seen = server.ended(started)
    assert (seen["state_type"], seen["state"]["name"]) == ("FAILED", "Failed")
    assert "no order at all" in seen["state"]["message"]
    assert server.run_of(started, "broken").outcome is Outcome.FAILED

    def rounds() -> list[str] | None:
        runs = server.post("/flow_runs/filter", {"deployments": {"name": {"any_": ["muster"]}}})
        found = [run["id"] for run in runs if not run["auto_scheduled"]]
        return found if len(found) > 1 else None

    by_event = next(run for run in wait_for(rounds) if run != asked)
    assert server.ended(by_event)["state_type"] == "COMPLETED"
    page = server.home.settings.root / "deck" / "ci_health.md"
    assert "broken" in page.read_text()
    rows = json.loads((page.parent / "deck.json").read_text())["rows"]
    assert {row["plan"]: row["state"] for row in rows}["broken"] == "never", "it never passed"

    crashed = server.flow_run(str(dead.flow_run))
    assert (crashed["state_type"], crashed["state"]["name"]) == ("CRASHED", "Crashed")
    assert dead.run in crashed["state"]["message"]
    assert next(run for run in server.runs("gone") if run.run == dead.run).outcome is Outcome.ABORTED

    (slot,) = server.post("/flow_runs/filter", {"deployments": {"name": {"any_": ["forgotten"]}},
                                                "flow_runs": {"tags": {"all_": ["muster:slot"]}}})  # fmt: skip
    assert server.ended(slot["id"])["state"]["name"] == "Refused"
    (run,) = server.runs("forgotten")
    assert (run.scheduled_at, run.trigger, run.flow_run) == (FORGOTTEN, Trigger.WATCH, slot["id"])


def _leave_a_dead_run(server: Server, plan: str) -> Run:
    """A run whose process is gone, and whose flow run Prefect takes for running: its worker is gone as well."""
    body = {"flow_id": server.deployment(plan)["flow_id"], "state": {"type": "RUNNING"}}
    flow_run = server.post("/flow_runs/", body)["id"]
    found = find_plan(server.home.settings.plans, plan)
    with open_ledger(server.home.settings.ledger_url) as ledger:
        return ledger.open_run(
            NewRun(run="20260101T000000Z-dead", plan=plan, plan_digest=found.digest, substance=found.substance,
                   kind=found.kind, target_type="embedded", trigger=Trigger.RUN_BUTTON, reason="its process is killed",
                   scheduled_at=ledger.now(), flow_run=flow_run, lease_seconds=60,
                   owner=this_process().model_copy(update={"started": 1}))
        )  # fmt: skip


def test_an_event_starts_a_drill_which_is_inconclusive_and_so_failed(server: Server) -> None:
    """By the automation in docs/prefect.md."""
    text = Path("docs/prefect.md").read_text("utf-8")
    (block,) = (b for b in re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if "run-deployment" in b)
    automation = yaml.safe_load(block)
    automation["actions"][0]["deployment_id"] = server.deployment("unseen")["id"]
    server.post("/automations/", automation)

    def started() -> Run | None:  # the server may hear of an event before it has learned of the automation
        server.emit(automation["trigger"]["expect"][0], "app.shop", "shop 4.2")
        time.sleep(5)
        return next(iter(server.runs("unseen")), None)

    run = wait_for(started)
    seen = server.ended(run.flow_run)
    assert (seen["state_type"], seen["state"]["name"]) == ("FAILED", "Inconclusive"), seen["state"]
    assert "reference" in seen["state"]["message"]
    run = server.run_of(run.flow_run, "unseen")
    assert (run.outcome, run.trigger) == (Outcome.INCONCLUSIVE, Trigger.EVENT)
    assert (run.reason, run.requested_by) == ("release shop 4.2", "release pipeline")


def test_blocks_say_where_record_and_evidence_go_and_tell_nobody_what_they_hold(server: Server, tmp_path: Path) -> None:
    """Filled in as the UI does it: the types are there since the scheduler's start."""
    before = server.runs("broken")
    ledger = f"sqlite:///{tmp_path}/hunter2/ledger.sqlite"
    keys = {"access_key": "AKIA-hunter2", "secret_key": "correct-horse-hunter2"}
    made = [
        server.block("muster-store", {"url": str(tmp_path / "store"), **keys}),
        server.block("muster-ledger", {"url": ledger}),
    ]
    try:
        assert not any("hunter2" in json.dumps(block) for block in made)
        started = server.run_button("broken", reason="into the block's ledger", inject_error="choose")
        seen = server.ended(started)
        assert (seen["state_type"], seen["state"]["name"]) == ("FAILED", "Aborted")
        assert "choose" in seen["state"]["message"]
    finally:
        for block in made:
            server.post(f"/block_documents/{block['id']}", {}, method="DELETE")
    assert server.runs("broken") == before
    with open_ledger(ledger) as theirs:
        (run,) = theirs.runs("broken")
        said = [event.model_dump_json() for event in theirs.read_events(run.run)]
    assert (run.flow_run, run.outcome) == (started, Outcome.ABORTED)
    # Another plan's run that ends meanwhile finds the same store.
    assert f"{run.run}.tar.gz" in {path.name for path in (tmp_path / "store").rglob("*.tar.gz")}
    logs = server.post("/logs/filter", {"logs": {"flow_run_id": {"any_": [started]}}})
    assert logs
    assert "hunter2" not in "".join([*said, json.dumps(logs), json.dumps(server.flow_run(started))])


def test_two_flow_runs_of_one_slot_are_one_drill(server: Server) -> None:
    """As Prefect makes them: the same tick under two ids (issues 18894 and 17508 there)."""
    tick = _last_hour()
    body = {
        "parameters": {"reason": "scheduled"},
        "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": tick.isoformat()}},
        "tags": ["muster:slot"],
    }
    path = f"/deployments/{server.deployment('gone')['id']}/create_flow_run"
    first, second = (server.post(path, body)["id"] for _ in range(2))
    states = [server.ended(flow_run)["state"] for flow_run in (first, second)]
    (duplicate,) = (state for state in states if state["name"] == "Duplicate")
    (run,) = (run for run in server.runs("gone") if run.scheduled_at == tick)
    assert duplicate["type"] == "CANCELLED"
    assert run.run in duplicate["message"]
    assert run.trigger is Trigger.WATCH


def test_a_late_run_is_missed_and_one_in_a_blackout_waived(server: Server) -> None:
    late = _last_hour() - timedelta(hours=3)
    for plan, name, state, outcome in (
        ("skipped", "Missed", "FAILED", Outcome.MISSED),
        ("waived", "Waived", "CANCELLED", Outcome.WAIVED),
    ):
        found = find_plan(server.home.settings.plans, plan)
        started = start_slot(server.home.settings, found, late)
        again = start_slot(server.home.settings, found, late)
        had_ended = server.flow_run(started)["state_type"] == state
        assert again == started or had_ended, "asked for twice while it runs, it is one flow run"
        assert again == started or server.ended(again)["state"]["name"] == "Duplicate"
        seen = server.ended(started)
        assert (seen["state"]["name"], seen["state_type"]) == (name, state), seen["state"]
        (run,) = server.runs(plan)
        assert (run.outcome, run.scheduled_at) == (outcome, late)


def test_the_variable_alone_stops_a_running_drill_and_lets_none_start(server: Server) -> None:
    started, run = _started_slowly(server)
    assert set_stop_variable(server.home.settings, "the database team asks for quiet", by="Ada")
    try:
        seen = server.ended(started)
        assert (seen["state_type"], seen["state"]["name"]) == ("FAILED", "Aborted"), seen["state"]
        assert "the database team asks for quiet" in seen["state"]["message"]
        assert not server.history(run).needs_undo()
        refused = server.ended(server.run_button("broken", reason="while it is on"))
        assert refused["state"]["name"] == "Refused"
        assert "the database team" in refused["state"]["message"]
    finally:
        assert set_stop_variable(server.home.settings, None)
    assert "inspect" not in {e.step for e in server.history(run).of(EventKind.SUCCEEDED)}


def test_five_seconds_after_stop_all_no_step_starts_and_who_waits_waits_no_more(server: Server) -> None:
    waiting = server.run_button("whole", reason="to be stopped", requested_by="Ada")
    server.paused(waiting)
    running, drill = _started_slowly(server)
    said = server.home.muster("stop-all", "--reason", "smoke in the hall", "--json")
    try:
        assert said.returncode == ExitCode.PASS, said.stdout + said.stderr
        thrown = json.loads(said.stdout)
        assert thrown["prefect_told"]
        assert drill.run in thrown["running"]
        thrown_at = datetime.fromisoformat(thrown["stopped"]["at"])
        for flow_run, plan in ((waiting, "whole"), (running, "slow")):
            seen = server.ended(flow_run)
            assert (seen["state_type"], seen["state"]["name"]) == ("FAILED", "Aborted"), seen["state"]
            assert "smoke in the hall" in seen["state"]["message"]
            run = server.run_of(flow_run, plan)
            history = server.history(run)
            assert all(e.at - thrown_at < timedelta(seconds=5) for e in history.of(EventKind.STARTED))
            (stopped,) = (e for e in history if e.kind is EventKind.FAILED or "ended_by" in e.body)
            assert timedelta() < stopped.at - thrown_at < timedelta(seconds=30), (
                "a step may last longer than the switch"
            )
            assert (run.outcome, history.run_state()) == (Outcome.ABORTED, RunState.SENT)
            assert not history.needs_undo()
            assert not (server.home.settings.runs / run.run).exists()
    finally:
        resumed = server.home.muster("stop-all", "--resume", "--reason", "it was toast")
    assert resumed.returncode == ExitCode.PASS, resumed.stdout + resumed.stderr


def _started_slowly(server: Server) -> tuple[str, Run]:
    """A drill whose every step takes seconds, just begun."""
    started = server.run_button("slow", reason="to be stopped")
    run = wait_for(lambda: next((r for r in server.runs("slow") if r.flow_run == started), None))
    wait_for(lambda: "fetch" in server.history(run).step_states() or None)
    return started, run


def test_a_clean_checkout_deploys_by_stock_prefect_and_only_ours_are_taken_away(server: Server, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("prefect.yaml", "flows", "deployments"):
        subprocess.run(["cp", "-r", name, checkout], check=True)
    env = server.home.environment(PREFECT_API_URL=server.api, PREFECT_HOME=str(tmp_path), PWD=str(checkout))
    prefect = [str(Path(sys.executable).with_name("prefect")), "--no-prompt", "deploy", "--all"]
    done = subprocess.run(prefect, cwd=checkout, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    committed = yaml.safe_load(Path("prefect.yaml").read_text("utf-8"))["deployments"]
    assert {server.deployment(each["name"])["version"] for each in committed} >= {
        each["version"] for each in committed if "version" in each
    }
    foreign = {"name": "theirs", "tags": ["theirs"], "flow_id": server.deployment("gone")["flow_id"]}
    server.post("/deployments/", foreign | {"entrypoint": "flows/restore.py:restore"})
    rendered = write_prefect_file(server.home.settings, tmp_path)
    demo = sorted(each["name"] for each in committed if "plan" in each["parameters"])
    assert take_away_others(server.api, rendered) == tuple(demo)
    assert take_away_others(server.api, rendered) == ()
    left = {each["name"] for each in server.post("/deployments/filter", {})}
    assert left == {*PLANS, "theirs", "muster"}


def _last_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
