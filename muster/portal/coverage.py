"""Who vouches for which part of the log beside its own key: authorities by time-stamps, witnesses by cosignatures.

Promises: every entry is in exactly one range; a range that no time-stamp covers is told as that.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from muster.portal.model import PortalData
from muster.portal.reading import count, moment, record, text


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


def ranges_of(data: PortalData) -> tuple[Range, ...]:
    """The log in ranges, the newest first."""
    stamps: dict[int, list[tuple[str, datetime]]] = defaultdict(list)
    for each in data.anchors:
        if 0 < each.size <= data.size:
            stamps[each.size].append((text(each.authority), each.at))
    found, start = [], 0
    for size in sorted(stamps):
        found.append(Range(start, size - 1, tuple(sorted(stamps[size], key=lambda stamp: (stamp[1], stamp[0])))))
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


def keys_of(data: PortalData) -> tuple[Key, ...]:
    """Every key statement, in order."""
    return tuple(
        Key(
            number=count(given.get("number")),
            identity=text(given.get("keyId")),
            action=text(given.get("action")),
            roles=", ".join(text(role) for role in given.get("roles") or () if isinstance(role, str)),
            since=count(given.get("fromIndex")),
            at=moment(given.get("at")),
            reason=text(given.get("reason")),
        )
        for given in map(record, data.keys)
    )
