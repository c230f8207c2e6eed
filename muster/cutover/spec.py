"""The `cutover:` section of a plan: which schedules move, in what order, how patiently, and what is promised."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from muster.cutover.schedule import Cut, Job
from muster.guard import WhenAway
from muster.quantity import Duration

YEAR_AND_MORE = timedelta(days=400)
"""Holds two changes of the clocks in every zone that has them."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InFlight(StrEnum):
    """What becomes of runs that the old scheduler has taken up when it is held."""

    WAIT = "wait"
    """They are waited for, `in_flight_limit` at most, before the new one starts anything."""
    LEAVE = "leave"
    """They go on beside the new one."""


class AtLimit(StrEnum):
    """What is done when runs are still in flight after `in_flight_limit`."""

    GO_ON = "go-on"
    """The new one begins beside them; `drained` fails."""
    GIVE_UP = "give-up"
    """Nothing is handed over: the old one has its schedules back."""


class CatchUp(StrEnum):
    """What becomes of ticks that the old scheduler should have started and did not before it was held."""

    RUN = "run"
    """The new one starts them, once, late."""
    SKIP = "skip"
    """They are left out, and told."""


class Ready(_Strict):
    """When the pair counts as ready for a cutover, asked harmlessly every so often."""

    every: Duration = Field(default="15m", validate_default=True, gt=timedelta())


class Told(_Strict):
    """What a job is where it comes from a scheduler of another kind: laid over what was read."""

    jobs: tuple[str, ...]
    """Names; a trailing `*` stands for any end."""
    own: Mapping[str, Any] = {}
    """Facts of the new scheduler: for Prefect `entrypoint`, `work_pool_name`, `path`, `pull_steps`, `job_variables`."""
    parameters: Mapping[str, Any] = {}


class CutoverSpec(_Strict):
    """What is handed over, and how."""

    cut: Cut = Cut()
    waves: tuple[Cut, ...] = ()
    """Parts of the cut, handed over one after the other; what no wave names comes last. None: all at once."""
    bake: Duration = Field(default="1m", validate_default=True, ge=timedelta())
    """Between two waves."""
    commit: bool = False
    """Whether the schedules stay with the new scheduler. Otherwise it is a rehearsal: they are handed back."""
    jobs: tuple[Told, ...] = ()
    accept: tuple[str, ...] = ()
    """What may be carried inexactly: texts that the translation's words begin with."""
    shadow: Duration = Field(default=YEAR_AND_MORE, validate_default=True, gt=timedelta())
    """How far ahead both schedulers' ticks are compared."""
    shadow_ticks: int = Field(default=5_000, ge=10, le=1_000_000)
    """Of each schedule so many at most."""
    steady: Duration = Field(default="1m", validate_default=True, ge=timedelta())
    """The old scheduler is watched so long before."""
    watch: Duration = Field(default="10m", validate_default=True, gt=timedelta())
    """The new one is watched so long; in a rehearsal the old one again, after it has them back."""
    quiet: Duration = Field(default="5s", validate_default=True, ge=timedelta())
    """A moment between ticks is waited for so long."""
    in_flight: InFlight = InFlight.WAIT
    in_flight_limit: Duration = Field(default="5m", validate_default=True, gt=timedelta())
    at_limit: AtLimit = AtLimit.GO_ON
    catch_up: CatchUp = CatchUp.RUN
    look_back: Duration = Field(default="5m", validate_default=True, gt=timedelta())
    """How old a tick may be that the old scheduler did not start, to be made up for."""
    late: Duration = Field(default="1m", validate_default=True, gt=timedelta())
    """A run that starts later after its tick is late."""
    order: Duration = Field(default="5s", validate_default=True, ge=timedelta())
    """A run that begins so much after one of a later tick was overtaken; what is taken up at once has no order."""
    clocks: Duration = Field(default="2s", validate_default=True, gt=timedelta())
    """How far the schedulers' clocks may be from the ledger's."""
    when_away: WhenAway | None = None
    """What copies of command lines do while the ledger of their claims is away; `None`: what the originals do."""
    guarded: bool = True
    """Whether jobs claim their ticks (`muster tick`): then claims are judged too. Otherwise the drill only observes."""
    ready: Ready = Ready()

    @model_validator(mode="after")
    def _waves_are_told_apart(self) -> "CutoverSpec":
        if len(set(map(Cut.model_dump_json, self.waves))) < len(self.waves):
            raise ValueError("two waves are the same")
        return self

    def wave_of(self, job: Job) -> int:
        """The first wave that takes the job; the last where none does."""
        return next((n for n, wave in enumerate(self.waves) if wave.takes(job)), len(self.waves))

    def told_of(self, job: Job) -> Job:
        """The job as the new scheduler is to have it. A command line becomes parameters of whatever flow runs it."""
        for told in self.jobs:
            if Cut(names=told.jobs).takes(job):
                runs = {"command": job.command, "environment": dict(job.environment)} if job.command else {}
                parameters = {**runs, **job.parameters, **told.parameters}
                return job.model_copy(update={"own": {**job.own, **told.own}, "parameters": parameters})
        return job
