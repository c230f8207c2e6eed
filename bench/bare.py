"""The bare commands: what a careful DBA types to restore a backup and to look whether it is whole, one after another.

Promises: the same backups, the same tools with the same options, and the same queries as the drill; nothing that the
drill does beyond them (it also reads every record of the archived log, compares, asks and seals).
"""

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.measure import timed
from bench.source import Source
from tasks.estate.shop import DATABASE
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.fingerprint import SESSION
from tasks.unprivileged import prefix

_PATIENCE = 1800.0

# psql runs what the first query gives: one fingerprint query a table.
_FINGERPRINTS = """
select format('select %L, count(*), sum(hashtextextended(t::text collate "C", 0)) from only %I.%I t', c.relname,
              n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and (n.nspname = 'public' or c.relname = 'pg_largeobject')
 order by pg_relation_size(c.oid) desc
\\gexec
"""


@dataclass(frozen=True)
class Bare:
    """One restore by hand, in `folder`."""

    source: Source
    folder: Path

    def run(self) -> dict[str, float]:
        """Everything, one after another; wall seconds of each phase. Nothing is left."""
        phases: tuple[tuple[str, Callable[[], object]], ...] = (
            ("restore", self.restore),
            ("verify", self.verify),
            ("replay", self.replay),
            ("amcheck", self.amcheck),
            ("fingerprints", self.fingerprints),
            ("clean up", self.clean_up),
        )
        self.folder.mkdir(mode=0o700)
        try:
            return {name: timed(act) for name, act in phases}
        finally:
            self.clean_up()

    def restore(self) -> None:
        """Full and incremental backup, combined."""
        self._tool("pg_combinebackup", "--no-manifest", "--output", self._data, *self.source.chain)

    def verify(self) -> None:
        """Every file of both backups against its manifest."""
        for backup in self.source.chain:
            self._tool("pg_verifybackup", "--no-parse-wal", "--quiet", backup)

    def replay(self) -> None:
        """The log to its end, until the server has left recovery."""
        (self._data / "recovery.signal").touch()
        settings = {
            "restore_command": f'cp "{self.source.archive}/%f" "%p"',
            "unix_socket_directories": str(self.folder),
            "listen_addresses": "",
            "archive_mode": "off",
            "autovacuum": "off",
            "jit": "off",
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._tool("pg_ctl", "start", "-D", self._data, "-l", self.folder / "log", "-o", options, unprivileged=True)
        deadline = time.monotonic() + _PATIENCE
        while self._psql("--command=select pg_is_in_recovery()").strip() != "f":
            if time.monotonic() > deadline:
                raise TimeoutError("the bare restore did not leave recovery")
            time.sleep(0.05)  # recovery tells nobody when it ends

    def amcheck(self) -> None:
        """Heaps and indexes against each other."""
        self._tool("pg_amcheck", "--install-missing", "--heapallindexed", "--jobs=2", *self._where, DATABASE)

    def fingerprints(self) -> None:
        """Every table's fingerprint, in one session."""
        self._psql("--file=-", words=";\n".join(SESSION) + ";" + _FINGERPRINTS)

    def clean_up(self) -> None:
        """Stop the server, delete the copy."""
        if (self._data / "postmaster.pid").exists():
            self._tool("pg_ctl", "stop", "-D", self._data, "-m", "immediate", unprivileged=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _where(self) -> tuple[str, ...]:
        return f"--host={self.folder}", "--username=postgres"

    def _psql(self, *arguments: str, words: str = "") -> str:
        options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
        return self._tool("psql", *self._where, *options, f"--dbname={DATABASE}", *arguments, words=words)

    def _tool(self, name: str, *arguments: str | Path, words: str = "", unprivileged: bool = False) -> str:
        argv = [*(prefix() if unprivileged else ()), wheel_binaries().tool(name), *arguments]
        with (self.folder / "said").open("a") as said:
            output = said if name == "pg_ctl" else subprocess.PIPE  # a server keeps a pipe open
            done = subprocess.run(argv, input=words, stdout=output, stderr=said, text=True, check=True,
                                  timeout=_PATIENCE)  # fmt: skip
        return done.stdout or ""
