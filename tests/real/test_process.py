"""Programs that Muster starts are found by their record, stopped with their children, and nothing else is touched."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from muster.errors import StepError
from tasks.process import _RECORD_THEN_EXEC, AT_ONCE, Identity, Processes

SLEEP = ["sleep", "600"]
FAMILY = ["sh", "-c", "setsid sleep 600 & sleep 600 & echo ready; wait"]


@pytest.fixture
def processes(tmp_path):
    made = Processes(tmp_path / "records", tmp_path / "logs", secrets=("s3cret",))
    yield made
    made.stop_all(signals=AT_ONCE)


def children_of(identity: Identity) -> set[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(identity.pid)], capture_output=True, text=True)
    return {int(word) for word in listed.stdout.split()}


def wait_for(condition, seconds=20):
    done = threading.Event()
    for _ in range(seconds * 50):
        if condition():
            return
        done.wait(0.02)
    raise AssertionError("it never came true")


def test_a_program_runs_and_leaves_no_record(processes):
    done = processes.run(["sh", "-c", "echo out; echo err >&2"], log="tool", timeout=10)
    assert (done.returncode, sorted(done.output.split())) == (0, ["err", "out"])
    assert done.log.read_text().startswith("$ sh -c ")
    assert processes.names() == ()


def test_a_later_program_does_not_show_an_earlier_ones_words(processes):
    processes.run(["echo", "first"], log="tool", timeout=10)
    assert processes.run(["echo", "second"], log="tool", timeout=10).output == "second\n"


def test_a_failing_program_is_told_in_its_own_words(processes):
    with pytest.raises(StepError, match="exit code 3: no such backup"):
        processes.run(["sh", "-c", "echo no such backup >&2; exit 3"], log="tool", timeout=10)
    assert processes.run(["sh", "-c", "exit 3"], log="tool", timeout=10, check=False).returncode == 3


def test_a_missing_program_is_an_error(processes):
    with pytest.raises(StepError, match="exit code 127"):
        processes.run(["no-such-program"], log="tool", timeout=10)


def test_output_and_input_can_be_files(processes, tmp_path):
    source, sink = tmp_path / "in", tmp_path / "out"
    source.write_text("hello")
    processes.run(["cat"], log="tool", timeout=10, stdin=source, stdout_path=sink)
    assert sink.read_text() == "hello"


def test_a_timeout_ends_the_whole_family(processes):
    with pytest.raises(StepError, match="did not end within"):
        processes.run(["sh", "-c", "(setsid setsid sleep 601 &); sleep 600"], log="tool", timeout=0.5)
    assert processes.names() == ()
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists() and b"sleep\x00601" in p.read_bytes()]


def test_secrets_stay_out_of_what_is_shown(processes):
    said = processes.run(["sh", "-c", 'echo "password $PW"'], log="tool", timeout=10, env={"PW": "s3cret"})
    assert said.output == "password [redacted]\n"
    with pytest.raises(StepError, match=r"\[redacted\]"):
        processes.run(["sh", "-c", 'echo "$PW"; exit 1'], log="tool", timeout=10, env={"PW": "s3cret"})


def test_postgres_settings_of_the_operator_do_not_leak_in(processes, monkeypatch):
    monkeypatch.setenv("PGHOST", "production.example")
    assert "production" not in processes.run(["env"], log="tool", timeout=10).output


def test_tools_run_side_by_side_in_threads(processes):
    outputs = {}

    def work(number):
        outputs[number] = processes.run(["echo", str(number)], log=f"tool-{number}", timeout=30).output.strip()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {n: str(n) for n in range(16)}


def test_a_server_keeps_the_pid_on_record_and_stops(processes):
    started = processes.start("server", SLEEP, log="server")
    identity = processes.identity("server")
    assert identity is not None
    assert identity.pid == started.pid
    assert processes.alive() == ("server",)
    with pytest.raises(StepError, match="already running"):
        processes.start("server", SLEEP, log="server")
    processes.stop("server")
    assert not identity.is_alive()
    assert processes.names() == ()


def test_an_end_of_its_own_is_seen(processes):
    processes.start("server", ["sh", "-c", "exit 7"], log="server")
    wait_for(lambda: processes.exit_code("server") is not None)
    assert processes.exit_code("server") == 7
    assert processes.alive() == ()


def test_children_in_sessions_of_their_own_go_too(processes):
    processes.start("family", FAMILY, log="family")
    leader = processes.identity("family")
    wait_for(lambda: len(children_of(leader)) == 2)
    everyone = {Identity.of(pid) for pid in children_of(leader)} | {leader}
    processes.stop("family")
    assert not [p for p in everyone if p.is_alive()]


def test_orphans_of_a_dead_leader_go_too(processes):
    processes.start("family", FAMILY, log="family")
    leader = processes.identity("family")
    wait_for(lambda: len(children_of(leader)) == 2)
    orphans = {Identity.of(pid) for pid in children_of(leader)}
    os.kill(leader.pid, signal.SIGKILL)
    wait_for(lambda: not leader.is_alive())
    assert all(p.is_alive() for p in orphans)
    processes.stop_all()
    assert not [p for p in orphans if p.is_alive()]


def test_a_recycled_pid_is_left_alone(processes):
    processes.start("server", SLEEP, log="server")
    time.sleep(0.05)  # start times are told in hundredths of a second
    with subprocess.Popen(SLEEP) as bystander:
        record = processes.records / "server.pid"
        token, boot, stat = record.read_text().split(" ", 2)
        real = processes.identity("server")
        record.write_text(f"{token} {boot} {bystander.pid} {stat.split(' ', 1)[1]}")  # the pid is another's now
        processes.stop("server", signals=AT_ONCE)
        assert bystander.poll() is None
        bystander.kill()
    assert not real.is_alive()  # still found, by the mark its environment carries


def test_an_intent_that_never_ran_is_forgotten(processes):
    processes.records.mkdir(parents=True)
    (processes.records / f"ghost.{'0' * 32}.intent").touch()
    processes.stop_all()
    assert processes.names() == ()


def test_a_child_that_comes_late_takes_no_name_that_is_anothers(processes):
    processes.start("server", SLEEP, log="server")
    record = (processes.records / "server.pid").read_text()
    late = ["sh", "-c", _RECORD_THEN_EXEC, "sh", str(processes.records / "server"), "echo", "it ran"]
    done = subprocess.run(late, env={**os.environ, "MUSTER_LINEAGE": "f" * 32}, capture_output=True, timeout=20)
    assert (done.returncode, done.stdout) == (125, b"")
    assert (processes.records / "server.pid").read_text() == record
    assert list(processes.records.iterdir()) == [processes.records / "server.pid"]


MUSTER_THAT_DIES = """
import os, signal, sys, threading
from pathlib import Path
from tasks.process import Processes
processes = Processes(Path(sys.argv[1]), Path(sys.argv[2]))
threading.Timer(float(sys.argv[3]), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
for number in range(10_000):
    processes.start(f"server-{number}", ["sh", "-c", "sleep 600 & wait"], log="server", env={"OF": sys.argv[1]})
"""


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.02, 0.1, 0.3])
def test_sigkill_at_any_moment_leaves_nothing_unfound(tmp_path, delay):
    records, logs = tmp_path / "records", tmp_path / "logs"
    argv = [sys.executable, "-c", MUSTER_THAT_DIES, str(records), str(logs), str(delay)]
    assert subprocess.run(argv, cwd=Path(__file__).parents[2], timeout=60).returncode == -signal.SIGKILL
    Processes(records, logs).stop_all(signals=AT_ONCE)
    needle = f"{records}".encode()
    wait_for(lambda: not [p for p in Path("/proc").glob("[0-9]*") if needle in command_or_environment(p)], 5)
    assert list(records.glob("*")) == [] if records.exists() else True


def command_or_environment(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
    except OSError:
        return b""
