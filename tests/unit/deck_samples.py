"""Decks to draw: an estate with every state, hostile text, nothing at all, and ten thousand plans."""

from datetime import UTC, datetime, timedelta

from muster.cadence.states import State
from muster.cards import PlanCard
from muster.deck.model import Deck, Row, Trouble, build_deck
from muster.ledger.standing import Mark, Overview, Proven
from muster.readiness.states import Readiness, Ready

NOW = datetime(2026, 8, 3, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MONTHLY, NIGHTLY, QUARTERLY = 31 * DAY.total_seconds(), DAY.total_seconds(), 92 * DAY.total_seconds()
PROVEN = Proven("restore", datetime(2026, 7, 30, 4, 12, tzinfo=UTC), planted=24, caught=24, healthy=5, quiet=5)
CONTROLS = ("SOC 2 A1.3", "ISO 27001 A.8.13", "DORA Art. 12(2)")

NASTY = (
    "検索 a|b `c` **d** <img src=x onerror=alert(1)>\r\n::error::boo %0A @all #1 https://evil.example"
    " \u202e{0} <!-- muster:deck:end -->"
)


def marks(last: datetime, gap: timedelta, *values: tuple[str, float | None, float | None]) -> tuple[Mark, ...]:
    """Recent runs that end at `last`, one each `gap`: outcome, RTO, RPO."""
    return tuple(Mark(last - gap * (len(values) - 1 - n), *value) for n, value in enumerate(values))


def passes(*rtos: float) -> tuple[tuple[str, float, float], ...]:
    return tuple(("passed", float(rto), rto / 18) for rto in rtos)


def row(plan: str, state: State, why: str, **changes: object) -> Row:
    """A plan that passed two days ago, and what makes it another."""
    passed = NOW - 2 * DAY
    usual = Row(
        plan=plan,
        kind="restore",
        description=f"Restore {plan} from its newest backup and prove it whole.",
        environment="staging",
        owner="platform team",
        controls=CONTROLS,
        cadence="monthly, day 1 at 06:00 UTC",
        interval_seconds=MONTHLY,
        state=state,
        why=why,
        due_at=passed + 31 * DAY,
        overdue_at=passed + 38 * DAY,
        running=None,
        last_run=f"20260801-060000-{plan}-5f2c9a",
        last_at=passed,
        last_outcome="passed",
        pass_run=f"20260801-060000-{plan}-5f2c9a",
        pass_at=passed,
        rto_seconds=412.0,
        rto_objective=900.0,
        rpo_seconds=412 / 18,
        rpo_objective=60.0,
        evidence=f"restore/{plan}/20260801-060000-{plan}-5f2c9a.tar.gz",
        proven=PROVEN,
        recent=marks(passed, 31 * DAY, *passes(380, 395, 372, 410, 402, 388, 425, 398, 412)),
        path=f"deployments/{plan}.yaml",
    )
    return usual._replace(**changes)  # type: ignore[arg-type]


def never_passed(**changes: object) -> dict[str, object]:
    """What a row lacks that never passed."""
    lacking = ("last_run", "last_at", "last_outcome", "pass_run", "pass_at", "rto_seconds", "rpo_seconds", "evidence")
    return {**dict.fromkeys(lacking), "recent": (), **changes}


def uncovered(kind: str) -> Row:
    (found,) = (r for r in build_deck((), Overview(NOW, {}, {}, (), {}, None), NOW).rows if r.kind == kind)
    return found


ROWS = (
    row(
        "restore-billing", State.OVERDUE, "its slot was missed",
        environment="production", owner="Команда платежей", pass_at=NOW - 47 * DAY, due_at=NOW - 16 * DAY,
        overdue_at=NOW - 9 * DAY, last_outcome="missed", last_at=NOW - 16 * DAY,
        recent=marks(NOW - 16 * DAY, 31 * DAY, *passes(210, 228, 251, 279, 305), ("missed", None, None)),
        rto_seconds=305.0, rto_objective=1800.0, rpo_seconds=305 / 18,
    ),
    row(
        "restore-catalogue", State.CHANGED, "the target is not what it was when it last passed",
        owner="Zoë Müller, Łódź", rto_seconds=1460.0, rpo_seconds=1460 / 18, rto_objective=3600.0, rpo_objective=None,
        recent=marks(NOW - 2 * DAY, 31 * DAY, *passes(1500, 1480), ("waived", None, None), *passes(1460)),
    ),
    row(
        "restore-embedded", State.FRESH, "passed in time",
        environment="demo", cadence="daily at 03:00 UTC", interval_seconds=NIGHTLY, pass_at=NOW - 3 * DAY / 24,
        due_at=NOW + 21 * DAY / 24, overdue_at=NOW + 27 * DAY / 24, rto_seconds=8.1, rto_objective=120.0,
        rpo_seconds=8.1 / 18, rpo_objective=30.0,
        recent=marks(NOW - 3 * DAY / 24, DAY, *passes(7.9, 8.0, 8.4, 7.7, 8.1, 8.3, 7.8, 12.9, 8.2, 8.0, 7.9, 8.1)),
    ),
    row(
        "restore-ledger", State.DUE, "its slot is due",
        environment="production", pass_at=NOW - 33 * DAY, due_at=NOW - 2 * DAY, overdue_at=NOW + 5 * DAY,
        running="20260803-055800-restore-ledger-77aa01",
    ),
    row(
        "restore-orders", State.FAILING, "failed: rows match: orders has 1,204,331 rows, the source had 1,204,338",
        environment="production", owner="orders team", pass_at=NOW - 33 * DAY, last_outcome="failed",
        due_at=NOW - 2 * DAY, overdue_at=NOW + 5 * DAY, rto_seconds=731.0, rpo_seconds=731 / 18,
        recent=marks(NOW - 2 * DAY, 31 * DAY, *passes(610, 655, 689, 702, 731), ("failed", 948.0, 71.0)),
        proven=PROVEN._replace(caught=23),
    ),
    row(
        "restore-warehouse", State.NEVER, "never run, and its first slot is over",
        cadence="quarterly, day 1 at 06:00 UTC", interval_seconds=QUARTERLY, controls=(),
        due_at=NOW - 30 * DAY, overdue_at=NOW - 23 * DAY, **never_passed(),
    ),
)  # fmt: skip

SEEN = Ready(
    Readiness.READY, "", "", since=NOW - 20 * DAY, looked_at=NOW - DAY / 480, by="watch@db1", every_seconds=300.0
)
"""A target that was ready 3 minutes ago."""
UNREADY = SEEN._replace(
    state=Readiness.NOT_READY, why="lag: 31 s behind", advice="the standby does not keep up", since=NOW - DAY / 24
)
NEVER_SEEN = Ready(
    Readiness.NOT_SEEN, "never looked at", "muster ready failover-stock", None, None, "", every_seconds=300.0
)

TROUBLES = (
    Trouble("muster", "stopped", "critical", "the kill switch is on: storage migration (j.doe)", NOW - DAY / 12),
    Trouble("pager", "route refuses", "warning", "the route pager refuses: HTTP 403", NOW - DAY),
    Trouble("watch", "silent", "warning", "the watch has fallen silent", NOW - DAY / 8),
)

ESTATE = Deck(
    at=NOW,
    watched_at=NOW - DAY / 8,
    rows=(*ROWS, *map(uncovered, ("failover", "spark", "cutover", "incident"))),
    troubles=TROUBLES,
)
EMPTY = Deck(at=NOW, watched_at=NOW, rows=(), troubles=())
HEALTHY = Deck(
    at=NOW,
    watched_at=NOW,
    rows=tuple(row(f"{kind}-shop", State.FRESH, "passed in time", kind=kind) for kind in ("restore", "failover")),
    troubles=(),
)
LOOKED_AT = Deck(
    at=NOW,
    watched_at=NOW,
    rows=(
        row("failover-orders", State.OVERDUE, "no run since its slot was due", kind="failover", ready=SEEN),
        row("failover-payments", State.FRESH, "passed in time", kind="failover", ready=UNREADY),
        row("failover-stock", State.NEVER, "never run", kind="failover", ready=NEVER_SEEN, **never_passed()),
        row("restore-shop", State.FRESH, "passed in time"),
    ),
    troubles=(),
)
"""What was seen of targets is at odds with what their drills proved."""
HOSTILE = Deck(
    at=NOW,
    watched_at=None,
    rows=(
        row(
            NASTY, State.FAILING, NASTY, kind=NASTY, description=NASTY, environment=NASTY, owner=NASTY,
            controls=(NASTY,), cadence=NASTY, running=NASTY, evidence=NASTY, path=NASTY,
            ready=UNREADY._replace(why=NASTY, advice=NASTY, by=NASTY),
        ),
    ),
    troubles=(Trouble(NASTY, NASTY, NASTY, NASTY, NOW),),
)  # fmt: skip


def crowd(count: int, state: State = State.FRESH) -> Deck:
    """As many plans in one state."""
    rows = tuple(row(f"restore-{n:05}", state, "as it is") for n in range(count))
    return Deck(at=NOW, watched_at=NOW, rows=rows, troubles=())


def card(**changes: object) -> PlanCard:
    usual = PlanCard(
        name="restore-shop", kind="restore", description="Restore the shop.", environment="demo", owner="platform team",
        controls=CONTROLS, target_type="embedded", notifications=(), rto_seconds=120.0, rpo_seconds=30.0, digest="d",
        substance="s", timetable="t", cadence_json="{}", cadence_words="daily at 03:00 UTC", grace_seconds=21600,
        interval_seconds=NIGHTLY, path="deployments/restore-shop.yaml",
    )  # fmt: skip
    return usual._replace(**changes)  # type: ignore[arg-type]
