"""A bucket as a store, on AWS or any server that speaks S3.

Promises: those of `Store`; the server itself proves the SHA-256 of what it takes; with Object Lock each version is kept
under a retention.
The trap: a plain delete hides an object behind a marker, after which its key can be written again; only a locked bucket
keeps the older version.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from evidence import durable
from evidence.errors import StoreError, StoreUnreachable
from evidence.stores.store import (
    READ_LIMIT,
    LockMode,
    NotThere,
    Receipt,
    already_different,
    assert_key,
    not_there,
    too_large,
)

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

_LARGEST_PUT: Final = 5 << 30
"""S3 takes no more than 5 GiB in one request."""


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
        if path.stat().st_size > _LARGEST_PUT:
            raise StoreError(f"{path.name} is larger than 5 GiB", "leave large data out of the bundle; name its digest")
        with path.open("rb") as body:
            return self._put(key, body, sha256)

    def put_bytes(self, key: str, content: bytes) -> Receipt:
        """As `Store.put_bytes`, likewise."""
        return self._put(key, content, hashlib.sha256(content).hexdigest())

    def head(self, key: str, version: str | None = None) -> Receipt | None:
        """As `Store.head`."""
        assert_key(key)
        try:
            with s3_errors(self._url(key)):
                found = self.client.head_object(
                    Bucket=self.bucket, Key=self._name(key), ChecksumMode="ENABLED", **_pinned(version)
                )
                return self._receipt(key, found)
        except NotThere:
            return None

    def get(self, key: str, to: Path, version: str | None = None) -> str:
        """As `Store.get`."""
        assert_key(key)
        digest = hashlib.sha256()
        with s3_errors(self._url(key)), durable.replacing(to) as out:
            for piece in self._body(key, version).iter_chunks(durable.CHUNK):
                digest.update(piece)
                out.write(piece)
        return digest.hexdigest()

    def read(self, key: str, version: str | None = None, *, limit: int = READ_LIMIT) -> bytes:
        """As `Store.read`."""
        assert_key(key)
        with s3_errors(self._url(key)):
            content = self._body(key, version).read(limit + 1)
        if len(content) > limit:
            raise too_large(key, self._url(""), limit)
        return content

    def keys(self, prefix: str = "", after: str = "") -> tuple[str, ...]:
        """As `Store.keys`."""
        with s3_errors(self._url(prefix)):
            lister = self.client.get_paginator("list_objects_v2")
            pages = lister.paginate(Bucket=self.bucket, Prefix=self._name(prefix))
            found = [item["Key"] for page in pages for item in page.get("Contents", ())]
        names = (name.removeprefix(self._name("")) for name in found)
        return tuple(sorted(name for name in names if name > after))

    def _put(self, key: str, body: BinaryIO | bytes, sha256: str) -> Receipt:
        assert_key(key)
        with s3_errors(self._url(key)):
            version = self._create(key, body, sha256)
        receipt = self.head(key, version)
        if receipt is None:
            raise not_there(key, self._url(""))
        if receipt.sha256 != sha256:
            raise already_different(key, self._url(""))
        return replace(receipt, created=version is not None)

    def _create(self, key: str, body: BinaryIO | bytes, sha256: str) -> str | None:
        """The new version's id (empty without versioning), or `None` when the key is taken."""
        from botocore.exceptions import ClientError

        try:
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

    def _body(self, key: str, version: str | None) -> "StreamingBody":
        return self.client.get_object(Bucket=self.bucket, Key=self._name(key), **_pinned(version))["Body"]

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
        digest = hashlib.sha256()
        for piece in self._body(key, found.get("VersionId")).iter_chunks(durable.CHUNK):
            digest.update(piece)
        return digest.hexdigest()

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _url(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._name(key)}"


def _pinned(version: str | None) -> dict[str, Any]:
    return {"VersionId": version} if version else {}


@contextmanager
def s3_errors(url: str) -> Iterator[None]:
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


def s3_client(endpoint: str, credentials: tuple[str, str] | None) -> "S3Client":
    """A client whose every wait is bounded; `endpoint` is the URL of a server other than AWS."""
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
