"""A log on paper: its entries, heads, proofs and keys, for whoever plays a witness or asks one."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from evidence.keys import public_key_of
from evidence.log.heads import make_head, raw_public
from evidence.log.tree import consistency_proof
from evidence.verify import ED25519_NOTE, leaf_hash, root_of
from evidence.witness import Cosigner, VerifierKey

ORIGIN = "example.org/evidence"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def vectors(name: str) -> Any:
    """Published vectors."""
    return json.loads((Path(__file__).parents[1] / "golden" / "witness" / f"{name}.json").read_text())


def signer(seed: int | bytes) -> CryptoSigner:
    """An Ed25519 key that is the same for the same seed."""
    raw = seed if isinstance(seed, bytes) else bytes([seed]) * 32
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(raw))


def cosigner(name: str = "example.org/witness", seed: int | bytes = 200) -> Cosigner:
    """A witness's key and name."""
    return Cosigner(name, signer(seed))


@dataclass
class PaperLog:
    """A log whose entries are numbers; `fork` makes another history of it, signed with the same key."""

    origin: str = ORIGIN
    seed: int = 7
    entries: list[bytes] = field(default_factory=lambda: [b"%d" % number for number in range(40)])

    @property
    def key(self) -> str:
        """Its verifier key."""
        return str(VerifierKey(self.origin, ED25519_NOTE, raw_public(public_key_of(signer(self.seed)))))

    def root(self, size: int) -> bytes:
        """The root over the first entries."""
        return root_of(map(leaf_hash, self.entries[:size]))

    def head(self, size: int) -> bytes:
        """The signed head of this size."""
        return make_head(self.origin, size, self.root(size), signer(self.seed)).content

    def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        """The consistency proof between two sizes."""

        def hash_at(height: int, index: int) -> bytes:
            return root_of(map(leaf_hash, self.entries[index << height : (index + 1) << height]))

        return consistency_proof(old, size, hash_at)

    def fork(self, at: int) -> "PaperLog":
        """The same up to entry `at`, and others from there on."""
        return PaperLog(
            self.origin, self.seed, self.entries[:at] + [b"other %b" % entry for entry in self.entries[at:]]
        )
