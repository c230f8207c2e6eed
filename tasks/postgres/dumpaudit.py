"""The audit of a dump: all of it is read, and it is seen to come to its end.

Promises: a dump cut anywhere is found, in mid-row as at the end of a statement, which psql takes for a whole one; a
flipped bit is found where the form carries checksums (gzip's, or those of compressed custom and directory dumps) or
where a list of SHA-256 sums lies beside the dump.
"""

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from muster.restore.observations import BytesVerified
from tasks.postgres.dumps import DumpForm, Header
from tasks.targets.restorable import Work

_TRAILER = b"-- PostgreSQL database dump complete"
_TRAILER_WITHIN = 1024  # bytes from the end: after it come a closing \unrestrict and, when verbose, a time
_CHUNK = 2**20


def verify_dump(path: Path, header: Header | None, files: int, work: Work) -> BytesVerified:
    """Whether the dump can be read from its beginning to its end."""
    if header is None:
        return _verified("pg_dump's header", files, ("it does not begin as a dump does",))
    if header.form in _OPENERS:
        problem = _read_through(_OPENERS[header.form], path)
        return _verified(f"a full read of the {header.form} dump", files, (problem,) if problem else ())
    completed = work.processes.run(
        [work.binaries.tool("pg_restore"), "--file=/dev/null", path],
        log="pg_restore-read.log",
        timeout=work.seconds_left,
        check=False,
    )
    said = tuple(line for line in completed.output.splitlines() if line.strip())
    problems = said or (f"pg_restore ended with exit code {completed.returncode}",)
    return _verified("pg_restore, all read", files, problems if completed.returncode else ())


def verify_sums(path: Path, sums: Mapping[str, str]) -> BytesVerified:
    """Every file of the dump against its SHA-256; a file that is not listed is a problem too."""
    found = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    names = {p.relative_to(path.parent).as_posix(): p for p in found}
    problems = [f"{name}: not in the list of checksums" for name in names if name not in sums]
    problems += [f"{n}: in the list, and missing" for n in sums if n.startswith(f"{path.name}/") and n not in names]
    for name, file in names.items():
        if name in sums and _sha256(file) != sums[name]:
            problems.append(f"{name}: not the file whose checksum was listed")
    return _verified("sha256", len(names), tuple(problems))


def _verified(tool: str, files: int, problems: tuple[str, ...]) -> BytesVerified:
    return BytesVerified(tool=tool, ok=not problems, files=files, problems=problems[:50])


def _open_plain(path: Path) -> BinaryIO:
    return path.open("rb")


def _open_gzip(path: Path) -> gzip.GzipFile:
    return gzip.open(path, "rb")


_OPENERS: Mapping[DumpForm, Callable[[Path], BinaryIO | gzip.GzipFile]] = {
    DumpForm.PLAIN: _open_plain,
    DumpForm.GZIP: _open_gzip,
}


def _read_through(opener: Callable[[Path], BinaryIO | gzip.GzipFile], path: Path) -> str:
    """What is wrong with a plain dump, or nothing."""
    tail = b""
    try:
        for chunk in _chunks(opener, path):
            tail = (tail + chunk)[-_TRAILER_WITHIN:]
    except (OSError, EOFError, zlib.error) as error:
        return f"cannot be read to its end: {error}"
    return "" if _TRAILER in tail else "cut short: the line that ends a complete dump is missing"


def _chunks(opener: Callable[[Path], BinaryIO | gzip.GzipFile], path: Path) -> Iterator[bytes]:
    with opener(path) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
