"""The `cadence:` section of a plan: when its slots are due, how late one may start, and when none may run.

Promises: a cadence that loads has at least two slots ahead; its grace ends before the next slot is due, so that at
any moment at most one slot of a plan is on time.
"""

import hashlib
import re
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from muster.cadence.cron import fault_in_cron, skipped_time
from muster.cadence.gaps import Gaps, gaps_of
from muster.cadence.moments import ANCHOR
from muster.quantity import Duration

_MOST_GRACE = timedelta(days=7)
_LATE_WITHIN = timedelta(days=30)
_LONGEST = timedelta(days=3660)
RECORDED = "recorded"
"""Validation context of what was written down once: rules that came later do not make it wrong."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class _Strict(BaseModel):
    # By alias both ways, so that what is written is read back: `from` is no name for a Python field.
    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class Late(StrEnum):
    """What becomes of slots that could not start in time, such as those of an outage."""

    RUN_ONCE = "run once"
    """The newest slot still runs until the next one is due; the others are missed."""
    RUN_ALL = "run all"
    """Every slot still runs, until `late_within` is over."""
    SKIP = "skip"
    """A slot that did not start within its grace is missed."""


_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?")


def _as_time(value: Any) -> Any:
    # YAML 1.1 reads an unquoted 22:00 as the number 1320.
    if not isinstance(value, time) and not (isinstance(value, str) and _TIME.fullmatch(value)):
        raise ValueError("write times of day in quotes, such as '22:00'; the time zone is the cadence's")
    return value


TimeOfDay = Annotated[time, BeforeValidator(_as_time)]


class Window(_Strict):
    """A weekly time in which a drill may run, in the cadence's time zone; it may span midnight."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = DAYS  # type: ignore[assignment]
    """The days on which it starts."""
    start: TimeOfDay = Field(alias="from")
    end: TimeOfDay = Field(alias="until")

    @field_validator("days")
    @classmethod
    def _has_days(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("name at least one day, each once")
        return value

    @property
    def spans_midnight(self) -> bool:
        """Whether it ends on the day after; one that ends at the time it starts lasts a day."""
        return self.end <= self.start


class Blackout(_Strict):
    """A span in which no drill runs: its slots are waived, with the reason."""

    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="until")
    reason: str = Field(min_length=3)

    @model_validator(mode="after")
    def _has_a_length(self) -> "Blackout":
        if self.end <= self.start:
            raise ValueError("'until' has to be after 'from'")
        return self


class Cadence(_Strict):
    """When slots are due: a cron expression in a time zone, or an interval from an anchor."""

    cron: str | None = None
    """Five fields, in `timezone`; see `muster.cadence.ticks` for days on which clocks change."""
    interval: Duration | None = None
    anchor: AwareDatetime = ANCHOR
    timezone: str = "UTC"
    jitter: Duration = Field(default="0s", validate_default=True)
    """A plan starts up to this much after its slot is due: always by the same share, so that plans spread out."""
    grace: Duration | None = None
    """How long after its slot is due a run may start and be in time; default: a quarter of the gap, up to 7 days."""
    late: Late = Late.RUN_ONCE
    late_within: Duration = _LATE_WITHIN
    """With `late: run all`, how long a slot may wait to be run."""
    windows: tuple[Window, ...] = ()
    """Change windows; with none, any time will do."""
    blackouts: tuple[Blackout, ...] = ()

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is no time zone: write an IANA name such as Europe/Berlin") from None
        return value

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.context != RECORDED and (fault := fault_in_cron(value)):
            raise ValueError(f"{value!r} is no cron expression: {fault}")
        return value and " ".join(value.lower().split())  # spelling is no difference between plans

    @field_validator("interval")
    @classmethod
    def _is_an_interval(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and not (timedelta(minutes=1) <= value <= _LONGEST and value.microseconds == 0):
            raise ValueError("an interval is at least 1m, at most 3660d, and whole seconds")
        return value

    @field_validator("anchor")
    @classmethod
    def _is_utc(cls, value: datetime) -> datetime:
        if value.microsecond:
            raise ValueError("an anchor is a whole second")
        return value.astimezone(UTC)

    @model_validator(mode="after")
    def _is_coherent(self, info: ValidationInfo) -> "Cadence":
        if info.context == RECORDED:
            return self
        if (self.cron is None) == (self.interval is None):
            raise ValueError("a cadence is a 'cron' or an 'interval': one of them")
        if self.cron is not None and (face := skipped_time(self.cron, self.timezone)):
            told = f"'cron' is due at {face:%H:%M} on {face:%Y-%m-%d}, which clocks in {self.timezone} skip"
            raise ValueError(f"{told}: choose another hour, or timezone: UTC")
        if self.interval is None and self.anchor != ANCHOR:
            raise ValueError("'anchor' goes with 'interval'")
        shortest = self.gaps.shortest
        if self.grace is not None and not timedelta() < self.grace < shortest:
            raise ValueError(f"'grace' has to end before the next slot is due, which may be after {_hours(shortest)}")
        if not timedelta() <= self.jitter < self.grace_period:
            raise ValueError(f"'jitter' has to be shorter than the grace, {_hours(self.grace_period)}")
        if self.late is Late.RUN_ALL and self.late_within < self.grace_period:
            raise ValueError(f"'late_within' cannot be shorter than the grace, {_hours(self.grace_period)}")
        if self.late is not Late.RUN_ALL and self.late_within != _LATE_WITHIN:
            raise ValueError("'late_within' goes with late: run all")
        return self

    @classmethod
    def recorded(cls, text: str) -> "Cadence":
        """A cadence as it was written down once (JSON): right by the rules of that day, which may have changed."""
        return cls.model_validate_json(text, context=RECORDED)

    @property
    def gaps(self) -> Gaps:
        """The shortest and the longest time between two slots."""
        return Gaps(self.interval, self.interval) if self.interval else gaps_of(str(self.cron), self.timezone)

    @cached_property
    def timetable(self) -> str:
        """Digest of all that decides when slots are due: with another one, due times computed earlier are stale."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @cached_property
    def grace_period(self) -> timedelta:
        """The grace, or its default."""
        return self.grace if self.grace is not None else min(self.gaps.shortest / 4, _MOST_GRACE)


def _hours(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    if hours < 1:
        return f"{span.total_seconds() / 60:g} minutes"
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
