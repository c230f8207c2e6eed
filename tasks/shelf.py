"""A shelf of backups: a folder, or a prefix in an S3 bucket, with files and folders of files on it.

Promises: nothing is ever written to it; a secret is named in the plan, never held by it; a folder and a prefix with
the same names on them read alike.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict

from muster.errors import Refusal, UsageError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_S3 = "s3://"


@dataclass(frozen=True)
class File:
    """One file: its path on the shelf, size and time of last change."""

    path: str
    bytes: int
    modified: datetime


@dataclass(frozen=True)
class Item:
    """What lies on the shelf under one name: a file, or a folder with all its files."""

    name: str
    files: tuple[File, ...]

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.files[0].path != self.name

    @property
    def bytes(self) -> int:
        """Its size."""
        return sum(f.bytes for f in self.files)

    @property
    def modified(self) -> datetime:
        """When the last of its files changed."""
        return max(f.modified for f in self.files)


class Shelf(Protocol):
    """A place with named items, to read only."""

    def items(self, pattern: str = "*") -> tuple[Item, ...]:
        """Everything on it whose name fits the pattern (fnmatch), by name; hidden files are not there."""
        ...

    def read(self, path: str, limit: int | None = None) -> bytes:
        """The first `limit` bytes of a file, or all of it."""
        ...

    def bring(self, item: Item, into: Path) -> Path:
        """Where the item can be read: in place when it is local, else copied below `into`."""
        ...

    def address(self, name: str) -> str:
        """Path or URL of an item."""
        ...


def open_shelf(place: str, endpoint: str = "", credentials: str = "") -> Shelf:
    """The shelf at a path or `s3://bucket/prefix`.

    `endpoint` is the URL of an S3 server other than AWS. `credentials` is a prefix of environment variables:
    `PREFIX_ACCESS_KEY_ID`, `PREFIX_SECRET_ACCESS_KEY` and, where needed, `PREFIX_SESSION_TOKEN`, `PREFIX_REGION`.
    """
    if not place.startswith(_S3):
        return FolderShelf(Path(place).expanduser().absolute())
    bucket, _, prefix = place.removeprefix(_S3).partition("/")
    return S3Shelf(_client(endpoint, credentials), bucket, prefix.strip("/"))


@dataclass(frozen=True)
class FolderShelf:
    """A folder."""

    root: Path

    def items(self, pattern: str = "*") -> tuple[Item, ...]:
        """What lies in the folder."""
        if not self.root.is_dir():
            raise UsageError(f"there is no folder {self.root}", "mend the path in the plan's target")
        return _items(self._files(pattern), pattern)

    def read(self, path: str, limit: int | None = None) -> bytes:
        """The beginning of a file, or all of it."""
        with (self.root / path).open("rb") as file:
            return file.read(limit)

    def bring(self, item: Item, into: Path) -> Path:  # noqa: ARG002 - the capability's signature
        """It is there already."""
        return self.root / item.name

    def address(self, name: str) -> str:
        """Its path."""
        return str(self.root / name)

    def _files(self, pattern: str) -> Iterator[File]:
        for top in self.root.glob(pattern):
            for path in (top, *top.rglob("*")):
                if path.is_file():
                    found, name = path.stat(), path.relative_to(self.root).as_posix()
                    yield File(name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


@dataclass(frozen=True)
class S3Shelf:
    """A prefix in a bucket. Asks for `s3:ListBucket` and `s3:GetObject`, and for nothing that writes."""

    client: "S3Client"
    bucket: str
    prefix: str

    def items(self, pattern: str = "*") -> tuple[Item, ...]:
        """What lies below the prefix."""
        with _said(self.address("")):
            return _items(self._files(pattern), pattern)

    def read(self, path: str, limit: int | None = None) -> bytes:
        """The beginning of an object, or all of it."""
        with _said(self.address(path)):
            if limit is None:
                answer = self.client.get_object(Bucket=self.bucket, Key=self._key(path))
            else:
                answer = self.client.get_object(Bucket=self.bucket, Key=self._key(path), Range=f"bytes=0-{limit - 1}")
            return answer["Body"].read()

    def bring(self, item: Item, into: Path) -> Path:
        """Download it."""
        with _said(self.address(item.name)):
            for file in item.files:
                path = into / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                self.client.download_file(self.bucket, self._key(file.path), str(path))
        return into / item.name

    def address(self, name: str) -> str:
        """Its URL."""
        return f"{_S3}{self.bucket}/{self._key(name)}"

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    def _files(self, pattern: str) -> Iterator[File]:
        start = self._key(re.split(r"[*?[]", pattern, maxsplit=1)[0])
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start):
            for found in page.get("Contents", ()):
                if not found["Key"].endswith("/"):
                    yield File(found["Key"].removeprefix(self._key("")), found["Size"], found["LastModified"])


def _items(files: Iterable[File], pattern: str) -> tuple[Item, ...]:
    def name(file: File) -> str:
        return file.path.partition("/")[0]

    seen = [f for f in files if fnmatchcase(name(f), pattern) and not f.path.startswith(".")]
    return tuple(Item(key, tuple(group)) for key, group in groupby(sorted(seen, key=lambda f: f.path.split("/")), name))


def _client(endpoint: str, credentials: str) -> "S3Client":
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=(os.environ.get(f"{credentials}_REGION") if credentials else None)
        or ("us-east-1" if endpoint else None),
        config=Config(s3={"addressing_style": "path"} if endpoint else {}, retries={"mode": "standard"}),
        **_keys(credentials, os.environ),
    )


class _Keys(TypedDict, total=False):
    aws_access_key_id: str
    aws_secret_access_key: str
    aws_session_token: str


def _keys(prefix: str, environment: Mapping[str, str]) -> _Keys:
    """From `PREFIX_ACCESS_KEY_ID` and so on; without a prefix boto3 looks in its usual places."""
    if not prefix:
        return {}
    needed = (f"{prefix}_ACCESS_KEY_ID", f"{prefix}_SECRET_ACCESS_KEY")
    if missing := [name for name in needed if not environment.get(name)]:
        raise UsageError(
            f"the plan's target names credentials {prefix!r}, but {' and '.join(missing)} is not set",
            "set it in the environment of whoever runs the drill",
        )
    keys: _Keys = {"aws_access_key_id": environment[needed[0]], "aws_secret_access_key": environment[needed[1]]}
    if token := environment.get(f"{prefix}_SESSION_TOKEN"):
        keys["aws_session_token"] = token
    return keys


@contextmanager
def _said(where: str) -> Iterator[None]:
    """Say what boto3 raises in our words."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise Refusal(f"{where} cannot be read: {error}", "check credentials, region and endpoint") from None
