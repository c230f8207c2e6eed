"""Target `pgbackrest`: a real pgBackRest repository, posix or object store, restored with pgBackRest itself.

Promises: the commands used only read the repository (`info`, `repo-ls`, `verify`, `restore`, `archive-get`); nothing is
restored outside the run's scratch, whatever the configuration maps; nothing of the configuration is copied, so its
secrets stay where they are.
Source: pgBackRest command and configuration reference. `verify` ends with exit code 0 on corruption, and says nothing
of a segment that is missing from the archive: its words are read, and the archive's gaps counted.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from muster.errors import Refusal, StepError, SystemFailure, UsageError
from muster.identity import Identity
from muster.journal import Observation
from muster.restore.observations import Backup, Fetched, Reference, Restored, SourceMark
from muster.restore.spec import Canary
from muster.settings import Settings
from tasks import unprivileged
from tasks.postgres.references import read_references
from tasks.postgres.repoaudit import archive_judged, backup_verified, listed_segments
from tasks.postgres.source import ask_identifier, ask_mark, connect_source
from tasks.process import Completed
from tasks.targets.restorable import Work

_INFO_SECONDS = 120
_REPOSITORY_OPTION = re.compile(r"repo\d+-[a-z0-9-]+")
_SECRET = re.compile(r"-(key|key-secret|pass|passphrase|token)$")

# What a configuration may say of where and what to restore; a drill restores all of it, into its scratch.
_WHOLE_AND_QUIET = (
    "--type=default",
    "--archive-mode=off",
    "--no-link-all",
    "--reset-pg1-host",
    "--reset-link-map",
    "--reset-tablespace-map",
    "--reset-recovery-option",
    "--reset-db-include",
    "--reset-db-exclude",
)


class Spec(BaseModel):
    """The target's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = "pgbackrest"
    stanza: str
    config: Path | None = None
    """The pgbackrest.conf that knows the repository and its secrets; without it, `options` say all."""
    options: Mapping[str, str | int | bool] = {}
    """Repository options that win over the configuration, such as `repo1-path`; never a secret."""
    repo: int = 1
    """Number of the repository that is drilled."""
    binary: Path | None = None
    """The program; default: `pgbackrest` on PATH."""
    references: Path | None = None
    """Folder with references taken by `muster reference`."""
    source: str | None = None
    """Name of the environment variable with the source's DSN: it proves the identity and knows the newest canary."""
    system_identifier: str | None = None
    """What the source's `pg_control_system()` says, where the source cannot be asked."""

    @field_validator("options")
    @classmethod
    def _are_of_the_repository(cls, options: Mapping[str, str | int | bool]) -> Mapping[str, str | int | bool]:
        for key in options:
            if not _REPOSITORY_OPTION.fullmatch(key):
                raise ValueError(f"{key!r} is no repository option (repo1-...): set it in the configuration file")
            if _SECRET.search(key):
                raise ValueError(f"{key!r} is a secret: set it in the configuration file, which is named by 'config'")
        return options

    @model_validator(mode="after")
    def _knows_a_repository(self) -> "Spec":
        if self.config is None and not self.options:
            raise ValueError("needs 'config', the path of a pgbackrest.conf, or 'options' that name the repository")
        return self


class Target:
    """One stanza in a repository."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def identify(self) -> Identity:
        """What the source says of itself, else what the plan says; the repository is what is to be proved."""
        description = f"stanza {self._spec.stanza}, repository {self._spec.repo}"
        if self._spec.source:
            with connect_source(self._spec.source) as connection:
                identifier, proof = ask_identifier(connection), "the source was asked"
        elif self._spec.system_identifier:
            identifier, proof = self._spec.system_identifier, "the system identifier that the plan names"
        else:
            return Identity(description=description, proof="none: the plan names no source and no identifier")
        return Identity(description=description, system_identifier=identifier, proof=proof)

    def backups(self) -> tuple[Backup, ...]:
        """Every backup that `pgbackrest info` lists. `bytes` is the size restored."""
        return tuple(sorted((self._backup(found) for found in self._info["backup"]), key=lambda b: b.taken_at))

    def source_mark(self, canary: Canary, database: str) -> SourceMark | None:
        """The newest canary in the source, where the plan says how to ask it."""
        if self._spec.source is None:
            return None
        with connect_source(self._spec.source, database) as connection:
            return ask_mark(connection, canary)

    def archive_end(self) -> str | None:
        """The newest segment of the stanza's newest database."""
        newest = self._archive_id(max(db["id"] for db in self._info["db"]))
        ends = [archive["max"] for archive in self._info["archive"] if archive["id"] == newest]
        return ends[0] if ends else None

    def references(self) -> tuple[Reference, ...]:
        """The references in the plan's folder."""
        return read_references(self._spec.references)

    def fetch(self, backup: Backup, work: Work) -> Fetched:
        """Nothing to bring: `pgbackrest restore` reads the repository itself."""
        listed = {found["label"] for found in self._info["backup"]}
        missing = [label for label in backup.chain if label not in listed]
        if missing:
            raise SystemFailure(
                f"the backup that {backup.label} builds upon is gone ({missing[0]})",
                "take a new full backup; mind the retention",
            )
        return Fetched(path=work.data, bytes=backup.bytes)

    def audit(self, backup: Backup, fetched: Fetched, work: Work) -> Iterator[Observation]:
        """`pgbackrest verify` over the repository, then the archive, segment by segment."""
        found = self._found(backup.label)
        # Listed before it is read, which takes long: what is archived meanwhile is not missing.
        archive = f"archive/{self._spec.stanza}/{self._archive_id(found['database']['id'])}"
        listing = self._run("repo-ls", ("--recurse", "--output=json", archive), work)
        said = self._run("verify", ("--output=text", "--verbose"), work, check=False)
        yield backup_verified(said, backup.label, backup.chain, had_errors=bool(found.get("error")))
        yield archive_judged(said, listed_segments(listing), found["archive"]["start"], work.archive_end)

    def restore(self, backup: Backup, fetched: Fetched, work: Work) -> Restored:
        """`pgbackrest restore` into the scratch folder; the log comes by `pgbackrest archive-get`."""
        own = work.workspace.scratch / "pgbackrest"
        places = {"--pg1-path": work.data, "--lock-path": own / "lock", "--log-path": own / "log"}
        # A restore empties the spool of its stanza: without a place of its own, it would be the source's.
        only_here = {"--spool-path": own / "spool", "--tablespace-map-all": own / "tablespaces"}
        for folder in (places | only_here).values():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        unprivileged.hand_over(own, work.data)
        placed = [f"{key}={path}" for key, path in (places | only_here).items()]
        self._run("restore", (f"--set={backup.label}", *placed, *_WHOLE_AND_QUIET), work)
        files = (f for top in (work.data, own / "tablespaces") for f in top.rglob("*") if f.is_file())
        return Restored(
            data=work.data,
            bytes=sum(f.stat().st_size for f in files),
            restore_command=self._restore_command([f"{key}={path}" for key, path in places.items()]),
        )

    def _restore_command(self, placed: list[str]) -> str:
        """One segment at a time: what fetches ahead does so in the background. `%` is doubled for PostgreSQL."""
        command = self._command("archive-get", "warn", ("--no-archive-async", "--reset-pg1-host", *placed))
        return shlex.join(command).replace("%", "%%") + ' %f "%p"'

    @cached_property
    def _binary(self) -> str:
        wanted = self._spec.binary or Path("pgbackrest")
        found = shutil.which(wanted)
        if found is None:
            raise UsageError(
                f"there is no program {wanted} on this machine",
                "install pgBackRest (Debian: apt-get install pgbackrest), or name it as `binary` in the plan's target",
            )
        return found

    def _command(self, command: str, level: str, options: Iterable[str]) -> tuple[str, ...]:
        config = f"--config={self._spec.config.expanduser().absolute()}" if self._spec.config else "--no-config"
        given = (_option(key, value) for key, value in self._spec.options.items())
        logs = ("--log-level-file=off", f"--log-level-console={level}", "--log-timestamp=n")
        where = (f"--stanza={self._spec.stanza}", f"--repo={self._spec.repo}")
        return (self._binary, command, config, *where, *given, *logs, *options)

    def _run(self, command: str, options: Iterable[str], work: Work, *, check: bool = True) -> str:
        """Run a command as who the restored server will be; what it said on standard output."""
        said = work.workspace.logs / f"pgbackrest-{command}.out"
        work.workspace.logs.mkdir(parents=True, exist_ok=True)
        completed = work.processes.run(
            self._command(command, "off" if command == "repo-ls" else "info", options),
            log=f"pgbackrest-{command}.log",
            timeout=work.seconds_left,
            unprivileged=True,
            stdout_path=said,
            check=False,
        )
        if check and completed.returncode != 0:
            raise _failure(command, completed)
        return said.read_text(encoding="utf-8", errors="replace")

    @cached_property
    def _info(self) -> Mapping[str, Any]:
        """What `pgbackrest info` says of the stanza."""
        argv = (*unprivileged.prefix(), *self._command("info", "off", ("--output=json",)))
        # The server's `archive-get` does not see these either: secrets have one place, the configuration file.
        ours = {key: value for key, value in os.environ.items() if not key.startswith("PGBACKREST_")}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_INFO_SECONDS, check=False, env=ours)
        stanzas = json.loads(done.stdout) if done.returncode == 0 else []
        found: Mapping[str, Any] = next((s for s in stanzas if s["name"] == self._spec.stanza), {})
        if not found.get("db"):
            said = " ".join((done.stderr + _troubles(found)).split()) or "there is no such stanza"
            raise Refusal(
                f"pgbackrest cannot read stanza {self._spec.stanza}: {said}",
                "see docs/restore.md, «Permissions»: who runs Muster must be able to read configuration and repository",
            )
        return found

    def _found(self, label: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(b for b in self._info["backup"] if b["label"] == label)
        return found

    def _archive_id(self, database: int) -> str:
        version = next(db["version"] for db in self._info["db"] if db["id"] == database)
        return f"{version}-{database}"

    def _backup(self, found: Mapping[str, Any]) -> Backup:
        database = next(db for db in self._info["db"] if db["id"] == found["database"]["id"])
        return Backup(
            label=found["label"],
            form="physical",
            taken_at=datetime.fromtimestamp(found["timestamp"]["stop"], UTC),
            bytes=found["info"]["size"],
            major=int(database["version"].split(".")[0]),
            system_identifier=str(database["system-id"]),
            chain=(*(found["reference"] or ()), found["label"]),
            stop_lsn=found["lsn"]["stop"],
            location=f"{self._spec.stanza}/{found['label']}",
        )


def _troubles(stanza: Mapping[str, Any]) -> str:
    """What `info` says is wrong with each repository of the stanza."""
    return "; ".join(repo["status"]["message"] for repo in stanza.get("repo", ()) if repo["status"]["code"])


def _failure(command: str, completed: Completed) -> StepError:
    """A repository that does not give its backup is the drilled system's fault; this machine's lacks are not."""
    said = " ".join(line.strip() for line in completed.output.splitlines())
    message, advice = f"pgbackrest {command} failed: {said}", f"see {completed.log}"
    ours = re.search(r"No space left|Permission denied", said)
    return StepError(message, advice) if ours else SystemFailure(message, advice)


def _option(key: str, value: str | int | bool) -> str:
    if isinstance(value, bool):
        return f"--{key}" if value else f"--no-{key}"
    return f"--{key}={value}"


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan."""
    return Target(Spec.model_validate(keys))
