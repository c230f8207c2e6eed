"""What may be given beside a single bundle: its place in the log, the keyring, the store's receipt."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from evidence.envelope import sign
from evidence.keyring import Action, Facts, Role, key_statement_key
from evidence.keys import public_key_of
from evidence.log.tree import inclusion_proof
from evidence.statement import PredicateType, statement, utc
from evidence.verify import Judge, Report, Unusable, judge_by_cryptography, judge_by_openssl, leaf_hash, root_of
from tests.paper_package import Auditor, Installation, Period, Run, a_period, digest, envelope_saying


@dataclass
class Bundle:
    """A logged run and what stands beside it, as files."""

    home: Installation
    period: Period
    folder: Path
    run: Run

    @property
    def content(self) -> bytes:
        return self.period.files[f"runs/{self.run.key}"]

    @property
    def index(self) -> int:
        return next(row["entry"] for row in self.period.rows if row["run"] == self.run.name)

    def proof(self, index: int | None = None, extra: bytes | None = None, head: bytes | None = None) -> Path:
        """Its `.tlog-proof`, or one that departs from it."""
        place, entries = self.index if index is None else index, self.period.entries
        leaves = [leaf_hash(entry) for entry in entries]
        hashes = inclusion_proof(place, len(entries), lambda high, at: root_of(leaves[at << high : (at + 1) << high]))
        lines = ["c2sp.org/tlog-proof@v1"]
        told = entries[place] if extra is None else extra
        lines += [f"extra {base64.b64encode(told).decode()}"] if told else []
        lines += [f"index {place}", *(base64.b64encode(each).decode() for each in hashes), "", ""]
        return self.lay("proof", "\n".join(lines).encode() + (head or self.period.head()))

    def receipt(self, content: bytes | None = None) -> Path:
        return self.lay("receipt", content or self.period.files[f"receipts/{self.run.key}.dsse.json"])

    def keyring(self) -> Path:
        """The key statements, as the store's folder `keys` holds them."""
        folder = self.folder / "keys"
        folder.mkdir(exist_ok=True)
        for number, envelope in enumerate(self.home.keyring.envelopes):
            (folder / f"{number:08d}.dsse.json").write_bytes(envelope)
        return folder

    def lay(self, name: str, content: bytes) -> Path:
        (self.folder / name).write_bytes(content)
        return self.folder / name

    def look(self, **given: Any) -> Report:
        return Auditor(self.folder, self.home.pinned).look(self.content, **given)

    def failed(self, **given: Any) -> set[str]:
        return {proof.name for proof in self.look(**given).proofs if proof.ok is False}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    home = Installation(tmp_path)
    return Bundle(home, a_period(home), tmp_path, Run(2, "failed"))


def test_a_bundle_with_everything_beside_it_passes(bundle: Bundle) -> None:
    report = bundle.look(proof=bundle.proof(), keyring=bundle.keyring(), receipt=bundle.receipt())
    assert report.verdict == "pass", report.proofs
    assert [proof.name for proof in report.proofs][-3:] == ["keyring", "log", "receipt"]
    assert report.told == ("run restore-shop-0002 failed",)


def test_what_was_not_given_is_listed_as_not_checked(bundle: Bundle) -> None:
    given = {"keyring": bundle.keyring(), "proof": bundle.proof(), "receipt": bundle.receipt()}
    names = {"keyring": "keyring", "proof": "log", "receipt": "receipt"}
    for left in (set(given), {"receipt"}, {"proof", "receipt"}, set()):
        report = bundle.look(**{name: path for name, path in given.items() if name not in left})
        unmade = {proof.name: proof for proof in report.proofs if proof.ok is None}
        assert (report.verdict, set(unmade)) == ("pass", {names[each] for each in left})
        assert not any(proof.counts for proof in unmade.values())
        assert all(f"(--{each})" in unmade[names[each]].seen for each in left)


def test_a_head_that_was_kept_is_held_beside_that_of_the_proof(bundle: Bundle) -> None:
    def verdict(*heads: bytes, **given: Any) -> str:
        paths = tuple(bundle.lay(f"head-{number}", head) for number, head in enumerate(heads))
        report = bundle.look(keyring=bundle.keyring(), heads=paths, **given)
        assert {proof.name for proof in report.proofs if not proof.ok and proof.counts} <= {"heads"}
        return report.verdict

    proof, period = bundle.proof(), bundle.period
    assert verdict(period.head(), proof=proof) == "pass"
    assert verdict(period.head(), period.head(3), proof=proof) == "inconclusive"  # a proof leads to one head
    assert verdict(period.head()) == "inconclusive"
    other = a_period(bundle.home)
    other.entries[-1] = other.entries[-2]
    assert verdict(other.head(), proof=proof) == "fail"
    for wrong in (b"", period.head(signer=bundle.home.seal)):
        assert verdict(wrong, proof=proof) == verdict(wrong) == "fail"


def test_without_a_keyring_the_pinned_key_has_to_be_the_logs(bundle: Bundle) -> None:
    assert bundle.failed(proof=bundle.proof()) == {"log"}
    bundle.home.log = bundle.home.seal
    assert bundle.failed(proof=bundle.proof()) == set()


def test_a_proof_of_another_entry_or_log_is_caught(bundle: Bundle) -> None:
    keyring, entries = bundle.keyring(), bundle.period.entries
    for proof in (
        bundle.proof(index=bundle.index - 1),
        bundle.proof(index=0),
        bundle.proof(extra=entries[0]),
        bundle.proof(extra=b"{}"),
        bundle.proof(extra=b""),
        bundle.proof(head=bundle.period.head(size=len(entries) - 1)),
        bundle.proof(head=bundle.period.head(signer=bundle.home.seal)),
        bundle.proof(head=bundle.period.head(signer=bundle.home.new_key("stranger"))),
        bundle.lay("proof", b""),
        bundle.lay("proof", bundle.content),
    ):
        assert bundle.failed(proof=proof, keyring=keyring) == {"log"}
    assert bundle.failed(proof=bundle.proof(), keyring=keyring) == set()


def test_every_flipped_bit_of_a_proof_is_caught(bundle: Bundle) -> None:
    keyring, path = bundle.keyring(), bundle.proof()
    content = path.read_bytes()
    for place in range(0, len(content), 5):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        assert bundle.failed(proof=bundle.lay("changed", bytes(changed)), keyring=keyring) == {"log"}, place


def test_a_bundle_that_was_sealed_anew_is_not_the_logged_one(bundle: Bundle) -> None:
    proof, keyring = bundle.proof(), bundle.keyring()
    bundle.period.files[f"runs/{bundle.run.key}"] = bundle.home.bundle(Run(2, "passed"))
    assert bundle.failed() == set()
    assert bundle.failed(proof=proof, keyring=keyring) == {"log"}


def test_a_receipt_of_another_bundle_or_by_another_hand_is_caught(bundle: Bundle) -> None:
    true = bundle.period.files[f"receipts/{bundle.run.key}.dsse.json"]
    other = bundle.period.files[f"receipts/{Run(1).key}.dsse.json"]
    given = {"proof": bundle.proof(), "keyring": bundle.keyring()}
    assert bundle.failed(receipt=bundle.receipt(true)) == set()
    for wrong in (
        other,
        envelope_saying(true, bundle.home.log),
        envelope_saying(true, bundle.home.seal, deleteMarkers=1),
        true[:-1],
        true + b"\n",
        b"{}",
    ):
        assert bundle.failed(receipt=bundle.receipt(wrong)) == {"receipt"}
        assert bundle.failed(receipt=bundle.receipt(wrong), **given) == {"receipt"}
    again = envelope_saying(true, bundle.home.seal, store="elsewhere")  # true by itself, and not the logged one
    assert bundle.failed(receipt=bundle.receipt(again)) == set()
    assert bundle.failed(receipt=bundle.receipt(again), **given) == {"receipt"}


def later_key(bundle: Bundle, roles: frozenset[Role] = frozenset({Role.SEAL})) -> None:
    """A second key that sealed the next run, and that was logged."""
    home, period = bundle.home, bundle.period
    facts = Facts(period.logged_at, len(period.entries) + 1, "a test")
    second = home.new_key("second")
    admission = (
        home.keyring.admit_runner(public_key_of(second), by=home.seal, facts=facts)
        if roles == {Role.SUBMIT}
        else home.keyring.admit(second, roles, by=home.seal, facts=facts)
    )
    home.extend(admission)
    period.enter_keys()
    bundle.run = Run(5)
    period.enter_run(bundle.run, home.bundle(bundle.run, second))


def end(bundle: Bundle, action: Action, from_index: int) -> None:
    home, second = bundle.home, bundle.home.new_key("second")
    facts = Facts(bundle.period.logged_at, from_index, "a test")
    home.extend(home.keyring.end(action, public_key_of(second), by=home.seal, facts=facts))
    bundle.period.enter_keys()


def test_a_later_key_is_trusted_by_the_keyring_alone(bundle: Bundle) -> None:
    later_key(bundle)
    assert bundle.failed() == {"seal", "test result"}
    assert bundle.failed(keyring=bundle.keyring()) == set()
    assert bundle.failed(keyring=bundle.keyring(), proof=bundle.proof()) == set()
    (bundle.keyring() / "00000002.dsse.json").unlink()
    assert "seal" in bundle.failed(keyring=bundle.folder / "keys")


@pytest.mark.parametrize("action", [Action.RETIRE, Action.REVOKE])
def test_an_ended_key_counts_by_its_place_in_the_log(bundle: Bundle, action: Action) -> None:
    later_key(bundle)
    end(bundle, action, bundle.index + 1)
    keyring = bundle.keyring()
    assert bundle.look(keyring=keyring, proof=bundle.proof()).verdict == "pass"
    without = bundle.look(keyring=keyring)
    assert without.verdict == ("fail" if action is Action.REVOKE else "inconclusive")
    later = bundle.home.new_key("second")
    bundle.run = Run(6)
    bundle.period.enter_run(bundle.run, bundle.home.bundle(bundle.run, later))
    assert bundle.failed(keyring=keyring, proof=bundle.proof()) == {"seal", "test result"}


def test_what_a_runner_handed_in_counts_by_its_place_in_the_log(bundle: Bundle) -> None:
    later_key(bundle, frozenset({Role.SUBMIT}))
    keyring = bundle.keyring()
    assert bundle.look(keyring=keyring).verdict == "inconclusive"
    assert bundle.look(keyring=keyring, proof=bundle.proof()).verdict == "pass"
    pinned = Auditor(bundle.folder, bundle.folder / "second.pub")
    assert "keyring" in pinned.failed(bundle.content, keyring=keyring, proof=bundle.proof())


def test_a_runner_or_a_log_key_admits_nobody(bundle: Bundle) -> None:
    later_key(bundle, frozenset({Role.SUBMIT}))
    home, thief = bundle.home, bundle.home.new_key("thief")
    key = public_key_of(thief)
    body = {
        "action": "admit", "at": utc(bundle.period.logged_at), "fromIndex": 0, "key": key.pem.decode(),
        "keyId": key.key_id, "number": 3, "previous": home.keyring.statements[-1].digest, "reason": "",
        "roles": ["log", "seal"],
    }  # fmt: skip
    subject = {f"{key.key_id}.pub": digest(key.pem)}
    folder = bundle.keyring()
    name = key_statement_key(3).removeprefix("keys/")
    bundle.run = Run(2, "failed")
    for signer, is_caught in ((home.new_key("second"), True), (home.log, True), (thief, True), (home.seal, False)):
        envelope = sign(statement(subject, body, PredicateType.KEY), signer, thief)
        (folder / name).write_bytes(envelope)
        assert bundle.failed(keyring=folder) == ({"keyring"} if is_caught else set())


def test_what_cannot_be_read_is_wrong_usage(bundle: Bundle, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for given in ({"proof": tmp_path / "none"}, {"receipt": empty}, {"keyring": empty}, {"keyring": tmp_path / "none"}):
        with pytest.raises(Unusable):
            bundle.look(**given)


@pytest.mark.parametrize("judge", [judge_by_cryptography, judge_by_openssl])
def test_a_key_service_may_seal_by_ecdsa(bundle: Bundle, judge: Judge) -> None:
    """P-256, as key services offer it; it may be pinned, and may be admitted."""
    service = CryptoSigner.generate_ecdsa()
    public = bundle.lay("service.pub", public_key_of(service).pem)
    sealed = bundle.home.bundle(bundle.run, service)
    alone = Auditor(bundle.folder, public)
    assert alone.look(sealed, judge=judge).verdict == "pass"
    other = bundle.home.bundle(bundle.run, CryptoSigner.generate_ecdsa())
    assert alone.failed(other, judge=judge) == {"seal", "test result"}
    home = bundle.home
    facts = Facts(bundle.period.logged_at, 0, "a test")
    home.extend(home.keyring.admit(service, frozenset({Role.SEAL}), by=home.seal, facts=facts))
    bundle.period.files[f"runs/{bundle.run.key}"] = sealed
    assert bundle.failed(keyring=bundle.keyring(), judge=judge) == set()
    assert bundle.failed(judge=judge) == {"seal", "test result"}
