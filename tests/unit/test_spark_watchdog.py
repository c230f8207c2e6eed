"""Who was started by somebody that is gone ends by itself, with all that it started: hung, deaf, or not yet begun."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.process import Identity
from tasks.spark.watchdog import Watchdog

PATIENCE = 60.0
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(1, flush=True)
time.sleep(600)
"""
POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (open({said!r}, "w"), sys.exit()))
print(1, flush=True)
time.sleep(600)
"""
DRIVER = """
import os, subprocess, sys, time
from pathlib import Path
from tasks.spark.watchdog import Watchdog
with Watchdog(int(sys.argv[1]), patience=0.5):
    child = subprocess.Popen([sys.executable, "-c", sys.argv[2]], stdout=subprocess.PIPE)
    child.stdout.read(1)
    Path(sys.argv[3]).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)
"""
MUSTER = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid()), *sys.argv[2:]])
time.sleep(600)
"""


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("way", ["deaf", "polite"])
def test_a_driver_that_hangs_ends_with_its_child_when_its_starter_is_killed(tmp_path: Path, way: str) -> None:
    told, said = tmp_path / "pids", tmp_path / "said"
    child = DEAF if way == "deaf" else POLITE.format(said=str(said))
    starter = subprocess.Popen([sys.executable, "-c", MUSTER, DRIVER, child, str(told)])
    family: list[Identity] = []
    try:
        wait_for(lambda: told.exists() and len(told.read_text().split()) == 2)
        family = [found for pid in told.read_text().split() if (found := Identity.of(int(pid)))]
        time.sleep(1.0)
        assert [each.is_alive() for each in family] == [True, True], "nobody is gone"
        starter.kill()
        starter.wait()
        wait_for(lambda: not any(each.is_alive() for each in family))
        assert said.exists() is (way == "polite"), "whoever can end in good order is let"
    finally:
        starter.kill()
        starter.wait()
        for each in family:
            each.signal(signal.SIGKILL)


def test_one_whose_starter_was_gone_before_ends_at_once() -> None:
    late = "import time; from tasks.spark.watchdog import Watchdog; Watchdog(1 << 30).start(); time.sleep(600)"
    done = subprocess.run([sys.executable, "-c", late], timeout=PATIENCE, check=False)
    assert done.returncode == 1


def test_one_that_has_done_its_work_ends_as_it_likes() -> None:
    with Watchdog(os.getppid()) as watchdog:
        assert watchdog.is_alive()
    assert not watchdog.is_alive()
