"""A hook is an argument list of a plan: it runs as it is, in its time, and fails in one clear sentence."""

import os
import time
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from muster.errors import StepError, SystemFailure
from muster.failover.observations import Node
from tasks.hooks import Hook, Occasion, run_hook
from tasks.process import AT_ONCE, Identity, Processes

NODE = Node(name="a", region="east", dsn="host=a")
hook_of = TypeAdapter(Hook).validate_python


@pytest.fixture
def processes(tmp_path):
    made = Processes(tmp_path / "records", tmp_path / "logs", secrets=("hunter2hunter2",))
    yield made
    made.stop_all(signals=AT_ONCE)


def run(processes, argv, *, within="30s", occasion=None, left=60.0, blame=SystemFailure) -> str:
    hook = Hook.model_validate({"run": argv, "within": within})
    return run_hook("fence", hook, occasion or Occasion(NODE), processes, lambda: left, blame=blame)


def test_a_list_alone_is_a_hook_and_numbers_are_words():
    assert hook_of(["fence.sh", 5432]) == hook_of({"run": ["fence.sh", "5432"], "within": "1m"})
    assert hook_of({"run": ["x"], "within": "90s"}).within.total_seconds() == 90


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("fence.sh --now", "no shell splits it"),
        ([], "at least 1 item"),
        ([" "], "begins with the name of a program"),
        ({"run": ["x"], "within": "0s"}, "longer than nothing"),
        ({"run": ["x"], "timeout": "3s"}, "Extra inputs"),
        ({"run": ["x"], "within": "soon"}, "is no duration"),
        ({"within": "3s"}, "Field required"),
    ],
    ids=["a line", "empty", "blank", "no time", "unknown key", "no duration", "no command"],
)
def test_what_is_no_hook_is_told(keys, words):
    with pytest.raises(ValidationError, match=words):
        hook_of(keys)


def test_it_is_told_whom_it_acts_on_and_nothing_is_expanded(processes, monkeypatch):
    monkeypatch.setenv("PGPASSFILE", "/there/pass")
    said = run(
        processes,
        [
            "sh",
            "-c",
            'env | grep -E "^(MUSTER_(NODE|REGION|OLD|NEW|SCENARIO)|PGPASS|KEEP)" | sort; echo "$1"',
            "x",
            "$HOME *",
        ],
        occasion=Occasion(NODE, old="a", new="b", more={"KEEP": "/kept"}),
    )
    assert said.splitlines() == [
        "KEEP=/kept", "MUSTER_NEW=b", "MUSTER_NODE=a", "MUSTER_OLD=a", "MUSTER_REGION=east", "MUSTER_SCENARIO=",
        "PGPASSFILE=/there/pass", "$HOME *",
    ]  # fmt: skip


def test_what_it_says_is_in_the_logs(processes):
    run(processes, ["echo", "fenced it"])
    assert "fenced it" in (processes.logs / "hook-fence.log").read_text()


@pytest.mark.parametrize("blame", [StepError, SystemFailure])
def test_a_failure_says_what_the_hook_said_but_no_secret(processes, blame):
    with pytest.raises(StepError) as caught:
        run(processes, ["sh", "-c", "echo the key is hunter2hunter2; exit 3"], blame=blame)
    assert type(caught.value) is blame
    assert "'fence' failed on a: sh ended with exit code 3: the key is [redacted]" in caught.value.message
    assert "hook-fence.log" in caught.value.advice


def test_a_missing_program_is_not_the_systems_fault(processes):
    with pytest.raises(StepError, match="no program 'no-such-fence'") as caught:
        run(processes, ["no-such-fence"])
    assert not isinstance(caught.value, SystemFailure)
    assert "PATH" in caught.value.advice or "path" in caught.value.advice


def test_a_program_that_may_not_be_executed_is_missing(processes, tmp_path: Path):
    script = tmp_path / "fence.sh"
    script.write_text("#!/bin/sh\n")
    assert not hook_of([str(script)]).is_installed
    script.chmod(0o755)
    assert hook_of([str(script)]).is_installed


def test_one_that_hangs_is_ended_with_its_children(processes, tmp_path: Path):
    noted = tmp_path / "pid"
    with pytest.raises(SystemFailure, match="did not end within 2 seconds"):
        run(processes, ["sh", "-c", f"sleep 600 & echo $! > {noted}; wait"], within="2s")
    assert Identity.of(int(noted.read_text())) is None
    assert processes.names() == ()


def test_a_drill_out_of_time_is_not_the_hooks_fault(processes):
    began = time.monotonic()

    def left() -> float:
        if time.monotonic() - began > 0.2:
            raise StepError("the plan's time limit is up")
        return 0.3

    with pytest.raises(StepError, match="time limit is up"):
        run_hook("fence", hook_of(["sleep", "600"]), Occasion(NODE), processes, left, blame=SystemFailure)


def test_a_server_that_it_starts_lives_on_past_whoever_started_us(processes, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("MUSTER_LINEAGE", "0123456789abcdef")
    noted = tmp_path / "pid"
    run(processes, ["sh", "-c", f"setsid sleep 600 >/dev/null 2>&1 & echo $! > {noted}"])
    server = Identity.of(int(noted.read_text()))
    assert server is not None
    try:
        assert server.is_alive()
        assert b"0123456789abcdef" not in Path(f"/proc/{server.pid}/environ").read_bytes()
    finally:
        os.kill(server.pid, 9)
