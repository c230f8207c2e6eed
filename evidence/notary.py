"""The notary: gives each sealed bundle that the store holds a receipt, a place in the log, and a proof of it.

Promises: what was entered once is not entered again, whoever asks and however often; a notary that is killed between
any two writes is finished by asking again; nothing is entered that a trusted key did not seal, nor by a notary whose
own keys were ended, also while it runs; of many bundles, one that cannot be entered holds up no other.
The first thing in every log is the keyring: without it no later entry could say whose word it is.
Source: docs/evidence-format.md.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Never

from evidence.envelope import sign
from evidence.errors import AlreadyDifferent, EvidenceError, KeyProblem, StoreError, StoreUnreachable
from evidence.keyring import EVERY_ROLE, Action, Facts, Keyring, Role, key_statement_key
from evidence.keys import PublicKey, public_key_of
from evidence.log import Draft, Entry, Log, record_draft
from evidence.log.entries import make_entry
from evidence.receipts import receipt_key, signed_receipt
from evidence.sealed import NotSealed, SealedFile, read_sealed
from evidence.statement import PredicateType, statement
from evidence.stores import Store

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so

Said = tuple[Mapping[str, str], Mapping[str, Any]]
"""What a record says: its subjects, names to SHA-256 (hex), and its predicate."""
MOST_AT_ONCE: Final = 256
"""Bundles that are entered under one head at most: as many as a tile of the log has entries."""
ENOUGH_BYTES: Final = 1 << 30
"""Bundles that come to this many bytes are entered before more are read: what was read is not lost for long."""
_CLOCKS: Final = timedelta(hours=1)
"""How far clocks may be apart where an entry that may be there already is looked for."""
_ANY_DIGEST: Final = "0" * 64


@dataclass(frozen=True)
class Hands:
    """The keys that a notary holds: one that seals records and receipts, one that signs the log (Ed25519)."""

    seal: "Signer"
    log: "Signer"


@dataclass(frozen=True)
class _Drafted:
    """What shall be logged of what is kept under `key`, unless it was logged at or after `since`; `size` in bytes."""

    key: str
    draft: Draft
    since: datetime
    size: int = 0


class Notary:
    """The notary of one store. `where` names the store in receipts; `seen` is a file that remembers the last head.

    Raises `ForkAlarm` when the store does not fit its head, `KeyringBroken` when its keys do not fit, `KeyProblem` when
    a key in `hands` may not sign here, or not any more, and `StoreUnreachable` when the store is away: whatever was
    asked may then be asked again.
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
        self.log = Log(
            store, self.origin, hands.log, now=now, trusted=self._log_keys, seen=seen, may_sign=self._assert_may_sign
        )
        self._assert_may_sign(self.log.view().size)
        self._assert_may_sign(self.log.mend().size)
        self._enter_keyring()

    def enter(self, key: str, bundle: Path) -> bytes:
        """Enter the bundle that the store holds under `key`; `bundle` is a local copy. The bytes of its proof."""
        if proof := self._proof_of(key):
            return proof
        ((_, proof),) = self._enter([self._drafted(key, bundle, self._sealers())])
        return proof

    def enter_all(self, bundles: Iterable[tuple[str, Path]]) -> dict[str, EvidenceError]:
        """Enter many, in their order, up to `MOST_AT_ONCE` under one head. What could not be entered, by key, and why.

        Each is a key in the store and a local copy, which is read when its turn comes and not needed after that: so
        they may be brought one by one. Where the store is away in between, what was read before is entered first.
        """
        problems: dict[str, EvidenceError] = {}
        coming = iter(bundles)
        while True:
            drafted, away = self._next_batch(coming, problems)
            if drafted:
                self._enter(drafted)
            if away:
                raise away
            if not drafted:
                return problems

    def record(self, kind: PredicateType, subjects: Mapping[str, str], predicate: Mapping[str, Any]) -> Entry:
        """Sign a record, keep it, log it. Its subjects are names and SHA-256 (hex)."""
        self._size()
        draft = self._kept(kind, subjects, predicate)
        ((entry, _),) = self._enter([_Drafted(str(draft.fields["key"]), draft, self.now() - _CLOCKS)])
        return entry

    def record_all(self, kind: PredicateType, said: Sequence[Said]) -> list[Entry]:
        """As `record`, of many, up to `MOST_AT_ONCE` under one head. Cut short, those before are sealed and logged."""
        entries: list[Entry] = []
        for start in range(0, len(said), MOST_AT_ONCE):
            self._size()
            drafts = [self._kept(kind, *one) for one in said[start : start + MOST_AT_ONCE]]
            since = self.now() - _CLOCKS
            drafted = [_Drafted(str(draft.fields["key"]), draft, since) for draft in drafts]
            entries += (entry for entry, _ in self._enter(drafted))
        return entries

    def record_at(self, size: int, kind: PredicateType, said: Sequence[Said]) -> tuple[Entry, ...]:
        """As `record`, of several, as many as a batch takes; of none if the log has not `size` entries any more."""
        self._size()
        drafts = [self._kept(kind, subjects, predicate) for subjects, predicate in said]
        appended = self.log.append_at(drafts, size)
        if appended is None:
            return ()
        for entry in appended.entries:
            self._keep_first(proof_key(str(entry.fields["key"])), appended.view.prove(entry.index))
        return appended.entries

    def admit(self, signer: "Signer", roles: frozenset[Role], reason: str) -> None:
        """Let another key seal from the next entry on. Both sign: the old one vouches, the new one shows itself."""
        facts = self._facts(reason, None)
        self._extend(self.keyring.admit(signer, roles, by=self._hands.seal, facts=facts))

    def admit_runner(self, key: PublicKey, reason: str) -> None:
        """Let a runner hand in what it sealed, from the next entry on."""
        facts = self._facts(reason, None)
        self._extend(self.keyring.admit_runner(key, by=self._hands.seal, facts=facts))

    def end(self, action: Action, key: PublicKey, reason: str, from_index: int | None = None) -> None:
        """Retire or revoke a key, from the next entry on or from an earlier one: its seals since count no more.

        Raises `KeyProblem` where a key of this notary would be ended before the very entry that says so.
        """
        facts = self._facts(reason, from_index)
        if from_index is not None and from_index < self._size() + 1 and key in self._own().values():
            raise KeyProblem(
                f"the key {key.key_id[:16]} is in use: ended from entry {from_index} on, it could not log its own end",
                "let another key take its place first, as `muster evidence rotate` does; then end this one by that",
            )
        self._extend(self.keyring.end(action, key, by=self._hands.seal, facts=facts))

    def _kept(self, kind: PredicateType, subjects: Mapping[str, str], predicate: Mapping[str, Any]) -> Draft:
        """The record signed and in the store, to be logged."""
        envelope = sign(statement(subjects, predicate, kind), self._hands.seal)
        digest = hashlib.sha256(envelope).hexdigest()
        place = f"records/{digest}.dsse.json"
        self.store.put_bytes(place, envelope)
        return record_draft(envelope=digest, key=place, predicate_type=kind.value)

    def _facts(self, reason: str, from_index: int | None) -> Facts:
        """The statement is an entry itself, the next one; what it says counts from the one after that."""
        size = self._size()
        return Facts(self.now(), size + 1 if from_index is None else from_index, reason)

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
            self._enter([_Drafted(place, draft, min(link.at, self.now()) - _CLOCKS)])

    def _enter(self, drafted: Sequence[_Drafted]) -> list[tuple[Entry, bytes]]:
        """Log each unless it was logged since, and keep the proofs: the mark that nothing is left to do."""
        appended = self.log.append_once([one.draft for one in drafted], min(one.since for one in drafted))
        return [
            (entry, self._keep_first(proof_key(one.key), appended.view.prove(entry.index)))
            for one, entry in zip(drafted, appended.entries, strict=True)
        ]

    def _next_batch(
        self, bundles: Iterator[tuple[str, Path]], problems: dict[str, EvidenceError]
    ) -> tuple[list[_Drafted], StoreUnreachable | None]:
        """What is entered under the next head, and why it ended early; nothing once there are no more bundles."""
        sealers, drafted, size = self._sealers(), list[_Drafted](), 0
        try:
            for key, bundle in bundles:
                try:
                    if not self._proof_of(key):
                        drafted.append(self._drafted(key, bundle, sealers))
                        size += drafted[-1].size
                except StoreUnreachable:
                    raise
                except (NotSealed, StoreError) as error:
                    problems[key] = error
                except OSError as error:
                    told = f"the local copy of {key} cannot be read: {error.strerror}"
                    problems[key] = EvidenceError(told, "bring it from the store, or restore it")
                if len(drafted) == MOST_AT_ONCE or size >= ENOUGH_BYTES:
                    break
        except StoreUnreachable as error:
            return drafted, error
        return drafted, None

    def _drafted(self, key: str, bundle: Path, sealers: Sequence[PublicKey]) -> _Drafted:
        """Whatever the log could not hold is refused here, where it is alone."""
        sealed = read_sealed(bundle, sealers)
        try:
            since = min(sealed.ended_at, self.now()) - _CLOCKS
            make_entry(sealed.draft(key, _ANY_DIGEST), None, self.now().replace(microsecond=1))
        except (EvidenceError, KeyError, TypeError, ValueError, OverflowError) as error:
            _refuse(sealed, key, error)
        return _Drafted(key, sealed.draft(key, self._receipt(key, sealed.sha256)), since, sealed.size)

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

    def _sealers(self) -> tuple[PublicKey, ...]:
        """The keys whose bundles are entered now."""
        size = self._size()
        return (*self.keyring.trusted(Role.SEAL, size), *self.keyring.trusted(Role.SUBMIT, size))

    def _log_keys(self) -> tuple[PublicKey, ...]:
        """By every statement in the store: the key that signed a head was admitted before it did."""
        self._take_in_keys()
        return tuple(one.key for one in self.keyring.statements if Role.LOG in one.roles)

    def _own(self) -> dict[Role, PublicKey]:
        return {Role.SEAL: public_key_of(self._hands.seal), Role.LOG: public_key_of(self._hands.log)}

    def _size(self) -> int:
        """How many entries there are, under what is known of keys by now. Raises `KeyProblem` if ours were ended."""
        self._take_in_keys()
        size = self.log.view().size
        self._assert_may_sign(size)
        return size

    def _take_in_keys(self) -> None:
        """What other processes said of keys since."""
        self.keyring = _grown(self.store, self.keyring)

    def _assert_may_sign(self, index: int) -> None:
        """Raises `KeyProblem` unless both our keys count at this entry, by every statement in the store."""
        self._take_in_keys()
        for role, own in self._own().items():
            if own in self.keyring.trusted(role, index):
                continue
            may_not = f"the keyring in the store does not let the key {own.key_id[:16]} {role.value} here"
            if (end := self.keyring.ended(own)) is None or index < end.from_index:
                raise KeyProblem(
                    may_not, "use the key that began this store or one that it admitted, or name another store"
                )
            raise KeyProblem(
                f"{may_not} any more: it was {end.action.value}d from entry {end.from_index} of the log on",
                "go on with a key that may, `muster evidence keys` lists them; what was handed in waits until then",
            )


def proof_key(key: str) -> str:
    """Where the proof of what is kept under `key` is kept."""
    return f"proofs/{key}.tlog-proof"


def origin_of(keyring: Keyring) -> str:
    """The log's name, of its keyring's first statement: no two stores have one, though one key may begin both."""
    return f"muster/{keyring.statements[0].digest[:16]}"


def read_keyring(store: Store) -> Keyring | None:
    """The keyring in a store, if one was begun. Raises `KeyringBroken`."""
    keyring = _grown(store, Keyring())
    return keyring if keyring.statements else None


def _grown(store: Store, keyring: Keyring) -> Keyring:
    """The keyring with the statements that the store holds after its last one; itself when there are none."""
    after = key_statement_key(len(keyring.statements) - 1) if keyring.statements else ""
    for place in store.keys("keys/", after):
        if place != key_statement_key(len(keyring.statements)):
            raise EvidenceError("the key statements in the store are not numbered in a row", "find out who wrote there")
        keyring = keyring.extended(store.read(place))
    return keyring


def _refuse(sealed: SealedFile, key: str, why: Exception) -> Never:
    raise NotSealed(
        f"{key} was sealed, but what its statement says of {sealed.about.value} fits no entry: {why}",
        "who handed it in has to seal as docs/evidence-format.md says",
    ) from why


def _extended(store: Store, keyring: Keyring, envelope: bytes) -> Keyring:
    """The keyring in the store after this statement was put there, or after another was, if that was faster."""
    keyring.extended(envelope)
    try:
        store.put_bytes(key_statement_key(len(keyring.statements)), envelope)
    except AlreadyDifferent:
        return read_keyring(store) or keyring
    return keyring.extended(envelope)
