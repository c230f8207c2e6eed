"""The vault: the reading side of a store of evidence, for whoever holds a pinned key.

Promises: a log is read only under a keyring that admits the pinned key, and only as far as its signed head proves it;
nothing is written; what is pulled is what its entry names, byte for byte.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from evidence import durable
from evidence.errors import EvidenceError, KeyProblem
from evidence.keyring import Action, Keyring, Role
from evidence.keys import PublicKey
from evidence.log import Entry, Reader, View, parse_head
from evidence.notary import origin_of, proof_key, read_keyring
from evidence.receipts import receipt_key
from evidence.stores import Store
from evidence.verify import parse_tlog_proof


@dataclass(frozen=True)
class Vault:
    """A store whose keyring admits the pinned key."""

    store: Store
    keyring: Keyring
    origin: str

    @classmethod
    def open(cls, store: Store, pinned: PublicKey, origin: str = "") -> "Vault":
        """Raises `EvidenceError` when nothing was entered there, `KeyProblem` when it was for another key."""
        keyring = read_keyring(store)
        if keyring is None:
            raise EvidenceError(f"{store.where} holds no log yet", "run a drill: what it seals is entered there")
        known = {one.key.key_id: one.action for one in keyring.statements}
        if known.get(pinned.key_id) not in {Action.ADMIT, Action.RETIRE}:
            raise KeyProblem(
                f"the keyring in {store.where} does not admit the pinned key {pinned.key_id[:16]}, or revokes it",
                "pin the key of whoever sealed there, got by another road than the store",
            )
        return cls(store, keyring, origin or origin_of(keyring))

    @cached_property
    def view(self) -> View:
        """The log under its newest head. Raises `ForkAlarm` when the store does not fit it."""
        return Reader(self.store, self.origin, self._keys(Role.LOG), lambda: self.keys_now(Role.LOG)).view()

    def keys_now(self, role: Role) -> tuple[PublicKey, ...]:
        """The keys that were ever admitted for this, also since the vault was opened."""
        return replace(self, keyring=read_keyring(self.store) or self.keyring)._keys(role)

    def entries(self, wanted: Callable[[Entry], bool] = lambda _: True) -> Iterator[Entry]:
        """What is in the log, the oldest first."""
        return filter(wanted, self.view.entries())

    def pull(self, entry: Entry, folder: Path) -> Iterator[tuple[Path, bool]]:
        """Bring a bundle, its receipt and its proof below `folder`, as the store has them.

        Yields each file, and whether it was brought now: what is there already, whole, is not brought again. A proof
        under a head whose key was ended before that head is made anew. Raises `EvidenceError` when the store gives
        other bytes than the entry names.
        """
        bundle = entry.fields["bundle"]
        key = str(bundle["key"])
        for name, sha256 in ((key, bundle["sha256"]), (receipt_key(key), None)):
            yield folder / name, self._bring(name, folder / name, sha256)
        proof = folder / proof_key(key)
        yield proof, self._bring_proof(entry, proof_key(key), proof)

    def pull_keys(self, folder: Path) -> Iterator[tuple[Path, bool]]:
        """Bring the keyring, which a verifier needs beside any bundle."""
        for key in self.store.keys("keys/"):
            yield folder / key, self._bring(key, folder / key, None)

    def _bring_proof(self, entry: Entry, key: str, to: Path) -> bool:
        """A head stands for many entries: a revocation from one of them on voids it for those before that one too."""
        self._digest_of(key)
        if self._counts(entry, self.store.read(key)):
            return self._bring(key, to, None)
        if to.is_file() and self._counts(entry, to.read_bytes()):
            return False
        durable.make_folders(to.parent)
        durable.write(to, self.view.prove(entry.index))
        return True

    def _keys(self, role: Role) -> tuple[PublicKey, ...]:
        return tuple(one.key for one in self.keyring.statements if role in one.roles)

    def _counts(self, entry: Entry, proof: bytes) -> bool:
        """Whether it is the entry's proof, and its head was signed by a key that counted at the last entry under it."""
        parsed = parse_tlog_proof(proof)
        head = parse_head(parsed.checkpoint) if parsed else None
        if parsed is None or head is None or parsed.extra != entry.content:
            return False
        return head.is_signed_by(self.keyring.trusted(Role.LOG, head.size - 1))

    def _bring(self, key: str, to: Path, sha256: str | None) -> bool:
        expected = sha256 or self._digest_of(key)
        if to.is_file() and durable.sha256_of(to) == expected:
            return False
        durable.make_folders(to.parent)
        found = self.store.get(key, to)
        if found != expected:
            to.unlink()
            raise EvidenceError(
                f"{self.store.where} gives other bytes under {key} than were entered: SHA-256 {found}",
                "the evidence was changed after it was sealed: `muster evidence audit` says more",
            )
        return True

    def _digest_of(self, key: str) -> str:
        held = self.store.head(key)
        if held is None:
            raise EvidenceError(f"{self.store.where} lacks {key}", "`muster notary --once` finishes what was begun")
        return held.sha256
