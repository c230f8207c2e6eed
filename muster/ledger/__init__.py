"""The ledger: the database of runs and journals, of where plans stand, of proofs; SQLite, or PostgreSQL for teams.

Promises: what a method returned is durable; every time is the database's own clock, UTC, to the microsecond;
importing this package costs neither SQLAlchemy nor Alembic, which come with the first `open_ledger`, nor pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from muster.ledger.claiming import Claimed, Tenure, TickClaim, TickRefusal
from muster.ledger.errors import LedgerError, SlotTaken

if TYPE_CHECKING:
    from muster.ledger.ledger import Ledger
    from muster.ledger.opening import open_ledger
    from muster.ledger.rows import (
        Alert,
        Decision,
        Due,
        Look,
        Measures,
        NewLook,
        NewRun,
        Owner,
        Proof,
        ProofRow,
        Run,
        Stop,
        Trigger,
    )

__all__ = [
    "Alert",
    "Claimed",
    "Decision",
    "Due",
    "Ledger",
    "LedgerError",
    "Look",
    "Measures",
    "NewLook",
    "NewRun",
    "Owner",
    "Proof",
    "ProofRow",
    "Run",
    "SlotTaken",
    "Stop",
    "Tenure",
    "TickClaim",
    "TickRefusal",
    "Trigger",
    "open_ledger",
]

_MODULES = {"Ledger": "ledger", "open_ledger": "opening"}


def __getattr__(name: str) -> Any:
    """Import what is costly when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'rows')}"), name)
