"""A log and its bundles on paper: what a package is made of, without a store, a ledger or a plans folder."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner

from evidence.bundle import seal
from evidence.keys import ensure_key_pair, load_signer
from evidence.log import Bundle, Entry, record_draft, run_draft
from evidence.log.entries import make_entry
from evidence.log.heads import make_head
from evidence.slots import slot_key
from evidence.statement import PredicateType, canonical
from evidence.verify import root_of
from muster.cadence.spec import Cadence
from muster.cards import PlanCard
from muster.ledger.rows import Alert, Look, Proof
from muster.ledger.standing import Standing
from muster.package.contents import Contents, put_together
from muster.package.inputs import PackageInputs, Previous
from muster.package.log import copy_log
from muster.package.period import parse_period
from muster.package.telemetry import write_telemetry
from muster.verdict import Verdict

Q3 = parse_period("2026-Q3")
DUE = [datetime(2026, month, 1, 3, tzinfo=UTC) for month in range(2, 11)]
JULY, AUGUST, SEPTEMBER, OCTOBER = DUE[5:9]
SINCE = datetime(2026, 1, 15, 12, tzinfo=UTC)
MONTHLY = Cadence(cron="0 3 1 * *")
CONTROLS = ("SOC 2 A1.2", "ISO 27001 A.8.13", "DORA Art. 11(6)(a)")
ORIGIN = "example.org/evidence"


def at(text: str) -> datetime:
    """A UTC moment: `2026-07-01` or `2026-07-01T03:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def card(name: str, cadence: Cadence = MONTHLY, controls: Sequence[str] = CONTROLS, kind: str = "restore") -> PlanCard:
    """A plan's file."""
    return PlanCard(
        name=name,
        kind=kind,
        description=f"Restore {name}.",
        environment="staging",
        owner="platform team",
        controls=tuple(controls),
        target_type="paper",
        notifications=(),
        rto_seconds=900.0,
        rpo_seconds=60.0,
        digest="0" * 64,
        substance="1" * 64,
        timetable=cadence.timetable,
        cadence_json=cadence.model_dump_json(),
        cadence_words="monthly",
        grace_seconds=cadence.grace_period.total_seconds(),
        interval_seconds=cadence.gaps.longest.total_seconds(),
        path=f"deployments/{name}.yaml",
    )


def standing(name: str, cadence: Cadence = MONTHLY, since: datetime = SINCE, **changes: Any) -> Standing:
    """What the ledger knows of a plan."""
    return Standing(name, since=since, timetable=cadence.timetable, cadence=cadence.model_dump_json(), **changes)


@dataclass
class Paper:
    """A log that grows by sealed runs."""

    folder: Path
    entries: list[Entry] = field(default_factory=list)
    bundles: dict[str, Path] = field(default_factory=dict)
    receipts: dict[str, bytes] = field(default_factory=dict)
    count: int = 0

    @property
    def signer(self) -> CryptoSigner:
        key = self.folder / "keys" / "signing.pem"
        ensure_key_pair(key)
        return load_signer(key)

    def run(
        self,
        plan: str,
        due: datetime,
        outcome: str = "passed",
        *,
        on_demand: bool = False,
        logged_at: datetime | None = None,
        said: Mapping[str, Any] | None = None,
        **facts: Any,
    ) -> str:
        """Seal a run and log it; its bundle's key. `said` is what the entry says instead of what the bundle does."""
        self.count += 1
        run = f"{due:%Y%m%dT%H%M%SZ}-{plan}-{self.count:06x}"
        scheduled = None if on_demand else due
        path = self._seal(run, plan, scheduled, due, outcome, **facts)
        return self._log(run, plan, scheduled, outcome, path, logged_at or due + timedelta(minutes=20), said or {})

    def record(self, name: str, logged_at: datetime) -> None:
        """Log another record."""
        draft = record_draft(envelope=_digest(name.encode()), key=f"records/{name}", predicate_type=PredicateType.PROBE)
        self._append(draft, logged_at)

    def inputs(self, **changes: Any) -> PackageInputs:
        """Everything of a package; what is not given is that of a quarter without plans."""
        contents = [entry.content for entry in self.entries]
        head = make_head(ORIGIN, len(contents), root_of([entry.leaf for entry in self.entries]), self.signer)
        usual = PackageInputs(
            name="v1.4.0",
            release="v1.4.0",
            period=Q3,
            entries=contents,
            head=head.content,
            verifier=b"# verify.py\n",
            bundles=dict(self.bundles),
            receipts=dict(self.receipts),
            muster="1.4.0",
        )
        return replace(usual, **changes)

    def _seal(
        self,
        run: str,
        plan: str,
        scheduled: datetime | None,
        opened: datetime,
        outcome: str,
        *,
        kind: str = "restore",
        controls: Sequence[str] = CONTROLS,
        cadence: Cadence | None = MONTHLY,
        owner: str = "platform team",
        unrun: Mapping[str, Any] | None = None,
        approval: str = "",
        rto: float | None = 412.0,
        padding: int = 0,
        headline: str = "",
        verdict: str = "",
    ) -> Path:
        verdict = verdict or {"passed": "pass", "failed": "fail", "missed": "fail"}.get(outcome, "inconclusive")
        body = {
            "plan": {"name": plan, "kind": kind, "owner": owner, "controls": list(controls)}
            | ({"cadence": cadence.model_dump(mode="json")} if cadence else {}),
            "unrun": dict(unrun) if unrun else None,
        }
        body = {name: value for name, value in body.items() if value is not None}
        events = [{"kind": "opened", "run": run, "seq": 0, "body": body}, {"kind": "judged", "run": run, "seq": 1}]
        members: dict[str, Path | bytes] = {
            "journal.jsonl": b"".join(canonical(event) + b"\n" for event in events),
            "summary.json": canonical({"run": run, "headline": headline or f"The drill of {plan} {outcome}."}) + b"\n",
            "logs/pg_restore.log": b"." * padding,
        }
        predicate = {
            "run": run,
            "plan": plan,
            "kind": kind,
            "target": f"paper: {plan}",
            "outcome": outcome,
            "verdict": verdict,
            "scheduledAt": scheduled.isoformat() if scheduled else None,
            "trigger": "schedule" if scheduled else "command line",
            "requestedBy": "" if scheduled else "ada",
            "approval": approval,
            "openedAt": opened.isoformat(),
            "endedAt": (opened + timedelta(minutes=10)).isoformat(),
            "measures": [
                {
                    "name": "RTO",
                    "measured": rto,
                    "objective": 900.0,
                    "verdict": "pass" if rto and rto <= 900 else "fail",
                    "note": "",
                }
            ],
            "findings": [
                {
                    "check": "rows match",
                    "verdict": verdict,
                    "expected": "all rows",
                    "seen": "what was seen",
                    "advice": "",
                }
            ],
            "lastProven": "2026-06-30: 24 of 24 planted faults caught",
            "controls": list(controls),
            "muster": "1.4.0",
        }
        destination = self.folder / "bundles" / plan / f"{run}.tar.gz"
        return seal(members, predicate, self.signer, destination, {"Source-Organization": owner}).path

    def _log(
        self,
        run: str,
        plan: str,
        scheduled: datetime | None,
        outcome: str,
        path: Path,
        logged_at: datetime,
        said: Mapping[str, Any],
    ) -> str:
        content, key = path.read_bytes(), f"{plan}/{path.name}"
        receipt = json.dumps({"receipt": key}).encode()
        draft = run_draft(
            bundle=Bundle(key, _digest(content), len(content)),
            envelope=envelope_digest(path),
            outcome=outcome,
            plan=plan,
            receipt=_digest(receipt),
            run=run,
            scheduled_at=scheduled,
            slot=slot_key(plan, scheduled) if scheduled else None,
        )
        self._append(replace(draft, fields={**draft.fields, **said}), logged_at)
        self.bundles[key], self.receipts[key] = path, receipt
        return key

    def _append(self, draft: Any, logged_at: datetime) -> None:
        previous = self.entries[-1] if self.entries else None
        moment = max(logged_at, previous.logged_at) if previous else logged_at
        self.entries.append(make_entry(draft, previous, moment))


def envelope_digest(bundle: Path) -> str:
    """SHA-256 of a bundle's envelope."""
    import tarfile

    with tarfile.open(bundle) as archive:
        name = next(name for name in archive.getnames() if name.endswith("/statement.dsse.json"))
        envelope = archive.extractfile(name)
        assert envelope is not None
        return _digest(envelope.read())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


NASTY = "検索 <img src=x onerror=alert(1)> &amp; **b** `c` \x1b[31m\u202e{{ 7*7 }} ]]> \u2028 é"


def look(plan: str, number: int, moment: str, verdict: Verdict = Verdict.PASS) -> Look:
    return Look(
        plan=plan,
        number=number,
        at=at(moment),
        by="watch",
        host="db1",
        substance="1" * 64,
        verdict=verdict,
        since=at(moment),
        seconds=0.25,
        findings=(),
    )


def alert(condition: str, since: str, **changes: Any) -> Alert:
    return Alert(subject="orders", condition=condition, severity="critical", words="late", since=at(since), **changes)


PROOF = Proof(
    kind="restore", at=at("2026-06-30"), planted=3, caught=3, healthy=1, quiet=1, matrix=(), muster_version="1.4.0"
)


def quarter(paper: Paper, **changes: Any) -> PackageInputs:
    """Two plans: a failed drill, a gap, a run on demand, telemetry, and a package before."""
    for due in DUE:
        paper.run("billing", due, "failed" if due == AUGUST else "passed")
        if due != AUGUST:
            paper.run("orders", due)
        if due == JULY:
            paper.run("orders", at("2026-07-20T10:00"), on_demand=True)
    return paper.inputs(**{
        "plans": [card("billing"), card("orders")],
        "standings": [standing("billing"), standing("orders")],
        "keys": {"00000000.dsse.json": b"{}"},
        "looks": [
            look("orders", 1, "2026-08-10"),
            look("orders", 2, "2026-08-11", Verdict.FAIL),
            look("orders", 3, "2026-11-01"),
        ],
        "looks_since": at("2026-08-01"),
        "alerts": [
            alert("overdue", "2026-08-09"),
            alert("old", "2026-01-01", resolved_at=at("2026-02-01")),
        ],
        "proofs": [PROOF],
        "previous": Previous("v1.3.0", "a" * 64, Q3.start, 10),
    } | changes)  # fmt: skip


def contents_of(inputs: PackageInputs, folder: Path) -> Contents:
    log = copy_log(inputs.entries, inputs.head, inputs.period, inputs.previous, None)
    return put_together(inputs, log, write_telemetry(inputs, folder / "telemetry"))


def hostile(paper: Paper) -> PackageInputs:
    for due, outcome in ((JULY, "failed"), (AUGUST, "waived"), (SEPTEMBER, "passed")):
        unrun = {"outcome": "waived", "why": NASTY, "until": OCTOBER.isoformat()} if outcome == "waived" else None
        paper.run(
            "orders", due, outcome, owner=NASTY, headline=NASTY * 30, controls=[f"internal: {NASTY}"], unrun=unrun
        )
    plan = card("orders")._replace(owner=NASTY, controls=(f"internal: {NASTY}",))
    return paper.inputs(plans=[plan], standings=[standing("orders")], release=NASTY)
