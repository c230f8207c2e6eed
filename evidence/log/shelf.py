"""What the log asks of a store: three verbs, so that every store is one and a test's double is short.

Promise: nothing here is kept in memory; what `held` gives is what the store holds now.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from evidence.errors import EvidenceError
from evidence.stores.store import NotThere

LOG: Final = "log/"
"""Everything of the log is kept below this prefix."""


class Shelf(Protocol):
    """A store, as the log sees it."""

    def put_bytes(self, key: str, content: bytes) -> object:
        """Keep the bytes, once. Raises `AlreadyDifferent` when other bytes are there; the same bytes are success."""
        ...

    def read(self, key: str) -> bytes:
        """The bytes under `key`. Raises `NotThere`."""
        ...

    def keys(self, prefix: str = "", after: str = "") -> Iterable[str]:
        """The keys with this prefix that come after the key `after`, sorted."""
        ...


class ForkAlarm(EvidenceError):
    """The store, or what this log saw before, cannot have come from one honest history. Nothing may be signed on it."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(
            message,
            advice
            or "write nothing more to this log; keep a copy of the store and of every head you have, and find out who"
            " changed it: evidence that was sealed before stays checkable by its own proofs",
        )


def held(shelf: Shelf, key: str) -> bytes:
    """What has to be under `key`, since a head says so."""
    try:
        return shelf.read(key)
    except NotThere as error:
        raise ForkAlarm(f"the log needs {key}, and the store does not hold it") from error
