"""What a lost member had written beyond the fork, where its data directory is on Muster's machine.

Promise: only a dead member is looked at: Patroni rewinds one that lives at once.
"""

from collections.abc import Mapping
from pathlib import Path

from muster.failover.observations import Salvaged
from tasks.patroni import servers
from tasks.postgres.binaries import find_binaries
from tasks.postgres.server import Server
from tasks.regions.salvage import Shelf, salvage
from tasks.targets.promotable import Work

_SECONDS = 300.0


def salvage_member(old: str, new: str, data: Mapping[str, Path | None], is_running: bool, work: Work) -> Salvaged:
    """Save and count what `old` wrote; why not, when it runs or its data, or the new one's, cannot be seen."""
    if why_not := _keeps_from_it((old, new), data, is_running):
        return Salvaged(node=old, fork_lsn=None, commits=None, why_not=why_not)
    shelf = Shelf(exhibits=work.workspace.exhibits, kept=work.workspace.kept)
    timeout = min(_SECONDS, work.seconds_left())
    found = salvage(_on_disk(old, data, work), _on_disk(new, data, work), shelf, work.processes, timeout)
    return found.model_copy(update={"node": old})


def is_running(dsn: str, seconds: float) -> bool:
    """Whether the server answers."""
    return servers.is_primary(dsn, seconds) is not None


def _keeps_from_it(pair: tuple[str, str], data: Mapping[str, Path | None], is_running: bool) -> str:
    if is_running:
        return "Patroni had brought it back before it could be looked at: name a hook `fence` to keep it down"
    missing = [name for name in pair if (found := data[name]) is None or not (found / "PG_VERSION").is_file()]
    return f"the data of {' and '.join(missing)} is not on this machine, as far as the plan says" if missing else ""


def _on_disk(node: str, data: Mapping[str, Path | None], work: Work) -> Server:
    """The node's data directory as a server that is never started."""
    folder = data[node] or Path()
    binaries = find_binaries(major=int((folder / "PG_VERSION").read_text(encoding="utf-8")))
    return Server(binaries, folder, work.workspace.sockets, work.processes, node)
