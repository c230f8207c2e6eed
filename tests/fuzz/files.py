"""Files that come whole: archives, bundles, time-stamps."""

import functools
import gzip
import io
import struct
import zlib
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.x509 import load_pem_x509_certificates

from evidence import verify
from evidence.timestamps import TokenRefused, check
from tests.fuzz.target import FalseAccept, Target, is_one_form

GOLDEN = Path(__file__).parents[1] / "golden"


def _tar(content: bytes) -> bool:
    """The archive inside: `content` is put into a sound gzip stream."""
    return _archive(stored(content), content)


def _archive(packed: bytes, inside: bytes | None = None) -> bool:
    limits = verify.Limits(members=50, total_bytes=1 << 22)
    again = b""
    try:
        for name, size, pieces in verify.read_archive(io.BytesIO(packed), limits):
            again += (verify.tar_header(name, size) or b"") + b"".join(pieces) + bytes(-size % verify.TAR_BLOCK)
    except verify.ArchiveDamaged:
        return False
    return is_one_form(unzipped(packed) if inside is None else inside, again + verify.TAR_END)


def stored(content: bytes) -> bytes:
    """These bytes in a sound gzip stream of the one form that leaves no choice."""
    blocks = [content[at : at + verify.STORED_BLOCK] for at in range(0, len(content), verify.STORED_BLOCK)] or [b""]
    head = [struct.pack("<BHH", one is blocks[-1], len(one), len(one) ^ 0xFFFF) for one in blocks]
    body = b"".join(head + one for head, one in zip(head, blocks, strict=True))
    return verify.STORED_HEADER + body + verify.gzip_trailer(zlib.crc32(content), len(content))


def unzipped(packed: bytes) -> bytes:
    """What lies in a gzip stream."""
    return gzip.decompress(packed)


def _tars() -> list[bytes]:
    files = {"r/a": b"", "r/b.txt": b"some text\n", f"r/{'d' * 90}/c": b"x" * 600}
    members = [
        (verify.tar_header(name, len(body)) or b"") + body + bytes(-len(body) % verify.TAR_BLOCK)
        for name, body in files.items()
    ]
    return [b"".join(members) + verify.TAR_END, verify.TAR_END]


@functools.cache
def _bundle_given() -> verify.Given:
    return verify.Given(key=verify.load_key(GOLDEN / "v1" / "signing.pub"))


@functools.cache
def _golden_bundle() -> bytes:
    return (GOLDEN / "v1" / "restore-shop-0001.tar.gz").read_bytes()


def _bundle(content: bytes) -> bool:
    """The whole verifier: of all bytes there are, those that were sealed pass and no others."""
    return _passes(content) and is_one_form(content, _golden_bundle())


def _bundle_inside(content: bytes) -> bool:
    """The same past the gzip stream, whose checksum would turn back nearly all that the fuzzer makes."""
    return _passes(stored(content)) and is_one_form(content, unzipped(_golden_bundle()))


def _passes(content: bytes) -> bool:
    with TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / "restore-shop-0001.tar.gz"
        path.write_bytes(content)
        return verify.check(path, _bundle_given()).verdict == "pass"


@functools.cache
def _authority() -> tuple[Any, ...]:
    return tuple(load_pem_x509_certificates((GOLDEN / "timestamps" / "openssl.pem").read_bytes()))


@functools.cache
def _head_and_token() -> tuple[bytes, bytes]:
    folder = GOLDEN / "timestamps"
    return (folder / "openssl.head").read_bytes(), (folder / "openssl.tsr").read_bytes()


@functools.cache
def _true_time() -> datetime:
    head, token = _head_and_token()
    return check(token, head, _authority())


def _token(content: bytes) -> bool:
    """What passes for the token must give its time: around what is signed, some bytes are not."""
    try:
        found = check(content, _head_and_token()[0], _authority())
    except TokenRefused:
        return False
    if found != _true_time():
        raise FalseAccept(f"the authority never said {found}")
    return True


TARGETS = (
    Target("tar", _tar, _tars),
    Target("archive", _archive, lambda: [_golden_bundle(), *map(stored, _tars())]),
    Target("bundle", _bundle, lambda: [_golden_bundle()]),
    Target("bundle-inside", _bundle_inside, lambda: [unzipped(_golden_bundle())]),
    Target("token", _token, lambda: [_head_and_token()[1]]),
)
