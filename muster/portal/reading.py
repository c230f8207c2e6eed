"""Entries and predicates, read into plain values: the one door through which the portal lets text in.

Promises: any JSON is read, none raises; every text that comes out is one printable line of bounded length, every
number finite, every moment aware; a key comes out only if it is portable, so that it can stand in a link and a command.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from evidence.errors import SealError
from evidence.names import is_portable
from evidence.statement import canonical
from evidence.verify import leaf_hash
from muster.package.owed import SETTLED_AFTER
from muster.portal.model import LogEntry, PortalData, Record
from muster.portal.outcomes import UNKNOWN
from muster.report.wording import NOT_ASKED, printable
from muster.verdict import Outcome, Verdict

NAME, TEXT = 300, 4_000
"""Characters that are shown of a name, and of anything longer."""
NAMELESS = "without a name"
_MOST = 200
"""Findings, measures or controls of one run that are shown."""
_OUTCOMES = frozenset(Outcome)
_VERDICTS = frozenset(Verdict)


@dataclass(frozen=True)
class Measured:
    """A quantity beside its objective, in seconds."""

    name: str
    seconds: float | None
    objective: float | None
    word: str
    note: str


@dataclass(frozen=True)
class Found:
    """One finding."""

    check: str
    word: str
    """The verdict, or `not asked`."""
    expected: str
    seen: str
    advice: str


@dataclass(frozen=True)
class Sealed:
    """What run and package have in common: an entry of the log that names a bundle."""

    index: int
    leaf: str
    """The entry's leaf hash; empty where it cannot be canonical JSON."""
    key: str
    """The bundle's; empty where it is not portable."""
    sha256: str
    size: int | None
    envelope: str
    receipt: str
    """Digest of the receipt's envelope, as the entry names it."""
    logged: datetime | None
    stored: Record | None
    """The receipt's predicate, if it was read."""
    seal: Record
    """The signed predicate; empty where it was not read."""

    @property
    def is_read(self) -> bool:
        """Whether the seal was read."""
        return bool(self.seal)


@dataclass(frozen=True)
class Run(Sealed):
    """One sealed run, also one that records a slot that was not run."""

    run: str
    plan: str
    kind: str
    outcome: str
    scheduled: datetime | None
    """Its slot, as the log has it; `None` for a run on demand."""
    due: datetime | None
    """Its slot; for a run on demand when it was asked for, else when it was opened or logged."""
    opened: datetime | None
    ended: datetime | None
    controls: tuple[str, ...]
    measures: tuple[Measured, ...]
    findings: tuple[Found, ...]
    quarrel: str
    """In what the log and the seal disagree, or why else it shows nothing, in words; empty where nothing is wrong."""

    @property
    def is_late(self) -> bool:
        """Whether it was logged more than a day after it ended."""
        return bool(self.ended and self.logged and self.logged - self.ended > SETTLED_AFTER)

    def measured(self, name: str) -> Measured | None:
        """RTO or RPO."""
        return next((each for each in self.measures if each.name == name), None)


@dataclass(frozen=True)
class Package(Sealed):
    """One sealed package."""

    name: str
    period: str


def runs_of(data: PortalData) -> tuple[Run, ...]:
    """Every run in the log, in its order."""
    return tuple(_run(entry, data) for entry in data.entries if entry.entry.get("kind") == "run")


def packages_of(data: PortalData) -> tuple[Package, ...]:
    """Every package in the log, the newest first."""
    found = (_package(entry, data) for entry in data.entries if entry.entry.get("kind") == "package")
    return tuple(reversed(tuple(found)))


def by_plan(runs: Iterable[Run]) -> defaultdict[str, list[Run]]:
    """The runs of each plan, in the given order."""
    found: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        found[run.plan].append(run)
    return found


def text(value: Any, most: int = NAME) -> str:
    """One printable line; what is beyond the limit is counted. Anything but a string is empty."""
    if not isinstance(value, str):
        return ""
    kept = value[:most]
    shown = kept if kept.isprintable() else printable(kept)
    return shown if len(value) <= most else f"{shown}… ({len(value) - most:,} more characters)"


def moment(value: Any) -> datetime | None:
    """A moment in UTC; `None` for all that is not RFC 3339 with an offset."""
    try:
        read = datetime.fromisoformat(value)
        return read.astimezone(UTC) if read.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


def number(value: Any) -> float | None:
    """A finite number."""
    try:
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return None
    return value if is_number else None


def count(value: Any) -> int | None:
    """A whole number that JavaScript counts exactly."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def key(value: Any) -> str:
    """A key of the store, or empty: no other text ever becomes part of a link or a command."""
    return value if isinstance(value, str) and is_portable(value) else ""


def record(value: Any) -> Record:
    """A JSON object, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> Sequence[Any]:
    """A JSON array, as far as it is shown, or an empty one."""
    return value[:_MOST] if isinstance(value, list | tuple) else ()


def _sealed(logged: LogEntry, data: PortalData) -> dict[str, Any]:
    entry, bundle = logged.entry, record(logged.entry.get("bundle"))
    named = bundle.get("key")
    name = named if isinstance(named, str) else ""
    return {
        "index": logged.index,
        "leaf": _leaf(entry),
        "key": key(named),
        "sha256": text(bundle.get("sha256")),
        "size": count(bundle.get("size")),
        "envelope": text(entry.get("envelope")),
        "receipt": text(entry.get("receipt")),
        "logged": moment(entry.get("loggedAt")),
        "stored": record(data.receipts.get(name)) or None,
        "seal": record(data.predicates.get(name)),
    }


def _leaf(entry: Record) -> str:
    try:
        return leaf_hash(canonical(entry)).hex()
    except (SealError, RecursionError):
        return ""


def _run(logged: LogEntry, data: PortalData) -> Run:
    entry, common = logged.entry, _sealed(logged, data)
    seal = common["seal"]
    scheduled, opened = moment(entry.get("scheduledAt")), moment(seal.get("openedAt"))
    outcome = entry.get("outcome")
    return Run(
        **common,
        run=text(entry.get("run")) or NAMELESS,
        plan=text(entry.get("plan")) or NAMELESS,
        kind=text(seal.get("kind")),
        outcome=str(outcome) if isinstance(outcome, str) and outcome in _OUTCOMES else UNKNOWN,
        scheduled=scheduled,
        due=scheduled or opened or common["logged"],
        opened=opened,
        ended=moment(seal.get("endedAt")),
        controls=tuple(text(each) for each in items(seal.get("controls")) if isinstance(each, str)),
        measures=tuple(map(_measured, _records(seal.get("measures")))),
        findings=tuple(map(_found, _records(seal.get("findings")))),
        quarrel="; ".join([*_quarrels(entry, seal, common)] or _problems(logged, seal, data)),
    )


def _package(logged: LogEntry, data: PortalData) -> Package:
    common = _sealed(logged, data)
    return Package(
        **common, name=text(logged.entry.get("name")) or NAMELESS, period=_period(common["seal"].get("period"))
    )


def _period(value: Any) -> str:
    """First and last day, and the name it was asked for by."""
    name, ends = text(record(value).get("name")), [moment(record(value).get(end)) for end in ("from", "until")]
    if ends[0] is None or ends[1] is None or ends[1] <= ends[0]:
        return name
    days = f"{ends[0]:%Y-%m-%d} to {ends[1] - timedelta(microseconds=1):%Y-%m-%d}"
    return f"{name}, {days}" if name else days


def _measured(given: Record) -> Measured:
    return Measured(
        name=text(given.get("name")),
        seconds=number(given.get("measured")),
        objective=number(given.get("objective")),
        word=_word(given.get("verdict")),
        note=text(given.get("note"), TEXT),
    )


def _found(given: Record) -> Found:
    return Found(
        check=text(given.get("check")),
        word=_word(given.get("verdict")),
        expected=text(given.get("expected"), TEXT),
        seen=text(given.get("seen"), TEXT),
        advice=text(given.get("advice"), TEXT),
    )


def _word(verdict: Any) -> str:
    """`not asked` for none; a verdict that Muster does not know is never a pass."""
    if verdict is None:
        return NOT_ASKED
    return str(verdict) if isinstance(verdict, str) and verdict in _VERDICTS else Verdict.INCONCLUSIVE.value


def _quarrels(entry: Record, seal: Record, common: Mapping[str, Any]) -> Iterator[str]:
    if not common["key"]:
        yield "the entry names no portable key"
    if entry.get("outcome") not in tuple(_OUTCOMES):
        yield "the log's outcome is none that Muster knows"
    for name in ("run", "plan", "outcome") if seal else ():
        if entry.get(name) != seal.get(name):
            yield f"{name}: the log says {_said(entry.get(name))}, the seal {_said(seal.get(name))}"
    if seal and moment(entry.get("scheduledAt")) != moment(seal.get("scheduledAt")):
        yield "the due time in the log is not the one in the seal"
    yield from _quarrels_with_store(common)


def _problems(logged: LogEntry, seal: Record, data: PortalData) -> list[str]:
    """What else a package finds wrong; that a seal was not read is told apart."""
    return [text(each, TEXT) for each in data.problems.get(logged.index, ())] if seal else []


def _quarrels_with_store(common: Mapping[str, Any]) -> Iterator[str]:
    stored = record(common["stored"])
    for name, told in (("sha256", "digest"), ("size", "size")) if stored else ():
        if stored.get(name) != common[name]:
            yield f"the {told} in the receipt is not the one in the log"
    if count(stored.get("deleteMarkers", 0)) != 0:
        yield "the store told of a delete marker"
    if count(stored.get("versions", 1)) != 1:
        yield "the store told of more than one version"


def _said(value: Any) -> str:
    return text(value, 80) or "nothing"


def _records(value: Any) -> Iterable[Record]:
    return (each for each in items(value) if isinstance(each, Mapping))
