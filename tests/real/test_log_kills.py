"""Several processes write to one log in a folder and are killed (SIGKILL) again and again."""

import random
import subprocess
import sys
import time
from pathlib import Path

from evidence.stores import DirectoryStore
from tests.unit.paper_log import assert_whole, log

WRITERS, ENTRIES, KILLS = 3, 12, 4


def start(folder: Path, writer: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.real.log_writer", str(folder), str(writer), str(ENTRIES)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_after(process: "subprocess.Popen[str]", lines: int, delay: float) -> None:
    """Kill it some moments after it said so many lines."""
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    time.sleep(delay)
    process.kill()
    process.communicate(timeout=30)


def test_writers_that_are_killed_lose_nothing_and_log_nothing_twice(tmp_path: Path) -> None:
    chance, folder = random.Random(11), tmp_path / "store"
    processes = [start(folder, writer) for writer in range(WRITERS)]
    for round_ in range(KILLS):
        for writer in range(WRITERS):
            kill_after(processes[writer], round_ * 2, chance.random() / 20)
            processes[writer] = start(folder, writer)
    for process in processes:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert [line.split()[0] for line in said.splitlines()] == [str(number) for number in range(ENTRIES)]
    store = DirectoryStore(folder)
    content = {key: store.read(key) for key in store.keys("log/")}
    assert_whole(content, [f"{writer} {number}" for writer in range(WRITERS) for number in range(ENTRIES)])
    assert log(store).view().size == WRITERS * ENTRIES
