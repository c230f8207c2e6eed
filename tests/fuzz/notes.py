"""Signed notes and what they hold: heads, cosignatures, keys, requests to a witness."""

import functools
from base64 import b64encode
from collections.abc import Sequence

from evidence import verify
from evidence.witness.lines import Request, cosigned_at, parse_head_text, parse_request, parse_verifier_key
from tests.fuzz.target import FalseAccept, Target, is_one_form
from tests.unit.witness_paper import NOON, ORIGIN, PaperLog, cosigner, vectors

LOG = PaperLog()


def _note(content: bytes) -> bool:
    note = verify.parse_note(content)
    return note is not None and is_one_form(content, note.text + b"\n" + _lines(note.signatures))


def _signature_lines(content: bytes) -> bool:
    lines = verify.parse_signature_lines(content)
    return lines is not None and is_one_form(content, _lines(lines))


def _lines(signatures: Sequence[verify.NoteSignature]) -> bytes:
    return b"".join(
        f"\u2014 {one.name} {b64encode(one.key_id + one.signature).decode()}\n".encode() for one in signatures
    )


def _checkpoint(content: bytes) -> bool:
    found = verify.parse_checkpoint(content)
    return found is not None and is_one_form(content, _three_lines(found))


def _head_text(content: bytes) -> bool:
    found = parse_head_text(content)
    if found is None:
        return False
    if not content.startswith(_three_lines(found)) or b"\n\n" in content or not content.endswith(b"\n"):
        raise FalseAccept(f"taken: {content!r}")
    return True


def _head_texts() -> list[bytes]:
    return [LOG.head(3).rpartition(b"\n\n")[0] + more for more in (b"\n", b"\na\nb\n")]


def _three_lines(found: verify.Checkpoint) -> bytes:
    return f"{found.origin}\n{found.size}\n{b64encode(found.root).decode()}\n".encode()


@functools.cache
def _signed_texts() -> frozenset[bytes]:
    return frozenset(LOG.head(size).rpartition(b"\n\n")[0] + b"\n" for size in range(41))


def _signed_note(content: bytes) -> bool:
    """Bytes that pass for a head of the log must say what the log signed."""
    note, key = verify.parse_note(content), parse_verifier_key(LOG.key, verify.ED25519_NOTE)
    if note is None or key is None or not verify.note_signed_by(note, ORIGIN, key.public):
        return False
    if note.text not in _signed_texts():
        raise FalseAccept(f"the log never signed {note.text!r}")
    return True


def _cosigned_note(content: bytes) -> bool:
    note = verify.parse_note(content)
    at = cosigned_at(note, cosigner().key) if note else None
    if note is None or at is None:
        return False
    if note.text not in _signed_texts() or at != NOON:
        raise FalseAccept(f"the witness never cosigned {note.text!r} at {at}")
    return True


def _cosigned_heads() -> list[bytes]:
    heads = [LOG.head(size) for size in (0, 3, 40)]
    return [head + cosigner().cosign(head.rpartition(b"\n\n")[0] + b"\n", int(NOON.timestamp())) for head in heads]


def _verifier_key(content: bytes) -> bool:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return False
    found = [key for kind in (1, 4) if (key := parse_verifier_key(text, kind))]
    witness = verify.parse_vkey(text)
    if witness and not any((key.name, key.public) == (witness.name, witness.public) for key in found):
        return is_one_form(text.strip().encode(), _key_of(witness))
    return bool(found) and is_one_form(content, str(found[0]).encode())


def _key_of(witness: verify.Witness) -> bytes:
    key_id = verify.note_key_id(witness.name, 4, witness.public)
    return f"{witness.name}+{key_id.hex()}+{b64encode(bytes([4]) + witness.public).decode()}".encode()


def _request(content: bytes) -> bool:
    found = parse_request(content)
    return found is not None and is_one_form(content, found.content)


TARGETS = (
    Target("note", _note, lambda: [LOG.head(3), vectors("c2sp")["note"].encode(), *_cosigned_heads()]),
    Target("signature-lines", _signature_lines, lambda: [head.rpartition(b"\n\n")[2] for head in _cosigned_heads()]),
    Target("checkpoint", _checkpoint, lambda: [LOG.head(size).rpartition(b"\n\n")[0] + b"\n" for size in (0, 3)]),
    Target(
        "head-text", _head_text, lambda: [LOG.head(3).rpartition(b"\n\n")[0] + more for more in (b"\n", b"\na\nb\n")]
    ),
    Target("signed-note", _signed_note, lambda: [LOG.head(3), *_cosigned_heads()]),
    Target("cosigned-note", _cosigned_note, _cosigned_heads),
    Target("verifier-key", _verifier_key, lambda: [LOG.key.encode(), str(cosigner().key).encode()]),
    Target("witness-request", _request, lambda: [Request(3, LOG.consistency(3, 40), LOG.head(40)).content]),
)
