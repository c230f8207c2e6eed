"""The summary: everything a person is told about one run, as data. Reports and the terminal only render it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from muster.finding import Finding
from muster.verdict import Outcome, Verdict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Phase(_Frozen):
    """A span of the drill. `start` and `seconds` are monotonic, counted from the drill's first step."""

    name: str
    start: float
    seconds: float
    state: str
    """`succeeded`, `failed`, `undone` (an undo's own span) or `cut short` (the process died in it)."""
    lane: str = "recovery"
    """`recovery`, `verification` and `undo` are drawn apart."""
    counts: bool | None = None
    """Whether it counts towards the RTO; by default the recovery lane does, and nothing else."""

    @property
    def is_counted(self) -> bool:
        """Whether the RTO holds this phase."""
        return self.lane == "recovery" if self.counts is None else self.counts


class Measure(_Frozen):
    """A measured quantity beside its objective, both in seconds."""

    name: str
    measured: float | None
    objective: float | None
    verdict: Verdict | None
    note: str = ""


class Column(_Frozen):
    """What clients were told in one slice of time: writes acknowledged by each server, refused, unknown, lost later."""

    start: float
    acknowledged: dict[str, int]
    unknown: int = 0
    failed: int = 0
    lost: int = 0


class Mark(_Frozen):
    """A moment worth a line: the fault, the promotion, the way home."""

    name: str
    at: float


class Lag(_Frozen):
    """How far a standby was behind at one moment, in bytes of log; `None` where nobody could be asked."""

    at: float
    bytes: int | None


class Traffic(_Frozen):
    """What clients saw. Times are seconds on the axis of the phases."""

    column_seconds: float
    servers: tuple[str, ...]
    """In the order in which they served."""
    columns: tuple[Column, ...]
    marks: tuple[Mark, ...]
    lag: tuple[Lag, ...] = ()


class Strip(_Frozen):
    """One executor through a lap: in each column of time the share of its cores at work, and of those at lost work."""

    executor: str
    host: str = ""
    cores: int
    since: float = 0.0
    until: float | None = None
    """Seconds into the lap when it was lost; `None`: not before the lap's end."""
    busy: tuple[float, ...]
    """Share at work that counts."""
    lost: tuple[float, ...]
    """Share at work that was lost."""
    count: int = 1
    """Executors that are told as one."""

    @classmethod
    def together(cls, strips: "Sequence[Strip]", executor: str) -> "Strip":
        """Several executors as one; there is at least one of them."""
        cores = sum(s.cores for s in strips)

        def shares(columns: Iterable[tuple[float, ...]]) -> tuple[float, ...]:
            return tuple(
                round(sum(s.cores * share for s, share in zip(strips, column, strict=True)) / max(1, cores), 3)
                for column in columns
            )

        return cls(
            executor=executor,
            cores=cores,
            since=min(s.since for s in strips),
            busy=shares(zip(*(s.busy for s in strips), strict=True)),
            lost=shares(zip(*(s.lost for s in strips), strict=True)),
            count=sum(s.count for s in strips),
        )


class Band(_Frozen):
    """One attempt of a stage, from its submission to its end."""

    stage: int
    attempt: int
    """0 is the first."""
    start: float
    end: float


class LapChart(_Frozen):
    """One lap's tasks over time. Moments are seconds into the lap."""

    number: int
    kind: str
    """`undisturbed` or `disturbed`."""
    variant: str = ""
    """The named settings, where several are compared."""
    seconds: float
    column_seconds: float
    strips: tuple[Strip, ...]
    """All with as many columns."""
    bands: tuple[Band, ...]
    marks: tuple[Mark, ...]


class Activity(_Frozen):
    """Tasks over time: the worst disturbed lap, below the undisturbed one that it is compared with."""

    laps: tuple[LapChart, ...]


class TickColumn(_Frozen):
    """Ticks of a cutover that were due in one slice of time: how many each side started, and how many went wrong."""

    start: float
    started: dict[str, int]
    wrong: int = 0


class TickLines(_Frozen):
    """Who started what when. Times are seconds from `began`."""

    column_seconds: float
    began: datetime
    sides: tuple[str, ...]
    columns: tuple[TickColumn, ...]
    marks: tuple[Mark, ...]
    """Watermarks."""


class Amount(_Frozen):
    """How much, over some laps."""

    median: float
    least: float
    most: float


Unit = Literal["seconds", "bytes", "count", "times"]


class Cost(_Frozen):
    """One kind of cost, side by side."""

    name: str
    unit: Unit
    amounts: tuple[Amount | None, ...]
    """One for each column; `None` where there is no such thing."""


class CostColumn(_Frozen):
    """Laps that are told as one column."""

    kind: str
    """`undisturbed` or `disturbed`."""
    variant: str = ""
    """The named settings, where several are compared."""
    laps: int


class Costs(_Frozen):
    """What laps cost, undisturbed and disturbed."""

    columns: tuple[CostColumn, ...]
    rows: tuple[Cost, ...]
    note: str = ""


class Advice(_Frozen):
    """What was seen, and which setting would have made it cheaper."""

    seen: str
    advice: str


class Summary(_Frozen):
    """One run as told to people."""

    run: str
    plan: str
    plan_digest: str
    kind: str
    environment: str
    owner: str
    controls: tuple[str, ...]
    target: str
    """The target and the identity it proved, in words."""
    reason: str
    opened_at: datetime
    ended_at: datetime
    outcome: Outcome
    verdict: Verdict
    headline: str
    """One sentence: what was shown, or what went wrong first."""
    measures: tuple[Measure, ...]
    phases: tuple[Phase, ...]
    findings: tuple[Finding, ...]
    facts: tuple[tuple[str, str], ...]
    """Label and value: the backup chosen, its size and age, the seed, the server's version, ..."""
    traffic: Traffic | None = None
    """Throughput over the run, where a client wrote all through it."""
    activity: Activity | None = None
    """Tasks over time, where a job ran in laps."""
    costs: Costs | None = None
    ticks: TickLines | None = None
    """Who started which due times, where schedules changed hands."""
    advice: tuple[Advice, ...] = ()
    """What would have made it cheaper, the most certain first."""
    last_proven: str
    """When the negative controls were last run and what they caught, or that they never were."""
    muster_version: str
    scheduled_at: datetime | None = None
    """The slot: a due time, or when a run on demand was asked for; `None` in journals from before slots."""
    substance: str = ""
    """`Plan.substance`: what was drilled and promised."""
    trigger: str = ""
    flow_run: str = ""
    """Id of the Prefect flow run that ran it, if one did."""
    requested_by: str = ""
    """Who asked for the run, as stated; empty for a schedule."""
    last_look: str = ""
    """What the newest look at the target saw before the run, when and by whom; empty where there is no such look."""
    approval: str = ""
    """Who approved or denied it, and when, in words; empty where the plan asks for no approval."""
