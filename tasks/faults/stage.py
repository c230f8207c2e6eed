"""The stage of one form: a folder with the target it drills, made of links to the pristine base and of own copies.

Promise: what a change asks for by `own` is a copy; everything else is the base itself, and only read.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from muster.clock import SystemClock
from muster.drill import Drill, Workspace
from muster.plan import Plan
from muster.prove import Scene
from tasks.estate.shop import DATABASE
from tasks.faults.base import DUMPS, GLOBALS, Base
from tasks.faults.disk import small_disk
from tasks.postgres.dumps import DumpForm
from tasks.postgres.server import Server
from tasks.process import Processes

QUESTION = "payments without an order"
"""The plan's own question."""
ORPHANED = "select count(*) from payments where not exists (select from orders where orders.id = order_id)"
_PARTS = ("backups", "archive", "references", "dumps")


@dataclass(frozen=True)
class Stage:
    """One form's folder: `target/` is what its plan names, `run/` the drill's workspace."""

    base: Base
    folder: Path
    processes: Processes

    @property
    def target(self) -> Path:
        """What the plan's target names."""
        return self.folder / "target"

    def lay_out(self) -> None:
        """Links to everything in the base."""
        self.target.mkdir(parents=True)
        for part in _PARTS:
            (self.target / part).symlink_to(self.base.folder / part)

    def own(self, part: str) -> Path:
        """A part of the target as a copy of its own, from now on."""
        path = self.target / part
        if path.is_symlink():
            path.unlink()
            copy(self.base.folder / part, path)
        return path

    def emptied(self, part: str) -> Path:
        """A part of the target with nothing in it."""
        path = self.target / part
        path.unlink()
        path.mkdir()
        return path

    def file(self, relation: str, backup: str = "full") -> Path:
        """The main fork of a relation in an own copy of a backup."""
        return self.own("backups") / backup / self.base.files[relation]

    @contextmanager
    def workspace(self, disk: float | None) -> Iterator[Path]:
        """Where the drill works: in the stage's folder, or on a small disk."""
        if disk is None:
            yield self.folder / "run"
        else:
            size = int(disk * size_of(self.base.backups / "full"))
            with small_disk(self.folder / "disk", size, self.processes) as path:
                yield path / "run"

    def server(self, data: Path, name: str) -> Server:
        """A server of the stage's own; it archives into the stage's target."""
        server = Server(self.base.binaries, data, Workspace(name, self.folder).sockets, self.processes, name)
        server.configure(
            {
                "wal_level": "replica",
                "archive_mode": "on",
                "archive_library": "basic_archive",
                "basic_archive.archive_directory": str(self.target / "archive"),
                "summarize_wal": "off",
            }
        )
        return server


Change = Callable[[Stage], None]
"""One thing done to a stage before the drill."""
Plant = Callable[[Base, Path], AbstractContextManager[Scene]]


@dataclass(frozen=True)
class Later:
    """A clock that is ahead: the drill runs when `by` has passed."""

    by: timedelta = timedelta(0)

    def now(self) -> Any:
        """Wall time, ahead."""
        return SystemClock().now() + self.by

    def monotonic_ns(self) -> int:
        """This machine's own."""
        return SystemClock().monotonic_ns()


def copy(source: Path, destination: Path) -> None:
    """A copy with everything kept, made by reference where the file system can."""
    subprocess.run(["cp", "--archive", "--reflink=auto", source, destination], check=True, timeout=120)


def plan_of(base: Base, name: str, target: Mapping[str, Any], restore: Mapping[str, Any], rto: str = "10m") -> Plan:
    """The plan that every form runs: it asks for every rung; `restore` is what the form has otherwise."""
    return Plan.model_validate(
        {
            "name": name,
            "kind": "restore",
            "environment": "test",
            "owner": "muster prove",
            "target": target,
            "objectives": {"rto": rto, "rpo": "1d"},
            "time_limit": "5m",
            "restore": {
                "database": DATABASE,
                "backup": {"choose": "named", "name": "full"},
                "max_backup_age": "1d",
                "catalog": base.catalog,
                "canary": {"checksum_column": "checksum"},
                "extensions": base.extensions,
                "roles": base.roles,
                "server_major": base.binaries.major,
                "sql": [{"name": QUESTION, "sql": ORPHANED, "equals": 0}],
                **restore,
            },
        }
    )


def size_of(folder: Path) -> int:
    """Bytes in all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def staged(base: Base, folder: Path) -> Iterator[Stage]:
    """A stage in `folder`; of it and its processes nothing is left."""
    stage = Stage(base, folder, Processes(folder / "processes", folder / "logs"))
    stage.lay_out()
    try:
        yield stage
    finally:
        for records in (folder / "processes", folder / "run" / "processes"):
            Processes(records, folder / "logs").stop_all()
        shutil.rmtree(folder)


Target = Callable[[Stage], Mapping[str, Any]]


def base_backup_target(stage: Stage) -> Mapping[str, Any]:
    """Base backups and the archive, of the cluster that the base is."""
    return {"type": "embedded", "folder": stage.target, "system_identifier": stage.base.system_identifier}


def base_backup(
    *changes: Change,
    target: Target = base_backup_target,
    rto: str = "10m",
    later: timedelta = timedelta(0),
    drill: Callable[[Drill], Drill] = lambda drill: drill,
    disk: float | None = None,
    **restore: Any,
) -> Plant:
    """A planter: the changes, then a drill of the target. `restore` replaces keys of the plan's section.

    `disk` restores on a small disk, so many times the size of the full backup.
    """

    @contextmanager
    def plant(base: Base, folder: Path) -> Iterator[Scene]:
        with staged(base, folder) as stage:
            for change in changes:
                change(stage)
            with stage.workspace(disk) as workspace:
                yield Scene(
                    plan=plan_of(base, folder.name, target(stage), resolved(restore, base), rto),
                    workspace=workspace,
                    earlier={"rows": dict(base.rows)},
                    clock=Later(later),
                    drill=drill,
                )

    return plant


def dump(form: DumpForm, *changes: Change, roles: bool = True, **restore: Any) -> Plant:
    """A planter: the changes, then a drill of one dump, with the cluster's roles beside it."""

    def target(stage: Stage) -> Mapping[str, Any]:
        return {"type": "dump", "path": str(stage.target / "dumps"), "globals": GLOBALS if roles else None}

    named = {"choose": "named", "name": DUMPS[form]}
    return base_backup(*changes, target=target, **{"backup": named, **restore})


def resolved(restore: Mapping[str, Any], base: Base) -> dict[str, Any]:
    """The plan's keys, those that depend on the base worked out."""
    return {key: value(base) if callable(value) else value for key, value in restore.items()}
