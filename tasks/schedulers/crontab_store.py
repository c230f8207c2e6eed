"""Where a crontab is kept: a file, or what `crontab` keeps for a user.

Promises: it is replaced in one move, and only if it is still what was read; then it is read back. A file keeps mode
and owner. Writes keep away from the seconds in which cron reads its tables and starts what is due: it looks at their
times in whole seconds, and would not see the second of two writes. Source: cron(8); that it does so at second 1 of a
minute was seen.
"""

import getpass
import os
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from evidence.durable import replacing
from muster.errors import StepError, SystemFailure

_BUSY = (-0.5, 3.0)
"""From then to then, counted from the full minute, cron may be reading."""
_CALL_SECONDS = 20.0


class Table(Protocol):
    """One crontab."""

    def read(self) -> str:
        """All of it; empty when there is none."""
        ...

    def write(self, text: str) -> None:
        """This takes its place, whole."""
        ...


class FileTable:
    """A file that cron reads."""

    def __init__(self, path: Path, mode: int) -> None:
        self._path = path
        self._mode = mode

    def __str__(self) -> str:
        return str(self._path.resolve())

    def read(self) -> str:
        """As it is; bytes that are no UTF-8 come back as they were."""
        try:
            return self._path.read_bytes().decode(errors="surrogateescape")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise StepError(f"cron: {self} cannot be read: {error.strerror}", "see its rights") from None

    def write(self, text: str) -> None:
        """By a rename; a link stays a link."""
        path = self._path.resolve()
        try:
            owner = path.stat() if path.exists() else None
            with replacing(path, owner.st_mode & 0o777 if owner else self._mode) as out:
                out.write(text.encode(errors="surrogateescape"))
                if owner:
                    os.fchown(out.fileno(), owner.st_uid, owner.st_gid)
        except OSError as error:
            raise StepError(
                f"cron: {self} cannot be written: {error.strerror}", "Muster must be able to write to its folder"
            ) from None


class UserTable:
    """What `crontab -u USER` lists and takes. Only root may name another user than itself."""

    def __init__(self, user: str) -> None:
        self._user = user
        self._command = ["crontab"] if user == getpass.getuser() else ["crontab", "-u", user]

    def __str__(self) -> str:
        return f"the crontab of {self._user}"

    def read(self) -> str:
        """Without the three lines that `crontab` puts in front."""
        done = self._call("-l")
        if done.returncode and b"no crontab for" in done.stderr:
            return ""
        self._require(done)
        return done.stdout.decode(errors="surrogateescape")

    def write(self, text: str) -> None:
        """`crontab` looks at the lines first, and takes all or nothing."""
        self._require(self._call("-", given=text.encode(errors="surrogateescape")))

    def _call(self, *arguments: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(
                [*self._command, *arguments], input=given, capture_output=True, timeout=_CALL_SECONDS, check=False
            )
        except FileNotFoundError:
            raise StepError("there is no program 'crontab'", "install cron, or name a file") from None
        except subprocess.TimeoutExpired:
            raise StepError(f"crontab did not answer in {_CALL_SECONDS:g} s", "see what it waits for") from None

    def _require(self, done: "subprocess.CompletedProcess[bytes]") -> None:
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
            raise StepError(f"{' '.join(self._command)} failed: {said}", "run it by hand, as who runs Muster")


def change(table: Table, edit: Callable[[str], str], seconds_left: Callable[[], float]) -> None:
    """The table is as `edit` makes it of what it is; nothing is written where that is the same."""
    seconds_left()
    if edit(before := table.read()) == before:
        return
    _wait_for_cron(seconds_left)
    before = table.read()
    after = edit(before)
    if table.read() != before:
        raise StepError(f"somebody else changed {table} at this moment; nothing was written", "do it again")
    table.write(after)
    if (found := table.read()) != after:
        told = "is as it was before" if found == before else "is something else"
        raise SystemFailure(
            f"{table} was written without an error, and {told}", "see who else writes it, or forbids it"
        )


def _wait_for_cron(seconds_left: Callable[[], float]) -> None:
    while (nap := _busy_for(datetime.now(UTC))) > 0:
        time.sleep(min(nap, max(0.0, seconds_left())))


def _busy_for(now: datetime) -> float:
    past = (now.second + now.microsecond / 1e6 - _BUSY[0]) % 60 + _BUSY[0]
    return max(0.0, _BUSY[1] - past)
