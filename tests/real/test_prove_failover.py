"""The failover rehearsal's negative controls, a form of every kind, by the command itself: faults are caught, healthy
forms pass, and of servers, links, clients and poolers nothing is left, whatever becomes of the proof."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from flows.failover import DRILL
from muster.cli.prove import own_folder, prove
from muster.failover.checks import CHECKS
from muster.failover.pairchecks import extensions_are_alike
from muster.ledger import open_ledger
from muster.settings import Settings
from muster.verdict import ExitCode
from tasks.faults import failover as catalogue

pytestmark = [pytest.mark.xdist_group("prove failover"), pytest.mark.timeout(900)]
FORMS = {form.name: form for form in catalogue.FORMS}
CHOSEN = [
    "unfenced",
    "empty-replica",
    "asynchronous-later",
    "archiver-waited-for",
    "early-acknowledgement",
    "stray-route",
    "missed-rewind",
    "lost-tail",
    "truncated-history",
    "stepped-server-clock",
    "another-cluster",
    "lost-too-much",
    "partition-then-kill",
    "haproxy",
]
"""Of every group, and of every way to plant, at least one; `muster prove failover` has them all."""


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


def command(settings, forms, *more):
    words = ["-c", "from muster.cli import main; main()", "prove", "failover", *more]
    words += [word for form in forms for word in ("--only", form)]
    return [sys.executable, *words], os.environ | {"MUSTER_HOME": str(settings.root)}


def family(settings):
    """Pids of everything that was started on behalf of this installation, by what its environment says."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if f"MUSTER_HOME={settings.root}\0".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def leftovers(settings):
    return list((settings.root / "prove").iterdir())


def until(is_so, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def folders_of(settings):
    """Where the sockets of the forms that run now are: their pairs say so."""
    told = [json.loads(path.read_bytes()) for path in settings.root.glob("prove/*/work/*/pair/running.json")]
    return [Path(each["sockets"]) for each in told]


def test_chosen_forms_are_right_and_leave_nothing(settings):
    argv, env = command(settings, CHOSEN, "--json")
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=850, check=False)
    proof = json.loads(done.stdout)
    wrong = {row["form"]: row["note"] for row in proof["matrix"] if not row["is_right"]}
    assert (wrong, done.returncode) == ({}, ExitCode.PASS), done.stderr
    assert {row["form"] for row in proof["matrix"]} == set(CHOSEN)
    assert (leftovers(settings), family(settings)) == ([], [])


def test_every_group_has_a_form_that_is_tried():
    assert all({form.name for form in group} & set(CHOSEN) for group in catalogue.GROUPS.values())


def test_a_blinded_rehearsal_is_found_out(settings, capsys):
    blinded = replace(DRILL, checks=tuple(c for c in CHECKS if c is not extensions_are_alike))
    assert prove(settings, "failover", ["missing-extension"], as_json=False, drill=blinded) == ExitCode.FAIL
    said = capsys.readouterr().out
    assert "missing-extension was not caught by extensions" in said
    assert said.splitlines()[-1] == "prove failover: 0 of 1 planted faults caught, 0 of 0 healthy forms passed"
    assert leftovers(settings) == []


def test_the_whole_catalogue_is_recorded(settings, monkeypatch, capsys):
    monkeypatch.setattr(catalogue, "FORMS", (FORMS["missing-extension"], FORMS["idle-slot"]))
    assert prove(settings, "failover", None, as_json=False) == ExitCode.PASS
    with open_ledger(settings.ledger_url) as ledger:
        proof = ledger.last_proof("failover")
    assert (proof.caught, proof.planted) == (2, 2)
    assert [row.caught_by for row in proof.matrix] == [("extensions",), ("refused in survey",)]


def start_proof(settings):
    """A proof whose client writes."""
    argv, env = command(settings, ["kill", "switchover"])
    proof = subprocess.Popen(argv, env=env)
    until(lambda: list(settings.root.glob("prove/*/work/*/run/exhibits/history/w-*.log")))
    return proof


def test_ctrl_c_leaves_nothing(settings):
    proof = start_proof(settings)
    folders = folders_of(settings)
    for _ in range(3):  # whoever is impatient cuts nothing short
        proof.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert proof.wait(timeout=120) == ExitCode.ABORTED
    assert (leftovers(settings), family(settings)) == ([], [])
    assert folders
    assert not any(folder.exists() for folder in folders)


def test_what_a_killed_proof_left_is_removed_by_the_next(settings):
    proof = start_proof(settings)
    folders = folders_of(settings)
    proof.kill()
    proof.wait(timeout=60)
    assert len(leftovers(settings)) == 1
    assert family(settings)
    with own_folder(settings) as folder:
        assert leftovers(settings) == [Path(folder)]
        assert family(settings) == []
    assert folders
    assert not any(folder.exists() for folder in folders)
