"""Logical dumps: their headers read without any tool, and dumps taken together with their reference.

Promises: a damaged header is told by what it lacks, never by an exception; a dump and its reference are of one
snapshot, so that a restored dump can be held against it row by row.
Source: PostgreSQL's src/bin/pg_dump/pg_backup_archiver.c (`ReadHead`), documentation of pg_dump and
"Snapshot Synchronization Functions".
"""

import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from muster.restore.observations import Reference
from muster.restore.spec import Canary
from tasks.postgres.binaries import Binaries
from tasks.postgres.fingerprint import Connect, fingerprint_all
from tasks.postgres.reference import newest_canary
from tasks.process import Processes

REFERENCE_SUFFIX = ".reference.json"
HEAD_BYTES = 65536
"""How much of a dump `read_header` wants to see."""

_ARCHIVE, _GZIP = b"PGDMP", b"\x1f\x8b"
_FIRST_WITH_VERSIONS, _FIRST_WITH_ALGORITHM = (1, 10), (1, 15)  # of the archive format


class DumpForm(StrEnum):
    """How pg_dump wrote it."""

    CUSTOM = "custom"
    DIRECTORY = "directory"
    PLAIN = "plain"
    GZIP = "gzip"
    """A gzipped plain dump."""


ARCHIVES = (DumpForm.CUSTOM, DumpForm.DIRECTORY)
"""The forms that pg_restore reads; the others are scripts for psql."""

_FORMATS: Mapping[int, DumpForm] = {1: DumpForm.CUSTOM, 3: DumpForm.DIRECTORY}
"""The format byte. A directory's `toc.dat` claims to be of a tar file, so that its files can be put into one."""


@dataclass(frozen=True)
class Header:
    """What a dump says of itself; `None` where it says nothing."""

    form: DumpForm
    taken_at: datetime | None = None
    """When pg_dump began, and so the age of its snapshot. pg_dump notes its own local time, without the zone: it is
    taken to be the zone of this machine, as pg_restore does."""
    major: int | None = None
    """The major version it loads into: the server's it is from, or pg_dump's own where that is newer."""
    encoding: str | None = None
    """Encoding of a plain dump's text, and of the database it was taken from."""
    creates: str | None = None
    """Name of the database that a plain dump creates by itself (`pg_dump --create`)."""


def read_header(head: bytes) -> Header | None:
    """The header in the first `HEAD_BYTES` of a dump, or of the `toc.dat` of one; `None` when they are of no dump."""
    if head.startswith(_ARCHIVE):
        return _archive_header(head)
    if head.startswith(_GZIP):
        return _plain_header(_unzipped(head), DumpForm.GZIP)
    return _plain_header(head, DumpForm.PLAIN)


def _archive_header(head: bytes) -> Header:
    stream = io.BytesIO(head[len(_ARCHIVE) :])
    try:
        major, minor, _revision, int_size, _offset_size, format_ = _bytes(stream, 6)
        version, form = (major, minor), _FORMATS.get(format_, DumpForm.CUSTOM)
        _compression = _bytes(stream, 1) if version >= _FIRST_WITH_ALGORITHM else _integer(stream, int_size)
        second, minute, hour, day, month, year, _dst = (_integer(stream, int_size) for _ in range(7))
        began = datetime(year + 1900, month + 1, day, hour, minute, second).astimezone(UTC)
        _database = _text(stream, int_size)
        versions = [_text(stream, int_size) for _ in range(2)] if version >= _FIRST_WITH_VERSIONS else []
    except ValueError:
        return Header(DumpForm.CUSTOM)
    return Header(form, began, _newest_major(versions))


def _bytes(stream: io.BytesIO, count: int) -> bytes:
    found = stream.read(count)
    if len(found) < count:
        raise ValueError("the header is cut short")
    return found


def _integer(stream: io.BytesIO, size: int) -> int:
    sign, *digits = _bytes(stream, 1 + size)
    return int.from_bytes(bytes(digits), "little") * (-1 if sign else 1)


def _text(stream: io.BytesIO, size: int) -> str:
    return _bytes(stream, max(0, _integer(stream, size))).decode("utf-8", "replace")


def _unzipped(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


def _plain_header(head: bytes, form: DumpForm) -> Header | None:
    text = head.decode("utf-8", "replace")
    if "-- PostgreSQL database dump\n" not in text[:1000]:
        return None
    versions = re.findall(r"^-- Dumped (?:from database|by pg_dump) version (\S+)", text, re.MULTILINE)
    began = re.search(r"^-- Started on (\d+-\d+-\d+ \d+:\d+:\d+)", text, re.MULTILINE)
    encoding = re.search(r"^SET client_encoding = '([\w-]+)';$", text, re.MULTILINE)
    created = re.search(r'^CREATE DATABASE ("(?:[^"]|"")+"|\S+)', text, re.MULTILINE)
    return Header(
        form,
        datetime.fromisoformat(began[1]).astimezone(UTC) if began else None,
        _newest_major(versions),
        encoding[1] if encoding else None,
        re.sub(r'^"|"$', "", created[1]).replace('""', '"') if created else None,
    )


def _newest_major(versions: list[str]) -> int | None:
    majors = [int(found[0]) for text in versions if (found := re.match(r"\d+", text))]
    return max(majors, default=None)


def take_dump(
    connect: Connect,
    binaries: Binaries,
    processes: Processes,
    form: DumpForm,
    destination: Path,
    canary: Canary | None = None,
) -> Reference:
    """Dump the connected database to `destination`, and keep its reference beside it (`NAME.reference.json`).

    Nobody waits for it: both are read from one exported snapshot. The reference's point is the dump's name.
    """
    with connect() as holder, holder.transaction():
        holder.execute("set transaction isolation level repeatable read, read only")
        snapshot, lsn, database, identifier = _export(holder)
        options = (*_OPTIONS[form], f"--snapshot={snapshot}")
        _run(binaries.tool("pg_dump"), options, destination, holder.info, processes)
        rows = fingerprint_all(lambda: _connect_to_snapshot(connect, snapshot), "reference")
        before = newest_canary(holder, canary)
    reference = Reference(
        point=destination.name,
        lsn=lsn,
        taken_at=datetime.now(UTC),
        database=database,
        system_identifier=identifier,
        tables=rows.tables,
        canary_before=before,
        canary_after=_first_canary_after(connect, canary, before),
    )
    path = destination.with_name(destination.name + REFERENCE_SUFFIX)
    path.write_text(reference.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return reference


_OPTIONS: Mapping[DumpForm, tuple[str, ...]] = {
    DumpForm.CUSTOM: ("--format=custom",),
    DumpForm.DIRECTORY: ("--format=directory",),
    DumpForm.PLAIN: ("--format=plain",),
    DumpForm.GZIP: ("--format=plain", "--compress=6"),
}


# What every libpq knows; the tools' own may be older than ours.
_ADDRESS = ("host", "port", "user", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey")


def take_globals(connect: Connect, binaries: Binaries, processes: Processes, destination: Path) -> None:
    """Dump the roles, without their passwords."""
    with connect() as connection:
        options = ("--globals-only", "--no-role-passwords")
        _run(binaries.tool("pg_dumpall"), options, destination, connection.info, processes)


def _run(
    tool: Path, options: tuple[str, ...], destination: Path, info: psycopg.ConnectionInfo, processes: Processes
) -> None:
    argv: list[str | Path] = [tool, *options, f"--file={destination}", f"--dbname={_address(info)}"]
    processes.run(argv, log="pg_dump.log", timeout=3600, env={"PGPASSWORD": info.password} if info.password else {})


def _address(info: psycopg.ConnectionInfo) -> str:
    """Where a connection goes, without its secrets: an argument list is for all to read."""
    found = info.get_parameters()
    return psycopg.conninfo.make_conninfo(**{key: found[key] for key in _ADDRESS if key in found})


def _export(holder: psycopg.Connection) -> tuple[str, str, str, str]:
    with holder.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            "select pg_export_snapshot(), pg_current_wal_lsn()::text, current_database(),"
            " (select system_identifier::text from pg_control_system())"
        ).fetchone()
    if row is None:
        raise LookupError("no snapshot was exported")
    return row[0], row[1], row[2], row[3]


def _connect_to_snapshot(connect: Connect, snapshot: str) -> psycopg.Connection[Any]:
    connection = connect()
    connection.execute("begin isolation level repeatable read read only")
    connection.execute(sql.SQL("set transaction snapshot {}").format(snapshot))
    return connection


def _first_canary_after(connect: Connect, canary: Canary | None, before: int | None) -> int | None:
    """The oldest canary that the snapshot does not hold; `None` if none came while the dump was taken."""
    if canary is None or before is None:
        return None
    id_, table = sql.Identifier(canary.id_column), sql.Identifier(*canary.table.split("."))
    query = sql.SQL("select min({id}) from {table} where {id} > %s").format(id=id_, table=table)
    with connect() as connection, connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query, [before]).fetchone()
    return row[0] if row else None
