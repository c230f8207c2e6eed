"""The desk: what seals here, and the notary of the store, put together from settings and policy.

Promise: the key in `MUSTER_SIGNING_KEY` signs the log in any case, since only Ed25519 can; who seals may be elsewhere.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from evidence.keys import ensure_key_pair, load_public, load_signer
from evidence.notary import Hands, Notary
from evidence.stores import Store
from muster.clock import Clock
from muster.errors import UsageError
from muster.notary.policy import EvidencePolicy, read_policy
from muster.settings import Settings
from muster.withholding import Withholder, withholding_key

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so


@dataclass(frozen=True)
class Desk:
    """Seals and enters for one installation. Raises `KeyProblem` when a key cannot be had."""

    settings: Settings
    clock: Clock

    @cached_property
    def policy(self) -> EvidencePolicy:
        """How evidence is kept here."""
        return read_policy(self.settings.plans)

    @cached_property
    def signer(self) -> "Signer":
        """What seals runs and signs records."""
        if self.policy.signer is None:
            return self._own
        from evidence.signers import Place, open_signer

        told = self.policy.signer
        return open_signer(Place(told.uri, load_public(told.public_key), told.pin_env))

    def withholder(self, run: str) -> Withholder:
        """What keeps values out of a run's evidence; its key is only made where there is something to withhold."""
        patterns = self.policy.withhold
        key = withholding_key(self.settings.key_file.with_name("withholding.key")) if patterns else b""
        return Withholder(run, key, patterns)

    @property
    def enters(self) -> bool:
        """Whether this installation enters what it seals itself; else `muster notary` does, with keys of its own."""
        return self.policy.notary == "here"

    def notary(self, store: Store) -> Notary:
        """The notary of a store. Raises `UsageError` where another machine's notary enters what is sealed here."""
        if not self.enters:
            raise UsageError(
                "this installation hands in to a notary apart, and holds no key that may enter or package",
                "run it where the notary is, whose evidence.yaml says `notary: here`",
            )
        return Notary(
            store,
            Hands(self.signer, self._own),
            now=self.clock.now,
            where=store.where,
            origin=self.policy.origin,
            seen=self._seen(store.where),
        )

    @cached_property
    def _own(self) -> "Signer":
        ensure_key_pair(self.settings.key_file)
        return load_signer(self.settings.key_file)

    def _seen(self, where: str) -> Path:
        """One file a store: a store that was emptied, or that shows another log, is caught by it."""
        return self.settings.root / "log" / f"{hashlib.sha256(where.encode()).hexdigest()[:16]}.head"
