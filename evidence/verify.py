#!/usr/bin/env python3
"""The verifier: checks what Muster sealed, offline, with a pinned key. One file, and nothing else of Muster.

    python3 verify.py RUN.tar.gz     --key signing.pub [--proof RUN.tlog-proof] [--keyring keys/] [--receipt FILE]
    python3 verify.py PACKAGE.tar.gz --key signing.pub [--before OLDER.tar.gz] [--tsa-cert FILE]... [--witness VKEY]...
                                     [--head FILE]...

Exit codes: 0 pass, 1 fail, 2 something that was asked for could not be checked, 64 wrong usage.

Promises: it needs Python 3.9 or newer, and the package `cryptography` or the command `openssl`; a key inside what is
checked is never trusted; hostile input is a failed check, never an exception, never a hang; every check is listed, also
one that could not be made; memory does not grow with the size of files or of the log.
Source: docs/evidence-format.md says what is checked, and names the standards; each part here names its own.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import functools
import hashlib
import itertools
import json
import re
import stat
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, NoReturn, Protocol
from xml.etree.ElementTree import Element, ParseError, fromstring

if TYPE_CHECKING:
    from typing import TypeGuard

# --- Names ------------------------------------------------------------------------------------------------------------
# ASCII, relative, no `..`, nothing that Windows or a case-folding disk would merge or refuse: so no two names can look
# alike, and none can leave its folder. Source: POSIX.1-2017 3.282, with `+=,@` besides.

_SEGMENT = re.compile(r"(?!-)[A-Za-z0-9._+=,@-]{1,100}(?<!\.)")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def is_portable(name: str) -> bool:
    """Whether `name`, with `/` between its segments, may stand in evidence."""
    return bool(name) and len(name) <= 200 and all(map(_is_portable_segment, name.split("/")))


def find_clash(names: Iterable[str]) -> str | None:
    """A name that equals another but for case, or that is a file where another needs a folder."""
    taken: set[str] = set()
    folders: set[str] = set()
    for name in sorted(names):
        folded = name.lower()
        parents = {"/".join(folded.split("/")[:depth]) for depth in range(1, folded.count("/") + 1)}
        if folded in taken or folded in folders or parents & taken:
            return name
        taken.add(folded)
        folders |= parents
    return None


def _is_portable_segment(segment: str) -> bool:
    return _SEGMENT.fullmatch(segment) is not None and _RESERVED.fullmatch(segment) is None


# --- Archive ----------------------------------------------------------------------------------------------------------
# Plain files in a .tar.gz of which every byte follows from the files. Two forms, told apart by the gzip header:
# "deflated" is compressed, and since deflate can say one thing in several ways, an extra field of the header carries
# the SHA-256 of all bytes behind it; "stored" is cut into blocks that are not compressed, which leaves no choice.
# Source: RFC 1951 (3.2.4), RFC 1952 (2.3.1.1), POSIX.1-2017 `pax`, ustar interchange format.

CHUNK = 1 << 20
"""Bytes read at a time."""
TAR_BLOCK = 512
TAR_END = bytes(2 * TAR_BLOCK)
DEFLATED_HEADER = bytes.fromhex("1f8b08040000000000ff") + struct.pack("<H2sH", 36, b"MU", 32)
"""Deflate, an extra field, no time, system unknown; one subfield of 32 bytes follows: the digest."""
STORED_HEADER = bytes.fromhex("1f8b08000000000000ff")
"""No extra field; then come stored blocks, each as long as a block can be, the last one as long as is left."""
STORED_BLOCK = 65_535
RAW_DEFLATE = -zlib.MAX_WBITS

_TAR_PREFIX, _TAR_NAME = 155, 100
_TAR_SIZE = re.compile(rb"[0-7]{11}\0")


class ArchiveDamaged(Exception):
    """The archive is not one that the writer could have written; the message says where it departs."""


@dataclass(frozen=True)
class Limits:
    """How much a reader unpacks before it calls an archive a bomb."""

    members: int = 10_000
    total_bytes: int = 64 << 30
    """Of all that is unpacked, archives in archives too."""
    tag_bytes: int = 8 << 20
    """Of one file that has to be held in memory."""


PACKAGE_LIMITS = Limits(members=250_000, tag_bytes=32 << 20)


class Source(Protocol):
    """What can be read: a file, or a member of an archive."""

    def read(self, size: int, /) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        ...


class Member(NamedTuple):
    """A file in the archive. `pieces` are its content, to be had before the next member is asked for."""

    name: str
    size: int
    pieces: Iterator[bytes]


class Budget:
    """Bytes that may still be unpacked."""

    def __init__(self, limits: Limits) -> None:
        self._all = self._left = limits.total_bytes

    def spend(self, size: int) -> None:
        """Take `size` bytes of it. Raises `ArchiveDamaged` when that many are not left."""
        self._left -= size
        if self._left < 0:
            raise ArchiveDamaged(f"more than {self._all} bytes")


def read_archive(source: Source, limits: Limits, budget: Budget | None = None) -> Iterator[Member]:
    """The members of an archive of any origin; raises `ArchiveDamaged` where it is not as the writer writes it.

    Only when the iteration ends without an error is the whole archive known to be sound.
    """
    stream, budget = _open_gzip(source), budget or Budget(limits)
    last = ""
    for count in itertools.count(1):
        block = stream.exactly(TAR_BLOCK)
        if block == bytes(TAR_BLOCK):
            break
        name, size = _parse_tar_header(block)
        if name <= last:
            raise ArchiveDamaged(f"{name!r} comes after {last!r}: twice, or out of order")
        if count > limits.members:
            raise ArchiveDamaged(f"more than {limits.members} members")
        budget.spend(size)
        pieces = stream.pieces(size)
        yield Member(name, size, pieces)
        deque(pieces, maxlen=0)  # what nobody wanted
        if stream.exactly(-size % TAR_BLOCK).strip(b"\0"):
            raise ArchiveDamaged(f"bytes are hidden behind the end of {name!r}")
        last = name
    if stream.exactly(TAR_BLOCK) != bytes(TAR_BLOCK):
        raise ArchiveDamaged("a single empty block stands where the end should be")
    stream.finish()


def tar_header(name: str, size: int) -> bytes | None:
    """The one header of a plain file: mode 0644, owner and time zero; `None` when name or size do not fit ustar."""
    prefix, stem = _split_name(name)
    if len(prefix) > _TAR_PREFIX or len(stem) > _TAR_NAME or not 0 <= size < 8**11:
        return None
    fields = (
        stem.encode("ascii").ljust(_TAR_NAME, b"\0"),
        b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"00000000000\0",
        b" " * 8 + b"0" + bytes(100) + b"ustar\x0000" + bytes(80),
        prefix.encode("ascii").ljust(_TAR_PREFIX, b"\0") + bytes(12),
    )
    header = b"".join(fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _split_name(name: str) -> tuple[str, str]:
    """Prefix and name: a name that is too long is cut at the first `/` after which the rest fits."""
    if len(name) <= _TAR_NAME:
        return "", name
    cut = name.find("/", len(name) - _TAR_NAME - 1)
    return (name[:cut], name[cut + 1 :]) if cut >= 0 else ("", name)


def _parse_tar_header(block: bytes) -> tuple[str, int]:
    stem, size, prefix = (block[a:b] for a, b in ((0, 100), (124, 136), (345, 500)))
    parts = [part.rstrip(b"\0").decode("utf-8", "replace") for part in (prefix, stem)]
    name = "/".join(part for part in parts if part)
    if not is_portable(name):
        raise ArchiveDamaged(f"the name {name!r} is not a portable relative path")
    if not _TAR_SIZE.fullmatch(size) or tar_header(name, int(size[:-1], 8)) != block:
        raise ArchiveDamaged(f"{name!r} is not a plain file with constant mode, owner and time")
    return name, int(size[:-1], 8)


class _Unzipped:
    """The bytes inside a gzip stream, checked on the way; a class for each of the two forms."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._crc = self._size = 0

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, in pieces."""
        while size:
            piece = self._next(size)
            if not piece:
                raise ArchiveDamaged("it ends too early")
            size -= len(piece)
            yield piece

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes."""
        return b"".join(self.pieces(size))

    def finish(self) -> None:
        """Raises `ArchiveDamaged` unless nothing is left and all was as it should be."""
        if self._next(1):
            raise ArchiveDamaged("more content follows its end")
        rest = self._rest()
        if rest[:8] != gzip_trailer(self._crc, self._size):
            raise ArchiveDamaged("its checksum or length is wrong")
        if len(rest) > 8:
            raise ArchiveDamaged("something follows the end of its gzip stream")

    def _count(self, piece: bytes) -> None:
        self._crc, self._size = zlib.crc32(piece, self._crc), self._size + len(piece)

    def _next(self, at_most: int) -> bytes:
        raise NotImplementedError

    def _rest(self) -> bytes:
        """What follows the compressed bytes, up to one byte more than there should be."""
        return self._source.read(9)


class _Inflated(_Unzipped):
    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._zlib = zlib.decompressobj(RAW_DEFLATE)
        self._digest = hashlib.sha256()
        self._expected = source.read(self._digest.digest_size)

    def finish(self) -> None:
        super().finish()
        if self._digest.digest() != self._expected:
            raise ArchiveDamaged("its bytes are not those that were written")

    def _next(self, at_most: int) -> bytes:
        while not self._zlib.eof:
            feed = self._zlib.unconsumed_tail or self._feed(CHUNK)
            try:
                piece = self._zlib.decompress(feed, min(at_most, CHUNK))
            except zlib.error as error:
                raise ArchiveDamaged(f"its compressed bytes are damaged: {error}") from error
            if piece:
                self._count(piece)
                return piece
            if not feed:
                raise ArchiveDamaged("it ends too early")
        return b""

    def _rest(self) -> bytes:
        return self._zlib.unused_data + self._feed(9)

    def _feed(self, at_most: int) -> bytes:
        packed = self._source.read(at_most)
        self._digest.update(packed)
        return packed


class _Stored(_Unzipped):
    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._block, self._at, self._is_last = b"", 0, False

    def _next(self, at_most: int) -> bytes:
        if self._at == len(self._block):
            self._block, self._at = self._read_block(), 0
        start, self._at = self._at, min(self._at + at_most, len(self._block))
        return self._block[start : self._at]

    def _read_block(self) -> bytes:
        if self._is_last:
            return b""
        head = self._source.read(5)
        if len(head) < 5:
            raise ArchiveDamaged("it ends too early")
        final, size, inverse = struct.unpack("<BHH", head)
        if final > 1 or size ^ inverse != 0xFFFF or size == 0 or (size < STORED_BLOCK and not final):
            raise ArchiveDamaged("a stored block is not as long as it should be")
        block = self._source.read(size)
        if len(block) < size:
            raise ArchiveDamaged("it ends too early")
        self._is_last = bool(final)
        self._count(block)
        return block


def _open_gzip(source: Source) -> _Unzipped:
    header = source.read(len(STORED_HEADER))
    if header == STORED_HEADER:
        return _Stored(source)
    if header + source.read(len(DEFLATED_HEADER) - len(header)) == DEFLATED_HEADER:
        return _Inflated(source)
    raise ArchiveDamaged("it does not begin as a bundle's gzip stream does")


def gzip_trailer(crc: int, size: int) -> bytes:
    """CRC and length of the unpacked bytes."""
    return struct.pack("<II", crc, size & 0xFFFFFFFF)


class Reader:
    """Reads a member like a file, and knows the digest of what was read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece = pieces, b""
        self._digest = hashlib.sha256()
        self.size = 0
        self.is_broken = False
        """Whether the archive that the member lies in ended its reading."""

    def read(self, size: int, /) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        parts = []
        while size and (self._piece or self._take()):
            part, self._piece = self._piece[:size], self._piece[size:]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def drain(self) -> str:
        """Read to the end; the SHA-256 (hex) of all of it."""
        self._piece = b""
        while self._take():
            pass
        return self._digest.hexdigest()

    def _take(self) -> bool:
        try:
            self._piece = next(self._pieces, b"")
        except ArchiveDamaged:
            self.is_broken = True
            raise
        self._digest.update(self._piece)
        self.size += len(self._piece)
        return bool(self._piece)


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """Open a plain file to read; raises `ArchiveDamaged` for what is none, and never waits at a pipe."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ArchiveDamaged("not a plain file")
        opened = path.open("rb", buffering=CHUNK)
    except OSError as error:
        raise ArchiveDamaged(error.strerror or str(error)) from error
    with opened:
        try:
            yield opened
        except OSError as error:
            raise ArchiveDamaged(error.strerror or str(error)) from error


# --- JSON and base64 --------------------------------------------------------------------------------------------------
# Only canonical JSON is read, so that a value has one form and a changed byte is a changed value. Source: RFC 8785;
# ECMA-262, Number::toString.

_SAFE_INTEGER = 2**53 - 1


def canonical(value: Any) -> str:
    """The value as RFC 8785 writes it. Raises `ValueError` for what has no such form."""
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{canonical(key)}:{canonical(each)}" for key, each in items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return number_text(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def number_text(value: float) -> str:
    """A number as ECMAScript writes it. Python has the same digits, and sets point and exponent otherwise."""
    if value - value != 0:
        raise ValueError("not a finite number")
    sign, (mantissa, _, exponent) = "-" if value < 0 else "", repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(digits) - len(fraction) + int(exponent or 0)
    digits = digits.rstrip("0")
    if not digits:
        return "0"
    if len(digits) <= point <= 21:
        return sign + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{point - 1:+d}"


def parse_json(content: bytes) -> Any:
    """The value in canonical JSON of any origin. Raises `ValueError` or `RecursionError` for all else."""
    numbers: list[str] = []

    def parse_float(text: str) -> float:
        numbers.append(text)
        return float(text)

    def parse_int(text: str) -> float:  # a long one is only read as what it is to other readers: a double
        value = int(text) if len(text) < 18 else _SAFE_INTEGER + 1
        return value if abs(value) <= _SAFE_INTEGER else parse_float(text)

    text = content.decode()
    value = json.loads(text, parse_float=parse_float, parse_int=parse_int, parse_constant=parse_float)
    if text.isascii() and not numbers:  # the quick way, which is the same where these two cannot differ
        again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    else:
        again = canonical(value)
    if again != text:
        raise ValueError("not in its canonical form")
    return value


def parse_object(content: bytes) -> dict[str, Any] | None:
    """The object in canonical JSON of any origin, or `None`."""
    try:
        value = parse_json(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


_TEXT, _NUMBER, _LIST, _OBJECT, _FLAG = (str,), (int,), (list,), (dict,), (bool,)
_TEXT_OR_NULL, _NUMBER_OR_NULL = (str, type(None)), (int, type(None))
Form = Mapping[str, "tuple[type, ...]"]
"""The fields of an object, and the types that each may have."""


def has_form(value: Any, form: Form, *, more: bool = False) -> TypeGuard[dict[str, Any]]:
    """Whether the value is an object with these fields: and no others, unless there may be `more`."""
    if not isinstance(value, dict) or not (form.keys() <= value.keys() if more else form.keys() == value.keys()):
        return False
    return all(type(value[name]) in types for name, types in form.items())


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def unbase64(text: str) -> bytes | None:
    """The bytes, if `text` is their one canonical form: Python's decoder lets bits in the last letter pass."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if base64.b64encode(content).decode() == text else None


_SHA256 = re.compile(r"[0-9a-f]{64}")


def sha256(content: bytes) -> str:
    """SHA-256 in lower-case hex."""
    return hashlib.sha256(content).hexdigest()


def is_sha256(text: Any) -> bool:
    """Whether it is a SHA-256 in lower-case hex."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


UTC = timezone.utc  # noqa: UP017  # `datetime.UTC` came after 3.9
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{6})?(Z|\+00:00)")
_CLOCKS = timedelta(hours=1)
"""How far clocks may be apart."""


def parse_time(text: Any) -> datetime | None:
    """A time in UTC, `Z` or `+00:00`, microseconds where there are any (RFC 3339)."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    try:
        return datetime.fromisoformat(f"{match[1]}{match[2] or ''}+00:00") if match else None
    except ValueError:
        return None


def write_time(moment: datetime) -> str:
    """A time as evidence writes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


# --- Keys -------------------------------------------------------------------------------------------------------------
# A public key is its DER SubjectPublicKeyInfo, and its id the SHA-256 of that. Two kinds exist, told apart by the fixed
# bytes they begin with (RFC 8410, RFC 5480), so that no ASN.1 is read here. Whether a signature is right is judged by
# the package `cryptography` or by the command `openssl`; either is enough.

ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")
"""Then follow the 32 bytes of the key."""
P256_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
"""Then follow the 65 bytes of an uncompressed point."""

Judge = Callable[[bytes, bytes, bytes], bool]
"""Whether a signature over a message is right: key (DER), signature, message."""

_PEM_BEGIN, _PEM_END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
_KNOWN_KEY = ED25519_PREFIX + bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
_KNOWN_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
"""Test 2 of RFC 8032, 7.1: over the one byte 0x72."""


class Unusable(Exception):
    """What the verifier was given, or runs on, does not let it begin: what is wrong, and the next move."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(f"{message}: {advice}")
        self.message, self.advice = message, advice


class Unable(Unusable):
    """What the verifier runs on cannot check what was asked for: neither its fault nor that of the evidence."""


@dataclass(frozen=True)
class PublicKey:
    """A key that may have signed: Ed25519, or ECDSA on P-256."""

    der: bytes

    @functools.cached_property
    def key_id(self) -> str:
        """SHA-256 of the DER SubjectPublicKeyInfo, hex."""
        return sha256(self.der)

    @functools.cached_property
    def pem(self) -> str:
        """The key as PEM, in its one canonical form."""
        letters = base64.b64encode(self.der).decode()
        lines = "\n".join(letters[at : at + 64] for at in range(0, len(letters), 64))
        return f"{_PEM_BEGIN}\n{lines}\n{_PEM_END}\n"

    @property
    def ed25519(self) -> bytes | None:
        """The 32 bytes of an Ed25519 key; no other signs notes."""
        return self.der[len(ED25519_PREFIX) :] if self.der.startswith(ED25519_PREFIX) else None


def parse_key(pem: str) -> PublicKey | None:
    """The key in PEM of any origin, or `None`."""
    text = pem.strip()
    is_pem = text.startswith(_PEM_BEGIN) and text.endswith(_PEM_END)
    der = unbase64("".join(text[len(_PEM_BEGIN) : -len(_PEM_END)].split())) if is_pem else None
    known = ((ED25519_PREFIX, 32), (P256_PREFIX, 65))
    if der is None or not any(der.startswith(prefix) and len(der) == len(prefix) + size for prefix, size in known):
        return None
    return PublicKey(der)


def load_key(path: Path) -> PublicKey:
    """The pinned key in a PEM file. Raises `Unusable`: a key that cannot be read verifies nothing."""
    try:
        key = parse_key(path.read_text("ascii", "replace"))
    except OSError as error:
        raise Unusable(f"cannot read the key {path}: {error.strerror}", "check the path") from error
    if key is None:
        raise Unusable(f"{path} holds no public key in PEM that can seal", "pin the .pub file you were given")
    return key


@functools.cache
def has_cryptography() -> bool:
    """Whether the package can be used."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: F401  # asked whether it is there
    except Exception:  # a broken installation raises what it likes
        return False
    return True


def judge_by_cryptography(der: bytes, signature: bytes, message: bytes) -> bool:
    """Ed25519 (RFC 8032), or ECDSA on P-256 with SHA-256, by the package `cryptography`."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_der_public_key(der)
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def judge_by_openssl(der: bytes, signature: bytes, message: bytes) -> bool:
    """The same by the command: `openssl pkeyutl -verify -pubin -rawin`."""
    command = ["pkeyutl", "-verify", "-pubin", "-rawin", "-keyform", "DER", "-inkey", "key", "-sigfile", "signature"]
    if der.startswith(P256_PREFIX):
        command += ["-digest", "sha256"]
    files = {"key": der, "signature": signature, "message": message}
    return run_openssl(files, *command, "-in", "message").returncode == 0


def default_judge(der: bytes, signature: bytes, message: bytes) -> bool:
    """By the package where it is, else by the command."""
    return (judge_by_cryptography if has_cryptography() else judge_by_openssl)(der, signature, message)


def assert_able(judge: Judge) -> None:
    """Raises `Unable` when the judge does not know a right signature: old or other `openssl` know no Ed25519."""
    try:
        able = judge(_KNOWN_KEY, _KNOWN_SIGNATURE, b"\x72") and not judge(_KNOWN_KEY, _KNOWN_SIGNATURE, b"\x73")
    except (ImportError, Unusable):
        able = False
    if not able:
        raise Unable("no signature can be checked here", "install OpenSSL 3, or Python's package `cryptography`")


def run_openssl(files: Mapping[str, bytes], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a folder of its own, where these files lie. Raises `Unable` when that cannot be done."""
    try:
        with tempfile.TemporaryDirectory(prefix="verify-") as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            return subprocess.run(
                ["openssl", *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
                check=False,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unable(
            f"`openssl` cannot be run: {error}", "install it, and see that there is room on the disk"
        ) from error


# --- Envelopes and statements -----------------------------------------------------------------------------------------
# A DSSE envelope around an in-toto Statement v1. Source: secure-systems-lab/dsse, protocol.md; in-toto attestation
# framework, spec/v1/statement.md.

IN_TOTO = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
DRILL_RUN = "urn:muster:drill-run:v1"
TEST_RESULT_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
PACKAGE_TYPE = "urn:muster:package:v1"
PUT_RECEIPT = "urn:muster:put-receipt:v1"
KEY_STATEMENT = "urn:muster:key:v1"
PROBE = "urn:muster:probe:v1"
LINK = "urn:muster:link:v1"
PLAN_STATEMENT = "urn:muster:plan:v1"

_ENVELOPE: Form = {"payload": _TEXT, "payloadType": _TEXT, "signatures": _LIST}
_SIGNATURE: Form = {"keyid": _TEXT, "sig": _TEXT}
_STATEMENT: Form = {"_type": _TEXT, "predicate": _OBJECT, "predicateType": _TEXT, "subject": _LIST}
_SUBJECT: Form = {"digest": _OBJECT, "name": _TEXT}


class Signed(NamedTuple):
    """One signature of an envelope, and the id of the key that it names."""

    key_id: str
    signature: bytes


@dataclass(frozen=True)
class Envelope:
    """An envelope taken apart; nothing in it is trusted yet."""

    payload: bytes
    signatures: tuple[Signed, ...]

    def is_signed_by(self, key: PublicKey, judge: Judge, position: int = 0) -> bool:
        """Whether the signature at this position is that key's over exactly this payload (DSSE's PAE of it)."""
        signed, kind = self.signatures[position], IN_TOTO.encode()
        encoded = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)
        return signed.key_id == key.key_id and judge(key.der, signed.signature, encoded)


@dataclass(frozen=True)
class Statement:
    """What an envelope says: of which files (name to SHA-256, hex), what."""

    kind: str
    subjects: Mapping[str, str]
    predicate: Mapping[str, Any]


def open_envelope(content: bytes, signatures: int = 1) -> Envelope | None:
    """The parts of an envelope with so many signatures, or `None` when it is not in its one form."""
    value = parse_object(content)
    if not has_form(value, _ENVELOPE) or value["payloadType"] != IN_TOTO:
        return None
    found = value["signatures"]
    if len(found) != signatures or not all(has_form(each, _SIGNATURE) for each in found):
        return None
    payload, parts = unbase64(value["payload"]), [unbase64(each["sig"]) for each in found]
    if payload is None or not all(parts):
        return None
    return Envelope(payload, tuple(Signed(each["keyid"], part or b"") for each, part in zip(found, parts)))  # noqa: B905  # not in 3.9


def parse_statement(payload: bytes) -> Statement | None:
    """The statement in signed bytes, or `None` when it is not in its one form."""
    value = parse_object(payload)
    if not has_form(value, _STATEMENT) or value["_type"] != STATEMENT_TYPE:
        return None
    subjects: dict[str, str] = {}
    last = ""
    for each in value["subject"]:
        if not has_form(each, _SUBJECT) or not has_form(each["digest"], {"sha256": _TEXT}):
            return None
        if not is_sha256(each["digest"]["sha256"]) or each["name"] <= last:
            return None
        last = each["name"]
        subjects[last] = each["digest"]["sha256"]
    return Statement(value["predicateType"], subjects, value["predicate"])


# --- Merkle tree ------------------------------------------------------------------------------------------------------
# Leaf and node hashes begin with different bytes, so that no node can pass for a leaf. Source: RFC 6962, 2.1.

HASH_SIZE = 32
LARGEST_SIZE = (1 << 63) - 1


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry's bytes."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """The root over leaves that come one by one: keeps a hash for each set bit of the size, so memory is flat."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Take the next leaf hash."""
        self._peaks.append(leaf)
        size = self.size
        while size & 1:  # two trees of one height become one
            right = self._peaks.pop()
            self._peaks.append(node_hash(self._peaks.pop(), right))
            size >>= 1
        self.size += 1

    def root(self) -> bytes:
        """The root now; of no leaf at all, the hash of nothing."""
        if not self._peaks:
            return hashlib.sha256(b"").digest()
        return functools.reduce(lambda right, left: node_hash(left, right), reversed(self._peaks))


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """The root of the tree with these leaf hashes."""
    tree = Tree()
    for leaf in leaf_hashes:
        tree.append(leaf)
    return tree.root()


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof leads from the leaf hash at `index` to the root of the tree of `size` leaves.

    Source: RFC 9162, 2.1.3.2; `node` and `last` are its fn and sn.
    """
    if not 0 <= index < size <= LARGEST_SIZE or not _are_hashes(leaf, root, *proof):
        return False
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            node, last = _skip_missing_siblings(node, last)
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the tree of `old` leaves is the beginning of the tree of `new` leaves.

    Source: RFC 9162, 2.1.4.2. Beside it: the same size needs the same root and no proof, and the empty tree, whose
    root is the hash of nothing, is the beginning of every tree.
    """
    if not 0 <= old <= new <= LARGEST_SIZE or not _are_hashes(old_root, new_root, *proof):
        return False
    if old == 0 and old_root != Tree().root():
        return False
    if old in (0, new):
        return not proof and (old < new or old_root == new_root)
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    return bool(path) and _roots_by(path, old - 1, new - 1) == (old_root, new_root)


def _roots_by(path: Sequence[bytes], node: int, last: int) -> tuple[bytes, bytes] | None:
    """The roots of the old and of the new tree to which a consistency proof leads."""
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            node, last = _skip_missing_siblings(node, last)
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return (old, new) if last == 0 else None


def _skip_missing_siblings(node: int, last: int) -> tuple[int, int]:
    """At the right edge some levels have no sibling: go up to where the node is a right child."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_SIZE for value in values)


# --- Notes, checkpoints, proofs ---------------------------------------------------------------------------------------
# Source: C2SP signed-note, tlog-checkpoint, tlog-proof, tlog-tiles, tlog-cosignature.

LARGEST_NOTE = 1 << 20
MOST_SIGNATURES = 100
ED25519_NOTE = 0x01
COSIGNATURE_NOTE = 0x04
"""Types of signatures."""

_SIGNATURE_LINE = re.compile("\u2014 ([^ +]+) ([A-Za-z0-9+/]+={0,2})")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_PROOF_HEADER = "c2sp.org/tlog-proof@v1"
_MOST_PROOF_HASHES = 63
_LAST_SECOND = 253_402_300_800
"""No calendar goes on after the year 9999."""


@dataclass(frozen=True)
class NoteSignature:
    """One signature line: who says it, the first four bytes of the key's hash, and what the key signed."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Note:
    """A signed note taken apart; nothing in it is trusted yet. The text ends with its newline."""

    text: bytes
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A tree head: the log's name, how many entries it has, and their root hash."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True)
class TlogProof:
    """An entry's place in a log: its index, the inclusion proof, the signed head, and the entry itself if given."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""


def parse_note(content: bytes) -> Note | None:
    """A signed note of any origin, or `None`. Source: C2SP signed-note."""
    if len(content) > LARGEST_NOTE or not content.endswith(b"\n"):
        return None
    try:
        whole = content.decode()
    except UnicodeDecodeError:
        return None
    text, blank, lines = whole[:-1].rpartition("\n\n")
    if not blank or any(letter < " " and letter != "\n" for letter in whole):
        return None
    signatures = tuple(map(_parse_signature, lines.split("\n")[: MOST_SIGNATURES + 1]))
    if len(signatures) > MOST_SIGNATURES:
        return None
    known = tuple(signature for signature in signatures if signature)
    return Note(f"{text}\n".encode(), known) if len(known) == len(signatures) else None


def _parse_signature(line: str) -> NoteSignature | None:
    match = _SIGNATURE_LINE.fullmatch(line)
    blob = unbase64(match[2]) if match else None
    if match is None or blob is None or len(blob) < 5 or any(letter.isspace() for letter in match[1]):
        return None
    return NoteSignature(match[1], blob[:4], blob[4:])


def parse_checkpoint(text: bytes) -> Checkpoint | None:
    """A checkpoint in the text of a note, without extension lines, or `None`. Source: C2SP tlog-checkpoint."""
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError:
        return None
    if len(lines) != 4 or lines[3] or not lines[0]:
        return None
    size, root = parse_decimal(lines[1]), parse_hash(lines[2])
    return None if size is None or root is None else Checkpoint(lines[0], size, root)


def note_key_id(name: str, kind: int, public: bytes) -> bytes:
    """The four bytes by which a signature line names its key; `kind` is the signature's type."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def note_signed_by(note: Note, name: str, public: bytes, judge: Judge = default_judge) -> bool:
    """Whether the note has a signature of type 0x01 (Ed25519) by this name and key (32 bytes), and no bad one."""
    key_id = note_key_id(name, ED25519_NOTE, public)
    ours = [line.signature for line in note.signatures if (line.name, line.key_id) == (name, key_id)]
    return bool(ours) and all(judge(ED25519_PREFIX + public, signature, note.text) for signature in ours)


def parse_tlog_proof(content: bytes) -> TlogProof | None:
    """A `.tlog-proof` of any origin, or `None`. Source: C2SP tlog-proof."""
    head, blank, checkpoint = content.partition(b"\n\n")
    if not blank or len(head) > LARGEST_NOTE or parse_note(checkpoint) is None:
        return None
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        return None
    extra: bytes | None = b""
    if len(lines) > 1 and lines[1].startswith("extra "):
        extra = unbase64(lines.pop(1)[len("extra ") :]) or None  # no extra data has no line
    if len(lines) < 2 or lines[0] != _PROOF_HEADER or not lines[1].startswith("index ") or extra is None:
        return None
    index, found = parse_decimal(lines[1][len("index ") :]), [parse_hash(line) for line in lines[2:]]
    proof = tuple(value for value in found if value)
    if index is None or len(proof) != len(found) or len(proof) > _MOST_PROOF_HASHES:
        return None
    return TlogProof(index, proof, checkpoint, extra)


def parse_entry_bundle(content: bytes) -> tuple[bytes, ...] | None:
    """The entries of an entry bundle, each behind its length in 16 bits, or `None`. Source: C2SP tlog-tiles."""
    entries, at = [], 0
    while at < len(content):
        if len(content) < at + 2:
            return None
        (length,) = struct.unpack_from(">H", content, at)
        at += 2 + length
        if at > len(content):
            return None
        entries.append(content[at - length : at])
    return tuple(entries)


def parse_decimal(text: str) -> int | None:
    """A number below 2**63 as ASCII decimal without leading zeros."""
    number = int(text) if _DECIMAL.fullmatch(text) else None
    return number if number is not None and number <= LARGEST_SIZE else None


def parse_hash(text: str) -> bytes | None:
    """A hash in base64."""
    value = unbase64(text)
    return value if value is not None and len(value) == HASH_SIZE else None


@dataclass(frozen=True)
class Witness:
    """A witness whose cosignatures the verifier was told to look for: its name and its key (32 bytes)."""

    name: str
    public: bytes


def parse_vkey(text: str) -> Witness | None:
    """The witness in a verifier key of type 0x04, `NAME+ID+KEY`, or `None`."""
    name, _, rest = text.partition("+")
    key_id, _, key = rest.partition("+")
    blob = unbase64(key)
    if (
        not name
        or not name.isprintable()
        or " " in name
        or blob is None
        or len(blob) != 1 + 32
        or blob[0] != COSIGNATURE_NOTE
    ):
        return None
    return Witness(name, blob[1:]) if note_key_id(name, COSIGNATURE_NOTE, blob[1:]).hex() == key_id else None


def parse_signature_lines(content: bytes) -> tuple[NoteSignature, ...] | None:
    """The signature lines in a file of their own, or `None`."""
    note = parse_note(b"\n\n" + content)
    return note.signatures if note and note.text == b"\n" else None


def cosigned_at(text: bytes, lines: Iterable[NoteSignature], witness: Witness, judge: Judge) -> datetime | None:
    """When the witness cosigned this checkpoint; `None`: it did not. Raises `ValueError` for a bad one."""
    key_id, at = note_key_id(witness.name, COSIGNATURE_NOTE, witness.public), None
    for line in lines:
        if (line.name, line.key_id) == (witness.name, key_id):
            seconds = int.from_bytes(line.signature[:8], "big")
            message = b"cosignature/v1\ntime %d\n%b" % (seconds, text)
            if not judge(ED25519_PREFIX + witness.public, line.signature[8:], message) or seconds >= _LAST_SECOND:
                raise ValueError("a cosignature that is not this witness's")
            at = datetime.fromtimestamp(seconds, UTC)
    return at


# --- Keyring ----------------------------------------------------------------------------------------------------------
# Which key could do what at which entry of the log. An admission is signed by the admitted key too and names the digest
# of the statement before, so whoever pins a later key holds its word for the chain before it.

_KEY_STATEMENT: Form = {
    "action": _TEXT,
    "at": _TEXT,
    "fromIndex": _NUMBER,
    "key": _TEXT,
    "keyId": _TEXT,
    "number": _NUMBER,
    "previous": _TEXT_OR_NULL,
    "reason": _TEXT,
    "roles": _LIST,
}
_ROLES = ("log", "seal", "submit")
_RUNNER = frozenset({"submit"})
"""The roles of a key that others admit without its own word: it may only hand in, and vouches for nothing."""


class NotTrusted(Exception):
    """The key may not have signed this; the message says why."""


class CannotTell(Exception):
    """Whether it may have cannot be known from what was given; the message says what is missing."""


class KeyringBroken(Exception):
    """The key statements are no chain in which the pinned key stands: nothing in it can be trusted."""


@dataclass(frozen=True)
class Tenure:
    """From and until which entry of the log a key counts; the end may come by a retirement or a revocation."""

    key: PublicKey
    roles: frozenset[str]
    since: int
    until: int | None = None
    is_revoked: bool = False


@dataclass(frozen=True)
class Keyring:
    """Keys by id, and the digests of the statements that say so."""

    tenures: Mapping[str, Tenure]
    digests: tuple[str, ...]

    def key(self, key_id: str, roles: Iterable[str]) -> PublicKey:
        """The key, if it ever had one of the roles. Raises `NotTrusted`."""
        tenure = self.tenures.get(key_id)
        if tenure is None:
            raise NotTrusted(f"signed in the name of key {_short(key_id)}, which the keyring does not admit")
        if not tenure.roles & set(roles):
            raise NotTrusted(f"signed by key {_short(key_id)}, which may only {', '.join(sorted(tenure.roles))}")
        return tenure.key

    def assert_valid(self, key_id: str, roles: Iterable[str], index: int) -> None:
        """Raises `NotTrusted` unless the key has one of the roles at this entry of the log."""
        self.key(key_id, roles)
        tenure = self.tenures[key_id]
        if index < tenure.since:
            raise NotTrusted(f"signed by key {_short(key_id)}, which counts from entry {tenure.since} on only")
        if tenure.until is not None and index >= tenure.until:
            word = "revoked" if tenure.is_revoked else "retired"
            raise NotTrusted(f"signed by key {_short(key_id)}, which was {word} from entry {tenure.until} on")

    def key_without_log(self, key_id: str) -> PublicKey:
        """A key that may have sealed what has no known place in the log. Raises `NotTrusted`, `CannotTell`."""
        key, tenure = self.key(key_id, ("seal", "submit")), self.tenures[key_id]
        if tenure.is_revoked:
            raise NotTrusted(
                f"signed by key {_short(key_id)}, which is revoked; only the log can show that it was before"
            )
        if tenure.until is not None or "seal" not in tenure.roles:
            raise CannotTell(f"signed by key {_short(key_id)}, which counts with a place in the log only: give --proof")
        return key


def read_keyring(envelopes: Sequence[bytes], pinned: PublicKey, judge: Judge) -> Keyring:
    """The keyring in these envelopes, in their order. Raises `KeyringBroken`."""
    ring = Keyring({}, ())
    for number, envelope in enumerate(envelopes):
        try:
            ring = _extended(ring, envelope, judge)
        except (NotTrusted, KeyringBroken) as error:
            raise KeyringBroken(f"key statement {number}: {error}") from error
    tenure = ring.tenures.get(pinned.key_id)
    if tenure is None:
        raise KeyringBroken("the pinned key is not in the keyring")
    if tenure.is_revoked:
        raise KeyringBroken("the pinned key is revoked: ask by another road which key to pin")
    if tenure.roles == _RUNNER:
        raise KeyringBroken("the pinned key may only hand in: it vouches for no other")
    return ring


def _extended(ring: Keyring, content: bytes, judge: Judge) -> Keyring:
    """The keyring with one statement more."""
    body, key = _parse_key_statement(content)
    admits, is_first = body["action"] == "admit", not ring.digests
    needs_new = admits and not is_first and frozenset(body["roles"]) != _RUNNER
    envelope = open_envelope(content, 2 if needs_new else 1)
    if envelope is None:
        raise KeyringBroken("not signed by as many keys as it should be")
    if (body["number"], body["previous"]) != (len(ring.digests), ring.digests[-1] if ring.digests else None):
        raise KeyringBroken("it does not follow the one before it")
    if is_first and (not admits or body["fromIndex"] != 0):
        raise KeyringBroken("a keyring begins with the admission of its first key")
    if admits == (key.key_id in ring.tenures):
        raise KeyringBroken("it admits a key twice, or ends one that was never admitted")
    signers = [key] if is_first else [_trusted_signer(ring, envelope, key, admits=admits)]
    signers += [key] if needs_new else []
    if not all(envelope.is_signed_by(one, judge, position) for position, one in enumerate(signers)):
        raise KeyringBroken("a signature is not that of the key that it names, or of the admitted key")
    tenures = {**ring.tenures, key.key_id: _tenure(ring, body, key)}
    return Keyring(tenures, (*ring.digests, sha256(content)))


def _trusted_signer(ring: Keyring, envelope: Envelope, key: PublicKey, *, admits: bool) -> PublicKey:
    """Who may say this of the key: one that seals, and did not end yet; or the key itself, that it ends."""
    tenure = ring.tenures.get(envelope.signatures[0].key_id)
    if tenure is None or tenure.until is not None:
        raise KeyringBroken("signed by a key that was not trusted then, or not any more")
    if "seal" not in tenure.roles and (admits or tenure.key != key):
        raise KeyringBroken("signed by a key that may not speak for others")
    return tenure.key


def _tenure(ring: Keyring, body: Mapping[str, Any], key: PublicKey) -> Tenure:
    if body["action"] == "admit":
        return Tenure(key, frozenset(body["roles"]), body["fromIndex"])
    before = ring.tenures[key.key_id]
    until = body["fromIndex"] if before.until is None else min(before.until, body["fromIndex"])
    return replace(before, until=until, is_revoked=before.is_revoked or body["action"] == "revoke")


def _parse_key_statement(content: bytes) -> tuple[dict[str, Any], PublicKey]:
    envelope = open_envelope(content) or open_envelope(content, 2)
    said = parse_statement(envelope.payload) if envelope else None
    if said is None or said.kind != KEY_STATEMENT or not has_form(said.predicate, _KEY_STATEMENT):
        raise KeyringBroken("it is no envelope around a key statement")
    body = said.predicate
    key, roles = parse_key(body["key"]), body["roles"]
    if key is None or (key.pem, key.key_id) != (body["key"], body["keyId"]):
        raise KeyringBroken("it does not hold the key that it names")
    if said.subjects != {f"{key.key_id}.pub": sha256(key.pem.encode())} or body["fromIndex"] < 0:
        raise KeyringBroken("it does not speak of the key that it holds, from an entry on")
    is_known = body["action"] in ("admit", "retire", "revoke") and parse_time(body["at"]) is not None
    if (
        not is_known
        or roles != sorted(set(map(str, roles)) & set(_ROLES))
        or (body["action"] == "admit") != bool(roles)
    ):
        raise KeyringBroken("its action, its time or its roles are not known")
    return body, key


def _short(key_id: str) -> str:
    return repr(key_id[:16])


# --- Receipts ---------------------------------------------------------------------------------------------------------
# What the store said that it holds, signed by the notary.

_RECEIPT: Form = {
    "askedAt": _TEXT,
    "deleteMarkers": _NUMBER,
    "key": _TEXT,
    "legalHold": _FLAG,
    "lockMode": _TEXT_OR_NULL,
    "lockedUntil": _TEXT_OR_NULL,
    "sha256": _TEXT,
    "size": _NUMBER,
    "store": _TEXT,
    "version": _TEXT_OR_NULL,
    "versions": _NUMBER,
}
_LOCKS = (None, "GOVERNANCE", "COMPLIANCE")
"""From the weakest on."""


class Receipt(NamedTuple):
    """What a store said of a key. `signer` is the id of the key that signed it."""

    key: str
    sha256: str
    size: int
    version: str | None
    lock_mode: str | None
    locked_until: datetime | None
    asked_at: datetime
    legal_hold: bool
    versions: int
    delete_markers: int
    signer: str

    def problems(self) -> Iterator[str]:
        """What it shows that should not be: somebody deleted, or wrote again."""
        if self.delete_markers:
            yield f"the store holds {self.delete_markers} delete markers: somebody deleted it"
        if self.versions != 1:
            yield f"the store holds {self.versions} versions of what is written once"
        if self.lock_mode and (self.locked_until is None or self.locked_until <= self.asked_at):
            yield "its lock was over when the store was asked"

    def problems_after(self, first: Receipt) -> Iterator[str]:
        """What became worse since an earlier receipt of the same key."""
        if (self.sha256, self.size, self.version) != (first.sha256, first.size, first.version):
            yield "the store holds other bytes or another version than at first"
        if _LOCKS.index(self.lock_mode) < _LOCKS.index(first.lock_mode):
            yield f"its lock was {first.lock_mode} and is {self.lock_mode or 'none'}: it was weakened"
        if first.locked_until and (self.locked_until is None or self.locked_until < first.locked_until):
            ends = write_time(self.locked_until) if self.locked_until else "no more"
            yield f"its lock ended {write_time(first.locked_until)} and ends {ends}: it was shortened"
        if first.legal_hold and not self.legal_hold:
            yield "its legal hold was lifted"


def parse_receipt(said: Statement, signer: str) -> Receipt | None:
    """The receipt in a statement, or `None`."""
    body = said.predicate
    if said.kind != PUT_RECEIPT or not has_form(body, _RECEIPT) or body["lockMode"] not in _LOCKS:
        return None
    asked, until = parse_time(body["askedAt"]), parse_time(body["lockedUntil"])
    if asked is None or (until is None) != (body["lockedUntil"] is None) or min(body["size"], body["versions"]) < 0:
        return None
    if said.subjects != {body["key"]: body["sha256"]} or body["deleteMarkers"] < 0:
        return None
    lock = (body["version"], body["lockMode"], until, asked, body["legalHold"])
    return Receipt(body["key"], body["sha256"], body["size"], *lock, body["versions"], body["deleteMarkers"], signer)


# --- Anchors ----------------------------------------------------------------------------------------------------------
# Time-stamps of heads by authorities that are not ours, checked by `openssl ts`. The command takes SHA-1 and MD5; here
# the hashes that a token was signed over are looked at too, and level 1 refuses certificates that were signed over
# them, but for the pinned ones, which are trusted as they are. Source: RFC 3161; RFC 5652, 5.1 and 5.3.

_GRANTED_TIME = re.compile(
    r"^Time stamp: ([A-Z][a-z]{2}) +([0-9]{1,2}) ([0-9:]{8})(\.[0-9]{1,6})?[0-9]* ([0-9]{4}) GMT$", re.MULTILINE
)
_NO_ISSUER = re.compile(rb"Verify error: ?(unable to get (local )?issuer|self[- ]signed) certificate")
_TOO_WEAK = re.compile(rb"(md|digest algorithm|key) too (weak|small)")
_SHA2 = tuple(bytes.fromhex(f"60864801650304020{last}") for last in (1, 2, 3))
"""The object identifiers of SHA-256, SHA-384 and SHA-512."""
_KNOWS_LEVELS = re.compile(rb"OpenSSL ([3-9]|[1-9][0-9])\.")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class TokenRefused(Exception):
    """A time-stamp does not show what it should; the message says why."""


class UnknownAuthority(TokenRefused):
    """It is by an authority whose certificate was not given: it shows nothing here, and nothing is wrong with it."""


def time_of_token(token: bytes, head: bytes, certificates: bytes) -> datetime:
    """When an authority with one of these certificates (PEM) says that the head existed. Raises `TokenRefused`.

    Certificates have to have been valid at that time, not now: a token outlives its authority's certificate.
    """
    _assert_knows_levels()
    files = {"answer": token, "pinned": certificates}
    # The status around the token is not signed, and says what it likes: only the token itself is read.
    extracted = run_openssl(files, "ts", "-reply", "-in", "answer", "-token_out").stdout
    told = run_openssl({"token": extracted}, "ts", "-reply", "-in", "token", "-token_in", "-text").stdout.decode(
        "latin-1"
    )
    times = _GRANTED_TIME.findall(told)
    if len(times) != 1 or "\nHash Algorithm: sha256\n" not in told:
        raise TokenRefused("not one time-stamp over a SHA-256")
    at = _time_in(*times[0])
    command = ("ts", "-verify", "-in", "answer", "-digest", sha256(head), "-CAfile", "pinned", "-partial_chain")
    done = run_openssl(files, *command, "-auth_level", "1", "-attime", str(int(at.timestamp())))
    said = done.stdout + done.stderr
    if _NO_ISSUER.search(said):
        raise UnknownAuthority("by none of the authorities whose certificates were given")
    if not _is_over_sha2(extracted) or _TOO_WEAK.search(said):
        raise TokenRefused("it or a certificate of its authority is signed over a hash that is broken, SHA-1 or MD5")
    if done.returncode != 0 or b"Verification: OK" not in said:
        raise TokenRefused("not over this head, or its authority's certificate does not hold")
    return at


@functools.cache
def _assert_knows_levels() -> None:
    """Raises `Unable` for an old or other command: it would take a certificate signed over SHA-1."""
    if not _KNOWS_LEVELS.match(run_openssl({}, "version").stdout):
        raise Unable("this `openssl` cannot check time-stamps", "install OpenSSL 3")


def _is_over_sha2(token: bytes) -> bool:
    """Whether every hash of the signatures in a token (DER) is one of SHA-2."""
    try:
        signed = _der(_der(_der(_der(token)[0])[1])[0])
        algorithms = [*_der(signed[1]), *(_der(signer)[2] for signer in _der(signed[-1]))]
        return all(_der(algorithm)[0] in _SHA2 for algorithm in algorithms)
    except IndexError:
        return False


def _der(content: bytes) -> list[bytes]:
    """The values of the elements in DER that stand there one after the other. Raises `IndexError` for what is none."""
    found, at = [], 0
    while at < len(content):
        size, at = content[at + 1], at + 2
        if size > 0x80:
            size, at = int.from_bytes(content[at : at + size - 0x80], "big"), at + size - 0x80
        found.append(content[at : at + size])
        at += size
    return found


def _time_in(month: str, day: str, clock: str, fraction: str, year: str) -> datetime:
    try:
        text = (
            f"{year}-{_MONTHS.index(month) + 1:02d}-{int(day):02d}T{clock}{fraction.ljust(7, '0') if fraction else ''}"
        )
        return datetime.fromisoformat(f"{text}+00:00")
    except ValueError as error:
        raise TokenRefused("its time is none") from error


# --- Entries ----------------------------------------------------------------------------------------------------------
# What the log says of each sealed thing: canonical JSON, each naming the one before, so that the list alone is a chain.

LARGEST_ENTRY = 65_535
_NO_ENTRY = bytes(HASH_SIZE)
"""What the first entry names as the one before it."""
_COMMON: Form = {"envelope": _TEXT, "kind": _TEXT, "loggedAt": _TEXT, "previous": _TEXT}
_BUNDLE_FORM: Form = {"key": _TEXT, "sha256": _TEXT, "size": _NUMBER}
_ENTRIES: Mapping[str, Form] = {
    "run": {
        **_COMMON,
        "bundle": _OBJECT,
        "outcome": _TEXT,
        "plan": _TEXT,
        "receipt": _TEXT,
        "run": _TEXT,
        "scheduledAt": _TEXT_OR_NULL,
        "slot": _TEXT_OR_NULL,
    },
    "record": {**_COMMON, "key": _TEXT, "predicateType": _TEXT},
    "package": {**_COMMON, "bundle": _OBJECT, "name": _TEXT, "receipt": _TEXT},
}


@dataclass(frozen=True)
class Entry:
    """An entry in its place."""

    index: int
    fields: Mapping[str, Any]
    leaf: bytes
    logged_at: datetime
    scheduled_at: datetime | None

    @property
    def kind(self) -> str:
        """`run`, `record` or `package`."""
        return str(self.fields["kind"])

    @property
    def at(self) -> datetime:
        """The time by which it belongs to a period."""
        return self.scheduled_at or self.logged_at


def parse_entry(index: int, content: bytes) -> Entry | str:
    """The entry in these bytes of any origin, or what is wrong with it."""
    fields = parse_object(content) if len(content) <= LARGEST_ENTRY else None
    form = _ENTRIES.get(fields["kind"]) if fields and isinstance(fields.get("kind"), str) else None
    if fields is None or form is None or not has_form(fields, form):
        return "not an entry in its one form"
    logged, scheduled = parse_time(fields["loggedAt"]), parse_time(fields.get("scheduledAt"))
    if logged is None or write_time(logged) != fields["loggedAt"]:
        return "its time is not written as a time is"
    digests = [fields["envelope"], fields.get("receipt", fields["envelope"])]
    if "bundle" in fields:
        if not has_form(fields["bundle"], _BUNDLE_FORM):
            return "it does not name a bundle in the one form"
        digests.append(fields["bundle"]["sha256"])
    if not all(map(is_sha256, digests)):
        return "it names what is no SHA-256"
    if fields["kind"] == "run" and not _has_its_slot(fields, scheduled):
        return "its slot is not that of its plan and its time"
    return Entry(index, fields, leaf_hash(content), logged, scheduled)


def slot_of(plan: str, moment: datetime) -> str:
    """The key of a plan's slot at this due time."""
    return sha256(f"{plan}\n{moment.astimezone(UTC).isoformat(timespec='microseconds')}".encode())


def _has_its_slot(fields: Mapping[str, Any], scheduled: datetime | None) -> bool:
    if fields["scheduledAt"] is None:
        return fields["slot"] is None
    return scheduled is not None and fields["slot"] == slot_of(fields["plan"], scheduled)


# --- What is found ----------------------------------------------------------------------------------------------------


_AS_EXPECTED = "as expected"


@dataclass(frozen=True)
class Proof:
    """One check. `ok` is `None` when it could not be made; `meaning` says what a failure would mean.

    A check that could not be made makes the verdict inconclusive if it `counts`: if it was asked for.
    """

    name: str
    ok: bool | None
    expected: str
    seen: str
    meaning: str
    counts: bool = True


@dataclass(frozen=True)
class Report:
    """What was checked, and the predicate: only given when a trusted key signed it."""

    bundle: Path
    key_id: str
    proofs: tuple[Proof, ...]
    predicate: Mapping[str, Any] | None
    remarks: tuple[str, ...] = ()
    """What is not wrong but should be known."""
    told: tuple[str, ...] = ()
    """What the evidence says, in words; only where it can be relied on."""
    is_package: bool = False

    @property
    def verdict(self) -> str:
        """`fail` if any check failed; `pass` only if every check was made that was asked for; else `inconclusive`."""
        if any(proof.ok is False for proof in self.proofs):
            return "fail"
        made = [proof.ok for proof in self.proofs if proof.counts or proof.ok is not None]
        return "pass" if made and all(made) else "inconclusive"


@dataclass(frozen=True)
class Given:
    """What the verifier was given besides the evidence: by another road, or it is worth nothing."""

    key: PublicKey
    judge: Judge = default_judge
    limits: Limits | None = None
    proof: Path | None = None
    keyring: Path | None = None
    receipt: Path | None = None
    before: Path | None = None
    linked: Path | None = None
    certificates: bytes = b""
    """PEM, of authorities that give time-stamps."""
    witnesses: tuple[Witness, ...] = ()
    heads: tuple[Path, ...] = ()
    """Heads of the log that were kept, or that a witness shows."""


# --- Bundle -----------------------------------------------------------------------------------------------------------
# A BagIt bag whose statement names every file. Source: RFC 8493.

DECLARATION = "bagit.txt"
LABELS = "bag-info.txt"
MANIFEST = "manifest-sha256.txt"
TAG_MANIFEST = "tagmanifest-sha256.txt"
ENVELOPE = "statement.dsse.json"
TEST_RESULT = "test-result.dsse.json"
"""Since format 2."""
KEY = "key.pub"
PAYLOAD = "data/"
TAGS = frozenset({DECLARATION, LABELS, MANIFEST, TAG_MANIFEST, ENVELOPE, KEY})
"""Those that every bundle has."""
OPTIONAL_TAGS = frozenset({TEST_RESULT})
DECLARED = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
NAME_LABEL = "External-Identifier"
SIZE_LABEL = "Payload-Oxum"
PERIOD_LABEL = "Period"
"""Only a package has it."""
FORMAT_LABEL, FORMAT = "Bundle-Format", "2"
"""What was sealed before there was this label may lack what came with format 2; what has it may not."""
SUMMARY = "data/summary.json"
JOURNAL = "data/journal.jsonl"

_MANIFEST_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")
_LABEL_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*): (\S(?:[^\r\n\0]*\S)?)")
_PASSED = "passed"
_RESULTS = ("FAILED", "PASSED", "WARNED")
_LARGEST_LINE = 8 << 20
_SHOWN, _LONGEST = 5, 400
"""So many findings of a kind are told, and so many letters of each."""

FindKey = Callable[[str], PublicKey]
"""The key with this id, if it may have sealed. Raises `NotTrusted` or `CannotTell`."""


def oxum(sizes: Mapping[str, int]) -> str:
    """The payload's size in bytes and its number of files, as BagIt writes them."""
    return f"{sum(sizes.values())}.{len(sizes)}"


def label_in(content: bytes, label: str) -> str | None:
    """The value of a label in `bag-info.txt`."""
    return dict(_labels_in(content)).get(label)


def manifest(digests: Mapping[str, str]) -> bytes:
    """A manifest of these files (name to SHA-256, hex), as `sha256sum` reads it."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def parse_manifest(content: bytes) -> dict[str, str]:
    """Name to digest of every well-formed line of a manifest of any origin."""
    lines = content.decode("utf-8", "replace").split("\n")
    return {match[2]: match[1] for match in map(_MANIFEST_LINE.fullmatch, lines) if match}


def _labels_in(content: bytes) -> list[tuple[str, str]]:
    lines = content.decode("utf-8", "replace").split("\n")
    return [(match[1], match[2]) for match in map(_LABEL_LINE.fullmatch, lines) if match]


@dataclass
class Contents:
    """A bag as read: its one top folder, digests and sizes of all members, the bytes of its tag files."""

    kind: str = DRILL_RUN
    tops: set[str] = field(default_factory=set)
    digests: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    tags: dict[str, bytes] = field(default_factory=dict)
    summary: bytes | None = None
    journal_end: bytes | None = None

    @property
    def payload(self) -> dict[str, str]:
        """Name to digest of what is sealed."""
        return {name: digest for name, digest in self.digests.items() if name.startswith(PAYLOAD)}

    @property
    def vouched(self) -> dict[str, str]:
        """What a statement about this bag has to name."""
        return {**self.payload, LABELS: self.digests.get(LABELS, "")}

    @functools.cached_property
    def statement(self) -> Statement | None:
        """What the seal says, whoever made it."""
        opened = open_envelope(self.tag(ENVELOPE))
        return parse_statement(opened.payload) if opened else None

    @property
    def signer(self) -> str:
        """The id of the key in whose name it is sealed."""
        opened = open_envelope(self.tag(ENVELOPE))
        return opened.signatures[0].key_id if opened else ""

    def tag(self, name: str) -> bytes:
        """The bytes of a tag file; none if it is not there."""
        return self.tags.get(name, b"")

    @property
    def has_format(self) -> bool:
        """Whether it says of itself that it has all that came with format 2."""
        return label_in(self.tag(LABELS), FORMAT_LABEL) is not None

    def said(self, name: str) -> Any:
        """A field of the predicate."""
        return self.statement.predicate.get(name) if self.statement else None


def read_bag(
    source: Source,
    limits: Limits,
    budget: Budget | None = None,
    visit: Callable[[str, Reader], None] | None = None,
) -> Contents:
    """Read a bag once, to its end; each payload member is shown to `visit`. Raises `ArchiveDamaged`."""
    contents = Contents()
    for member in read_archive(source, limits, budget):
        top, _, name = member.name.partition("/")
        contents.tops.add(top)
        reader = Reader(member.pieces)
        if name in TAGS | OPTIONAL_TAGS:
            contents.tags[name] = _whole(name, reader, limits.tag_bytes)
        elif visit:
            visit(name, reader)
        elif name == SUMMARY:
            contents.summary = _whole(name, reader, limits.tag_bytes)
        elif name == JOURNAL:
            contents.journal_end = _last_line(reader)
        contents.digests[name], contents.sizes[name] = reader.drain(), member.size
    return contents


def _whole(name: str, reader: Reader, limit: int) -> bytes:
    content = reader.read(limit + 1)
    if len(content) > limit:
        raise ArchiveDamaged(f"{name} is larger than {limit} bytes (--limit tag_bytes=N allows more)")
    return content


def _last_line(reader: Reader) -> bytes:
    """The last line of a file of any length, with its newline; from a very long one only the end."""
    kept: deque[bytes] = deque()
    while piece := reader.read(CHUNK):
        kept.append(piece)
        while sum(map(len, kept)) - len(kept[0]) > _LARGEST_LINE:
            kept.popleft()
    end = b"".join(kept)
    return end[end.rfind(b"\n", 0, -1) + 1 :]


def _wrong_layout(contents: Contents, *_: Any) -> str:
    """Another top folder shows here too: a member keyed by its name without it would hide another."""
    if len(contents.tops) != 1:
        return f"{len(contents.tops)} top folders"
    if not contents.payload:
        return "no payload"
    optional = OPTIONAL_TAGS if contents.kind == DRILL_RUN else frozenset()
    expected = set(TAGS) | set(contents.payload) | (optional & contents.digests.keys())
    if difference := _difference(dict.fromkeys(expected, ""), dict.fromkeys(contents.digests, "")):
        return difference
    clash = find_clash(contents.digests)
    return f"{clash} cannot lie beside another member" if clash else ""


def _wrong_manifest(contents: Contents, *_: Any) -> str:
    return _manifest_difference(contents.payload, contents.tag(MANIFEST))


def _wrong_tags(contents: Contents, *_: Any) -> str:
    if contents.tag(DECLARATION) != DECLARED:
        return f"{DECLARATION} does not declare BagIt 1.0 in UTF-8"
    tags = {name: contents.digests[name] for name in contents.tags if name != TAG_MANIFEST}
    return _manifest_difference(tags, contents.tag(TAG_MANIFEST))


def _wrong_subjects(contents: Contents, *_: Any) -> str:
    said = contents.statement
    if said is None:
        return "not a statement in its one form"
    if difference := _difference(said.subjects, contents.vouched):
        return difference
    return "" if said.kind == contents.kind else f"a statement of another kind: {said.kind!r}"


def _wrong_labels(contents: Contents, *_: Any) -> str:
    content = contents.tag(LABELS)
    labels = _labels_in(content)
    if "".join(f"{label}: {value}\n" for label, value in labels).encode() != content:
        return "not one label a line"
    if [label for label, _ in labels] != sorted(dict(labels)):
        return "labels twice, or not in order"
    name, size = dict(labels).get(NAME_LABEL), dict(labels).get(SIZE_LABEL)
    if {name} != contents.tops:
        return f"the label says {name!r}, the folder is {', '.join(sorted(contents.tops))}"
    actual = oxum({member: contents.sizes[member] for member in contents.payload})
    return "" if size == actual else f"the label says {size}, the payload has {actual}"


def _who_sealed(contents: Contents, find_key: FindKey, judge: Judge) -> str:
    opened = open_envelope(contents.tag(ENVELOPE))
    if opened is None:
        return "no readable envelope with one signature"
    key = find_key(opened.signatures[0].key_id)
    if not opened.is_signed_by(key, judge):
        return "a signature that is not this key's"
    return "" if contents.tag(KEY) == key.pem.encode() else f"the seal is right, but {KEY} beside it is another key"


def _wrong_result(contents: Contents, find_key: FindKey, judge: Judge) -> str:
    """The test result speaks of the same files, by the same key, and no better than the run."""
    if TEST_RESULT not in contents.tags:
        return f"{TEST_RESULT} is missing, which a bundle of its format has" if contents.has_format else ""
    opened = open_envelope(contents.tag(TEST_RESULT))
    said = parse_statement(opened.payload) if opened else None
    if opened is None or said is None or said.kind != TEST_RESULT_TYPE:
        return "not a test result in its one form"
    if opened.signatures[0].key_id != contents.signer:
        return "signed by another key than the statement"
    if not opened.is_signed_by(find_key(contents.signer), judge):
        return "a signature that is not this key's"
    if difference := _difference(said.subjects, contents.vouched):
        return difference
    result, passed = said.predicate.get("result"), contents.said("outcome") == _PASSED
    if result not in _RESULTS or (result == "PASSED" and not passed) or (result == "FAILED" and passed):
        return f"it says {result!r} of a run that says {contents.said('outcome')!r}"
    return ""


_TOLD_TWICE = (
    ("run", "run"),
    ("plan", "plan"),
    ("kind", "kind"),
    ("outcome", "outcome"),
    ("verdict", "verdict"),
    ("scheduled_at", "scheduledAt"),
    ("opened_at", "openedAt"),
    ("ended_at", "endedAt"),
)
"""Fields of `summary.json`, and of the predicate."""


def _disagreement(contents: Contents, *_: Any) -> str:
    """Where the summary, or the journal's last word, tells another run than the statement, or that contradicts itself.

    What was never asked has no verdict, and older statements have none at all.
    """
    if contents.said("outcome") == _PASSED:
        findings = [each for each in _listed(contents.said("findings")) if isinstance(each, dict)]
        for each in ({"check": "the run", "verdict": contents.said("verdict")}, *findings):
            if each.get("verdict") not in (None, "pass"):
                return f"the statement says passed, and of {each.get('check')!r} {each['verdict']!r}"
    told = {name: contents.said(predicate) for name, predicate in _TOLD_TWICE if contents.said(predicate) is not None}
    for name, content, fields in (
        (SUMMARY, contents.summary, _summary_fields),
        (JOURNAL, contents.journal_end, _journal_fields),
    ):
        if content is not None and "outcome" in told:
            found = fields(content)
            if found is None:
                return f"{name} does not end as a sealed run's does"
            wrong = [each for each in told if each in found and not _is_same(each, found[each], told[each])]
            if wrong:
                return f"{name} says {wrong[0]} {found[wrong[0]]!r}, the statement {told[wrong[0]]!r}"
    return ""


def _is_same(name: str, found: Any, told: Any) -> bool:
    return parse_time(found) == parse_time(told) if name.endswith("_at") and parse_time(told) else found == told


def _summary_fields(content: bytes) -> Mapping[str, Any] | None:
    return parse_object(content[:-1]) if content.endswith(b"\n") else None


def _journal_fields(line: bytes) -> Mapping[str, Any] | None:
    event = parse_object(line[:-1]) if line.endswith(b"\n") else None
    if event is None or event.get("kind") != "judged":
        return None
    body = event.get("body")
    said = {name: body[name] for name in ("outcome", "verdict") if name in body} if isinstance(body, dict) else {}
    return {**said, "run": event.get("run")}


def _manifest_difference(actual: Mapping[str, str], found: bytes) -> str:
    if difference := _difference(parse_manifest(found), actual):
        return difference
    return "" if found == manifest(actual) else "the manifest is not in its canonical form"


def _difference(expected: Mapping[str, str], seen: Mapping[str, str]) -> str:
    """What was expected beside what is there, in words; empty when they are equal."""
    groups = {
        "missing": expected.keys() - seen.keys(),
        "not expected": seen.keys() - expected.keys(),
        "changed": {name for name in expected.keys() & seen.keys() if expected[name] != seen[name]},
    }
    return "; ".join(f"{word}: {_some(names)}" for word, names in groups.items() if names)


def _some(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _nothing_wrong(*_: Any) -> str:
    return ""


class Rule(NamedTuple):
    """A row of the table of checks of a bag: `judge` says what is wrong, or nothing."""

    name: str
    expected: str
    meaning: str
    judge: Callable[[Contents, FindKey, Judge], str] = _nothing_wrong
    """Where a table is not what finds it out, nothing is wrong by itself."""

    def apply(self, contents: Contents, find_key: FindKey, judge: Judge) -> Proof:
        """Make the check."""
        try:
            return self.made(self.judge(contents, find_key, judge))
        except NotTrusted as error:
            return self.made(str(error))
        except CannotTell as error:
            return self.unmade(str(error))

    def made(self, seen: str) -> Proof:
        """The check with what was seen; nothing is as expected."""
        return Proof(self.name, not seen, self.expected, seen or _AS_EXPECTED, self.meaning)

    def unmade(self, why: str, *, counts: bool = True) -> Proof:
        """The check that could not be made."""
        return Proof(self.name, None, self.expected, f"not checked: {why}", self.meaning, counts)


_ARCHIVE = Rule(
    "archive",
    "one whole archive of plain files with portable names, and nothing after it",
    "the file was cut, damaged, extended, or not written by us",
)
_BAG_RULES = (
    Rule(
        "layout",
        "one bag: its tag files, its payload, nothing else",
        "a file was dropped, added or renamed",
        _wrong_layout,
    ),
    Rule(
        "manifest",
        "the manifest names every payload file with its SHA-256",
        "a payload file or the manifest was changed after sealing",
        _wrong_manifest,
    ),
    Rule(
        "tag manifest",
        "the tag manifest names every tag file with its SHA-256",
        "a label, the seal or a manifest was changed after sealing",
        _wrong_tags,
    ),
    Rule(
        "seal",
        "one signature over the statement, by a trusted key",
        "someone else sealed this, or the statement was changed",
        _who_sealed,
    ),
    Rule(
        "subjects",
        "the signed statement names exactly the payload and the labels",
        "what is in the bundle is not what was signed",
        _wrong_subjects,
    ),
    Rule(
        "labels",
        "the bundle's folder and size are those that its signed labels give",
        "the bundle was given another name, or a member was hidden",
        _wrong_labels,
    ),
)
_RUN_RULES = (
    Rule(
        "test result",
        "the test result, where its format has one, is about the same files, by the same key, no better than the run",
        "the test result was dropped, someone else made it, or it claims what the run does not show",
        _wrong_result,
    ),
    Rule(
        "agreement",
        "summary, journal and statement tell the same run",
        "a report was written that its journal does not bear out",
        _disagreement,
    ),
)


def judge_bag(contents: Contents, find_key: FindKey, judge: Judge) -> tuple[Proof, ...]:
    """Every check of a bag that was read to its end."""
    rules = _BAG_RULES + (_RUN_RULES if contents.kind == DRILL_RUN else ())
    return tuple(rule.apply(contents, find_key, judge) for rule in rules)


def verify(bundle: Path, pinned_key: Path, limits: Limits | None = None) -> Report:
    """Check a bundle or a package, offline. Raises `Unusable` only: without a key nothing can be checked."""
    return check(bundle, Given(load_key(pinned_key), limits=limits))


def check(path: Path, given: Given) -> Report:
    """Check a bundle or a package with all that was given."""
    assert_able(given.judge)
    try:
        with open_plain(path) as source:
            is_package = _is_package(source)
        return check_package(path, given).report if is_package else _check_bundle(path, given)
    except ArchiveDamaged as error:
        rules = (*_BAG_RULES, *_RUN_RULES, _RING, _PROOF, _KEPT)
        unmade = (rule.unmade("the archive is not sound") for rule in rules)
        return Report(path, given.key.key_id, (_ARCHIVE.made(str(error)), *unmade), None)


def _is_package(source: Source) -> bool:
    """By its first member; what it really is, its seal has to say."""
    try:
        for member in read_archive(source, PACKAGE_LIMITS):
            if member.name.partition("/")[2] != LABELS or member.size > CHUNK:
                return False
            return label_in(b"".join(member.pieces), PERIOD_LABEL) is not None
    except ArchiveDamaged:
        pass
    return False


def _check_bundle(path: Path, given: Given) -> Report:
    with open_whole(path, given) as source:
        contents = read_bag(source, given.limits or Limits())
        desk = Desk(given, contents, source)
    proofs = (_ARCHIVE.made(""), *judge_bag(contents, desk.find_key, given.judge), *desk.proofs)
    said = contents.statement.predicate if contents.statement and is_sealed(proofs) else None
    told = (f"run {said.get('run')} {said.get('outcome')}",) if said else ()
    return Report(path, given.key.key_id, proofs, said, (*_renamed(path, contents), *_NOT_COMPARED_OF_A_RUN), told)


def _renamed(path: Path, contents: Contents) -> Iterator[str]:
    """A file may be given any name; who sorts files by their names should know what is in them."""
    for name in contents.tops - {path.name.removesuffix(".tar.gz")}:
        yield f"the file is called {path.name}, and what was sealed in it {name}: only that counts"


_NOT_COMPARED_OF_A_RUN = (
    "report.html and report.md, where they are, are sealed, but not compared with the journal: rely on that",
    "whether what the run observed is true: its journal is the word of the machine that ran it",
)


def is_sealed(proofs: Iterable[Proof]) -> bool:
    """Whether what the statement says is the word of a trusted key."""
    return any(proof.name == "seal" and proof.ok for proof in proofs)


@contextmanager
def open_whole(path: Path, given: Given) -> Iterator[Source]:
    """Open a file that is read once; its own digest is taken on the way where something is given that names it."""
    with open_plain(path) as source:
        names_it = given.proof or given.receipt
        yield Reader(iter(functools.partial(source.read, CHUNK), b"")) if names_it else source


_PROOF = Rule(
    "log",
    "the proof leads from an entry about this bundle to a head that the log's key signed",
    "the bundle was never logged, was replaced since, or the log shown here is another",
)
_RING = Rule(
    "keyring",
    "a chain of key statements in which the pinned key stands",
    "somebody else's key was slipped in, or a statement was left out",
)
_KEPT = Rule(
    "receipt",
    "the store held these bytes, once, when the notary asked",
    "it was deleted, written again, or never stored",
)
_SEEN = Rule(
    "heads",
    "the head that the proof leads to is the one that was kept",
    "the log was written anew since that head was shown: a fork",
)
_OWN_PROOF, _OWN_KEPT = _PROOF._replace(name="own entry"), _KEPT._replace(name="own receipt")
"""The same of a package, which has a log and receipts inside besides."""


class Desk:
    """What was given beside a bundle or a package: its place in the log, whose key sealed it, what the store said.

    `ring` is the keyring of a package; a bundle has none, but one may be given.
    """

    def __init__(self, given: Given, contents: Contents, source: Source, ring: Keyring | None = None) -> None:
        self._given, self._contents, self._ring = given, contents, ring
        self._digest, self._size = (source.drain(), source.size) if isinstance(source, Reader) else ("", 0)
        self._entry: Entry | None = None
        self._head: Checkpoint | None = None
        self.proofs: tuple[Proof, ...] = tuple(self._judge())

    def find_key(self, key_id: str, roles: Iterable[str] = ("seal", "submit")) -> PublicKey:
        """The pinned key; with a keyring, one that it admits; with a place in the log, one that counted there."""
        if self._ring is None:
            return only(self._given.key, key_id)
        if self._entry is None:
            return self._ring.key_without_log(key_id)
        self._ring.assert_valid(key_id, roles, self._entry.index)
        return self._ring.key(key_id, roles)

    def _judge(self) -> Iterator[Proof]:
        given, is_run = self._given, self._ring is None
        proof, kept = (_PROOF, _KEPT) if is_run else (_OWN_PROOF, _OWN_KEPT)
        if given.keyring and is_run:
            yield _RING.made(self._read_keyring(given.keyring))
        elif is_run:
            yield _not_given(_RING, "no keyring was given (--keyring): whether its key was revoked since is not known")
        if given.proof:
            yield proof.made(self._wrong_proof(given.proof))
        else:
            yield _not_given(proof, "no proof was given (--proof): whether the log has it, and as it is, is not known")
        if given.heads and is_run:
            yield self._judge_heads(given.heads)
        if given.receipt:
            yield self._judge_receipt(kept, given.receipt)
        else:
            yield _not_given(kept, "no receipt was given (--receipt): whether a store held it is not known")

    def _read_keyring(self, folder: Path) -> str:
        try:
            self._ring = read_keyring(load_keyring(folder), self._given.key, self._given.judge)
        except KeyringBroken as error:
            return str(error)
        return ""

    def _wrong_proof(self, path: Path) -> str:
        proof = parse_tlog_proof(load_file(path))
        note = parse_note(proof.checkpoint) if proof else None
        head = parse_checkpoint(note.text) if note else None
        if proof is None or note is None or head is None:
            return "not a proof in its one form"
        entry = parse_entry(proof.index, proof.extra)
        if isinstance(entry, str):
            return f"its entry: {entry}"
        if not check_inclusion(proof.index, head.size, entry.leaf, proof.hashes, head.root):
            return "it does not lead from its entry to the root of its head"
        if not self._is_head_signed(note, head):
            return "its head is not signed by a key of the log"
        self._head = head
        departures = "; ".join(self._departures(entry))
        self._entry = None if departures else entry
        return departures

    def _is_head_signed(self, note: Note, head: Checkpoint) -> bool:
        if self._ring is not None:
            return bool(head_signer(note, head, self._ring, self._given.judge))
        public = self._given.key.ed25519
        return public is not None and note_signed_by(note, head.origin, public, self._given.judge)

    def _departures(self, entry: Entry) -> Iterator[str]:
        kind = "run" if self._contents.kind == DRILL_RUN else "package"
        if entry.kind != kind:
            yield f"its entry is not about a {kind}"
        elif kind == "run":
            yield from RunFacts.of(entry.fields["bundle"]["key"], self._contents, self._digest, self._size).departures(
                entry
            )
        else:
            named = (entry.fields["bundle"]["sha256"], entry.fields["bundle"]["size"], entry.fields["envelope"])
            if named != (self._digest, self._size, sha256(self._contents.tag(ENVELOPE))):
                yield "it is not the package that its entry names"

    def _judge_heads(self, paths: Iterable[Path]) -> Proof:
        """A proof leads to one head: of others it says nothing."""
        others = []
        for path in paths:
            kept, why = read_kept_head(path, self._is_head_signed)
            if kept is None:
                return _SEEN.made(why)
            if self._head is None or self._head.size != kept.size:
                others.append(f"{path.name}, of size {kept.size}")
            elif self._head != kept:
                return _SEEN.made(f"the proof leads to another head of size {kept.size} than {path.name}")
        leads = f"the proof leads to a head of size {self._head.size}" if self._head else "no proof leads to a head"
        return _SEEN.unmade(f"{leads}, not to {', '.join(others)}: give a package") if others else _SEEN.made("")

    def _judge_receipt(self, rule: Rule, path: Path) -> Proof:
        try:
            return rule.made(self._wrong_receipt(load_file(path)))
        except NotTrusted as error:
            return rule.made(str(error))
        except CannotTell as error:
            return rule.unmade(str(error))

    def _wrong_receipt(self, content: bytes) -> str:
        opened = open_envelope(content)
        said = parse_statement(opened.payload) if opened else None
        receipt = parse_receipt(said, opened.signatures[0].key_id) if said and opened else None
        if opened is None or receipt is None:
            return "not a receipt in its one form"
        if self._entry and sha256(content) != self._entry.fields["receipt"]:
            return "not the receipt that the log's entry names"
        if not opened.is_signed_by(self.find_key(receipt.signer, ("seal",)), self._given.judge):
            return "a signature that is not this key's"
        if (receipt.sha256, receipt.size) != (self._digest, self._size):
            return "it is about other bytes than these"
        return "; ".join(receipt.problems())


def _not_given(rule: Rule, why: str) -> Proof:
    """A check that nothing was given for. It does not count: nobody asked for it."""
    return rule.unmade(why, counts=False)


def only(pinned: PublicKey, key_id: str) -> PublicKey:
    """The pinned key. Raises `NotTrusted` for any other."""
    if key_id != pinned.key_id:
        raise NotTrusted(f"signed in the name of key {_short(key_id)}, which is not the pinned one")
    return pinned


def head_signer(note: Note, head: Checkpoint, ring: Keyring, judge: Judge) -> str:
    """The id of the log's key that signed this head, alone; empty if none did that counted at its last entry."""
    for key_id, tenure in ring.tenures.items():
        public = tenure.key.ed25519
        if public and [line.name for line in note.signatures] == [head.origin]:
            try:
                ring.assert_valid(key_id, ("log",), max(head.size - 1, 0))
            except NotTrusted:
                continue
            if note_signed_by(note, head.origin, public, judge):
                return key_id
    return ""


def load_file(path: Path) -> bytes:
    """A small file that was given. Raises `Unusable`."""
    try:
        with open_plain(path) as source:
            return source.read(LARGEST_NOTE + 1)
    except ArchiveDamaged as error:
        raise Unusable(f"cannot read {path}: {error}", "check the path") from error


def read_kept_head(path: Path, is_signed: Callable[[Note, Checkpoint], bool]) -> tuple[Checkpoint | None, str]:
    """A head in a file that was given, or why it is none of the log's. A witness adds its lines to the log's own."""
    note = parse_note(load_file(path))
    head = parse_checkpoint(note.text) if note else None
    if note is None or head is None:
        return None, f"{path.name} is no checkpoint in its one form"
    own = replace(note, signatures=tuple(line for line in note.signatures if line.name == head.origin))
    return (head, "") if is_signed(own, head) else (None, f"{path.name} is not signed by a key that the log had then")


def load_keyring(folder: Path) -> list[bytes]:
    """The key statements in a folder, in their order. Raises `KeyringBroken` when one is missing, or `Unusable`."""
    names = sorted(path.name for path in folder.glob("*.dsse.json"))
    if not names:
        raise Unusable(f"{folder} holds no key statements", "give the folder `keys` of the store")
    if names != [f"{number:08d}.dsse.json" for number in range(len(names))]:
        raise KeyringBroken("its statements are not numbered in a row")
    return [load_file(folder / name) for name in names]


class RunFacts(NamedTuple):
    """What a run's bundle is and says, to be held beside its entry."""

    key: str
    sha256: str
    size: int
    envelope: str
    signer: str
    run: Any
    plan: Any
    outcome: Any
    scheduled_at: datetime | None
    ended_at: datetime | None
    kind: Any
    controls: tuple[str, ...]
    """Those that its plan named."""

    @classmethod
    def of(cls, key: str, contents: Contents, digest: str, size: int) -> RunFacts:
        """The facts of a bundle that was read."""
        said = (contents.said("run"), contents.said("plan"), contents.said("outcome"))
        times = (parse_time(contents.said("scheduledAt")), parse_time(contents.said("endedAt")))
        controls = tuple(each for each in _listed(contents.said("controls")) if isinstance(each, str))
        seal = (sha256(contents.tag(ENVELOPE)), contents.signer)
        return cls(key, digest, size, *seal, *said, *times, contents.said("kind"), controls)

    def departures(self, entry: Entry) -> Iterator[str]:
        """Where the entry tells another thing than the bundle."""
        fields = entry.fields
        if fields["bundle"] != {"key": self.key, "sha256": self.sha256, "size": self.size}:
            yield "it is not the bundle that its entry names"
        if fields["envelope"] != self.envelope:
            yield "its seal is not the one that its entry names"
        for name, told in (("run", self.run), ("plan", self.plan), ("outcome", self.outcome)):
            if fields[name] != told:
                yield f"its entry says {name} {fields[name]!r}, the bundle {told!r}"
        if entry.scheduled_at != self.scheduled_at:
            yield "its entry has another due time than the bundle"
        if self.key != f"{self.plan}/{self.run}.tar.gz":
            yield "its name in the store is not that of its plan and run"
        if self.ended_at and self.ended_at - entry.logged_at > _CLOCKS:
            yield "it says that it ended after it was logged"


# --- Package ----------------------------------------------------------------------------------------------------------
# A bag with the log, the keyring and everything that the entries of a period name. It is read twice: once as a whole,
# when small files are kept and bundles become a few facts each; and then the entries alone, one by one, beside those
# facts. So memory grows with the runs of the period, and neither with the log nor with the size of files.

_SMALL = 1 << 20
"""Bytes of a file that stands alone: a record, a receipt, a head, a token."""
_LATE = timedelta(days=1)
"""A run that was logged later than this after it ended was sealed late."""
_LONG = timedelta(days=7)
"""A due time that is open for longer is told."""
_ENTRIES_FILE, _PREVIOUS_FILE = "data/log/entries.jsonl", "data/previous.json"
_OUTCOMES = ("passed", "failed", "inconclusive", "aborted", "refused", "missed", "waived")
_UNSEALED, _OPEN = "unsealed", "open"
_ROW: Form = {
    "entry": _NUMBER_OR_NULL,
    "outcome": _TEXT,
    "plan": _TEXT,
    "run": _TEXT_OR_NULL,
    "scheduledAt": _TEXT_OR_NULL,
    "slot": _TEXT_OR_NULL,
}
_POPULATION: Form = {
    "from": _TEXT, "late": _LIST, "madeAt": _TEXT, "open": _LIST, "slots": _LIST, "until": _TEXT,
}  # fmt: skip
_HEAD_FORM: Form = {"origin": _TEXT, "root": _TEXT, "size": _NUMBER}


class Row(NamedTuple):
    """A due time in the population, and where it is listed: `slots`, `open`, `late` or `carried`."""

    where: str
    entry: int | None
    outcome: str
    plan: str
    run: str | None
    scheduled_at: datetime | None
    slot: str | None
    logged_at: datetime | None
    ended_at: datetime | None
    is_troubled: bool
    """Whether who made the package found something wrong with it."""
    claimable_until: datetime | None = None
    """Of an open one: until when a run may claim it; `None` where that is not told."""

    def __str__(self) -> str:
        when = write_time(self.scheduled_at) if self.scheduled_at else "unscheduled"
        return f"{self.plan} {when}"

    @property
    def is_pass(self) -> bool:
        """Whether it ended in a pass that can be relied on."""
        return self.outcome == _PASSED and not self.is_troubled

    @property
    def place(self) -> tuple[str, str, int]:
        """What rows are in the order of."""
        when = write_time(self.scheduled_at) if self.scheduled_at else ""
        return (when, self.plan, -1 if self.entry is None else self.entry)

    def departures(self, entry: Entry) -> Iterator[str]:
        """Where it tells another thing than its entry."""
        fields = entry.fields
        for name, told in (("outcome", self.outcome), ("plan", self.plan), ("run", self.run), ("slot", self.slot)):
            if fields[name] != told:
                yield f"it says {name} {told!r}, its entry {fields[name]!r}"
        if entry.scheduled_at != self.scheduled_at or (self.logged_at or entry.logged_at) != entry.logged_at:
            yield "it has other times than its entry"


class PlanRow(NamedTuple):
    """What the population tells of a plan."""

    retired_at: datetime | None
    longest_gap: timedelta | None
    """Between two of its due times."""

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> PlanRow:
        """As far as it can be read: what is told here is compared, and nothing rests on it."""
        seconds: Any = value.get("longestGapSeconds")
        is_span = type(seconds) in (int, float) and 0 < seconds < 1e10
        return cls(parse_time(value.get("retiredAt")), timedelta(seconds=seconds) if is_span else None)


class Population(NamedTuple):
    """The due times of a period, and what became of them."""

    since: datetime
    until: datetime
    made_at: datetime
    rows: tuple[Row, ...]
    plans: Mapping[str, PlanRow] | None = None
    """What it tells of each plan; `None` where it tells of none."""
    carries: bool = False
    """Whether it tells what became of due times that the package before left open."""

    @property
    def still_open(self) -> Iterator[Row]:
        """Due times that may still get a record."""
        return (row for row in self.rows if row.outcome == _OPEN)

    def of(self, where: str) -> tuple[Row, ...]:
        """The rows of one list."""
        return tuple(row for row in self.rows if row.where == where)


def parse_population(content: bytes) -> Population | str:
    """The population in these bytes of any origin, or what is wrong with it."""
    value = parse_object(content)
    if not has_form(value, _POPULATION, more=True):
        return "not a population in its one form"
    times = [parse_time(value[name]) for name in ("from", "until", "madeAt")]
    rows: list[Row] = []
    carried = value.get("carried", [])
    if not isinstance(carried, list):
        return "`carried` is no list"
    for where in ("slots", "open", "late", "carried"):
        found = [_parse_row(where, each) for each in (carried if where == "carried" else value[where])]
        if not all(found):
            return f"a row of `{where}` has not its one form"
        some = [row for row in found if row]
        if [row.place for row in some] != sorted({row.place for row in some}):
            return f"the rows of `{where}` are not in order, or one is there twice"
        rows += some
    since, until, made_at = times
    if since is None or until is None or made_at is None or until < since:
        return "its period is none"
    told = value.get("plans")
    plans = [each for each in told if has_form(each, {"name": _TEXT}, more=True)] if isinstance(told, list) else []
    named = {each["name"]: PlanRow.of(each) for each in plans}
    named_or_none = named if isinstance(told, list) else None
    return Population(since, until, made_at, tuple(rows), named_or_none, "carried" in value)


def _parse_row(where: str, value: Any) -> Row | None:
    if not has_form(value, _ROW, more=True) or not _is_outcome(where, value["outcome"], value["entry"]):
        return None
    scheduled = parse_time(value["scheduledAt"])
    if (scheduled is None) != (value["scheduledAt"] is None) or (scheduled is None) != (value["slot"] is None):
        return None
    if scheduled and value["slot"] != slot_of(value["plan"], scheduled):
        return None
    logged, ended, until = (parse_time(value.get(name)) for name in ("loggedAt", "endedAt", "claimableUntil"))
    if "claimableUntil" in value and (until is None or scheduled is None or until < scheduled):
        return None
    said = (value["entry"], value["outcome"], value["plan"], value["run"])
    return Row(where, *said, scheduled, value["slot"], logged, ended, bool(value.get("problems")), until)


def _is_outcome(where: str, outcome: str, entry: int | None) -> bool:
    """Open and carried ones have no entry, late ones have one, and of the others those that nobody sealed have none."""
    if where in ("open", "carried"):
        return entry is None and (outcome == _OPEN or (where == "carried" and outcome == _UNSEALED))
    if entry is None:
        return outcome == _UNSEALED and where == "slots"
    return outcome in _OUTCOMES and entry >= 0


class Findings:
    """What is wrong, by check: the first few in words, and how many; so a thousand wrong ones stay a line."""

    def __init__(self) -> None:
        self._told: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()

    def add(self, check: str, *texts: str) -> None:
        """Note what is wrong."""
        for text in texts:
            self._counts[check] += 1
            if self._counts[check] <= _SHOWN:
                self._told.setdefault(check, []).append(text[:_LONGEST])

    def told(self, check: str) -> str:
        """What is wrong with it, in words; empty if nothing."""
        more = self._counts[check] - _SHOWN
        return "; ".join(self._told.get(check, [])) + (f"; and {more} more" if more > 0 else "")


class Head(NamedTuple):
    """A head: its bytes, and what they say."""

    content: bytes
    note: Note
    checkpoint: Checkpoint


class Record(NamedTuple):
    """An envelope that stands alone, as read. `receipt` is what it says if it is a put receipt."""

    kind: str
    signer: str
    receipt: Receipt | None
    remark: str
    """What a probe of the store showed."""
    word: PlanWord | None = None
    """What it says if it is a statement about a plan."""


class Anchor(NamedTuple):
    """Another's word: the entries below this size existed by then."""

    size: int
    at: datetime
    who: str


@dataclass(frozen=True)
class Checked:
    """A package that was checked, and its parts for a comparison with a newer one."""

    report: Report
    package: Package
    size: int
    entries: str
    """SHA-256 (hex) of its list of entries."""
    name: str
    """As it was sealed, whatever its file is called now."""

    @functools.cached_property
    def sha256(self) -> str:
        """Of the file (hex). Raises `ArchiveDamaged`."""
        return digest_of(self.report.bundle)

    def is_named_by(self, previous: Mapping[str, Any] | None) -> bool:
        """Whether a newer package's `previous.json` names this one."""
        return previous is not None and previous["sha256"] == self.sha256


class Package:
    """What is in a package, as read; what is wrong with it is found on the way."""

    def __init__(self, given: Given, budget: Budget, older: Checked | None = None) -> None:
        self.given, self.budget, self.older = given, budget, older
        self.wrong = Findings()
        self.envelopes: list[bytes] = []
        self.population: Population | None = None
        self.links: dict[str, tuple[str, int]] = {}
        self.previous: Mapping[str, Any] | None = None
        self.newest: Head | None = None
        self.heads: dict[int, Head] = {}
        self.tokens: dict[tuple[int, str], bytes] = {}
        self.cosignatures: dict[int, list[NoteSignature]] = {}
        self.runs: dict[str, RunFacts] = {}
        self.receipts: dict[str, tuple[str, Receipt]] = {}
        self.records: dict[str, Record] = {}
        self.anchors: list[Anchor] = []
        self.unknown: Counter[str] = Counter()
        """Time-stamps by authorities whose certificates were not given."""
        self.witnessed: list[Anchor] = []
        self.forms: dict[str, bytes] = {}
        self.unread: list[str] = []
        """Files that are here, and were too large to be compared."""
        self.kept: dict[int, list[tuple[str, bytes]]] = {}
        """Of heads that were given, by size: the file's name, and the root."""
        self.has_format = False
        """Whether it says of itself that it has all that came with format 2."""

    @functools.cached_property
    def ring(self) -> Keyring:
        """The keyring: its statements come before everything that needs it. None that holds is an empty one."""
        try:
            ring = read_keyring(self.envelopes, self.given.key, self.given.judge)
            return self._newer(ring) if self.given.keyring else ring
        except KeyringBroken as error:
            self.wrong.add("keyring", str(error))
            return Keyring({}, ())

    def _newer(self, ring: Keyring) -> Keyring:
        """A keyring that was given beside the package goes on from the one in it, and knows what was revoked since."""
        newer = read_keyring(load_keyring(self.given.keyring or Path()), self.given.key, self.given.judge)
        if newer.digests[: len(ring.digests)] != ring.digests:
            raise KeyringBroken("the keyring that was given is not the one in the package, or an older one")
        return newer

    def visit(self, name: str, reader: Reader) -> None:
        """Take what is needed of a payload member."""
        for pattern, take in _ROUTES:
            match = pattern.fullmatch(name)
            if match:
                return take(self, reader, *match.groups())
        return self.wrong.add("contents", f"{name} has no place in a package")

    def find_key(self, key_id: str) -> PublicKey:
        """A key that may have sealed at some entry; at which one it did is looked at with the entry."""
        return self.ring.key(key_id, ("seal", "submit"))

    def take_key(self, reader: Reader, number: str) -> None:
        """A key statement."""
        if int(number) != len(self.envelopes):
            self.wrong.add("keyring", f"key statement {len(self.envelopes)} is missing")
        self.envelopes.append(self._small("keyring", reader))

    def take_newest(self, reader: Reader) -> None:
        """The head that the package is sealed under."""
        self.newest = self._head("head", "log/head", reader)

    def take_head(self, reader: Reader, size: str) -> None:
        """A head that an anchor or a cosignature is for."""
        head = self._head("heads", f"log/heads/{size}", reader)
        if head and head.checkpoint.size == int(size):
            self.heads[int(size)] = head
        elif head:
            self.wrong.add("heads", f"log/heads/{size} is the head of another size")

    def take_token(self, reader: Reader, size: str, authority: str) -> None:
        """A time-stamp."""
        self.tokens[(int(size), authority)] = self._small("anchors", reader)

    def take_cosignature(self, reader: Reader, size: str, witness: str) -> None:
        """Signature lines of a witness."""
        lines = parse_signature_lines(self._small("witnesses", reader))
        if lines is None:
            self.wrong.add("witnesses", f"the cosignature of {witness} for size {int(size)} has not its one form")
        self.cosignatures.setdefault(int(size), []).extend(lines or ())

    def take_population(self, reader: Reader) -> None:
        """What became of each due time."""
        content = self._large("population.json", reader)
        found = None if content is None else parse_population(content)
        if isinstance(found, str):
            self.wrong.add("population", found)
        else:
            self.population = found

    def take_links(self, reader: Reader) -> None:
        """Bundles that lie elsewhere."""
        content = self._large("links.json", reader)
        if content is None:
            return None
        try:
            value = parse_json(content)
        except (ValueError, RecursionError):
            value = None
        rows = [row for row in value if has_form(row, _BUNDLE_FORM, more=True)] if isinstance(value, list) else None
        if rows is None or len(rows) != len(value):
            return self.wrong.add("links", "links.json has not its one form")
        if [row["key"] for row in rows] != sorted({row["key"] for row in rows}):
            return self.wrong.add("links", "links.json names a bundle twice, or out of order")
        self.links = {row["key"]: (row["sha256"], row["size"]) for row in rows}
        return None

    def take_previous(self, reader: Reader) -> None:
        """The package before."""
        content = self._small("previous", reader)
        found = parse_object(content)
        if has_form(found, {"name": _TEXT, "sha256": _TEXT}, more=True):
            self.previous = found
        elif content != b"null":
            self.wrong.add("previous", "previous.json has not its one form")

    def take_form(self, reader: Reader, name: str) -> None:
        """The period once more, for programs."""
        content = self._large(name, reader)
        if content is not None:
            self.forms[name] = content

    def take_receipt(self, reader: Reader, key: str) -> None:
        """What the store said of a bundle."""
        content = self._small("receipts", reader)
        record = self._record("receipts", f"receipts/{key}", content)
        if record and (record.receipt is None or record.receipt.key != key):
            self.wrong.add("receipts", f"receipts/{key} is no receipt of that bundle")
        elif record and record.receipt:
            self.receipts[key] = (sha256(content), record.receipt)

    def take_record(self, reader: Reader, digest: str) -> None:
        """Another envelope that stands alone."""
        content = self._small("records", reader)
        if sha256(content) != digest:
            self.wrong.add("records", f"records/{digest} does not have the digest in its name")
        record = self._record("records", f"records/{digest}", content)
        if record:
            self.records[digest] = record

    def take_run(self, reader: Reader, key: str) -> None:
        """A run's bundle, read as it lies in the package and never unpacked."""
        try:
            contents = read_bag(reader, Limits(), self.budget)
        except ArchiveDamaged as error:
            if reader.is_broken:
                raise
            reader.drain()
            return self.wrong.add("runs", f"{key}: archive: {error}")
        digest = reader.drain()
        proofs = judge_bag(contents, self.find_key, self.given.judge)
        self.wrong.add("runs", *(f"{key}: {each.name}: {each.seen}" for each in proofs if not each.ok))
        self.runs[key] = RunFacts.of(key, contents, digest, reader.size)
        return None

    def take_linked(self) -> None:
        """Bundles that `links.json` names, where they were given."""
        for key, (digest, size) in self.links.items():
            if not is_portable(key) or key in self.runs:
                self.wrong.add("links", f"{key} is no link: it is in the package too, or has no portable name")
            elif self.given.linked:
                self._take_linked(key, self.given.linked / key)
            if key in self.runs and (self.runs[key].sha256, self.runs[key].size) != (digest, size):
                self.wrong.add("links", f"{key} is not what links.json says")

    def _take_linked(self, key: str, path: Path) -> None:
        try:
            with open_plain(path) as source:
                self.take_run(Reader(iter(functools.partial(source.read, CHUNK), b"")), key)
        except ArchiveDamaged as error:
            self.wrong.add("links", f"{key}: {error}")

    def _head(self, check: str, name: str, reader: Reader) -> Head | None:
        content = self._small(check, reader)
        note = parse_note(content)
        checkpoint = parse_checkpoint(note.text) if note else None
        if note is None or checkpoint is None:
            self.wrong.add(check, f"{name} is no checkpoint in its one form")
            return None
        if not self._signer_of(note, checkpoint):
            self.wrong.add(check, f"{name} is not signed by a key that the log had then")
        return Head(content, note, checkpoint)

    def _record(self, check: str, name: str, content: bytes) -> Record | None:
        opened = open_envelope(content)
        said = parse_statement(opened.payload) if opened else None
        if opened is None or said is None:
            self.wrong.add(check, f"{name} is no envelope in its one form")
            return None
        signer = opened.signatures[0].key_id
        try:
            if not opened.is_signed_by(self.ring.key(signer, ("seal",)), self.given.judge):
                raise NotTrusted("a signature that is not this key's")
        except NotTrusted as error:
            self.wrong.add(check, f"{name}: {error}")
        receipt = parse_receipt(said, signer) if said.kind == PUT_RECEIPT else None
        if said.kind == PUT_RECEIPT and receipt is None:
            self.wrong.add(check, f"{name} is a receipt that has not its one form")
        word = parse_plan_word(said) if said.kind == PLAN_STATEMENT else None
        if said.kind == PLAN_STATEMENT and word is None:
            self.wrong.add("plans", f"{name} is a statement about a plan that has not its one form")
        return Record(said.kind, signer, receipt, _probed(said.predicate) if said.kind == PROBE else "", word)

    def _small(self, check: str, reader: Reader) -> bytes:
        content = reader.read(_SMALL + 1)
        if len(content) > _SMALL:
            self.wrong.add(check, f"a file of more than {_SMALL} bytes")
        return content[:_SMALL]

    def _large(self, name: str, reader: Reader) -> bytes | None:
        """A file that grows with the period. One that is too large is not compared, and that is said."""
        limit = (self.given.limits or PACKAGE_LIMITS).tag_bytes
        content = reader.read(limit + 1)
        if len(content) <= limit:
            return content
        self.unread.append(name)
        return None

    def take_kept_heads(self) -> None:
        """Heads that were given: what an auditor kept, or a witness shows."""
        for path in self.given.heads:
            head, why = read_kept_head(path, lambda note, head: bool(self._signer_of(note, head)))
            if head is None:
                self.wrong.add("heads", why)
            else:
                self.kept.setdefault(head.size, []).append((path.name, head.root))

    def _signer_of(self, note: Note, head: Checkpoint) -> str:
        return head_signer(note, head, self.ring, self.given.judge)


def _probed(said: Mapping[str, Any]) -> str:
    reasons = said.get("reasons")
    why = "; ".join(map(str, reasons[:_SHOWN])) if isinstance(reasons, list) else "it does not say why"
    shown = "withstood every try to destroy" if said.get("isWorm") is True else f"is not WORM ({why})"
    return f"a probe at {said.get('at')}: the store {said.get('store')} {shown}"


def _ignore(*_: Any) -> None:
    """What people read, or what only its digest is needed of."""


_SEG = r"[^/]+"
_ROUTES: tuple[tuple[re.Pattern[str], Callable[..., None]], ...] = tuple(
    (re.compile(f"data/(?:{pattern})"), take)
    for pattern, take in (
        (rf"runs/({_SEG}/{_SEG}\.tar\.gz)", Package.take_run),
        (rf"receipts/({_SEG}/{_SEG}\.tar\.gz)\.dsse\.json", Package.take_receipt),
        (r"records/([0-9a-f]{64})\.dsse\.json", Package.take_record),
        (r"keys/([0-9]{8})\.dsse\.json", Package.take_key),
        (r"log/head", Package.take_newest),
        (r"log/heads/([0-9]{20})", Package.take_head),
        (rf"log/times/([0-9]{{20}})/({_SEG})\.tsr", Package.take_token),
        (rf"log/cosignatures/([0-9]{{20}})/({_SEG})", Package.take_cosignature),
        (r"population\.json", Package.take_population),
        (r"links\.json", Package.take_links),
        (r"previous\.json", Package.take_previous),
        (r"(junit\.xml|controls\.json|oscal\.json)", Package.take_form),
        (r"log/entries\.jsonl|README\.txt|verify\.py", _ignore),
        (r"report\.html|report\.pdf|telemetry/.+", _ignore),
    )
)


def entry_lines(source: Source, limits: Limits, digest: str) -> Iterator[bytes]:
    """The entries in a package, one by one. Raises `ArchiveDamaged` when they are not those that have this digest."""
    for member in read_archive(source, limits):
        if member.name.partition("/")[2] == _ENTRIES_FILE:
            reader, rest = Reader(member.pieces), b""
            while piece := reader.read(CHUNK):
                *lines, rest = (rest + piece).split(b"\n")
                yield from lines
                if len(rest) > LARGEST_ENTRY:
                    raise ArchiveDamaged("an entry is longer than entries are")
            if rest or reader.drain() != digest:
                raise ArchiveDamaged("the list of entries has no end, or changed while it was read")
            return


_ENROLLED, _CHANGED, _RETIRED = "enrolled", "changed", "retired"
_PLAN: Form = {
    "at": _TEXT_OR_NULL, "by": _TEXT, "cadence": _OBJECT, "controls": _LIST, "event": _TEXT, "kind": _TEXT,
    "number": _NUMBER, "owner": _TEXT, "plan": _TEXT, "planDigest": _OBJECT, "previous": _TEXT_OR_NULL, "reason": _TEXT,
}  # fmt: skip


class PlanWord(NamedTuple):
    """A statement about a plan, as read."""

    plan: str
    event: str
    number: int
    previous: str | None
    at: datetime | None


def parse_plan_word(said: Statement) -> PlanWord | None:
    """What a statement says of a plan, or `None` when it is not in its one form."""
    body = said.predicate
    if not has_form(body, _PLAN) or not has_form(body["planDigest"], {"sha256": _TEXT}):
        return None
    at, event = parse_time(body["at"]), body["event"]
    is_written = body["at"] is None or (at is not None and write_time(at) == body["at"])
    if not is_written or event not in (_ENROLLED, _CHANGED, _RETIRED) or body["number"] < 0:
        return None
    if dict(said.subjects) != {f"{body['plan']}.yaml": body["planDigest"]["sha256"]}:
        return None
    return PlanWord(body["plan"], event, body["number"], body["previous"], at)


class PlanLife(NamedTuple):
    """What the log said last of a plan."""

    word: PlanWord
    digest: str
    """SHA-256 (hex) of the statement's envelope."""
    moment: datetime
    """When that was: as it says, or when it was logged."""
    enrolled_at: datetime


class Lives:
    """Plans as the log tells of them, statement after statement, beside what the population tells."""

    def __init__(self, wrong: Findings) -> None:
        self._wrong = wrong
        self.known: dict[str, PlanLife] = {}
        self.late: list[str] = []

    def take(self, entry: Entry, digest: str, word: PlanWord) -> None:
        """The next statement."""
        before = self.known.get(word.plan)
        expected = (before.word.number + 1, before.digest) if before else (0, None)
        is_enrolled = before is not None and before.word.event != _RETIRED
        if (word.number, word.previous) != expected or (word.event == _ENROLLED) == is_enrolled:
            self._wrong.add("plans", f"{word.plan}: entry {entry.index} does not follow what was said of it before")
        moment = word.at or entry.logged_at
        if moment - entry.logged_at > _CLOCKS:
            self._wrong.add("plans", f"{word.plan}: entry {entry.index} tells of a time after it was logged")
        if word.event == _RETIRED and entry.logged_at - moment > _LATE:
            told = f"{word.plan} was retired at {write_time(moment)}, logged {entry.logged_at - moment} later"
            self.late.append(f"{told}: until then only its ledger vouched for that")
        enrolled_at = moment if word.event == _ENROLLED or before is None else before.enrolled_at
        self.known[word.plan] = PlanLife(word, digest, moment, enrolled_at)

    def finish(self, population: Population) -> None:
        """What the log tells of plans is what the population tells: also where that tells of none."""
        for plan, life in sorted(self.known.items()):
            told = (population.plans or {}).get(plan)
            if told is None:
                self._wrong.add("plans", f"{plan} is in the log, and population.json does not tell of it")
            elif life.word.event == _RETIRED and told.retired_at != life.moment:
                self._wrong.add("plans", f"{plan} was retired at another time than population.json tells")

    def remarks(self, population: Population | None) -> list[str]:
        """Plans whose end is not vouched for, and what was told late."""
        open_ended = sorted(self._open_ended(population)) if population else []
        return [*_shortened(open_ended, "more plans, whose end is not vouched for"), *_shortened(self.late, "more")]

    def _open_ended(self, population: Population) -> Iterator[str]:
        end = min(population.until, population.made_at)
        newest: dict[str, datetime] = {}
        for row in (*population.of("slots"), *population.of("open")):
            if row.scheduled_at:
                newest[row.plan] = max(row.scheduled_at, newest.get(row.plan, row.scheduled_at))
        for plan, told in (population.plans or {}).items():
            life = self.known.get(plan)
            if life and life.word.event == _RETIRED:
                continue
            last = newest.get(plan, life.enrolled_at if life else None)
            if life and told.longest_gap is None:
                yield f"{plan} is said to have no known cadence: whether its due times stop is not vouched for"
            if told.retired_at:
                when = write_time(told.retired_at)
                yield f"{plan} is said to be retired at {when}, and the log does not say so: its end is not vouched for"
            elif last and told.longest_gap and end - max(last, population.since) > told.longest_gap + _LATE:
                when = write_time(last)
                yield f"{plan} was due until {when}, and the log retires it never: its end is not vouched for"


def _shortened(texts: Sequence[str], more: str) -> list[str]:
    """The first few, and how many more there are."""
    told = [text[:_LONGEST] for text in texts[:_SHOWN]]
    return [*told, f"and {len(texts) - _SHOWN} {more}"] if len(texts) > _SHOWN else told


def _long_open(population: Population) -> Iterator[str]:
    """Due times that are told as open long after they came: who made the package says that they can still be run."""
    for row in population.still_open:
        age = population.made_at - row.scheduled_at if row.scheduled_at else timedelta()
        if row.claimable_until is None and age > _LATE:
            yield f"{row} is told as open {age} after it was due, and not until when it could be run: it may be a gap"
        elif row.claimable_until and age > _LONG:
            until = write_time(row.claimable_until)
            yield f"{row} is told as open {age} after it was due: until {until}, says who made the package"


class Walk:
    """One pass along the entries, beside what the package holds."""

    def __init__(self, package: Package) -> None:
        self._package, self._wrong, self._ring = package, package.wrong, package.ring
        self.population = package.population
        rows = self.population.rows if self.population else ()
        self._rows = {row.entry: row for row in rows if row.entry is not None}
        self._told = {f"{row.plan}/{row.run}.tar.gz": row.entry for row in rows if row.entry is not None}
        self._unserved = {row.slot: row for row in rows if row.entry is None and row.slot}
        self._left_open = {row.slot: row for row in self._rows_left_open()}
        self._awaited = frozenset(self._left_open)
        self._sizes = {size + step for size in package.heads for step in (-1, 0)}
        self._keys_logged = 0
        self._seen: set[str] = set()
        self._tree, self._last = Tree(), _NO_ENTRY
        self.sealed: dict[int, tuple[Mapping[str, Any], RunFacts | None]] = {}
        """Of each run of the period: its bundle as its entry names it, and what was read of that."""
        self.later: list[tuple[int, Receipt]] = []
        self.times: dict[int, datetime] = {}
        """When entries beside an anchored size were logged."""
        self.newest: datetime | None = None
        self.newest_package: Mapping[str, Any] | None = None
        """What the last entry of a package says."""
        self.late: list[str] = []
        self.afterwards = 0
        """Runs that came since the older package, of times that it is about and that are after this one's period."""
        self.probes: list[str] = []
        self.lives = Lives(package.wrong)
        self.unknown: Counter[str] = Counter()
        """Records of kinds that came after this verifier."""
        self.outcomes: Counter[str] = Counter()
        self._compare_root()

    @property
    def size(self) -> int:
        """How many entries there were so far."""
        return self._tree.size

    def take(self, content: bytes) -> None:
        """The next entry."""
        index = self._tree.size
        entry = parse_entry(index, content)
        if isinstance(entry, str):
            self._wrong.add("log", f"entry {index}: {entry}")
        else:
            self._follow(entry)
            {"run": self._take_run, "record": self._take_record, "package": self._take_package}[entry.kind](entry)
        self._last = leaf_hash(content)
        self._tree.append(self._last)
        self._compare_root()

    def _follow(self, entry: Entry) -> None:
        if entry.fields["previous"] != self._last.hex():
            self._wrong.add("log", f"entry {entry.index} does not name the one before it")
        if self.newest and entry.logged_at < self.newest:
            self._wrong.add("log", f"entry {entry.index} was logged before the one before it: it was back-dated")
        self.newest = max(self.newest or entry.logged_at, entry.logged_at)
        if entry.index in self._sizes:
            self.times[entry.index] = entry.logged_at

    def _compare_root(self) -> None:
        head = self._package.heads.get(self._tree.size)
        if head and head.checkpoint.root != self._tree.root():
            self._wrong.add("heads", f"the entries do not lead to the head of size {self._tree.size}")
        for name, root in self._package.kept.get(self._tree.size, ()):
            if root != self._tree.root():
                told = f"the entries do not lead to {name}, the head of size {self._tree.size}"
                self._wrong.add("heads", f"{told}: the log was forked or written anew")

    def _take_run(self, entry: Entry) -> None:
        population, row = self.population, self._rows.pop(entry.index, None)
        if population is None:
            return
        self._compare_twins(entry)
        is_of_period = population.since <= entry.at < population.until
        if row is None:
            if is_of_period or self._is_late(entry):
                self._wrong.add("population", f"entry {entry.index}, run {entry.fields['run']}, is left out")
            return
        if (row.where == "slots") != is_of_period or (row.where == "late" and entry.at >= population.since):
            self._wrong.add("population", f"{row}: its entry {entry.index} is of another period")
        self._wrong.add("population", *(f"{row}: {text}" for text in row.departures(entry)))
        self._compare_bundle(entry, row)
        self._compare_receipt(entry)
        if row.where == "slots":
            self.outcomes[row.outcome] += 1

    def _compare_twins(self, entry: Entry) -> None:
        """No other entry, of whatever time, is about a run or a due time that is told here."""
        key, slot = entry.fields["bundle"]["key"], entry.fields["slot"]
        if self._told.get(key, entry.index) != entry.index:
            self._wrong.add("log", f"entry {entry.index} names {key} once more")
        if slot in self._unserved:
            told = f"{self._unserved[slot]}: told as {self._unserved[slot].outcome}"
            self._wrong.add("population", f"{told}, and entry {entry.index} is about it")
        self._left_open.pop(slot, None)

    @property
    def _before(self) -> Checked | None:
        """The package before, if it is the one that was given and can be read."""
        older = self._package.older
        is_it = older is not None and older.is_named_by(self._package.previous) and older.package.population is not None
        return older if is_it else None

    def _rows_left_open(self) -> Iterator[Row]:
        """Due times that the older package, where one was given, left open."""
        older = self._package.older
        if older and older.package.population:
            yield from (row for row in older.package.population.still_open if row.slot)

    def _is_late(self, entry: Entry) -> bool:
        """Logged since the package before, which was given, and of its period or an earlier one, or open there."""
        older, population = self._before, self.population
        if older is None or older.package.population is None or population is None or entry.index < older.size:
            return False
        is_its = entry.at < older.package.population.until or entry.fields["slot"] in self._awaited
        self.afterwards += is_its and entry.at >= population.until
        return is_its and entry.at < population.since

    def _compare_bundle(self, entry: Entry, row: Row) -> None:
        key = entry.fields["bundle"]["key"]
        self._seen.add(key)
        facts = self._package.runs.pop(key, None)
        if row.where == "slots":
            self.sealed[entry.index] = (entry.fields["bundle"], facts)
        if facts is None:
            self._compare_link(entry, key)
            return
        self._wrong.add("runs", *(f"{key}: {text}" for text in facts.departures(entry)))
        self._assert_valid("runs", key, facts.signer, ("seal", "submit"), entry.index)
        if row.ended_at and row.ended_at != facts.ended_at:
            self._wrong.add("population", f"{row}: it ended at another time than its bundle says")
        if facts.ended_at and entry.logged_at - facts.ended_at > _LATE:
            self.late.append(f"{key}, {entry.logged_at - facts.ended_at} after it ended")

    def _compare_link(self, entry: Entry, key: str) -> None:
        bundle = entry.fields["bundle"]
        if "links.json" in self._package.unread:
            return
        if key not in self._package.links:
            self._wrong.add("runs", f"{key} is not here: entry {entry.index} names it")
        elif self._package.links[key] != (bundle["sha256"], bundle["size"]):
            self._wrong.add("links", f"{key} is not the bundle that entry {entry.index} names")

    def _compare_receipt(self, entry: Entry) -> None:
        bundle = entry.fields["bundle"]
        digest, receipt = self._package.receipts.get(bundle["key"], ("", None))
        if receipt is None or digest != entry.fields["receipt"]:
            return self._wrong.add("receipts", f"the receipt that entry {entry.index} names is not here")
        if (receipt.sha256, receipt.size) != (bundle["sha256"], bundle["size"]):
            self._wrong.add("receipts", f"{receipt.key}: the store held other bytes")
        if receipt.asked_at - entry.logged_at > _CLOCKS:
            self._wrong.add("receipts", f"{receipt.key}: the store was asked after the answer was logged")
        self._wrong.add("receipts", *(f"{receipt.key}: {text}" for text in receipt.problems()))
        self._assert_valid("receipts", receipt.key, receipt.signer, ("seal",), entry.index)
        return None

    def _take_package(self, entry: Entry) -> None:
        """An older package is not in this one; its receipt may be."""
        self.newest_package = entry.fields
        key = entry.fields["bundle"]["key"]
        if key in self._package.receipts:
            self._seen.add(key)
            self._compare_receipt(entry)

    def _take_record(self, entry: Entry) -> None:
        key, digest, kind = (entry.fields[name] for name in ("key", "envelope", "predicateType"))
        if kind == KEY_STATEMENT:
            return self._take_key(entry.index, key, digest)
        record = self._package.records.get(digest)
        if key != f"records/{digest}.dsse.json" or kind in (DRILL_RUN, TEST_RESULT_TYPE, PACKAGE_TYPE):
            self._wrong.add("log", f"entry {entry.index} names a record as no record is named")
        if kind not in (PUT_RECEIPT, PROBE, LINK, PLAN_STATEMENT):
            self.unknown[kind] += 1
        if record is None:
            return self._miss_record(entry, key, kind)
        self._seen.add(digest)
        if record.kind != kind:
            self._wrong.add("records", f"{key} is of another kind than entry {entry.index} says")
        self._assert_valid("records", key, record.signer, ("seal",), entry.index)
        if record.receipt:
            self.later.append((entry.index, record.receipt))
        if record.remark:
            self.probes.append(record.remark[:_LONGEST])
        if record.word:
            self.lives.take(entry, digest, record.word)
        return None

    def _miss_record(self, entry: Entry, key: str, kind: str) -> None:
        """What was said of plans is there from the beginning of the log on; other records are of the period."""
        if kind == PLAN_STATEMENT:
            self._wrong.add("plans", f"{key} is not here: entry {entry.index} names it")
        elif self.population and self.population.since <= entry.at < self.population.until:
            self._wrong.add("records", f"{key} is not here: entry {entry.index} names it")

    def _take_key(self, index: int, key: str, digest: str) -> None:
        number = self._keys_logged
        self._keys_logged += 1
        known = self._ring.digests[number] if number < len(self._ring.digests) else ""
        if key != f"keys/{number:08d}.dsse.json" or digest != known:
            self._wrong.add("keyring", f"entry {index} names a key statement that is not here, or not in its turn")

    def _assert_valid(self, check: str, key: str, signer: str, roles: Iterable[str], index: int) -> None:
        try:
            self._ring.assert_valid(signer, roles, index)
        except NotTrusted as error:
            self._wrong.add(check, f"{key}: {error}")

    def finish(self) -> None:
        """What is left when all entries were seen."""
        package, wrong = self._package, self._wrong
        newest = package.newest.checkpoint if package.newest else None
        if newest and (newest.size, newest.root) != (self._tree.size, self._tree.root()):
            wrong.add("head", f"{self._tree.size} entries do not lead to the root of the head of size {newest.size}")
        wrong.add(
            "heads", *(f"a head of size {size}, beyond the log" for size in package.heads if size > self._tree.size)
        )
        for size, kept in package.kept.items():
            told = f"of size {size}, beyond the log: its end was cut off, or this package is older than that head"
            wrong.add("heads", *(f"{name} is a head {told}" for name, _ in kept if size > self._tree.size))
        wrong.add("population", *(f"{row}: entry {index} is no run of the log" for index, row in self._rows.items()))
        if self.population:  # without it nothing is known to be of the period
            self._find_spare()
            self.lives.finish(self.population)
        lost = (digest for digest in package.records if digest not in self._seen)
        wrong.add("records", *(f"records/{digest} is named by no entry" for digest in lost))
        if self._keys_logged < len(package.envelopes):
            wrong.add("keyring", f"{len(package.envelopes) - self._keys_logged} key statements were never logged")
        self._finish_population()

    def _find_spare(self) -> None:
        package, wrong = self._package, self._wrong
        wrong.add("runs", *(f"{key} is here, and no entry of the period names it" for key in package.runs))
        wrong.add("links", *(f"{key} is linked to, and no entry names it" for key in package.links.keys() - self._seen))
        spare = (key for key in package.receipts if key not in self._seen)
        wrong.add("receipts", *(f"a receipt of {key}, which no entry of the period names" for key in spare))

    def _finish_population(self) -> None:
        population, wrong = self.population, self._wrong
        if population is None:
            if "population.json" not in self._package.unread:
                wrong.add("population", "there is none")
            return
        if self.newest and population.made_at != self.newest:
            wrong.add("population", "it was not made when the newest entry was logged")
        slots = Counter(row.slot for row in population.rows if row.slot)
        wrong.add(
            "population", *(f"{row}: more than one record" for row in population.rows if slots[row.slot or ""] > 1)
        )
        entries = Counter(row.entry for row in population.rows if row.entry is not None)
        wrong.add(
            "population", *(f"entry {index} stands in {count} rows" for index, count in entries.items() if count > 1)
        )
        gaps = (row for row in population.rows if row.outcome == _UNSEALED)
        wrong.add("population", *(f"{row}: due, and nothing was sealed" for row in gaps))
        for row in population.rows:
            is_of_period = row.scheduled_at is None or population.since <= row.scheduled_at < population.until
            if row.where != "late" and is_of_period == (row.where == "carried"):
                wrong.add("population", f"{row} is of {'this' if is_of_period else 'another'} period")
        self._finish_open(population)

    def _finish_open(self, population: Population) -> None:
        """What is open can still get a record; what was open in the package before is told."""
        package, wrong = self._package, self._wrong
        for row in population.still_open:
            if row.claimable_until and population.made_at >= row.claimable_until + _LATE:
                over = f"nothing could claim it after {write_time(row.claimable_until)}"
                wrong.add("population", f"{row}: told as open, and {over}: due, and nothing was sealed")
            elif row.claimable_until is None and package.has_format:
                wrong.add("population", f"{row}: told as open, and not until when")
        if package.has_format and not population.carries:
            wrong.add("population", "it does not tell what became of what the package before left open (`carried`)")
        for slot in self._unserved:
            self._left_open.pop(slot, None)
        if self._before:
            lost = [row for row in self._left_open.values() if row.claimable_until or population.carries]
            wrong.add("population", *(f"{row}: open in the package before, and told nowhere since" for row in lost))
            self._left_open = {} if lost else self._left_open

    def remarks(self) -> Iterator[str]:
        """What is known of due times that are, or were, open, and of packages that were not compared."""
        older, population = self._package.older, self.population
        if older and not self._before:
            told = "the older package is not the one that previous.json names"
            yield f"{told}: packages in between tell what came late since, and how what it left open ended"
        if self._left_open and population:
            left = [f"{row} was open in the older package, and has no record here" for row in self._left_open.values()]
            yield from _shortened(left, "more that were open, and have no record here")
        if self.afterwards:
            told = f"{self.afterwards} runs of times after this period were logged since the older package"
            yield f"{told}: a package of those times has to tell them"
        if population:
            yield from _shortened(list(_long_open(population)), "more that have been open for long")


# --- Forms for programs -----------------------------------------------------------------------------------------------
# The period once more: junit.xml, controls.json, oscal.json. Each is held beside the population, which is held beside
# the log and the bundles: none may show a run as better than it was, or leave one out. Their prose is not read.

_FORMS = ("junit.xml", "controls.json", "oscal.json")
_SUPPORTS, _DOES_NOT_SHOW = "supports", "does not show"
_XML_BEGIN = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_COUNTS = frozenset({"name", "tests", "failures", "errors", "skipped", "time"})
_JUNIT: Mapping[str, frozenset[str]] = {
    "testsuites": _COUNTS,
    "testsuite": _COUNTS | {"timestamp"},
    "testcase": frozenset({"classname", "name", "time"}),
    "system-out": frozenset(),
    "failure": frozenset({"type", "message"}),
    "error": frozenset({"type", "message"}),
}
"""Elements, and the attributes that each has."""
_MATRIX: Form = {"controls": _LIST, "from": _TEXT, "until": _TEXT}
_CONTROL: Form = {
    "control": _TEXT, "doesNotShow": _LIST, "kinds": _LIST, "ourCadence": _LIST, "says": _TEXT, "supports": _LIST,
}  # fmt: skip
_SUPPORT: Form = {"bundle": _TEXT, "entry": _NUMBER, "plan": _TEXT, "run": _TEXT, "scheduledAt": _TEXT_OR_NULL}
_RESULT: Form = {"end": _TEXT, "findings": _LIST, "start": _TEXT}
_OBSERVATION: Form = {"props": _LIST, "title": _TEXT, "types": _LIST, "uuid": _TEXT}
_FINDING: Form = {"props": _LIST, "target": _OBJECT}
_NOT_ITS_FORM = "it has not its one form"


def _parse_junit(content: bytes, most: int) -> Element | None:
    """junit.xml, if it has no more than so many tags. Without `<!` there are no entities, so nothing in it can grow."""
    if not content.startswith(_XML_BEGIN) or b"<!" in content or content.count(b"<") > most:
        return None
    try:
        root = fromstring(content)  # noqa: S314  # no entities, no more tags than asked for
    except (ParseError, ValueError):
        return None
    tags = [{root.tag}, *({each.tag for each in root.iterfind("/".join("*" * depth))} for depth in (1, 2, 3, 4))]
    places: tuple[set[str], ...] = (
        {"testsuites"},
        {"testsuite"},
        {"testcase"},
        {"system-out", "failure", "error"},
        set(),
    )
    if not all(found <= known for found, known in zip(tags, places)):  # noqa: B905  # not in 3.9
        return None
    return root if all(_JUNIT[each.tag].issuperset(each.keys()) for each in root.iter()) else None


class Forms:
    """Where the forms for programs tell another period than the population."""

    def __init__(self, population: Population, sealed: Mapping[int, tuple[Mapping[str, Any], RunFacts | None]]) -> None:
        self._population, self._sealed = population, sealed
        self._slots = population.of("slots")
        self._rows = {row.entry: row for row in self._slots if row.entry is not None}
        self._matrix: list[dict[str, Any]] | None = None

    def departures(self, forms: Mapping[str, bytes]) -> Iterator[str]:
        """All of them, in words. The matrix comes first: OSCAL draws on it."""
        for name, judge in (("controls.json", self._controls), ("junit.xml", self._junit), ("oscal.json", self._oscal)):
            try:
                yield from (f"{name} disagrees: {text}" for text in (judge(forms[name]) if name in forms else ()))
            except RecursionError:
                yield f"{name} disagrees: it is nested too deep"

    def _junit(self, content: bytes) -> Iterator[str]:
        """A suite a plan, a case a row, and faults for all that is no pass."""
        rows = sorted((*self._slots, *self._population.of("open")), key=lambda row: row.plan)
        root = _parse_junit(content, 8 * len(rows) + 4)
        if root is None:
            yield _NOT_ITS_FORM
            return
        cases = [(suite, case) for suite in root for case in suite]
        if len(cases) != len(rows):
            yield f"it tells {len(cases)} runs and due times, and there are {len(rows)}"
            return
        for (suite, case), row in zip(cases, rows):  # noqa: B905  # not in 3.9
            yield from _compare(row, self._case(suite, case, row))
        for each in (root, *root):
            for name, tag in (("tests", ""), ("failures", "/failure"), ("errors", "/error"), ("skipped", "/skipped")):
                count = sum(1 for _ in each.iterfind(f".//testcase{tag}"))
                if each.get(name) != str(count):
                    yield f"it counts {each.get(name)} {name} in {each.get('name')!r}, and has {count}"

    def _case(self, suite: Element, case: Element, row: Row) -> Iterator[tuple[Any, Any]]:
        told = case[0] if len(case) == 1 else case
        lines, at = (told.text or "").split("\n"), row.scheduled_at or row.logged_at
        yield suite.get("name"), row.plan
        yield case.get("name"), f"{row.plan} {write_time(at)}" if at else case.get("name")
        yield ("a pass" if told.tag == "system-out" else told.get("type")), "a pass" if row.is_pass else row.outcome
        yield lines[0], f"outcome: {row.outcome}"
        if bundle := self._bundle(row):
            where = f"evidence: {bundle['key']}, SHA-256 {bundle['sha256']}, entry {row.entry}"
            yield lines[-2:], [f"run: {row.run}", where]

    def _bundle(self, row: Row) -> Mapping[str, Any]:
        """As its entry names it; nothing where there is none."""
        return self._sealed.get(-1 if row.entry is None else row.entry, ({}, None))[0]

    def _controls(self, content: bytes) -> Iterator[str]:
        """What each control is supported by, and that nothing which did not pass is passed over."""
        value = parse_object(content)
        if not has_form(value, _MATRIX, more=True) or not all(map(_is_control, value["controls"])):
            yield _NOT_ITS_FORM
            return
        if (parse_time(value["from"]), parse_time(value["until"])) != self._population[:2]:
            yield "it is of another period"
        self._matrix = value["controls"]
        named: dict[str, set[str]] = {}
        for index, (_, facts) in self._sealed.items():
            for control in facts.controls if facts else ():
                named.setdefault(control, set()).add(self._rows[index].plan)
        listed = Counter(row["control"] for row in self._matrix)
        yield from (f"{control}, which a run names, is left out" for control in sorted(named.keys() - listed))
        yield from (f"{control} stands there more than once" for control, count in listed.items() if count > 1)
        for row in self._matrix:
            yield from (f"{row['control']}: {text}" for text in self._control(row, named.get(row["control"], set())))

    def _control(self, told: Mapping[str, Any], named: set[str]) -> Iterator[str]:
        plans = {each["plan"] for each in told["ourCadence"]}
        if told["says"] != (_SUPPORTS if told["supports"] else _DOES_NOT_SHOW):
            yield f"it says {told['says']!r}, and {len(told['supports'])} runs support it"
        yield from (f"{plan}, whose runs name it, is left out" for plan in sorted(named - plans))
        for plan in sorted(plans - self._faultless):
            if not any(str(lack).startswith(f"{plan}: ") for lack in told["doesNotShow"]):
                yield f"not all of {plan} passed, and that is left out"
        entries = Counter(run["entry"] for run in told["supports"])
        yield from (f"entry {entry} supports it {count} times" for entry, count in entries.items() if count > 1)
        for run in told["supports"]:
            if why := self._why_no_support(told, run, plans):
                yield f"{run['run']} supports it, and {why}"

    @functools.cached_property
    def _faultless(self) -> set[str]:
        """Plans with runs in the period that passed, all of them."""
        return {row.plan for row in self._slots} - {row.plan for row in self._slots if not row.is_pass}

    def _why_no_support(self, told: Mapping[str, Any], run: Mapping[str, Any], plans: set[str]) -> str:
        row, (bundle, facts) = self._rows.get(run["entry"]), self._sealed.get(run["entry"], ({}, None))
        if row is None or (run["plan"], run["run"], run["bundle"]) != (row.plan, row.run, bundle.get("key")):
            return f"entry {run['entry']} is no such run of the period"
        if parse_time(run["scheduledAt"]) != row.scheduled_at:
            return "was due at another time"
        if not row.is_pass:
            return f"is {row.outcome}" + (" with a problem" if row.is_troubled else "")
        if row.plan not in plans or (facts and told["control"] not in facts.controls):
            return "its plan does not name it"
        is_own = told["control"].startswith("internal:")
        return "is of another kind" if facts and not is_own and facts.kind not in told["kinds"] else ""

    def _oscal(self, content: bytes) -> Iterator[str]:
        """An observation a row, a finding a control."""
        value = (parse_object(content) or {}).get("assessment-results")
        results = _listed(value.get("results")) if isinstance(value, dict) else []
        result = results[0] if len(results) == 1 else None
        if not has_form(result, _RESULT, more=True):
            yield _NOT_ITS_FORM
            return
        observations, findings = _listed(result.get("observations")), result["findings"]
        forms = ((observations, _OBSERVATION), (findings, _FINDING))
        if not all(has_form(each, form, more=True) for some, form in forms for each in some):
            yield _NOT_ITS_FORM
            return
        if (parse_time(result["start"]), parse_time(result["end"])) != self._population[:2]:
            yield "it is of another period"
        if len(observations) != len(self._slots):
            yield f"it tells {len(observations)} runs and due times, and there are {len(self._slots)}"
            return
        for each, row in zip(observations, self._slots):  # noqa: B905  # not in 3.9
            yield from _compare(row, self._observation(each, row))
        rows = {each["uuid"]: row for each, row in zip(observations, self._slots)}  # noqa: B905  # not in 3.9
        if len(rows) != len(observations):
            yield "two observations have one identity"
        if self._matrix is not None and len(findings) != len(self._matrix):
            yield f"it has {len(findings)} findings for {len(self._matrix)} controls"
            return
        for number, each in enumerate(findings):
            yield from _finding(each, rows, self._matrix[number] if self._matrix is not None else None)

    def _observation(self, each: Mapping[str, Any], row: Row) -> Iterator[tuple[Any, Any]]:
        is_sealed = row.entry is not None
        for name, expected in (
            ("plan", row.plan),
            ("outcome", row.outcome),
            ("run", row.run if is_sealed else None),
            ("entry", str(row.entry) if is_sealed else None),
            ("slot", row.slot),
        ):
            yield _props(each, name), [] if expected is None else [expected]
        yield each["types"], ["control-objective" if row.is_pass else "finding"]
        yield each["title"].rpartition(": ")[2], row.outcome
        for evidence in _listed(each.get("relevant-evidence")):
            href = evidence.get("href") if isinstance(evidence, dict) else ""
            yield href, None if href is None else f"runs/{self._bundle(row).get('key')}"


def _finding(each: Mapping[str, Any], rows: Mapping[str, Row], control: Mapping[str, Any] | None) -> Iterator[str]:
    """A finding that is satisfied rests on runs that passed, and is what the matrix says of its control."""
    name = str((_props(each, "control") or ["a control without a name"])[0])
    related = [
        one.get("observation-uuid") for one in _listed(each.get("related-observations")) if isinstance(one, dict)
    ]
    support = [rows.get(one) if isinstance(one, str) else None for one in related]
    status = each["target"].get("status")
    said = (status.get("state"), status.get("reason")) if isinstance(status, dict) else None
    shows, lacks = (control["says"], control["doesNotShow"]) if control else (None, [])
    good, bad = ("satisfied", "pass"), ("not-satisfied", "other")
    if not all(row and row.is_pass for row in support):
        yield f"{name}: it rests on what is no pass"
    if said not in (good, bad) or (said == good and not support):
        yield f"{name}: it says {said!r}, by {len(support)} runs"
    if control is None:
        return
    own = control["control"]
    if own.isprintable() and len(own) <= _LONGEST and name != own.strip():
        yield f"{name} stands where {own} should be"
    if (said == good) != (shows == _SUPPORTS and not lacks) or _props(each, "shows") != [shows]:
        yield f"{name}: it says {said!r}, controls.json {shows!r} and lacks {len(lacks)} things"
    if [row.entry for row in support if row] != [run["entry"] for run in control["supports"]]:
        yield f"{name}: it rests on other runs than controls.json names"


def _props(told: Mapping[str, Any], name: str) -> list[Any]:
    return [each.get("value") for each in told["props"] if isinstance(each, dict) and each.get("name") == name]


def _is_control(value: Any) -> bool:
    return (
        has_form(value, _CONTROL, more=True)
        and all(has_form(each, {"plan": _TEXT}, more=True) for each in value["ourCadence"])
        and all(has_form(each, _SUPPORT, more=True) for each in value["supports"])
    )


def _compare(row: Row, pairs: Iterable[tuple[Any, Any]]) -> Iterator[str]:
    yield from (f"{row}: {seen!r} stands where {right!r} should" for seen, right in pairs if seen != right)


_PACKAGE_RULES = {
    rule.name: rule
    for rule in (
        Rule(
            "contents",
            "only files that a package has",
            "something was put in that no verifier looks at",
        ),
        _RING,
        Rule(
            "log",
            "every entry names the one before, none goes back in time, none is there twice",
            "entries were left out, reordered, replayed, back-dated or written anew",
        ),
        Rule(
            "head",
            "all entries lead to the newest head, which the log's key signed",
            "the end of the log was cut off, or this is not the log that was signed",
        ),
        Rule(
            "heads",
            "the log goes through every older head that is here",
            "the log was written anew since that head was shown: a fork",
        ),
        Rule(
            "runs",
            "every bundle that the period's entries name is here, sound, and what its entry says",
            "a run was dropped, added, swapped or changed, or sealed by a key that did not count then",
        ),
        Rule(
            "receipts",
            "the store held every bundle, once, when the notary asked",
            "a bundle was deleted, written again, or never stored",
        ),
        Rule(
            "records",
            "every record that the period's entries name is here; no later receipt is weaker than the first",
            "a record was dropped or changed, or a lock was shortened or downgraded since",
        ),
        Rule(
            "plans",
            "all that the log says of plans is here, begins with an enrolment, and goes on from there",
            "a plan was hidden, or its end was made up",
        ),
        Rule(
            "population",
            "every due time of the period has one sealed record, and every run of the period is told",
            "a run was hidden, told otherwise than it was, or never sealed",
        ),
        Rule(
            "forms",
            "junit.xml, controls.json and oscal.json tell every run of the period as it ended, and count right",
            "a program would take a run that did not pass for one that did, or miss one",
        ),
        Rule(
            "links",
            "bundles that lie elsewhere are those that the log names",
            "a link leads to other bytes than were sealed",
        ),
        Rule(
            "anchors",
            "authorities that are not ours say that the log existed in time",
            "times in the log are not true, or a time-stamp is forged",
        ),
        Rule(
            "witnesses",
            "the witnesses that were named saw this log grow",
            "this log was not shown to the witness: a fork, or written anew",
        ),
        Rule(
            "previous",
            "the package names the newest one in the log as the one before it, and the log goes on from there",
            "the log was written anew since the older package, or shown to two people in two forms",
        ),
        Rule(
            "statement",
            "the seal, the label and the population tell the same period and head",
            "the package says of itself what it does not hold",
        ),
    )
}
_NOT_COMPARED = (
    "report.html, report.pdf and telemetry/ are sealed, but not compared with the journals; nor is what junit.xml,"
    " controls.json and oscal.json say besides which runs ended how: rely on the bundles where they differ",
    "whether the list of due times is complete was taken from who made the package: compare it with the plans",
    "whether what a run observed is true: its journal is the word of the machine that ran it",
)


def check_package(path: Path, given: Given) -> Checked:
    """Check a package with all that was given. Raises `ArchiveDamaged`."""
    limits = given.limits or PACKAGE_LIMITS
    older, trouble = _check_older(given)
    package = Package(given, Budget(limits), older)
    with open_whole(path, given) as source:
        contents = _read_package(source, limits, package)
        package.has_format = contents.has_format
        desk = Desk(given, contents, source, package.ring)
    package.take_linked()
    package.take_kept_heads()
    entries = contents.digests.get(_ENTRIES_FILE, "")
    walk = Walk(package)
    with open_plain(path) as again:
        for line in entry_lines(again, limits, entries):
            walk.take(line)
    walk.finish()
    package.wrong.add("previous", *_wrong_previous(package.previous, walk.newest_package))
    package.wrong.add("previous", *trouble, *_changes_since(older, package, path, entries))
    bag = (_ARCHIVE.made(""), *judge_bag(contents, lambda key_id: _outer_key(package, key_id), given.judge))
    proofs = (*bag, *_conclude(package, contents, walk), *desk.proofs)
    said = contents.statement.predicate if contents.statement and is_sealed(bag) else None
    remarks = (*_renamed(path, contents), *_remarks(package, walk))
    report = Report(path, given.key.key_id, proofs, said, remarks, _told(walk), is_package=True)
    return Checked(report, package, walk.size, entries, "".join(sorted(contents.tops)))


def _check_older(given: Given) -> tuple[Checked | None, list[str]]:
    """The older package, by itself; and why it is no measure."""
    if given.before is None:
        return None, []
    try:
        alone = replace(given, before=None, proof=None, receipt=None, linked=None, heads=())
        older = check_package(given.before, alone)
    except ArchiveDamaged as error:
        return None, [f"the older package: {error}"]
    return older, [
        "the older package does not hold by itself: check it alone"
    ] if older.report.verdict == "fail" else []


def _read_package(source: Source, limits: Limits, package: Package) -> Contents:
    contents = read_bag(source, limits, package.budget, package.visit)
    contents.kind = PACKAGE_TYPE
    return contents


def _outer_key(package: Package, key_id: str) -> PublicKey:
    """The package was sealed after its newest entry: by a key that counted from there on."""
    if package.newest:
        package.ring.assert_valid(key_id, ("seal",), package.newest.checkpoint.size)
    return package.ring.key(key_id, ("seal",))


def _conclude(package: Package, contents: Contents, walk: Walk) -> Iterator[Proof]:
    """The checks of a package, in the order of the table."""
    wrong = package.wrong
    _find_lost(package, contents)
    _judge_later(package, walk)
    unmade = {
        "forms": _judge_forms(package, walk),
        "links": _judge_links(package),
        "anchors": _judge_anchors(package, walk),
        "witnesses": _judge_witnesses(package, walk),
    }
    for name, checks in (
        ("population.json", ("population", "runs", "receipts", "records")),
        ("links.json", ("links",)),
    ):
        if name in package.unread:
            why = f"{name}: too large to be compared (--limit tag_bytes=N allows more)"
            unmade.update((check, (why, True)) for check in checks)
    covered = {"anchors": _covered(package.anchors, walk.size), "witnesses": _covered(package.witnessed, walk.size)}
    if not walk.lives.known:
        why = "the log says nothing of plans: since when and until when each was due is told by who made the package"
        unmade["plans"] = (why, False)
    if package.given.before is None:
        why = "no older package was given (--before): whether the log was written anew since is not known"
        unmade["previous"] = (why, False)
    wrong.add("statement", *_statement_departures(package, contents))
    for name, rule in _PACKAGE_RULES.items():
        told, (why, counts) = wrong.told(name), unmade.get(name, ("", False))
        if why and not told:
            yield rule.unmade(why, counts=counts)
        else:
            yield replace(rule.made(told), seen=told or covered.get(name, _AS_EXPECTED))


def _covered(words: Iterable[Anchor], size: int) -> str:
    """How much of the log each vouches for."""
    most: dict[str, int] = {}
    for word in words:
        most[word.who] = max(word.size, most.get(word.who, 0))
    return "; ".join(f"{who}: {below} of {size} entries" for who, below in sorted(most.items()))


def _find_lost(package: Package, contents: Contents) -> None:
    if not package.envelopes:
        package.wrong.add("keyring", "there is none")
    for check, name in (("log", _ENTRIES_FILE), ("previous", _PREVIOUS_FILE)):
        if name not in contents.digests:
            package.wrong.add(check, f"{name} is missing")
    if package.newest is None:
        package.wrong.add("head", "there is none that can be read")
    for size in sorted({size for size, _ in package.tokens} | package.cosignatures.keys()):
        if size not in package.heads:
            package.wrong.add(
                "heads", f"the head of size {size}, which a time-stamp or a cosignature is for, is missing"
            )


def _judge_links(package: Package) -> tuple[str, bool]:
    absent = [key for key in package.links if not package.given.linked]
    if absent:
        return f"{len(absent)} bundles lie elsewhere: fetch them, and give their folder by --linked", True
    return "", False


def _judge_forms(package: Package, walk: Walk) -> tuple[str, bool]:
    if walk.population is None:
        return "there is no population to compare them with", False
    package.wrong.add("forms", *Forms(walk.population, walk.sealed).departures(package.forms))
    unread = [name for name in package.unread if name in _FORMS]
    if unread:
        return f"{', '.join(unread)}: too large to be compared", True
    absent = [name for name in _FORMS if name not in package.forms]
    return f"{', '.join(absent)}: not in the package" if absent else "", False


def _judge_later(package: Package, walk: Walk) -> None:
    """Receipts that were asked for later, in the log's order, each beside the one before of the same key."""
    older = package.older.package.receipts if package.older else {}
    firsts = {key: receipt for key, (_, receipt) in (*older.items(), *package.receipts.items())}
    for index, receipt in walk.later:
        problems = [*receipt.problems()]
        if receipt.key in firsts:
            problems += receipt.problems_after(firsts[receipt.key])
        package.wrong.add("records", *(f"{receipt.key}, entry {index}: {text}" for text in problems))
        firsts[receipt.key] = receipt


def _judge_anchors(package: Package, walk: Walk) -> tuple[str, bool]:
    """Check every time-stamp and the log's times beside them; what could not be checked, and whether it counts."""
    if not package.tokens:
        return "the package holds no time-stamp: only the notary's own clock vouches for times", bool(
            package.given.certificates
        )
    if not package.given.certificates:
        return f"{len(package.tokens)} time-stamps, and no certificate of an authority was given (--tsa-cert)", False
    for (size, authority), token in sorted(package.tokens.items()):
        if size in package.heads:
            try:
                at = time_of_token(token, package.heads[size].content, package.given.certificates)
                package.anchors.append(Anchor(size, at, f"the authority filed as {authority}"))
            except UnknownAuthority:
                package.unknown[authority] += 1
            except TokenRefused as error:
                package.wrong.add("anchors", f"{authority}, size {size}: {error}")
    package.wrong.add("anchors", *_broken_times(package.anchors, walk.times))
    return "" if package.anchors else "no time-stamp is by an authority whose certificate was given", True


def _broken_times(anchors: Iterable[Anchor], times: Mapping[int, datetime]) -> Iterator[str]:
    """Since no entry goes back in time, the two beside the anchored size stand for all below and above it."""
    for size, at, authority in anchors:
        below, above = times.get(size - 1), times.get(size)
        if below and below - at > _CLOCKS:
            yield f"entry {size - 1} claims to be logged after {authority} had seen it"
        if above and at - above > _CLOCKS:
            yield f"entry {size} claims to be logged before {authority} saw the log without it: it was back-dated"


def _judge_witnesses(package: Package, walk: Walk) -> tuple[str, bool]:
    given = package.given
    if not given.witnesses:
        held = f"cosignatures for {len(package.cosignatures)} sizes" if package.cosignatures else "no cosignature"
        return f"{held}, and no witness was named (--witness)", False
    missing = []
    for witness in given.witnesses:
        seen = list(_cosigned(package, witness))
        package.witnessed += seen
        if not seen:
            missing.append(witness.name)
    package.wrong.add("witnesses", *_broken_times(package.witnessed, walk.times))
    return (f"no cosignature by {', '.join(missing)}" if missing else "", True)


def _cosigned(package: Package, witness: Witness) -> Iterator[Anchor]:
    for size, lines in sorted(package.cosignatures.items()):
        if size in package.heads:
            try:
                at = cosigned_at(package.heads[size].note.text, lines, witness, package.given.judge)
                if at:
                    yield Anchor(size, at, witness.name)
            except ValueError as error:
                package.wrong.add("witnesses", f"{witness.name}, size {size}: {error}")


def _wrong_previous(told: Mapping[str, Any] | None, newest: Mapping[str, Any] | None) -> Iterator[str]:
    """The package before is the newest that the log had when this one was made: none can be passed over."""
    named = (told["name"], told["sha256"]) if told else None
    logged = (newest["name"], newest["bundle"]["sha256"]) if newest else None
    if named != logged:
        one, other = (each[0] if each else "none" for each in (named, logged))
        yield f"previous.json names {one}, and the newest in the log is {'another' if one == other else other}"


def _changes_since(older: Checked | None, package: Package, path: Path, entries: str) -> Iterator[str]:
    """Where the log is not that of the older package, continued."""
    if older is None:
        return
    digests = older.package.ring.digests
    if package.ring.digests[: len(digests)] != digests:
        yield "the keyring is not the older one continued"
    if (package.previous or {}).get("name") == older.name and not older.is_named_by(package.previous):
        yield "previous.json names another package of that name than the one given"
    limits = package.given.limits or PACKAGE_LIMITS
    with open_plain(older.report.bundle) as first, open_plain(path) as second:
        pairs = itertools.zip_longest(entry_lines(first, limits, older.entries), entry_lines(second, limits, entries))
        for index, (old, new) in enumerate(pairs):
            if old is not None and old != new:
                change = "is another" if new is not None else "is gone"
                yield f"entry {index} of the older package {change} here: the log was cut, forked or written anew"
                return


def digest_of(path: Path) -> str:
    """SHA-256 (hex) of a file. Raises `ArchiveDamaged`."""
    with open_plain(path) as source:
        return Reader(iter(functools.partial(source.read, CHUNK), b"")).drain()


def _statement_departures(package: Package, contents: Contents) -> Iterator[str]:
    head, period = contents.said("head"), contents.said("period")
    if not has_form(head, _HEAD_FORM, more=True) or not has_form(period, {"from": _TEXT, "until": _TEXT}, more=True):
        yield "the seal names no head and no period in their one form"
        return
    if package.newest:
        found = package.newest.checkpoint
        if (head["origin"], head["size"], unbase64(head["root"])) != (found.origin, found.size, found.root):
            yield "the seal names another head than the package holds"
    population = package.population
    if population and (parse_time(period["from"]), parse_time(period["until"])) != population[:2]:
        yield "the seal names another period than the population"
    if label_in(contents.tag(LABELS), PERIOD_LABEL) != f"{period['from']}/{period['until']}":
        yield "the label names another period than the seal"


def _remarks(package: Package, walk: Walk) -> tuple[str, ...]:
    """What is not wrong but should be known."""
    told = [f"sealed late: {each}" for each in walk.late[:_SHOWN]]
    if len(walk.late) > _SHOWN:
        told.append(f"and {len(walk.late) - _SHOWN} more runs were sealed late")
    locks = Counter(receipt.lock_mode or "" for _, receipt in package.receipts.values())
    if locks[""]:
        told.append(f"{locks['']} bundles lie under no lock: nothing but their digests kept them from being replaced")
    if locks["GOVERNANCE"]:
        told.append(f"{locks['GOVERNANCE']} bundles lie under a lock that an administrator may lift (GOVERNANCE)")
    told += walk.probes[-_SHOWN:]
    told += walk.lives.remarks(walk.population)
    told += walk.remarks()
    if not package.given.keyring:
        told.append("whether a key was revoked since the package was made is not known (--keyring)")
    for kind, count in sorted(walk.unknown.items())[:_SHOWN]:
        told.append(f"{count} records of the kind {kind[:_LONGEST]!r} came after this verifier: only their seals count")
    for who, count in sorted(package.unknown.items()):
        told.append(f"{count} time-stamps by {who} show nothing: its certificate was not given (--tsa-cert)")
    return (*told, *_ranges(package, walk.size), *_NOT_COMPARED)


def _ranges(package: Package, size: int) -> Iterator[str]:
    """Which entries existed by when, as others say; and those that nobody else vouches for."""
    for word, found in (("time-stamped", package.anchors), ("cosigned", package.witnessed)):
        below = 0
        for anchor in sorted(found):
            if anchor.size > below:
                when = f"at {write_time(anchor.at)} by {anchor.who}"
                yield f"entries {below} to {anchor.size - 1} were {word} {when}"
                below = anchor.size
        if below < size:
            yield f"entries {below} to {size - 1} are not {word}, as far as was checked"


def _told(walk: Walk) -> tuple[str, ...]:
    population = walk.population
    if population is None:
        return ()
    counts = (
        ", ".join(f"{walk.outcomes[word]} {word}" for word in _OUTCOMES if walk.outcomes[word]) or "nothing was due"
    )
    lists = (("open", "open"), ("late", "sealed late"), ("carried", "carried from the package before"))
    found = [(len(population.of(where)), word) for where, word in lists]
    others = [f"{count} {word}" for count, word in found if count or not word.startswith("carried")]
    period = f"{write_time(population.since)} to {write_time(population.until)}"
    return (f"{period}: {counts}; besides {' and '.join(others)}", f"{walk.size} entries in the log")


# --- Words ------------------------------------------------------------------------------------------------------------

_MARKS = {True: "ok", False: "FAIL", None: "not checked"}


def printable(text: str) -> str:
    """Text of any origin that does nothing to a terminal but stand there."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def in_words(report: Report) -> Iterator[str]:
    """The report, line by line."""
    yield f"{printable(str(report.bundle))}, key {report.key_id}"
    yield ""
    for proof in report.proofs:
        beyond = f" ({proof.seen})" if proof.seen != _AS_EXPECTED else ""
        said = proof.expected + beyond if proof.ok else proof.seen
        yield printable(f"{_MARKS[proof.ok]:<12} {proof.name:<13} {said}")
    for title, lines in (
        ("What the failures mean", [f"{p.name}: {p.meaning}" for p in report.proofs if p.ok is False]),
        ("What was not checked", [f"{p.name}: {p.seen.split(': ', 1)[1]}" for p in report.proofs if p.ok is None]),
        ("What to know besides", list(report.remarks)),
    ):
        if lines:
            yield from ("", f"{title}:", *(f"  - {printable(line)}" for line in lines))
    yield ""
    yield from _verdict_in_words(report)


def _verdict_in_words(report: Report) -> Iterator[str]:
    if report.verdict == "fail":
        yield "FAIL: do not rely on this."
    elif report.verdict == "inconclusive":
        yield "INCONCLUSIVE: nothing wrong was found, and not all that was asked for could be checked."
    else:
        yield f"PASS: sealed by keys that the pinned key {report.key_id[:16]} vouches for, and nothing was changed."
    if report.verdict != "fail":
        yield from (f"What it says: {printable(line)}." for line in report.told)


def report_json(report: Report) -> dict[str, Any]:
    """The report for programs."""
    return {
        "bundle": str(report.bundle),
        "key": report.key_id,
        "verdict": report.verdict,
        "checks": [
            {
                "name": p.name,
                "ok": p.ok,
                "expected": p.expected,
                "seen": p.seen,
                "meaning": p.meaning,
                "counts": p.counts,
            }
            for p in report.proofs
        ],
        "predicate": dict(report.predicate) if report.predicate else None,
        "remarks": list(report.remarks),
        "told": list(report.told),
    }


# --- Command line -----------------------------------------------------------------------------------------------------

EXITS = {"pass": 0, "fail": 1, "inconclusive": 2}
WRONG_USAGE = 64


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(WRONG_USAGE, f"{self.prog}: {message}\n")


def _parser() -> _Parser:
    parser = _Parser(prog="verify.py", description="Check a sealed bundle or package, offline, with a pinned key.")
    add = parser.add_argument
    add("bundle", type=Path, help="a bundle or a package, .tar.gz")
    add("--key", type=Path, required=True, help="the pinned public key (PEM), which you were given by another road")
    add("--proof", type=Path, help="the .tlog-proof of the bundle: is it in the log?")
    add("--keyring", type=Path, metavar="FOLDER", help="the key statements of the store: later keys, and revoked ones")
    add("--receipt", type=Path, help="the receipt of the bundle: did the store hold it?")
    add("--before", type=Path, metavar="PACKAGE", help="an older package of the same log: was it written anew since?")
    add(
        "--linked",
        type=Path,
        metavar="FOLDER",
        help="where bundles lie that the package only links to, as PLAN/RUN.tar.gz",
    )
    add("--tsa-cert", type=Path, action="append", default=[], help="a certificate (PEM) of a time-stamp authority")
    add("--witness", action="append", default=[], metavar="VKEY", help="the key of a witness, as NAME+ID+KEY")
    add("--head", type=Path, action="append", default=[], help="a head of the log that was kept: is it still so?")
    add("--limit", action="append", default=[], metavar="WHAT=N", help="members, total_bytes or tag_bytes at most")
    add("--openssl", action="store_true", help="check signatures by the command openssl alone")
    add("--json", action="store_true", help="for programs")
    return parser


def _limits_in(texts: Iterable[str], path: Path) -> Limits | None:
    """Our own limits, but for those that were named."""
    named: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in ("members", "total_bytes", "tag_bytes") or parse_decimal(number) is None:
            raise Unusable(f"{text!r} is no limit", "write members=N, total_bytes=N or tag_bytes=N")
        named[name] = int(number)
    if not named:
        return None
    with open_plain(path) as source:
        return replace(PACKAGE_LIMITS if _is_package(source) else Limits(), **named)


def _given(asked: argparse.Namespace) -> Given:
    witnesses = tuple(parse_vkey(text) for text in asked.witness)
    if not all(witnesses):
        raise Unusable("a witness's key is none", "write NAME+ID+KEY, of type 4 (timestamped cosignatures)")
    return Given(
        load_key(asked.key),
        judge_by_openssl if asked.openssl else default_judge,
        _limits_in(asked.limit, asked.bundle),
        asked.proof,
        asked.keyring,
        asked.receipt,
        asked.before,
        asked.linked,
        b"\n".join(map(load_file, asked.tsa_cert)),
        tuple(witness for witness in witnesses if witness),
        tuple(asked.head),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        report = check(asked.bundle, _given(asked))
    except Unusable as error:
        print(f"verify.py: {printable(error.message)}\n  -> {printable(error.advice)}", file=sys.stderr)
        return EXITS["inconclusive"] if isinstance(error, Unable) else WRONG_USAGE
    lines = [json.dumps(report_json(report), indent=2)] if asked.json else in_words(report)
    for line in lines:
        print(line.encode(sys.stdout.encoding or "ascii", "backslashreplace").decode(sys.stdout.encoding or "ascii"))
    return EXITS[report.verdict]


if __name__ == "__main__":
    sys.exit(main())
