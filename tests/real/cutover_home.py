"""Blue and green once for a test module, and an installation whose plan hands a form's canaries over between them."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from muster.cutover.observations import Surveyed
from muster.cutover.ownership import Side
from muster.cutover.schedule import Cut
from muster.journal import History
from muster.ledger import open_ledger
from muster.settings import Settings
from tasks.estate.bluegreen import BLUE, GREEN
from tasks.faults.cutover_base import Base, blue_and_green, start_canaries
from tasks.faults.cutover_stage import plan_of
from tasks.handover.ticking import expected
from tasks.schedulers.prefect import PrefectScheduler, Spec
from tests.real.conftest import Home

COLOURS = {Side.A: BLUE, Side.B: GREEN}


@contextmanager
def servers() -> Iterator[Base]:
    """Both, and nothing of them afterwards."""
    root = Path(tempfile.mkdtemp(prefix="mcut", dir="/tmp"))  # sockets need a short path
    root.chmod(0o755)
    try:
        with blue_and_green(root / "base") as base:
            yield base
    finally:
        shutil.rmtree(root)


@dataclass(frozen=True)
class Cutover:
    """One installation, its plan, its canaries."""

    home: Home
    base: Base

    @property
    def plan(self) -> str:
        return self.home.plan

    def scheduler(self, side: Side) -> PrefectScheduler:
        return PrefectScheduler(Spec(api=self.base.apis[COLOURS[side]]))

    def history(self) -> History:
        with open_ledger(self.home.settings.ledger_url) as ledger:
            return History(ledger.read_events(ledger.runs(self.plan)[0].run))

    def step_began(self, step: str, seconds: float = 120) -> None:
        """Wait until the drill is in a step."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with open_ledger(self.home.settings.ledger_url) as ledger:
                runs = ledger.runs(self.plan)
                if runs and step in History(ledger.read_events(runs[0].run)).step_states():
                    return
            time.sleep(0.1)
        raise TimeoutError(step)

    def assert_wholly_on(self, side: Side) -> None:
        """Everything is started by one side, the other has nothing that could start."""
        found = {}
        for each in Side:
            scheduler = self.scheduler(each)
            names = [s.name for s in scheduler.inventory(Cut(tags=(self.plan,))).schedules]
            found[each] = (len(scheduler.released(names)), len(names))
        there, away = found[side], found[side.other]
        assert there == (5, 5), found
        assert away[0] == 0, found
        if side is Side.A:
            assert away == (0, 0), found

    def assert_every_tick_once(self, seconds: float = 30) -> None:
        """Every due time since the survey was claimed, though the drill was killed in between."""
        survey = self.history().result("survey", Surveyed)
        assert survey is not None
        since, schedules = survey.began, [s for s in survey.inventory.schedules if s.rule.form != "cron"]
        with open_ledger(self.home.settings.ledger_url) as ledger:
            until = ledger.now()
            due = set(expected(schedules, self.scheduler(Side.A), since, until))
            names = [schedule.name for schedule in schedules]
            deadline = time.monotonic() + seconds
            while True:
                claimed = {(c.schedule, c.at) for c in ledger.claims_between(names, since, until)}
                missing = sorted(due - claimed, key=lambda tick: tick.at)
                if not missing or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
        assert due
        assert not missing, (missing[:5], len(missing), len(due))


@contextmanager
def installed(base: Base, folder: Path, form: str, **cutover: Any) -> Iterator[Cutover]:
    """An installation in `folder`, with canaries at work on blue."""
    with base.pool() as pool:
        start_canaries(base, form, pool)
        quick = {"steady": "3s", "watch": "8s", "commit": False, **cutover}
        plan = plan_of(base, form, {}, {"patience": "10s"}, quick).model_dump(mode="json", exclude_none=True)
        plans = folder / "plans"
        plans.mkdir()
        (plans / f"{form}.yaml").write_text(yaml.safe_dump(plan))
        settings = Settings(home=folder / "home", plans=plans, store=str(folder / "store"), ledger=base.ledger_url)
        yield Cutover(Home(folder, settings, form), base)
