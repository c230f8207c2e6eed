"""The envelope: DSSE signatures around the exact bytes of a statement.

Promises: the bytes that were signed are the bytes that are kept and checked; an envelope has one form only, so a
changed byte anywhere in it fails; the key inside or named by an envelope is never trusted.
Source: secure-systems-lab/dsse, protocol.md and envelope.md. By hand: `openssl pkeyutl -verify -pubin -rawin`
over the pre-authentication encoding.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evidence.errors import EvidenceError, KeyProblem
from evidence.keys import PublicKey, public_key_of
from evidence.statement import canonical, parse_object

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so

PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class Signed:
    """One signature of an envelope, and the id of the key that it names."""

    key_id: str
    signature: bytes


@dataclass(frozen=True)
class Opened:
    """An envelope taken apart; nothing in it is trusted yet."""

    payload: bytes
    signatures: tuple[Signed, ...]
    payload_type: str = PAYLOAD_TYPE

    def is_signed_by(self, key: PublicKey) -> bool:
        """Whether the pinned key signed exactly this payload; others may have signed it too."""
        encoded = pae(self.payload, self.payload_type)
        return any(one.key_id == key.key_id and key.verifies(one.signature, encoded) for one in self.signatures)

    @property
    def key_id(self) -> str:
        """The key that the first signature names."""
        return self.signatures[0].key_id


def sign(payload: bytes, *signers: "Signer", payload_type: str = PAYLOAD_TYPE) -> bytes:
    """The envelope's bytes: canonical JSON, one signature a signer, in their order.

    Raises `KeyProblem` when what a signer gives is not by its public key: a service may name one and use another.
    """
    encoded = pae(payload, payload_type)
    return _write(Opened(payload, tuple(_sign(encoded, signer) for signer in signers), payload_type))


def open_envelope(content: bytes, payload_type: str = PAYLOAD_TYPE) -> Opened | None:
    """The parts of an envelope of any origin, or `None` when it is not exactly what `sign` writes of this type."""
    match parse_object(content):
        case {"payload": str(payload), "payloadType": kind, "signatures": [_, *_] as signatures} if (
            kind == payload_type
        ):
            pass
        case _:
            return None
    try:
        opened = Opened(base64.b64decode(payload, validate=True), tuple(map(_signed, signatures)), payload_type)
        signs_once = len({one.key_id for one in opened.signatures}) == len(opened.signatures)
        return opened if signs_once and _write(opened) == content else None
    except (binascii.Error, ValueError):  # ValueError: not ASCII, a lone surrogate, or no signature at all
        return None


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """DSSE pre-authentication encoding: what the signature is over."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _sign(encoded: bytes, signer: "Signer") -> Signed:
    key = public_key_of(signer)
    try:
        signature = bytes.fromhex(signer.sign(encoded).signature)
    except EvidenceError:
        raise
    except Exception as error:  # each service's library raises its own kinds
        raise KeyProblem(
            f"the signer of key {key.key_id[:16]} did not sign: {error}", "is its service up, and may we use the key?"
        ) from error
    if not key.verifies(signature, encoded):
        raise KeyProblem(
            f"what was signed for key {key.key_id[:16]} is by another key", "name the public key that belongs to it"
        )
    return Signed(key.key_id, signature)


def _signed(found: object) -> Signed:
    match found:
        case {"keyid": str(key_id), "sig": str(signature)}:
            return Signed(key_id, base64.b64decode(signature, validate=True))
    raise ValueError("not a signature")


def _write(opened: Opened) -> bytes:
    return canonical(
        {
            "payload": base64.b64encode(opened.payload).decode(),
            "payloadType": opened.payload_type,
            "signatures": [
                {"keyid": one.key_id, "sig": base64.b64encode(one.signature).decode()} for one in opened.signatures
            ],
        }
    )
