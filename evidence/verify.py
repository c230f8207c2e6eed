#!/usr/bin/env python3
"""The verifier: one file that checks what Muster sealed, offline, with a pinned key and nothing else of Muster.

Promises: it needs Python 3.9 or newer, and `cryptography` or the command `openssl`; a key inside what is checked is
never trusted; hostile input is a failed check, never an exception, never a hang; every check is listed, also one
that could not be made.
Source: docs/evidence-format.md; RFC 6962, RFC 9162 (2.1.3.2, 2.1.4.2); C2SP signed-note, tlog-checkpoint, tlog-proof,
tlog-tiles.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import re
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:  # then the command does it
    HAS_CRYPTOGRAPHY = False
else:
    HAS_CRYPTOGRAPHY = True

# --- Keys -----------------------------------------------------------------------------------------------------------
# A public key is its DER SubjectPublicKeyInfo. Two forms exist, told apart by the fixed bytes they begin with (RFC
# 8410, RFC 5480), so that no ASN.1 is read here. Two judges of a signature exist; either is enough.

ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")
"""Then follow the 32 bytes of the key."""
P256_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
"""Then follow the 65 bytes of an uncompressed point."""

Judge = Callable[[bytes, bytes, bytes], bool]
"""Whether a signature over a message is right: key (DER), signature, message."""


def judge_by_cryptography(der: bytes, signature: bytes, message: bytes) -> bool:
    """Ed25519 (RFC 8032), or ECDSA on P-256 with SHA-256, by the Python package `cryptography`."""
    try:
        key = serialization.load_der_public_key(der)
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def judge_by_openssl(der: bytes, signature: bytes, message: bytes) -> bool:
    """The same by the command: `openssl pkeyutl -verify -pubin -rawin`."""
    with tempfile.TemporaryDirectory(prefix="verify-") as name:
        folder = Path(name)
        for file, content in (("key", der), ("sig", signature), ("message", message)):
            (folder / file).write_bytes(content)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-keyform", "DER", "-inkey", "key"]
        if der.startswith(P256_PREFIX):
            command += ["-digest", "sha256"]
        command += ["-sigfile", "sig", "-in", "message"]
        return subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False).returncode == 0


DEFAULT_JUDGE: Judge = judge_by_cryptography if HAS_CRYPTOGRAPHY else judge_by_openssl

# --- Base64 ---------------------------------------------------------------------------------------------------------


def unbase64(text: str) -> bytes | None:
    """The bytes, if `text` is their one canonical form: Python's decoder lets bits in the last letter pass."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if base64.b64encode(content).decode() == text else None


# --- Merkle tree (RFC 6962) -----------------------------------------------------------------------------------------
# Leaf and node hashes begin with different bytes, so that no node can pass for a leaf.

HASH_SIZE = 32
LARGEST_SIZE = (1 << 63) - 1


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry's bytes."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """The root over leaves that come one by one: keeps a hash for each set bit of the size, so memory is flat."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Take the next leaf hash."""
        self._peaks.append(leaf)
        size = self.size
        while size & 1:  # two trees of one height become one
            right = self._peaks.pop()
            self._peaks.append(node_hash(self._peaks.pop(), right))
            size >>= 1
        self.size += 1

    def root(self) -> bytes:
        """The root now; of no leaf at all, the hash of nothing."""
        if not self._peaks:
            return hashlib.sha256(b"").digest()
        return functools.reduce(lambda right, left: node_hash(left, right), reversed(self._peaks))


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """The root of the tree with these leaf hashes."""
    tree = Tree()
    for leaf in leaf_hashes:
        tree.append(leaf)
    return tree.root()


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof leads from the leaf hash at `index` to the root of the tree of `size` leaves.

    Source: RFC 9162, 2.1.3.2; `node` and `last` are its fn and sn.
    """
    if not 0 <= index < size <= LARGEST_SIZE or not _are_hashes(leaf, root, *proof):
        return False
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            node, last = _skip_missing_siblings(node, last)
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the tree of `old` leaves is the beginning of the tree of `new` leaves.

    Source: RFC 9162, 2.1.4.2. Beside it: the same size needs the same root and no proof, and the empty tree is the
    beginning of every tree.
    """
    if not 0 <= old <= new <= LARGEST_SIZE or not _are_hashes(old_root, new_root, *proof):
        return False
    if old in (0, new):
        return not proof and old_root == (new_root if old == new else Tree().root())
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    return bool(path) and _roots_by(path, old - 1, new - 1) == (old_root, new_root)


def _roots_by(path: Sequence[bytes], node: int, last: int) -> tuple[bytes, bytes] | None:
    """The roots of the old and of the new tree to which a consistency proof leads."""
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            node, last = _skip_missing_siblings(node, last)
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return (old, new) if last == 0 else None


def _skip_missing_siblings(node: int, last: int) -> tuple[int, int]:
    """At the right edge some levels have no sibling: go up to where the node is a right child."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_SIZE for value in values)


# --- Notes, checkpoints, proofs (C2SP) ------------------------------------------------------------------------------

LARGEST_NOTE = 1 << 20
MOST_SIGNATURES = 100
ED25519_NOTE = 0x01

_SIGNATURE_LINE = re.compile("\u2014 ([^ +]+) ([A-Za-z0-9+/]+={0,2})")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_PROOF_HEADER = "c2sp.org/tlog-proof@v1"
_MOST_PROOF_HASHES = 63


@dataclass(frozen=True)
class NoteSignature:
    """One signature line: who says it, the first four bytes of the key's hash, and what the key signed."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Note:
    """A signed note taken apart; nothing in it is trusted yet. The text ends with its newline."""

    text: bytes
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A tree head: the log's name, how many entries it has, and their root hash."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True)
class TlogProof:
    """An entry's place in a log: its index, the inclusion proof, the signed head, and the entry itself if given."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""


def parse_note(content: bytes) -> Note | None:
    """A signed note of any origin, or `None`. Source: C2SP signed-note."""
    if len(content) > LARGEST_NOTE or not content.endswith(b"\n"):
        return None
    try:
        whole = content.decode()
    except UnicodeDecodeError:
        return None
    text, blank, lines = whole[:-1].rpartition("\n\n")
    if not blank or any(letter < " " and letter != "\n" for letter in whole):
        return None
    signatures = tuple(map(_parse_signature, lines.split("\n")[: MOST_SIGNATURES + 1]))
    if len(signatures) > MOST_SIGNATURES:
        return None
    known = tuple(signature for signature in signatures if signature)
    return Note(f"{text}\n".encode(), known) if len(known) == len(signatures) else None


def _parse_signature(line: str) -> NoteSignature | None:
    match = _SIGNATURE_LINE.fullmatch(line)
    blob = unbase64(match[2]) if match else None
    if match is None or blob is None or len(blob) < 5 or any(letter.isspace() for letter in match[1]):
        return None
    return NoteSignature(match[1], blob[:4], blob[4:])


def parse_checkpoint(text: bytes) -> Checkpoint | None:
    """A checkpoint in the text of a note, without extension lines, or `None`. Source: C2SP tlog-checkpoint."""
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError:
        return None
    if len(lines) != 4 or lines[3] or not lines[0]:
        return None
    size, root = parse_decimal(lines[1]), parse_hash(lines[2])
    return None if size is None or root is None else Checkpoint(lines[0], size, root)


def note_key_id(name: str, kind: int, public: bytes) -> bytes:
    """The four bytes by which a signature line names its key; `kind` is the signature's type."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def note_signed_by(note: Note, name: str, public: bytes, judge: Judge = DEFAULT_JUDGE) -> bool:
    """Whether the note has a signature of type 0x01 (Ed25519) by this name and key (32 bytes), and no bad one."""
    key_id = note_key_id(name, ED25519_NOTE, public)
    ours = [line.signature for line in note.signatures if (line.name, line.key_id) == (name, key_id)]
    return bool(ours) and all(judge(ED25519_PREFIX + public, signature, note.text) for signature in ours)


def parse_tlog_proof(content: bytes) -> TlogProof | None:
    """A `.tlog-proof` of any origin, or `None`. Source: C2SP tlog-proof."""
    head, blank, checkpoint = content.partition(b"\n\n")
    if not blank or len(head) > LARGEST_NOTE or parse_note(checkpoint) is None:
        return None
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        return None
    extra: bytes | None = b""
    if len(lines) > 1 and lines[1].startswith("extra "):
        extra = unbase64(lines.pop(1)[len("extra ") :]) or None  # no extra data has no line
    if len(lines) < 2 or lines[0] != _PROOF_HEADER or not lines[1].startswith("index ") or extra is None:
        return None
    index, found = parse_decimal(lines[1][len("index ") :]), [parse_hash(line) for line in lines[2:]]
    proof = tuple(value for value in found if value)
    if index is None or len(proof) != len(found) or len(proof) > _MOST_PROOF_HASHES:
        return None
    return TlogProof(index, proof, checkpoint, extra)


def parse_entry_bundle(content: bytes) -> tuple[bytes, ...] | None:
    """The entries of an entry bundle, each behind its length in 16 bits, or `None`. Source: C2SP tlog-tiles."""
    entries, at = [], 0
    while at < len(content):
        if len(content) < at + 2:
            return None
        (length,) = struct.unpack_from(">H", content, at)
        at += 2 + length
        if at > len(content):
            return None
        entries.append(content[at - length : at])
    return tuple(entries)


def parse_decimal(text: str) -> int | None:
    """A number below 2**63 as ASCII decimal without leading zeros."""
    number = int(text) if _DECIMAL.fullmatch(text) else None
    return number if number is not None and number <= LARGEST_SIZE else None


def parse_hash(text: str) -> bytes | None:
    """A hash in base64."""
    value = unbase64(text)
    return value if value is not None and len(value) == HASH_SIZE else None
