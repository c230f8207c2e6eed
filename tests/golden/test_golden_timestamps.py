"""Time-stamps as published, and one of ours kept as it was: what verified once verifies for ever."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.x509 import Certificate, load_pem_x509_certificates

from evidence.timestamps import TokenRefused, check
from evidence.verify import time_of_token

FOLDER = Path(__file__).parent / "timestamps"
OURS, HEAD = (FOLDER / "openssl.tsr").read_bytes(), (FOLDER / "openssl.head").read_bytes()


def pinned(name: str) -> tuple[Certificate, ...]:
    return tuple(load_pem_x509_certificates((FOLDER / f"{name}.pem").read_bytes()))


def test_a_published_one_verifies_at_its_time() -> None:
    at = check((FOLDER / "sigstore.tsr").read_bytes(), b"hello", pinned("sigstore"))
    assert at == datetime(2025, 5, 9, 11, 58, 55, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "why"),
    [("sigstore-false", "failure"), ("sigstore-uncertified", "Certificates neither"), ("sigstore-sha512", "SHA-256")],
)
def test_published_ones_that_do_not_hold_are_refused(name: str, why: str) -> None:
    with pytest.raises(TokenRefused, match=why):
        check((FOLDER / f"{name}.tsr").read_bytes(), b"hello", pinned("sigstore"))


def test_ours_verifies_for_ever() -> None:
    assert check(OURS, HEAD, pinned("openssl")).date() == datetime(2026, 11, 26, tzinfo=UTC).date()


@pytest.mark.parametrize(("name", "head"), [("openssl", HEAD), ("sigstore", b"hello")])
def test_the_verifier_that_auditors_have_takes_them_too(name: str, head: bytes) -> None:
    token, certificates = (FOLDER / f"{name}.tsr").read_bytes(), (FOLDER / f"{name}.pem").read_bytes()
    assert time_of_token(token, head, certificates) == check(token, head, pinned(name))


def test_ours_is_of_no_other_head_and_by_no_other_authority() -> None:
    with pytest.raises(TokenRefused, match="Mismatch"):
        check(OURS, HEAD + b"\n", pinned("openssl"))
    with pytest.raises(TokenRefused, match="issuer"):
        check(OURS, HEAD, pinned("sigstore"))
    with pytest.raises(TokenRefused):
        check(OURS, HEAD, ())
