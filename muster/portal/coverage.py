"""Who vouches for the log beside its own key: authorities by time-stamps, witnesses by cosignatures, the store's lock.

Promises: every entry is in exactly one range; a range that no checked time-stamp covers is told as that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from muster.portal.model import PortalData
from muster.portal.reading import TEXT, count, items, moment, record, text


@dataclass(frozen=True)
class Range:
    """Entries from `start` to `end` (inclusive), and the time-stamps that first cover them; none: not anchored."""

    start: int
    end: int
    stamps: tuple[tuple[str, datetime], ...]


@dataclass(frozen=True)
class Key:
    """One key as the keyring tells it."""

    number: int | None
    identity: str
    action: str
    roles: str
    since: int | None
    """The entry from which the statement holds."""
    at: datetime | None
    reason: str


@dataclass(frozen=True)
class Attempt:
    """One thing that a probe tried to do to what was locked."""

    trial: str
    answer: str
    said: str
    harm: str
    """What became of it; empty where nothing did."""


@dataclass(frozen=True)
class Probe:
    """The newest probe of the store."""

    at: datetime | None
    is_worm: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    attempts: tuple[Attempt, ...]


def checked(data: PortalData) -> tuple[tuple[int, datetime, str], ...]:
    """Size, time and authority of every time-stamp that says something of this log, in order."""
    found = ((each.size, each.at, text(each.authority)) for each in data.anchors if 0 < each.size <= data.size)
    return tuple(sorted((size, at, who) for size, at, who in found if at is not None))


def ranges_of(data: PortalData) -> tuple[Range, ...]:
    """The log in ranges, the newest first."""
    found, start = [], 0
    for size, stamps in groupby(checked(data), key=itemgetter(0)):
        found.append(Range(start, size - 1, tuple((who, at) for _, at, who in stamps)))
        start = size
    if start < data.size:
        found.append(Range(start, data.size - 1, ()))
    return tuple(reversed(found))


def witnesses_of(data: PortalData) -> Mapping[str, int]:
    """The newest size that each witness cosigned."""
    newest: dict[str, int] = {}
    for each in sorted(data.cosignatures, key=lambda each: (each.witness, each.size)):
        if each.size <= data.size:
            newest[text(each.witness)] = each.size
    return newest


def probe_of(data: PortalData) -> Probe | None:
    """The newest probe, if the store was ever probed."""
    if data.probe is None:
        return None
    given = data.probe
    return Probe(
        at=moment(given.get("at")),
        is_worm=given.get("isWorm") is True,
        reasons=tuple(text(each, TEXT) for each in items(given.get("reasons"))),
        notes=tuple(text(each, TEXT) for each in items(given.get("notes"))),
        attempts=tuple(
            Attempt(*(text(record(each).get(name)) for name in ("trial", "answer", "said", "harm")))
            for each in items(given.get("attempts"))
        ),
    )


def keys_of(data: PortalData) -> tuple[Key, ...]:
    """Every key statement, in order."""
    return tuple(
        Key(
            number=count(given.get("number")),
            identity=text(given.get("keyId")),
            action=text(given.get("action")),
            roles=", ".join(text(role) for role in items(given.get("roles"))),
            since=count(given.get("fromIndex")),
            at=moment(given.get("at")),
            reason=text(given.get("reason")),
        )
        for given in map(record, data.keys)
    )
