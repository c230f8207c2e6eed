"""Statement and envelope: exact bytes, one form, one key; checked by stock tools too."""

import base64
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope

from evidence.envelope import PAYLOAD_TYPE, open_envelope, pae, sign
from evidence.errors import SealError
from evidence.keys import PublicKey, ensure_key_pair, load_signer
from evidence.statement import predicate_of, statement, subjects_of

PAYLOAD = statement({"data/b": "b" * 64, "data/a": "a" * 64}, {"verdict": "pass", "run": "r1"})


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "signing.pem"
    ensure_key_pair(path)
    return path


@pytest.fixture(scope="module")
def key(private: Path) -> PublicKey:
    return ensure_key_pair(private)


@pytest.fixture(scope="module")
def sealed(private: Path) -> bytes:
    return sign(PAYLOAD, load_signer(private))


def test_the_statement_is_in_toto_in_canonical_bytes() -> None:
    assert PAYLOAD == (
        b'{"_type":"https://in-toto.io/Statement/v1","predicate":{"run":"r1","verdict":"pass"},'
        b'"predicateType":"urn:muster:drill-run:v1","subject":['
        b'{"digest":{"sha256":"' + b"a" * 64 + b'"},"name":"data/a"},'
        b'{"digest":{"sha256":"' + b"b" * 64 + b'"},"name":"data/b"}]}'
    )
    assert subjects_of(PAYLOAD) == {"data/a": "a" * 64, "data/b": "b" * 64}
    assert predicate_of(PAYLOAD) == {"verdict": "pass", "run": "r1"}


@pytest.mark.parametrize("value", [2**53, float("nan"), object()])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(SealError, match="canonical JSON"):
        statement({}, {"value": value})


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000, b'{"predicateType":"urn:other","predicate":{}}'])
def test_bytes_of_any_origin_are_no_statement(content: bytes) -> None:
    assert predicate_of(content) is None
    assert subjects_of(content) == {}


def test_the_pinned_key_verifies_and_another_does_not(sealed: bytes, key: PublicKey, tmp_path: Path) -> None:
    opened = open_envelope(sealed)
    assert opened is not None
    assert opened.payload == PAYLOAD
    assert opened.is_signed_by(key)
    assert not opened.is_signed_by(ensure_key_pair(tmp_path / "other.pem"))


def test_stock_openssl_verifies_the_envelope(sealed: bytes, private: Path, tmp_path: Path) -> None:
    envelope = json.loads(sealed)
    payload = base64.b64decode(envelope["payload"])
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    (tmp_path / "pae").write_bytes(pae(payload))
    (tmp_path / "bad").write_bytes(pae(payload + b" "))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(private.with_suffix(".pub")), "-rawin"]
    command += ["-sigfile", str(tmp_path / "signature"), "-in"]
    good = subprocess.run([*command, str(tmp_path / "pae")], capture_output=True, timeout=30)
    bad = subprocess.run([*command, str(tmp_path / "bad")], capture_output=True, timeout=30)
    assert b"Signature Verified Successfully" in good.stdout
    assert good.returncode == 0
    assert bad.returncode != 0


def test_securesystemslib_verifies_the_envelope(sealed: bytes, private: Path) -> None:
    envelope = Envelope.from_dict(json.loads(sealed))
    public = load_signer(private).public_key
    assert envelope.payload_type == PAYLOAD_TYPE
    assert envelope.verify([public], 1) == {public.keyid: public}


def test_every_changed_byte_fails(sealed: bytes, key: PublicKey) -> None:
    for position in range(len(sealed)):
        for flip in (0x01, 0x20, 0xFF):
            changed = bytearray(sealed)
            changed[position] ^= flip
            opened = open_envelope(bytes(changed))
            assert opened is None or not opened.is_signed_by(key), (position, flip)


def test_another_form_of_the_same_envelope_fails(sealed: bytes) -> None:
    content = json.loads(sealed)
    assert open_envelope(sealed) is not None
    twice = content | {"signatures": content["signatures"] * 2}
    for other in (content | {"more": 1}, twice, content | {"signatures": []}, content | {"payloadType": "text/plain"}):
        assert open_envelope(json.dumps(other, separators=(",", ":"), sort_keys=True).encode()) is None
    assert open_envelope(json.dumps(content).encode()) is None
    assert open_envelope(sealed + b"\n") is None


@settings(deadline=None)
@given(
    st.binary()
    | st.recursive(
        st.none() | st.text() | st.integers(),
        lambda c: (
            st.lists(c) | st.dictionaries(st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig"]), c)
        ),
    ).map(lambda v: json.dumps(v).encode())
)
def test_no_input_raises(content: bytes) -> None:
    assert open_envelope(content) is None
