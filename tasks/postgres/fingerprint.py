"""Fingerprints of rows, order-independent and computed in the database.

Promises: two tables with the same rows have the same fingerprint whatever their physical order; no row leaves the
server; the text form of every value is pinned by session settings, so the digest does not depend on the client.
What it cannot see: a change that keeps the sum of the 64-bit hashes (one chance in 2^64 for an accident; it is no
defence against somebody who crafts rows).
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from muster.restore.observations import Rows, TableFingerprint

Connect = Callable[[], psycopg.Connection]

SESSION = (
    "set datestyle = 'ISO, YMD'",
    "set intervalstyle = 'iso_8601'",
    "set timezone = 'UTC'",
    "set extra_float_digits = 1",
    "set bytea_output = 'hex'",
    "set search_path = pg_catalog",
    "set lc_monetary = 'C'",
    "set parallel_setup_cost = 0",
    "set parallel_tuple_cost = 0",
    "set min_parallel_table_scan_size = '1MB'",
    "set enable_indexonlyscan = off",  # the heap is what is fingerprinted
)

# Permanent tables and leaf partitions outside the system's own schemas, the largest first.
_TABLES = """
select n.nspname, c.relname
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and c.relpersistence = 'p'
   and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
   and not exists (select 1 from pg_depend d
                    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by pg_relation_size(c.oid) desc, 1, 2
"""
_LARGE_OBJECTS = ("pg_catalog", "pg_largeobject")


def list_tables(connection: psycopg.Connection) -> tuple[tuple[str, str], ...]:
    """Schema and name of every table that holds user data, large objects among them, the largest first."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return (*((str(s), str(t)) for s, t in cursor.execute(_TABLES)), _LARGE_OBJECTS)


def fingerprint(connection: psycopg.Connection, schema: str, table: str) -> TableFingerprint:
    """One table's row count and digest (decimal text of the sum of the rows' 64-bit hashes)."""
    query = sql.SQL(
        'select count(*), coalesce(sum(hashtextextended(t::text collate "C", 0)), 0)::text from only {} t'
    ).format(sql.Identifier(schema, table))
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query).fetchone()
    if row is None:
        raise LookupError(f"{schema}.{table} gave no fingerprint")
    return TableFingerprint(table=f"{schema}.{table}", rows=row[0], digest=row[1])


def prepare(connection: psycopg.Connection) -> None:
    """Pin the session settings on which a fingerprint rests."""
    for statement in SESSION:
        connection.execute(statement)


def fingerprint_all(connect: Connect, stage: str, *, side_by_side: int = 2) -> Rows:
    """Every table's fingerprint, several tables side by side. A table that cannot be read is named, not skipped."""
    with connect() as connection:
        tables = list_tables(connection)
    queues: list[list[tuple[str, str]]] = [list(tables[i::side_by_side]) for i in range(side_by_side)]
    with ThreadPoolExecutor(side_by_side) as pool:
        parts = list(pool.map(lambda queue: list(_fingerprints(connect, queue)), queues))
    results = [item for part in parts for item in part]
    return Rows.model_validate(
        {
            "stage": stage,
            "tables": sorted((r for r in results if isinstance(r, TableFingerprint)), key=lambda r: r.table),
            "unreadable": sorted(r for r in results if isinstance(r, str)),
        }
    )


def _fingerprints(connect: Connect, tables: Iterable[tuple[str, str]]) -> Iterable[TableFingerprint | str]:
    with connect() as connection:
        prepare(connection)
        for schema, table in tables:
            try:
                yield fingerprint(connection, schema, table)
            except psycopg.errors.Error as error:
                if connection.closed:
                    raise
                yield f"{schema}.{table}: {error.diag.message_primary or type(error).__name__}"
