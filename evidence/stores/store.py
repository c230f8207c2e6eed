"""What every store promises, and what it says of a thing it holds.

Promises: a key is written once, whole or not at all; the same bytes again are success, other bytes are
`AlreadyDifferent`; what arrives is proved by its SHA-256; every wait for a server is bounded.
Idea: restic's backend interface, one suite of promises for every implementation.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from evidence.errors import AlreadyDifferent, StoreError
from evidence.names import is_portable

LockMode = Literal["COMPLIANCE", "GOVERNANCE"]

READ_LIMIT: Final = 64 << 20
"""Bytes that `Store.read` takes into memory unless it is told another limit."""


@dataclass(frozen=True)
class Receipt:
    """What the store says it holds under a key: SHA-256 (hex), size in bytes, and how long it is locked, if at all."""

    key: str
    sha256: str
    size: int
    version: str | None = None
    lock_mode: str | None = None
    locked_until: datetime | None = None
    legal_hold: bool = False
    created: bool = False
    """True only for the `put` that wrote it."""

    def as_json(self) -> dict[str, Any]:
        """The receipt in JSON types."""
        until = self.locked_until.isoformat() if self.locked_until else None
        return asdict(self) | {"locked_until": until}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Receipt":
        """The receipt that `as_json` gave."""
        until = content["locked_until"]
        return cls(**content | {"locked_until": datetime.fromisoformat(until) if until else None})


@dataclass(frozen=True)
class Version:
    """One version of a key, or the marker that a plain delete leaves. `at` is when the store says that it came."""

    key: str
    version: str | None
    """`None` where the store keeps no versions."""
    is_latest: bool
    is_delete_marker: bool
    at: datetime
    size: int
    """Bytes; 0 of a marker."""


class Store(Protocol):
    """What every store promises. All raise `StoreUnreachable` when it does not answer, `StoreError` when it refuses."""

    @property
    def where(self) -> str:
        """The store's place, in words that name it alone: a folder, or `s3://bucket/prefix`."""
        ...

    def put(self, key: str, path: Path, sha256: str) -> Receipt:
        """Keep the file at `path` under `key`, once. Raises `AlreadyDifferent`; `StoreError` if it is not `sha256`."""
        ...

    def put_bytes(self, key: str, content: bytes) -> Receipt:
        """Keep `content` under `key`, once. Raises `AlreadyDifferent`."""
        ...

    def publish(self, key: str, content: bytes, media_type: str) -> None:
        """Put a page for people under a key below `portal/`, in place of what was there: no evidence is written so."""
        ...

    def head(self, key: str, version: str | None = None) -> Receipt | None:
        """What is kept under `key`, if anything; of `version`, or of the newest."""
        ...

    def get(self, key: str, to: Path, version: str | None = None) -> str:
        """Bring the bytes under `key` to the file `to`; their SHA-256 (hex) as received. Raises `NotThere`."""
        ...

    def read(self, key: str, version: str | None = None, *, limit: int = READ_LIMIT) -> bytes:
        """The bytes under `key`. Raises `NotThere`; `StoreError` when there are more than `limit`."""
        ...

    def digest(self, key: str, version: str | None = None) -> str:
        """SHA-256 (hex) of the bytes under `key`, computed from them here and now. Raises `NotThere`."""
        ...

    def keys(self, prefix: str = "", after: str = "") -> tuple[str, ...]:
        """All keys that begin with `prefix` and come after the key `after`, sorted."""
        ...

    def versions(self, prefix: str = "") -> Iterator[Version]:
        """Every version and marker of every key that begins with `prefix`, in no order."""
        ...


class NotThere(StoreError):
    """Nothing is kept under the key."""


def assert_key(key: str) -> None:
    """Raise `StoreError` unless the key is one that may stand in a store."""
    if not is_portable(key) or key.startswith("."):
        raise StoreError(f"{key!r} is no key", "use letters, digits and ._+=,@- in each part, not .. or a dot first")


def assert_page(key: str) -> None:
    """Raise `StoreError` unless the key is one of a page, which may be written again."""
    assert_key(key)
    if not key.startswith("portal/"):
        raise StoreError(f"{key} is evidence, which is written once", "publish pages below portal/ only")


def already_different(key: str, where: object) -> AlreadyDifferent:
    """The error to raise: the key is taken by other bytes."""
    return AlreadyDifferent(
        f"{where} holds other bytes under {key}", "find out who wrote them; sealed evidence is never replaced"
    )


def not_there(key: str, where: object) -> NotThere:
    """The error to raise: the key is free."""
    return NotThere(f"{where} holds nothing under {key}", "list what is there, or name another store")


def too_large(key: str, where: object, limit: int) -> StoreError:
    """The error to raise: what is kept is more than was asked for."""
    return StoreError(
        f"{where} holds more than {limit} bytes under {key}", "bring it to a file, or find out who wrote it"
    )
