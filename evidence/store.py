"""Stores: where sealed bundles are kept for good, under keys.

Promises: a key is written once, whole or not at all; the same bytes again are success, other bytes are
`AlreadyDifferent`; what arrives is proved by its SHA-256; every wait for a server is bounded.
The trap: in S3 a plain delete hides an object behind a marker, after which its key can be written again; only a
locked bucket keeps the older version. A folder has no lock at all, and its receipts say so.
Idea: restic's backend interface, one suite of promises for every implementation.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from evidence import durable
from evidence.errors import AlreadyDifferent, StoreError, StoreUnreachable
from evidence.names import is_portable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

LockMode = Literal["COMPLIANCE", "GOVERNANCE"]

_LARGEST_PUT: Final = 5 << 30
"""S3 takes no more than 5 GiB in one request."""


@dataclass(frozen=True)
class Receipt:
    """What the store says it holds under a key: SHA-256 (hex), size in bytes, and how long it is locked, if at all."""

    key: str
    sha256: str
    size: int
    version: str | None = None
    lock_mode: str | None = None
    locked_until: datetime | None = None
    created: bool = False
    """True only for the `put` that wrote it."""

    def as_json(self) -> dict[str, Any]:
        """The receipt in JSON types."""
        until = self.locked_until.isoformat() if self.locked_until else None
        return asdict(self) | {"locked_until": until}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Receipt":
        """The receipt that `as_json` gave."""
        until = content["locked_until"]
        return cls(**content | {"locked_until": datetime.fromisoformat(until) if until else None})


class Store(Protocol):
    """What every store promises. All raise `StoreUnreachable` when it does not answer, `StoreError` when it refuses."""

    def put(self, key: str, path: Path, sha256: str) -> Receipt:
        """Keep the file at `path` under `key`, once. Raises `AlreadyDifferent`; `StoreError` if it is not `sha256`."""
        ...

    def head(self, key: str) -> Receipt | None:
        """What is kept under `key`, if anything."""
        ...

    def get(self, key: str, to: Path) -> str:
        """Bring the bytes under `key` to the file `to`; their SHA-256 (hex) as received."""
        ...

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        """All keys that begin with `prefix`, sorted."""
        ...


def open_store(
    location: str,
    endpoint: str = "",
    *,
    lock_days: int | None = None,
    lock_mode: LockMode = "COMPLIANCE",
    credentials: tuple[str, str] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Store:
    """The store at a folder's path or `s3://bucket/prefix`.

    `endpoint` is the URL of an S3 server other than AWS, `lock_days` the retention in a bucket with Object Lock,
    `credentials` the access key's id and secret; without them boto3 looks in its usual places.
    """
    if not location.startswith("s3://"):
        return DirectoryStore(Path(location).expanduser().absolute())
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    if not bucket:
        raise StoreError(f"{location} names no bucket", "write s3://bucket/prefix")
    with _s3_errors(location):
        client = _s3_client(endpoint, credentials)
    return S3Store(client, bucket, prefix.strip("/"), lock_days, lock_mode, now)


@dataclass(frozen=True)
class DirectoryStore:
    """A folder: keys are paths in it, files are made read-only."""

    root: Path

    def put(self, key: str, path: Path, sha256: str) -> Receipt:
        """As `Store.put`; writers take turns, so that what a killed one left can be swept away."""
        _assert_key(key)
        with _disk_errors(self.root):
            final, incoming = self._path(key), self.root / ".incoming"
            durable.make_folders(incoming)
            with durable.locked(incoming / "lock", wait=True):
                _copy(path, incoming / "part", sha256)
                created = self._link(incoming / "part", final)
        receipt = self.head(key)
        if receipt is None:
            raise _not_there(key, self.root)
        if receipt.sha256 != sha256:
            raise _already_different(key, self.root)
        return replace(receipt, created=created)

    def head(self, key: str) -> Receipt | None:
        """As `Store.head`; the digest is computed from the file, whatever it was when it came."""
        _assert_key(key)
        path = self._path(key)
        with _disk_errors(self.root):
            return Receipt(key, durable.sha256_of(path), path.stat().st_size) if path.is_file() else None

    def get(self, key: str, to: Path) -> str:
        """As `Store.get`."""
        _assert_key(key)
        with _disk_errors(self.root):
            if not self._path(key).is_file():
                raise _not_there(key, self.root)
            with self._path(key).open("rb") as source, durable.replacing(to) as out:
                return durable.digest(source, out)[0]

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        """As `Store.keys`."""
        with _disk_errors(self.root):
            names = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())
            return tuple(sorted(n for n in names if n.startswith(prefix) and not n.startswith(".incoming/")))

    def _path(self, key: str) -> Path:
        return self.root / key

    def _link(self, part: Path, final: Path) -> bool:
        durable.make_folders(final.parent)
        try:
            final.hardlink_to(part)
        except FileExistsError:
            return False
        finally:
            part.unlink()
        durable.sync_folder(final.parent)
        return True


@dataclass(frozen=True)
class S3Store:
    """A bucket, or the part of it below `prefix`; with Object Lock where the bucket has it and `lock_days` is given."""

    client: "S3Client"
    bucket: str
    prefix: str
    lock_days: int | None
    lock_mode: LockMode
    now: Callable[[], datetime]

    def put(self, key: str, path: Path, sha256: str) -> Receipt:
        """As `Store.put`, by `If-None-Match: *` and a checksum that the server proves; one request, up to 5 GiB."""
        _assert_key(key)
        if path.stat().st_size > _LARGEST_PUT:
            raise StoreError(f"{path.name} is larger than 5 GiB", "leave large data out of the bundle; name its digest")
        with _s3_errors(self._url(key)):
            version = self._create(key, path, sha256)
        receipt = self._head(key, version)
        if receipt is None:
            raise _not_there(key, self._url(""))
        if receipt.sha256 != sha256:
            raise _already_different(key, self._url(""))
        return replace(receipt, created=version is not None)

    def head(self, key: str) -> Receipt | None:
        """As `Store.head`, of the newest version."""
        _assert_key(key)
        return self._head(key, None)

    def get(self, key: str, to: Path) -> str:
        """As `Store.get`, of the newest version."""
        _assert_key(key)
        with _s3_errors(self._url(key)):
            body = self.client.get_object(Bucket=self.bucket, Key=self._name(key))["Body"]
            digest = hashlib.sha256()
            with durable.replacing(to) as out:
                for piece in body.iter_chunks(durable.CHUNK):
                    digest.update(piece)
                    out.write(piece)
        return digest.hexdigest()

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        """As `Store.keys`."""
        with _s3_errors(self._url(prefix)):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._name(prefix))
            found = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return tuple(sorted(name.removeprefix(self._name("")) for name in found))

    def _create(self, key: str, path: Path, sha256: str) -> str | None:
        """The new version's id (empty without versioning), or `None` when the key is taken."""
        from botocore.exceptions import ClientError

        try:
            with path.open("rb") as body:
                answer = self.client.put_object(
                    Bucket=self.bucket,
                    Key=self._name(key),
                    Body=body,
                    IfNoneMatch="*",
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
                    **self._retention(),
                )
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 412:
                return None
            raise
        return answer.get("VersionId", "")

    def _retention(self) -> dict[str, Any]:
        if self.lock_days is None or not self._bucket_locks():
            return {}
        until = self.now() + timedelta(days=self.lock_days)
        return {"ObjectLockMode": self.lock_mode, "ObjectLockRetainUntilDate": until}

    def _bucket_locks(self) -> bool:
        from botocore.exceptions import ClientError

        try:
            answer = self.client.get_object_lock_configuration(Bucket=self.bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ObjectLockConfigurationNotFoundError":
                return False
            raise
        return answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"

    def _head(self, key: str, version: str | None) -> Receipt | None:
        pinned: dict[str, Any] = {"VersionId": version} if version else {}
        try:
            with _s3_errors(self._url(key)):
                found = self.client.head_object(
                    Bucket=self.bucket, Key=self._name(key), ChecksumMode="ENABLED", **pinned
                )
                return self._receipt(key, found)
        except NotThere:
            return None

    def _receipt(self, key: str, found: "HeadObjectOutputTypeDef") -> Receipt:
        return Receipt(
            key,
            self._sha256(key, found),
            found["ContentLength"],
            found.get("VersionId"),
            found.get("ObjectLockMode"),
            found.get("ObjectLockRetainUntilDate"),
        )

    def _sha256(self, key: str, found: "HeadObjectOutputTypeDef") -> str:
        """The server's own checksum; where it keeps none of the whole object, the digest of its bytes."""
        checksum = found.get("ChecksumSHA256", "")
        if checksum and "-" not in checksum:
            return base64.b64decode(checksum).hex()
        pinned: dict[str, Any] = {"VersionId": found["VersionId"]} if "VersionId" in found else {}
        body = self.client.get_object(Bucket=self.bucket, Key=self._name(key), **pinned)["Body"]
        digest = hashlib.sha256()
        for piece in body.iter_chunks(durable.CHUNK):
            digest.update(piece)
        return digest.hexdigest()

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _url(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._name(key)}"


class NotThere(StoreError):
    """Nothing is kept under the key."""


def _assert_key(key: str) -> None:
    if not is_portable(key) or key.startswith("."):
        raise StoreError(f"{key!r} is no key", "use letters, digits and ._+=,@- in each part, not .. or a dot first")


def _copy(path: Path, part: Path, sha256: str) -> None:
    for leftover in part.parent.glob("*part*"):  # of a process that was killed here
        leftover.unlink()
    with path.open("rb") as source, durable.replacing(part, mode=0o444) as out:
        found, _ = durable.digest(source, out)
        if found != sha256:
            raise StoreError(f"{path} is not the bundle that was sealed: its SHA-256 is {found}", "seal the run again")


def _already_different(key: str, where: object) -> AlreadyDifferent:
    return AlreadyDifferent(
        f"{where} holds other bytes under {key}", "find out who wrote them; sealed evidence is never replaced"
    )


def _not_there(key: str, where: object) -> NotThere:
    return NotThere(f"{where} holds nothing under {key}", "list what is there, or name another store")


def _s3_client(endpoint: str, credentials: tuple[str, str] | None) -> "S3Client":
    import boto3
    from botocore.config import Config

    key_id, secret = credentials or (None, None)
    config = Config(
        connect_timeout=3,
        read_timeout=30,
        retries={"total_max_attempts": 3, "mode": "standard"},
        request_checksum_calculation="when_required",
        s3={"addressing_style": "path"} if endpoint else {},
    )
    return boto3.session.Session(region_name="us-east-1" if endpoint else None).client(
        "s3",
        endpoint_url=endpoint or None,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=config,
    )


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnreachable(
            f"the store {root} does not take or give files: {error}", "is it mounted, writable, not full?"
        ) from error


@contextmanager
def _s3_errors(url: str) -> Iterator[None]:
    """Say what boto3 raises in our words."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

    try:
        yield
    except (ConnectionError, HTTPClientError) as error:
        raise StoreUnreachable(f"{url} cannot be reached: {error}", "start the object store, or try later") from error
    except BotoCoreError as error:
        raise StoreError(f"{url} cannot be used: {error}", "check credentials, region and endpoint") from error
    except ClientError as error:
        raise _refusal(url, error.response) from error


def _refusal(url: str, answer: Any) -> StoreError:
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    said = f"{answer['Error']['Code']} {answer['Error'].get('Message', '')}".strip()
    if status >= 500 or status == 429:
        return StoreUnreachable(f"{url} cannot answer now: {said}", "try later")
    if status == 409:
        return StoreUnreachable(f"{url} is being written by another: {said}", "try again in a moment")
    if status == 404 and "Bucket" not in said:
        return NotThere(f"{url} does not exist: {said}", "list what is there, or name another store")
    return StoreError(f"{url} was refused: {said}", "check the bucket's name, the credentials and their rights")
