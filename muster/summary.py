"""The summary: everything a person is told about one run, as data. Reports and the terminal only render it."""

from datetime import datetime

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
