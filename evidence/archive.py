"""The archive: plain files in one deterministic .tar.gz, written as a stream; `evidence.verify` reads it back.

Promises: the same files give the same bytes; memory is flat whatever their size; what is written is what the verifier
accepts, byte for byte.
The trap: compressing takes twenty times as long as hashing. So what is large is stored, not compressed: the archive
stays a .tar.gz that every tool unpacks, and is as large as its files.
Source: RFC 1951, RFC 1952 (2.3.1.1, extra field); POSIX.1-2017 `pax`, ustar interchange format.
"""

import hashlib
import struct
import zlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from evidence import durable
from evidence.errors import SealError
from evidence.verify import (
    DEFLATED_HEADER,
    RAW_DEFLATE,
    STORED_BLOCK,
    STORED_HEADER,
    TAR_BLOCK,
    TAR_END,
    ArchiveDamaged,
    Limits,
    Member,
    gzip_trailer,
    read_archive,
    tar_header,
)

__all__ = ["ArchiveDamaged", "ArchiveWriter", "Limits", "Member", "read_archive"]

_MOST_BEHIND = 4
"""Megabytes that may wait to be written."""
STORED_FROM = 4 << 20
"""Payloads of this many bytes and more are stored, smaller ones compressed: a journal shrinks to a tenth."""


class ArchiveWriter:
    """Writes members in the order of their names into `out`, a new file; everything lies in the folder `top`.

    `payload` is how many bytes are to come, about; by it one of the two forms is chosen.
    """

    def __init__(self, out: BinaryIO, top: str, payload: int = 0) -> None:
        self._top = top
        self._last = ""
        self._gzip = _Storer(out) if payload >= STORED_FROM else _Deflater(out)

    def add(self, name: str, size: int, pieces: Iterable[bytes]) -> str:
        """Write one member; the SHA-256 (hex) of the bytes as written. Raises `SealError` if they are not `size`."""
        if name <= self._last:
            raise ValueError(f"{name} after {self._last}: members are written in the order of their names")
        header = tar_header(f"{self._top}/{name}", size)
        if header is None:
            raise SealError(f"{name} does not fit a ustar archive", "shorten it, or leave out what is 8 GiB or more")
        self._last = name
        self._gzip.write(header)
        digest, left = hashlib.sha256(), size
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                break  # it grows, perhaps faster than it is read
            digest.update(piece)
            self._gzip.write(piece)
        if left:
            raise SealError(f"{name} changed while it was sealed", "seal when nothing writes to it any more")
        self._gzip.write(bytes(-size % TAR_BLOCK))
        return digest.hexdigest()

    def close(self) -> tuple[str, int]:
        """Write the end: the archive is whole only after this. SHA-256 (hex) and size in bytes of all of it."""
        self._gzip.write(TAR_END)
        return self._gzip.close()


class _Deflater:
    def __init__(self, out: BinaryIO) -> None:
        self._out, self._zlib = out, zlib.compressobj(6, zlib.DEFLATED, RAW_DEFLATE)
        self._crc = self._size = 0
        self._digest = hashlib.sha256()
        out.write(DEFLATED_HEADER + bytes(self._digest.digest_size))

    def write(self, content: bytes) -> None:
        self._crc, self._size = zlib.crc32(content, self._crc), self._size + len(content)
        self._emit(self._zlib.compress(content))

    def close(self) -> tuple[str, int]:
        self._emit(self._zlib.flush() + gzip_trailer(self._crc, self._size))
        self._out.seek(len(DEFLATED_HEADER))
        self._out.write(self._digest.digest())
        self._out.seek(0)
        return durable.digest(self._out)

    def _emit(self, packed: bytes) -> None:
        self._digest.update(packed)
        self._out.write(packed)


class _Storer:
    """Cuts into blocks. The last one is marked as such, so what might be it is held back until more comes."""

    def __init__(self, out: BinaryIO) -> None:
        self._behind = _Behind(out)
        self._held: list[memoryview] = []
        self._crc = self._size = self._room = 0
        self._behind.write([STORED_HEADER])
        self._room = STORED_BLOCK

    def write(self, content: bytes) -> None:
        self._crc, self._size = zlib.crc32(content, self._crc), self._size + len(content)
        view = memoryview(content)
        while view:
            if not self._room:
                self._emit(is_last=False)
            part, view = view[: self._room], view[self._room :]
            self._held.append(part)
            self._room -= len(part)

    def close(self) -> tuple[str, int]:
        self._emit(is_last=True)
        self._behind.write([gzip_trailer(self._crc, self._size)])
        return self._behind.close()

    def _emit(self, *, is_last: bool) -> None:
        size = STORED_BLOCK - self._room
        self._behind.write([struct.pack("<BHH", is_last, size, size ^ 0xFFFF), *self._held])
        self._held, self._room = [], STORED_BLOCK


class _Behind:
    """Hashes and writes behind the caller, in a thread of its own: both leave the interpreter to others meanwhile."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._digest, self._size = out, hashlib.sha256(), 0
        self._thread = ThreadPoolExecutor(1)
        self._running: deque[Future[None]] = deque()
        self._parts: list[bytes | memoryview] = []
        self._waiting = 0

    def write(self, parts: Iterable[bytes | memoryview]) -> None:
        for part in parts:
            self._parts.append(part)
            self._waiting += len(part)
        if self._waiting >= durable.CHUNK:
            self._hand_over()

    def close(self) -> tuple[str, int]:
        self._hand_over()
        while self._running:
            self._running.popleft().result()
        self._thread.shutdown()
        return self._digest.hexdigest(), self._size

    def _hand_over(self) -> None:
        while len(self._running) >= _MOST_BEHIND:
            self._running.popleft().result()
        self._running.append(self._thread.submit(self._take, self._parts))
        self._parts, self._waiting = [], 0

    def _take(self, parts: Iterable[bytes | memoryview]) -> None:
        packed = b"".join(parts)
        self._digest.update(packed)
        self._out.write(packed)
        self._size += len(packed)
