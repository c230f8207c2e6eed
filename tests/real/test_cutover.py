"""A whole cutover as a user runs it, and what becomes of the schedules when Muster, a server or a worker dies in it."""

import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.cutover.checks import CHECKS
from muster.cutover.observations import HomeSeen, Reckoned
from muster.cutover.ownership import Side
from muster.summary import Summary
from muster.verdict import ExitCode, Outcome, Verdict
from tasks.estate.bluegreen import BLUE, GREEN, server_of, worker_of
from tasks.faults.cutover_base import POOLS, Base
from tests.real.cutover_home import Cutover, installed, servers

pytestmark = [pytest.mark.xdist_group("cutover"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def base() -> Iterator[Base]:
    with servers() as made:
        yield made


def run(cutover: Cutover, *more: str) -> "subprocess.CompletedProcess[str]":
    return cutover.home.muster("run", cutover.plan, "--here", "--reason", "a test", *more, timeout=300)


def test_there_and_back_misses_nothing_and_is_sealed(base: Base, tmp_path: Path) -> None:
    with installed(base, tmp_path, "whole") as cutover:
        looked = cutover.home.muster("ready", "whole", "--json")
        assert json.loads(looked.stdout)["plans"][0]["state"] == "ready", looked.stdout
        done = run(cutover, "--json")
        assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
        summary = Summary.model_validate_json(done.stdout)
        assert (summary.outcome, summary.verdict) == (Outcome.PASSED, Verdict.PASS)
        assert len(summary.findings) == len(CHECKS)
        assert {f.verdict for f in summary.findings} == {Verdict.PASS}
        assert {m.name for m in summary.measures} == {"RTO", "Lateness"}
        assert summary.ticks is not None
        assert [mark.name for mark in summary.ticks.marks] == ["to b", "to a"]
        book = cutover.history().result("account", Reckoned)
        assert book is not None
        assert book.expected == sum(book.by_side.values()) == book.claims > 10
        assert all(book.by_side[side] for side in Side)
        cutover.assert_wholly_on(Side.A)
        (bundle,) = (tmp_path / "store").rglob("*.tar.gz")
        key = str(cutover.home.settings.public_key_file)
        assert cutover.home.muster("verify", str(bundle), "--key", key).returncode == ExitCode.PASS
        with tarfile.open(bundle) as sealed:
            names = [Path(name).name for name in sealed.getnames()]
        assert {"ticks.jsonl", "report.html"} <= set(names)
        cutover.assert_every_tick_once()
        cutover.start_again(Side.A)
        with pytest.raises(AssertionError, match="1 started twice"):
            cutover.assert_every_tick_once()


def test_foreseeing_a_cutover_touches_nothing(base: Base, tmp_path: Path) -> None:
    with installed(base, tmp_path, "foreseen") as cutover:
        done = cutover.home.muster("run", "foreseen", "--shadow-only", "--json")
        assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
        told = json.loads(done.stdout)
        assert (len(told["schedules"]), told["shadow"]["different"]) == (5, 0)
        assert told["shadow"]["ticks"] > 10_000
        assert "differ" in cutover.home.muster("run", "foreseen", "--shadow-only").stdout
        cutover.assert_wholly_on(Side.A)
        status = json.loads(cutover.home.muster("status", "foreseen", "--json").stdout)
        assert status["plans"][0]["state"] == "never"


@pytest.mark.parametrize(
    ("step", "commit", "side"),
    [
        ("mirror", False, Side.A),
        ("drain", False, Side.A),
        ("fence", False, Side.A),
        ("activate", False, Side.A),
        ("fence-back", False, Side.A),
        ("fence", True, Side.A),
        ("activate", True, Side.B),
    ],
)
def test_a_killed_muster_leaves_the_schedules_wholly_on_one_side(
    base: Base, tmp_path: Path, step: str, commit: bool, side: Side
) -> None:
    form = f"killed-{step}{'-good' if commit else ''}"
    with installed(base, tmp_path, form, commit=commit) as cutover:
        died = run(cutover, "--inject-kill", step)
        assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
        undone = cutover.home.muster("undo", "run", timeout=200)
        assert undone.returncode == ExitCode.PASS, undone.stdout + undone.stderr
        cutover.assert_wholly_on(side)
        cutover.assert_every_tick_once()


@pytest.mark.parametrize(("colour", "step"), [(BLUE, "drain"), (GREEN, "watch")])
def test_a_killed_server_ends_the_drill_and_nothing_is_started_twice(
    base: Base, tmp_path: Path, colour: str, step: str
) -> None:
    form = f"lost-{colour}"
    with installed(base, tmp_path, form, watch="20s") as cutover:
        pair = base.pair
        started = cutover.home.start("run", form, "--here", "--reason", "a server dies", "--json")
        try:
            cutover.step_began(step)
            identity = pair.processes.identity(server_of(colour))
            assert identity is not None
            os.kill(identity.pid, signal.SIGKILL)
            said, _ = started.communicate(timeout=280)
        finally:
            started.kill()
        assert started.returncode in {ExitCode.ABORTED, ExitCode.FAIL, ExitCode.LEFT_BEHIND}, said
        pair.start_server(colour)
        undone = cutover.home.muster("undo", "run", timeout=200)
        assert undone.returncode == ExitCode.PASS, undone.stdout + undone.stderr
        cutover.assert_wholly_on(Side.A)


def test_a_killed_worker_fails_the_drill_by_the_ticks_it_did_not_start(base: Base, tmp_path: Path) -> None:
    with installed(base, tmp_path, "lost-worker", late="5s", in_flight_limit="5s") as cutover:
        pair = base.pair
        started = cutover.home.start("run", "lost-worker", "--here", "--reason", "a worker dies", "--json")
        try:
            cutover.step_began("watch")
            identity = pair.processes.identity(worker_of(GREEN))
            assert identity is not None
            os.kill(identity.pid, signal.SIGKILL)
            said, _ = started.communicate(timeout=280)
        finally:
            started.kill()
            pair.start_worker(GREEN, base.apis[GREEN], POOLS)
        summary = Summary.model_validate_json(said)
        assert summary.outcome is Outcome.FAILED, said
        failed = {f.check for f in summary.findings if f.verdict is Verdict.FAIL}
        assert failed & {"missed", "in flight", "late"}, failed
        cutover.assert_wholly_on(Side.A)
        home = cutover.history().latest(HomeSeen)
        assert home is not None
        assert home.owner is Side.A
