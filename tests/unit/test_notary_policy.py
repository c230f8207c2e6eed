"""The policy of evidence: defaults without a file, every wrong key named, no secret in it."""

import base64
from pathlib import Path

import pytest

from evidence.verify import COSIGNATURE_NOTE, note_key_id
from muster.errors import UsageError
from muster.notary.policy import EvidencePolicy, read_policy
from muster.plan import load_plans
from muster.planindex import plan_cards

_ID = note_key_id("w.example", COSIGNATURE_NOTE, bytes(32)).hex()
_PUBLIC = base64.b64encode(bytes([COSIGNATURE_NOTE]) + bytes(32)).decode()
WHOLE = """
notary: apart
origin: example.org/evidence
signer: {uri: "awskms:alias/muster", public_key: keys/kms.pub}
lock: {days: 400, mode: GOVERNANCE, legal_hold: true}
authorities:
  - {name: one, url: "https://tsa.example/ts", certificates: keys/one.pem}
witnesses:
  - {name: two, url: "https://witness.example/", key: "KEY"}
""".replace("KEY", f"w.example+{_ID}+{_PUBLIC}")


def test_without_a_file_this_installation_seals_for_itself(tmp_path: Path) -> None:
    assert read_policy(tmp_path) == EvidencePolicy()
    assert EvidencePolicy().notary == "here"
    assert EvidencePolicy().authorities == ()


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "evidence.yaml").write_text(WHOLE)
    policy = read_policy(tmp_path)
    assert policy.authorities[0].certificates == tmp_path / "keys/one.pem"
    assert policy.signer is not None
    assert policy.signer.public_key == tmp_path / "keys/kms.pub"
    assert (policy.notary, policy.lock.days, policy.lock.mode) == ("apart", 400, "GOVERNANCE")


def test_the_policy_is_no_plan(tmp_path: Path) -> None:
    (tmp_path / "evidence.yaml").write_text(WHOLE)
    assert load_plans(tmp_path) == ()
    assert list(plan_cards(tmp_path, tmp_path / "index.json")) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("notary: apart", "notary: away", "notary"),
        ("lock:", "look:", "there is no such key"),
        ("https://tsa.example/ts", "ftp://tsa.example", "is no URL that starts with https"),
        ("https://tsa.example/ts", "https://me:secret@tsa.example", "holds a user or password"),
        ("awskms:alias/muster", "file:/etc/key", "signer.uri"),
        ("w.example+", "v.example+", "is no verifier key"),
        ("days: 400", "days: 0", "lock.days"),
        ("mode: GOVERNANCE", "mode: NONE", "lock.mode"),
        ("example.org/evidence", "two words", "origin"),
        (
            "  - {name: one,",
            "  - {name: one, url: 'https://a.example', certificates: a}\n  - {name: one,",
            "have one name",
        ),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in WHOLE
    (tmp_path / "evidence.yaml").write_text(WHOLE.replace(old, new))
    with pytest.raises(UsageError, match=said) as caught:
        read_policy(tmp_path)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["(", ".*", "x?"])
def test_a_pattern_that_fits_nothing_or_is_none_is_refused(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "evidence.yaml").write_text(f"withhold: ['{pattern}']\n")
    with pytest.raises(UsageError, match=r"withhold\.0"):
        read_policy(tmp_path)
