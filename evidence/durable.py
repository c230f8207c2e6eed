"""Files that are whole or absent, whatever kills the process.

Promises: a reader never sees half a file under its final name; what returned is on disk (file and folder synced).
Source: rename(2), link(2), fsync(2), flock(2); a lock dies with its holder.
"""

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20
"""Bytes read at a time: memory stays flat whatever the size."""


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends well, and is gone when it does not."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=part_prefix(path))
    try:
        with os.fdopen(handle, "w+b") as out:
            yield out
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sweep(path: Path) -> None:
    """Remove unfinished forms of `path` that killed processes left. Only for its one writer: another would fail."""
    for leftover in path.parent.glob(f"{part_prefix(path)}*"):
        leftover.unlink(missing_ok=True)


def part_prefix(path: Path) -> str:
    """How the unfinished form of `path` begins: hidden, beside it."""
    return f".{path.name}.part-"


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put `content` at `path`, replacing what was there."""
    with replacing(path, mode) as out:
        out.write(content)


def write_once(path: Path, content: bytes) -> None:
    """Put a secret at `path`, readable by its owner only, unless something is there: of several writers, one counts."""
    make_folders(path.parent, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=part_prefix(path))  # made 0600
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
    sync_folder(path.parent)


def make_folders(folder: Path, mode: int = 0o777) -> None:
    """Make `folder` and its parents; each new one is durable in its parent."""
    if folder.is_dir():
        return
    make_folders(folder.parent)
    folder.mkdir(mode=mode, exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_plain(path: Path, *, follow: bool) -> BinaryIO:
    """Open a plain file to read; a pipe or a folder, and unless `follow` a link, is an `OSError`, never a wait."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return os.fdopen(handle, "rb")


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock file at `path`; without `wait`, says `False` at once when another holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        yield False
        return
    try:
        yield True
    finally:
        os.close(handle)


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """The rest of a file, piece by piece."""
    while piece := source.read(CHUNK):
        yield piece


def digest(source: BinaryIO, out: BinaryIO | None = None) -> tuple[str, int]:
    """SHA-256 (hex) and size of the rest of a file, copied to `out` on the way when that is given."""
    sha256, size = hashlib.sha256(), 0
    for piece in chunks(source):
        sha256.update(piece)
        size += len(piece)
        if out is not None:
            out.write(piece)
    return sha256.hexdigest(), size


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as source:
        return digest(source)[0]
