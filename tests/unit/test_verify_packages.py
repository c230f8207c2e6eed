"""Packages beside others: the one before, what came late, a package's own place in the log, what records say."""

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evidence.keyring import EVERY_ROLE, Facts
from evidence.keys import public_key_of
from evidence.log import Bundle, package_draft
from evidence.log.tree import inclusion_proof
from evidence.statement import PredicateType, canonical
from evidence.verify import Report, leaf_hash, root_of
from tests.paper_package import (
    BEGIN,
    HOUR,
    Auditor,
    Files,
    Installation,
    Period,
    Run,
    day,
    digest,
    envelope_in,
    envelope_saying,
    row,
)


@pytest.fixture
def home(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
def auditor(tmp_path: Path, home: Installation) -> Auditor:
    return Auditor(tmp_path, home.pinned)


def fresh(home: Installation) -> Period:
    period = Period(home)
    period.enter_keys()
    return period


def continued(period: Period, files: Files | None = None) -> Period:
    """The next package of the same log: the entries go on, the runs are its own."""
    keys = {name: content for name, content in period.files.items() if name.startswith("keys/")}
    return Period(period.home, keys | (files or {}), list(period.entries), [], period.logged_at)


def seen(report: Report, name: str) -> str:
    return next(proof.seen for proof in report.proofs if proof.name == name)


# --- The package before -----------------------------------------------------------------------------------------------


def laid(auditor: Auditor, content: bytes, name: str = "older") -> Path:
    path = auditor.folder / f"{name}.tar.gz"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [b"{}", b'{"name":1,"sha256":""}', b"[]", b"", b"null\n", b'{"name":"2026-Q2"}'])
def test_a_previous_of_another_form_is_caught(home: Installation, auditor: Auditor, content: bytes) -> None:
    period = fresh(home)
    before = laid(auditor, period.package())
    period.files["previous.json"] = content
    assert auditor.failed(period.package()) == {"previous"}
    assert auditor.failed(period.package(), before=before) == {"previous"}


def test_an_older_package_that_does_not_hold_is_no_measure(home: Installation, auditor: Auditor) -> None:
    healthy = fresh(home).package()
    for older in (healthy[:-1], b"", healthy.replace(b"\x1f\x8b", b"\x1f\x8c", 1)):
        assert auditor.failed(healthy, before=laid(auditor, older)) == {"previous"}
    assert auditor.failed(healthy, before=auditor.folder / "none.tar.gz") == {"previous"}
    period = fresh(home)
    period.rows.append(row(Run(9, "unsealed"), None))
    report = auditor.look(healthy, before=laid(auditor, period.package()))
    assert "the older package does not hold by itself" in seen(report, "previous")


def test_a_keyring_that_does_not_go_on_from_the_older_one_is_caught(
    home: Installation, auditor: Auditor, tmp_path: Path
) -> None:
    before = laid(auditor, fresh(home).package())
    (tmp_path / "log.pem").rename(tmp_path / "old.pem")
    other = Installation(tmp_path)  # the same first key, another log key
    report = auditor.look(fresh(other).package(), before=before)
    assert "the keyring is not the older one continued" in seen(report, "previous")


# --- A package's own place --------------------------------------------------------------------------------------------


def test_a_package_has_a_proof_and_a_receipt_like_a_bundle(
    home: Installation, auditor: Auditor, tmp_path: Path
) -> None:
    period = fresh(home)
    period.enter_run(Run(1))
    package = period.package()
    key, at = "packages/2026-Q3.tar.gz", day(5)
    receipt = home.receipt(key, package, at)
    after = continued(period)
    draft = package_draft(
        bundle=Bundle(key, digest(package), len(package)),
        envelope=digest(envelope_in(package)),
        name="2026-Q3",
        receipt=digest(receipt),
    )
    index = after.enter(draft, at)

    def lay(place: int) -> Path:
        leaves = [leaf_hash(entry) for entry in after.entries]
        hashes = inclusion_proof(place, len(leaves), lambda high, n: root_of(leaves[n << high : (n + 1) << high]))
        told = [base64.b64encode(each).decode() for each in (after.entries[place], *hashes)]
        lines = ["c2sp.org/tlog-proof@v1", f"extra {told[0]}", f"index {place}", *told[1:], "", ""]
        (tmp_path / "proof").write_bytes("\n".join(lines).encode() + after.head())
        return tmp_path / "proof"

    (tmp_path / "receipt").write_bytes(receipt)
    given = {"proof": lay(index), "receipt": tmp_path / "receipt"}
    report = auditor.look(package, **given)
    assert report.verdict == "pass", report.proofs
    assert [proof.name for proof in report.proofs][-2:] == ["own entry", "own receipt"]
    assert auditor.failed(package, proof=lay(index - 1)) == {"own entry"}
    period.rows[0]["headline"] = "sealed anew"
    assert auditor.failed(period.package(), **given) == {"own entry", "own receipt"}
    # In the next package its receipt may lie beside those of the runs.
    after.rows, after.files = period.rows, period.files | {f"receipts/{key}.dsse.json": receipt}
    after.previous = canonical({"name": "2026-Q3", "sha256": digest(package)})
    assert auditor.look(after.package()).verdict == "pass"
    after.files[f"receipts/{key}.dsse.json"] = envelope_saying(receipt, home.seal, versions=2)
    assert auditor.failed(after.package()) == {"receipts"}


# --- Records ----------------------------------------------------------------------------------------------------------


def probe(home: Installation, at: str, **says: Any) -> bytes:
    from evidence.envelope import sign
    from evidence.statement import statement

    said = {"at": at, "isWorm": True, "reasons": [], "store": "s3://paper"}
    return sign(statement({"canaries/1": "0" * 64}, said | says, PredicateType.PROBE), home.seal)


def test_what_probes_showed_is_told(home: Installation, auditor: Auditor) -> None:
    period = fresh(home)
    period.enter_record(probe(home, "then"), PredicateType.PROBE, day(1))
    bad = probe(home, "later", isWorm=False, reasons=["delete was accepted"])
    period.enter_record(bad, PredicateType.PROBE, day(2))
    report = auditor.look(period.package())
    assert report.verdict == "pass"
    assert "a probe at then: the store s3://paper withstood every try to destroy" in report.remarks
    assert "a probe at later: the store s3://paper is not WORM (delete was accepted)" in report.remarks


def test_a_record_of_another_kind_place_or_signer_is_caught(home: Installation, auditor: Auditor) -> None:
    for envelope, kind, check in (
        (probe(home, "then"), PredicateType.LINK, "records"),
        (probe(home, "then"), PredicateType.PACKAGE, "log"),
        (envelope_saying(probe(home, "then"), home.log), PredicateType.PROBE, "records"),
        (b"{}", PredicateType.PROBE, "records"),
        (probe(home, "then"), PredicateType.PUT_RECEIPT, "records"),
    ):
        period = fresh(home)
        period.enter_record(envelope, kind, day(1))
        assert check in auditor.failed(period.package()), kind


def test_a_legal_hold_that_was_lifted_is_found(home: Installation, auditor: Auditor) -> None:
    period, run, later = fresh(home), Run(1), day(3)
    bundle = home.bundle(run)
    held = {"legal_hold": True, "locked_until": later + timedelta(days=400)}
    first = home.receipt(run.key, bundle, run.ended_at + HOUR, **held)
    period.enter_run(run, bundle, says={"receipt": digest(first)})
    period.files[f"receipts/{run.key}.dsse.json"] = first
    period.enter_record(home.receipt(run.key, bundle, later, **held), PredicateType.PUT_RECEIPT, later)
    assert auditor.look(period.package()).verdict == "pass"
    lifted = home.receipt(run.key, bundle, day(4), **(held | {"legal_hold": False}))
    period.enter_record(lifted, PredicateType.PUT_RECEIPT, day(4))
    assert "its legal hold was lifted" in seen(auditor.look(period.package()), "records")


def test_a_head_under_the_name_of_another_size_is_caught(home: Installation, auditor: Auditor) -> None:
    period = fresh(home)
    period.enter_run(Run(1))
    period.files["log/heads/00000000000000000003"] = period.head(size=2)
    assert auditor.failed(period.package()) == {"heads"}
    period.files["log/heads/00000000000000000003"] = period.head(size=3)
    period.files["log/heads/00000000000000000000"] = period.head(size=0)
    assert auditor.look(period.package()).verdict == "pass"


def test_a_keyring_is_read_by_its_rules_alone(home: Installation, auditor: Auditor, tmp_path: Path) -> None:
    """Statements that each are signed well, and do not follow."""
    second, third = home.new_key("second"), home.new_key("third")
    facts = Facts(BEGIN, 0, "a test")
    true = home.keyring
    other = true.extended(true.admit(second, EVERY_ROLE, by=home.seal, facts=facts))
    further = other.extended(other.admit(third, EVERY_ROLE, by=second, facts=facts))
    folder = tmp_path / "keys"
    folder.mkdir()
    bundle = home.bundle(Run(1))

    def failed(*envelopes: bytes) -> set[str]:
        for path in folder.iterdir():
            path.unlink()
        for number, envelope in enumerate(envelopes):
            (folder / f"{number:08d}.dsse.json").write_bytes(envelope)
        return auditor.failed(bundle, keyring=folder)

    first, log, admission, last = further.envelopes
    assert failed(first, log, admission, last) == set()
    for wrong in (
        (log,),
        (first, first),
        (first, admission),
        (first, log, last),
        (first, log, admission, admission),
        (first, log, envelope_saying(admission, home.seal)),
        (first, log, envelope_saying(admission, home.seal, roles=["seal", "log", "submit"])),
        (first, log, envelope_saying(admission, home.seal, fromIndex=-1)),
        (first, log, envelope_saying(admission, home.seal, action="trust")),
        (first, log, envelope_saying(admission, home.seal, key=public_key_of(third).pem.decode())),
        (envelope_saying(first, home.seal, fromIndex=1),),
        (envelope_saying(first, home.seal, number=1),),
        (envelope_saying(first, home.seal, more=1),),
        (b"{}",),
        (),
    ):
        if wrong:
            assert "keyring" in failed(*wrong)
