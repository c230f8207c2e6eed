"""The archive: plain files in one deterministic .tar.gz, written and read as a stream.

Promises: the same files give the same bytes; memory is flat whatever their size; the reader accepts only what the
writer could have written (plain files, portable names in order, constant modes and times, nothing after the end),
so a link, a device, a path that climbs or a second gzip member never reaches its caller.
The trap: deflate can say the same thing in several ways, so a flipped bit may change the file and nothing in it. The
gzip header therefore carries, in an extra field that other tools skip, the SHA-256 of all bytes behind it.
Source: RFC 1951, RFC 1952 (2.3.1.1, extra field); POSIX.1-2017 `pax`, ustar interchange format.
"""

import hashlib
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from evidence.durable import CHUNK
from evidence.errors import SealError
from evidence.names import is_portable

_GZIP_HEADER = bytes.fromhex("1f8b08040000000000ff") + struct.pack("<H2sH", 36, b"MU", 32)
"""Deflate, an extra field, no time, system unknown; one subfield of 32 bytes follows: the digest."""
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_RAW = -zlib.MAX_WBITS


class ArchiveDamaged(Exception):
    """The archive is not one that the writer could have written; the message says where it departs."""


@dataclass(frozen=True)
class Limits:
    """How much a reader unpacks before it calls an archive a bomb."""

    members: int = 10_000
    total_bytes: int = 64 << 30
    tag_bytes: int = 8 << 20
    """Of one file that has to be held in memory."""


@dataclass(frozen=True)
class Member:
    """A file in the archive. `pieces` has to be used up before the next member is asked for."""

    name: str
    size: int
    pieces: Iterator[bytes]


class ArchiveWriter:
    """Writes members in the order of their names into `out`, a new file; everything lies in the folder `top`."""

    def __init__(self, out: BinaryIO, top: str) -> None:
        self._top = top
        self._last = ""
        self._gzip = _Deflater(out)

    def add(self, name: str, size: int, pieces: Iterable[bytes]) -> str:
        """Write one member; the SHA-256 (hex) of the bytes as written. Raises `SealError` if they are not `size`."""
        if name <= self._last:
            raise ValueError(f"{name} after {self._last}: members are written in the order of their names")
        self._last = name
        self._gzip.write(_header(f"{self._top}/{name}", size))
        digest, left = hashlib.sha256(), size
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                break  # it grows, perhaps faster than it is read
            digest.update(piece)
            self._gzip.write(piece)
        if left:
            raise SealError(f"{name} changed while it was sealed", "seal when nothing writes to it any more")
        self._gzip.write(bytes(-size % _BLOCK))
        return digest.hexdigest()

    def close(self) -> None:
        """Write the end. The archive is whole only after this."""
        self._gzip.write(_END)
        self._gzip.close()


def read_archive(source: BinaryIO, limits: Limits) -> Iterator[Member]:
    """The members of an archive of any origin; raises `ArchiveDamaged` where it is not as the writer writes it.

    Only when the iteration ends without an error is the whole archive known to be sound.
    """
    stream = _Inflater(source)
    count, total, last = 0, 0, ""
    while (block := stream.exactly(_BLOCK)) != bytes(_BLOCK):
        name, size = _parse_header(block)
        count, total = count + 1, total + size
        if name <= last:
            raise ArchiveDamaged(f"{name!r} comes after {last!r}: twice, or out of order")
        if count > limits.members or total > limits.total_bytes:
            raise ArchiveDamaged(f"more than {limits.members} members or {limits.total_bytes} bytes")
        yield Member(name, size, stream.pieces(size))
        if stream.exactly(-size % _BLOCK).strip(b"\0"):
            raise ArchiveDamaged(f"bytes are hidden behind the end of {name!r}")
        last = name
    if stream.exactly(_BLOCK) != bytes(_BLOCK):
        raise ArchiveDamaged("a single empty block stands where the end should be")
    stream.finish()


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    try:
        return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    except ValueError as error:
        raise SealError(f"{name} does not fit a ustar archive: {error}", "shorten it") from error


def _parse_header(block: bytes) -> tuple[str, int]:
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        canonical = _header(info.name, info.size)
    except (tarfile.HeaderError, ValueError, SealError) as error:
        raise ArchiveDamaged(f"a member's header cannot be read: {error}") from error
    if not is_portable(info.name):
        raise ArchiveDamaged(f"the name {info.name!r} is not a portable relative path")
    if canonical != block:
        raise ArchiveDamaged(f"{info.name!r} is not a plain file with constant mode, owner and time")
    return info.name, info.size


class _Deflater:
    def __init__(self, out: BinaryIO) -> None:
        self._out, self._zlib = out, zlib.compressobj(6, zlib.DEFLATED, _RAW)
        self._crc = self._size = 0
        self._digest = hashlib.sha256()
        out.write(_GZIP_HEADER + bytes(self._digest.digest_size))

    def write(self, content: bytes) -> None:
        self._crc, self._size = zlib.crc32(content, self._crc), self._size + len(content)
        self._emit(self._zlib.compress(content))

    def close(self) -> None:
        self._emit(self._zlib.flush() + _trailer(self._crc, self._size))
        self._out.seek(len(_GZIP_HEADER))
        self._out.write(self._digest.digest())

    def _emit(self, packed: bytes) -> None:
        self._digest.update(packed)
        self._out.write(packed)


class _Inflater:
    def __init__(self, source: BinaryIO) -> None:
        self._source, self._zlib = source, zlib.decompressobj(_RAW)
        self._crc = self._size = 0
        self._digest = hashlib.sha256()
        if source.read(len(_GZIP_HEADER)) != _GZIP_HEADER:
            raise ArchiveDamaged("it does not begin as a bundle's gzip stream does")
        self._expected = source.read(self._digest.digest_size)

    def pieces(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._read(min(size, CHUNK))
            if not piece:
                raise ArchiveDamaged("it ends too early")
            size -= len(piece)
            yield piece

    def exactly(self, size: int) -> bytes:
        return b"".join(self.pieces(size))

    def finish(self) -> None:
        if self._read(1):
            raise ArchiveDamaged("more content follows its end")
        rest = self._zlib.unused_data + self._feed(9)
        if rest[:8] != _trailer(self._crc, self._size):
            raise ArchiveDamaged("its checksum or length is wrong")
        if len(rest) > 8:
            raise ArchiveDamaged("something follows the end of its gzip stream")
        if self._digest.digest() != self._expected:
            raise ArchiveDamaged("its bytes are not those that were written")

    def _read(self, at_most: int) -> bytes:
        while not self._zlib.eof:
            feed = self._zlib.unconsumed_tail or self._feed(CHUNK)
            try:
                piece = self._zlib.decompress(feed, at_most)
            except zlib.error as error:
                raise ArchiveDamaged(f"its compressed bytes are damaged: {error}") from error
            if piece:
                self._crc, self._size = zlib.crc32(piece, self._crc), self._size + len(piece)
                return piece
            if not feed:
                raise ArchiveDamaged("it ends too early")
        return b""

    def _feed(self, at_most: int) -> bytes:
        packed = self._source.read(at_most)
        self._digest.update(packed)
        return packed


def _trailer(crc: int, size: int) -> bytes:
    return struct.pack("<II", crc, size & 0xFFFFFFFF)
