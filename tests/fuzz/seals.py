"""JSON, and what is sealed in it: envelopes, statements, entries, keys."""

import functools
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rfc8785

from evidence import verify
from evidence.envelope import sign
from evidence.keyring import EVERY_ROLE, Facts, Keyring, Role
from evidence.keys import public_key_of
from evidence.statement import PredicateType, statement
from tests.fuzz.target import FalseAccept, Target, is_one_form
from tests.unit.witness_paper import NOON, signer

PINNED = Path(__file__).parents[1] / "golden" / "v1" / "signing.pub"


def _json(content: bytes) -> bool:
    value = verify.parse_object(content)
    return value is not None and is_one_form(content, rfc8785.dumps(value))


def _envelope(content: bytes) -> bool:
    for signatures in (1, 2):
        found = verify.open_envelope(content, signatures)
        if found:
            lines = [{"keyid": one.key_id, "sig": b64encode(one.signature).decode()} for one in found.signatures]
            again = {"payload": b64encode(found.payload).decode(), "payloadType": verify.IN_TOTO, "signatures": lines}
            return is_one_form(content, rfc8785.dumps(again))
    return False


def _statement(content: bytes) -> bool:
    found = verify.parse_statement(content)
    if found is None:
        return False
    subjects = [{"digest": {"sha256": found.subjects[name]}, "name": name} for name in found.subjects]
    if list(found.subjects) != sorted(found.subjects):
        raise FalseAccept("subjects out of order")
    again: dict[str, Any] = {
        "_type": verify.STATEMENT_TYPE,
        "predicate": dict(found.predicate),
        "predicateType": found.kind,
        "subject": subjects,
    }
    return is_one_form(content, rfc8785.dumps(again))


def _statements() -> list[bytes]:
    return [statement({"a": "0" * 64, "b": "1" * 64}, {"n": 1e-7, "t": "\u20ac"}, PredicateType.PROBE)]


def _entry(content: bytes) -> bool:
    found = verify.parse_entry(0, content)
    return not isinstance(found, str) and is_one_form(content, rfc8785.dumps(dict(found.fields)))


def _entries() -> list[bytes]:
    at, scheduled = "2026-03-01T12:00:00Z", datetime(2026, 3, 1, 3, tzinfo=UTC)
    digest = "ab" * 32
    common = {"envelope": digest, "loggedAt": at, "previous": "0" * 64}
    bundle = {"key": "p/r.tar.gz", "sha256": digest, "size": 7}
    run = {
        **common,
        "bundle": bundle,
        "kind": "run",
        "outcome": "passed",
        "plan": "p",
        "receipt": digest,
        "run": "r",
        "scheduledAt": verify.write_time(scheduled),
        "slot": verify.slot_of("p", scheduled),
    }
    record = {**common, "key": "records/x", "kind": "record", "predicateType": "urn:muster:probe:v1"}
    package = {**common, "bundle": bundle, "kind": "package", "name": "n", "receipt": digest}
    return [rfc8785.dumps(one) for one in (run, {**run, "scheduledAt": None, "slot": None}, record, package)]


def _time(content: bytes) -> bool:
    """A time may be written in two ways, with `Z` or `+00:00`, and with microseconds that are none."""
    text = content.decode("latin-1")
    found = verify.parse_time(text)
    shortest = text.replace("+00:00", "Z").replace(".000000Z", "Z")
    return found is not None and is_one_form(shortest.encode(), _as_z(found))


def _as_z(moment: datetime) -> bytes:
    return verify.write_time(moment).replace("+00:00", "Z").encode()


def _key(content: bytes) -> bool:
    """Blanks in PEM mean nothing; every letter must be the key's."""
    text = content.decode("ascii", "replace")
    found = verify.parse_key(text)
    if found is None:
        return False
    if verify.parse_key(found.pem) != found:
        raise FalseAccept(f"{found.pem} is not read as it was written")
    return is_one_form("".join(text.split()).encode(), "".join(found.pem.split()).encode())


@functools.cache
def _ring() -> tuple[bytes, bytes]:
    first, second = signer(20), signer(21)
    facts = Facts(NOON, 0, "the first key")
    begun = Keyring(()).admit(first, EVERY_ROLE, by=first, facts=facts)
    ring = Keyring.read([begun])
    return begun, ring.admit(second, frozenset({Role.SEAL}), by=first, facts=Facts(NOON, 3, "a second"))


def _keyring(content: bytes) -> bool:
    """A statement after the first: only the one that was truly made may follow."""
    first, second = _ring()
    pinned = verify.parse_key(public_key_of(signer(20)).pem.decode())
    assert pinned
    try:
        verify.read_keyring([first, content], pinned, verify.default_judge)
    except verify.KeyringBroken:
        return False
    return is_one_form(content, second)


TARGETS = (
    Target("json", _json, lambda: [b'{"a":[1,-1.5e-7,"\xc3\xa9\\n",null,true],"b":{}}', b"{}"]),
    Target("envelope", _envelope, lambda: [sign(b"{}", signer(1)), sign(b"{}", signer(1), signer(2))]),
    Target("statement", _statement, _statements),
    Target("entry", _entry, _entries),
    Target("time", _time, lambda: [b"2026-03-01T12:00:00Z", b"2026-03-01T12:00:00.000001+00:00"]),
    Target("key", _key, lambda: [public_key_of(signer(1)).pem, PINNED.read_bytes()]),
    Target("keyring", _keyring, lambda: [_ring()[1]]),
)
