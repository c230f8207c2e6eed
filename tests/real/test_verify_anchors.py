"""Time-stamps in a package, by a real authority: what they show, what they catch, and what is said without them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evidence.log import Bundle, run_draft
from evidence.slots import slot_key
from evidence.verify import Judge, Report, judge_by_cryptography, judge_by_openssl
from tests.paper_package import Auditor, Installation, Period
from tests.real.timestamp_authority import TimestampAuthority

DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)
ANCHORED = NOW - 2 * DAY


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority(tmp_path_factory.mktemp("tsa") / "one", made="1 year ago", days=700)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority(tmp_path_factory.mktemp("tsa") / "other", made="1 year ago", days=700)


@pytest.fixture
def home(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
def auditor(tmp_path: Path, home: Installation) -> Auditor:
    return Auditor(tmp_path, home.pinned)


def log(period: Period, number: int, at: datetime) -> None:
    """A run of another period: the log alone is looked at here."""
    plan, due = "restore-shop", at - timedelta(hours=1)
    bundle = Bundle(f"{plan}/{number}.tar.gz", "0" * 64, 1)
    draft = run_draft(
        bundle=bundle, envelope="0" * 64, outcome="passed", plan=plan, receipt="0" * 64, run=str(number),
        scheduled_at=due, slot=slot_key(plan, due),
    )  # fmt: skip
    period.enter(draft, at)


def anchored(home: Installation, authority: TimestampAuthority, after: datetime, before: datetime) -> Period:
    """Four entries; the head over the first three was anchored two days ago, and one more came then."""
    period = Period(home)
    period.enter_keys()
    log(period, 1, before)
    head = period.keep_head(3)
    period.files["log/times/00000000000000000003/one.tsr"] = authority.stamp(head, when="2 days ago")
    log(period, 2, after)
    return period


def pinned(*authorities: TimestampAuthority) -> dict[str, bytes]:
    return {"certificates": b"".join(authority.root.read_bytes() for authority in authorities)}


def seen(report: Report) -> str:
    return next(proof.seen for proof in report.proofs if proof.name == "anchors")


def test_ranges_under_an_anchor_and_under_none_are_told_apart(
    home: Installation, auditor: Auditor, authority: TimestampAuthority
) -> None:
    package = anchored(home, authority, NOW - DAY, NOW - 3 * DAY).package()
    report = auditor.look(package, **pinned(authority))
    assert report.verdict == "pass", report.proofs
    first, second = (remark for remark in report.remarks if "time-stamped" in remark)
    assert first.startswith("entries 0 to 2 were time-stamped at ")
    assert first.endswith(" by the authority filed as one")
    when = first.removeprefix("entries 0 to 2 were time-stamped at ").removesuffix(" by the authority filed as one")
    told = datetime.fromisoformat(when)
    assert abs(told - ANCHORED) < timedelta(minutes=30)
    assert second == "entries 3 to 3 are not time-stamped, as far as was checked"
    assert seen(report) == "the authority filed as one: 3 of 4 entries"


def test_what_was_not_given_is_said_and_what_was_asked_for_in_vain_is_inconclusive(
    home: Installation, auditor: Auditor, authority: TimestampAuthority, stranger: TimestampAuthority
) -> None:
    period = anchored(home, authority, NOW - DAY, NOW - 3 * DAY)
    without = auditor.look(period.package())
    assert without.verdict == "pass"
    assert seen(without) == "not checked: 1 time-stamps, and no certificate of an authority was given (--tsa-cert)"
    others = auditor.look(period.package(), **pinned(stranger))
    assert others.verdict == "inconclusive"
    assert seen(others) == "not checked: no time-stamp is by an authority whose certificate was given"
    period.files["log/times/00000000000000000003/two.tsr"] = stranger.stamp(period.head(3), when="2 days ago")
    some = auditor.look(period.package(), **pinned(authority))
    assert some.verdict == "pass"
    assert "1 time-stamps by two show nothing: its certificate was not given (--tsa-cert)" in some.remarks
    assert auditor.look(period.package(), **pinned(authority, stranger)).verdict == "pass"
    for name in [name for name in period.files if name.startswith(("log/times/", "log/heads/"))]:
        del period.files[name]
    assert auditor.look(period.package(), **pinned(authority)).verdict == "inconclusive"


def test_a_back_dated_run_is_caught(home: Installation, auditor: Auditor, authority: TimestampAuthority) -> None:
    """It was added after the head was anchored, and claims to have been logged before: in itself in order."""
    package = anchored(home, authority, NOW - 3 * DAY, NOW - 4 * DAY).package()
    assert auditor.look(package).verdict == "pass"
    assert "entry 3 claims to be logged before the authority filed as one saw the log without it" in seen(
        auditor.look(package, **pinned(authority))
    )


def test_a_run_that_claims_to_be_logged_after_it_was_anchored_is_caught(
    home: Installation, auditor: Auditor, authority: TimestampAuthority
) -> None:
    package = anchored(home, authority, NOW - DAY, NOW - DAY).package()
    told = seen(auditor.look(package, **pinned(authority)))
    assert "entry 2 claims to be logged after the authority filed as one had seen it" in told


def test_clocks_may_differ_by_an_hour(home: Installation, auditor: Auditor, authority: TimestampAuthority) -> None:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2, minutes=45)  # the anchor is of two days ago, now
    package = anchored(home, authority, at, at).package()
    assert auditor.look(package, **pinned(authority)).verdict == "pass"


def test_a_history_written_anew_does_not_fit_its_anchor(
    home: Installation, auditor: Auditor, authority: TimestampAuthority
) -> None:
    true = anchored(home, authority, NOW - DAY, NOW - 3 * DAY)
    forged = Period(home)
    forged.enter_keys()
    log(forged, 9, NOW - 3 * DAY)
    log(forged, 2, NOW - DAY)
    forged.files["log/times/00000000000000000003/one.tsr"] = true.files["log/times/00000000000000000003/one.tsr"]
    forged.keep_head(3)
    assert auditor.failed(forged.package(), **pinned(authority)) == {"anchors"}
    forged.files["log/heads/00000000000000000003"] = true.files["log/heads/00000000000000000003"]
    assert auditor.failed(forged.package(), **pinned(authority)) == {"heads"}


def test_a_token_with_a_flipped_bit_shows_nothing(
    home: Installation, auditor: Auditor, authority: TimestampAuthority
) -> None:
    """Not every bit is signed: what is said around a token may be changed, and shows the same time or is refused."""
    period = anchored(home, authority, NOW - DAY, NOW - 3 * DAY)
    name = "log/times/00000000000000000003/one.tsr"
    token = period.files[name]
    told = [r for r in auditor.look(period.package(), **pinned(authority)).remarks if "were time-stamped" in r]
    for place in range(0, len(token), len(token) // 60):
        changed = bytearray(token)
        changed[place] ^= 1 << place % 8
        period.files[name] = bytes(changed)
        report = auditor.look(period.package(), **pinned(authority))
        assert report.verdict != "pass" or [r for r in report.remarks if "were time-stamped" in r] == told, place


@pytest.mark.parametrize("content", [b"", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", bytes(5000)])
def test_what_is_no_token_is_refused(
    home: Installation, auditor: Auditor, authority: TimestampAuthority, content: bytes
) -> None:
    period = anchored(home, authority, NOW - DAY, NOW - 3 * DAY)
    period.files["log/times/00000000000000000003/one.tsr"] = content
    assert auditor.failed(period.package(), **pinned(authority)) == {"anchors"}


def test_words_around_a_token_cannot_speak_for_it(
    home: Installation, auditor: Auditor, authority: TimestampAuthority
) -> None:
    """The status text of an answer is not signed: here it says another time, in the words of the command."""
    period = anchored(home, authority, NOW - DAY, NOW - 3 * DAY)
    name = "log/times/00000000000000000003/one.tsr"
    words = b"\nTime stamp: Jan  1 00:00:00 2020 GMT\n"
    text = b"\x0c" + bytes([len(words)]) + words
    status = b"\x02\x01\x00\x30" + bytes([len(text)]) + text
    token = period.files[name]
    header = 4  # SEQUENCE, length in two bytes; then the status, SEQUENCE of one INTEGER
    assert token[:2] == b"\x30\x82"
    assert token[header : header + 5] == b"\x30\x03\x02\x01\x00"
    rest = b"\x30" + bytes([len(status)]) + status + token[header + 5 :]
    period.files[name] = b"\x30\x82" + len(rest).to_bytes(2, "big") + rest
    report = auditor.look(period.package(), **pinned(authority))
    assert report.verdict == "pass"
    assert not any("2020" in remark for remark in report.remarks)


@pytest.mark.parametrize("judge", [judge_by_cryptography, judge_by_openssl])
@pytest.mark.parametrize("digest", ["sha1", "md5", "sha256"])
def test_a_token_over_a_broken_hash_fails_in_words_with_either_judge(
    home: Installation, auditor: Auditor, tmp_path: Path, judge: Judge, digest: str
) -> None:
    authority = TimestampAuthority(tmp_path / "tsa", made="1 year ago", days=700, digest=digest)
    period = anchored(home, authority, NOW - DAY, NOW - 3 * DAY)
    report = auditor.look(period.package(), judge=judge, **pinned(authority))
    assert report.verdict == ("pass" if digest == "sha256" else "fail"), report.proofs
    assert ("SHA-1 or MD5" in seen(report)) == (digest != "sha256")
