"""A log on paper: a store in memory, ways for it to die, drafts, and a second, naive reading of the whole log."""

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, SSlibKey

from evidence.errors import AlreadyDifferent
from evidence.keys import PublicKey
from evidence.log import Draft, Log, Shelf, record_draft
from evidence.stores.store import NotThere
from evidence.verify import parse_checkpoint, parse_note

ORIGIN = "example.org/log"
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@cache
def signer(seed: int = 0) -> CryptoSigner:
    """A log's key, the same for the same seed."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    key_id = PublicKey(private.public_key()).key_id
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key(), key_id, "ed25519"))


def public(seed: int = 0) -> PublicKey:
    return PublicKey(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32).public_key())


def drafts(*names: object) -> list[Draft]:
    """A record for each name."""
    made = []
    for name in names:
        digest = hashlib.sha256(str(name).encode()).hexdigest()
        made.append(record_draft(envelope=digest, key=f"records/{digest}.dsse.json", predicate_type=f"test {name}"))
    return made


@dataclass
class MemoryShelf:
    """A store in memory. `before` and `after` hear of each operation by its name and key, and may raise."""

    content: dict[str, bytes] = field(default_factory=dict)
    before: Callable[[str, str], None] = lambda verb, key: None
    after: Callable[[str, str], None] = lambda verb, key: None

    def put_bytes(self, key: str, content: bytes) -> None:
        self.before("put", key)
        if self.content.setdefault(key, content) != content:
            raise AlreadyDifferent(f"other bytes are under {key}")
        self.after("put", key)

    def read(self, key: str) -> bytes:
        self.before("read", key)
        if key not in self.content:
            raise NotThere(f"nothing is under {key}")
        self.after("read", key)
        return self.content[key]

    def keys(self, prefix: str = "", after: str = "") -> tuple[str, ...]:
        self.before("keys", prefix)
        found = tuple(sorted(key for key in list(self.content) if key.startswith(prefix) and key > after))
        self.after("keys", prefix)
        return found


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Countdown:
    """Kills at the operation of this number, counted from 0."""

    left: int

    def __call__(self, verb: str, key: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


def log(shelf: Shelf, seed: int = 0, **options: object) -> Log:
    return Log(shelf, ORIGIN, signer(seed), **({"now": lambda: NOON} | options))  # type: ignore[arg-type]


# --- The naive reading -----------------------------------------------------------------------------------------------


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH as RFC 6962, 2.1 writes it, over entries."""
    return _mth(tuple(leaves))


@lru_cache(1 << 14)
def _mth(leaves: tuple[bytes, ...]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return hashlib.sha256(b"\1" + _mth(leaves[:middle]) + _mth(leaves[middle:])).digest()


def naive_files(entries: Sequence[bytes], sizes: Iterable[int]) -> dict[str, bytes]:
    """Every tile and entry bundle that heads of these sizes need, by the definition in C2SP tlog-tiles."""
    files: dict[str, bytes] = {}
    for size in sizes:
        for number in range(-(-size // 256)):
            piece = entries[number * 256 : min(size, number * 256 + 256)]
            content = b"".join(struct.pack(">H", len(entry)) + entry for entry in piece)
            files[_path("entries", number, len(piece))] = content
        level = 0
        while size >> 8 * level:
            span, count = 256**level, size >> 8 * level
            for number in range(-(-count // 256)):
                wide = range(number * 256, min(count, number * 256 + 256))
                hashes = [naive_root(entries[at * span : (at + 1) * span]) for at in wide]
                files[_path(str(level), number, len(hashes))] = b"".join(hashes)
            level += 1
    return files


def _path(kind: str, number: int, width: int) -> str:
    assert number < 1000
    return f"log/tile/{kind}/{number:03d}" + (f".p/{width}" if width < 256 else "")


def assert_whole(content: dict[str, bytes], names: Sequence[object] | None = None) -> list[bytes]:
    """The log is one chain of what `names` asks for, each once, and the store holds what its heads need, no more."""
    heads = {int(key.rpartition("/")[2]): value for key, value in content.items() if key.startswith("log/heads/")}
    entries = _entries(content, max(heads, default=0))
    for size, head in heads.items():
        note = parse_note(head)
        assert note is not None
        checkpoint = parse_checkpoint(note.text)
        assert checkpoint is not None
        assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (ORIGIN, size, naive_root(entries[:size]))
        public().key.verify(base64.b64decode(head.split()[-1])[4:], note.text)  # type: ignore[call-arg, arg-type]
    before = bytes(32)
    for entry in entries:
        assert json.loads(entry)["previous"] == before.hex()
        before = hashlib.sha256(b"\0" + entry).digest()
    times = [datetime.fromisoformat(json.loads(entry)["loggedAt"]) for entry in entries]
    assert times == sorted(times)
    if names is not None:
        asked = sorted(draft.envelope for draft in drafts(*names))
        assert sorted(json.loads(entry)["envelope"] for entry in entries) == asked
    rest = {key: value for key, value in content.items() if not key.startswith(("log/heads/", "log/batches/"))}
    assert rest == naive_files(entries, heads)
    starts = [0, *sorted(heads)][: len(heads)]
    assert sorted(key for key in content if key.startswith("log/batches/")) == [f"log/batches/{n:020d}" for n in starts]
    return entries


def _entries(content: dict[str, bytes], size: int) -> list[bytes]:
    entries: list[bytes] = []
    for number in range(-(-size // 256)):
        bundle, at = content[_path("entries", number, min(256, size - number * 256))], 0
        while at < len(bundle):
            (length,) = struct.unpack_from(">H", bundle, at)
            entries.append(bundle[at + 2 : at + 2 + length])
            at += 2 + length
    return entries
