"""The ledger's rows as frozen models: what goes in and what comes out, never a dict and never a cursor's row."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from muster.finding import Finding, verdict_of
from muster.verdict import Outcome, Verdict


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _from_text(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _in_utc(value: Any) -> Any:
    """PostgreSQL answers in the session's zone, SQLite in text; both end as aware UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value


Moment = Annotated[datetime, BeforeValidator(_in_utc)]


class Trigger(StrEnum):
    """What made a run start."""

    SCHEDULE = "schedule"
    RUN_BUTTON = "run button"
    COMMAND_LINE = "command line"
    EVENT = "event"
    """A webhook, an automation, a git tag: something other than a person or a clock asked for it."""
    WATCH = "watch"
    """A slot that did not start by itself, started or recorded by the watch."""


class Owner(_Row):
    """The process that drives a run, named so that a reused pid or a reboot is another owner.

    `started` is the kernel's start time in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)).
    """

    host: str
    boot_id: str
    pid: int
    started: int


class Measures(_Row):
    """What the run measured, in seconds; `None` where it did not come so far."""

    rto_seconds: float | None = None
    rpo_seconds: float | None = None


class NewRun(_Row):
    """A run about to open. `scheduled_at` is the due time of its slot; for a run on demand, when it was asked for:
    `None` stands for the moment in which it is opened.
    """

    run: str
    plan: str
    plan_digest: str
    substance: str = ""
    """`Plan.substance`: what was drilled and promised."""
    kind: str
    target_type: str
    scheduled_at: Moment | None = None
    trigger: Trigger
    reason: str = ""
    requested_by: str = ""
    """Who asked for it, as stated; nobody for a schedule."""
    flow_run: str = ""
    """Id of the Prefect flow run that runs it, if one does."""
    owner: Owner
    lease_seconds: float


class Run(_Row):
    """One execution of a plan. `outcome` is `None` while it is open."""

    run: str
    plan: str
    plan_digest: str
    substance: str
    kind: str
    target_type: str
    slot: str | None
    """`slot_key` of plan and `scheduled_at`; `None` for runs on demand from before revision 0002."""
    scheduled_at: Moment
    opened_at: Moment
    trigger: Trigger
    reason: str
    requested_by: str
    flow_run: str
    owner: Owner
    lease_until: Moment
    needs_undo: bool
    """A step that started is not undone yet."""
    outcome: Outcome | None
    verdict: Verdict | None
    rto_seconds: float | None
    rpo_seconds: float | None
    ended_at: Moment | None
    bundle_sha256: str | None
    bundle_key: str | None
    headline: str
    target_digest: str | None
    """Digest of what the target proved to be; `None` where the run did not come so far."""
    facts: Annotated[dict[str, Any], BeforeValidator(_from_text)]
    """Small facts that later runs compare with, such as rows per table."""


class Decision(_Row):
    """What an approver said of one run. Names are stated, not authenticated."""

    run: str
    approved: bool
    by: str
    note: str = ""
    at: Moment


class Stop(_Row):
    """One throw of the kill switch; it holds until `resumed_at`."""

    id: int
    at: Moment
    by: str
    reason: str
    resumed_at: Moment | None = None
    resumed_by: str = ""
    resumed_reason: str = ""


class Alert(_Row):
    """A condition that people were told of, once; and once more when it is over."""

    subject: str
    """A plan's name, or `muster` itself."""
    condition: str
    """Such as `overdue`, `failing`, `left behind`, `scheduler down`, `route refuses`."""
    severity: str
    words: str
    since: Moment
    told: Annotated[tuple[str, ...], BeforeValidator(_from_text)] = ()
    """Routes that took the message."""
    resolved_at: Moment | None = None


class Due(_Row):
    """What a cadence makes of a moment: the slot that follows it, and when that is overdue."""

    timetable: str
    """`Cadence.timetable`, by which it was computed."""
    cadence: str
    """The cadence as JSON."""
    due_at: Moment
    overdue_at: Moment


class ProofRow(_Row):
    """One line of the detection matrix: a planted fault, or a healthy form that must stay quiet."""

    form: str
    planted: bool
    must_catch: tuple[str, ...] = ()
    """The checks that may catch it; any of them is enough."""
    caught_by: tuple[str, ...] = ()
    """The checks that did not pass."""
    is_right: bool
    note: str = ""


class Proof(_Row):
    """A run of the negative controls: `caught` of `planted` faults, `quiet` of `healthy` forms."""

    kind: str
    at: Moment
    planted: int
    caught: int
    healthy: int
    quiet: int
    matrix: Annotated[tuple[ProofRow, ...], BeforeValidator(_from_text)]
    muster_version: str


class NewLook(_Row):
    """A look at a plan's target about to be kept."""

    plan: str
    substance: str
    """`Plan.substance`: what was looked at."""
    by: str
    """Whose process looked: a person's, or `watch` or `health`."""
    host: str
    findings: tuple[Finding, ...]
    seconds: float
    every_seconds: float
    """How often the plan is looked at: after `STALE_AFTER` times that, nobody knows what was in between."""

    @property
    def verdict(self) -> Verdict:
        """Pass is ready, fail not ready, inconclusive not seen. Nothing found is inconclusive."""
        return verdict_of(self.findings)

    @property
    def against(self) -> Finding | None:
        """What speaks most against it; `None` when it is ready."""
        return next((f for f in self.findings if f.verdict is self.verdict is not Verdict.PASS), None)


class Look(_Row):
    """A look at a plan's target, as it is kept."""

    plan: str
    number: int
    at: Moment
    by: str
    host: str
    substance: str
    verdict: Verdict
    since: Moment
    """From when on every look found the same."""
    seconds: float
    findings: Annotated[tuple[Finding, ...], BeforeValidator(_from_text)]


OWNER_COLUMNS = {name: f"owner_{name}" for name in Owner.model_fields}


def run_of(row: Mapping[str, Any]) -> Run:
    """The run in a row of the table `runs`."""
    values = {name: row[name] for name in Run.model_fields if name != "owner"}
    owner = Owner.model_validate({name: row[column] for name, column in OWNER_COLUMNS.items()})
    return Run.model_validate({**values, "owner": owner})


def to_utc(value: Any) -> datetime:
    """A moment as either database gives it: PostgreSQL in the session's zone, SQLite as text."""
    moment: datetime = _in_utc(value)
    return moment


def canonical(value: Any) -> str:
    """JSON text that reads back as it was: sorted keys, no spaces, ASCII; `ValueError` for what JSON cannot hold.

    The trap: `json` writes a tuple as a list and the key 1 as "1". What would come back changed is refused.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except TypeError as error:
        raise ValueError(str(error)) from None
    if not _same(json.loads(text), value):
        raise ValueError("tuples, enums and keys that are no text do not survive JSON")
    return text


def _same(read: Any, written: Any) -> bool:
    """Equal in value and in kind: `1`, `1.0` and `True` are three things here."""
    if type(read) is not type(written):
        return False
    if isinstance(read, dict):
        return read.keys() == written.keys() and all(_same(read[k], written[k]) for k in read)
    if isinstance(read, list):
        return len(read) == len(written) and all(map(_same, read, written))
    return bool(read == written)
