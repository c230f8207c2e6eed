"""The restore drill's negative controls: every planted fault is caught, every healthy form passes, and the prover
itself tells a drill that sees from one that does not."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from flows.registry import open_target
from flows.restore import DRILL
from muster.cli.prove import own_folder, prove
from muster.drill import Workspace
from muster.errors import UsageError
from muster.finding import Finding
from muster.ledger import open_ledger
from muster.prove import Bench, run_trial
from muster.restore.checks import CHECKS, amcheck_is_clean, bytes_are_whole
from muster.restore.spec import RestoreSpec
from muster.settings import Settings
from muster.verdict import ExitCode, Verdict
from tasks.faults import restore as catalogue
from tasks.faults.damage import flip_byte
from tasks.postgres.basebackup import archived_segments
from tasks.postgres.walaudit import audit_wal
from tasks.process import Identity, Processes
from tasks.targets.restorable import Work

pytestmark = pytest.mark.xdist_group("prove restore")
FORMS = {form.name: form for form in catalogue.FORMS}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prove") / "work"
    with catalogue.make_base(folder) as base:
        yield Bench(DRILL, open_target, base, folder)
    assert not folder.exists()


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


def leftovers(settings):
    return [path for path in (settings.root / "prove").iterdir()]


@pytest.mark.parametrize("name", FORMS)
def test_the_catalogue(bench, name):
    row = bench.try_form(FORMS[name])
    assert row.is_right, row.note
    assert not (bench.folder / name).exists()


def test_every_check_must_catch_something(bench):
    form = FORMS["full"]
    with form.plant(bench.base, bench.folder / "checks") as scene:
        trial = run_trial(DRILL, scene, open_target, bench.stopping)
    catchers = {form.caught_by.name for form in catalogue.FORMS if form.caught_by}
    assert {finding.check for finding in trial.findings} - catchers == set()
    assert all(finding.verdict is Verdict.PASS for finding in trial.findings), "the plan asks for every rung"


def test_a_byte_turned_in_any_record_of_the_log_is_found(bench, tmp_path):
    archive = tmp_path / "archive"
    shutil.copytree(bench.base.archive, archive)
    segments = [archive / name for name in archived_segments(archive)]
    processes = Processes(tmp_path / "records", tmp_path / "logs")
    workspace = Workspace("audit", tmp_path)
    work = Work(workspace, processes, bench.base.binaries, RestoreSpec(), seconds_left=60)
    assert audit_wal(archive, None, work).damaged == ()
    draw = random.Random(7)
    for _ in range(40):
        path = draw.choice(segments)
        whole = path.read_bytes()
        # What is zero may be padding, which no checksum covers and PostgreSQL does not read.
        used = len(whole.rstrip(b"\0"))
        position = next(n for n in (draw.randrange(used) for _ in range(10_000)) if whole[n])
        flip_byte(path, position)
        assert audit_wal(archive, None, work).damaged, f"{path.name} at {position}"
        path.write_bytes(whole)


def always_passes(history, plan):
    return Finding(check="bytes", verdict=Verdict.PASS, expected="", seen="never looked")


def breaks(history, plan):
    raise KeyError("journal")


@pytest.mark.parametrize(
    "checks",
    [
        pytest.param([c for c in CHECKS if c is not bytes_are_whole], id="the check is gone"),
        pytest.param([always_passes if c is bytes_are_whole else c for c in CHECKS], id="the check passes everything"),
        pytest.param([breaks if c is bytes_are_whole else c for c in CHECKS], id="the check breaks"),
    ],
)
def test_a_blinded_drill_is_found_out(bench, checks):
    blinded = replace(bench, drill=replace(DRILL, checks=tuple(checks)))
    row = blinded.try_form(FORMS["truncated-manifest"])
    assert (row.is_right, row.must_catch) == (False, ("bytes",))
    assert row.note


def test_a_drill_that_cries_wolf_is_found_out(bench):
    def cries_wolf(history, plan):
        return always_passes(history, plan).model_copy(update={"verdict": Verdict.FAIL})

    row = replace(bench, drill=replace(DRILL, checks=(*CHECKS, cries_wolf))).try_form(FORMS["full"])
    assert not row.is_right
    assert row.caught_by == ("bytes",)


def test_the_command_says_what_was_not_caught(settings, capsys):
    blinded = replace(DRILL, checks=tuple(c for c in CHECKS if c is not amcheck_is_clean))
    code = prove(settings, "restore", ["unindexed-rows", "full"], as_json=False, drill=blinded)
    said = capsys.readouterr().out
    assert code == ExitCode.FAIL
    assert "unindexed-rows was not caught by amcheck: rows missing from an index." in said
    assert "NOT CAUGHT" in said
    assert said.splitlines()[-1] == "prove restore: 0 of 1 planted faults caught, 1 of 1 healthy forms passed"
    assert leftovers(settings) == []


def test_a_part_of_the_catalogue_is_not_recorded(settings, capsys):
    assert prove(settings, "restore", ["before-backup", "full"], as_json=True) == ExitCode.PASS
    matrix = json.loads(capsys.readouterr().out)["matrix"]
    assert [(row["form"], row["is_right"]) for row in matrix] == [("before-backup", True), ("full", True)]
    with open_ledger(settings.ledger_url) as ledger:
        assert ledger.last_proof("restore") is None


def test_the_whole_catalogue_is_recorded(settings, monkeypatch, capsys):
    monkeypatch.setattr(catalogue, "FORMS", (FORMS["before-backup"], FORMS["full"]))
    assert prove(settings, "restore", None, as_json=False) == ExitCode.PASS
    with open_ledger(settings.ledger_url) as ledger:
        proof = ledger.last_proof("restore")
    assert (proof.caught, proof.planted, proof.quiet, proof.healthy) == (1, 1, 1, 1)
    assert proof.matrix[0].caught_by == ("restored",)


def test_wrong_names_are_told_before_anything_is_made(settings):
    with pytest.raises(UsageError, match="no form named nonsense"):
        prove(settings, "restore", ["nonsense"], as_json=False)
    with pytest.raises(UsageError, match="no catalogue of faults for 'nonsense'"):
        prove(settings, "nonsense", None, as_json=False)
    assert not settings.root.exists()


def until(is_so, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def processes_on_record(settings):
    """Identities of the restored servers that run below the installation's folder."""
    found = []
    for path in settings.root.glob("prove/*/work/*/run/processes/restored.pid"):
        try:
            _, boot, stat = path.read_text().rstrip("\n").split(" ", 2)
        except (FileNotFoundError, ValueError):
            continue
        found.append(Identity.parse(boot, stat))
    return found


def start_proof(settings):
    words = ["-c", "from muster.cli import main; main()", "prove", "restore", "--only", "full", "--only", "chain"]
    return subprocess.Popen([sys.executable, *words], env=os.environ | {"MUSTER_HOME": str(settings.root)})


def test_ctrl_c_leaves_nothing(settings):
    proof = start_proof(settings)
    servers = until(lambda: processes_on_record(settings))
    proof.send_signal(signal.SIGINT)
    assert proof.wait(timeout=60) == ExitCode.ABORTED
    assert leftovers(settings) == []
    assert not any(server.is_alive() for server in servers)


def test_what_a_killed_proof_left_is_removed_by_the_next(settings):
    proof = start_proof(settings)
    servers = until(lambda: processes_on_record(settings))
    proof.kill()
    proof.wait(timeout=60)
    assert len(leftovers(settings)) == 1
    with own_folder(settings) as folder:
        assert leftovers(settings) == [Path(folder)]
        assert not any(server.is_alive() for server in servers)
    assert leftovers(settings) == []
