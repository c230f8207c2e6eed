"""What a cutover measures: the results of its steps, and what it sees on the way.

Moments are the ledger's database clock unless they say otherwise; `..._ns` are `CLOCK_MONOTONIC` of the drill.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from muster.cutover.ownership import Side
from muster.cutover.schedule import Inventory, Moment
from muster.journal import Observation


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TickOf(_Result):
    """A tick, as the journal keeps it."""

    schedule: str
    at: Moment


class Surveyed(_Result):
    """What is handed over, and between whom."""

    inventory: Inventory
    holders: Mapping[Side, str]
    """The schedulers' names, as claims know them."""
    dialects: Mapping[Side, str]
    waves: tuple[tuple[str, ...], ...]
    """Names of the active schedules of each wave; without waves there is one."""
    began: Moment


class ClockSeen(Observation):
    """A scheduler's clock beside the ledger's."""

    side: Side
    stage: str
    ahead_seconds: float | None
    """`None`: it cannot be asked."""
    doubt_seconds: float
    """Of the measurement: a date in a header has whole seconds."""


class Untold(_Result):
    """What cannot be carried exactly."""

    schedule: str
    words: str
    accepted: bool


class Translated(_Result):
    """The schedules as the new scheduler is to have them."""

    schedules: int
    jobs: int
    untold: tuple[Untold, ...]


class Mirrored(_Result):
    """What the new scheduler has, read back."""

    jobs: int
    schedules: int
    differences: tuple[str, ...]
    """Between what was to be made and what is there; the first of them."""
    different: int


class Shadowed(_Result):
    """Both schedulers' ticks, computed ahead."""

    until: Moment
    ticks: int
    """Compared."""
    schedules: int
    cut_short: int
    """Schedules with more ticks in that time than were compared."""
    different: int
    differences: tuple[str, ...]
    told: int
    """Ticks that a scheduler named itself, and that were compared too."""
    told_different: int
    doubtful: int
    """Ticks on which nobody can say what a scheduler does: a clock is put forward or back then."""


class Watched(_Result):
    """A scheduler was watched for a while."""

    side: Side
    began: Moment
    ended: Moment
    samples: int


class Counts(_Result):
    """How many of which kind, and the first few of them in words."""

    count: int = 0
    examples: tuple[str, ...] = ()


class ReleasedSeen(Observation):
    """How many of the active schedules each side would have started at a moment; `None`: it did not answer."""

    at: Moment
    stage: str
    released: Mapping[Side, int | None]
    both: int
    """Schedules that both sides would have started."""
    idle: Counts = Counts()
    """Schedules that the side which owns them by the ledger would not have started."""


class Armed(_Result):
    """The side could start at once."""

    side: Side
    schedules: int
    began: Moment


class Drained(_Result):
    """The old scheduler is held, and where the border lies."""

    wave: int
    out: Side
    began: Moment
    held: Moment
    held_ns: int
    watermark: Moment
    nearest_tick_seconds: float | None
    """From the watermark to the nearest tick of any schedule; `None`: there is none near."""
    taken: int
    """Ticks that it had taken up, in the span that was looked at."""
    behind: tuple[TickOf, ...]
    """Ticks before the watermark that it had not."""
    in_flight: int | None
    """Runs that were at work when it was held; `None`: it cannot say."""
    still_in_flight: int | None
    """Of those, at work when they were no longer waited for."""
    waited_seconds: float


class Raised(_Result):
    """The old scheduler's epoch ended at the watermark."""

    wave: int
    into: Side
    raised: Moment
    schedules: int
    proof: Literal["fenced", "granted", "not guarded"]
    """What a claim of the old scheduler beyond the watermark was told."""


class Activated(_Result):
    """The new scheduler starts what comes after the watermark."""

    wave: int
    into: Side
    released: Moment
    released_ns: int
    dropped: int
    """Runs made ahead of ticks that the old one had taken up."""
    caught_up: tuple[TickOf, ...]
    skipped: tuple[TickOf, ...]
    """Ticks that nobody makes up for: by the plan's word, or since the scheduler cannot."""


class Rested(_Result):
    """The old scheduler makes nothing more ahead."""

    side: Side
    schedules: int


class Handover(_Result):
    """One wave, one way."""

    drained: Drained
    raised: Raised
    activated: Activated


class Waves(_Result):
    """Every wave after the first."""

    handovers: tuple[Handover, ...] = ()


class NotAsked(_Result):
    """A step that this plan has no use for."""

    why: str


class Lateness(_Result):
    """From a tick to the start of its run, in seconds."""

    count: int
    median: float
    p95: float
    most: float


class Slice(_Result):
    """One column of the picture: ticks by who started them, and those that went wrong."""

    start: float
    """Seconds since the survey began."""
    started: Mapping[Side, int]
    wrong: int
    """Missed, doubled, or started by the wrong side."""


class Reckoned(_Result):
    """Every due time accounted for."""

    began: Moment
    ended: Moment
    schedules: int
    expected: int
    doubtful: int
    by_side: Mapping[Side, int]
    """Ticks that each side started."""
    phases: Mapping[str, int]
    """Ticks that were due before, between, and after the handovers."""
    undue: Mapping[str, int] = {}
    """Schedules of which nothing was due then, by the same names."""
    unseen_waves: tuple[str, ...] = ()
    """Of several waves those of which nothing was due while a side had them, in words."""
    histories: Mapping[Side, bool]
    """Whether each side's history could be read."""
    claims: int
    missed: Counts
    skipped: Counts
    caught_up: int
    doubled: Counts
    stopped: int
    """Of the doubled ones, second runs that the guard kept from working."""
    unexpected: Counts
    misplaced: Counts
    """Started by the side whose tick it was not."""
    late: Counts
    lateness: Lateness | None
    out_of_order: Counts
    parameters: Counts
    given: int = 0
    """Runs of which a history says what they were given."""
    unclaimed: Counts
    """Started without a claim."""
    unrecorded: Counts
    """Claimed, and in no history."""
    lost: Counts
    """Taken up, and ended badly, or never begun."""
    unended: Counts = Counts()
    """Begun, and not known to have ended: still at work, or nothing tells of ends."""
    column_seconds: float
    columns: tuple[Slice, ...]


class BegunByUndo(Observation):
    """An undo is about to release a side that the drill had not: from now on it may be at work."""

    side: Side


class HomeSeen(Observation):
    """Where the schedules are in the end, asked of both sides, and what the way there cost."""

    owner: Side | None
    """By the ledger."""
    active: int
    released: Mapping[Side, int | None]
    released_at: Moment | None = None
    """When the undo released the side that has them; `None`: it had them all along."""
    caught_up: Counts = Counts()
    """Ticks that the undo had started."""
    missed: Counts = Counts()
    """Ticks since the survey, or the account where there is one, that nobody started, and nobody will."""
    untold: int = 0
    """Ticks of which neither history nor claims say whether they were started."""
    forgotten: int = 0
    """Owners that the drill itself had made known, and that the undo then let the ledger forget."""
    gone: tuple[Side, ...] = ()
    """Sides that somebody had said are lost for good."""
