"""The keyring: a chain in which only trusted keys say who is trusted, and from which entry on."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evidence.envelope import open_envelope, sign
from evidence.keyring import EVERY_ROLE, Action, Facts, Keyring, KeyringBroken, Role, key_statement_key
from evidence.keys import ensure_key_pair, load_signer, public_key_of
from evidence.statement import PredicateType, predicate_of, statement

Make = Callable[[str], Any]
WHEN = datetime(2026, 11, 26, 5, tzinfo=UTC)


@pytest.fixture
def signer(tmp_path: Path) -> Make:
    def signer(name: str) -> Any:
        ensure_key_pair(tmp_path / f"{name}.pem")
        return load_signer(tmp_path / f"{name}.pem")

    return signer


def facts(index: int) -> Facts:
    return Facts(WHEN, index, "as planned")


@pytest.fixture
def first(signer: Make) -> Keyring:
    envelope = Keyring().admit(signer("a"), EVERY_ROLE, by=signer("a"), facts=facts(0))
    return Keyring.read([envelope])


@pytest.fixture
def rotated(first: Keyring, signer: Make) -> Keyring:
    """`a` from the start, `b` from entry 10 on, `a` no more from entry 12 on."""
    both = first.extended(first.admit(signer("b"), EVERY_ROLE, by=signer("a"), facts=facts(10)))
    return both.extended(both.end(Action.RETIRE, public_key_of(signer("a")), by=signer("b"), facts=facts(12)))


def ids(keyring: Keyring, role: Role, index: int) -> list[str]:
    return [key.key_id for key in keyring.trusted(role, index)]


def test_keys_overlap_and_end(rotated: Keyring, signer: Make) -> None:
    a, b = (public_key_of(signer(name)).key_id for name in "ab")
    for role in Role:
        assert [ids(rotated, role, index) for index in (0, 9, 10, 11, 12, 10**6)] == [
            [a],
            [a],
            [a, b],
            [a, b],
            [b],
            [b],
        ]
    assert Keyring.read(rotated.envelopes) == rotated


def test_a_key_does_what_its_roles_say(first: Keyring, signer: Make) -> None:
    runner = signer("runner")
    ring = first.extended(first.admit_runner(public_key_of(runner), by=signer("a"), facts=facts(3)))
    runner_id = public_key_of(runner).key_id
    assert runner_id in ids(ring, Role.SUBMIT, 3)
    assert runner_id not in ids(ring, Role.SUBMIT, 2)
    assert runner_id not in ids(ring, Role.SEAL, 3)
    assert runner_id not in ids(ring, Role.LOG, 3)


def test_a_key_may_revoke_itself_back_to_an_entry(rotated: Keyring, signer: Make) -> None:
    b = signer("b")
    ring = rotated.extended(rotated.end(Action.REVOKE, public_key_of(b), by=b, facts=facts(11)))
    assert [ids(ring, Role.SEAL, index) for index in (10, 11, 12)] == [
        [public_key_of(signer("a")).key_id, public_key_of(b).key_id],
        [public_key_of(signer("a")).key_id],
        [],
    ]


@pytest.mark.parametrize("by", ["stranger", "a"])
def test_who_is_not_trusted_any_more_admits_nobody(rotated: Keyring, signer: Make, by: str) -> None:
    with pytest.raises(KeyringBroken, match="not trusted"):
        rotated.admit(signer("c"), EVERY_ROLE, by=signer(by), facts=facts(13))


def test_only_a_known_key_ends_and_only_a_new_one_begins(rotated: Keyring, signer: Make) -> None:
    with pytest.raises(KeyringBroken, match="never admitted"):
        rotated.end(Action.REVOKE, public_key_of(signer("stranger")), by=signer("b"), facts=facts(13))
    with pytest.raises(KeyringBroken, match="admitted before"):
        rotated.admit(signer("a"), EVERY_ROLE, by=signer("b"), facts=facts(13))


@pytest.mark.parametrize("dropped", [0, 1, 2])
def test_a_link_taken_out_breaks_the_chain_or_shortens_it(rotated: Keyring, dropped: int) -> None:
    rest = [envelope for number, envelope in enumerate(rotated.envelopes) if number != dropped]
    if dropped == 2:  # only the log, which names every statement, can show that the last is missing
        assert len(Keyring.read(rest).statements) == 2
        return
    with pytest.raises(KeyringBroken):
        Keyring.read(rest)


def test_links_do_not_change_places(rotated: Keyring) -> None:
    one, two, three = rotated.envelopes
    with pytest.raises(KeyringBroken):
        Keyring.read([one, three, two])


def test_no_flipped_bit_is_read(rotated: Keyring) -> None:
    for place in range(0, len(rotated.envelopes[1]), 7):
        flipped = bytearray(rotated.envelopes[1])
        flipped[place] ^= 1
        with pytest.raises(KeyringBroken):
            Keyring.read([rotated.envelopes[0], bytes(flipped), rotated.envelopes[2]])


@pytest.mark.parametrize(
    "change",
    [{"action": "adopt"}, {"fromIndex": -1}, {"number": 7}, {"keyId": "0" * 64}, {"key": "none"}, {"roles": ["king"]}],
)
def test_a_statement_that_says_something_else_is_refused_though_signed(
    first: Keyring, signer: Make, change: dict[str, Any]
) -> None:
    sound = first.admit(signer("b"), EVERY_ROLE, by=signer("a"), facts=facts(10))
    opened = open_envelope(sound)
    assert opened is not None
    body = predicate_of(opened.payload, PredicateType.KEY)
    assert body is not None
    subject = {one["name"]: one["digest"]["sha256"] for one in json.loads(opened.payload)["subject"]}
    assert first.extended(sign(statement(subject, body, PredicateType.KEY), signer("a"), signer("b")))
    with pytest.raises(KeyringBroken):
        first.extended(sign(statement(subject, body | change, PredicateType.KEY), signer("a"), signer("b")))


def test_an_admission_needs_both_hands(first: Keyring, signer: Make) -> None:
    opened = open_envelope(first.admit(signer("b"), EVERY_ROLE, by=signer("a"), facts=facts(10)))
    assert opened is not None
    for hands in (["a"], ["b"], ["b", "a"], ["a", "b", "c"]):
        with pytest.raises(KeyringBroken):
            first.extended(sign(opened.payload, *map(signer, hands)))
    assert first.extended(sign(opened.payload, signer("a"), signer("b")))


@pytest.mark.parametrize("role", [Role.SUBMIT, Role.LOG])
def test_who_does_not_seal_speaks_for_nobody_else(first: Keyring, signer: Make, role: Role) -> None:
    other = signer("other")
    ring = first.extended(first.admit(other, frozenset({role, Role.LOG}), by=signer("a"), facts=facts(3)))
    with pytest.raises(KeyringBroken, match="may not speak for others"):
        ring.admit(signer("friend"), EVERY_ROLE, by=other, facts=facts(4))
    with pytest.raises(KeyringBroken, match="may not speak for others"):
        ring.end(Action.REVOKE, public_key_of(signer("a")), by=other, facts=facts(4))
    assert ring.end(Action.RETIRE, public_key_of(other), by=other, facts=facts(4))


def test_a_keyring_begins_with_its_own_key(signer: Make) -> None:
    a = signer("a")
    with pytest.raises(KeyringBroken, match="begins with"):
        Keyring().end(Action.REVOKE, public_key_of(a), by=a, facts=facts(0))
    with pytest.raises(KeyringBroken, match="begins with"):
        Keyring().admit(a, EVERY_ROLE, by=a, facts=replace(facts(0), from_index=1))


def test_statements_are_numbered_in_the_store() -> None:
    assert key_statement_key(12) == "keys/00000012.dsse.json"
