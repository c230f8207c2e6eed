"""The cutover's negative controls, a form of every kind, by the command itself: faults are caught, healthy forms pass,
and of servers, databases and workers nothing is left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from muster.settings import Settings
from muster.verdict import ExitCode
from tasks.faults import cutover as catalogue

pytestmark = [pytest.mark.xdist_group("cutover"), pytest.mark.timeout(900)]
CHOSEN = [
    "resurrected", "forgotten", "forgotten-night", "zone-changed", "half-fenced", "careless-job", "liar", "caught-up",
]  # fmt: skip
"""Of every group at least one; `muster prove cutover` has them all, `test_cutover` the healthy way there and back."""


def test_chosen_forms_are_right_and_nothing_is_left(tmp_path: Path) -> None:
    groups = [group for group, forms in catalogue.GROUPS.items() if not {f.name for f in forms} & set(CHOSEN)]
    clock = "The clock of a server, where libfaketime is installed"
    assert groups == [clock, "The drill itself"], "those are proven on paper, and by the whole"
    home = tmp_path / "home"
    words = [word for form in CHOSEN for word in ("--only", form)]
    done = subprocess.run(
        [sys.executable, "-c", "from muster.cli import main; main()", "prove", "cutover", "--json", *words],
        env=os.environ | {"MUSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    told = json.loads(done.stdout)
    wrong = {row["form"]: row["note"] for row in told["matrix"] if not row["is_right"]}
    assert not wrong
    assert done.returncode == ExitCode.PASS, done.stderr
    assert (told["planted"], told["healthy"]) == (7, 1)
    assert list((Settings(home=home).root / "prove").iterdir()) == []
    assert not [line for line in _processes() if str(home) in line]


def _processes() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue
    return found
