"""Portals to draw: nothing, one run, four plans with every outcome, ten thousand runs, hostile text."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Any

from muster.cadence.spec import Cadence
from muster.notary.vouched import Anchor, Cosignature
from muster.portal.model import LogEntry, PortalData, PortalPlan, Slot, Waiting

NOW = datetime(2026, 8, 3, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
CONTROLS = ("SOC 2 A1.3", "ISO 27001 A.8.13", "DORA Art. 12(2)")
NASTY = " ".join(
    (
        "<script>alert(1)</script> <img src=x onerror=alert(1)>",
        "\" onfocus=alert(1) ' & </style>--> \u202eevil \u2028 {{7*7}} 検索",
    )
)
LONG = "a-very-long-name-" * 14
KEY = sha256(b"key").hexdigest()


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def measure(name: str, measured: float | None, objective: float | None) -> dict[str, Any]:
    verdict = None if objective is None else "inconclusive" if measured is None else "pass"
    verdict = "fail" if measured and objective and measured > objective else verdict
    return {"name": name, "measured": measured, "objective": objective, "verdict": verdict, "note": ""}


def finding(check: str, verdict: str | None, seen: str, advice: str = "") -> dict[str, Any]:
    return {"check": check, "verdict": verdict, "expected": "what was promised", "seen": seen, "advice": advice}


FINDINGS = {
    "passed": [finding("rows match", "pass", "1,204,338 rows in 14 tables"), finding("rto", "pass", "6 m 52 s")],
    "failed": [
        finding(
            "rows match", "fail", "orders has 1,204,331 rows, the source had 1,204,338", "see which rows are missing"
        ),
        finding("rto", "pass", "6 m 52 s"),
    ],
    "missed": [finding("slot", "fail", "no worker took it", "run it now with `muster run`")],
    "waived": [finding("slot", "inconclusive", "year-end freeze")],
    "inconclusive": [finding("rpo", "inconclusive", "not observed: no canary was recovered")],
    "aborted": [finding("steady state", "inconclusive", "not observed: the drill was stopped")],
    "refused": [finding("preflight", "inconclusive", "the kill switch was on")],
}
_VERDICTS = {"passed": "pass", "failed": "fail", "missed": "fail"}


def sealed(of: PortalPlan, due: datetime, outcome: str, rto: float | None = None, **changes: Any) -> dict[str, Any]:
    """A run's predicate as `muster.sealing` writes it."""
    run = f"{due:%Y%m%d-%H%M%S}-{of.name}-{digest(f'{of.name}{due}')[:6]}"
    opened = due + timedelta(seconds=4)
    return {
        "run": run,
        "plan": of.name,
        "planDigest": {"sha256": digest(of.name)},
        "substance": {"sha256": digest(of.name + "s")},
        "kind": of.kind,
        "target": f"embedded: PostgreSQL 18.1 of {of.name} (system identifier 7423118893)",
        "outcome": outcome,
        "verdict": _VERDICTS.get(outcome, "inconclusive"),
        "scheduledAt": due.isoformat(),
        "trigger": "watch" if outcome in ("missed", "waived") else "schedule",
        "flowRun": "",
        "requestedBy": "",
        "approval": "",
        "openedAt": opened.isoformat(),
        "endedAt": (opened + timedelta(seconds=(rto or 0) + 30)).isoformat(),
        "measures": [measure("RTO", rto, 900.0), measure("RPO", rto and rto / 18, 60.0)],
        "findings": FINDINGS.get(outcome, []),
        "lastProven": "2026-07-30: 24 of 24 planted faults caught, 5 of 5 healthy forms passed",
        "controls": list(of.controls),
        "muster": "0.1.0",
    } | changes


def portal_of(
    predicates: Iterable[dict[str, Any]], plans: Iterable[PortalPlan] = (), packages: int = 0, **changes: Any
) -> PortalData:
    """A portal of these runs, each logged ten seconds after it ended, with a package after them."""
    entries: list[LogEntry] = []
    seals, receipts = {}, {}
    for seal in predicates:
        key = f"{seal['plan']}/{seal['run']}.tar.gz"
        logged = stamp(datetime.fromisoformat(seal["endedAt"]) + timedelta(seconds=10))
        bundle = {"key": key, "sha256": digest(key), "size": 48_211 + len(entries)}
        entry = {
            "bundle": bundle,
            "envelope": digest("e" + key),
            "kind": "run",
            "loggedAt": logged,
            "outcome": seal["outcome"],
            "plan": seal["plan"],
            "previous": digest(str(len(entries))),
            "receipt": digest("r" + key),
            "run": seal["run"],
            "scheduledAt": str(seal["scheduledAt"]).replace("+00:00", "Z"),
            "slot": digest("s" + key),
        }
        entries.append(LogEntry(len(entries), entry))
        seals[key] = seal
        receipts[key] = {
            "askedAt": logged,
            "deleteMarkers": 0,
            "key": key,
            "lockMode": "COMPLIANCE",
            "lockedUntil": "2033-08-03T00:00:00Z",
            "sha256": bundle["sha256"],
            "size": bundle["size"],
            "store": "s3://evidence",
            "version": "v1",
            "versions": 1,
        }
    for number in range(packages):
        key = f"packages/v1.{number}.0.tar.gz"
        entry = {
            "bundle": {"key": key, "sha256": digest(key), "size": 8_000_000},
            "envelope": digest("e" + key),
            "kind": "package",
            "loggedAt": stamp(NOW),
            "name": f"v1.{number}.0",
            "previous": digest("p"),
            "receipt": digest("r" + key),
        }
        entries.append(LogEntry(len(entries), entry))
        seals[key] = {"period": {"from": "2026-04-01T00:00:00Z", "name": "2026-Q2", "until": "2026-07-01T00:00:00Z"}}
    data = PortalData(
        at=NOW,
        origin="evidence.example/muster",
        size=len(entries),
        root="Vv9lq8Zr0dXq3jYq1m0Yt7s0oTn0dU2r5n3J8pQm1xk=" if entries else "",
        entries=entries,
        predicates=seals,
        receipts=receipts,
        plans=tuple(plans),
        keys=(
            {
                "action": "admit",
                "at": "2026-01-01T00:00:00Z",
                "fromIndex": 0,
                "keyId": KEY,
                "number": 0,
                "reason": "first key",
                "roles": ["log", "seal"],
            },
        )
        if entries
        else (),
    )
    return replace(data, **changes)


def plan(name: str, kind: str, gap: timedelta, since: datetime, controls: tuple[str, ...] = CONTROLS) -> PortalPlan:
    """A plan due every `gap` from `since` on, that may be claimed until a quarter of it is over."""
    dues = [since + gap * n for n in range(int((NOW - since) / gap) + 4)]
    words = {1: "daily at 03:00 UTC", 7: "weekly, Monday at 03:00 UTC"}.get(gap.days, f"every {gap.days} d")
    slots = tuple(Slot(due, is_open=due + gap / 4 + DAY > NOW) for due in dues)
    cadence = Cadence.model_validate({"interval": gap, "anchor": since, "grace": gap / 4})
    return PortalPlan(name, kind, words, controls, cadence, since - timedelta(seconds=1), slots=slots)


def past(plan: PortalPlan) -> Iterator[datetime]:
    return (slot.due for slot in plan.slots if slot.due <= NOW)


SINCE = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
ORDERS = plan("restore-orders", "restore", timedelta(days=14), SINCE)
BILLING = plan("restore-billing", "restore", timedelta(days=21), SINCE, ("SOC 2 A1.3", "NIST CP-10", "internal: BCM-7"))
SPARK = plan("stress-nightly-job", "spark", timedelta(days=28), SINCE, ("DORA Art. 25(1)",))
REGION = plan("failover-eu", "failover", timedelta(days=28), SINCE, ("SOC 2 CC7.5", "SOC 2 A1.2"))
LEDGER = plan("restore-old-ledger", "restore", WEEK * 2, SINCE)
RETIRED_AT = datetime(2026, 5, 6, 12, 0, tzinfo=UTC)
PROBE = {
    "at": stamp(NOW - DAY),
    "attempts": [
        {"answer": "refused", "harm": "", "said": "AccessDenied", "trial": trial}
        for trial in ("overwrite", "shorten", "downgrade", "delete")
    ]
    + [{"answer": "accepted", "harm": "", "said": "204", "trial": "hide"}],
    "isWorm": True,
    "notes": ["a marker hides a key: an audit sees it"],
    "reasons": [],
    "store": "s3://evidence",
}


def _every_outcome() -> Iterator[dict[str, Any]]:
    """Forty runs of four plans; two slots of `restore-billing` have no record, `failover-eu` is overdue."""
    odd = {3: "failed", 7: "missed", 9: "inconclusive", 12: "aborted"}
    for n, due in enumerate(past(ORDERS)):
        outcome = odd.get(n, "passed")
        measured = None if outcome in ("missed", "inconclusive", "aborted") else 380.0 + 33 * n
        yield sealed(ORDERS, due, outcome, measured)
    for n, due in enumerate(past(BILLING)):
        if n not in (4, 8):
            yield sealed(BILLING, due, "waived" if n == 6 else "passed", None if n == 6 else 120.0 + 11 * n)
    for n, due in enumerate(past(SPARK)):
        outcome = {2: "refused", 6: "failed"}.get(n, "passed")
        measured = None if n == 2 else 9.1 + n
        yield sealed(SPARK, due, outcome, measured, measures=[measure("RTO", measured, 15.0)])
    for n, due in enumerate(past(REGION)):
        yield sealed(REGION, due, "failed" if n > 4 else "passed", 41.0 - n, measures=[measure("RTO", 41.0 - n, 240.0)])
    for n in range(2):
        at = datetime(2026, 7, 20 + n, 14, 30, tzinfo=UTC)
        yield sealed(ORDERS, at, "passed", 655.0, trigger="demand", requestedBy="j.doe")


def _by_end(predicates: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(predicates, key=lambda seal: str(seal["endedAt"]))


EMPTY = portal_of(())
ONE = portal_of([sealed(ORDERS, SINCE, "passed", 412.0)])
FORTY = portal_of(
    _by_end(_every_outcome()),
    (ORDERS, BILLING, SPARK, REGION),
    packages=2,
    probe=PROBE,
    anchors=(
        Anchor(12, "freetsa", datetime(2026, 3, 12, tzinfo=UTC)),
        Anchor(30, "freetsa", datetime(2026, 6, 30, tzinfo=UTC)),
        Anchor(30, "digicert", datetime(2026, 6, 30, 0, 1, tzinfo=UTC)),
    ),
    cosignatures=(Cosignature(30, "witness.example/w1"),),
    waiting=(
        Waiting("stress-nightly-job", "20260802-220000-stress-nightly-job-77aa01", NOW - DAY / 3, "the store is away"),
    ),
)


def with_retired() -> PortalData:
    """The forty runs, and a plan that was retired in May: a slot before that has no record."""
    slots = tuple(slot for slot in LEDGER.slots if slot.due < RETIRED_AT)
    gone = replace(LEDGER, current=None, is_gone=True, retired_at=RETIRED_AT, slots=slots)
    runs = [sealed(gone, slot.due, "passed", 61.0 + n) for n, slot in enumerate(slots) if n != 5]
    more = portal_of(_by_end([*_every_outcome(), *runs]), (*FORTY.plans, gone), packages=2)
    return replace(more, probe=PROBE, anchors=FORTY.anchors, cosignatures=FORTY.cosignatures, waiting=FORTY.waiting)


def hostile() -> PortalData:
    """Every text is an attack, every other value of the wrong kind."""
    bad = PortalPlan(NASTY, NASTY, NASTY, (NASTY, LONG), slots=(Slot(NOW - 3 * DAY, is_open=False),))
    seals = [
        sealed(
            ORDERS,
            SINCE,
            "passed",
            5.0,
            run=NASTY,
            plan=NASTY,
            kind=NASTY,
            target=NASTY,
            controls=[NASTY, 7, LONG],
            findings=[finding(NASTY, "fail", NASTY, NASTY), finding(LONG, "superb", LONG), "text", None],
            measures=[
                measure("RTO", float("nan"), 1e400),
                {"name": NASTY, "measured": "8", "objective": [], "note": NASTY},
            ],
            planDigest=NASTY,
            lastProven=NASTY,
            approval=NASTY,
            requestedBy=NASTY,
        ),
        sealed(
            ORDERS,
            SINCE + DAY,
            "failed",
            1e9,
            run=LONG,
            plan=LONG,
            controls="none",
            findings={},
            measures=None,
            scheduledAt="9999-12-31T23:59:59-23:59",
        ),
    ]
    data = portal_of(seals, (bad, ORDERS))
    odd = {"kind": "run", "outcome": ["passed"], "bundle": NASTY, "run": None, "plan": 5, "scheduledAt": "soon"}
    huge = {
        "kind": "run",
        "outcome": NASTY,
        "bundle": {"key": "../../etc/passwd", "sha256": "$(reboot)", "size": -1},
        "run": "x'; alert(1); '",
        "plan": "__proto__",
        "loggedAt": 2**70,
    }
    package = {"kind": "package", "name": NASTY, "bundle": {"key": "packages/ok.tar.gz", "sha256": NASTY}}
    more = [LogEntry(2, odd), LogEntry(3, huge), LogEntry(4, package), LogEntry(5, {"kind": NASTY})]
    return replace(
        data,
        entries=[*data.entries, *more],
        size=6,
        origin=NASTY,
        root=NASTY,
        probe={
            "at": NASTY,
            "isWorm": NASTY,
            "reasons": [NASTY, 4],
            "notes": NASTY,
            "attempts": [NASTY, {"trial": NASTY, "answer": NASTY, "said": NASTY, "harm": NASTY}],
        },
        anchors=(Anchor(3, NASTY, NOW), Anchor(4, NASTY, None)),
        cosignatures=(Cosignature(3, NASTY),),
        waiting=(Waiting(NASTY, NASTY, None, NASTY),),
        keys=({"keyId": NASTY, "action": NASTY, "roles": [NASTY, 3], "reason": NASTY, "number": "0"},),
    )


def crowd(count: int = 10_000, plans: int = 40) -> PortalData:
    """So many runs of so many plans, about one in twelve not passed."""
    random, kinds = Random(7), ("restore", "restore", "failover", "spark", "cutover")
    each = count // plans
    gaps = [DAY * (1 + n % 3) for n in range(plans)]
    made = [
        plan(f"{kinds[n % 5]}-{n:03d}", kinds[n % 5], gap, NOW - gap * (each - 1) - DAY / 8)
        for n, gap in enumerate(gaps)
    ]
    words = ("passed",) * 46 + ("failed", "inconclusive", "missed", "waived")
    predicates = []
    for one in made:
        base = random.uniform(20, 600)
        for due in past(one):
            outcome = random.choice(words)
            predicates.append(
                sealed(one, due, outcome, base * random.uniform(0.8, 1.3) if outcome == "passed" else None)
            )
    anchors = tuple(Anchor(size, "freetsa", NOW - DAY) for size in range(500, count - 300, 500))
    return portal_of(_by_end(predicates), made, packages=3, anchors=anchors, probe=PROBE)
