"""The envelope: a DSSE signature around the exact bytes of a statement.

Promises: the bytes that were signed are the bytes that are kept and checked; an envelope has one form only, so a
changed byte anywhere in it fails; the key inside or named by an envelope is never trusted.
Source: secure-systems-lab/dsse, protocol.md and envelope.md. By hand: `openssl pkeyutl -verify -pubin -rawin`
over the pre-authentication encoding.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evidence.keys import PublicKey, public_key_of
from evidence.statement import canonical, parse_object

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so

PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class Opened:
    """An envelope taken apart; nothing in it is trusted yet."""

    payload: bytes
    key_id: str
    signature: bytes

    def is_signed_by(self, key: PublicKey) -> bool:
        """Whether the pinned key, and no other, signed exactly this payload."""
        return self.key_id == key.key_id and key.verifies(self.signature, pae(self.payload))


def sign(payload: bytes, signer: "Signer") -> bytes:
    """The envelope's bytes: canonical JSON, one signature."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    signature = envelope.sign(signer)
    return _write(Opened(payload, public_key_of(signer).key_id, bytes.fromhex(signature.signature)))


def open_envelope(content: bytes) -> Opened | None:
    """The parts of an envelope of any origin, or `None` when it is not exactly what `sign` writes."""
    match parse_object(content):
        case {"payload": str(payload), "signatures": [{"keyid": str(key_id), "sig": str(signature)}]}:
            pass
        case _:
            return None
    try:
        opened = Opened(base64.b64decode(payload, validate=True), key_id, base64.b64decode(signature, validate=True))
        return opened if _write(opened) == content else None
    except (binascii.Error, ValueError):  # ValueError: not ASCII, or a lone surrogate
        return None


def pae(payload: bytes) -> bytes:
    """DSSE pre-authentication encoding: what the signature is over."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _write(opened: Opened) -> bytes:
    return canonical(
        {
            "payload": base64.b64encode(opened.payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": opened.key_id, "sig": base64.b64encode(opened.signature).decode()}],
        }
    )
