"""Integrity questions asked inside a restored database, as a table of queries.

Promise: each answers with the names of the objects found wanting and how many were looked at; a question that
cannot be answered says so and is never taken for a clean answer.
"""

from dataclasses import dataclass
from decimal import Decimal

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from muster.restore.observations import Isolation, Rung, SqlAnswer, Version
from muster.restore.spec import SqlCheck


@dataclass(frozen=True)
class Question:
    """`query` gives (name, is_wanting); every row is one object looked at."""

    name: str
    asked: str
    query: str


QUESTIONS = (
    Question(
        "materialized_views",
        "every materialised view is populated",
        "select format('%I.%I', schemaname, matviewname), not ispopulated from pg_matviews",
    ),
    Question(
        "invalid_indexes",
        "every index is valid, ready and live",
        "select indexrelid::regclass::text, not (indisvalid and indisready and indislive) from pg_index",
    ),
    Question(
        "collations",
        "every collation has the version it was built with",
        """select format('%I (made with %s, now %s)', collname, collversion, pg_collation_actual_version(oid)),
                  collversion is distinct from pg_collation_actual_version(oid)
             from pg_collation where collversion is not null and collprovider <> 'd'
           union all
           select format('database %I (made with %s, now %s)', datname, datcollversion,
                         pg_database_collation_actual_version(oid)),
                  datcollversion is distinct from pg_database_collation_actual_version(oid)
             from pg_database where datname = current_database() and datcollversion is not null""",
    ),
)

_OWNED_SEQUENCES = """
select format('%I.%I', sn.nspname, s.relname), sn.nspname, s.relname, tn.nspname, t.relname, a.attname,
       q.seqincrement
  from pg_depend d
  join pg_class s on s.oid = d.objid and s.relkind = 'S'
  join pg_namespace sn on sn.oid = s.relnamespace
  join pg_class t on t.oid = d.refobjid
  join pg_namespace tn on tn.oid = t.relnamespace
  join pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
  join pg_sequence q on q.seqrelid = s.oid
 where d.classid = 'pg_class'::regclass and d.deptype in ('a', 'i') and sn.nspname !~ '^pg_'
union
-- a sequence that no column owns, used by a column's default
select format('%I.%I', sn.nspname, s.relname), sn.nspname, s.relname, tn.nspname, t.relname, a.attname,
       q.seqincrement
  from pg_attrdef f
  join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
  join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
  join pg_namespace sn on sn.oid = s.relnamespace
  join pg_class t on t.oid = f.adrelid
  join pg_namespace tn on tn.oid = t.relnamespace
  join pg_attribute a on a.attrelid = t.oid and a.attnum = f.adnum
  join pg_sequence q on q.seqrelid = s.oid
 where sn.nspname !~ '^pg_'
"""


def ask(connection: psycopg.Connection, question: Question) -> Rung:
    """Ask one question."""
    try:
        with connection.cursor(row_factory=tuple_row) as cursor:
            answers = cursor.execute(sql.SQL(question.query)).fetchall()
    except psycopg.errors.Error as error:
        return _unanswered(question.name, question.asked, error)
    wanting = tuple(sorted(name for name, bad in answers if bad))
    return Rung(name=question.name, asked=question.asked, problems=wanting, looked_at=len(answers))


def ask_sequences(connection: psycopg.Connection) -> Rung:
    """No sequence is behind the column it feeds: the next value would collide."""
    name, asked = "sequences", "no sequence is behind the column it feeds"
    try:
        with connection.cursor(row_factory=tuple_row) as cursor:
            pairs = cursor.execute(_OWNED_SEQUENCES).fetchall()
            behind = [text for pair in pairs if (text := _behind(cursor, pair))]
    except psycopg.errors.Error as error:
        return _unanswered(name, asked, error)
    return Rung(name=name, asked=asked, problems=tuple(sorted(behind)), looked_at=len(pairs))


def _behind(cursor: psycopg.Cursor[tuple[object, ...]], pair: tuple[object, ...]) -> str:
    title, sequence_schema, sequence, schema, table, column, increment = map(str, pair)
    edge = "max" if int(increment) > 0 else "min"
    row = cursor.execute(
        sql.SQL("select (select last_value from {}), (select " + edge + "({})::bigint from {})").format(
            sql.Identifier(sequence_schema, sequence), sql.Identifier(column), sql.Identifier(schema, table)
        )
    ).fetchone()
    last, used = (int(str(row[0])), row[1]) if row else (0, None)
    if used is None:
        return ""
    is_behind = last < int(str(used)) if int(increment) > 0 else last > int(str(used))
    return f"{title} stands at {last}, {schema}.{table}.{column} at {used}" if is_behind else ""


def ask_present(connection: psycopg.Connection, name: str, wanted: tuple[str, ...]) -> Rung:
    """Which of the wanted extensions or roles are missing. `name` is `extensions` or `roles`."""
    query = {"extensions": "select extname from pg_extension", "roles": "select rolname from pg_roles"}[name]
    with connection.cursor(row_factory=tuple_row) as cursor:
        present = {row[0] for row in cursor.execute(query)}
    missing = tuple(sorted(set(wanted) - present))
    return Rung(name=name, asked=f"present: {', '.join(wanted)}", problems=missing, looked_at=len(wanted))


def ask_page_checksums(connection: psycopg.Connection) -> Rung:
    """Data checksums are on and no page that was read has failed one. Ask last: it counts what was read before."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        on = cursor.execute("show data_checksums").fetchone()
        failed = cursor.execute(
            "select coalesce(datname, 'shared objects'), checksum_failures from pg_stat_database"
        ).fetchall()
    problems = tuple(f"{name}: {count} pages" for name, count in failed if count)
    error = "" if on == ("on",) else "data checksums are off in this cluster: pages cannot be judged"
    return Rung(
        name="page_checksums",
        asked="no page read during the drill failed its checksum",
        problems=problems,
        looked_at=len(failed),
        error=error,
    )


def ask_plan_sql(connection: psycopg.Connection, check: SqlCheck) -> SqlAnswer:
    """The plan's own question, read-only. Its answer is one value; anything else is told as a shape."""
    try:
        with connection.transaction(force_rollback=True), connection.cursor(row_factory=tuple_row) as cursor:
            cursor.execute("set transaction read only")
            cursor.execute(check.sql.encode())
            rows = cursor.fetchmany(2)
            columns = len(cursor.description or ())
    except psycopg.errors.Error as error:
        return SqlAnswer(name=check.name, value=None, shape="error", error=_primary(error))
    shape = f"{len(rows) if len(rows) < 2 else 'several'} rows of {columns} columns"
    if len(rows) != 1 or columns != 1:
        return SqlAnswer(name=check.name, value=None, shape=shape)
    value = rows[0][0]
    if isinstance(value, Decimal):
        value = float(value)
    if not isinstance(value, bool | int | float | None) and value != check.equals:
        return SqlAnswer(name=check.name, value=None, shape=f"a {type(value).__name__} of {len(str(value))} characters")
    return SqlAnswer(name=check.name, value=value, shape=shape)


def ask_isolation(connection: psycopg.Connection, sockets_open: tuple[str, ...]) -> Isolation:
    """What the server says of its own reach, beside the sockets seen from outside."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            """select current_setting('archive_mode'), current_setting('archive_command'),
                      current_setting('listen_addresses'), (select count(*) from pg_stat_replication),
                      exists (select 1 from pg_stat_wal_receiver where pid is not null),
                      (select count(*) from pg_subscription where subenabled)"""
        ).fetchone()
    if row is None:
        raise LookupError("the server did not answer")
    return Isolation(
        archive_mode=row[0],
        archive_command=row[1],
        listen_addresses=row[2],
        sockets_open=sockets_open,
        wal_senders=row[3],
        wal_receiver=row[4],
        subscriptions=row[5],
    )


def ask_version(connection: psycopg.Connection) -> Version:
    """What server answers, and how large its databases are."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            """select current_setting('server_version_num')::int / 10000, current_setting('server_version'),
                      (select system_identifier::text from pg_control_system()),
                      (select sum(pg_database_size(oid))::bigint from pg_database)"""
        ).fetchone()
    if row is None:
        raise LookupError("the server did not answer")
    return Version(major=row[0], full=row[1], system_identifier=row[2], data_bytes=row[3])


def _unanswered(name: str, asked: str, error: psycopg.errors.Error) -> Rung:
    return Rung(name=name, asked=asked, problems=(), looked_at=0, error=_primary(error))


def _primary(error: psycopg.errors.Error) -> str:
    return error.diag.message_primary or type(error).__name__
