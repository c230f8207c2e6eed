"""The stress drill's negative controls, by the command itself: faults are caught, a healthy form passes, nothing is
left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from muster.settings import Settings
from muster.verdict import ExitCode
from tasks.faults import spark as catalogue

pytestmark = [pytest.mark.xdist_group("prove spark"), pytest.mark.timeout(1500)]
CHOSEN = [
    "dropped-partition",
    "doubled-rows",
    "one-attempt",
    "complete-anyway",
    "hit-nothing",
    "hit-next-stage",
    "other-scale",
    "noticed-late",
    "last-worker",
    "kill-executor",
    "kill-driver",
]
"""Of every group at least one; `muster prove spark` has them all."""


def test_every_group_has_a_form_that_is_tried() -> None:
    assert all({form.name for form in group} & set(CHOSEN) for group in catalogue.GROUPS.values())


def test_chosen_forms_are_right_and_leave_nothing(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    words = ["-c", "from muster.cli import main; main()", "prove", "spark", "--json"]
    words += [word for form in CHOSEN for word in ("--only", form)]
    env = os.environ | {"MUSTER_HOME": str(settings.root)}
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, timeout=1400, check=False)
    proof = json.loads(done.stdout)
    wrong = {row["form"]: row["note"] for row in proof["matrix"] if not row["is_right"]}
    assert (wrong, done.returncode) == ({}, ExitCode.PASS), done.stderr
    assert {row["form"] for row in proof["matrix"]} == set(CHOSEN)
    assert list((settings.root / "prove").iterdir()) == []
    assert [p for p in Path("/proc").glob("[0-9]*") if _is_ours(p, settings)] == []


def _is_ours(entry: Path, settings: Settings) -> bool:
    try:
        return f"MUSTER_HOME={settings.root}\0".encode() in (entry / "environ").read_bytes()
    except OSError:
        return False
