"""Signers from outside: each error says the next move; what another key signed is refused; AWS by its API model."""

import hashlib
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from evidence.envelope import open_envelope, pae, sign
from evidence.errors import KeyProblem
from evidence.keys import PublicKey, ensure_key_pair, load_signer
from evidence.signers import Place, open_signer
from evidence.statement import statement

PAYLOAD = statement({"data/a": "a" * 64}, {"run": "r1"})
KEY_ID = "alias/muster"


@pytest.fixture
def private() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Any:
    client = boto3.client("kms", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    monkeypatch.setattr(boto3, "client", lambda name: client if name == "kms" else None)
    with Stubber(client) as stubber:
        yield stubber


def expect_sign(service: Any, by: ec.EllipticCurvePrivateKey) -> None:
    digest = hashlib.sha256(pae(PAYLOAD)).digest()
    service.add_response(
        "sign",
        {"KeyId": KEY_ID, "Signature": by.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))},
        {"KeyId": KEY_ID, "Message": digest, "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"},
    )


def test_a_key_service_signs(service: Any, private: ec.EllipticCurvePrivateKey) -> None:
    expect_sign(service, private)
    public = PublicKey(private.public_key())
    opened = open_envelope(sign(PAYLOAD, open_signer(Place(f"awskms:{KEY_ID}", public))))
    assert opened is not None
    assert opened.is_signed_by(public)
    service.assert_no_pending_responses()


def test_what_another_key_signed_is_refused(service: Any, private: ec.EllipticCurvePrivateKey) -> None:
    expect_sign(service, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(KeyProblem, match="by another key"):
        sign(PAYLOAD, open_signer(Place(f"awskms:{KEY_ID}", PublicKey(private.public_key()))))


def test_a_service_that_refuses_is_said_so(service: Any, private: ec.EllipticCurvePrivateKey) -> None:
    service.add_client_error("sign", "AccessDeniedException", "not you")
    with pytest.raises(KeyProblem, match="did not sign"):
        sign(PAYLOAD, open_signer(Place(f"awskms:{KEY_ID}", PublicKey(private.public_key()))))


@pytest.mark.parametrize("uri", ["", "signing.pem", "file:/tmp/signing.pem", "ftp:x"])
def test_a_uri_that_names_no_signer_is_refused(uri: str, private: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(KeyProblem, match="names no signer"):
        open_signer(Place(uri, PublicKey(private.public_key())))


@pytest.mark.parametrize("scheme", ["gcpkms:projects/p", "azurekms://vault.example/keys/k/1", "hv:key/1"])
def test_a_library_that_is_missing_is_said_so(scheme: str, private: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(KeyProblem) as caught:
        open_signer(Place(scheme, PublicKey(private.public_key())))
    assert caught.value.advice


def test_a_key_in_a_file_signs_what_its_public_half_verifies(tmp_path: Path) -> None:
    public = ensure_key_pair(tmp_path / "signing.pem")
    opened = open_envelope(sign(PAYLOAD, load_signer(tmp_path / "signing.pem")))
    assert opened is not None
    assert opened.is_signed_by(public)
