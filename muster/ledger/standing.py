"""Where each plan stands: one flat row a plan, kept by the ledger in the transaction that opens or ends a run.

Promises: what `status`, `deck` and `gate` show is read from these rows alone, whatever the history; a row says what
the runs say, and can be made again from them; importing this module costs neither pydantic nor SQLAlchemy.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple


class Mark(NamedTuple):
    """One ended run in a plan's recent history, the oldest first where several are given."""

    at: datetime
    outcome: str
    rto_seconds: float | None
    rpo_seconds: float | None


RECENT = 12
"""How many marks a standing keeps."""


class Standing(NamedTuple):
    """One plan as the ledger knows it. Moments are aware UTC; `None` where there was none.

    Runs are ordered by the time of their slot (`scheduled_at`), so a missed slot that is recorded late stands before
    the runs that came after it. Those that say something of the system are ordered by their opening: what was measured
    last counts, though it served an older slot.
    """

    plan: str
    since: datetime | None = None
    """When the plan was first seen: its slots count from here."""
    accounted_until: datetime | None = None
    """Every slot up to here has its record."""
    retired_at: datetime | None = None
    """When the plan was found to be gone from the plans folder."""
    timetable: str = ""
    """`PlanCard.timetable` when `due_at` and `overdue_at` were computed; with another one they are stale."""
    cadence: str = ""
    """The cadence of that time as JSON: by it slots are accounted for until a changed plan is seen."""
    due_at: datetime | None = None
    """The first due time after the last pass, or after `since` without one."""
    overdue_at: datetime | None = None
    """`due_at` and the grace."""

    open_run: str | None = None
    """The newest run without an outcome."""
    last_run: str | None = None
    """The newest ended run, whatever its outcome; missed and waived slots too."""
    last_at: datetime | None = None
    """The time of its slot, as is `judged_at`."""
    last_outcome: str | None = None
    last_bundle: str | None = None

    judged_run: str | None = None
    """The run opened last of those that say something of the system: passed, failed, inconclusive or aborted."""
    judged_at: datetime | None = None
    judged_outcome: str | None = None
    judged_headline: str = ""

    pass_run: str | None = None
    pass_at: datetime | None = None
    """When the last pass was measured: its opening, or its slot's time if that is later."""
    pass_substance: str | None = None
    """`Plan.substance` of the plan that passed."""
    pass_target: str | None = None
    """Digest of what the target proved to be then; `None` where it was not seen."""
    pass_rto: float | None = None
    pass_rpo: float | None = None
    pass_bundle: str | None = None

    seen_target: str | None = None
    """Digest of what the target proved to be when it was last looked at, by a run or between runs."""
    seen_at: datetime | None = None
    recent: Sequence[Mark] = ()


class RunGlance(NamedTuple):
    """One run of a plan's history. Moments are aware UTC; spans seconds; `None` where there is nothing yet."""

    run: str
    scheduled_at: datetime
    opened_at: datetime
    ended_at: datetime | None
    trigger: str
    reason: str
    requested_by: str
    outcome: str | None
    verdict: str | None
    rto_seconds: float | None
    rpo_seconds: float | None
    bundle_key: str | None


class Proven(NamedTuple):
    """The newest negative controls of a drill kind, counted."""

    kind: str
    at: datetime
    planted: int
    caught: int
    healthy: int
    quiet: int

    @property
    def is_complete(self) -> bool:
        """Whether every planted fault was caught and every healthy form passed."""
        return self.planted > 0 and self.caught == self.planted and self.quiet == self.healthy


STALE_AFTER = 3
"""Times a plan's interval of looks after which the last one says nothing of now any more."""


class LastLook(NamedTuple):
    """The newest look at a plan's target: what was seen, not what was proven."""

    plan: str
    number: int
    """Counted from 1, as the plan's looks are."""
    at: datetime
    by: str
    """Whose process looked: a person's, or `watch` or `health`."""
    host: str
    substance: str
    """`Plan.substance` of the plan as it was then: with another one, something else was looked at."""
    verdict: str
    since: datetime
    """From when on every look found the same, with no gap in which anything could have been."""
    seconds: float
    times: int
    """How many looks in a row found the same."""
    why: str
    """What speaks against it; empty where it is ready."""
    advice: str


class Alarm(NamedTuple):
    """A condition that people were told of and that is not over."""

    subject: str
    condition: str
    severity: str
    words: str
    since: datetime


class Halt(NamedTuple):
    """The kill switch, thrown."""

    at: datetime
    by: str
    reason: str


class Overview(NamedTuple):
    """All that is shown of a ledger, read in one go."""

    now: datetime
    """The ledger's clock."""
    standings: dict[str, Standing]
    proven: dict[str, Proven]
    """By kind of drill."""
    alerts: tuple[Alarm, ...]
    beats: dict[str, datetime]
    """When each part of Muster was last heard of, such as `watch`."""
    stop: Halt | None
    looks: Mapping[str, LastLook] = MappingProxyType({})
    """The newest look at each plan's target."""
