"""Faults in the source itself: a cold copy of it is started, changed by SQL, backed up, and stopped.

The copy archives into an archive of its own. The base's reference is older than such a backup, so these forms do not
ask for it.
"""

import shutil
from collections.abc import Callable

from tasks.estate.shop import CANARY as WRITE_CANARY
from tasks.estate.shop import DATABASE, fill
from tasks.faults.base import POINT, archive_the_rest, take_backup, wait_for
from tasks.faults.stage import Change, Plant, Stage, base_backup, copy
from tasks.postgres.server import Server
from tasks.targets.embedded import restore_command

INVALID = "update pg_index set indisvalid = false where indexrelid = 'payments_order_id_idx'::regclass"
UNINDEXED = (
    "update pg_index set indisready = false where indexrelid = 'payments_order_id_idx'::regclass",
    "insert into payments (order_id, amount, paid_at) select id, 0, now() from orders limit 10",
    "update pg_index set indisready = true where indexrelid = 'payments_order_id_idx'::regclass",
)
"""Rows that came while their index was not looked after."""
ORPHANS = ("set session_replication_role = replica", "delete from orders where id % 20 = 0")
"""Foreign keys are not looked after in the role `replica`."""


def source(*statements: str, database: str = DATABASE) -> Plant:
    """A planter: the source after these statements, its backup `full`, and a drill of that."""

    def change(server: Server) -> None:
        with server.connect(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    return base_backup(_backed_up(change, _copied), rows=False)


def another_cluster(stage: Stage) -> None:
    """A shop of the same rows in a cluster of another identity, and its backup `full`."""

    def change(server: Server) -> None:
        with server.connect() as connection:
            connection.execute(f"create database {DATABASE}".encode())
        with server.connect(DATABASE) as connection:
            fill(connection, sum(stage.base.rows.values()) // 10)

    _backed_up(change, _founded)(stage)


def fail_over(stage: Stage) -> None:
    """A standby of the source that was promoted and archives on: the log goes on in a second timeline."""
    archive = stage.own("archive")
    server = stage.server(stage.folder / "source", "source")
    copy(stage.base.backups / "full", server.data)
    (server.data / "recovery.signal").touch()
    recovery = {"restore_command": restore_command(archive), "recovery_target_name": POINT}
    server.start(recovery | {"recovery_target_action": "promote"})
    try:
        wait_for(lambda: (archive / "00000002.history").exists(), "the history of the second timeline")
        archive_the_rest(server, archive, WRITE_CANARY)
    finally:
        server.stop()
        shutil.rmtree(server.sockets)


def _copied(stage: Stage) -> Server:
    server = stage.server(stage.folder / "source", "source")
    copy(stage.base.source, server.data)
    return server


def _founded(stage: Stage) -> Server:
    server = stage.server(stage.folder / "source", "source")
    server.init("--data-checksums", "--locale=C.UTF-8", "--encoding=UTF8")
    return server


def _backed_up(change: Callable[[Server], None], make: Callable[[Stage], Server]) -> Change:
    def planted(stage: Stage) -> None:
        backups, archive = stage.emptied("backups"), stage.emptied("archive")
        server = make(stage)
        server.start()
        try:
            change(server)
            take_backup(server, backups / "full")
            archive_the_rest(server, archive, "select pg_create_restore_point('end')")
        finally:
            server.stop()
            shutil.rmtree(server.sockets)
        shutil.rmtree(server.data)

    return planted
