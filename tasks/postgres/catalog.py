"""The catalog fingerprint: a database's structure as text, one line an object, so that a change reads as a diff."""

from pathlib import Path

import psycopg
from psycopg.rows import tuple_row

from muster.restore.observations import Catalog

# Every query gives one column of text. `own` leaves out the system's schemas and what belongs to extensions.
_OWN = """n.nspname <> 'information_schema' and n.nspname !~ '^pg_' and not exists (
    select 1 from pg_depend d where d.classid = '{catalog}'::regclass and d.objid = {oid} and d.deptype = 'e')"""

_QUERIES = (
    "select format('schema %I', n.nspname) from pg_namespace n"
    " where n.nspname <> 'information_schema' and n.nspname !~ '^pg_'",
    "select format('extension %I %s', extname, extversion) from pg_extension",
    "select format('role %I%s%s', rolname, case when rolsuper then ' superuser' else '' end,"
    " case when rolcanlogin then ' login' else '' end) from pg_roles where rolname !~ '^pg_'",
    """select format('%s %I.%I%s%s', case c.relkind when 'r' then 'table' when 'p' then 'partitioned table'
         when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table' end,
         n.nspname, c.relname,
         coalesce(' partition ' || pg_get_expr(c.relpartbound, c.oid), ''),
         case when c.relkind in ('v', 'm') then ' as md5 ' || md5(pg_get_viewdef(c.oid)) else '' end)
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'v', 'm', 'f') and """
    + _OWN.format(catalog="pg_class", oid="c.oid"),
    """select format('column %I.%I.%I %s%s%s%s', n.nspname, c.relname, a.attname,
         format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' else '' end,
         coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), ''),
         case when a.attidentity <> '' then ' identity' else '' end)
       from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
       left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'f') and """
    + _OWN.format(catalog="pg_class", oid="c.oid"),
    # NOT NULL shows at the column; since version 18 it is a constraint with a name of its own as well.
    """select format('constraint %I.%I.%I %s%s', n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid),
         case when k.convalidated then '' else ' (not validated)' end)
       from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
      where k.contype <> 'n' and """
    + _OWN.format(catalog="pg_class", oid="c.oid"),
    """select format('index %s', pg_get_indexdef(i.indexrelid))
       from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
      where n.nspname !~ '^pg_' and """
    + _OWN.format(catalog="pg_class", oid="c.oid"),
    """select format('sequence %I.%I %s increment %s', n.nspname, c.relname, format_type(s.seqtypid, null),
         s.seqincrement)
       from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
      where """
    + _OWN.format(catalog="pg_class", oid="c.oid"),
    """select format('function %I.%I(%s) returns %s md5 %s', n.nspname, p.proname,
         pg_get_function_identity_arguments(p.oid), format_type(p.prorettype, null), md5(p.prosrc))
       from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where """
    + _OWN.format(catalog="pg_proc", oid="p.oid"),
    """select format('trigger %s', pg_get_triggerdef(t.oid)) from pg_trigger t
       join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
      where not t.tgisinternal and """
    + _OWN.format(catalog="pg_class", oid="c.oid"),
    """select format('type %I.%I enum %s', n.nspname, t.typname,
         string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder))
       from pg_type t join pg_enum e on e.enumtypid = t.oid join pg_namespace n on n.oid = t.typnamespace
      where """
    + _OWN.format(catalog="pg_type", oid="t.oid")
    + " group by n.nspname, t.typname",
    """select format('policy %I on %I.%I %s using (%s)', p.polname, n.nspname, c.relname, p.polcmd,
         pg_get_expr(p.polqual, p.polrelid))
       from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace""",
    """select format('grant %s on %I.%I', a.acl, n.nspname, c.relname)
       from pg_class c join pg_namespace n on n.oid = c.relnamespace,
            lateral (select unnest(c.relacl)::text as acl) a
      -- what an owner may do anyway is left out: its letters differ between versions
      where not starts_with(a.acl, quote_ident(pg_get_userbyid(c.relowner)) || '=')
        and n.nspname !~ '^pg_' and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and """
    + _OWN.format(catalog="pg_class", oid="c.oid"),
)


def read_catalog(connection: psycopg.Connection) -> Catalog:
    """The structure of the connected database, sorted lines. Needs PostgreSQL 12 or newer."""
    connection.execute("set search_path = pg_catalog")
    with connection.cursor(row_factory=tuple_row) as cursor:
        lines = [" ".join(str(line).split()) for query in _QUERIES for (line,) in cursor.execute(query)]
    return Catalog(lines=tuple(sorted(lines)))


def write_catalog(catalog: Catalog, database: str, path: Path) -> None:
    """Keep the structure as a file to commit; a changed object is a changed line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"# Structure of database {database}, one line an object. Written by `muster reference --catalog`.\n"
    path.write_text(head + "".join(f"{line}\n" for line in catalog.lines), encoding="utf-8")
