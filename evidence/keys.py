"""Keys: an Ed25519 pair in files, its public half pinned by whoever verifies; and public keys of other signers.

Promises: a pair is made once and never replaced, also by two processes at once; the private key is never readable by
others; a key id is the SHA-256 of the public key's DER SubjectPublicKeyInfo, so any tool can compute it.
Source: RFC 8032 (Ed25519); FIPS 186-5 with SHA-256 on P-256 (ECDSA), which key services offer in its place.
"""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from evidence import durable
from evidence.errors import KeyProblem

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, Signer  # type: ignore[attr-defined]  # re-exported without saying so


@dataclass(frozen=True)
class PublicKey:
    """What a verifier pins: Ed25519, or ECDSA on P-256."""

    key: Ed25519PublicKey | ec.EllipticCurvePublicKey

    @property
    def key_id(self) -> str:
        """SHA-256 of the DER SubjectPublicKeyInfo, hex."""
        der = self.key.public_bytes(pem.Encoding.DER, pem.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    @property
    def pem(self) -> bytes:
        """The key as PEM, in its one canonical form."""
        return self.key.public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature over exactly these bytes is this key's; of ECDSA, DER over SHA-256."""
        try:
            if isinstance(self.key, Ed25519PublicKey):
                self.key.verify(signature, message)
            else:
                self.key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    @classmethod
    def from_pem(cls, content: bytes) -> "PublicKey":
        """The key in these bytes of any origin; `ValueError` when they hold none that can seal."""
        try:
            key = pem.load_pem_public_key(content)
        except UnsupportedAlgorithm as error:
            raise ValueError(str(error)) from error
        is_p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
        if isinstance(key, Ed25519PublicKey) or (isinstance(key, ec.EllipticCurvePublicKey) and is_p256):
            return cls(key)
        raise ValueError("neither Ed25519 nor ECDSA on P-256")


def public_path(private: Path) -> Path:
    """Where the public half lies: beside the private one, ending in `.pub`."""
    return private.with_suffix(".pub")


def ensure_key_pair(private: Path) -> PublicKey:
    """The pair at `private` (PEM, PKCS #8, mode 0600); made now if there is none. The public half is written beside."""
    if not private.exists():
        _create(private)
    public = PublicKey(_load_private(private).public_key())
    path = public_path(private)
    if not path.exists() or load_public(path) != public:
        durable.write(path, public.pem)
    return public


def load_signer(private: Path) -> "CryptoSigner":
    """The signer for the private key at this path; its `public_key.keyid` is our key id."""
    from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]  # re-exported without saying so

    key = _load_private(private)
    key_id = PublicKey(key.public_key()).key_id
    return CryptoSigner(key, SSlibKey.from_crypto(key.public_key(), key_id, "ed25519"))


def load_public(path: Path) -> PublicKey:
    """The pinned key in a PEM file. Raises `KeyProblem`: a key that cannot be read verifies nothing."""
    try:
        return PublicKey.from_pem(_read(path))
    except ValueError as error:
        raise KeyProblem(
            f"{path} holds no public key in PEM that can seal: {error}", "pin the .pub file that `evidence key` names"
        ) from error


def public_key_of(signer: "Signer") -> PublicKey:
    """The public half of a signer's key."""
    public = signer.public_key.keyval["public"]
    if public.startswith("-----BEGIN"):
        return PublicKey.from_pem(public.encode())
    return PublicKey(Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)))


def _create(private: Path) -> None:
    key = Ed25519PrivateKey.generate()
    durable.write_once(private, key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()))


def _load_private(path: Path) -> Ed25519PrivateKey:
    content = _read(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyProblem(f"the private key {path} can be read by others", f"chmod 600 {path}, or make a new one")
    try:
        key = pem.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyProblem(f"{path} holds no unencrypted private key in PEM", "name another signing key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyProblem(f"the private key in {path} is not Ed25519", "name another signing key")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyProblem(f"cannot read the key {path}: {error.strerror}", "check the path") from error
