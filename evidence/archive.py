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
from collections.abc import Iterable
from typing import BinaryIO

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

    def close(self) -> None:
        """Write the end. The archive is whole only after this."""
        self._gzip.write(TAR_END)
        self._gzip.close()


class _Deflater:
    def __init__(self, out: BinaryIO) -> None:
        self._out, self._zlib = out, zlib.compressobj(6, zlib.DEFLATED, RAW_DEFLATE)
        self._crc = self._size = 0
        self._digest = hashlib.sha256()
        out.write(DEFLATED_HEADER + bytes(self._digest.digest_size))

    def write(self, content: bytes) -> None:
        self._crc, self._size = zlib.crc32(content, self._crc), self._size + len(content)
        self._emit(self._zlib.compress(content))

    def close(self) -> None:
        self._emit(self._zlib.flush() + gzip_trailer(self._crc, self._size))
        self._out.seek(len(DEFLATED_HEADER))
        self._out.write(self._digest.digest())

    def _emit(self, packed: bytes) -> None:
        self._digest.update(packed)
        self._out.write(packed)


class _Storer:
    """Holds back what might be the last block: only when the end is known can it be marked as such."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._held = out, bytearray()
        self._crc = self._size = 0
        out.write(STORED_HEADER)

    def write(self, content: bytes) -> None:
        self._crc, self._size = zlib.crc32(content, self._crc), self._size + len(content)
        self._held += content
        while len(self._held) > STORED_BLOCK:
            self._emit(self._held[:STORED_BLOCK], is_last=False)
            del self._held[:STORED_BLOCK]

    def close(self) -> None:
        self._emit(self._held, is_last=True)
        self._out.write(gzip_trailer(self._crc, self._size))

    def _emit(self, block: bytes | bytearray, *, is_last: bool) -> None:
        self._out.write(struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF))
        self._out.write(block)
