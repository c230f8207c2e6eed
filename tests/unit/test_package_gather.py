"""A package gathered from a store, its log and a ledger: the public verifier passes it, and fails what was tampered."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from package_paper import AUGUST, JULY, MONTHLY, OCTOBER, PROOF, SEPTEMBER, Paper, alert, at, look, standing
from test_package_making import files_of, told

from evidence.bundle import Sealed, seal
from evidence.errors import EvidenceError, StoreUnreachable
from evidence.keyring import Action
from evidence.keys import ensure_key_pair, load_signer, public_key_of
from evidence.notary import Hands, Notary
from evidence.outbox import Outbox
from evidence.plans import PlanEvent, PlanStatement
from evidence.slots import slot_key
from evidence.statement import PredicateType, canonical
from evidence.stores import DirectoryStore
from evidence.vault import Vault
from evidence.verify import Given, Report, check, load_key
from muster.ledger.rows import Alert, Look, Proof
from muster.ledger.standing import Standing
from muster.package.gather import Sources, gather, package_name
from muster.package.inputs import OpenSlot
from muster.package.period import Period, parse_period
from muster.package.releasing import package_release
from muster.package.sealed import read_package
from muster.withholding import Withholder

AUGUST_SLOT = slot_key("orders", AUGUST)
Q3, Q4 = parse_period("2026-Q3"), parse_period("2026-Q4")


@dataclass
class PaperLedger:
    """The part of the ledger that a package reads."""

    known: list[Standing] = field(default_factory=list)
    looked: list[Look] = field(default_factory=list)
    raised: list[Alert] = field(default_factory=list)
    proven: list[Proof] = field(default_factory=list)
    clock: datetime = datetime(2026, 10, 1, 3, 20, tzinfo=UTC)

    def now(self) -> datetime:
        return self.clock

    def standings(self) -> tuple[Standing, ...]:
        return tuple(self.known)

    def looks(self, plan: str, limit: int) -> tuple[Look, ...]:
        return tuple(each for each in reversed(self.looked) if each.plan == plan)[:limit]

    def oldest_look(self) -> datetime | None:
        return min((each.at for each in self.looked), default=None)

    def alerts(self, *, everything: bool = False) -> tuple[Alert, ...]:
        return tuple(self.raised) if everything else ()

    def proofs(self) -> tuple[Proof, ...]:
        return tuple(self.proven)


@dataclass
class Estate:
    """A store with a notary, whose clock is set by hand, and sealed runs to hand in."""

    folder: Path
    ledger: PaperLedger = field(default_factory=PaperLedger)
    now: datetime = datetime(2026, 1, 10, tzinfo=UTC)

    def __post_init__(self) -> None:
        self.paper = Paper(self.folder / "paper")
        self.store = self.make_store()
        self.notary = Notary(
            self.store, Hands(self.paper.signer, self.paper.signer), now=lambda: self.now, where=self.store.where
        )

    def make_store(self) -> Any:
        """A folder; a suite may take another."""
        return DirectoryStore(self.folder / "store")

    @property
    def pinned(self) -> Path:
        return self.folder / "paper" / "keys" / "signing.pub"

    def run(self, plan: str, due: datetime, outcome: str = "passed") -> str:
        """Seal a run, send it, and enter it twenty minutes after it was due."""
        key = self.paper.run(plan, due, outcome)
        self.enter(key, self.paper.bundles[key], due + timedelta(minutes=20))
        return key

    def enter_on_demand(self, moment: datetime) -> None:
        """Let the log go on by a run that serves no slot."""
        key = self.paper.run("billing", moment, on_demand=True)
        self.enter(key, self.paper.bundles[key], moment + timedelta(minutes=20))

    def enter(self, key: str, path: Path, moment: datetime) -> None:
        from evidence import durable

        self.now = max(self.now, moment)
        self.store.put(key, path, durable.sha256_of(path))
        self.notary.enter(key, path)

    def sources(self, **changes: object) -> Sources:
        vault = Vault.open(self.store, public_key_of(self.paper.signer))
        usual = Sources(vault, self.ledger, ())  # type: ignore[arg-type]
        return replace(usual, **changes)  # type: ignore[arg-type]

    def package(self, release: str, period: Period | None, sources: Sources | None = None) -> Sealed:
        """Gather and seal."""
        return package_release(sources or self.sources(), release, period, self.paper.signer, self.folder / "out")

    def publish(self, release: str, period: Period | None) -> Sealed:
        """The same, sent and entered."""
        sealed = self.package(release, period)
        self.enter(f"packages/{sealed.path.name}", sealed.path, self.now + timedelta(minutes=1))
        return sealed


def verify(package: Path, pinned: Path, before: Path | None = None) -> Report:
    return check(package, Given(load_key(pinned), before=before))


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    estate = Estate(tmp_path)
    estate.ledger.known = [standing("orders")]
    for month in (2, 3, 4, 5, 6):
        estate.run("orders", at(f"2026-{month:02d}-01T03:00"))
    return estate


def test_the_public_verifier_passes_it(estate: Estate) -> None:
    for due in (JULY, AUGUST, SEPTEMBER, OCTOBER):
        estate.run("orders", due)
    sealed = estate.package("v1.4.0", Q3)
    assert sealed.path.name == "v1.4.0-2026-Q3.tar.gz"
    report = verify(sealed.path, estate.pinned)
    assert [proof for proof in report.proofs if proof.ok is False] == []
    assert report.verdict == "pass", report


def test_verify_py_from_the_package_passes_it_as_the_readme_says(estate: Estate, tmp_path: Path) -> None:
    for due in (JULY, AUGUST, SEPTEMBER, OCTOBER):
        estate.run("orders", due)
    sealed = estate.package("v1.4.0", Q3)
    files = files_of(sealed.path)
    (tmp_path / "verify.py").write_bytes(files["data/verify.py"])
    readme = files["data/README.txt"].decode()
    (command,) = [line.strip() for line in readme.splitlines() if "python3 verify.py" in line]
    assert command == "python3 verify.py v1.4.0-2026-Q3.tar.gz --key pinned.pub"
    done = subprocess.run(
        [sys.executable, str(tmp_path / "verify.py"), str(sealed.path), "--key", str(estate.pinned)],
        capture_output=True, text=True, timeout=120, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_gap_is_a_finding_of_the_verifier_too(estate: Estate) -> None:
    for due in (JULY, SEPTEMBER, OCTOBER):
        estate.run("orders", due)
    report = verify(estate.package("v1.4.0", Q3).path, estate.pinned)
    assert report.verdict == "fail"
    (wrong,) = [proof for proof in report.proofs if proof.ok is False]
    assert wrong.name == "population"
    assert "orders 2026-08-01T03:00:00Z: due, and nothing was sealed" in wrong.seen


def test_every_outcome_and_late_records_pass_where_they_are_told_truly(estate: Estate) -> None:
    estate.run("orders", JULY, "failed")
    estate.run("orders", AUGUST, "missed")
    first = estate.publish("v1.4.0", Q3)
    key = estate.paper.run("billing", at("2026-07-05T03:00"))
    estate.enter(key, estate.paper.bundles[key], SEPTEMBER)
    estate.run("orders", SEPTEMBER, "inconclusive")
    estate.run("orders", OCTOBER)
    second = estate.package("v1.4.1", parse_period("2026-10"))
    assert told(files_of(first.path), "previous.json") is None
    assert told(files_of(second.path), "previous.json") == {"name": "v1.4.0-2026-Q3", "sha256": first.sha256}
    assert [row["plan"] for row in told(files_of(second.path), "population.json")["late"]] == ["billing", "orders"]
    for sealed in (first, second):
        report = verify(sealed.path, estate.pinned)
        assert [proof for proof in report.proofs if proof.ok is False] == []


def open_when_published(estate: Estate) -> Sealed:
    """A package of all until August's slot, which is not over."""
    estate.run("orders", JULY)
    estate.ledger.clock = AUGUST + timedelta(hours=2)
    estate.enter_on_demand(AUGUST + timedelta(hours=1))
    first = estate.publish("v1.4.0", None)
    (row,) = told(files_of(first.path), "population.json")["open"]
    assert (row["scheduledAt"], row["claimableUntil"]) == ("2026-08-01T03:00:00Z", "2026-09-01T03:00:00Z")
    return first


def test_a_slot_that_was_open_in_the_package_before_and_never_sealed_fails_the_next(estate: Estate) -> None:
    first = open_when_published(estate)
    estate.run("orders", SEPTEMBER)
    estate.ledger.clock = SEPTEMBER + timedelta(days=2)
    second = estate.package("v1.5.0", None)
    files = files_of(second.path)
    (row,) = told(files, "population.json")["carried"]
    assert (row["scheduledAt"], row["outcome"], row["slot"]) == ("2026-08-01T03:00:00Z", "unsealed", AUGUST_SLOT)
    assert "2026-08-01 03:00" in files["data/report.html"].decode()
    for before in (None, first.path):
        report = verify(second.path, estate.pinned, before)
        assert {proof.name for proof in report.proofs if proof.ok is False} == {"population"}


def test_a_slot_that_was_open_in_the_package_before_and_sealed_since_passes_as_late(estate: Estate) -> None:
    first = open_when_published(estate)
    estate.run("orders", AUGUST)
    estate.run("orders", SEPTEMBER)
    estate.ledger.clock = SEPTEMBER + timedelta(days=2)
    second = estate.package("v1.5.0", None)
    population = told(files_of(second.path), "population.json")
    assert population["carried"] == []
    assert [row["scheduledAt"] for row in population["late"]] == ["2026-08-01T03:00:00Z"]
    assert verify(second.path, estate.pinned, first.path).verdict == "pass"


def test_a_slot_that_stays_open_over_two_packages_is_told_by_both_and_by_the_third(estate: Estate) -> None:
    first = open_when_published(estate)
    estate.enter_on_demand(AUGUST + timedelta(days=10))
    estate.ledger.clock = AUGUST + timedelta(days=10, hours=2)
    second = estate.publish("v1.5.0", None)
    (row,) = told(files_of(second.path), "population.json")["carried"]
    assert (row["scheduledAt"], row["remarks"]) == ("2026-08-01T03:00:00Z", ["it was open in the package before"])
    assert verify(second.path, estate.pinned, first.path).verdict == "pass"
    estate.run("orders", SEPTEMBER)
    estate.ledger.clock = SEPTEMBER + timedelta(days=2)
    third = estate.package("v1.6.0", None)
    carried = told(files_of(third.path), "population.json")["carried"]
    assert [(row["scheduledAt"], row["outcome"]) for row in carried] == [("2026-08-01T03:00:00Z", "unsealed")]


def test_a_package_of_an_older_version_may_be_the_one_before(tmp_path: Path, estate: Estate) -> None:
    """It does not say until when its open slots can be claimed."""
    golden = read_package(Path("tests/golden/v2/golden-2026-Q4.tar.gz"))
    assert (golden.predicate["name"], golden.open) == ("golden-2026-Q4", ())
    row = {"entry": None, "outcome": "open", "plan": "orders", "scheduledAt": "2026-08-01T03:00:00Z"}
    members: dict[str, Path | bytes] = {"population.json": canonical({"late": [], "open": [row], "slots": []})}
    path = tmp_path / "old.tar.gz"
    seal(members, {"name": "old"}, estate.paper.signer, path, {}, PredicateType.PACKAGE)
    assert read_package(path).open == (OpenSlot("orders", AUGUST),)
    seal({"a": b""}, {"name": "old"}, estate.paper.signer, path, {}, PredicateType.PACKAGE)
    with pytest.raises(EvidenceError, match="no package"):
        read_package(path)


def test_without_a_period_it_goes_on_from_the_package_before(estate: Estate) -> None:
    estate.run("orders", JULY)
    estate.ledger.clock = JULY + timedelta(hours=2)
    first = estate.publish("v1.4.0", None)
    estate.run("orders", AUGUST)
    estate.ledger.clock = AUGUST + timedelta(hours=2)
    second = estate.package("v1.5.0", None)
    periods = [told(files_of(each.path), "population.json") for each in (first, second)]
    assert periods[0]["from"] == "2026-01-10T00:00:00Z", "the log's first entry"
    assert periods[1]["from"] == periods[0]["until"] == "2026-07-01T03:20:01Z"
    assert [len(each["slots"]) for each in periods] == [6, 1]
    for sealed in (first, second):
        assert verify(sealed.path, estate.pinned).verdict == "pass"


def test_a_log_that_has_stopped_is_told_by_what_it_lacks(estate: Estate) -> None:
    estate.run("orders", JULY)
    estate.ledger.clock = at("2026-10-05T09:30")
    sealed = estate.package("v1.4.0", None)
    population = told(files_of(sealed.path), "population.json")
    assert population["until"] == "2026-10-05T00:00:00Z"
    gaps = [row["scheduledAt"] for row in population["slots"] if row["entry"] is None]
    assert gaps == ["2026-08-01T03:00:00Z", "2026-09-01T03:00:00Z"]
    assert [row["scheduledAt"] for row in population["open"]] == ["2026-10-01T03:00:00Z"]
    report = verify(sealed.path, estate.pinned)
    assert [proof.name for proof in report.proofs if proof.ok is False] == ["population"]


def test_the_same_store_and_ledger_give_the_same_bytes(estate: Estate, tmp_path: Path) -> None:
    estate.run("orders", JULY)
    first = estate.package("v1.4.0", Q3)
    content = first.path.read_bytes()
    assert estate.package("v1.4.0", Q3).path.read_bytes() == content


def test_a_bundle_that_the_store_lost_is_told_and_fails_the_verifier(estate: Estate) -> None:
    key = estate.run("orders", JULY)
    for due in (AUGUST, SEPTEMBER, OCTOBER):
        estate.run("orders", due)
    (estate.store.root / key).unlink()
    sealed = estate.package("v1.4.0", Q3)
    row = told(files_of(sealed.path), "population.json")["slots"][0]
    assert row["problems"][0].startswith("its bundle could not be had")
    report = verify(sealed.path, estate.pinned)
    assert {proof.name for proof in report.proofs if proof.ok is False} == {"runs"}


def test_a_local_copy_is_taken_where_it_is_what_was_logged(estate: Estate, tmp_path: Path) -> None:
    keys = [estate.run("orders", due) for due in (JULY, AUGUST)]
    outbox = Outbox(tmp_path / "outbox")
    for key in keys:
        path = estate.paper.bundles[key]
        outbox.add(Sealed(path, __import__("hashlib").sha256(path.read_bytes()).hexdigest(), 0, ""), key)
    outbox.flush(estate.store)
    local = outbox.path_of(keys[0])
    assert local is not None
    local.chmod(0o644)
    local.write_bytes(b"another")
    (tmp_path / "work").mkdir()
    inputs = gather(estate.sources(outbox=outbox), "v1.4.0", Q3, tmp_path / "work")
    assert inputs.bundles[keys[0]].is_relative_to(tmp_path / "work")
    assert inputs.bundles[keys[1]] == outbox.path_of(keys[1])
    assert not inputs.absent


def test_while_the_store_is_away_no_package_is_made(estate: Estate, tmp_path: Path) -> None:
    estate.run("orders", JULY)

    class Away(DirectoryStore):
        def get(self, key: str, to: Path, version: str | None = None) -> str:
            raise StoreUnreachable("the store does not answer", "try again")

    vault = estate.sources().vault
    away = Vault(Away(estate.store.root), vault.keyring, vault.origin)
    (tmp_path / "work").mkdir()
    with pytest.raises(StoreUnreachable):
        gather(estate.sources(vault=away), "v1.4.0", Q3, tmp_path / "work")


def test_keys_that_change_while_a_package_is_gathered_do_not_spoil_it(estate: Estate) -> None:
    """A runner is admitted and revoked after the log was read: neither statement is of this package's log."""
    for due in (JULY, AUGUST, SEPTEMBER, OCTOBER):
        estate.run("orders", due)
    runner = estate.folder / "runner.pem"
    ensure_key_pair(runner)
    public = public_key_of(load_signer(runner))
    admitted: list[str] = []

    class Meanwhile(DirectoryStore):
        def get(self, key: str, to: Path, version: str | None = None) -> str:
            if not admitted:
                admitted.append(key)
                estate.notary.admit_runner(public, "a runner of its own")
                estate.notary.end(Action.REVOKE, public, "it was lost")
            return super().get(key, to, version)

    vault = estate.sources().vault
    slow = replace(vault, store=Meanwhile(estate.store.root))
    sealed = estate.package("v1.4.0", Q3, estate.sources(vault=slow))
    assert admitted
    assert len(estate.store.keys("keys/")) == 3
    assert verify(sealed.path, estate.pinned).verdict == "pass"
    again = estate.package("v1.4.1", Q3)
    assert [len([n for n in files_of(each.path) if "/keys/" in n]) for each in (sealed, again)] == [1, 3]
    assert verify(again.path, estate.pinned).verdict == "pass"


def test_a_name_is_used_once(estate: Estate, tmp_path: Path) -> None:
    estate.run("orders", JULY)
    estate.publish("v1.4.0", Q3)
    (tmp_path / "work").mkdir()
    with pytest.raises(EvidenceError, match="in the log already"):
        gather(estate.sources(), "v1.4.0", Q3, tmp_path / "work")


def test_a_package_before_that_is_gone_is_an_error_and_no_gap_in_the_chain(estate: Estate, tmp_path: Path) -> None:
    estate.run("orders", JULY)
    sealed = estate.publish("v1.4.0", Q3)
    (estate.store.root / "packages" / sealed.path.name).unlink()
    (tmp_path / "work").mkdir()
    with pytest.raises(EvidenceError, match="cannot be had"):
        gather(estate.sources(), "v1.5.0", Q4, tmp_path / "work")


def test_records_of_the_period_are_in_it_and_others_are_not(estate: Estate) -> None:
    estate.run("orders", JULY)
    probe = estate.notary.record(PredicateType.PROBE, {"canaries/x": "0" * 64}, {"asked": "x"})
    estate.now = at("2026-11-02")
    estate.notary.record(PredicateType.PROBE, {"canaries/y": "0" * 64}, {"asked": "y"})
    files = files_of(estate.package("v1.4.0", Q3).path)
    assert [name for name in files if name.startswith("data/records/")] == [f"data/records/{probe.envelope}.dsse.json"]


def test_what_the_ledger_tells_of_the_period_is_in_it_without_what_is_withheld(estate: Estate) -> None:
    estate.run("orders", JULY)
    estate.ledger.looked = [look("orders", 1, "2026-06-20"), look("orders", 2, "2026-07-20")]
    estate.ledger.raised = [alert("overdue", "2026-07-02"), alert("old", "2026-01-01", resolved_at=at("2026-02-01"))]
    old = PROOF.model_copy(update={"at": at("2026-02-01")})
    after = PROOF.model_copy(update={"at": at("2026-10-02")})
    estate.ledger.proven = [old, PROOF, after]
    hide = Withholder("v1.4.0", b"0" * 32, ("db1", "late"))
    files = files_of(estate.package("v1.4.0", Q3, estate.sources(hide=hide)).path)
    (seen,) = told(files, "telemetry/readiness.json")["looks"]
    assert seen["number"] == 2
    assert seen["host"].startswith("withheld:sha256:")
    (incident,) = told(files, "telemetry/incidents.json")["incidents"]
    assert (incident["condition"], incident["words"]) == ("overdue", hide.token("late"))
    assert [each["at"] for each in told(files, "telemetry/validation.json")["proofs"]] == ["2026-06-30T00:00:00Z"]
    assert b"db1" not in b"".join(content for name, content in files.items() if "telemetry" in name or "report" in name)


def test_nothing_is_left_beside_a_package(estate: Estate) -> None:
    estate.run("orders", JULY)
    estate.package("v1.4.0", Q3)
    with pytest.raises(EvidenceError, match="has not begun"):
        estate.package("v1.5.0", parse_period("2027"))
    assert [path.name for path in (estate.folder / "out").iterdir()] == ["v1.4.0-2026-Q3.tar.gz"]


@pytest.mark.parametrize(
    ("release", "period", "name"),
    [
        ("v1.4.0", None, "v1.4.0"),
        ("v1.4.0", "2026-Q3", "v1.4.0-2026-Q3"),
        ("v1.4.0", "2026-01-01..2026-03-31", "v1.4.0-2026-01-01_2026-03-31"),
    ],
)
def test_a_package_is_named_by_release_and_period(release: str, period: str | None, name: str) -> None:
    assert package_name(release, parse_period(period) if period else None) == name


@pytest.mark.parametrize("release", ["", "../x", "-x", ".x", "a b", "ä"])
def test_a_release_that_names_no_file_is_refused(release: str) -> None:
    with pytest.raises(EvidenceError):
        package_name(release, None)


# --- Plans, as the log tells of them ----------------------------------------------------------------------------------


def tell(estate: Estate, event: PlanEvent, moment: datetime, number: int = 0, previous: str | None = None) -> str:
    """Enter a statement about a plan; the digest of its envelope."""
    said = PlanStatement(
        plan="archive",
        number=number,
        event=event,
        at=moment,
        plan_digest="0" * 64,
        cadence=MONTHLY.model_dump(mode="json"),
        kind="restore",
        owner="platform team",
        controls=(),
        reason="",
        by="db1",
        previous=previous,
    )
    estate.now = max(estate.now, moment)
    return estate.notary.record(PredicateType.PLAN, said.subjects, said.predicate()).envelope


@pytest.fixture
def enrolled(tmp_path: Path) -> tuple[Estate, str]:
    """A plan that was enrolled and run until June; the period has yet to come."""
    estate = Estate(tmp_path)
    first = tell(estate, PlanEvent.ENROLLED, at("2026-01-20"))
    for month in (2, 3, 4, 5, 6):
        estate.run("archive", at(f"2026-{month:02d}-01T03:00"))
    return estate, first


def test_a_plan_that_was_retired_by_the_log_passes_long_after(enrolled: tuple[Estate, str]) -> None:
    estate, first = enrolled
    tell(estate, PlanEvent.RETIRED, at("2026-06-15"), 1, first)
    estate.run("orders", JULY)
    report = verify(estate.package("v1.4.0", Q3).path, estate.pinned)
    assert report.verdict == "pass", report
    assert next(proof.ok for proof in report.proofs if proof.name == "plans") is True


def test_a_plan_whose_file_and_ledger_are_gone_fails_by_its_gaps(enrolled: tuple[Estate, str]) -> None:
    estate, _ = enrolled
    estate.run("orders", JULY)
    sealed = estate.package("v1.4.0", Q3)
    report = verify(sealed.path, estate.pinned)
    (wrong,) = [proof for proof in report.proofs if proof.ok is False]
    assert wrong.name == "population"
    assert "archive 2026-08-01T03:00:00Z: due, and nothing was sealed" in wrong.seen
    plans = {plan["name"]: plan for plan in told(files_of(sealed.path), "population.json")["plans"]}
    assert (plans["archive"]["sinceKnownBy"], plans["archive"]["retiredAt"]) == ("log", None)


def test_every_statement_is_in_the_package_whenever_it_was_made(enrolled: tuple[Estate, str]) -> None:
    estate, first = enrolled
    estate.run("orders", JULY)
    assert f"data/records/{first}.dsse.json" in files_of(estate.package("v1.4.0", Q3).path)


def test_a_statement_that_was_deleted_from_the_store_is_missed(enrolled: tuple[Estate, str]) -> None:
    estate, first = enrolled
    estate.run("orders", JULY)
    (estate.folder / "store" / "records" / f"{first}.dsse.json").unlink()
    report = verify(estate.package("v1.4.0", Q3).path, estate.pinned)
    assert [proof.name for proof in report.proofs if proof.ok is False] == ["plans"]
