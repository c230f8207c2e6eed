"""Ports that are handed out: the same for the same part, and never one port to two that start at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.estate import loopback
from tasks.estate.loopback import free_ports

ASK = "from pathlib import Path; from tasks.estate.loopback import free_ports; print(*free_ports(Path('{}'), 'it', 4))"


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everyone begins to look at the same port."""
    monkeypatch.setattr(loopback, "_candidates", lambda _seed: iter(range(31_000, 31_500)))


def test_a_part_keeps_its_ports(tmp_path: Path) -> None:
    assert free_ports(tmp_path, "it", 3) == free_ports(tmp_path, "it", 3)


@pytest.mark.usefixtures("crowded")
def test_two_parts_that_both_still_start_share_no_port(tmp_path: Path) -> None:
    first, second = free_ports(tmp_path, "one", 4), free_ports(tmp_path, "two", 4)
    assert not {*first} & {*second}
    assert free_ports(tmp_path, "one", 4) == first


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_what_this_process_was_given_no_other_is_given(tmp_path: Path) -> None:
    mine = free_ports(tmp_path, "it", 4)
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(tmp_path)], capture_output=True, text=True, check=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("MUSTER_")},
    )  # fmt: skip
    theirs = {int(port) for port in done.stdout.split()}
    assert len(theirs) == 4
    assert not theirs & {*mine}
