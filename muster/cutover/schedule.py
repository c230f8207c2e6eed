"""Schedules as every scheduler has them: a rule that makes ticks, a job that they start, and what became of each tick.

Promises: every moment is aware and UTC; a schedule has the same name in both schedulers of a cutover, and no other one
has it. A tick is known by schedule and moment alone, never by an id of its scheduler.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from muster.quantity import format_seconds

Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Dialect(StrEnum):
    """Who reads a rule. They differ on days on which clocks change, and in what they take."""

    PREFECT = "prefect"
    CRON = "cron"
    """Debian's cron (vixie)."""
    AIRFLOW = "airflow"
    SYSTEMD = "systemd"


class CronRule(_Strict):
    """A cron expression, read on the clock of a time zone."""

    form: Literal["cron"] = "cron"
    expression: str
    timezone: str = "UTC"
    day_or: bool = True
    """Day of month or day of week holds, where both are set; else both must."""


class IntervalRule(_Strict):
    """Every so many seconds from an anchor on. Whole days go through a change of clocks as each scheduler has it."""

    form: Literal["interval"] = "interval"
    seconds: float = Field(gt=0)
    anchor: Moment
    timezone: str = "UTC"


class RecurrenceRule(_Strict):
    """RFC 5545: RRULE, EXRULE, RDATE and EXDATE lines."""

    form: Literal["rrule"] = "rrule"
    text: str
    timezone: str = "UTC"


class CalendarRule(_Strict):
    """systemd's OnCalendar expression (systemd.time(7))."""

    form: Literal["calendar"] = "calendar"
    expression: str
    timezone: str = "UTC"


Rule = Annotated[CronRule | IntervalRule | RecurrenceRule | CalendarRule, Field(discriminator="form")]


def words_of(rule: Rule) -> str:
    """A rule in a few words."""
    zone = "" if rule.timezone == "UTC" else f", {rule.timezone}"
    match rule:
        case CronRule():
            return f"{rule.expression}{zone}"
        case IntervalRule():
            return f"every {format_seconds(rule.seconds)}{zone}"
        case RecurrenceRule():
            return f"{rule.text.splitlines()[-1].removeprefix('RRULE:')}{zone}"
        case CalendarRule():
            return f"OnCalendar {rule.expression}{zone}"


class Job(_Strict):
    """What ticks start. Several schedules may start one job."""

    name: str
    command: str = ""
    """What cron or systemd runs."""
    environment: Mapping[str, str] = {}
    parameters: Mapping[str, Any] = {}
    tags: tuple[str, ...] = ()
    owner: str = ""
    concurrency: int | None = None
    """How many runs of it may be at work at once; `None`: any number."""
    own: Mapping[str, Any] = {}
    """Facts that only its kind of scheduler understands, to make it again there: entrypoint, queue, job variables."""


class Schedule(_Strict):
    """A rule, and the job it starts."""

    name: str
    """The job's name; `job#slug` where the job has several schedules."""
    job: str
    rule: Rule
    active: bool = True
    parameters: Mapping[str, Any] = {}
    """Laid over the job's own."""
    catch_up: bool = False
    """Whether the scheduler makes up for ticks that fell into its own time away."""
    jitter_seconds: float = 0
    """The scheduler starts up to so much later than the rule says."""


class Unfit(_Strict):
    """A schedule that cannot be handed over, and why: `@reboot`, for one, has no ticks."""

    name: str
    reason: str


class Inventory(_Strict):
    """What a scheduler holds of a cut."""

    jobs: tuple[Job, ...]
    schedules: tuple[Schedule, ...]
    unfit: tuple[Unfit, ...] = ()

    def job_of(self, schedule: Schedule) -> Job:
        """The job that a schedule starts."""
        return next(job for job in self.jobs if job.name == schedule.job)


class Cut(_Strict):
    """Which schedules are handed over; every condition that is set must hold. Nothing set: all of them."""

    tags: tuple[str, ...] = ()
    """A job has all of these."""
    owner: str = ""
    names: tuple[str, ...] = ()
    """Jobs by name; a trailing `*` stands for any end."""

    def takes(self, job: Job) -> bool:
        """Whether the job is in the cut."""
        named = not self.names or any(
            job.name.startswith(name[:-1]) if name.endswith("*") else job.name == name for name in self.names
        )
        return named and set(self.tags) <= set(job.tags) and self.owner in {"", job.owner}


class Tick(NamedTuple):
    """One due time of a schedule."""

    schedule: str
    at: datetime

    @property
    def key(self) -> str:
        """SHA-256 of name and moment, in hex: what a claim of the tick is unique by. See `docs/cutover.md` for SQL."""
        return sha256(f"{self.schedule}\0{self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}".encode()).hexdigest()


class Stage(StrEnum):
    """How far the scheduler's run of a tick has come."""

    WAITING = "waiting"
    """Made, and nobody has taken it up."""
    TAKEN = "taken"
    """A worker has it."""
    RUNNING = "running"
    BEGUN = "begun"
    """It was started, and nothing tells how it ended."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_taken(self) -> bool:
        """Whether it was taken up, whatever came of it."""
        return self not in {Stage.WAITING, Stage.CANCELLED}

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be told of it."""
        return self in {Stage.BEGUN, Stage.DONE, Stage.FAILED, Stage.CANCELLED}


class Firing(_Strict):
    """One run that a scheduler made of a tick, as its own history tells it."""

    schedule: str
    at: Moment
    """The tick: when it was due."""
    run: str
    """The scheduler's own id of it."""
    stage: Stage
    started: Moment | None = None
    ended: Moment | None = None
    parameters: Mapping[str, Any] | None = None
    """What the job was given; `None` when the history does not say."""

    @property
    def tick(self) -> Tick:
        """Which tick it served."""
        return Tick(self.schedule, self.at)
