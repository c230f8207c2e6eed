"""The rules of a witness: it cosigns a head only if that follows from the last one it cosigned of the same log.

Promises: what it cosigned is on disk before the cosignature is given away; looking at the last head and replacing it
are one act, also between processes; a record that cannot be read is never taken for none; its clock never goes back.
The trap: a witness that loses its folder, or is put back to an older copy of it, has forgotten what it saw.
Source: C2SP tlog-witness, whose statuses these are.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Final

from evidence import durable
from evidence.errors import EvidenceError
from evidence.verify import Checkpoint, Note, check_consistency, note_signed_by, parse_note, root_of
from evidence.witness.lines import (
    Cosigner,
    Request,
    VerifierKey,
    cosigned_at,
    log_key,
    parse_head_text,
    parse_request,
    signature_line,
)

_LOG: Final = logging.getLogger(__name__)


class Status(IntEnum):
    """How a witness answers; the numbers are those of HTTP."""

    COSIGNED = 200
    MALFORMED = 400
    UNTRUSTED = 403
    UNKNOWN = 404
    ELSEWHERE = 409
    """The last head it cosigned has another size: the one in the body."""
    INCONSISTENT = 422


@dataclass(frozen=True)
class Reply:
    """An answer: status, body, and the body's media type."""

    status: Status
    content: bytes
    media_type: str = "text/plain; charset=utf-8"


class _Refused(Exception):
    """Ends a request with this answer."""

    def __init__(self, status: Status, said: str, media_type: str = "text/plain; charset=utf-8") -> None:
        super().__init__(said)
        self.reply = Reply(status, f"{said}\n".encode(), media_type)


class DamagedRecord(EvidenceError):
    """What the witness keeps of a log cannot be read. It cosigns nothing of that log until someone has looked."""


@dataclass(frozen=True)
class _Head:
    """A head that one of the log's keys signed: the note, what it says, and the signature lines of those keys."""

    note: Note
    checkpoint: Checkpoint
    lines: bytes

    @property
    def content(self) -> bytes:
        return self.note.text + b"\n" + self.lines


class Book:
    """What a witness keeps in `folder`, and how it answers.

    `logs` has the verifier keys of each log it knows, by the log's origin. Raises `EvidenceError` when one is none.
    """

    def __init__(
        self, folder: Path, cosigner: Cosigner, logs: Mapping[str, Sequence[str]], now: Callable[[], datetime]
    ) -> None:
        durable.make_folders(folder)
        self.cosigner, self.now = cosigner, now
        self._folder = folder
        self._logs = {origin: tuple(log_key(key, origin) for key in keys) for origin, keys in logs.items()}
        self._origins = {_name(origin): origin for origin in logs}

    def add_checkpoint(self, body: bytes) -> Reply:
        """Answer a request to cosign. Raises `DamagedRecord`, and `OSError` when nothing can be written."""
        try:
            return self._add_checkpoint(body)
        except _Refused as refused:
            return refused.reply

    def checkpoint(self, origin_hash: str) -> Reply:
        """The newest head it cosigned of the log whose origin has this SHA-256 (hex), with both signatures."""
        origin = self._origins.get(origin_hash)
        kept = self._kept(origin) if origin is not None else None
        if kept is None:
            return Reply(Status.UNKNOWN, b"nothing was cosigned of such a log\n")
        return Reply(Status.COSIGNED, kept)

    def _add_checkpoint(self, body: bytes) -> Reply:
        request = parse_request(body)
        if request is None:
            raise _Refused(Status.MALFORMED, "this is no request to cosign")
        head = self._trusted(request.head)
        if request.old > head.checkpoint.size:
            raise _Refused(Status.MALFORMED, "the old size is larger than the head's")
        path = self._path(head.checkpoint.origin)
        with durable.locked(path.with_suffix(".lock"), wait=True):
            last = self._last(head.checkpoint.origin)
            self._assert_follows(request, head, last)
            line = self.cosigner.cosign(head.note.text, self._time(last))
            durable.sweep(path)
            durable.write(path, head.content + line)
        return Reply(Status.COSIGNED, line)

    def _trusted(self, content: bytes) -> _Head:
        note = parse_note(content)
        checkpoint = parse_head_text(note.text) if note else None
        if note is None or checkpoint is None:
            raise _Refused(Status.MALFORMED, "what is to be cosigned is no checkpoint")
        keys = self._logs.get(checkpoint.origin)
        if keys is None:
            raise _Refused(Status.UNKNOWN, "this log is not known here")
        lines = _lines_by(note, keys)
        if not lines:
            raise _Refused(Status.UNTRUSTED, "no key of this log signed the checkpoint, or one signed another text")
        return _Head(note, checkpoint, lines)

    def _assert_follows(self, request: Request, head: _Head, last: Note | None) -> None:
        seen = parse_head_text(last.text) if last else None
        size, root = (seen.size, seen.root) if seen else (0, root_of(()))
        if request.old != size:
            raise _Refused(Status.ELSEWHERE, str(size), "text/x.tlog.size")
        new = head.checkpoint
        if not check_consistency(size, new.size, root, new.root, request.proof):
            if last and size == new.size and root != new.root:
                self._keep_fork(new.origin, head)
            raise _Refused(Status.INCONSISTENT, "the checkpoint does not follow from the last one that was cosigned")

    def _keep_fork(self, origin: str, head: _Head) -> None:
        """Two heads of one size that the log signed prove that it has two histories: the first such pair is kept."""
        path = self._path(origin).with_suffix(".fork")
        if not path.exists():
            durable.write(path, (self._kept(origin) or b"") + b"\n" + head.content)
        _LOG.error("the log %r has two histories of size %d: see %s", origin, head.checkpoint.size, path)

    def _time(self, last: Note | None) -> int:
        before = cosigned_at(last, self.cosigner.key) if last else None
        now = self.now()
        return int((max(now, before) if before else now).timestamp())

    def _last(self, origin: str) -> Note | None:
        """The last head that was cosigned, or `None` if none ever was."""
        kept = self._kept(origin)
        if kept is None:
            return None
        note = parse_note(kept)
        checkpoint = parse_head_text(note.text) if note else None
        is_ours = note is not None and cosigned_at(note, self.cosigner.key) is not None
        if note is None or checkpoint is None or checkpoint.origin != origin:
            raise self._damaged(origin)
        if not is_ours and not _lines_by(note, self._logs[origin]):
            raise self._damaged(origin)
        return note

    def _damaged(self, origin: str) -> DamagedRecord:
        return DamagedRecord(
            f"{self._path(origin)} is not a head of the log {origin!r} that was cosigned here",
            "put it back from a copy that is not older; when the log got a new key, keep the old one configured too",
        )

    def _kept(self, origin: str) -> bytes | None:
        try:
            return self._path(origin).read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, origin: str) -> Path:
        return self._folder / f"{_name(origin)}.note"


def _lines_by(note: Note, keys: Sequence[VerifierKey]) -> bytes:
    """The lines of the keys that signed the note; nothing when there is none, or when any of them is false."""
    named = {(key.name, key.key_id): key for key in keys}
    found = [(line, named.get((line.name, line.key_id))) for line in note.signatures]
    ours = [(line, key) for line, key in found if key]
    if not all(note_signed_by(note, key.name, key.public) for _, key in ours):
        return b""
    return b"".join(signature_line(line.name, line.key_id + line.signature) for line, _ in ours)


def _name(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()
