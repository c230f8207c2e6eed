"""Where the forms of a deck are put: files that are whole or as they were.

Promises: a file that would not change is not touched; mode and symbolic links stay; what is no plain file, such as
`/dev/stdout`, is written to; every failure names the file and the next move.
"""

import stat
from collections.abc import Callable
from pathlib import Path

from evidence import durable
from muster.errors import UsageError


def write_form(path: Path, content: str) -> bool:
    """Put text at `path`, its folder made where it is missing; says whether the file changed."""
    return renew_file(path, lambda _: content.encode())


def renew_file(path: Path, renew: Callable[[bytes], bytes]) -> bool:
    """Replace the bytes of a file by what `renew` makes of them (of none, where there is no file yet)."""
    try:
        target = path.resolve()
        if target.exists() and not target.is_dir() and not target.is_file():
            path.write_bytes(renew(b""))
            return True
        is_new = not target.exists()
        old = b"" if is_new else target.read_bytes()
        new = renew(old)
        if new == old and not is_new:
            return False
        durable.make_folders(target.parent)
        durable.write(target, new, 0o644 if is_new else stat.S_IMODE(target.stat().st_mode))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{path} cannot be written: {reason}", "look at the path, its rights, and the disk") from None
    return True


def append(path: Path, content: str) -> None:
    """Add text at the end of a file that others write too, such as a step summary."""
    try:
        with path.open("a", encoding="utf-8") as out:
            out.write(content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{path} cannot be written: {reason}", "look at the path, its rights, and the disk") from None
