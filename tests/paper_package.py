"""A small installation on paper, with all its keys: bundles, a log, receipts and packages, right ones and forged ones.

Everything is made by the code that makes it for real, but in memory, so that thousands can be forged in a test.
"""

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner

from evidence import bag
from evidence.archive import ArchiveWriter
from evidence.envelope import sign
from evidence.keyring import EVERY_ROLE, Facts, Keyring, Role
from evidence.keys import ensure_key_pair, load_signer, public_key_of
from evidence.log import Bundle, Draft, package_draft, record_draft, run_draft
from evidence.log.entries import Entry, make_entry
from evidence.log.heads import make_head
from evidence.plans import PlanEvent, PlanStatement
from evidence.receipts import PutReceipt
from evidence.slots import slot_key
from evidence.statement import PredicateType, canonical, statement, utc
from evidence.stores import Receipt
from evidence.verify import Given, Report, check, load_key, root_of
from evidence.witness import Cosigner

Files = dict[str, bytes]
ORIGIN = "example.org/evidence"
BEGIN = datetime(2026, 7, 1, tzinfo=UTC)
END = datetime(2026, 10, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def day(number: int) -> datetime:
    """A due time: at three in the morning of this day of the period, from 0."""
    return BEGIN + timedelta(days=number, hours=3)


@dataclass(frozen=True)
class Run:
    """A run that took an hour, and was logged an hour later."""

    number: int
    outcome: str = "passed"
    plan: str = "restore-shop"
    says: Mapping[str, Any] = field(default_factory=dict)
    """What its summary says otherwise."""
    controls: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.plan}-{self.number:04d}"

    @property
    def key(self) -> str:
        return f"{self.plan}/{self.name}.tar.gz"

    @property
    def ended_at(self) -> datetime:
        return day(self.number) + HOUR

    @property
    def predicate(self) -> dict[str, Any]:
        at, verdict = day(self.number), {"passed": "pass", "failed": "fail"}.get(self.outcome, "inconclusive")
        return {
            "controls": list(self.controls),
            "endedAt": utc(self.ended_at),
            "kind": "restore",
            "measures": [{"measured": 1e-7, "name": "rto", "objective": 900.5}],
            "openedAt": utc(at),
            "outcome": self.outcome,
            "plan": self.plan,
            "run": self.name,
            "scheduledAt": utc(at),
            "verdict": verdict,
        }


def pack(files: Files, top: str) -> bytes:
    """Any files as an archive in the writer's form."""
    out = io.BytesIO()
    writer = ArchiveWriter(out, top, payload=sum(map(len, files.values())))
    for name in sorted(files):
        writer.add(name, len(files[name]), [files[name]])
    writer.close()
    return out.getvalue()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Installation:
    """Its keys, its keyring and what it sealed. `folder` is where keys lie."""

    def __init__(self, folder: Path, begin: datetime = BEGIN) -> None:
        self.folder, self.begin = folder, begin
        self.seal, self.log = self.new_key("signing"), self.new_key("log")
        at = Facts(begin, 0, "the first key")
        self.keyring = Keyring()
        self.extend(self.keyring.admit(self.seal, EVERY_ROLE - {Role.LOG}, by=self.seal, facts=at))
        self.extend(self.keyring.admit(self.log, frozenset({Role.LOG}), by=self.seal, facts=at))

    @property
    def pinned(self) -> Path:
        return self.folder / "signing.pub"

    def new_key(self, name: str) -> CryptoSigner:
        ensure_key_pair(self.folder / f"{name}.pem")
        return load_signer(self.folder / f"{name}.pem")

    def extend(self, envelope: bytes) -> None:
        self.keyring = self.keyring.extended(envelope)

    def sealed(
        self,
        files: Files,
        top: str,
        predicate: Mapping[str, Any],
        kind: PredicateType = PredicateType.DRILL_RUN,
        *,
        info: Mapping[str, str] | None = None,
        result: Mapping[str, Any] | None = None,
        signer: CryptoSigner | None = None,
        is_old: bool = False,
    ) -> bytes:
        """A bag with any payload, sealed as `evidence.bundle.seal` seals, or as before the format had a label."""
        signer = signer or self.seal
        found = {bag.PAYLOAD + name: content for name, content in files.items()}
        is_whole = not is_old and (result is not None or kind is PredicateType.PACKAGE)
        given = dict(info or {}) | ({bag.FORMAT_LABEL: bag.FORMAT} if is_whole else {})
        found[bag.LABELS] = bag.labels(top, {n: len(c) for n, c in found.items()}, given)
        subjects = {name: digest(content) for name, content in found.items()}
        payload = {name: sha256 for name, sha256 in subjects.items() if name != bag.LABELS}
        tags = {
            bag.LABELS: found[bag.LABELS],
            bag.DECLARATION: bag.DECLARED,
            bag.KEY: public_key_of(signer).pem,
            bag.MANIFEST: bag.manifest(payload),
            bag.ENVELOPE: sign(statement(subjects, predicate, kind), signer),
        }
        if result is not None:
            tags[bag.TEST_RESULT] = sign(statement(subjects, result, PredicateType.TEST_RESULT), signer)
        tags[bag.TAG_MANIFEST] = bag.manifest({name: digest(content) for name, content in tags.items()})
        return pack({**found, **tags}, top)

    def bundle(self, run: Run, signer: CryptoSigner | None = None) -> bytes:
        """A run's bundle."""
        said = run.predicate
        judged = {"body": {"outcome": said["outcome"], "verdict": said["verdict"]}, "kind": "judged", "run": run.name}
        summary = {"kind": said["kind"], "outcome": said["outcome"], "plan": run.plan, "run": run.name}
        summary |= {"ended_at": said["endedAt"], "scheduled_at": said["scheduledAt"], "verdict": said["verdict"]}
        files = {
            "journal.jsonl": b'{"kind":"opened","seq":0}\n' + canonical(judged) + b"\n",
            "report.md": f"# {run.name} {run.outcome}\n".encode(),
            "summary.json": canonical(summary | dict(run.says)) + b"\n",
        }
        result = {"configuration": [], "result": "PASSED" if run.outcome == "passed" else "FAILED"}
        return self.sealed(files, run.name, said, result=result, signer=signer)

    def receipt(self, key: str, content: bytes, at: datetime, **says: Any) -> bytes:
        """What the store said of a bundle; `says` is what it said otherwise."""
        until = at + timedelta(days=400)
        held = Receipt(key, digest(content), len(content), "v1", "COMPLIANCE", until)
        counts = {name: says.pop(name) for name in ("versions", "delete_markers") if name in says}
        held = replace(held, **says)
        receipt = replace(PutReceipt(held, "paper", at, 1, 0), **counts)
        return sign(receipt.payload(), self.seal)

    def witness(self, name: str = "witness.example") -> Cosigner:
        return Cosigner(name, self.new_key("witness"))


@dataclass
class Period:
    """What a package of one period is made of; every part may be forged before it is sealed."""

    home: Installation
    files: Files = field(default_factory=dict)
    entries: list[bytes] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    logged_at: datetime = BEGIN
    name: str = "2026-Q3"
    since: datetime = BEGIN
    until: datetime = END
    says: dict[str, Any] = field(default_factory=lambda: {"carried": [], "late": [], "open": []})
    """What `population.json` says besides."""
    previous: bytes = b"null"
    is_old: bool = False
    """Sealed before there was a label of the format."""

    def enter(self, draft: Draft, at: datetime) -> int:
        """Log something; its index."""
        last = Entry(len(self.entries) - 1, self.entries[-1]) if self.entries else None
        self.entries.append(make_entry(draft, last, at).content)
        self.logged_at = at
        return len(self.entries) - 1

    def enter_keys(self) -> None:
        """Log the key statements that were not yet."""
        for link in self.home.keyring.statements:
            place = f"keys/{link.number:08d}.dsse.json"
            if place not in self.files:
                self.files[place] = self.home.keyring.envelopes[link.number]
                draft = record_draft(envelope=link.digest, key=place, predicate_type=PredicateType.KEY.value)
                self.enter(draft, self.logged_at)

    def enter_run(
        self,
        run: Run,
        bundle: bytes | None = None,
        *,
        logged_at: datetime | None = None,
        says: Mapping[str, Any] | None = None,
    ) -> int:
        """Keep a run's bundle and its receipt, log it, and list it; `says` is what the entry says otherwise."""
        content = bundle or self.home.bundle(run)
        at = logged_at or run.ended_at + HOUR
        receipt = self.home.receipt(run.key, content, at - timedelta(minutes=1))
        self.files[f"runs/{run.key}"] = content
        self.files[f"receipts/{run.key}.dsse.json"] = receipt
        due = day(run.number)
        fields = {
            "bundle": Bundle(run.key, digest(content), len(content)),
            "envelope": digest(envelope_in(content)),
            "outcome": run.outcome,
            "plan": run.plan,
            "receipt": digest(receipt),
            "run": run.name,
            "scheduled_at": due,
            "slot": slot_key(run.plan, due),
        }
        index = self.enter(run_draft(**(fields | dict(says or {}))), at)
        self.rows.append(row(run, index))
        return index

    def enter_record(self, envelope: bytes, kind: PredicateType, at: datetime) -> int:
        """Keep a record and log it."""
        place = f"records/{digest(envelope)}.dsse.json"
        self.files[place] = envelope
        return self.enter(record_draft(envelope=digest(envelope), key=place, predicate_type=kind.value), at)

    def enter_package(self, content: bytes, at: datetime | None = None) -> int:
        """Log this package, sealed before."""
        key, at = f"packages/{self.name}.tar.gz", at or self.logged_at
        receipt = self.home.receipt(key, content, at)
        bundle = Bundle(key, digest(content), len(content))
        draft = package_draft(
            bundle=bundle, envelope=digest(envelope_in(content)), name=self.name, receipt=digest(receipt)
        )
        return self.enter(draft, at)

    def next(self, name: str, since: datetime, until: datetime) -> "Period":
        """The period of the next package: it is sealed now, and the same log goes on from it."""
        content = self.package()
        self.enter_package(content)
        always = ("keys/", "records/")  # of those, the statements about plans
        keys = {place: envelope for place, envelope in self.files.items() if place.startswith(always)}
        named = canonical({"name": self.name, "sha256": digest(content)})
        other = Period(self.home, keys, list(self.entries), [], self.logged_at, name, since, until, previous=named)
        self.entries.pop()
        return other

    def head(self, size: int | None = None, signer: CryptoSigner | None = None) -> bytes:
        """The head over the first `size` entries, or all."""
        some = self.entries[: len(self.entries) if size is None else size]
        root = root_of(Entry(0, content).leaf for content in some)
        return make_head(ORIGIN, len(some), root, signer or self.home.log).content

    def keep_head(self, size: int) -> bytes:
        """Keep an older head; its bytes."""
        self.files[f"log/heads/{size:020d}"] = self.head(size)
        return self.files[f"log/heads/{size:020d}"]

    def all_files(self) -> Files:
        """What lies in `data/`, the forged parts as they are and the others made now."""
        population = {
            "from": utc(self.since),
            "madeAt": utc(self.logged_at),
            "slots": in_order(self.rows),
            "until": utc(self.until),
        } | self.says
        made = {
            "README.txt": b"How to check this package.\n",
            "log/entries.jsonl": b"".join(entry + b"\n" for entry in self.entries),
            "log/head": self.head(),
            "population.json": canonical(population),
            "previous.json": self.previous,
        }
        return made | self.files

    def package(self, files: Files | None = None, signer: CryptoSigner | None = None, **says: Any) -> bytes:
        """The package; `says` is what its predicate says otherwise."""
        lines = self.head().decode().split("\n")
        predicate = {
            "head": {"origin": ORIGIN, "root": lines[2], "size": int(lines[1])},
            "period": {"from": utc(self.since), "until": utc(self.until)},
        }
        info = {bag.PERIOD_LABEL: f"{utc(self.since)}/{utc(self.until)}"}
        files = self.all_files() if files is None else files
        kind, is_old = PredicateType.PACKAGE, self.is_old
        return self.home.sealed(files, self.name, predicate | says, kind, info=info, signer=signer, is_old=is_old)


def row(run: Run, entry: int | None, **says: Any) -> dict[str, Any]:
    """A row of the population."""
    due = day(run.number)
    told = {"entry": entry, "outcome": run.outcome, "plan": run.plan, "run": run.name if entry is not None else None}
    return told | {"scheduledAt": utc(due), "slot": slot_key(run.plan, due)} | says


def open_row(run: Run, until: datetime | None = None) -> dict[str, Any]:
    """The row of a due time that can still be run, until then or for an hour."""
    return row(replace(run, outcome="open"), None, claimableUntil=utc(until or day(run.number) + HOUR))


def in_order(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the population lists them."""
    return sorted(
        rows, key=lambda each: (each["scheduledAt"] or "", each["plan"], -1 if each["entry"] is None else each["entry"])
    )


def unpack(archive: bytes) -> Files:
    """Name below the top folder to content."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        found = {member.name.partition("/")[2]: members.extractfile(member) for member in members}
        return {name: file.read() for name, file in found.items() if file}


def envelope_in(archive: bytes) -> bytes:
    """The seal of a bundle."""
    return unpack(archive)[bag.ENVELOPE]


def a_period(home: Installation, period: Period | None = None) -> Period:
    """Two keys, three runs of which one failed, and a later receipt of the first: nothing is wrong with it."""
    period = period or Period(home)
    period.enter_keys()
    first = Run(1)
    period.enter_run(first)
    period.enter_run(Run(2, "failed"))
    again = day(3)
    later = home.receipt(first.key, period.files[f"runs/{first.key}"], again, locked_until=again + timedelta(days=400))
    period.enter_record(later, PredicateType.PUT_RECEIPT, again)
    period.enter_run(Run(4))
    return period


def a_period_after(home: Installation, files: Files) -> Period:
    """The same as the second package of its log, with a due time that is open, one that was before, and plans.

    The first package is put into `files`.
    """
    first = Period(home, name="first", since=BEGIN - timedelta(days=90), until=BEGIN)
    first.enter_keys()
    said = (
        "restore-shop",
        0,
        PlanEvent.ENROLLED,
        BEGIN,
        "0" * 64,
        {"cron": "0 3 * * *"},
        "restore",
        "",
        (),
        "",
        "db1",
        None,
    )
    first.enter_record(sign(PlanStatement(*said).payload(), home.seal), PredicateType.PLAN, BEGIN)
    first.says["plans"] = plans = [{"longestGapSeconds": 86400, "name": "restore-shop", "retiredAt": None}]
    left = open_row(Run(-1), day(9))
    first.says["open"] = [left]
    files[first.name] = first.package()
    period = a_period(home, first.next("2026-Q3", BEGIN, END))
    period.says |= {"carried": [left], "open": [open_row(Run(5), day(9))], "plans": plans}
    return period


@dataclass(frozen=True)
class Auditor:
    """Who verifies: with a pinned key, and a place to lay what is sent."""

    folder: Path
    pinned: Path

    def look(self, content: bytes, **given: Any) -> Report:
        """The report on what was sent."""
        path = self.folder / "sent.tar.gz"
        path.write_bytes(content)
        return check(path, Given(load_key(self.pinned), **given))

    def failed(self, content: bytes, **given: Any) -> set[str]:
        """The names of the checks that failed."""
        return {proof.name for proof in self.look(content, **given).proofs if proof.ok is False}


def envelope_saying(content: bytes, signer: CryptoSigner, **says: Any) -> bytes:
    """A record, sealed anew with another predicate."""
    payload = json.loads(base64.b64decode(json.loads(content)["payload"]))
    payload["predicate"] |= says
    return sign(canonical(payload), signer)
