"""The capability a cutover needs of its target: two schedulers, and the ledger where jobs claim their ticks."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from muster.cutover.ownership import Side
from muster.identity import Identity
from tasks.schedulers.scheduler import Scheduler


@runtime_checkable
class Schedulable(Protocol):
    """Two schedulers, of which one has the schedules."""

    def identities(self) -> Mapping[Side, Identity]:
        """Each proves which it is; `Refusal` when one does not, or when both are the same."""
        ...

    def scheduler(self, side: Side) -> Scheduler:
        """The one of a side. Nothing is connected to before it is used."""
        ...

    def holder(self, side: Side) -> str:
        """Its name, as claims know it."""
        ...

    def claims(self) -> str:
        """SQLAlchemy URL of the ledger where jobs claim their ticks."""
        ...
