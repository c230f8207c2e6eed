"""The notary: gives each sealed bundle that the store holds a receipt, a place in the log, and a proof of it.

Promises: what was entered once is not entered again, whoever asks and however often; a notary that is killed between
any two writes is finished by asking again; nothing is entered that a trusted key did not seal.
The first thing in every log is the keyring: without it no later entry could say whose word it is.
Source: docs/evidence-format.md.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evidence.envelope import sign
from evidence.errors import AlreadyDifferent, EvidenceError, KeyProblem
from evidence.keyring import EVERY_ROLE, Action, Facts, Keyring, Role, key_statement_key
from evidence.keys import PublicKey, public_key_of
from evidence.log import Draft, Entry, Log, record_draft
from evidence.receipts import receipt_key, signed_receipt
from evidence.sealed import read_sealed
from evidence.statement import PredicateType, statement
from evidence.stores import Store

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so

_CLOCKS: Final = timedelta(hours=1)
"""How far clocks may be apart where an entry that may be there already is looked for."""


@dataclass(frozen=True)
class Hands:
    """The keys that a notary holds: one that seals records and receipts, one that signs the log (Ed25519)."""

    seal: "Signer"
    log: "Signer"


class Notary:
    """The notary of one store. `where` names the store in receipts; `seen` is a file that remembers the last head.

    Raises `ForkAlarm` when the store does not fit its head, `KeyringBroken` when its keys do not fit, and
    `StoreUnreachable` when it is away: whatever was asked may then be asked again.
    """

    def __init__(
        self,
        store: Store,
        hands: Hands,
        *,
        now: Callable[[], datetime],
        where: str,
        origin: str = "",
        seen: Path | None = None,
    ) -> None:
        self.store, self.now = store, now
        self._hands, self._where = hands, where
        self.keyring = self._begun(read_keyring(store) or Keyring())
        self.origin = origin or origin_of(self.keyring)
        # An old head stays one, whatever became of its key since: what a key may sign when is checked by the verifier.
        past = tuple(one.key for one in self.keyring.statements if Role.LOG in one.roles)
        self.log = Log(store, self.origin, hands.log, now=now, trusted=past, seen=seen)
        self._assert_may_write(self.log.mend().size)
        self._enter_keyring()

    def enter(self, key: str, bundle: Path) -> bytes:
        """Enter the bundle that the store holds under `key`; `bundle` is a local copy. The bytes of its proof."""
        if proof := self._proof_of(key):
            return proof
        sealed = read_sealed(bundle, (*self._trusted(Role.SEAL), *self._trusted(Role.SUBMIT)))
        receipt = self._receipt(key, sealed.sha256)
        return self._enter(key, sealed.draft(key, receipt), sealed.ended_at)[1]

    def record(self, kind: PredicateType, subjects: Mapping[str, str], predicate: Mapping[str, Any]) -> Entry:
        """Sign a record, keep it, log it. Its subjects are names and SHA-256 (hex)."""
        envelope = sign(statement(subjects, predicate, kind), self._hands.seal)
        digest = hashlib.sha256(envelope).hexdigest()
        place = f"records/{digest}.dsse.json"
        self.store.put_bytes(place, envelope)
        return self._enter(place, record_draft(envelope=digest, key=place, predicate_type=kind.value), self.now())[0]

    def admit(self, signer: "Signer", roles: frozenset[Role], reason: str) -> None:
        """Let another key seal from the next entry on. Both sign: the old one vouches, the new one shows itself."""
        self._extend(self.keyring.admit(signer, roles, by=self._hands.seal, facts=self._facts(reason, None)))

    def admit_runner(self, key: PublicKey, reason: str) -> None:
        """Let a runner hand in what it sealed, from the next entry on."""
        self._extend(self.keyring.admit_runner(key, by=self._hands.seal, facts=self._facts(reason, None)))

    def end(self, action: Action, key: PublicKey, reason: str, from_index: int | None = None) -> None:
        """Retire or revoke a key, from the next entry on or from an earlier one: its seals since count no more."""
        facts = self._facts(reason, from_index)
        self._extend(self.keyring.end(action, key, by=self._hands.seal, facts=facts))

    def _facts(self, reason: str, from_index: int | None) -> Facts:
        """The statement is an entry itself, the next one; what it says counts from the one after that."""
        return Facts(self.now(), self.log.view().size + 1 if from_index is None else from_index, reason)

    def _begun(self, keyring: Keyring) -> Keyring:
        """Admit our own keys to an empty store, or go on where that ended. Of several that begin at once, one does."""
        facts = Facts(self.now(), 0, "the first key")
        seal, log = self._hands.seal, self._hands.log
        if not keyring.statements:
            is_one = public_key_of(seal) == public_key_of(log)
            roles = EVERY_ROLE if is_one else EVERY_ROLE - {Role.LOG}
            keyring = _extended(self.store, keyring, keyring.admit(seal, roles, by=seal, facts=facts))
        if any(Role.LOG in one.roles for one in keyring.statements) or public_key_of(seal) != keyring.statements[0].key:
            return keyring
        return _extended(self.store, keyring, keyring.admit(log, frozenset({Role.LOG}), by=seal, facts=facts))

    def _extend(self, envelope: bytes) -> None:
        longer = _extended(self.store, self.keyring, envelope)
        if longer.envelopes[-1] != envelope:
            raise EvidenceError("another process changed the keyring just now", "look at it, then try again")
        self.keyring = longer
        self._enter_keyring()

    def _enter_keyring(self) -> None:
        """See to it that every key statement is in the log; what comes after one that is, is not."""
        missing = []
        for link in reversed(self.keyring.statements):
            if self._proof_of(key_statement_key(link.number)):
                break
            missing.append(link)
        for link in reversed(missing):
            place = key_statement_key(link.number)
            draft = record_draft(envelope=link.digest, key=place, predicate_type=PredicateType.KEY.value)
            self._enter(place, draft, link.at)

    def _enter(self, key: str, draft: Draft, since: datetime) -> tuple[Entry, bytes]:
        """Log it unless it was logged since, and keep the proof: the mark that nothing is left to do."""
        appended = self.log.append_once([draft], min(since, self.now()) - _CLOCKS)
        entry = appended.entries[-1]
        return entry, self._keep_first(proof_key(key), appended.view.prove(entry.index))

    def _proof_of(self, key: str) -> bytes | None:
        place = proof_key(key)
        return self.store.read(place) if self.store.head(place) else None

    def _receipt(self, key: str, sha256: str) -> str:
        """The digest of the receipt's envelope. A second asking would say another time: the first answer stays."""
        place = receipt_key(key)
        if self.store.head(place) is None:
            self._keep_first(place, signed_receipt(self.store, key, sha256, self._where, self.now(), self._hands.seal))
        return hashlib.sha256(self.store.read(place)).hexdigest()

    def _keep_first(self, key: str, content: bytes) -> bytes:
        """What is kept under the key: this, or what another process was faster to keep."""
        try:
            self.store.put_bytes(key, content)
        except AlreadyDifferent:
            return self.store.read(key)
        return content

    def _trusted(self, role: Role) -> tuple[PublicKey, ...]:
        return self.keyring.trusted(role, self.log.view().size)

    def _assert_may_write(self, size: int) -> None:
        for role, signer in ((Role.SEAL, self._hands.seal), (Role.LOG, self._hands.log)):
            own = public_key_of(signer)
            if own not in self.keyring.trusted(role, size):
                raise KeyProblem(
                    f"the keyring in the store does not let the key {own.key_id[:16]} {role.value} here",
                    "use the key that began this store or one that it admitted, or name another store",
                )


def proof_key(key: str) -> str:
    """Where the proof of what is kept under `key` is kept."""
    return f"proofs/{key}.tlog-proof"


def origin_of(keyring: Keyring) -> str:
    """The log's name, of its keyring's first statement: no two stores have one, though one key may begin both."""
    return f"muster/{keyring.statements[0].digest[:16]}"


def read_keyring(store: Store) -> Keyring | None:
    """The keyring in a store, if one was begun. Raises `KeyringBroken`."""
    keys = store.keys("keys/")
    expected = tuple(map(key_statement_key, range(len(keys))))
    if keys != expected:
        raise EvidenceError("the key statements in the store are not numbered in a row", "find out who wrote there")
    return Keyring.read([store.read(key) for key in keys]) if keys else None


def _extended(store: Store, keyring: Keyring, envelope: bytes) -> Keyring:
    """The keyring in the store after this statement was put there, or after another was, if that was faster."""
    keyring.extended(envelope)
    try:
        store.put_bytes(key_statement_key(len(keyring.statements)), envelope)
    except AlreadyDifferent:
        return read_keyring(store) or keyring
    return keyring.extended(envelope)
