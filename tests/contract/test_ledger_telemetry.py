"""What a release package asks the ledger: every proof in order, and how far back looks are kept."""

from datetime import UTC, datetime, timedelta

from muster.finding import judge
from muster.ledger import Ledger, NewLook, Proof

AT = datetime(2026, 7, 1, 4, tzinfo=UTC)


def proof(kind: str, at: datetime) -> Proof:
    return Proof(kind=kind, at=at, planted=2, caught=2, healthy=1, quiet=1, matrix=(), muster_version="1.4.0")


def test_every_proof_comes_back_the_oldest_first(ledger: Ledger) -> None:
    assert ledger.proofs() == ()
    later, earlier = proof("restore", AT + timedelta(days=30)), proof("spark", AT)
    for each in (later, earlier):
        ledger.record_proof(each)
    assert ledger.proofs() == (earlier, later)


def test_the_oldest_look_is_that_of_all_plans(ledger: Ledger) -> None:
    assert ledger.oldest_look() is None
    well = judge("lag", True, "at most 10 s", "0.1 s behind")
    taken = [
        ledger.record_look(
            NewLook(plan=plan, substance="s", by="watch", host="db1", findings=(well,), seconds=0.1, every_seconds=60)
        )
        for plan in ("orders", "billing", "orders")
    ]
    assert ledger.oldest_look() == min(look.at for look in taken)
