"""A folder as a store.

Promises: those of `Store`; a kept file is read-only, and its digest is computed from its bytes each time.
The trap: a folder has no lock at all, and its receipts say so.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from evidence import durable
from evidence.errors import StoreError, StoreUnreachable
from evidence.stores.store import (
    READ_LIMIT,
    Receipt,
    Version,
    already_different,
    assert_key,
    assert_page,
    not_there,
    too_large,
)


@dataclass(frozen=True)
class DirectoryStore:
    """A folder: keys are paths in it, files are made read-only."""

    root: Path

    @property
    def where(self) -> str:
        """As `Store.where`."""
        return str(self.root)

    def put(self, key: str, path: Path, sha256: str) -> Receipt:
        """As `Store.put`."""
        with _disk_errors(self.root), path.open("rb") as source:
            return self._put(key, source, sha256)

    def put_bytes(self, key: str, content: bytes) -> Receipt:
        """As `Store.put_bytes`."""
        return self._put(key, io.BytesIO(content), hashlib.sha256(content).hexdigest())

    def publish(self, key: str, content: bytes, media_type: str) -> None:  # noqa: ARG002 - a folder keeps no type
        """As `Store.publish`; a browser tells what a file is by its name."""
        assert_page(key)
        with _disk_errors(self.root):
            path = self._path(key)
            durable.make_folders(path.parent)
            durable.sweep(path)
            durable.write(path, content)

    def head(self, key: str, version: str | None = None) -> Receipt | None:
        """As `Store.head`; the digest is computed from the file, whatever it was when it came. No versions."""
        assert_key(key)
        path = self._path(key)
        with _disk_errors(self.root):
            if version is not None or not path.is_file():
                return None
            return Receipt(key, durable.sha256_of(path), path.stat().st_size)

    def get(self, key: str, to: Path, version: str | None = None) -> str:
        """As `Store.get`."""
        with self._open(key, version) as source, durable.replacing(to) as out:
            return durable.digest(source, out)[0]

    def read(self, key: str, version: str | None = None, *, limit: int = READ_LIMIT) -> bytes:
        """As `Store.read`."""
        with self._open(key, version) as source:
            content = source.read(limit + 1)
        if len(content) > limit:
            raise too_large(key, self.root, limit)
        return content

    def digest(self, key: str, version: str | None = None) -> str:
        """As `Store.digest`."""
        with self._open(key, version) as source:
            return durable.digest(source)[0]

    def keys(self, prefix: str = "", after: str = "") -> tuple[str, ...]:
        """As `Store.keys`."""
        with _disk_errors(self.root):
            below = self.root / prefix.rpartition("/")[0]
            names = (path.relative_to(self.root).as_posix() for path in below.rglob("*") if path.is_file())
            return tuple(
                sorted(n for n in names if n.startswith(prefix) and n > after and not n.startswith(".incoming/"))
            )

    def versions(self, prefix: str = "") -> Iterator[Version]:
        """As `Store.versions`: a folder keeps one of each."""
        for key in self.keys(prefix):
            with _disk_errors(self.root):
                found = self._path(key).stat()
            yield Version(key, None, True, False, datetime.fromtimestamp(found.st_mtime, UTC), found.st_size)

    def _put(self, key: str, source: BinaryIO, sha256: str) -> Receipt:
        """Writers take turns, so that what a killed one left can be swept away."""
        assert_key(key)
        with _disk_errors(self.root):
            final, incoming = self._path(key), self.root / ".incoming"
            durable.make_folders(incoming)
            with durable.locked(incoming / "lock", wait=True):
                _copy(key, source, incoming / "part", sha256)
                created = self._link(incoming / "part", final)
        receipt = self.head(key)
        if receipt is None:
            raise not_there(key, self.root)
        if receipt.sha256 != sha256:
            raise already_different(key, self.root)
        return replace(receipt, created=created)

    @contextmanager
    def _open(self, key: str, version: str | None) -> Iterator[BinaryIO]:
        assert_key(key)
        with _disk_errors(self.root):
            if version is not None or not self._path(key).is_file():
                raise not_there(key, self.root)
            with self._path(key).open("rb") as source:
                yield source

    def _path(self, key: str) -> Path:
        return self.root / key

    def _link(self, part: Path, final: Path) -> bool:
        durable.make_folders(final.parent)
        try:
            final.hardlink_to(part)
            created = True
        except FileExistsError:
            created = False  # and perhaps not durable yet: who put it may have been killed a moment ago
        finally:
            part.unlink()
        durable.sync_folder(final.parent)
        return created


def _copy(key: str, source: BinaryIO, part: Path, sha256: str) -> None:
    for leftover in part.parent.glob("*part*"):  # of a process that was killed here
        leftover.unlink()
    with durable.replacing(part, mode=0o444) as out:
        found, _ = durable.digest(source, out)
        if found != sha256:
            raise StoreError(f"{key} is not what was sealed: its SHA-256 is {found}", "seal the run again")


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnreachable(
            f"the store {root} does not take or give files: {error}", "is it mounted, writable, not full?"
        ) from error
