"""Time-stamps by real authorities: every fault of one is caught, and the healthy is as `openssl ts -verify` has it."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.x509 import load_pem_x509_certificates

from evidence import verify
from evidence.asking import Patience
from evidence.errors import StoreError
from evidence.stores import DirectoryStore
from evidence.timestamps import (
    NOT_CONFIGURED,
    Anchored,
    Authority,
    NotAnchored,
    TokenRefused,
    anchor,
    anchor_key,
    check,
    keep_anchors,
    read_anchors,
)
from tests.real.timestamp_authority import POLICY, Reply, TimestampAuthority, openssl, serving

HEAD = b"example.org/evidence\n3\nAAAA\n"
QUICK = Patience(answer=30.0, attempts=2, pause=0.01)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority(tmp_path_factory.mktemp("made") / "sound")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority(tmp_path_factory.mktemp("made") / "other")


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority(tmp_path_factory.mktemp("made") / "expired", made="400 days ago", days=30)


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


def now() -> datetime:
    return datetime.now(UTC)


def honest(authority: TimestampAuthority) -> Callable[[bytes], Reply]:
    return lambda query: Reply(authority.reply(query))


def ask(
    http: httpx.Client,
    made: TimestampAuthority,
    answer: Callable[[bytes], Reply],
    *,
    policy: str = "",
    clock: Callable[[], datetime] = now,
) -> Anchored | NotAnchored:
    with serving(answer) as counter:
        (found,) = anchor(HEAD, [Authority("one", counter.url, made.root, policy)], http, clock, QUICK)
    return found


@pytest.mark.parametrize("policy", ["", POLICY])
def test_a_sound_answer_anchors_the_head(http: httpx.Client, made: TimestampAuthority, policy: str) -> None:
    found = ask(http, made, honest(made), policy=policy)
    assert isinstance(found, Anchored)
    assert abs(found.at - now()) < timedelta(minutes=5)
    assert made.verifies(found.token, HEAD)
    assert check(found.token, HEAD, load_pem_x509_certificates(made.root.read_bytes())) == found.at
    assert verify.time_of_token(found.token, HEAD, made.root.read_bytes()) == found.at


def test_what_is_asked_is_a_sha256_with_a_nonce_and_for_the_certificate(
    http: httpx.Client, made: TimestampAuthority
) -> None:
    with serving(honest(made)) as counter:
        anchor(HEAD, [Authority("one", counter.url, made.root)] * 2, http, now, QUICK)
    first, second = counter.asked
    assert first != second, "each request has a nonce of its own"
    told = openssl("ts", "-query", "-in", "/dev/stdin", "-text", folder=made.folder, content=first).decode()
    assert "Hash Algorithm: sha256" in told
    assert "Nonce: 0x" in told
    assert "Certificate required: yes" in told


def test_what_the_verifier_would_refuse_is_refused_when_it_is_issued(
    made: TimestampAuthority, other: TimestampAuthority, expired: TimestampAuthority
) -> None:
    """The verifier judges by the command `openssl`, this by a library: neither may take what is false."""
    token, root = made.stamp(HEAD), made.root.read_bytes()
    for bad, pinned in [
        (made.stamp(b"another head"), root),
        (other.stamp(HEAD), root),
        (token, other.root.read_bytes()),
        (expired.stamp(HEAD), expired.root.read_bytes()),
        (made.without_purpose(token), root),
        (made.rejection(), root),
        (made.stamp(HEAD, "-sha512"), root),
        (token[:-1], root),
        (b"", root),
    ]:
        with pytest.raises(verify.TokenRefused):
            verify.time_of_token(bad, HEAD, pinned)
        with pytest.raises(TokenRefused):
            check(bad, HEAD, load_pem_x509_certificates(pinned))


def test_an_imprint_of_other_bytes_is_caught(http: httpx.Client, made: TimestampAuthority) -> None:
    found = ask(http, made, lambda _: Reply(made.stamp(b"another head")))
    assert isinstance(found, NotAnchored)


def test_a_replay_of_an_earlier_answer_is_caught_by_its_nonce(http: httpx.Client, made: TimestampAuthority) -> None:
    earlier = made.stamp(HEAD)
    found = ask(http, made, lambda _: Reply(earlier))
    assert isinstance(found, NotAnchored)
    assert "Nonce" in found.why
    assert made.verifies(earlier, HEAD), "nothing else is wrong with it"


def test_an_answer_without_a_nonce_is_caught(http: httpx.Client, made: TimestampAuthority) -> None:
    found = ask(http, made, lambda _: Reply(made.stamp(HEAD, "-no_nonce")))
    assert isinstance(found, NotAnchored)
    assert "Nonce" in found.why


def test_another_authority_is_caught(http: httpx.Client, made: TimestampAuthority, other: TimestampAuthority) -> None:
    found = ask(http, made, honest(other))
    assert isinstance(found, NotAnchored)
    assert "issuer" in found.why


def test_a_certificate_that_had_expired_is_caught(http: httpx.Client, expired: TimestampAuthority) -> None:
    found = ask(http, expired, honest(expired))
    assert isinstance(found, NotAnchored)
    assert "expired" in found.why


def test_a_token_outlives_the_certificate_that_made_it(expired: TimestampAuthority) -> None:
    token = expired.stamp(HEAD, when="390 days ago")
    at = check(token, HEAD, load_pem_x509_certificates(expired.root.read_bytes()))
    assert timedelta(days=389) < now() - at < timedelta(days=391)
    assert not expired.verifies(token, HEAD)
    assert expired.verifies(token, HEAD, int(at.timestamp())), "openssl has to be told the time"


def test_a_certificate_for_another_purpose_is_caught(http: httpx.Client, made: TimestampAuthority) -> None:
    found = ask(http, made, lambda query: Reply(made.without_purpose(made.reply(query))))
    assert isinstance(found, NotAnchored)
    assert "purpose" in found.why


def test_a_token_that_only_the_library_takes_is_caught(http: httpx.Client, made: TimestampAuthority) -> None:
    found = ask(http, made, lambda query: Reply(made.unnamed(made.reply(query))))
    assert isinstance(found, NotAnchored)
    assert "openssl" in found.why
    assert check(made.unnamed(made.stamp(HEAD)), HEAD, load_pem_x509_certificates(made.root.read_bytes()))


def test_without_the_command_the_library_s_word_stands(
    http: httpx.Client, made: TimestampAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: bytes) -> Reply:
        with monkeypatch.context() as back:
            back.setenv("PATH", os.defpath)
            reply = made.reply(asked)
        return Reply(reply)

    monkeypatch.setenv("PATH", "/nowhere")
    assert isinstance(ask(http, made, answer), Anchored)


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_time_far_from_ours_is_caught(http: httpx.Client, made: TimestampAuthority, hours: int) -> None:
    found = ask(http, made, honest(made), clock=lambda: now() + timedelta(hours=hours))
    assert isinstance(found, NotAnchored)
    assert "clock" in found.why


def test_an_authority_whose_clock_is_wrong_is_caught(http: httpx.Client, made: TimestampAuthority) -> None:
    found = ask(http, made, lambda query: Reply(made.reply(query, when="3 hours")))
    assert isinstance(found, NotAnchored)
    assert "clock" in found.why


def test_another_policy_is_caught(http: httpx.Client, made: TimestampAuthority) -> None:
    found = ask(http, made, honest(made), policy="1.2.3.4.2")
    assert isinstance(found, NotAnchored)
    assert "Policy" in found.why


def test_an_imprint_that_is_not_sha256_is_caught(made: TimestampAuthority) -> None:
    token = made.stamp(HEAD, "-sha512")
    assert made.verifies(token, HEAD), "nothing else is wrong with it"
    with pytest.raises(TokenRefused, match="SHA-256"):
        check(token, HEAD, load_pem_x509_certificates(made.root.read_bytes()))


def test_a_broken_hash_is_caught(http: httpx.Client, tmp_path: Path) -> None:
    weak = TimestampAuthority(tmp_path / "weak", digest="sha1")
    found = ask(http, weak, honest(weak))
    assert isinstance(found, NotAnchored)
    assert "broken" in found.why


@pytest.mark.parametrize("where", ["digest", "certificate", "intermediate"])
@pytest.mark.parametrize("broken", ["sha1", "md5"])
def test_the_verifier_refuses_a_broken_hash_in_words(tmp_path: Path, where: str, broken: Any) -> None:
    weak = TimestampAuthority(tmp_path / "weak", **{where: broken})
    token = weak.stamp(HEAD)
    assert weak.verifies(token, HEAD), "openssl takes it, and nothing else is wrong"
    with pytest.raises(verify.TokenRefused, match="a hash that is broken, SHA-1 or MD5"):
        verify.time_of_token(token, HEAD, weak.root.read_bytes())


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_a_pinned_root_may_have_signed_itself_over_sha1(tmp_path: Path, digest: str) -> None:
    """It is trusted as it was given: its own signature says nothing."""
    old = TimestampAuthority(tmp_path / "old", root="sha1", digest=digest)
    token = old.stamp(HEAD)
    assert abs(verify.time_of_token(token, HEAD, old.root.read_bytes()) - now()) < timedelta(minutes=5)
    pinned = old.root.read_bytes() + (old.folder / "intermediate.pem").read_bytes()
    assert verify.time_of_token(token, HEAD, pinned)


def test_an_old_command_is_no_judge_of_tokens(
    made: TimestampAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = made.stamp(HEAD)
    (tmp_path / "openssl").write_text("#!/bin/sh\necho OpenSSL 1.1.1w  11 Sep 2023\n")
    (tmp_path / "openssl").chmod(0o755)
    verify._assert_knows_levels.cache_clear()
    with monkeypatch.context() as old:
        old.setenv("PATH", str(tmp_path))
        with pytest.raises(verify.Unable, match="install OpenSSL 3"):
            verify.time_of_token(token, HEAD, made.root.read_bytes())
    assert verify.time_of_token(token, HEAD, made.root.read_bytes())


def test_certificates_out_of_order_are_no_der(http: httpx.Client, tmp_path: Path) -> None:
    unsorted = TimestampAuthority(tmp_path / "unsorted", unsorted=True)
    found = ask(http, unsorted, honest(unsorted))
    assert isinstance(found, NotAnchored)
    assert "DER" in found.why
    assert unsorted.verifies(unsorted.stamp(HEAD), HEAD), "openssl is less strict"


def test_a_rejection_is_told_in_its_words(http: httpx.Client, made: TimestampAuthority) -> None:
    found = ask(http, made, lambda _: Reply(made.rejection()))
    assert isinstance(found, NotAnchored)
    assert "Requested policy is not supported" in found.why


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: b"",
        lambda answer: b"<html>pay here</html>",
        lambda answer: answer[:-1],
        lambda answer: answer[: len(answer) // 2],
        lambda answer: answer + b"\0",
        lambda answer: bytes(len(answer)),
        lambda answer: answer * 60,
    ],
    ids=["nothing", "a page", "a byte short", "half", "a byte long", "zeros", "too large"],
)
def test_garbage_is_caught(http: httpx.Client, made: TimestampAuthority, spoil: Callable[[bytes], bytes]) -> None:
    assert isinstance(ask(http, made, lambda query: Reply(spoil(made.reply(query)))), NotAnchored)


def test_a_flipped_bit_is_caught_or_changes_nothing_that_is_said(made: TimestampAuthority) -> None:
    token, roots = made.stamp(HEAD), load_pem_x509_certificates(made.root.read_bytes())
    said, caught = check(token, HEAD, roots), 0
    places = range(0, len(token), 5)
    for place in places:
        flipped = bytearray(token)
        flipped[place] ^= 1 << place % 8
        try:
            assert check(bytes(flipped), HEAD, roots) == said, f"bit {place % 8} of byte {place}"
        except TokenRefused:
            caught += 1
    assert caught > 0.95 * len(places)


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("pace", [0.05, 10.0], ids=["byte by byte", "not at all"])
def test_a_slow_server_is_left(made: TimestampAuthority, pace: float, over_tls: bool) -> None:
    tls, short = made.web_certificate() if over_tls else None, Patience(answer=1.5, attempts=2, pause=0.01)
    with (
        serving(lambda query: Reply(b"never to be read", pace=pace), tls) as counter,
        httpx.Client(verify=False) as trusting,
    ):
        (found,) = anchor(HEAD, [Authority("one", counter.url, made.root)], trusting, now, short)
    assert isinstance(found, NotAnchored)
    assert "within 1.5 seconds" in found.why
    assert len(counter.asked) == short.attempts


def test_a_server_in_trouble_is_asked_again(http: httpx.Client, made: TimestampAuthority) -> None:
    with serving(lambda query: Reply(b"", 503) if len(counter.asked) < 2 else Reply(made.reply(query))) as counter:
        (found,) = anchor(HEAD, [Authority("one", counter.url, made.root)], http, now, QUICK)
    assert isinstance(found, Anchored)
    assert len(counter.asked) == 2


@pytest.mark.parametrize("status", [302, 401, 404])
def test_another_status_is_no_answer_and_not_asked_again(
    http: httpx.Client, made: TimestampAuthority, status: int
) -> None:
    with serving(lambda query: Reply(made.reply(query), status)) as counter:
        (found,) = anchor(HEAD, [Authority("one", counter.url, made.root)], http, now, QUICK)
    assert isinstance(found, NotAnchored)
    assert str(status) in found.why
    assert len(counter.asked) == 1


def test_one_that_refuses_does_not_stop_the_others(
    http: httpx.Client, made: TimestampAuthority, other: TimestampAuthority, tmp_path: Path
) -> None:
    with (
        serving(honest(made)) as first,
        serving(lambda _: Reply(made.rejection())) as second,
        serving(honest(other)) as third,
    ):
        found = anchor(
            HEAD,
            [
                Authority("first", first.url, made.root),
                Authority("refuses", second.url, made.root),
                Authority("away", "http://127.0.0.1:9/", made.root),
                Authority("unpinned", third.url, tmp_path / "nothing.pem"),
                Authority("last", third.url, other.root),
            ],
            http,
            now,
            QUICK,
        )
    assert [(type(one), one.authority) for one in found] == [
        (Anchored, "first"),
        (NotAnchored, "refuses"),
        (NotAnchored, "away"),
        (NotAnchored, "unpinned"),
        (Anchored, "last"),
    ]


def test_no_authority_is_said_so(http: httpx.Client, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    assert anchor(HEAD, [], http, now) == (NOT_CONFIGURED,)
    assert keep_anchors(store, 3, HEAD, [], http, now) == (NOT_CONFIGURED,)
    assert read_anchors(store, 3, HEAD, []) == (NOT_CONFIGURED,)


def test_a_kept_token_is_not_asked_for_again(http: httpx.Client, made: TimestampAuthority, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    with serving(honest(made)) as counter:
        authorities = [Authority("one", counter.url, made.root)]
        first = keep_anchors(store, 3, HEAD, authorities, http, now, QUICK)
        again = keep_anchors(store, 3, HEAD, authorities, http, now, QUICK)
    assert first == again == read_anchors(store, 3, HEAD, authorities)
    assert len(counter.asked) == 1
    assert store.keys() == ("log/times/00000000000000000003/one.tsr",)
    assert made.verifies((tmp_path / store.keys()[0]).read_bytes(), HEAD)


def test_a_kept_token_of_another_head_is_told_and_stays(
    http: httpx.Client, made: TimestampAuthority, tmp_path: Path
) -> None:
    store = DirectoryStore(tmp_path)
    wrong = made.stamp(b"another head")
    store.put_bytes(anchor_key(3, "one"), wrong)
    with serving(honest(made)) as counter:
        authorities = [Authority("one", counter.url, made.root)]
        (kept,) = keep_anchors(store, 3, HEAD, authorities, http, now, QUICK)
        (found,) = read_anchors(store, 3, HEAD, authorities)
    assert isinstance(kept, NotAnchored)
    assert isinstance(found, NotAnchored)
    assert counter.asked == []
    assert store.read(anchor_key(3, "one")) == wrong


def test_of_two_writers_at_once_one_token_is_kept(http: httpx.Client, made: TimestampAuthority, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)

    def while_another_writes(query: bytes) -> Reply:
        store.put_bytes(anchor_key(3, "one"), made.stamp(HEAD))
        return Reply(made.reply(query))

    with serving(while_another_writes) as counter:
        (found,) = keep_anchors(store, 3, HEAD, [Authority("one", counter.url, made.root)], http, now, QUICK)
    assert isinstance(found, Anchored)
    assert found.token == store.read(anchor_key(3, "one"))


def test_a_store_that_is_away_is_no_refusal_of_an_authority(
    http: httpx.Client, made: TimestampAuthority, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"no folder")
    store = DirectoryStore(tmp_path / "file")
    with serving(honest(made)) as counter, pytest.raises(StoreError):
        keep_anchors(store, 3, HEAD, [Authority("one", counter.url, made.root)], http, now, QUICK)


def test_what_is_missing_and_what_nothing_pins_is_read_so(made: TimestampAuthority, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put_bytes(anchor_key(3, "former"), made.stamp(HEAD))
    missing, former = read_anchors(store, 3, HEAD, [Authority("one", "http://127.0.0.1/", made.root)])
    assert isinstance(missing, NotAnchored)
    assert isinstance(former, NotAnchored)
    assert (missing.authority, former.authority) == ("one", "former")
    assert "holds no time-stamp" in missing.why
    assert "no certificate is pinned" in former.why
