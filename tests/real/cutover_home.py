"""Blue and green once for a test module, and an installation whose plan hands a form's canaries over between them."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from muster.cutover.observations import Surveyed
from muster.cutover.ownership import Side
from muster.cutover.schedule import Cut, Tick
from muster.journal import History
from muster.ledger import open_ledger
from muster.settings import Settings
from tasks.estate.bluegreen import BLUE, GREEN
from tasks.faults.cutover_base import Base, blue_and_green, start_canaries
from tasks.faults.cutover_stage import plan_of
from tasks.handover.ticking import expected
from tasks.schedulers.prefect import PrefectScheduler, Spec
from tasks.schedulers.prefect_api import Api
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

    def server(self, side: Side) -> Api:
        return self.base.api(COLOURS[side])

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
        """Every due time since the survey was claimed, though the drill was killed in between; and of none did both
        schedulers, or one of them twice, begin a run, whether the guard stopped the second or not.
        """
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
        begun = self.begun(since, until)
        assert due <= begun.keys(), "a claim without a run"
        twice = {tick: sides for tick, sides in begun.items() if len(sides) > 1}
        assert not twice, f"{len(twice)} started twice: {list(twice.items())[:5]}"

    def begun(self, since: datetime, until: datetime) -> dict[Tick, list[Side]]:
        """Who began a run of each due time, by both servers' own histories: runs of copies that are gone among them."""
        found: dict[Tick, list[Side]] = {}
        due = {"after_": since.isoformat(), "before_": until.isoformat()}
        only = {"tags": {"all_": [self.plan]}, "expected_start_time": due}
        for side in Side:
            for run in self.server(side).pages("flow_runs/filter", {"flow_runs": only, "sort": "ID_DESC"}):
                at = datetime.fromisoformat(run["expected_start_time"]).astimezone(UTC)
                if run["start_time"] and at > since:
                    found.setdefault(Tick(run["parameters"]["schedule"], at), []).append(side)
        return found

    def start_again(self, side: Side) -> None:
        """A second run of a due time that had one, and wait until it began."""
        survey = self.history().result("survey", Surveyed)
        assert survey is not None
        since, until = survey.began, datetime.now(UTC)
        tick = next(tick for tick in self.begun(since, until) if tick.schedule.endswith("-first"))
        before, server = len(self.begun(since, until)[tick]), self.server(side)
        deployment = server.get(f"deployments/name/{tick.schedule}")
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": tick.at.isoformat()}}
        asked = {"state": state, "parameters": {"schedule": tick.schedule, "size": 3}}
        server.post(f"deployments/{deployment['id']}/create_flow_run", asked)
        deadline = time.monotonic() + 60
        while len(self.begun(since, until)[tick]) == before:
            assert time.monotonic() < deadline, "nobody took the second run up"
            time.sleep(0.5)


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
