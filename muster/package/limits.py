"""How much a verifier reads, asked before a package is sealed.

Promise: what `verify.py` would call too large, under the limits that it has of its own, is never sealed.
"""

from collections.abc import Mapping
from typing import Any

from evidence import bag
from evidence.errors import EvidenceError
from evidence.statement import canonical
from evidence.verify import PACKAGE_LIMITS, Limits
from muster.package.inputs import Content

READ_WHOLE = ("population.json", "links.json", "junit.xml", "controls.json", "oscal.json")
"""Members that a verifier holds in memory; of the others, only those that are small or read as streams are there."""
_TAGS = 8
"""Files beside the payload, and some to spare."""
_DIGEST = "0" * 64
_AROUND = 1_024
"""Bytes of a statement and its envelope beside subjects and predicate, at most."""


def assert_readable(
    members: Mapping[str, Content], predicate: Mapping[str, Any], unpacked: int, limits: Limits = PACKAGE_LIMITS
) -> None:
    """Raise `EvidenceError` where a verifier would not read it; `unpacked` is what its bundles hold, in bytes."""
    sizes = {name: _size(content) for name, content in members.items()}
    for name in READ_WHOLE:
        _assert_below(name, sizes.get(name, 0), limits.tag_bytes)
    envelope = _envelope(members, predicate)
    _assert_below(bag.ENVELOPE, envelope, limits.tag_bytes)
    _assert_below("all of it, unpacked,", sum(sizes.values()) + unpacked + 2 * envelope, limits.total_bytes)
    if len(members) + _TAGS > limits.members:
        raise _too_large(f"it would hold {len(members):,} files, and a verifier reads {limits.members:,}")


def _envelope(members: Mapping[str, Content], predicate: Mapping[str, Any]) -> int:
    """Bytes of the statement about all of it, in base64; all that stands beside the payload besides is smaller."""
    subjects = (len(canonical({"digest": {"sha256": _DIGEST}, "name": bag.PAYLOAD + name})) + 1 for name in members)
    return (sum(subjects) + len(canonical(dict(predicate))) + _AROUND) * 4 // 3 + _AROUND


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _assert_below(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise _too_large(f"{name} would have {size:,} bytes, and a verifier reads {limit:,}")


def _too_large(why: str) -> EvidenceError:
    return EvidenceError(
        f"the period is too large for one package: {why}",
        "package it in parts: --period with a shorter one, such as 2026-09 or 2026-09-01..2026-09-15",
    )
