"""What a rehearsal changed about two servers and has to change back: kept in the run's folder, for whoever undoes it.

Promise: a note is on disk before what it is about is done, and goes once that is undone.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from muster.drill import Workspace


class _Noted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    faults: Mapping[str, str] = {}
    """Fault to the node that suffers it, the oldest first."""
    synchronous: Mapping[str, str | None] = {}
    """Node to the `synchronous_standby_names` that was taken from it; `None` when its own files hold it."""
    handed_over: str = ""
    """Position of the old primary's log before a planned switch stopped it."""
    serving: str = ""
    """Who is to take writes, as far as was done."""


class Notes:
    """The notes of one run."""

    def __init__(self, workspace: Workspace) -> None:
        self._path: Path = workspace.root / "streaming.json"

    def faults(self) -> Mapping[str, str]:
        """What was done to whom, the oldest first."""
        return self._read().faults

    def add_fault(self, fault: str, node: str) -> None:
        """A fault is about to happen to a node."""
        self._write(faults={**self.faults(), fault: node})

    def drop_fault(self, fault: str) -> None:
        """A fault is mended."""
        self._write(faults={name: node for name, node in self.faults().items() if name != fault})

    def synchronous(self) -> Mapping[str, str | None]:
        """What is to be set again."""
        return self._read().synchronous

    def add_synchronous(self, node: str, names: str | None) -> None:
        """This node is about to be told to wait for nobody; what was noted first stays."""
        self._write(synchronous={node: names, **self.synchronous()})

    def drop_synchronous(self, node: str) -> None:
        """It is as it was."""
        self._write(synchronous={name: names for name, names in self.synchronous().items() if name != node})

    def handed_over(self) -> str:
        """Where the log of a primary was that is to be stopped; empty when none is."""
        return self._read().handed_over

    def set_handed_over(self, lsn: str) -> None:
        """Note it; empty when the switch is made."""
        self._write(handed_over=lsn)

    def serving(self) -> str:
        """Who was last known, or made, to take writes; empty when nobody was noted."""
        return self._read().serving

    def set_serving(self, node: str) -> None:
        """This node takes writes, whatever may befall it."""
        self._write(serving=node)

    def _read(self) -> _Noted:
        try:
            return _Noted.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Noted()

    def _write(self, **changes: object) -> None:
        noted = _Noted.model_validate({**self._read().model_dump(), **changes})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text(noted.model_dump_json(), encoding="utf-8")
        partial.replace(self._path)
