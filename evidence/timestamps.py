"""Time-stamps: the word of authorities that are not ours on when a head of the log existed.

Promises: a token counts only if it is granted, is over the SHA-256 of the head's bytes, and was signed for
time-stamping by a certificate that leads to the authority's pinned one and was valid then; each is checked before it
is kept; an authority that refuses, lies or is away stops no other; where nothing shows a time, that is said.
Source: RFC 3161; RFC 5652. By hand: `openssl ts -verify`.
The trap: who holds an authority's key can give any time. Name several, of owners who have nothing to do with another.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
from cryptography.x509 import Certificate, ObjectIdentifier, load_pem_x509_certificates
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, VerifierBuilder, decode_timestamp_response
from rfc3161_client.errors import VerificationError
from rfc3161_client.tsp import PKIStatus, TimeStampResponse

from evidence import verify
from evidence.asking import PATIENCE, NoAnswer, Patience, Question, ask
from evidence.errors import AlreadyDifferent, EvidenceError, StoreError
from evidence.log.shelf import LOG, Shelf
from evidence.names import is_portable
from evidence.stores import NotThere

TIMES: Final = f"{LOG}times/"
"""Tokens are kept below this prefix."""
_ENDING: Final = ".tsr"
_CLOCKS: Final = timedelta(hours=1)
"""How far an authority's clock may be from ours when it answers."""
_SHA256: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_SOUND: Final = {_SHA256, ObjectIdentifier("2.16.840.1.101.3.4.2.2"), ObjectIdentifier("2.16.840.1.101.3.4.2.3")}
"""SHA-256, SHA-384, SHA-512: what an authority may sign over."""
_WHY: Final = re.compile(r"(?:Verify error: ?|reason: \"(?!certificate verify error))([A-Za-z0-9 ,'-]{1,100})")

_ADVICE: Final = "compare the pinned certificate with the one the authority publishes; else name another authority"


class TokenRefused(EvidenceError):
    """A token does not show what it should."""


@dataclass(frozen=True)
class Authority:
    """An authority, as configured.

    `name` ends the key under which its tokens are kept; `certificates` is a PEM file with its root, and with what lies
    between where its tokens leave that out; `policy` is the object identifier of the one policy to accept, if any.
    """

    name: str
    url: str
    certificates: Path
    policy: str = ""

    def __post_init__(self) -> None:
        if not is_portable(self.name) or "/" in self.name:
            raise EvidenceError(f"{self.name!r} is no name for an authority", "use letters, digits and ._+=,@-")
        if not re.fullmatch(r"https?://\S+", self.url):
            raise EvidenceError(f"the authority {self.name} has no web address", "write http://… or https://…")
        if not re.fullmatch(r"([0-2](\.(0|[1-9]\d*))+)?", self.policy):
            raise EvidenceError(f"{self.policy!r} is no policy", "write its object identifier, like 1.2.3.4.1, or none")

    @property
    def roots(self) -> tuple[Certificate, ...]:
        """The pinned certificates, read now. Raises `EvidenceError`."""
        try:
            return tuple(dict.fromkeys(load_pem_x509_certificates(self.certificates.read_bytes())))
        except OSError as error:
            raise EvidenceError(f"cannot read {self.certificates}: {error.strerror}", "check the path") from error
        except ValueError as error:
            advice = "get the authority's root certificate from its site, as PEM"
            raise EvidenceError(f"{self.certificates} holds no certificate in PEM", advice) from error


@dataclass(frozen=True)
class Anchored:
    """An authority's word: the head existed at `at` (UTC). `token` is its whole answer, a TimeStampResp in DER."""

    authority: str
    at: datetime
    token: bytes


@dataclass(frozen=True)
class NotAnchored:
    """Why there is no word of this authority. Without a name: of none at all."""

    authority: str
    why: str
    advice: str = ""


NOT_CONFIGURED: Final = NotAnchored(
    "",
    "no time-stamp authority is configured: only our own clock says when heads were made",
    "name at least one in the settings",
)


def anchor(
    head: bytes,
    authorities: Sequence[Authority],
    http: httpx.Client,
    now: Callable[[], datetime],
    patience: Patience = PATIENCE,
) -> tuple[Anchored | NotAnchored, ...]:
    """Ask each authority for a time-stamp of the head's bytes, and check it."""
    return _each(authorities, lambda authority: _ask(head, authority, http, now, patience))


def keep_anchors(
    shelf: Shelf,
    size: int,
    head: bytes,
    authorities: Sequence[Authority],
    http: httpx.Client,
    now: Callable[[], datetime],
    patience: Patience = PATIENCE,
) -> tuple[Anchored | NotAnchored, ...]:
    """The same for the head of this size, kept in the store; whose token is kept already is not asked again.

    Raises `StoreError` when the store is away or refuses: asking once more asks only for what is not kept yet.
    """

    def keep(authority: Authority) -> Anchored:
        key = anchor_key(size, authority.name)
        try:
            token = shelf.read(key)
        except NotThere:
            token = _put(shelf, key, _ask(head, authority, http, now, patience).token)
        return Anchored(authority.name, check(token, head, authority.roots, policy=authority.policy), token)

    return _each(authorities, keep)


def read_anchors(
    shelf: Shelf, size: int, head: bytes, authorities: Sequence[Authority]
) -> tuple[Anchored | NotAnchored, ...]:
    """What the store holds for the head of this size, checked again, also by others. Raises `StoreError`."""

    def read(authority: Authority) -> Anchored:
        try:
            token = shelf.read(anchor_key(size, authority.name))
        except NotThere:
            raise TokenRefused("the store holds no time-stamp of this head by it") from None
        return Anchored(authority.name, check(token, head, authority.roots, policy=authority.policy), token)

    prefix, known = f"{TIMES}{size:020d}/", {authority.name for authority in authorities}
    names = [key.removeprefix(prefix).removesuffix(_ENDING) for key in shelf.keys(prefix)]
    strangers = [
        NotAnchored(name, "its time-stamp cannot be checked: no certificate is pinned for it", "configure it again")
        for name in names
        if name not in known
    ]
    return (*_each(authorities, read), *strangers)


def anchor_key(size: int, authority: str) -> str:
    """Where an authority's token of the head of this size is kept."""
    return f"{TIMES}{size:020d}/{authority}{_ENDING}"


def check(
    token: bytes, head: bytes, roots: Sequence[Certificate], *, policy: str = "", nonce: int | None = None
) -> datetime:
    """When the authority says that the head existed (UTC). Raises `TokenRefused`.

    The certificates have to have been valid at that time, not now: a token outlives its authority's certificate.
    """
    try:
        response = decode_timestamp_response(token)
        _assert_granted(response)
        _assert_sound(response)
        VerifierBuilder(
            roots=list(roots), nonce=nonce, policy_id=ObjectIdentifier(policy) if policy else None
        ).build().verify(response, hashlib.sha256(head).digest())
        return response.tst_info.gen_time
    except VerificationError as error:
        raise TokenRefused(f"its time-stamp does not hold: {_told(error)}", _ADVICE) from error
    except ValueError as error:
        raise TokenRefused("what it gave is no time-stamp in DER", _ADVICE) from error
    except BaseException as error:
        # The library is compiled, and says it when foreign bytes lead it into a contradiction of its own.
        if type(error).__name__ != "PanicException":
            raise
        raise TokenRefused("what it gave cannot be read", _ADVICE) from error


def _assert_granted(response: TimeStampResponse) -> None:
    status = PKIStatus(response.status)
    if status is not PKIStatus.GRANTED:
        said = " ".join(response.status_string)[:200]
        raise TokenRefused(f"it grants no time-stamp: {status.name.lower()}, {said!r}", "ask whoever runs it")


def _assert_sound(response: TimeStampResponse) -> None:
    """The library takes what OpenSSL takes, SHA-1 too, and an imprint of any length of SHA-2."""
    if response.tst_info.message_imprint.hash_algorithm != _SHA256:
        raise TokenRefused("its time-stamp is not over a SHA-256", _ADVICE)
    if not response.signed_data.digest_algorithms <= _SOUND:
        raise TokenRefused("its time-stamp is signed over a hash that is broken", "name another authority")


def _told(error: VerificationError) -> str:
    """The reason without the words of the machine around it."""
    why = _WHY.search(str(error))
    return why[1] if why else str(error).partition(":")[0]


def _ask(
    head: bytes, authority: Authority, http: httpx.Client, now: Callable[[], datetime], patience: Patience
) -> Anchored:
    roots = authority.roots
    request = TimestampRequestBuilder().data(head).hash_algorithm(HashAlgorithm.SHA256).build()
    headers = {"content-type": "application/timestamp-query", "accept": "application/timestamp-reply"}
    answer = ask(http, Question("POST", authority.url, request.as_bytes(), headers), patience)
    if answer.status != 200:
        raise NoAnswer(f"it answered with status {answer.status}", "check its address, and whether it asks for a login")
    at = check(answer.content, head, roots, policy=authority.policy, nonce=request.nonce)
    _assert_auditors_agree(answer.content, head, authority)
    if abs(at - now()) > _CLOCKS:
        raise TokenRefused(f"it says {at:%Y-%m-%d %H:%M:%S} UTC, more than an hour from our clock", "set the clock")
    return Anchored(authority.name, at, answer.content)


def _assert_auditors_agree(token: bytes, head: bytes, authority: Authority) -> None:
    """Before a token is kept the verifier is asked too: it judges by `openssl`, which has rules the library has not.

    One is that a token names its certificate by a digest (RFC 3161, 2.4.2). Without the command the library's word
    stands.
    """
    try:
        verify.time_of_token(token, head, authority.certificates.read_bytes())
    except verify.Unusable:
        return
    except (verify.TokenRefused, OSError) as error:
        message = "its time-stamp does not hold by `openssl ts`, with which auditors check it"
        raise TokenRefused(message, "name another authority") from error


def _put(shelf: Shelf, key: str, token: bytes) -> bytes:
    """The token that is kept, ours or that of another writer who was faster."""
    try:
        shelf.put_bytes(key, token)
    except AlreadyDifferent:
        return shelf.read(key)
    return token


def _each(
    authorities: Sequence[Authority], ask_for: Callable[[Authority], Anchored]
) -> tuple[Anchored | NotAnchored, ...]:
    def results() -> Iterator[Anchored | NotAnchored]:
        for authority in authorities:
            try:
                yield ask_for(authority)
            except StoreError:
                raise  # not this authority's fault, and no better with the next
            except EvidenceError as error:
                yield NotAnchored(authority.name, error.message, error.advice)

    return tuple(results()) or (NOT_CONFIGURED,)
