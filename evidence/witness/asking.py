"""Asking witnesses to cosign a head, and checking what they say.

Promises: a cosignature counts only if it is by the witness's pinned key, over this head, and of now; one witness that
refuses or is away stops no other; that a witness saw another history is told apart from every other refusal.
Source: C2SP tlog-witness, tlog-cosignature.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import httpx

from evidence.asking import PATIENCE, Answer, NoAnswer, Patience, Question, ask
from evidence.errors import EvidenceError
from evidence.verify import Checkpoint, Note, parse_decimal, parse_note
from evidence.witness.lines import Request, VerifierKey, cosigned_at, parse_head_text, signature_line
from evidence.witness.words import NOT_CONFIGURED, Cosigned, NotCosigned, Why, Witness

_CLOCKS: Final = timedelta(hours=1)
"""How far a witness's clock may be from ours when it answers."""
_ROUNDS: Final = 4
"""How often it may say that it has seen another head meanwhile."""

Consistency = Callable[[int, int], Sequence[bytes]]
"""The consistency proof (RFC 6962) of our log from an old size to a new one."""


class _No(Exception):
    """Ends the asking of one witness."""

    def __init__(self, why: Why, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.why, self.message, self.advice = why, message, advice


def cosign(
    head: bytes,
    witnesses: Sequence[Witness],
    consistency: Consistency,
    http: httpx.Client,
    now: Callable[[], datetime],
    patience: Patience = PATIENCE,
) -> tuple[Cosigned | NotCosigned, ...]:
    """Ask each witness to cosign the head, a signed note. Raises what `consistency` raises."""
    asked = Asked.of(head)
    found = tuple(Asking(asked, witness, http, now, patience).result(consistency) for witness in witnesses)
    return found or (NOT_CONFIGURED,)


def check(line: bytes, head: bytes, key: VerifierKey) -> datetime | None:
    """When the witness with this key cosigned the head (UTC), if the lines beside it say so and nothing false."""
    return Asked.of(head).cosigned_at(line, key)


@dataclass(frozen=True)
class Asked:
    """A head of ours, and what it says."""

    head: bytes
    note: Note
    checkpoint: Checkpoint

    @classmethod
    def of(cls, head: bytes) -> "Asked":
        """The head in a signed note, whoever signed it. Raises `EvidenceError` when it is none."""
        note = parse_note(head)
        checkpoint = parse_head_text(note.text) if note else None
        if note is None or checkpoint is None:
            raise EvidenceError("this is no head of a log", "give the bytes that are kept under log/heads/")
        return cls(head, note, checkpoint)

    def cosigned_at(self, lines: bytes, key: VerifierKey) -> datetime | None:
        """When the witness with this key cosigned it, as these lines say; `None` when they do not, or one is false."""
        note = parse_note(self.note.text + b"\n" + lines)
        return cosigned_at(note, key) if note else None


@dataclass(frozen=True)
class Asking:
    """One witness, asked about one head."""

    asked: Asked
    witness: Witness
    http: httpx.Client
    now: Callable[[], datetime]
    patience: Patience

    def result(self, consistency: Consistency) -> Cosigned | NotCosigned:
        """What comes of it. Raises what `consistency` raises."""
        try:
            return self._cosign(consistency)
        except NoAnswer as error:
            return NotCosigned(self.witness.name, Why.AWAY, error.message, error.advice)
        except _No as no:
            seen = self._seen() if no.why in (Why.AHEAD, Why.FORK) else b""
            return NotCosigned(self.witness.name, no.why, no.message, no.advice, seen)

    def _cosign(self, consistency: Consistency) -> Cosigned:
        """It is asked as one who never saw the log; if it did, it says how far, and is asked again from there."""
        old, size = 0, self.asked.checkpoint.size
        for _ in range(_ROUNDS):
            proof = tuple(consistency(old, size)) if 0 < old < size else ()
            answer = self._ask(
                "POST", f"{self.witness.url.rstrip('/')}/add-checkpoint", Request(old, proof, self.asked.head)
            )
            if answer.status == 200:
                return self._take(answer.content)
            if answer.status != 409:
                raise _refusal(answer, old)
            old = self._other_size(answer, old)
        raise _No(Why.AWAY, "it sees new heads faster than it can be asked", "ask again")

    def _ask(self, method: str, url: str, request: Request | None = None) -> Answer:
        return ask(self.http, Question(method, url, request.content if request else b""), self.patience)

    def _take(self, content: bytes) -> Cosigned:
        at = self.asked.cosigned_at(content, self.witness.verifier_key)
        if at is None:
            raise _No(Why.FALSE, "what it answered is no cosignature of this head by its key", "compare its key")
        if abs(at - self.now()) > _CLOCKS:
            raise _No(
                Why.FALSE, f"it says {at:%Y-%m-%d %H:%M:%S} UTC, more than an hour from our clock", "set the clock"
            )
        return Cosigned(self.witness.name, at, self._own_line(content))

    def _own_line(self, content: bytes) -> bytes:
        """Only what the pinned key vouches for is kept."""
        key, note = self.witness.verifier_key, parse_note(self.asked.note.text + b"\n" + content)
        lines = [line for line in note.signatures if (line.name, line.key_id) == (key.name, key.key_id)] if note else []
        return signature_line(key.name, lines[0].key_id + lines[0].signature)

    def _other_size(self, answer: Answer, old: int) -> int:
        text = answer.content.decode("ascii", "replace")
        size = parse_decimal(text[:-1]) if text.endswith("\n") else None
        if size is None or size == old:
            raise _No(Why.FALSE, "it does not say which head it saw", "is its address that of a witness?")
        if size > self.asked.checkpoint.size:
            raise _No(
                Why.AHEAD,
                f"it has cosigned a head of {size} entries, and this one has {self.asked.checkpoint.size}",
                "if this is our newest head, the log has lost its end: write nothing more, and compare with a copy",
            )
        return size

    def _seen(self) -> bytes:
        """The head that it says it cosigned last, for whoever has to find out; nothing when it does not say."""
        origin = hashlib.sha256(self.asked.checkpoint.origin.encode()).hexdigest()
        monitor = (self.witness.monitor or self.witness.url).rstrip("/")
        try:
            answer = self._ask("GET", f"{monitor}/{origin}/checkpoint")
        except NoAnswer:
            return b""
        return answer.content if answer.status == 200 and parse_note(answer.content) else b""


def _refusal(answer: Answer, old: int) -> _No:
    if answer.status == 422:
        return _No(
            Why.FORK,
            f"it has cosigned a head of {old} entries from which this one does not follow",
            "write nothing more to this log; keep a copy of the store and of the head that the witness saw, and find"
            " out who changed it",
        )
    if answer.status in (403, 404):
        advice = "give whoever runs it this log's origin and verifier key"
        return _No(Why.REFUSED, "it does not know this log, or not the key that signed the head", advice)
    return _No(Why.REFUSED, f"it answered with status {answer.status}", "is its address that of a witness?")
