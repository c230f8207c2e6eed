"""What the bundle of a run says, beside what the log says of it.

Promises: a bundle is read as a stream and hashed on the way; where it is not the one that was logged, or says another
thing than its entry, that is told, and the run shows nothing; what is kept of a run is small.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from evidence import bag
from evidence.envelope import open_envelope
from evidence.errors import EvidenceError
from evidence.statement import PredicateType, parse_object, predicate_of
from evidence.verify import PACKAGE_LIMITS, ArchiveDamaged, Limits, Member, read_archive
from muster.cadence.spec import RECORDED, Cadence
from muster.cadence.ticks import next_tick
from muster.package.inputs import OpenSlot
from muster.package.log import LoggedRun, written
from muster.verdict import Verdict

_JOURNAL = f"{bag.PAYLOAD}journal.jsonl"
_SUMMARY = f"{bag.PAYLOAD}summary.json"
_POPULATION = f"{bag.PAYLOAD}population.json"
_LIMITS = Limits()
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_MOST_AGAINST = 20
"""Findings that are kept of a run; the others are in its bundle."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """Who let a slot pass without a drill, why, and until when that holds."""

    owner: str
    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Measured:
    """A quantity beside its objective, in seconds."""

    name: str
    seconds: float | None
    objective: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Against:
    """A finding that is no pass."""

    check: str
    verdict: str
    seen: str


@dataclass(frozen=True, slots=True)
class SealedRun:
    """What was signed of a run, as far as a package tells it."""

    kind: str
    owner: str
    target: str
    headline: str
    verdict: str
    trigger: str
    requested_by: str
    approval: str
    opened_at: datetime | None
    ended_at: datetime | None
    controls: tuple[str, ...]
    measures: tuple[Measured, ...]
    against: tuple[Against, ...]
    last_proven: str
    cadence: Cadence | None
    """By which the plan was due then; `None` where the journal does not say."""
    waiver: Waiver | None

    def measured(self, name: str) -> Measured | None:
        """RTO or RPO."""
        return next((measure for measure in self.measures if measure.name == name), None)


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading a bundle; with problems it shows nothing, and is not packaged."""

    sealed: SealedRun | None
    problems: tuple[str, ...] = ()
    unpacked: int = 0
    """Bytes of what is in it."""


def read_bundle(path: Path, logged: LoggedRun) -> Reading:
    """Read the bundle of a logged run."""
    try:
        with path.open("rb") as file:
            source = _Hashed(file)
            parts = _read_parts(source, _LIMITS)
    except ArchiveDamaged as damage:
        return Reading(None, (f"its bundle is damaged: {damage}",))
    except OSError as error:
        return Reading(None, (f"its bundle cannot be read: {error.strerror}",))
    if (source.sha256, source.size) != (logged.sha256, logged.size):
        return Reading(None, ("its bundle is not the one that was logged",))
    return _judge(parts, logged)


@dataclass(frozen=True)
class SealedPackage:
    """What the seal of a package says, and which due times it left open."""

    predicate: Mapping[str, Any]
    open: tuple[OpenSlot, ...]


def read_package(path: Path) -> SealedPackage:
    """Read a package. Raises `EvidenceError` when it is none. Who sealed it is not looked at."""
    try:
        with path.open("rb") as source:
            parts = _read_parts(source, PACKAGE_LIMITS, is_package=True)
    except ArchiveDamaged as damage:
        raise EvidenceError(f"{path.name} is damaged: {damage}", "find out who changed it") from damage
    opened = open_envelope(parts.envelope)
    predicate = predicate_of(opened.payload, PredicateType.PACKAGE) if opened else None
    left = _left_open(parts.population)
    if predicate is None or left is None:
        raise EvidenceError(f"{path.name} is no package", "find out who put it there")
    return SealedPackage(predicate, left)


def _left_open(content: bytes) -> tuple[OpenSlot, ...] | None:
    """What is open there, of its period or carried; `None` where the population cannot be read."""
    population = parse_object(content)
    if population is None:
        return None
    told = (*_list(population.get("carried")), *_list(population.get("open")))
    rows = (row for row in map(_object, told) if row.get("outcome") == "open")
    found = ((_text(row.get("plan")), _moment(row.get("scheduledAt")), row.get("claimableUntil")) for row in rows)
    return tuple(OpenSlot(plan, at, _moment(until)) for plan, at, until in found if at)


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self.size = file, hashlib.sha256(), 0

    def read(self, at_most: int = -1) -> bytes:
        content = self._file.read(at_most)
        self._digest.update(content)
        self.size += len(content)
        return content

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


@dataclass
class _Parts:
    envelope: bytes = b""
    opening: bytes = b""
    summary: bytes = b""
    population: bytes = b""
    size: int = 0


def _read_parts(source: Any, limits: Limits, *, is_package: bool = False) -> _Parts:
    parts = _Parts()
    take: dict[str, Callable[[Member], None]] = {
        bag.ENVELOPE: lambda member: setattr(parts, "envelope", _whole(member)),
        _JOURNAL: lambda member: setattr(parts, "opening", _first_line(member.pieces)),
        _SUMMARY: lambda member: setattr(parts, "summary", _whole(member)),
    }
    if is_package:  # an older one may be larger than what is sealed now
        take[_POPULATION] = lambda member: setattr(parts, "population", b"".join(member.pieces))
    for member in read_archive(source, limits):
        _, _, name = member.name.partition("/")
        parts.size += member.size
        take.get(name, _pass_over)(member)
    return parts


def _whole(member: Member) -> bytes:
    if member.size > PACKAGE_LIMITS.tag_bytes:
        raise ArchiveDamaged(f"{member.name} is larger than {PACKAGE_LIMITS.tag_bytes:,} bytes")
    return b"".join(member.pieces)


def _first_line(pieces: Iterator[bytes]) -> bytes:
    line = b""
    for piece in pieces:
        if b"\n" not in line and len(line) < _LIMITS.tag_bytes:
            line += piece
    return line.split(b"\n", 1)[0]


def _pass_over(member: Member) -> None:
    for _ in member.pieces:
        pass


def _judge(parts: _Parts, logged: LoggedRun) -> Reading:
    opened = open_envelope(parts.envelope)
    predicate = predicate_of(opened.payload) if opened else None
    if predicate is None:
        return Reading(None, ("its bundle holds no statement about a run",))
    problems = tuple(_quarrels(parts, predicate, logged))
    return Reading(_sealed_run(predicate, parts), problems, parts.size)


def _quarrels(parts: _Parts, predicate: Mapping[str, Any], logged: LoggedRun) -> Iterator[str]:
    if hashlib.sha256(parts.envelope).hexdigest() != logged.envelope:
        yield "its envelope is not the one that was logged"
    for name, said in (("run", logged.run), ("plan", logged.plan), ("outcome", logged.outcome)):
        if predicate.get(name) != said:
            yield f"the log says {name} {said}, its bundle says {predicate.get(name)}"
    due = _moment(predicate.get("scheduledAt"))
    if logged.slot and due != logged.scheduled_at:
        yield f"the log says that it was due {written(logged.scheduled_at)}, its bundle says {written(due) or 'never'}"


def _sealed_run(predicate: Mapping[str, Any], parts: _Parts) -> SealedRun:
    opening = _object((parse_object(parts.opening) or {}).get("body"))
    plan, unrun = _object(opening.get("plan")), _object(opening.get("unrun"))
    cadence = cadence_in(plan.get("cadence"))
    owner = _text(plan.get("owner"))
    return SealedRun(
        kind=_text(predicate.get("kind")),
        owner=owner,
        target=_text(predicate.get("target")),
        headline=_text((parse_object(parts.summary) or {}).get("headline")),
        verdict=_text(predicate.get("verdict")),
        trigger=_text(predicate.get("trigger")),
        requested_by=_text(predicate.get("requestedBy")),
        approval=_text(predicate.get("approval")),
        opened_at=_moment(predicate.get("openedAt")),
        ended_at=_moment(predicate.get("endedAt")),
        controls=tuple(each for each in _list(predicate.get("controls")) if isinstance(each, str)),
        measures=tuple(_measured(each) for each in map(_object, _list(predicate.get("measures")))),
        against=tuple(_against(predicate)),
        last_proven=_text(predicate.get("lastProven")),
        cadence=cadence,
        waiver=_waiver(owner, unrun, cadence) if unrun.get("outcome") == "waived" else None,
    )


def _waiver(owner: str, unrun: Mapping[str, Any], cadence: Cadence | None) -> Waiver:
    """A blackout of the plan, to its end; else the slot alone is waived, until it could have been claimed no more."""
    why = _text(unrun.get("why"))
    blackouts = cadence.blackouts if cadence else ()
    found = next((blackout for blackout in blackouts if why == f"blackout: {blackout.reason}"), None)
    return Waiver(owner, why, found.end if found else _moment(unrun.get("until")))


def _measured(given: Mapping[str, Any]) -> Measured:
    return Measured(
        _text(given.get("name")),
        _number(given.get("measured")),
        _number(given.get("objective")),
        _text(given.get("verdict")) or "not asked",
    )


def _against(predicate: Mapping[str, Any]) -> Iterator[Against]:
    asked = [each for each in map(_object, _list(predicate.get("findings"))) if each.get("verdict")]
    not_passed = [each for each in asked if each.get("verdict") != Verdict.PASS]
    for each in not_passed[:_MOST_AGAINST]:
        yield Against(_text(each.get("check")), _text(each.get("verdict")), _text(each.get("seen")))


def cadence_in(raw: Any) -> Cadence | None:
    """The cadence as evidence holds it; `None` where it cannot be read."""
    return _parsed(json.dumps(raw, sort_keys=True)) if isinstance(raw, dict) else None


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Cadence | None:
    """Plans have few cadences over the years: each is read once."""
    try:
        cadence = Cadence.model_validate_json(text, context=RECORDED)
        next_tick(cadence, _ANY_TIME)  # what was withheld in it names no time any more
    except ValueError:
        return None
    return cadence


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _moment(value: Any) -> datetime | None:
    try:
        read = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return read if read.tzinfo else None
