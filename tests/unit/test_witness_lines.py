"""Cosignatures, verifier keys and requests: as published, in one form only, and never by another's word."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.errors import EvidenceError, KeyProblem
from evidence.verify import COSIGNATURE_NOTE, ED25519_NOTE, Note, note_signed_by, parse_note
from evidence.witness.lines import (
    Cosigner,
    Request,
    VerifierKey,
    cosigned_at,
    log_key,
    parse_head_text,
    parse_request,
    parse_verifier_key,
    signature_line,
)
from tests.unit.witness_paper import PaperLog, cosigner, signer, vectors

TEXT = b"example.org/log\n10\nHA5HAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"


def test_a_cosignature_is_made_as_sigsum_makes_it() -> None:
    published = vectors("sigsum")
    ours = cosigner(published["name"], bytes.fromhex(published["seed"]))
    line = ours.cosign(published["text"].encode(), published["timestamp"])
    assert line.decode() == published["lines"][published["right"]]


def test_of_many_lines_the_one_by_the_key_counts() -> None:
    published = vectors("sigsum")
    key = cosigner(published["name"], bytes.fromhex(published["seed"])).key
    note = parse_note("\n".join([published["text"], "".join(published["lines"][:3])]).encode())
    assert note
    assert time_of(note, key) == published["timestamp"]


@pytest.mark.parametrize("index", [0, 2, 3])
def test_lines_of_another_key_or_name_or_length_count_for_nothing(index: int) -> None:
    published = vectors("sigsum")
    key = cosigner(published["name"], bytes.fromhex(published["seed"])).key
    note = parse_note("\n".join([published["text"], published["lines"][index]]).encode())
    assert note
    assert time_of(note, key) is None


def test_a_false_line_of_the_key_spoils_the_right_one() -> None:
    ours = cosigner()
    right, other = ours.cosign(TEXT, 1234), ours.cosign(b"another text\n", 1234)
    assert time_of(_note(TEXT, right), ours.key) == 1234
    assert time_of(_note(TEXT, right + other), ours.key) is None


def test_the_time_is_signed_too() -> None:
    ours = cosigner()
    blob = ours.key.key_id + struct.pack(">Q", 1235) + _blob(ours.cosign(TEXT, 1234))[12:]
    assert time_of(_note(TEXT, signature_line(ours.name, blob)), ours.key) is None


@pytest.mark.parametrize(
    ("at", "counts"), [(0, False), (1, True), (2**32, True), (2**63 - 1, False), (2**63, False), (2**64 - 1, False)]
)
def test_a_time_of_zero_or_beyond_every_calendar_is_none(at: int, counts: bool) -> None:
    ours = cosigner()
    assert time_of(_note(TEXT, ours.cosign(TEXT, at)), ours.key) == (at if counts else None)


def test_a_published_time_is_read() -> None:
    published = vectors("transparency-dev")["timestamped"]
    (at,) = struct.unpack_from(">Q", base64.b64decode(published["blob"]), 4)
    assert at == published["timestamp"]


def test_published_keys_are_read_and_written_alike() -> None:
    sigsum, other = vectors("sigsum"), vectors("transparency-dev")
    for text, kind in [
        (sigsum["witness_key"], COSIGNATURE_NOTE),
        (sigsum["log_key"], ED25519_NOTE),
        (other["log_key"], ED25519_NOTE),
        (vectors("c2sp")["verifier_key"], ED25519_NOTE),
        *((text, COSIGNATURE_NOTE) for text in other["keys"]["good"]),
    ]:
        key = parse_verifier_key(text, kind)
        assert key
        assert str(key) == text
        assert parse_verifier_key(text, ED25519_NOTE + COSIGNATURE_NOTE - kind) is None, "of another type"


def test_published_keys_that_are_none_are_refused() -> None:
    bad = [vectors("sigsum")["wrong_id"], *vectors("transparency-dev")["keys"]["bad"], "", "+", "++", "name"]
    for text in bad:
        assert parse_verifier_key(text, ED25519_NOTE) is parse_verifier_key(text, COSIGNATURE_NOTE) is None
        with pytest.raises(EvidenceError):
            log_key(text, "a log")


def test_a_published_key_verifies_its_note() -> None:
    published = vectors("c2sp")
    key, note = parse_verifier_key(published["verifier_key"], ED25519_NOTE), parse_note(published["note"].encode())
    assert key
    assert note
    assert note_signed_by(note, key.name, key.public)


def test_published_examples_are_requests_and_answers() -> None:
    published = vectors("c2sp")
    request = parse_request(published["request"].encode())
    assert request
    assert (request.old, len(request.proof)) == (20852014, 4)
    assert request.content.decode() == published["request"]
    note = parse_note(request.head)
    assert note
    checkpoint = parse_head_text(note.text)
    assert checkpoint
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    answer = parse_note(note.text + b"\n" + published["response"].encode())
    assert answer
    assert [line.name for line in answer.signatures] == [
        "witness.example/w1",
        "witness.example/w1",
        "witness.example/w2",
    ]
    assert {len(line.signature) for line in answer.signatures} == {72}


LOG = PaperLog()


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_request_is_read_as_it_was_written(old: int, size: int) -> None:
    request = Request(old, LOG.consistency(min(old, size), size), LOG.head(size))
    assert parse_request(request.content) == request


@given(st.integers(0, 2**70), st.lists(st.binary(min_size=28, max_size=36), max_size=70), st.binary(max_size=80))
def test_what_is_read_as_a_request_has_one_form(old: int, proof: list[bytes], head: bytes) -> None:
    content = Request(old, tuple(proof), head).content
    for body in (content, content + LOG.head(3), Request(old, tuple(proof), LOG.head(3)).content):
        request = parse_request(body)
        assert request is None or request.content == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0",
        b"old 0\n",
        b"old 0\n\n",
        b"old  0\n\n%b",
        b"old 00\n\n%b",
        b"old 01\n\n%b",
        b"old -1\n\n%b",
        b"old +1\n\n%b",
        b"old \xd9\xa3\n\n%b",
        b"old 9223372036854775808\n\n%b",
        b"Old 0\n\n%b",
        b"0\n\n%b",
        b"old 0\r\n\n%b",
        b"old 0\n%b",
        b"\nold 0\n\n%b",
        b"old 1\nAAAA\n\n%b",
        b"old 1\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkax=\n\n%b",
        b"old 1\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw= \n\n%b",
        b"old 1\n" + b"PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n" * 64 + b"\n%b",
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    assert parse_request(b"old 1\n" + b"PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n" * 63 + b"\n" + LOG.head(3))
    assert parse_request(body.replace(b"%b", LOG.head(3))) is None


def test_a_head_may_have_lines_more_but_no_empty_one() -> None:
    plain = parse_head_text(TEXT)
    assert plain
    assert parse_head_text(TEXT + b"more\nand more\n") == plain
    for bad in (
        TEXT[:-1],
        TEXT + b"\n",
        TEXT + b"more",
        TEXT + b"\nmore\n",
        b"",
        b"\n\n\n",
        b"a\n1\n",
        TEXT.replace(b"10", b"010"),
    ):
        assert parse_head_text(bad) is None


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\tb"])
def test_a_name_that_no_line_can_bear_is_refused(name: str) -> None:
    with pytest.raises(EvidenceError, match="cannot be a witness's name"):
        Cosigner(name, signer(1))


def test_a_key_that_is_not_ed25519_cannot_cosign() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from securesystemslib.signer import CryptoSigner

    with pytest.raises(KeyProblem):
        _ = Cosigner("witness", CryptoSigner(ec.generate_private_key(ec.SECP256R1()))).key


def time_of(note: Note, key: VerifierKey) -> float | None:
    at = cosigned_at(note, key)
    return at and at.timestamp()


def _note(text: bytes, lines: bytes) -> Note:
    note = parse_note(text + b"\n" + lines)
    assert note
    return note


def _blob(line: bytes) -> bytes:
    return base64.b64decode(line.split()[-1])
