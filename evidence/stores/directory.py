"""A folder as a store.

Promises: those of `Store`; a kept file is read-only, and its digest is computed from its bytes each time.
The trap: a folder has no lock at all, and its receipts say so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from evidence import durable
from evidence.errors import StoreError, StoreUnreachable
from evidence.stores.store import Receipt, already_different, assert_key, not_there


@dataclass(frozen=True)
class DirectoryStore:
    """A folder: keys are paths in it, files are made read-only."""

    root: Path

    def put(self, key: str, path: Path, sha256: str) -> Receipt:
        """As `Store.put`; writers take turns, so that what a killed one left can be swept away."""
        assert_key(key)
        with _disk_errors(self.root):
            final, incoming = self._path(key), self.root / ".incoming"
            durable.make_folders(incoming)
            with durable.locked(incoming / "lock", wait=True):
                _copy(path, incoming / "part", sha256)
                created = self._link(incoming / "part", final)
        receipt = self.head(key)
        if receipt is None:
            raise not_there(key, self.root)
        if receipt.sha256 != sha256:
            raise already_different(key, self.root)
        return replace(receipt, created=created)

    def head(self, key: str) -> Receipt | None:
        """As `Store.head`; the digest is computed from the file, whatever it was when it came."""
        assert_key(key)
        path = self._path(key)
        with _disk_errors(self.root):
            return Receipt(key, durable.sha256_of(path), path.stat().st_size) if path.is_file() else None

    def get(self, key: str, to: Path) -> str:
        """As `Store.get`."""
        assert_key(key)
        with _disk_errors(self.root):
            if not self._path(key).is_file():
                raise not_there(key, self.root)
            with self._path(key).open("rb") as source, durable.replacing(to) as out:
                return durable.digest(source, out)[0]

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        """As `Store.keys`."""
        with _disk_errors(self.root):
            names = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())
            return tuple(sorted(n for n in names if n.startswith(prefix) and not n.startswith(".incoming/")))

    def _path(self, key: str) -> Path:
        return self.root / key

    def _link(self, part: Path, final: Path) -> bool:
        durable.make_folders(final.parent)
        try:
            final.hardlink_to(part)
        except FileExistsError:
            return False
        finally:
            part.unlink()
        durable.sync_folder(final.parent)
        return True


def _copy(path: Path, part: Path, sha256: str) -> None:
    for leftover in part.parent.glob("*part*"):  # of a process that was killed here
        leftover.unlink()
    with path.open("rb") as source, durable.replacing(part, mode=0o444) as out:
        found, _ = durable.digest(source, out)
        if found != sha256:
            raise StoreError(f"{path} is not the bundle that was sealed: its SHA-256 is {found}", "seal the run again")


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnreachable(
            f"the store {root} does not take or give files: {error}", "is it mounted, writable, not full?"
        ) from error
