"""Damage to backups and to the log: each a change to a stage, on bytes of its own."""

import gzip
import hashlib
import os
import re
import shutil
from pathlib import Path

from tasks.faults.base import DUMPS
from tasks.faults.stage import Change, Stage
from tasks.postgres.basebackup import archived_segments
from tasks.postgres.dumps import DumpForm
from tasks.postgres.lsn import segment_name, segment_number

PAGE = 8192
_IN_A_PAGE = 6000  # rows and index entries are laid from the page's end towards its middle
_IN_A_RECORD = 60  # a segment begins with a header of 40 bytes; the first record's checksum is at 20

_SYSTEM_IDENTIFIER = 24


def flip_byte(path: Path, position: int) -> None:
    """Every bit of one byte turned."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0xFF]))


def flip(relation: str) -> Change:
    """A byte turned in the relation's second page."""
    return lambda stage: flip_byte(stage.file(relation), PAGE + _IN_A_PAGE)


def zero_page(relation: str) -> Change:
    """The relation's second page all zeros, which PostgreSQL takes for a new page."""

    def change(stage: Stage) -> None:
        with stage.file(relation).open("r+b") as file:
            file.seek(PAGE)
            file.write(bytes(PAGE))

    return change


def truncate(relation: str) -> Change:
    """The relation's file without its last page."""

    def change(stage: Stage) -> None:
        path = stage.file(relation)
        os.truncate(path, path.stat().st_size - PAGE)

    return change


def delete(relation: str) -> Change:
    """The relation's file gone."""
    return lambda stage: stage.file(relation).unlink()


def lose(backup: str) -> Change:
    """A backup that others build upon gone."""
    return lambda stage: shutil.rmtree(stage.own("backups") / backup)


def _segment(stage: Stage, after: int) -> Path:
    """The archived segment so many after the one that holds the reference, in an own copy of the archive."""
    return stage.own("archive") / segment_name(1, segment_number(stage.base.reference.lsn) + after)


def flip_log(after: int) -> Change:
    """A byte turned in the first record of a segment."""
    return lambda stage: flip_byte(_segment(stage, after), _IN_A_RECORD)


def lose_log(after: int) -> Change:
    """A segment gone."""
    return lambda stage: _segment(stage, after).unlink()


def truncate_log(after: int) -> Change:
    """A segment cut in half."""
    return lambda stage: os.truncate(path := _segment(stage, after), path.stat().st_size // 2)


def foreign_log(after: int) -> Change:
    """A segment whose header names another cluster, every record in it sound."""
    return lambda stage: flip_byte(_segment(stage, after), _SYSTEM_IDENTIFIER)


def flip_last_log(stage: Stage) -> None:
    """A byte turned in the first record of the archive's last segment."""
    archive = stage.own("archive")
    flip_byte(archive / archived_segments(archive)[-1], _IN_A_RECORD)


def manifest(stage: Stage, backup: str = "full") -> Path:
    """The manifest in an own copy of a backup."""
    return stage.own("backups") / backup / "backup_manifest"


def truncate_manifest(stage: Stage) -> None:
    """The manifest's second half gone."""
    path = manifest(stage)
    os.truncate(path, path.stat().st_size // 2)


def edit_manifest(stage: Stage) -> None:
    """One file's checksum changed, the manifest's own left as it was."""
    path = manifest(stage)
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r'("Checksum": ")[0-9a-f]{8}', r"\g<1>00000000", text, count=1), encoding="utf-8")


def forge_manifest(stage: Stage) -> None:
    """A relation lost and its line taken out of the manifest, whose own checksum is made to fit."""
    relation = stage.base.files["payments"]
    (stage.own("backups") / "full" / relation).unlink()
    path = manifest(stage)
    text = path.read_text(encoding="utf-8")
    kept = "".join(line for line in text.splitlines(keepends=True) if f'"{relation}"' not in line)
    head, _, _ = kept.rpartition('"Manifest-Checksum"')
    path.write_text(f'{head}"Manifest-Checksum": "{hashlib.sha256(head.encode()).hexdigest()}"}}\n', encoding="utf-8")


def _dump(stage: Stage, form: DumpForm) -> Path:
    return stage.own("dumps") / DUMPS[form]


def _largest(path: Path) -> Path:
    return max(path.iterdir(), key=lambda file: file.stat().st_size) if path.is_dir() else path


def cut_dump(form: DumpForm) -> Change:
    """A dump that ends amid a table's rows: pg_dump's connection broke, or the copy of it did."""

    def change(stage: Stage) -> None:
        path = _largest(_dump(stage, form))
        os.truncate(path, path.stat().st_size // 2)

    return change


def end_dump(form: DumpForm, within: str, end: bytes, skip: int = 0, beyond: int = 0) -> Change:
    """A plain dump that ends `beyond` bytes after `end`, at least `skip` bytes into a table's rows."""

    def change(stage: Stage) -> None:
        path = _dump(stage, form)
        whole = gzip.decompress(path.read_bytes()) if form is DumpForm.GZIP else path.read_bytes()
        begin = whole.index(f"COPY public.{within} ".encode())
        kept = whole[: whole.index(end, begin + skip) + len(end) + beyond]
        path.write_bytes(gzip.compress(kept) if form is DumpForm.GZIP else kept)

    return change


def flip_dump(form: DumpForm) -> Change:
    """A byte turned amid a table's rows."""

    def change(stage: Stage) -> None:
        path = _largest(_dump(stage, form))
        flip_byte(path, path.stat().st_size // 2)

    return change
