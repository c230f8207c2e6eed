"""Loading a dump into an empty server: its roles, its database, its rows.

Promises: nothing of the dump reaches beyond the server's own folders (no tablespace, no psql as root); what a load
complains of names objects, never a row's values; a dump that does not load is a `SystemFailure`, a machine that cannot
load it any other error.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psycopg
from psycopg import sql

from muster.errors import StepError, SystemFailure, UsageError
from tasks.postgres.dumps import ARCHIVES, DumpForm, Header
from tasks.postgres.server import Server
from tasks.process import Processes
from tasks.targets.restorable import Work

# The server's log outlives the run, and would hold the row that failed.
QUIET = {"log_min_messages": "fatal", "log_min_error_statement": "panic", "log_error_verbosity": "terse"}

_JOBS = 2
_COMPLAINT = re.compile(r"(?:ERROR|FATAL|error|gzip): +(.*)")
_NAMES_AN_OBJECT = re.compile(r"does not exist|already exists|is not available|control file")
_VALUE = re.compile(r"\"[^\"]*\"|'[^']*'|=\([^)]*\)")
_ADVICE = (
    (r'role "', "name the file of `pg_dumpall --globals-only` as `globals` in the plan's target"),
    (r'extension "|control file', "install the extension for the PostgreSQL that restores (restore.postgres_bin)"),
    (r'tablespace "', "dump with --no-tablespaces: a drill has none of the source's disks"),
)
_CREATE_DATABASE = re.compile(r'^CREATE DATABASE (?:"(?:[^"]|"")+"|\S+) WITH TEMPLATE = template0 (.*);$', re.MULTILINE)
_ENCODING = re.compile(r"^SET client_encoding = '([\w-]+)';$", re.MULTILINE)
# A role of the scratch cluster, and what would be made outside of it.
_NOT_ROLES = re.compile(r"(CREATE ROLE {superuser}|(CREATE|ALTER) TABLESPACE .*|GRANT .* ON TABLESPACE .*);\n?")


@dataclass(frozen=True)
class Load:
    """One dump on its way into a server that was just made."""

    server: Server
    work: Work
    path: Path
    header: Header

    def roles(self, script: str) -> None:
        """Create the roles that `pg_dumpall --globals-only` wrote down; its tablespaces are left out."""
        unwanted = re.compile(_NOT_ROLES.pattern.replace("{superuser}", self.server.user))
        kept = self._private / "globals.sql"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text("".join(s for s in script.splitlines(keepends=True) if not unwanted.fullmatch(s)), "utf-8")
        self._run(self._psql("postgres"), kept)

    def database(self, locale: str | None) -> None:
        """Create the plan's database, in the encoding and locale that the dump was taken in where it says so."""
        wanted = self.work.spec.database
        if self.header.creates not in (None, wanted):
            raise UsageError(
                f"the dump creates database {self.header.creates!r}, the plan looks at {wanted!r}",
                f"set restore.database to {self.header.creates}, or dump without --create",
            )
        name, clause = sql.Identifier(wanted), self._clause(locale)
        with self.server.connect("template1") as connection:
            connection.execute(sql.SQL("drop database if exists {}").format(name))
            if self.header.creates:
                return
            try:
                connection.execute(sql.SQL("create database {} template template0 ").format(name) + clause)
            except psycopg.Error as error:
                raise StepError(
                    f"this machine cannot make the dump's database: {error.diag.message_primary}",
                    "install its locale, or name one that is here as `locale` in the plan's target",
                ) from None

    def rows(self) -> None:
        """Load all of it; the first error ends it."""
        if self.header.form in ARCHIVES:
            self._run([*self._pg_restore("--exit-on-error", f"--jobs={_JOBS}"), f"--dbname={self._dsn()}", self.path])
            return
        psql = self._psql("template1" if self.header.creates else self.work.spec.database)
        unzip = ("bash", "-o", "pipefail", "-c", 'gzip -dc | "$@"', "bash")
        self._run([*unzip, *psql] if self.header.form is DumpForm.GZIP else psql, self.path)

    def _clause(self, locale: str | None) -> sql.Composable:
        if self.header.form in ARCHIVES:
            said = self._schema()
            created, encoded = _CREATE_DATABASE.search(said), _ENCODING.search(said)
            if created and locale is None:
                return sql.SQL(created[1])
            encoding = encoded[1] if encoded else None
        else:
            encoding = self.header.encoding
        return sql.SQL("encoding {} locale {}").format(encoding or "UTF8", locale or "C")

    def _schema(self) -> str:
        """An archive's script without the rows; it begins with how the database was created."""
        script = self._private / "schema.sql"
        script.parent.mkdir(parents=True, exist_ok=True)
        self._run([*self._pg_restore("--create", "--schema-only"), f"--file={script}", self.path])
        return script.read_text(encoding="utf-8", errors="replace")

    def _pg_restore(self, *options: str) -> list[str | Path]:
        return [self.work.binaries.tool("pg_restore"), "--no-tablespaces", *options]

    def _psql(self, database: str) -> list[str | Path]:
        tool = self.work.binaries.tool("psql")
        options = ("--no-psqlrc", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1")
        return [tool, *options, f"--dbname={self._dsn(database)}"]

    def _dsn(self, database: str | None = None) -> str:
        return self.server.dsn(database or self.work.spec.database)

    @property
    def _private(self) -> Path:
        """What a loader says can hold rows: it goes with the scratch, never into the evidence."""
        return self.work.workspace.scratch / "load"

    def _run(self, argv: Sequence[str | Path], stdin: Path | None = None) -> None:
        processes = Processes(self.work.processes.records, self._private)
        completed = processes.run(
            argv,
            log="load.log",
            timeout=self.work.seconds_left,
            stdin=stdin,
            unprivileged=stdin is not None,
            check=False,
        )
        if completed.returncode != 0:
            fail(self.path.name, completed.log.read_text(encoding="utf-8", errors="replace"))


def fail(name: str, said: str) -> NoReturn:
    """Say why a load failed in its own words, without the values in them."""
    complaints = [_without_values(c) for c in _COMPLAINT.findall(said)]
    first = complaints[0] if complaints else "the loader said nothing"
    if "No space left" in said:
        raise StepError(f"the disk is full: {name} does not fit", "point MUSTER_HOME at a larger disk")
    advice = next(
        (words for pattern, words in _ADVICE if re.search(pattern, first)), "take a new dump: this one is bad"
    )
    raise SystemFailure(f"{name} does not load: {first}", advice)


def _without_values(complaint: str) -> str:
    """Quoted text stays where it names an object that is missing or in the way; elsewhere it can be data."""
    text = complaint.removeprefix("could not execute query: ").removeprefix("ERROR:").strip()
    return text if _NAMES_AN_OBJECT.search(text) else _VALUE.sub("...", text)
