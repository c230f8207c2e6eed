"""`python -m tests.real.cutover_kills`: whatever a rehearsal needs is killed in every step, for real, part by part.

Promises: every trial is a whole rehearsal of its own with real servers, databases and workers; what was killed is
brought up again, `muster undo run` follows, and then one scheduler has all schedules, the other starts none, and the
run ended in a sealed record. Where Muster alone was killed, every due time was served once all the same. It takes an
hour or two, so the suite has a few of these trials only (`tests/real/test_cutover.py`).
"""

import argparse
import os
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.cutover import DRILL
from muster.cutover.observations import Surveyed
from muster.cutover.ownership import Side
from muster.ledger import open_ledger
from muster.verdict import ExitCode
from tasks.estate.bluegreen import BLUE, GREEN, database_of, server_of, worker_of
from tasks.faults.cutover_base import POOLS, Base
from tests.real.cutover_home import Cutover, installed, servers

MUSTER = "muster"
STEPS = tuple(step.name for step in DRILL.steps)
PARTS = {f"{colour} {kind}": (colour, kind) for kind in ("server", "database", "worker") for colour in (BLUE, GREEN)}
_NAMES = {"server": server_of, "database": database_of, "worker": worker_of}
_QUICK = {"watch": "4s", "in_flight_limit": "10s"}


@dataclass(frozen=True)
class Trial:
    """What is killed, and in which step."""

    part: str
    step: str

    @property
    def form(self) -> str:
        """Its plan."""
        return f"{self.part}-{self.step}".replace(" ", "-")


def survive(base: Base, trial: Trial) -> str:
    """One trial; how the run ended. An `AssertionError` says what is wrong afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="mkill") as folder,
        installed(base, Path(folder), trial.form, **_QUICK) as it,
    ):
        if trial.part == MUSTER:
            _kill_muster(it, trial.step)
        else:
            _kill_part(it, trial)
        undone = it.home.muster("undo", "run", timeout=240)
        assert undone.returncode == ExitCode.PASS, undone.stdout + undone.stderr
        it.assert_wholly_on(Side.A)
        if trial.part == MUSTER and it.history().result("survey", Surveyed):
            it.assert_every_tick_once()
        with open_ledger(it.home.settings.ledger_url) as ledger:
            run = ledger.runs(it.plan)[0]
        assert run.outcome is not None, "the run has no outcome"
        assert run.bundle_key, "the run was not sealed"
        assert (Path(it.home.settings.store) / run.bundle_key).is_file()
        return str(run.outcome)


def _kill_muster(it: Cutover, step: str) -> None:
    died = it.home.muster("run", it.plan, "--here", "--reason", "Muster dies", "--inject-kill", step, timeout=300)
    assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr


def _kill_part(it: Cutover, trial: Trial) -> None:
    colour, kind = PARTS[trial.part]
    pair, name = it.base.pair, _NAMES[kind](colour)
    started = it.home.start("run", it.plan, "--here", "--reason", f"the {trial.part} dies", "--json")
    try:
        it.step_began(trial.step)
        identity = pair.processes.identity(name)
        assert identity is not None
        os.kill(identity.pid, signal.SIGKILL)
        said, _ = started.communicate(timeout=400)
    finally:
        started.kill()
        _bring_up(it.base, colour)
    assert started.returncode in set(ExitCode) - {ExitCode.INTERNAL, ExitCode.USAGE}, said


def _bring_up(base: Base, colour: str) -> None:
    """Whatever of it is down is started again, in the order in which one needs the other."""
    pair = base.pair
    alive = set(pair.processes.alive())
    if database_of(colour) not in alive:
        pair.database(colour).start()
    if server_of(colour) not in alive:
        pair.start_server(colour)
    if worker_of(colour) not in alive:
        pair.start_worker(colour, base.apis[colour], POOLS)


def main(arguments: list[str]) -> int:
    """Try, tell, and end with 1 when something did not survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.real.cutover_kills")
    parser.add_argument(
        "--part", action="append", choices=[MUSTER, *PARTS], help="what is killed; default: each in turn"
    )
    parser.add_argument("--step", action="append", choices=STEPS, help="in which step; default: each in turn")
    options = parser.parse_args(arguments)
    trials = [Trial(part, step) for part in options.part or (MUSTER, *PARTS) for step in options.step or STEPS]
    console, ends = Console(), {}
    with servers() as base:
        for trial in trials:
            ends[trial] = _tried(base, trial)
            console.print(f"{trial.part} in {trial.step}: {ends[trial]}", highlight=False, soft_wrap=True)
    table = Table("step", *(options.part or (MUSTER, *PARTS)), box=None)
    for step in options.step or STEPS:
        table.add_row(step, *(ends[Trial(part, step)].partition(":")[0] for part in options.part or (MUSTER, *PARTS)))
    console.print(table)
    return 1 if any(end.startswith("LOST") for end in ends.values()) else 0


def _tried(base: Base, trial: Trial) -> str:
    try:
        return survive(base, trial)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"LOST: {type(error).__name__}: {error} ({where.line})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
