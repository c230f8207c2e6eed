"""The log as a package holds it: every entry copied, and the runs among them taken note of.

Promises: entries are copied as they are; a list that does not lead to the head's root is never packaged; memory grows
with the runs of the period, not with the log.
Source: docs/evidence-format.md, "The log" and "The package".
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

from evidence.errors import EvidenceError
from evidence.slots import slot_key
from evidence.statement import PredicateType, parse_object, utc
from evidence.verify import Tree, leaf_hash, parse_checkpoint, parse_note
from muster.package.inputs import OpenSlot, Previous
from muster.package.period import Period

_ADVICE = "read the log again, with its newest head"


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """The entry of a run. Digests are SHA-256 in hex; `slot` and `scheduled_at` are `None` where it has no slot."""

    index: int
    run: str
    plan: str
    outcome: str
    scheduled_at: datetime | None
    slot: str | None
    key: str
    sha256: str
    size: int
    envelope: str
    receipt: str
    logged_at: datetime

    @property
    def at(self) -> datetime:
        """The time by which it belongs to a period."""
        return self.scheduled_at or self.logged_at

    @property
    def bundle(self) -> dict[str, Any]:
        """Its bundle, as its entry names it."""
        return {"key": self.key, "sha256": self.sha256, "size": self.size}


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """The entry of a record. `envelope` is SHA-256 in hex."""

    index: int
    key: str
    envelope: str
    logged_at: datetime


@dataclass(frozen=True)
class Log:
    """What a package needs of the log."""

    origin: str
    size: int
    root: str
    """Base64, as the checkpoint has it."""
    began_at: datetime
    """When its first entry was logged."""
    made_at: datetime
    """When the newest entry was logged."""
    runs: tuple[LoggedRun, ...]
    """Those of the period, by time, plan and entry."""
    late: tuple[LoggedRun, ...]
    """Those of an earlier period that were logged since the package before."""
    before: Mapping[str, LoggedRun] = field(default_factory=dict)
    """By plan, the newest run before the period that served a slot."""
    after: Mapping[str, LoggedRun] = field(default_factory=dict)
    """By plan, the first run after the period that served a slot."""
    passed_before: Mapping[str, datetime] = field(default_factory=dict)
    """By plan, the time of the newest run before the period that the log calls passed."""
    on_demand_first: frozenset[str] = frozenset()
    """Plans that were run on demand before any slot of theirs was served."""
    plans: tuple[LoggedRecord, ...] = ()
    """Every statement about a plan, in the order of the log."""
    unserved: tuple[OpenSlot, ...] = ()
    """What was open in the package before, and has no entry by now."""


def copy_log(
    entries: Iterable[bytes], head: bytes, period: Period, previous: Previous | None, out: BinaryIO | None
) -> Log:
    """Copy the entries to `out`, one a line, and take note of the runs. Raises `EvidenceError` unless all fits."""
    note = parse_note(head)
    checkpoint = parse_checkpoint(note.text) if note else None
    if checkpoint is None:
        raise EvidenceError("the head of the log is no checkpoint", _ADVICE)
    walk, tree = _Walk(period, previous), Tree()
    for index, content in enumerate(entries):
        tree.append(leaf_hash(content))
        if out:
            out.write(content + b"\n")
        walk.look_at(index, content)
    if (walk.count, tree.root()) != (checkpoint.size, checkpoint.root):
        told = f"{walk.count:,} entries do not lead to the head of {checkpoint.size:,}"
        raise EvidenceError(f"the log and its head disagree: {told}", _ADVICE)
    if walk.began_at is None or walk.made_at is None:
        raise EvidenceError("the log is empty: there is nothing to package", "seal a run first, and log it")
    root = base64.b64encode(checkpoint.root).decode()
    return walk.found(checkpoint.origin, checkpoint.size, root, walk.began_at, walk.made_at)


class _Walk:
    """One pass over the entries."""

    def __init__(self, period: Period, previous: Previous | None) -> None:
        self.count = 0
        self.began_at: datetime | None = None
        self.made_at: datetime | None = None
        self._period, self._previous = period, previous
        self._runs: list[LoggedRun] = []
        self._late: list[LoggedRun] = []
        self._before: dict[str, LoggedRun] = {}
        self._after: dict[str, LoggedRun] = {}
        self._passed: dict[str, datetime] = {}
        self._first: dict[str, LoggedRun] = {}
        self._plans: list[LoggedRecord] = []
        self._awaited = {slot_key(one.plan, one.at): one for one in previous.open} if previous else {}
        self._served: set[str] = set()

    def look_at(self, index: int, content: bytes) -> None:
        fields = parse_object(content) or {}
        self.count += 1
        try:
            self.made_at = datetime.fromisoformat(fields["loggedAt"])
            self.began_at = self.began_at or self.made_at
            if fields["kind"] == "run":
                self._sort_in(_run_of(index, fields))
            elif fields["kind"] == "record" and fields["predicateType"] == PredicateType.PLAN:
                record = LoggedRecord(index, str(fields["key"]), str(fields["envelope"]), self.made_at)
                self._plans.append(record)
        except (KeyError, TypeError, ValueError) as error:
            raise EvidenceError(f"entry {index} of the log has not the form of an entry: {error}", _ADVICE) from error

    def found(self, origin: str, size: int, root: str, began_at: datetime, made_at: datetime) -> Log:
        return Log(
            origin, size, root, began_at, made_at, in_order(self._runs), in_order(self._late),
            self._before, self._after, self._passed,
            frozenset(plan for plan, run in self._first.items() if run.slot is None), tuple(self._plans),
            tuple(one for slot, one in self._awaited.items() if slot not in self._served),
        )  # fmt: skip

    def _sort_in(self, run: LoggedRun) -> None:
        self._first[run.plan] = min(self._first.get(run.plan, run), run, key=lambda each: each.at)
        if run.slot in self._awaited:
            self._served.add(run.slot)
        if run.at in self._period:
            self._runs.append(run)
        elif run.at < self._period.start:
            self._note_earlier(run)
        elif run.slot and (run.plan not in self._after or run.at < self._after[run.plan].at):
            self._after[run.plan] = run

    def _is_late(self, run: LoggedRun, previous: Previous) -> bool:
        return run.index >= previous.size and (run.at < previous.until or run.slot in self._served)

    def _note_earlier(self, run: LoggedRun) -> None:
        if self._previous and self._is_late(run, self._previous):
            self._late.append(run)
        if run.slot and (run.plan not in self._before or run.at > self._before[run.plan].at):
            self._before[run.plan] = run
        if run.outcome == "passed":
            self._passed[run.plan] = max(run.at, self._passed.get(run.plan, run.at))


def in_order(runs: Iterable[LoggedRun]) -> tuple[LoggedRun, ...]:
    """By time as it is written, plan and entry; runs without a slot come first."""
    return tuple(sorted(runs, key=lambda run: (written(run.scheduled_at), run.plan, run.index)))


def written(moment: datetime | None) -> str:
    """A time as evidence writes it (RFC 3339, UTC, `Z`); empty for none."""
    return utc(moment) if moment else ""


def _run_of(index: int, fields: Mapping[str, Any]) -> LoggedRun:
    bundle, scheduled_at = fields["bundle"], fields["scheduledAt"]
    return LoggedRun(
        index=index,
        run=str(fields["run"]),
        plan=str(fields["plan"]),
        outcome=str(fields["outcome"]),
        scheduled_at=datetime.fromisoformat(scheduled_at) if scheduled_at else None,
        slot=fields["slot"],
        key=str(bundle["key"]),
        sha256=str(bundle["sha256"]),
        size=int(bundle["size"]),
        envelope=str(fields["envelope"]),
        receipt=str(fields["receipt"]),
        logged_at=datetime.fromisoformat(fields["loggedAt"]),
    )
