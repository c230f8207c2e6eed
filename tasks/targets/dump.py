"""Target `dump`: what `pg_dump` wrote, custom, directory, plain or gzipped plain, in a folder or below an S3 prefix.

Promises: a dump's form is told by its content; a damaged dump is still offered, so that the drill can judge it; no
row of it reaches a message or a log that outlives the run.
Source: PostgreSQL documentation of pg_dump, pg_restore and psql, "Backup Dumps".
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from muster.errors import SystemFailure, UsageError
from muster.identity import Identity
from muster.journal import Observation
from muster.restore.observations import Backup, Fetched, Reference, Restored, SourceMark
from muster.restore.spec import Canary
from muster.settings import Settings
from tasks.postgres.dumpaudit import verify_dump, verify_sums
from tasks.postgres.dumps import HEAD_BYTES, REFERENCE_SUFFIX, Header, read_header
from tasks.postgres.load import QUIET, Load
from tasks.postgres.references import read_references
from tasks.postgres.server import Server
from tasks.recovery import ISOLATED
from tasks.shelf import Item, Shelf, open_shelf
from tasks.targets.restorable import Work

_SUMS = "SHA256SUMS"
_NO_DUMP = (_SUMS, "*.sha256", "*.json", "references")
_DUMP_FOLDER = re.compile(r"toc\.dat|\d+\.dat(\.\w+)?")
_GLOBALS = b"-- PostgreSQL database cluster dump"


class Spec(BaseModel):
    """The target's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = "dump"
    path: str
    """A folder or `s3://bucket/prefix` in which each dump is a file or folder, or one single dump."""
    pattern: str = "*"
    """Which names in the folder are dumps, such as `shop-*.dump`."""
    globals: str | None = None
    """Name, beside the dumps, of what `pg_dumpall --globals-only` wrote: the roles the dumps need."""
    references: Path | None = None
    """Folder with references; those beside a dump as `NAME.reference.json` are found by themselves."""
    locale: str | None = None
    """Locale of the restored database, where a dump does not say or this machine lacks what it says."""
    endpoint: str = ""
    """URL of an S3 server other than AWS."""
    credentials: str = ""
    """Prefix of the environment variables with the S3 keys; default: where the AWS tools look."""


class Target:
    """Dumps on a shelf."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def identify(self) -> Identity:
        """A dump carries no system identifier: the place is all that is known."""
        return Identity(
            description=f"dumps in {self._spec.path}",
            proof="none: a dump carries no system identifier; rows and structure tell whose it is",
        )

    def backups(self) -> tuple[Backup, ...]:
        """Every dump on the shelf, by when it was begun."""
        return tuple(sorted(map(self._backup, self._dumps), key=lambda b: b.taken_at))

    def source_mark(self, canary: Canary, database: str) -> SourceMark | None:
        """The source of a dump is not known."""
        return None

    def archive_end(self) -> str | None:
        """A dump has no archive."""
        return None

    def references(self) -> tuple[Reference, ...]:
        """References beside the dumps, and those in the folder `references`."""
        shelf, _ = self._place
        beside = (item.name for item in shelf.items(f"*{REFERENCE_SUFFIX}"))
        return (*(_reference(shelf, name) for name in beside), *read_references(self._spec.references))

    def fetch(self, backup: Backup, work: Work) -> Fetched:
        """Bring the dump here, unless it is."""
        path = self._place[0].bring(self._item(backup), work.fetched)
        return Fetched(path=path, bytes=backup.bytes)

    def audit(self, backup: Backup, fetched: Fetched, work: Work) -> Iterator[Observation]:
        """Read all of the dump and see that it is whole; hold it against its list of checksums where there is one."""
        yield verify_dump(fetched.path, _header(fetched.path), len(self._item(backup).files), work)
        sums = self._sums(backup.label)
        if sums is not None:
            yield verify_sums(fetched.path, sums)

    def restore(self, backup: Backup, fetched: Fetched, work: Work) -> Restored:
        """A fresh cluster with the dump's roles and its database, loaded; it is left running."""
        header = _header(fetched.path)
        if header is None:
            raise SystemFailure(
                f"{backup.label} is no dump, or its beginning is damaged",
                "take a new dump; name those that are dumps by `pattern` in the plan's target",
            )
        server = Server(work.binaries, work.data, work.workspace.sockets, work.processes, "restored")
        server.init("--data-checksums", "--no-locale", "--encoding=UTF8", timeout=work.seconds_left)
        server.start(ISOLATED | QUIET)
        load = Load(server, work, fetched.path, header)
        if self._spec.globals:
            load.roles(self._place[0].read(self._spec.globals).decode("utf-8", "replace"))
        load.database(self._spec.locale)
        load.rows()
        size = sum(f.stat().st_size for f in work.data.rglob("*") if f.is_file())
        return Restored(data=work.data, bytes=size, running=True)

    @cached_property
    def _place(self) -> tuple[Shelf, str]:
        """The shelf, and the pattern of the names on it that are dumps."""

        def shelf(path: str) -> Shelf:
            return open_shelf(path, self._spec.endpoint, self._spec.credentials)

        parent, _, name = self._spec.path.rstrip("/").rpartition("/")
        is_bucket = parent in ("s3:/", "s3://")
        for item in () if is_bucket else shelf(parent or "/").items(name):
            if not item.is_folder or any(f.path == f"{name}/toc.dat" for f in item.files):
                return shelf(parent or "/"), name
        return shelf(self._spec.path), self._spec.pattern

    @cached_property
    def _dumps(self) -> tuple[Item, ...]:
        shelf, pattern = self._place
        found = tuple(item for item in shelf.items(pattern) if self._is_dump(item))
        if not found:
            raise UsageError(
                f"no dump fits {pattern!r} in {shelf.address('')}", "mend `path` or `pattern` in the plan's target"
            )
        return found

    def _is_dump(self, item: Item) -> bool:
        """All that is not known to be something else: a dump damaged beyond recognition must not go unseen."""
        if item.name == self._spec.globals or any(Path(item.name).match(p) for p in _NO_DUMP):
            return False
        if item.is_folder:
            return any(_DUMP_FOLDER.fullmatch(f.path.removeprefix(f"{item.name}/")) for f in item.files)
        return _GLOBALS not in self._place[0].read(item.name, 100) if item.bytes else True

    def _item(self, backup: Backup) -> Item:
        return next(item for item in self._dumps if item.name == backup.label)

    def _backup(self, item: Item) -> Backup:
        shelf, _ = self._place
        entry = f"{item.name}/toc.dat" if item.is_folder else item.name
        readable = any(f.path == entry and f.bytes for f in item.files)
        header = read_header(shelf.read(entry, HEAD_BYTES)) if readable else None
        return Backup(
            label=item.name,
            form="dump",
            # A header in another zone's time cannot be later than the file that holds it.
            taken_at=min(header.taken_at or item.modified, item.modified) if header else item.modified,
            bytes=item.bytes,
            major=header.major if header else None,
            chain=(item.name,),
            location=shelf.address(item.name),
        )

    def _sums(self, label: str) -> Mapping[str, str] | None:
        """Checksums by file name, as sha256sum(1) writes them, from `LABEL.sha256` or `SHA256SUMS`."""
        shelf, _ = self._place
        for name in (f"{label}.sha256", _SUMS):
            if shelf.items(name):
                lines = shelf.read(name).decode("utf-8", "replace").splitlines()
                return {path.lstrip(" *"): digest for digest, _, path in (line.partition(" ") for line in lines)}
        return None


def _header(path: Path) -> Header | None:
    entry = path / "toc.dat" if path.is_dir() else path
    if not entry.is_file():
        return None
    with entry.open("rb") as file:
        return read_header(file.read(HEAD_BYTES))


def _reference(shelf: Shelf, name: str) -> Reference:
    try:
        return Reference.model_validate_json(shelf.read(name))
    except ValidationError as error:
        raise UsageError(f"{shelf.address(name)} is no reference: {error}", "take the dump and it again") from None


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan."""
    return Target(Spec.model_validate(keys))
