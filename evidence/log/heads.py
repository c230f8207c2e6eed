"""Heads: the size and the root hash of a log, signed.

Promises: a head has one signature, Ed25519, and no line but the three of a checkpoint; the same size and root signed
by the same key are the same bytes.
Source: C2SP signed-note, tlog-checkpoint; RFC 8032.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from evidence.errors import EvidenceError, KeyProblem
from evidence.keys import PublicKey, public_key_of
from evidence.log.shelf import LOG
from evidence.log.tree import EMPTY_ROOT
from evidence.verify import ED25519_NOTE, Checkpoint, note_key_id, note_signed_by, parse_checkpoint, parse_note

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so

HEADS: Final = f"{LOG}heads/"


@dataclass(frozen=True)
class Head:
    """A head: its bytes, and what they say. The empty log has none: then there are no bytes."""

    content: bytes
    checkpoint: Checkpoint

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.checkpoint.origin

    @property
    def size(self) -> int:
        """How many entries the log has."""
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        """Their root hash, 32 bytes."""
        return self.checkpoint.root

    def is_signed_by(self, keys: Iterable[PublicKey]) -> bool:
        """Whether the one signature is by one of these keys, under the log's name."""
        note = parse_note(self.content)
        return note is not None and any(note_signed_by(note, self.origin, raw_public(key)) for key in keys)


def head_key(size: int) -> str:
    """Where the head of this size is kept: padded, so that the newest is the last by name."""
    return f"{HEADS}{size:020d}"


def no_head(origin: str) -> Head:
    """What stands for a head while the log is empty."""
    return Head(b"", Checkpoint(origin, 0, EMPTY_ROOT))


def make_head(origin: str, size: int, root: bytes, signer: "Signer") -> Head:
    """Sign a head; the key is Ed25519, the name one that `assert_name` lets pass."""
    checkpoint = Checkpoint(origin, size, root)
    return Head(sign_note(checkpoint_text(checkpoint), origin, signer), checkpoint)


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """The three lines that a head signs."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{base64.b64encode(checkpoint.root).decode()}\n"


def sign_note(text: str, name: str, signer: "Signer") -> bytes:
    """The text, which ends with a newline, and one signature under it."""
    key_id = note_key_id(name, ED25519_NOTE, raw_public(public_key_of(signer)))
    blob = key_id + bytes.fromhex(signer.sign(text.encode()).signature)
    return f"{text}\n\u2014 {name} {base64.b64encode(blob).decode()}\n".encode()


def parse_head(content: bytes) -> Head | None:
    """A head of any origin, not trusted yet; `None` when it is not what `make_head` could have made."""
    note = parse_note(content)
    checkpoint = parse_checkpoint(note.text) if note else None
    if note is None or checkpoint is None or [line.name for line in note.signatures] != [checkpoint.origin]:
        return None
    return Head(content, checkpoint)


def assert_name(origin: str) -> None:
    """Raises `EvidenceError` for a name that no log can have: it stands in lines, between spaces."""
    if not origin or any(letter.isspace() or letter < " " or letter == "+" for letter in origin):
        raise EvidenceError(
            f"{origin!r} cannot be a log's name", "use a name like example.org/evidence, without spaces"
        )


def raw_public(key: PublicKey) -> bytes:
    """The 32 bytes of an Ed25519 key. Raises `KeyProblem` for another kind: heads are signed by no other."""
    if not isinstance(key.key, Ed25519PublicKey):
        raise KeyProblem(f"the key {key.key_id[:16]} is not Ed25519", "give the log an Ed25519 key of its own")
    return key.key.public_bytes_raw()
