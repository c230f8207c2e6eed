"""Errors of the evidence room: one clear sentence, one piece of advice.

Promise: this room imports nothing of Muster, so its errors stand alone; they carry the same two fields as Muster's own.
"""


class EvidenceError(Exception):
    """Something a person can act on: `message` says what is wrong, `advice` the next move."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.advice}" if self.advice else self.message


class KeyProblem(EvidenceError):
    """A key file is missing, unreadable, readable by others, or not Ed25519."""


class SealError(EvidenceError):
    """A bundle could not be sealed: a bad member name, or a file that changed meanwhile. Nothing was left behind."""


class StoreError(EvidenceError):
    """The store answered no: no such bucket, no permission, no such object, wrong bytes."""


class StoreUnreachable(StoreError):
    """The store did not answer. Trying again later is safe."""


class AlreadyDifferent(StoreError):
    """Other bytes are already kept under the key. Sealed evidence is never replaced."""
