"""Stand-ins that keep the promises of the real ones, in memory: the contract suites run over them too."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from muster.cutover.expected import ticks_of
from muster.cutover.schedule import CalendarRule, Cut, Dialect, Firing, Inventory, Job, Schedule, Stage, Tick, Unfit
from muster.errors import Refusal, StepError, SystemFailure
from muster.identity import Identity
from tasks.schedulers.scheduler import Reach


@dataclass
class FakeScheduler:
    """A scheduler that starts nothing by itself: `take_up` says what its worker does."""

    name: str
    dialect: Dialect = Dialect.PREFECT
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    jobs: dict[str, Job] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    """`active`: not at rest. In the inventory those are active that would start something, as in a crontab."""
    shut: set[str] = field(default_factory=set)
    """Schedules whose gate is shut."""
    marks: dict[str, str] = field(default_factory=dict)
    """Of jobs that a mirror made."""
    unfit: tuple[Unfit, ...] = ()
    firings: dict[Tick, Firing] = field(default_factory=dict)
    keeps_history: bool = True
    wakes_by_arming_alone: bool = False
    """A release opens the gate, and no more, as Prefect's of a work pool does."""
    is_deaf: bool = False
    """It takes orders, says nothing against them, and follows none."""
    is_away: bool = False
    """It does not answer."""
    before_each: Callable[[str], None] = field(default=lambda verb: None)
    """Called with the name of each verb that changes something, before it is done."""
    after_each: Callable[[str], None] = field(default=lambda verb: None)

    @classmethod
    def of(cls, name: str, schedules: Iterable[tuple[Job, Schedule]], **more: object) -> "FakeScheduler":
        """One that has schedules of its own."""
        pairs = tuple(schedules)
        return cls(name, jobs={j.name: j for j, _ in pairs}, schedules={s.name: s for _, s in pairs}, **more)  # type: ignore[arg-type]

    # What it is

    def identify(self) -> Identity:
        self._answer()
        return Identity(description=f"fake {self.name}", system_identifier=self.name, proof="it said so")

    def now(self) -> datetime | None:
        self._answer()
        return self.clock()

    def inventory(self, cut: Cut) -> Inventory:
        self._answer()
        jobs = {name: job for name, job in self.jobs.items() if cut.takes(job)}
        told = (self._told(schedule) for schedule in self.schedules.values() if schedule.job in jobs)
        return Inventory(
            jobs=tuple(jobs.values()),
            schedules=tuple(told),
            unfit=self.unfit if cut == Cut() else (),
        )

    def _told(self, schedule: Schedule) -> Schedule:
        return schedule.model_copy(update={"active": schedule.active and schedule.name not in self.shut})

    def untold(self, job: Job, schedule: Schedule) -> tuple[str, ...]:
        return () if self.carried(schedule) else ("an OnCalendar expression",)

    def carried(self, schedule: Schedule) -> Schedule | None:
        return None if isinstance(schedule.rule, CalendarRule) else schedule

    def gate_of(self, job: Job) -> str:
        return ""

    # What it does

    def objection(self, jobs: Sequence[Job], schedules: Sequence[Schedule], mark: str) -> str:
        self._answer()
        foreign = [j.name for j in jobs if j.name in self.jobs and self.marks.get(j.name) != mark]
        return f"{self.name} has {foreign[0]} already" if foreign else ""

    def mirror(self, jobs: Sequence[Job], schedules: Sequence[Schedule], reach: Reach) -> None:
        if words := self.objection(jobs, schedules, reach.mark):
            raise Refusal(words, "rename it")
        with self._order("mirror", reach):
            ours = {job.name for job in jobs}
            self.jobs.update({job.name: job for job in jobs})
            self.marks.update(dict.fromkeys(ours, reach.mark))
            gone = [name for name, schedule in self.schedules.items() if schedule.job in ours]
            for name in gone:
                del self.schedules[name]
            self.schedules.update({s.name: s.model_copy(update={"active": False}) for s in schedules})
            self.shut |= {schedule.name for schedule in schedules}

    def remove(self, jobs: Collection[str], reach: Reach) -> None:
        with self._order("remove", reach):
            ours = {name for name in jobs if self.marks.get(name) == reach.mark}
            for name in ours:
                del self.jobs[name], self.marks[name]
            self.schedules = {name: s for name, s in self.schedules.items() if s.job not in ours}
            self._forget(lambda firing: firing.schedule not in self.schedules)

    def arm(self, schedules: Collection[str], reach: Reach) -> None:
        self._switch("arm", schedules, reach, active=True, shut=True)

    def release(self, schedules: Collection[str], reach: Reach) -> None:
        self._switch("release", schedules, reach, active=None if self.wakes_by_arming_alone else True, shut=False)

    def hold(self, schedules: Collection[str], reach: Reach) -> None:
        self._switch("hold", schedules, reach, shut=True)

    def rest(self, schedules: Collection[str], reach: Reach) -> None:
        self._switch("rest", schedules, reach, active=False)
        self._forget(lambda firing: firing.schedule in schedules)

    def released(self, schedules: Collection[str]) -> frozenset[str]:
        self._answer()
        return self.is_at_work() & frozenset(schedules)

    def is_at_work(self) -> frozenset[str]:
        """What is released, whether it answers or not."""
        return frozenset(name for name, s in self.schedules.items() if s.active and name not in self.shut)

    def next_ticks(self, schedules: Sequence[Schedule], after: datetime, until: datetime) -> tuple[Tick, ...] | None:
        self._answer()
        return tuple(ticks_of(schedules, self.dialect, after, until))

    def history(self, schedules: Collection[str], after: datetime, until: datetime) -> tuple[Firing, ...] | None:
        self._answer()
        self._known(schedules)
        found = (f for f in self.firings.values() if f.schedule in schedules and after < f.at <= until)
        return tuple(sorted(found, key=lambda f: (f.at, f.schedule))) if self.keeps_history else None

    def at_work(self, schedules: Collection[str]) -> tuple[Firing, ...] | None:
        self._answer()
        found = (f for f in self.firings.values() if f.schedule in schedules)
        return tuple(f for f in found if f.stage.is_taken and not f.stage.is_over) if self.keeps_history else None

    def drop(self, ticks: Collection[Tick], reach: Reach) -> None:
        with self._order("drop", reach):
            self._forget(lambda firing: firing.tick in ticks)

    def start(self, ticks: Collection[Tick], reach: Reach) -> frozenset[Tick]:
        with self._order("start", reach):
            made = frozenset(tick for tick in ticks if tick.schedule in self.schedules)
            for tick in made:
                if tick not in self.firings:
                    self.make(tick, Stage.WAITING)
        return made

    # What happens in it

    def make(self, tick: Tick, stage: Stage) -> None:
        """A run of a tick, so far on its way."""
        if tick in self.firings and self.firings[tick].stage.is_taken:
            raise AssertionError(f"{self.name} has started {tick} already")
        began = max(tick.at, self.clock()) if stage.is_taken else None
        self.firings[tick] = Firing(
            schedule=tick.schedule, at=tick.at, run=f"{self.name}-{tick.key[:8]}", stage=stage, started=began,
            ended=began if stage.is_over else None, parameters=self.schedules[tick.schedule].parameters,
        )  # fmt: skip

    def take_up(self) -> frozenset[Tick]:
        """Its worker does whatever waits and is released. Returns what that was."""
        open_ones = self.released(self.schedules)
        taken = [f.tick for f in self.firings.values() if f.stage is Stage.WAITING and f.schedule in open_ones]
        for tick in taken:
            self.make(tick, Stage.DONE)
        return frozenset(taken)

    def _answer(self) -> None:
        if self.is_away:
            raise StepError(f"{self.name} does not answer", "bring it up")

    def _known(self, schedules: Collection[str]) -> None:
        if missing := sorted(set(schedules) - set(self.schedules)):
            raise StepError(f"{self.name} has no schedule {missing[0]}", "see what became of it")

    @contextmanager
    def _order(self, verb: str, reach: Reach) -> Iterator[None]:
        reach.seconds_left()
        self.before_each(verb)
        self._answer()
        yield
        self.after_each(verb)

    def _switch(
        self, verb: str, schedules: Collection[str], reach: Reach, active: bool | None = None, shut: bool | None = None
    ) -> None:
        with self._order(verb, reach):
            self._known(schedules)
            if self.is_deaf:
                raise SystemFailure(f"{self.name} said it would {verb}, and did not", "look at it")
            for name in schedules:
                if active is not None:
                    self.schedules[name] = self.schedules[name].model_copy(update={"active": active})
                if shut is not None:
                    (self.shut.add if shut else self.shut.discard)(name)

    def _forget(self, which: Callable[[Firing], bool]) -> None:
        """Of runs that nobody has taken up."""
        self.firings = {t: f for t, f in self.firings.items() if f.stage is not Stage.WAITING or not which(f)}
