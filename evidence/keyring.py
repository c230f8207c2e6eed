"""The keyring: who may seal, from which entry of the log on, until which; a chain of signed statements.

Promises: each statement names the one before and is signed by a key that was trusted then, an admission by the new key
as well; what is appended here is read back by the same rules first, so no writer breaks the chain.
Source: docs/evidence-format.md, "The keyring".
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from evidence.envelope import open_envelope, sign
from evidence.errors import EvidenceError
from evidence.keys import PublicKey, public_key_of
from evidence.statement import PredicateType, predicate_of, statement, utc

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so


class KeyringBroken(EvidenceError):
    """The statements are no chain that begins with a key's own admission; nothing that they admit can be trusted."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(
            f"key statement {number} cannot be trusted: {why}", "find out who wrote it; seal nothing until then"
        )


class Role(StrEnum):
    """What a key may do."""

    LOG = "log"
    """Sign heads and batches of the log; Ed25519 only."""
    SEAL = "seal"
    """Seal bundles and packages, sign receipts and records."""
    SUBMIT = "submit"
    """Sign what a runner hands to the notary: it counts with its place in the log only."""


class Action(StrEnum):
    """What a statement does to a key."""

    ADMIT = "admit"
    RETIRE = "retire"
    REVOKE = "revoke"


EVERY_ROLE = frozenset(Role)
RUNNER_ROLES = frozenset({Role.SUBMIT})


@dataclass(frozen=True)
class KeyStatement:
    """One link of the chain, as read."""

    number: int
    action: Action
    key: PublicKey
    roles: frozenset[Role]
    from_index: int
    at: datetime
    """When it was made, by the clock of who made it."""
    digest: str
    """SHA-256 (hex) of the envelope's bytes."""


@dataclass(frozen=True)
class Keyring:
    """The chain so far; empty before the first key is admitted."""

    statements: tuple[KeyStatement, ...] = ()
    envelopes: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, envelopes: Sequence[bytes]) -> "Keyring":
        """The chain in these envelopes, in their order. Raises `KeyringBroken`."""
        keyring = cls()
        for envelope in envelopes:
            keyring = keyring.extended(envelope)
        return keyring

    def extended(self, envelope: bytes) -> "Keyring":
        """The chain with one more statement. Raises `KeyringBroken` when it does not follow."""
        number = len(self.statements)
        opened = open_envelope(envelope)
        body = predicate_of(opened.payload, PredicateType.KEY) if opened else None
        if opened is None or body is None:
            raise KeyringBroken(number, "it is no envelope around a key statement")
        link = _parse(number, body, hashlib.sha256(envelope).hexdigest())
        if statement(_subject(link.key), body, PredicateType.KEY) != opened.payload:
            raise KeyringBroken(number, "it does not speak of the key that it holds, in the one form there is")
        if body.get("previous") != (self.statements[-1].digest if self.statements else None):
            raise KeyringBroken(number, "it does not follow the statement before it")
        keys = (link.key,) if number == 0 else self._signers_of(link, opened.key_id)
        if len(opened.signatures) != len(keys) or not all(map(opened.is_signed_by, keys)):
            raise KeyringBroken(
                number, "it is not signed by whom it takes: a key that was trusted then, and the new one"
            )
        return Keyring((*self.statements, link), (*self.envelopes, envelope))

    def trusted(self, role: Role, index: int) -> tuple[PublicKey, ...]:
        """The keys that may do this for entry `index` of the log, the newest last."""
        return tuple(
            one.key
            for one in self.statements
            if one.action is Action.ADMIT and role in one.roles and self._is_valid(one, index)
        )

    def ended(self, key: PublicKey) -> KeyStatement | None:
        """The statement by which the key counts no more, the earliest of them by the log; `None` while it counts."""
        ends = (one for one in self.statements if one.action is not Action.ADMIT and one.key == key)
        return min(ends, key=lambda one: one.from_index, default=None)

    def admit(self, signer: "Signer", roles: frozenset[Role], *, by: "Signer", facts: "Facts") -> bytes:
        """The envelope that admits a key; the first key admits itself."""
        signers = [signer] if not self.statements else [by, signer]
        return self._checked(Action.ADMIT, public_key_of(signer), roles, signers, facts)

    def admit_runner(self, key: PublicKey, *, by: "Signer", facts: "Facts") -> bytes:
        """The envelope that lets a runner hand in. It needs no word of the runner: its key counts for nothing alone."""
        return self._checked(Action.ADMIT, key, RUNNER_ROLES, [by], facts)

    def end(self, action: Action, key: PublicKey, *, by: "Signer", facts: "Facts") -> bytes:
        """The envelope that retires or revokes a key: from `facts.from_index` on its seals count no more."""
        return self._checked(action, key, frozenset(), [by], facts)

    def _checked(
        self, action: Action, key: PublicKey, roles: frozenset[Role], signers: Sequence["Signer"], facts: "Facts"
    ) -> bytes:
        body = {
            "action": action.value,
            "at": utc(facts.at),
            "fromIndex": facts.from_index,
            "key": key.pem.decode(),
            "keyId": key.key_id,
            "number": len(self.statements),
            "previous": self.statements[-1].digest if self.statements else None,
            "reason": facts.reason,
            "roles": sorted(role.value for role in roles),
        }
        envelope = sign(statement(_subject(key), body, PredicateType.KEY), *signers)
        self.extended(envelope)
        return envelope

    def _signers_of(self, link: KeyStatement, first: str) -> tuple[PublicKey, ...]:
        known = {one.key.key_id: one.key for one in self.statements if one.action is Action.ADMIT}
        ended = {one.key.key_id for one in self.statements if one.action is not Action.ADMIT}
        if first not in known or first in ended:
            raise KeyringBroken(link.number, "the key that signed it is not trusted, or not any more")
        ends_itself = link.action is not Action.ADMIT and link.key.key_id == first
        if not ends_itself and Role.SEAL not in self._roles_of(first):
            raise KeyringBroken(link.number, "the key that signed it may not speak for others")
        if link.action is Action.ADMIT:
            if link.key.key_id in known:
                raise KeyringBroken(link.number, "the key was admitted before")
            return (known[first],) if link.roles == RUNNER_ROLES else (known[first], link.key)
        if link.key.key_id not in known:
            raise KeyringBroken(link.number, "the key was never admitted")
        return (known[first],)

    def _roles_of(self, key_id: str) -> frozenset[Role]:
        admitted = (one for one in self.statements if one.action is Action.ADMIT and one.key.key_id == key_id)
        return next(admitted).roles

    def _is_valid(self, admission: KeyStatement, index: int) -> bool:
        end = self.ended(admission.key)
        return admission.from_index <= index and (end is None or index < end.from_index)


@dataclass(frozen=True)
class Facts:
    """When, from which entry of the log on, and why."""

    at: datetime
    from_index: int
    reason: str


def key_statement_key(number: int) -> str:
    """Where a statement is kept in the store."""
    return f"keys/{number:08d}.dsse.json"


def _subject(key: PublicKey) -> dict[str, str]:
    return {f"{key.key_id}.pub": hashlib.sha256(key.pem).hexdigest()}


def _parse(number: int, body: Mapping[str, Any], digest: str) -> KeyStatement:
    try:
        link = KeyStatement(
            number=number,
            action=Action(body["action"]),
            key=PublicKey.from_pem(str(body["key"]).encode()),
            roles=frozenset(map(Role, body["roles"])),
            from_index=int(body["fromIndex"]),
            at=datetime.fromisoformat(body["at"]),
            digest=digest,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise KeyringBroken(number, f"it cannot be read: {error}") from error
    if body["number"] != number or link.key.key_id != body["keyId"] or link.from_index < 0:
        raise KeyringBroken(number, "its number, its key's id or its first entry is wrong")
    if number == 0 and (link.action is not Action.ADMIT or link.from_index != 0):
        raise KeyringBroken(number, "a keyring begins with the admission of its first key")
    return link
