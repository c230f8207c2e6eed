"""Cosignatures: a witness's word, on a signature line, that a head follows from every head of that log it saw before.

Promises: what is signed is the head's text with the time before it, so neither can be changed alone; a line by another
name or key is nobody's word; a request to a witness has one form only.
Source: C2SP tlog-cosignature (Ed25519, type 0x04), signed-note (verifier keys), tlog-witness (add-checkpoint).
"""

import base64
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from evidence import verify
from evidence.errors import EvidenceError
from evidence.keys import public_key_of
from evidence.log.heads import raw_public
from evidence.verify import (
    COSIGNATURE_NOTE,
    ED25519_NOTE,
    HASH_SIZE,
    Checkpoint,
    Note,
    note_key_id,
    parse_checkpoint,
    parse_decimal,
    parse_hash,
    parse_note,
    unbase64,
)

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so

_MOST_HASHES: Final = 63
_STAMP: Final = struct.Struct(">Q")


@dataclass(frozen=True)
class VerifierKey:
    """A key as signed notes name it: whose, for which type of signature, and its 32 bytes (Ed25519)."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature line names the key."""
        return note_key_id(self.name, self.kind, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_base64(bytes([self.kind]) + self.public)}"


def parse_verifier_key(text: str, kind: int) -> VerifierKey | None:
    """A verifier key (vkey) for this type of signature, `0x01` of a log or `0x04` of a witness, or `None`."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    blob = unbase64(encoded)
    if not is_key_name(name) or blob is None or len(blob) != 1 + HASH_SIZE or blob[0] != kind:
        return None
    key = VerifierKey(name, kind, blob[1:])
    return key if key.key_id.hex() == key_id else None


def is_key_name(name: str) -> bool:
    """Whether a signature line can bear this name."""
    return bool(name) and "+" not in name and name.isprintable() and not any(letter.isspace() for letter in name)


@dataclass(frozen=True)
class Cosigner:
    """Who cosigns: the name on the line, and an Ed25519 key that signs nothing but cosignatures of that name."""

    name: str
    signer: "Signer"

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise EvidenceError(f"{self.name!r} cannot be a witness's name", "use a name like example.org/witness")

    @property
    def key(self) -> VerifierKey:
        """What those pin who ask for the cosignatures. Raises `KeyProblem` for a key other than Ed25519."""
        return VerifierKey(self.name, COSIGNATURE_NOTE, raw_public(public_key_of(self.signer)))

    def cosign(self, text: bytes, at: int) -> bytes:
        """The signature line for a head's text at a time in seconds since 1970, with its newline."""
        signature = bytes.fromhex(self.signer.sign(_cosigned(text, at)).signature)
        return signature_line(self.name, self.key.key_id + _STAMP.pack(at) + signature)


def cosigned_at(note: Note, key: VerifierKey) -> datetime | None:
    """When this witness cosigned the note (UTC); `None` without a line of it, or with a false one."""
    try:
        at = verify.cosigned_at(note.text, note.signatures, verify.Witness(key.name, key.public), verify.default_judge)
    except ValueError:
        return None
    return at if at and at.timestamp() > 0 else None  # a time left out counts for nothing


def signature_line(name: str, blob: bytes) -> bytes:
    """One line of a signed note."""
    return f"\u2014 {name} {_base64(blob)}\n".encode()


def parse_head_text(text: bytes) -> Checkpoint | None:
    """What a head's text says, whatever extension lines it has; `None` when it is no checkpoint."""
    lines = text.split(b"\n")
    if len(lines) < 4 or not all(lines[:-1]) or lines[-1]:
        return None
    return parse_checkpoint(b"\n".join([*lines[:3], b""]))


@dataclass(frozen=True)
class Request:
    """What a witness is asked: the size it saw last, the consistency proof from there, and the head, a signed note."""

    old: int
    proof: tuple[bytes, ...]
    head: bytes

    @property
    def content(self) -> bytes:
        """The request's body."""
        lines = [f"old {self.old}", *map(_base64, self.proof), "\n"]
        return "\n".join(lines).encode() + self.head


def parse_request(content: bytes) -> Request | None:
    """A request of any origin, or `None` when it is not exactly what `Request.content` gives."""
    asked, blank, head = content.partition(b"\n\n")
    try:
        first, *lines = asked.decode("ascii").split("\n")
    except UnicodeDecodeError:
        return None
    old = parse_decimal(first.removeprefix("old ")) if first.startswith("old ") else None
    if not blank or old is None or len(lines) > _MOST_HASHES or parse_note(head) is None:
        return None
    proof = tuple(value for value in map(parse_hash, lines) if value)
    return Request(old, proof, head) if len(proof) == len(lines) else None


def log_key(text: str, origin: str) -> VerifierKey:
    """The verifier key of a log, as configured. Raises `EvidenceError`."""
    key = parse_verifier_key(text, ED25519_NOTE)
    if key is None:
        raise EvidenceError(
            f"{text!r} is no verifier key of the log {origin}", "write it as name+hash+key (signed-note)"
        )
    return key


def _cosigned(text: bytes, at: int) -> bytes:
    return b"cosignature/v1\ntime %d\n%b" % (at, text)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
