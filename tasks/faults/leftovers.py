"""What a killed proof leaves behind: found by the record in its folder, and removed by the next.

Promise: a folder is only touched when the process that claimed it is known to be dead.
"""

import shutil
from pathlib import Path

from muster.drill import Workspace
from muster.ledger import Owner
from muster.ownership import is_dead, this_process
from tasks.process import Processes

_CLAIM = "owner.json"


def claim(folder: Path) -> None:
    """Say whose folder it is."""
    (folder / _CLAIM).write_text(this_process().model_dump_json(), encoding="utf-8")


def remove_dead(parent: Path) -> None:
    """End the processes of dead proofs, and remove their folders."""
    for path in parent.glob(f"*/{_CLAIM}"):
        if is_dead(Owner.model_validate_json(path.read_bytes())):
            _stop_below(path.parent)
            shutil.rmtree(path.parent)


def _stop_below(folder: Path) -> None:
    for records in sorted(folder.rglob("processes")):
        Processes(records, folder / "logs").stop_all()
    for root in (*folder.glob("*/*"), *folder.glob("*/*/run")):
        shutil.rmtree(Workspace("", root).sockets, ignore_errors=True)
