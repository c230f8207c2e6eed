"""Cosignatures in the store, beside the heads they are for.

Promises: whose cosignature is kept already is not asked again; what is kept is checked again whenever it is read, and
never replaced.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import httpx

from evidence.asking import PATIENCE, Patience
from evidence.errors import AlreadyDifferent
from evidence.log.shelf import LOG, Shelf
from evidence.stores import NotThere
from evidence.witness.asking import Asked, Asking, Consistency
from evidence.witness.words import NOT_CONFIGURED, Cosigned, NotCosigned, Why, Witness

COSIGNATURES: Final = f"{LOG}cosignatures/"
"""Cosignatures are kept below this prefix."""


def keep_cosignatures(
    shelf: Shelf,
    head: bytes,
    witnesses: Sequence[Witness],
    consistency: Consistency,
    http: httpx.Client,
    now: Callable[[], datetime],
    patience: Patience = PATIENCE,
) -> tuple[Cosigned | NotCosigned, ...]:
    """The same, kept in the store; whose cosignature is kept already is not asked again. Raises `StoreError`."""
    asked = Asked.of(head)

    def keep(witness: Witness) -> Cosigned | NotCosigned:
        kept = _read(shelf, asked, witness)
        if kept is not None:
            return kept
        found = Asking(asked, witness, http, now, patience).result(consistency)
        return _put(shelf, asked, witness, found) if isinstance(found, Cosigned) else found

    return tuple(map(keep, witnesses)) or (NOT_CONFIGURED,)


def read_cosignatures(shelf: Shelf, head: bytes, witnesses: Sequence[Witness]) -> tuple[Cosigned | NotCosigned, ...]:
    """What the store holds for this head, checked again. Raises `StoreError`."""
    asked = Asked.of(head)

    def read(witness: Witness) -> Cosigned | NotCosigned:
        missing = NotCosigned(witness.name, Why.MISSING, "the store holds no cosignature of this head by it")
        return _read(shelf, asked, witness) or missing

    return tuple(map(read, witnesses)) or (NOT_CONFIGURED,)


def cosignature_key(size: int, witness: str) -> str:
    """Where a witness's line for the head of this size is kept."""
    return f"{COSIGNATURES}{size:020d}/{witness}"


def _read(shelf: Shelf, asked: Asked, witness: Witness) -> Cosigned | NotCosigned | None:
    try:
        line = shelf.read(cosignature_key(asked.checkpoint.size, witness.name))
    except NotThere:
        return None
    at = asked.cosigned_at(line, witness.verifier_key)
    if at is None:
        message = "what the store holds is no cosignature of this head by its key"
        return NotCosigned(witness.name, Why.FALSE, message, "find out who wrote it: what is kept is never replaced")
    return Cosigned(witness.name, at, line)


def _put(shelf: Shelf, asked: Asked, witness: Witness, found: Cosigned) -> Cosigned | NotCosigned:
    """What is kept: ours, or the word that another writer got a moment before."""
    try:
        shelf.put_bytes(cosignature_key(asked.checkpoint.size, witness.name), found.line)
    except AlreadyDifferent:
        return _read(shelf, asked, witness) or found
    return found
