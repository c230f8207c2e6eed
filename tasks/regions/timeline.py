"""Where a server's log is, read from its data directory: its timeline, its end, where another one forked off.

Sources: PostgreSQL documentation, "pg_controldata", "Timelines"; `src/backend/access/transam/timeline.c` for the
format of a history file.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from muster.errors import StepError
from tasks.postgres.server import Server

_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_SWITCH = re.compile(r"^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)", re.MULTILINE)


@dataclass(frozen=True)
class Control:
    """The part of `pg_controldata` that says how a server stopped."""

    state: str
    checkpoint_lsn: str
    timeline: int
    """Of the latest checkpoint: it lags a promotion."""

    @property
    def is_clean(self) -> bool:
        """Whether a primary was shut down in good order, with a checkpoint as the last of its log."""
        return self.state == "shut down"


def read_control(server: Server) -> Control:
    """What the data directory's control file says; a `StepError` when it cannot be read."""
    try:
        lines = server.control_data().splitlines()
    except subprocess.CalledProcessError as error:
        raise StepError(f"{server.data} has no control file that can be read: {error.stderr.strip()}") from None
    said = dict(line.split(":", 1) for line in lines if ":" in line)
    return Control(
        state=said["Database cluster state"].strip(),
        checkpoint_lsn=said["Latest checkpoint location"].strip(),
        timeline=int(said["Latest checkpoint's TimeLineID"]),
    )


def timeline_on_disk(server: Server) -> int:
    """The newest timeline that the data directory knows; right after a promotion, and after a kill."""
    forks = (_HISTORY.fullmatch(path.name) for path in (server.data / "pg_wal").glob("*.history"))
    return max([read_control(server).timeline, *(int(found[1], 16) for found in forks if found)])


def fork_lsn(server: Server, timeline: int, parent: int) -> str | None:
    """Where `timeline`, whose history the server holds, left `parent`; `None` when it never was on it."""
    return fork_in(server.data / "pg_wal" / f"{timeline:08X}.history", parent)


def fork_in(history: Path, parent: int) -> str | None:
    """The same, of a history file: one line a switch, the parent's number first."""
    if not history.exists():
        return None
    found = dict(_SWITCH.findall(history.read_text(encoding="utf-8")))
    return found.get(str(parent))


def is_standby_on_disk(server: Server) -> bool:
    """What role it takes when it is started."""
    return (server.data / "standby.signal").exists()
