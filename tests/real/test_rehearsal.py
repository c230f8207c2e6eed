"""A whole rehearsal as a user runs it: one that shows that nothing is lost, and one that shows what is."""

import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evidence.verify import verify
from muster.failover.history import read_end
from muster.failover.observations import Accounting, FenceProof, Salvaged, Struck
from muster.failover.telling import RECOVERY
from muster.summary import Summary
from muster.verdict import ExitCode, Outcome, Verdict
from tasks.process import Processes
from tasks.regions.pair import Pair
from tests.real.test_rehearsal_survival import LINK, Rehearsal, assert_ended_well, assert_whole, installed


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    root = Path(tempfile.mkdtemp(prefix="mrun", dir="/tmp"))  # sockets need a short path
    root.chmod(0o755)
    made = Pair(root / "regions", root / "s", Processes(root / "processes", root / "logs"))
    try:
        made.start(LINK)
        yield made
    finally:
        made.stop()
        assert made.processes.names() == ()
        shutil.rmtree(root)


@pytest.fixture
def rehearsal(pair: Pair, tmp_path: Path) -> Rehearsal:
    """An installation with one plan in a hurry, on a machine whose disk may be nearly full."""
    home = installed(tmp_path, {"type": "embedded-regions", "folder": str(pair.home), "link": {"rtt": "4ms"}})
    made = Rehearsal(home, pair)
    made.plan(ready={"min_free": 0, "max_lag": "1m"})
    return made


def looks_ready(rehearsal: Rehearsal) -> bool:
    """What the look says that the watch takes every few minutes."""
    assert_whole(rehearsal.pair)
    looked = rehearsal.home.muster("ready", rehearsal.home.plan, "--json")
    (told,) = json.loads(looked.stdout)["plans"]
    assert (looked.returncode == ExitCode.PASS) == (told["state"] == "ready"), told
    return bool(told["state"] == "ready")


def status(rehearsal: Rehearsal) -> dict[str, Any]:
    told = rehearsal.home.muster("status", rehearsal.home.plan, "--json")
    return dict(json.loads(told.stdout)["plans"][0])


def bundle_of(rehearsal: Rehearsal) -> Path:
    """The one bundle in the store, which verifies with the command that users have."""
    (bundle,) = Path(rehearsal.home.settings.store).rglob("*.tar.gz")
    key = rehearsal.home.settings.public_key_file
    done = rehearsal.home.muster("verify", str(bundle), "--key", str(key))
    assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
    return bundle


def contents(bundle: Path, folder: Path) -> Path:
    """What is sealed in it."""
    with tarfile.open(bundle) as sealed:
        sealed.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    return root / "data"


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    return " ".join(done.stdout.split())


def test_under_remote_apply_a_killed_primary_loses_nothing(rehearsal: Rehearsal, tmp_path: Path) -> None:
    assert looks_ready(rehearsal)
    done = rehearsal.run("--json", "--reason", "the yearly one", "--as", "ann")
    assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
    summary = Summary.model_validate_json(done.stdout)
    assert (summary.outcome, summary.verdict, summary.requested_by) == (Outcome.PASSED, Verdict.PASS, "ann")
    assert {f.verdict for f in summary.findings} <= {Verdict.PASS, None}
    told = {m.name: m for m in summary.measures}
    assert set(told) == {"RTO", "RPO", "Failback RTO", "Failback RPO"}
    assert (told["RPO"].measured, told["Failback RPO"].measured) == (0, 0)
    assert all((told[name].measured or 0) > 0 for name in ("RTO", "Failback RTO"))
    assert all("200 writes/s on 4 connections, commit remote_apply, standby's write lag" in m.note
               for m in summary.measures)  # fmt: skip
    assert {p.name for p in summary.phases if p.lane == "recovery"} == set(RECOVERY)
    assert summary.traffic is not None
    assert [m.name for m in summary.traffic.marks] == [
        "kill", "promoted", "served again", "redundant again", "failback"
    ]  # fmt: skip

    history = assert_ended_well(rehearsal, Outcome.PASSED)
    accounting = history.result("account", Accounting)
    assert accounting is not None
    assert accounting.total.acknowledged == accounting.total.recovered > 0
    assert {p.write for p in history.observed(FenceProof)} == {"refused"}
    assert looks_ready(rehearsal)
    row = status(rehearsal)
    assert (row["state"], row["ready"]["state"]) == ("fresh", "ready")

    sealed = contents(bundle_of(rehearsal), tmp_path / "sealed")
    end = read_end(sealed / "exhibits" / "history")
    assert end is not None, "the client's history is there, to its end"
    assert {name for name in end.logs if name.startswith("w-")}
    for name in end.logs:
        assert (sealed / "exhibits" / "history" / name).is_file()
    assert Summary.model_validate_json((sealed / "summary.json").read_bytes()) == summary
    assert "What clients saw" in (sealed / "report.html").read_text()


def test_asynchronously_a_partition_loses_what_the_other_region_never_saw(rehearsal: Rehearsal, tmp_path: Path) -> None:
    rehearsal.plan(scenario="partition-then-kill", commit="asynchronous")
    done = rehearsal.run()
    assert done.returncode == ExitCode.FAIL, done.stdout + done.stderr
    history = assert_ended_well(rehearsal, Outcome.FAILED)
    accounting, salvaged = history.result("account", Accounting), history.result("salvage", Salvaged)
    assert accounting is not None
    assert salvaged is not None
    lost = accounting.total.lost
    assert lost > 0
    assert salvaged.commits is not None
    assert salvaged.commits >= lost, "all of it was in the log that the old primary had written alone"
    assert accounting.total.resurrected == 0

    said = one_line(done)
    assert "FAIL" in said
    assert re.search(rf"\brpo\b.*{lost:,} of [\d,]+ acknowledged writes lost", said), said
    bundle = bundle_of(rehearsal)
    sealed = contents(bundle, tmp_path / "sealed")
    summary = Summary.model_validate_json((sealed / "summary.json").read_bytes())
    assert [f.check for f in summary.findings if f.verdict is Verdict.FAIL] == ["rpo"]
    rpo = next(m for m in summary.measures if m.name == "RPO")
    assert (rpo.objective, rpo.verdict, (rpo.measured or 0) > 0) == (0, Verdict.FAIL, True)
    assert rpo.note.startswith(f"{lost:,} of ")
    assert summary.traffic is not None
    assert sum(c.lost for c in summary.traffic.columns) == lost
    page, text = (sealed / "report.html").read_text(), (sealed / "report.md").read_text()
    for report in (page, text):
        assert f"{lost:,} acknowledged write{'s' if lost > 1 else ''} lost" in report
    assert 'class="lost"' in page
    assert (sealed / "exhibits" / salvaged.listed).is_file(), "the list of the lost commits is sealed"
    struck = history.result("fault", Struck)
    assert struck is not None
    assert struck.done
    report = verify(bundle, rehearsal.home.settings.public_key_file)
    assert report.predicate is not None
    assert report.predicate["outcome"] == "failed", "a failing drill is sealed as well"
    assert looks_ready(rehearsal), "whatever was lost, the pair is whole again"
    row = status(rehearsal)
    assert (row["state"], row["ready"]["state"]) == ("never", "ready"), "ready is not proven"
