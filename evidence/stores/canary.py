"""A canary in a bucket, and all that is tried on it.

Promises: each attempt is judged by what the store answered and by what became of the canary, so that a store which
lies either way is seen; attempts end when the canary is gone; nothing but the canary is touched.
Source: Amazon S3 User Guide, "Locking objects with Object Lock"; API Reference, DeleteObject, PutObjectRetention.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from evidence.stores.s3 import S3Store
from evidence.stores.s3_wire import s3_errors
from evidence.stores.store import Receipt

_NO_REFUSAL: Final = frozenset({404, 408, 429})
"""HTTP statuses below 500 that do not say no: nothing there, too slow, too often."""


class Trial(StrEnum):
    """What is tried, in this order: what would end the trial comes last."""

    OVERWRITE = "overwrite"
    SHORTEN = "shorten"
    UNLOCK = "unlock"
    DOWNGRADE = "downgrade"
    BYPASS_SHORTEN = "bypass-shorten"
    LIFT_HOLD = "lift-hold"
    DELETE = "delete"
    DELETE_BATCH = "delete-batch"
    BYPASS_DELETE = "bypass-delete"
    HIDE = "hide"


class Answer(StrEnum):
    """What the store said to it."""

    REFUSED = "refused"
    ACCEPTED = "accepted"
    UNCLEAR = "unclear"


_WORDS: Final = {
    Trial.OVERWRITE: "write other bytes under the key though it is taken (If-None-Match)",
    Trial.SHORTEN: "end the retention sooner",
    Trial.UNLOCK: "take the retention away",
    Trial.DOWNGRADE: "turn COMPLIANCE into GOVERNANCE",
    Trial.BYPASS_SHORTEN: "end the retention sooner, past governance (BypassGovernanceRetention)",
    Trial.LIFT_HOLD: "lift the legal hold",
    Trial.DELETE: "delete the version",
    Trial.DELETE_BATCH: "delete the version in a batch",
    Trial.BYPASS_DELETE: "delete the version past governance (BypassGovernanceRetention)",
    Trial.HIDE: "hide the key behind a delete marker",
}
_VERBS: Final = {Answer.REFUSED: "refused", Answer.ACCEPTED: "agreed", Answer.UNCLEAR: "gave no clear answer"}
_ALLOWED: Final = {
    Trial.HIDE: "a marker hides a key, which can then be written again: S3 lets who may delete do so, an audit sees it",
    Trial.LIFT_HOLD: "who may set a legal hold may lift it: S3 has one right for both; only the retention holds",
}
"""What S3 does not refuse to who has the right; it harms nothing as long as the version stays."""

_MAY_NOT_DELETE: Final = (
    "these credentials may not delete at all, so what refused them may be their rights and not the lock: "
    "a probe by who may delete shows more"
)


@dataclass(frozen=True)
class Attempt:
    """One trial: the answer, the store's own words, and what had become of the canary (nothing, if empty)."""

    trial: Trial
    answer: Answer
    said: str
    harm: str

    @property
    def words(self) -> str:
        """What was tried."""
        return _WORDS[self.trial]

    @property
    def reason(self) -> str:
        """Why this attempt speaks against the store; empty where it does not."""
        told = f"it {_VERBS[self.answer]} to {self.words}"
        if self.harm:
            return f"{told}, and {self.harm}"
        if self.answer is Answer.REFUSED or self.note:
            return ""
        return f"{told} ({self.said}), though nothing had changed then"

    @property
    def note(self) -> str:
        """What a reader should know of an answer that speaks against nothing; mostly empty."""
        if self.answer is Answer.ACCEPTED:
            return _ALLOWED.get(self.trial, "")
        return _MAY_NOT_DELETE if (self.trial, self.answer) == (Trial.HIDE, Answer.REFUSED) else ""


@dataclass(frozen=True)
class Canary:
    """What was put at `now`, as the store gave it back (`held`)."""

    store: S3Store
    held: Receipt
    now: datetime

    def attempts(self) -> Iterator[Attempt]:
        """All that can be tried on it, one after the other, until it is gone. Raises `StoreUnreachable`."""
        known = self.held
        for trial, act in self._trials():
            answer, said = self._ask(act)
            found = self.store.head(self.held.key, self.held.version)
            harm = _harm(known, found)
            if trial is Trial.OVERWRITE and not harm and self._is_hidden():
                harm = "a second version hides the first"
            yield Attempt(trial, answer, said, harm)
            if found is None:
                return
            known = found

    def _trials(self) -> Iterator[tuple[Trial, Callable[[], Any]]]:
        client, named, pinned = self.store.client, self._named, self._pinned
        yield Trial.OVERWRITE, lambda: client.put_object(**named, Body=b"other bytes\n", IfNoneMatch="*")
        if self.held.locked_until:
            yield from self._trials_of_retention(self.held.locked_until)
        if self.held.legal_hold:
            yield Trial.LIFT_HOLD, lambda: client.put_object_legal_hold(**pinned, LegalHold={"Status": "OFF"})
        yield Trial.DELETE, lambda: client.delete_object(**pinned)
        yield Trial.DELETE_BATCH, self._delete_batch
        yield Trial.BYPASS_DELETE, lambda: client.delete_object(**pinned, BypassGovernanceRetention=True)
        yield Trial.HIDE, lambda: client.delete_object(**named)

    def _trials_of_retention(self, until: datetime) -> Iterator[tuple[Trial, Callable[[], Any]]]:
        client, pinned, mode = self.store.client, self._pinned, self.held.lock_mode
        sooner: Any = {"Mode": mode, "RetainUntilDate": self.now + (until - self.now) / 2}  # to come, as it must be
        weaker: Any = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
        yield Trial.SHORTEN, lambda: client.put_object_retention(**pinned, Retention=sooner)
        yield Trial.UNLOCK, lambda: client.put_object_retention(**pinned, Retention={})
        if mode == "COMPLIANCE":
            yield Trial.DOWNGRADE, lambda: client.put_object_retention(**pinned, Retention=weaker)
        yield (
            Trial.BYPASS_SHORTEN,
            lambda: client.put_object_retention(**pinned, Retention=sooner, BypassGovernanceRetention=True),
        )

    @property
    def _named(self) -> dict[str, Any]:
        return {"Bucket": self.store.bucket, "Key": self.store.name(self.held.key)}

    @property
    def _pinned(self) -> dict[str, Any]:
        return self._named | ({"VersionId": self.held.version} if self.held.version else {})

    def _delete_batch(self) -> None:
        """A batch answers 200, and names in it what it could not delete."""
        from botocore.exceptions import ClientError

        one: Any = {name: value for name, value in self._pinned.items() if name != "Bucket"}
        answer = self.store.client.delete_objects(Bucket=self.store.bucket, Delete={"Objects": [one]})
        for error in answer.get("Errors", ()):
            refusal: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(refusal, "DeleteObjects")

    def _ask(self, act: Callable[[], Any]) -> tuple[Answer, str]:
        """The answer, and the store's words."""
        from botocore.exceptions import ClientError

        with s3_errors(self.store.url(self.held.key)):
            try:
                act()
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                is_refusal = 400 <= status < 500 and status not in _NO_REFUSAL
                said = f"{status} {error.response['Error'].get('Code', '')}".strip()
                return (Answer.REFUSED if is_refusal else Answer.UNCLEAR), said[:100]
        return Answer.ACCEPTED, "yes"

    def _is_hidden(self) -> bool:
        newest = self.store.head(self.held.key)
        return newest is None or newest.version != self.held.version


def _harm(held: Receipt, found: Receipt | None) -> str:
    """What became of it by one attempt."""
    if found is None:
        return "the version is gone"
    if found.sha256 != held.sha256:
        return "its bytes are others now"
    if found.lock_mode != held.lock_mode:
        return f"its mode is {found.lock_mode or 'none'} now"
    if held.locked_until and (found.locked_until is None or found.locked_until < held.locked_until):
        return f"its retention ends at {found.locked_until} now"
    return ""
