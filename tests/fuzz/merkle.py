"""Proofs of a Merkle tree, and the files that hold them."""

import functools
import struct
from base64 import b64encode

from evidence import verify
from evidence.log.tree import inclusion_proof
from tests.fuzz.target import FalseAccept, Target, is_one_form
from tests.unit.witness_paper import PaperLog

LOG = PaperLog()


def _tlog_proof(content: bytes) -> bool:
    found = verify.parse_tlog_proof(content)
    if found is None:
        return False
    lines = ["c2sp.org/tlog-proof@v1", *([f"extra {b64encode(found.extra).decode()}"] if found.extra else [])]
    lines += [f"index {found.index}", *(b64encode(one).decode() for one in found.hashes), "", ""]
    return is_one_form(content, "\n".join(lines).encode() + found.checkpoint)


def _tlog_proofs() -> list[bytes]:
    hashes = "".join(f"{b64encode(one).decode()}\n" for one in LOG.consistency(3, 40))
    return [
        f"c2sp.org/tlog-proof@v1\nextra YWJj\nindex 3\n{hashes}\n".encode() + LOG.head(40),
        b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + LOG.head(1),
    ]


def _entry_bundle(content: bytes) -> bool:
    found = verify.parse_entry_bundle(content)
    return found is not None and is_one_form(content, b"".join(struct.pack(">H", len(e)) + e for e in found))


def _consistency(content: bytes) -> bool:
    """Sizes, whether the new root is that of a fork, and a proof: only the true history may follow."""
    old, new, forked = content[0] % 41, content[1] % 41, content[2] % 2
    log = LOG.fork(5) if forked else LOG
    rest = content[3:]
    proof = [rest[at : at + 32] for at in range(0, len(rest), 32)]
    if not verify.check_consistency(old, new, _root(LOG, old), _root(log, new), proof):
        return False
    if old > new or (forked and old > 5):
        raise FalseAccept(f"{old} entries are not the beginning of {new}")
    return is_one_form(rest, b"".join(log.consistency(old, new)))


def _consistencies() -> list[bytes]:
    return [
        bytes([old, new, 0]) + b"".join(LOG.consistency(old, new)) for old, new in ((0, 3), (3, 3), (4, 7), (6, 40))
    ]


@functools.cache
def _roots(entries: tuple[bytes, ...]) -> tuple[bytes, ...]:
    hashes = [verify.leaf_hash(entry) for entry in entries]
    return tuple(verify.root_of(hashes[:size]) for size in range(len(hashes) + 1))


def _root(log: PaperLog, size: int) -> bytes:
    return _roots(tuple(log.entries))[size]


def _inclusion(content: bytes) -> bool:
    """An index, a size, the entry's number, and a proof: an entry may stand in its own place alone."""
    index, size, number = content[0], content[1] % 41, content[2] % 40
    proof = [content[at : at + 32] for at in range(3, len(content), 32)]
    leaf = verify.leaf_hash(LOG.entries[number])
    if not verify.check_inclusion(index, size, leaf, proof, _root(LOG, size)):
        return False
    if index != number:
        raise FalseAccept(f"entry {number} is not at {index}")
    return is_one_form(content[3:], b"".join(inclusion_proof(index, size, _hash_at)))


def _inclusions() -> list[bytes]:
    places = ((0, 1), (3, 7), (39, 40))
    return [bytes([at, size, at]) + b"".join(inclusion_proof(at, size, _hash_at)) for at, size in places]


def _hash_at(height: int, index: int) -> bytes:
    return verify.root_of(map(verify.leaf_hash, LOG.entries[index << height : (index + 1) << height]))


TARGETS = (
    Target("tlog-proof", _tlog_proof, _tlog_proofs),
    Target("entry-bundle", _entry_bundle, lambda: [b"", b"\0\1a\0\0\0\2bc"]),
    Target("consistency", lambda content: len(content) > 2 and _consistency(content), _consistencies),
    Target("inclusion", lambda content: len(content) > 2 and _inclusion(content), _inclusions),
)
