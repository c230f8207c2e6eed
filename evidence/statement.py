"""The statement: what a seal says, as the exact bytes that are signed.

Promises: in-toto Statement v1 in RFC 8785 (canonical) JSON; every file that the seal vouches for is a subject, by
SHA-256; the same facts give the same bytes.
Source: in-toto attestation framework, spec/v1/statement.md; RFC 8785.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import rfc8785

from evidence.errors import SealError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


class PredicateType(StrEnum):
    """What a statement can be about. A type that ends in a version keeps its meaning for ever."""

    DRILL_RUN = "urn:muster:drill-run:v1"
    TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
    PACKAGE = "urn:muster:package:v1"
    PUT_RECEIPT = "urn:muster:put-receipt:v1"
    KEY = "urn:muster:key:v1"
    PROBE = "urn:muster:probe:v1"
    LINK = "urn:muster:link:v1"
    PLAN = "urn:muster:plan:v1"


def statement(
    subjects: Mapping[str, str],
    predicate: Mapping[str, Any],
    predicate_type: PredicateType = PredicateType.DRILL_RUN,
) -> bytes:
    """The statement about `subjects` (name to SHA-256, hex), in the order of their names."""
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "predicateType": predicate_type.value,
            "subject": [{"name": name, "digest": {"sha256": subjects[name]}} for name in sorted(subjects)],
            "predicate": dict(predicate),
        }
    )


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes. The trap: integers beyond 2**53 - 1 are not JSON numbers everywhere, and are refused."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise SealError(f"cannot be written as canonical JSON: {error}", "give large integers as text") from error


def utc(moment: datetime) -> str:
    """A time as evidence writes it: RFC 3339 in UTC with `Z`, microseconds where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def predicate_of(payload: bytes, predicate_type: PredicateType = PredicateType.DRILL_RUN) -> dict[str, Any] | None:
    """The predicate in signed bytes, or `None` when they are not a statement of this type."""
    content = parse_object(payload)
    if content is None or content.get("predicateType") != predicate_type.value:
        return None
    predicate = content.get("predicate")
    return predicate if isinstance(predicate, dict) else None


def subjects_of(payload: bytes) -> dict[str, str]:
    """Name to SHA-256 of every well-formed subject in signed bytes."""
    subjects = (parse_object(payload) or {}).get("subject")
    found: dict[str, str] = {}
    for subject in subjects if isinstance(subjects, list) else ():
        match subject:
            case {"name": str(name), "digest": {"sha256": str(digest)}}:
                found[name] = digest
    return found


def parse_object(content: bytes) -> dict[str, Any] | None:
    """A JSON object from bytes of any origin, or `None`."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
