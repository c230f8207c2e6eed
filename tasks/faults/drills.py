"""Faults in the restore drill's own steps."""

import shutil

from muster.drill import Context
from muster.restore.observations import Chosen, Restored
from tasks.faults.stage import Stage
from tasks.postgres.binaries import find_binaries
from tasks.postgres.server import Server
from tasks.process import Processes
from tasks.recovery import replay

_ROOM_FOR_LOGS = 4 * 2**20


def would_archive(stage: Stage) -> None:
    """A backup whose own configuration archives, as a production server's does."""
    with (stage.own("backups") / "full" / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.write("archive_mode = 'on'\narchive_library = ''\narchive_command = '/bin/true'\n")


def let_configuration_rule(context: Context) -> None:
    """Start the restored server again without the settings that close it to the world."""
    server = _restored(context)
    server.stop()
    server.start()


def overshoot(context: Context) -> None:
    """Recover again, to the end of the log, where the drill believes to stand at its target."""
    server = _restored(context)
    server.stop()
    replay(server, context.result("restore", Restored), None, None, context.seconds_left)


def fill_disk(context: Context) -> None:
    """Take nearly all the room where the drill restores; the tools can still log why they fail."""
    free = shutil.disk_usage(context.workspace.root).free
    with (context.workspace.root / "ballast").open("wb") as file:
        for _ in range((free - _ROOM_FOR_LOGS) // 2**20):
            file.write(bytes(2**20))


def _restored(context: Context) -> Server:
    chosen, workspace = context.result("choose", Chosen), context.workspace
    processes = Processes(workspace.records, workspace.logs)
    binaries = find_binaries(chosen.binaries, chosen.backup.major)
    return Server(binaries, workspace.scratch / "data", workspace.sockets, processes, "restored")
