"""The pristine base of the failover catalogue: one pair of regions, made once and stopped.

Promises: it is the pair that drills rehearse on, made by its own verbs; forms start copies of it, and `digest_of` shows
at the end that nobody wrote into it.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from muster.drill import Workspace
from muster.errors import StepError
from tasks.faults.base import digest_of
from tasks.postgres.server import Server
from tasks.process import AT_ONCE, Processes
from tasks.regions import making
from tasks.regions.pair import DATABASE, REPLICATOR, Pair


@dataclass(frozen=True)
class Base:
    """What every form starts from."""

    folder: Path

    @property
    def pair(self) -> Path:
        """The home of a pair that ran, and was stopped: `a` primary, `b` its standby, nothing lacking."""
        return self.folder / "pair"

    @property
    def stranger(self) -> Path:
        """The data of another cluster with the same database, roles and passwords: nobody's standby."""
        return self.folder / "stranger"


@contextmanager
def pristine_pair(folder: Path) -> Iterator[Base]:
    """Make the base below `folder`; afterwards show that it was not changed, and leave nothing of it."""
    base = Base(folder / "base")
    base.folder.mkdir(parents=True)
    processes = Processes(folder / "processes", folder / "logs")
    sockets = Workspace("base", base.folder).sockets
    try:
        _make(base, sockets, processes)
        before = digest_of(base.folder)
        yield base
        if digest_of(base.folder) != before:
            raise StepError("the pristine pair was changed by a form", "no form can be trusted: report it as a defect")
    finally:
        processes.stop_all(signals=AT_ONCE)
        processes.close()
        shutil.rmtree(sockets, ignore_errors=True)
        shutil.rmtree(folder)


def _make(base: Base, sockets: Path, processes: Processes) -> None:
    pair = Pair(base.pair, sockets, processes)
    pair.start()
    _drop_template(pair.server("a"))
    pair.stop()
    password = (base.pair / "passfile").read_text(encoding="utf-8").strip().rpartition(":")[2]
    stranger, spare = (
        Server(pair.server("a").binaries, path, sockets / path.name, processes, path.name)
        for path in (base.stranger, base.folder / "spare")
    )
    making.make(stranger, spare, DATABASE, REPLICATOR, password)
    shutil.rmtree(spare.data)


def _drop_template(server: Server) -> None:
    """A quarter of all files are of a database that nobody uses, and copies cost what their files do.

    The other template is needed: pg_rewind starts a killed server in it.
    """
    with server.connect() as connection:
        connection.execute("alter database template0 is_template false")
        connection.execute("drop database template0")
