"""The ledger: the database of runs, their journals and the proofs of drills; SQLite by default, PostgreSQL for teams.

Promises: what a method returned is durable; every time is the database's own clock, UTC, to the microsecond;
importing this package costs neither SQLAlchemy nor Alembic, which come with the first `open_ledger`.
"""

from typing import TYPE_CHECKING, Any

from muster.ledger.errors import LedgerError
from muster.ledger.glance import PlanStatus, glance
from muster.ledger.rows import Measures, NewRun, Owner, Proof, ProofRow, Run, Trigger, slot_key

if TYPE_CHECKING:
    from muster.ledger.ledger import Ledger
    from muster.ledger.opening import open_ledger

__all__ = [
    "Ledger",
    "LedgerError",
    "Measures",
    "NewRun",
    "Owner",
    "PlanStatus",
    "Proof",
    "ProofRow",
    "Run",
    "Trigger",
    "glance",
    "open_ledger",
    "slot_key",
]


def __getattr__(name: str) -> Any:
    """Import what needs SQLAlchemy when it is first asked for (PEP 562)."""
    if name == "Ledger":
        from muster.ledger.ledger import Ledger

        return Ledger
    if name == "open_ledger":
        from muster.ledger.opening import open_ledger

        return open_ledger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
