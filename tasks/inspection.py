"""Inspection of a restored database: what the plan asks for is looked at, and only looked at.

Promise: what could not be looked at leaves no observation, so its check is inconclusive.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress

import psutil
import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from muster.drill import Context
from muster.restore.observations import CanaryState, Inspected, Reference, Rows, Rung
from muster.restore.spec import Canary, RestoreSpec
from tasks.postgres.catalog import read_catalog
from tasks.postgres.fingerprint import fingerprint_all
from tasks.postgres.rungs import (
    QUESTIONS,
    ask,
    ask_isolation,
    ask_page_checksums,
    ask_plan_sql,
    ask_present,
    ask_sequences,
    ask_version,
)
from tasks.postgres.server import Server

CHECKSUM = "md5({id}::text || '|' || (extract(epoch from {time}) * 1000000)::bigint::text)"


def inspect_at_reference(context: Context, server: Server, spec: RestoreSpec, reference: Reference | None) -> Inspected:
    """Rows and canaries while recovery stands still."""
    done = []
    if reference and spec.rows:
        context.observe(fingerprint_all(lambda: server.connect(spec.database), "reference"))
        done.append("rows")
    if spec.canary:
        after = reference.canary_after if reference else None
        with server.connect(spec.database) as connection:
            context.observe(canary_state(connection, spec.canary, "reference", after))
        done.append("canary")
    return Inspected(rungs=tuple(done))


def inspect_restored(context: Context, server: Server, spec: RestoreSpec) -> Inspected:
    """Everything else, in the promoted database; what does not depend on each other side by side."""

    def connect() -> psycopg.Connection:
        return server.connect(spec.database)

    with connect() as connection:
        context.observe(ask_version(connection))
        context.observe(ask_isolation(connection, listening_sockets(server)))
        # Before amcheck, whose extension would show in it.
        context.observe(read_catalog(connection))
    _all_at_once(_side_by_side(context, server, spec, connect), server)
    with connect() as connection:
        if spec.integrity.page_checksums:
            context.observe(ask_page_checksums(connection))
    return Inspected(rungs=asked_rungs(spec))


def _all_at_once(acts: Iterable[Callable[[], None]], server: Server) -> None:
    """Every act in a thread of its own. The first that fails, or an interrupt, ends the others with the server."""
    with ThreadPoolExecutor() as pool:
        try:
            for done in as_completed([pool.submit(act) for act in acts]):
                done.result()
        except BaseException:
            server.stop("immediate", timeout=5)  # a query that runs for hours would hold up the undo
            raise


def asked_rungs(spec: RestoreSpec) -> tuple[str, ...]:
    """The integrity rungs that the plan asks for."""
    return tuple(name for name, asked in spec.integrity if asked)


def _side_by_side(
    context: Context, server: Server, spec: RestoreSpec, connect: Callable[[], psycopg.Connection]
) -> tuple[Callable[[], None], ...]:
    def amcheck() -> None:
        if spec.integrity.amcheck:
            context.observe(run_amcheck(context, server, spec.database))

    def rows() -> None:
        if not context.history.observed(Rows):
            context.observe(fingerprint_all(connect, "target"))

    def questions() -> None:
        with connect() as connection:
            for rung in _rungs(connection, spec):
                context.observe(rung)
            for check in spec.sql:
                context.check_may_go_on()
                context.observe(ask_plan_sql(connection, check))
            if spec.canary:
                context.observe(canary_state(connection, spec.canary, "target", None))

    return amcheck, rows, questions


def _rungs(connection: psycopg.Connection, spec: RestoreSpec) -> tuple[Rung, ...]:
    asked = asked_rungs(spec)
    rungs = [ask(connection, question) for question in QUESTIONS if question.name in asked]
    if spec.integrity.sequences:
        rungs.append(ask_sequences(connection))
    if spec.extensions:
        rungs.append(ask_present(connection, "extensions", spec.extensions))
    if spec.roles:
        rungs.append(ask_present(connection, "roles", spec.roles))
    return tuple(rungs)


def run_amcheck(context: Context, server: Server, database: str) -> Rung:
    """Every heap and index against itself and each other (`pg_amcheck --heapallindexed`)."""
    completed = server.processes.run(
        [
            str(server.binaries.tool("pg_amcheck")),
            "--install-missing",
            "--heapallindexed",
            "--jobs=2",
            f"--host={server.sockets}",
            f"--port={server.port}",
            "--username=postgres",
            database,
        ],
        log="amcheck.log",
        timeout=context.seconds_left,
        check=False,
    )
    problems = tuple(line for line in completed.output.splitlines() if line.strip())
    return Rung(
        name="amcheck",
        asked="every heap and index is consistent, and every row is in its indexes",
        problems=problems[:50] if completed.returncode == 2 else (),
        looked_at=_relations(server, database),
        # pg_amcheck exits 2 when it found corruption, 1 when it could not look.
        error="; ".join(problems[-3:]) if completed.returncode not in (0, 2) else "",
    )


def _relations(server: Server, database: str) -> int:
    with server.connect(database) as connection, connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("select count(*) from pg_class where relkind in ('r', 'i', 't', 'm')").fetchone()
    return row[0] if row else 0


def canary_state(connection: psycopg.Connection, canary: Canary, stage: str, after: int | None) -> CanaryState:
    """Newest canary, whether one from after the point is there, and how many do not fit their checksum."""
    id_, time_ = sql.Identifier(canary.id_column), sql.Identifier(canary.time_column)
    garbled: sql.Composable = sql.SQL("0")
    if canary.checksum_column:
        garbled = sql.SQL("count(*) filter (where {} is distinct from " + CHECKSUM + ")").format(
            sql.Identifier(canary.checksum_column), id=id_, time=time_
        )
    query = sql.SQL("select count(*), max({id}), max({time}), bool_or({id} = %s), {garbled} from {table}").format(
        id=id_, time=time_, garbled=garbled, table=sql.Identifier(*canary.table.split("."))
    )
    try:
        with connection.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute(query, [after]).fetchone()
    except psycopg.errors.UndefinedTable:
        return CanaryState.model_validate({"stage": stage, "exists": False})
    rows, newest, at, after_present, bad = row or (0, None, None, None, 0)
    return CanaryState.model_validate(
        {
            "stage": stage,
            "exists": True,
            "rows": rows,
            "newest_id": newest,
            "newest_at": at,
            "after_present": bool(after_present) if after is not None else None,
            "garbled": bad,
        }
    )


def listening_sockets(server: Server) -> tuple[str, ...]:
    """TCP addresses on which the server's processes listen, seen from outside of it."""
    process = psutil.Process(server.pid())
    family = [process, *process.children(recursive=True)]
    found: set[str] = set()
    for member in family:
        with suppress(psutil.NoSuchProcess):  # a backend that went home meanwhile listens no more
            found |= {
                f"{connection.laddr.ip}:{connection.laddr.port}"
                for connection in member.net_connections(kind="inet")
                if connection.status == psutil.CONN_LISTEN
            }
    return tuple(sorted(found))
