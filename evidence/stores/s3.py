"""A bucket as a store, on AWS or any server that speaks S3.

Promises: those of `Store`; the server itself proves the SHA-256 of what it takes, of a large file part by part; with
Object Lock each version is kept under a retention, which is never shortened here; every question can be pinned to a
version.
The trap: a plain delete hides an object behind a marker, after which its key can be written again; only a locked bucket
keeps the older version, and only `versions` shows both.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from evidence import durable
from evidence.errors import StoreError
from evidence.stores.s3_wire import s3_errors
from evidence.stores.store import (
    READ_LIMIT,
    LockMode,
    NotThere,
    Receipt,
    Version,
    already_different,
    assert_key,
    assert_page,
    not_there,
    too_large,
)

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

_LARGEST_PUT: Final = 5 << 30
"""S3 takes no more than 5 GiB in one request."""
_PART: Final = 64 << 20
"""Bytes of a part: it is held in memory."""
_MOST_PARTS: Final = 10_000
LONGEST_LINK: Final = 7 * 24 * 3600
"""Seconds; a signature of AWS holds no longer."""


@dataclass(frozen=True)
class S3Store:
    """A bucket, or the part of it below `prefix`; with Object Lock where the bucket has it.

    `lock_days` and `lock_mode` are the retention of what is put from now on; `legal_hold` keeps it besides until
    somebody lifts the hold. Without `lock_days` the bucket's own default counts, if it has one.
    """

    client: "S3Client"
    bucket: str
    prefix: str
    lock_days: int | None
    lock_mode: LockMode
    now: Callable[[], datetime]
    legal_hold: bool = False
    largest_put: int = _LARGEST_PUT
    """Bytes; what is larger goes in parts of `part` bytes, or more where that would be too many parts."""
    part: int = _PART
    _known: set[str] = field(default_factory=set, compare=False, repr=False)
    _whole: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Checksums over parts that were computed here, and the SHA-256 (hex) of the same bytes as a whole."""

    @property
    def where(self) -> str:
        """As `Store.where`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def put(self, key: str, path: Path, sha256: str) -> Receipt:
        """As `Store.put`, by `If-None-Match: *` and a checksum that the server proves; above 5 GiB in parts."""
        size = path.stat().st_size
        with path.open("rb") as body:
            if size <= self.largest_put:
                return self._put(key, lambda: self._create(key, body, sha256), sha256)
            part = max(self.part, -(-size // _MOST_PARTS))
            parts = iter(lambda: body.read(part), b"")
            return self._put(key, lambda: self._create_in_parts(key, parts, sha256), sha256)

    def put_bytes(self, key: str, content: bytes) -> Receipt:
        """As `Store.put_bytes`, likewise."""
        sha256 = hashlib.sha256(content).hexdigest()
        return self._put(key, lambda: self._create(key, content, sha256), sha256)

    def publish(self, key: str, content: bytes, media_type: str) -> None:
        """As `Store.publish`; in a bucket with a default retention, pages of before stay as older versions."""
        assert_page(key)
        with s3_errors(self.url(key)):
            self.client.put_object(Bucket=self.bucket, Key=self.name(key), Body=content, ContentType=media_type)

    def head(self, key: str, version: str | None = None) -> Receipt | None:
        """As `Store.head`."""
        assert_key(key)
        try:
            with s3_errors(self.url(key)):
                found = self.client.head_object(
                    Bucket=self.bucket, Key=self.name(key), ChecksumMode="ENABLED", **_pinned(version)
                )
                self._assert_version(key, found, version)
                return self._receipt(key, found)
        except NotThere:
            return None

    def get(self, key: str, to: Path, version: str | None = None) -> str:
        """As `Store.get`."""
        with durable.replacing(to) as out:
            return self._bring(key, version, out)

    def read(self, key: str, version: str | None = None, *, limit: int = READ_LIMIT) -> bytes:
        """As `Store.read`."""
        assert_key(key)
        with s3_errors(self.url(key)):
            content = self._body(key, version).read(limit + 1)
        if len(content) > limit:
            raise too_large(key, self.where, limit)
        return content

    def digest(self, key: str, version: str | None = None) -> str:
        """As `Store.digest`."""
        return self._bring(key, version, None)

    def keys(self, prefix: str = "", after: str = "") -> tuple[str, ...]:
        """As `Store.keys`."""
        begin: dict[str, Any] = {"StartAfter": self.name(start)} if (start := _start(prefix, after)) else {}
        with s3_errors(self.url(prefix)):
            lister = self.client.get_paginator("list_objects_v2")
            pages = lister.paginate(Bucket=self.bucket, Prefix=self.name(prefix), **begin)
            found = [self._key(item["Key"]) for page in pages for item in page.get("Contents", ())]
        return tuple(sorted(key for key in found if key > after))

    def versions(self, prefix: str = "") -> Iterator[Version]:
        """As `Store.versions`, folder by folder.

        Not in one listing: SeaweedFS (4.48) loses whole folders where a page of that ends.
        """
        waiting = [prefix]
        lister = self.client.get_paginator("list_object_versions")
        while waiting:
            here = self.name(waiting.pop())
            with s3_errors(self.url(prefix)):
                for page in lister.paginate(Bucket=self.bucket, Prefix=here, Delimiter="/"):
                    yield from (self._version(v, v["Size"]) for v in page.get("Versions", ()))
                    yield from (self._version(m, None) for m in page.get("DeleteMarkers", ()))
                    waiting.extend(self._key(folder["Prefix"]) for folder in page.get("CommonPrefixes", ()))

    def extend(self, key: str, version: str, until: datetime) -> Receipt:
        """Keep a version until later than now promised, in the same mode. Raises `StoreError` if that is sooner."""
        held = self.head(key, version)
        if held is None:
            raise not_there(key, self.where)
        if held.locked_until is not None and until < held.locked_until:
            raise StoreError(
                f"{key} is kept until {held.locked_until:%Y-%m-%d %H:%M:%S} UTC, longer than asked",
                "a retention is never shortened; give a later time",
            )
        with s3_errors(self.url(key)):
            self.client.put_object_retention(
                Bucket=self.bucket,
                Key=self.name(key),
                VersionId=version,
                Retention={"Mode": cast("LockMode", held.lock_mode or self.lock_mode), "RetainUntilDate": until},
            )
        return self.head(key, version) or held

    def link(self, key: str, version: str, seconds: int) -> str:
        """An address from which anybody can bring this version for so long, at most 7 days, without an account.

        The trap: signed by credentials that end sooner, a link ends with them. Raises `StoreError` for a longer time.
        """
        assert_key(key)
        if not version or not 0 < seconds <= LONGEST_LINK:
            raise StoreError("a link is for one version, and for up to 7 days", "name a version, ask for less time")
        with s3_errors(self.url(key)):
            return self.client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self.bucket, "Key": self.name(key), "VersionId": version},
                ExpiresIn=seconds,
            )

    def name(self, key: str) -> str:
        """The object's name in the bucket."""
        return f"{self.prefix}/{key}" if self.prefix else key

    def _put(self, key: str, create: Callable[[], str | None], sha256: str) -> Receipt:
        assert_key(key)
        with s3_errors(self.url(key)):
            version = create()
        receipt = self.head(key, version)
        if receipt is None:
            raise not_there(key, self.where)
        if receipt.sha256 != sha256:
            raise already_different(key, self.where)
        return replace(receipt, created=version is not None)

    def _create(self, key: str, body: BinaryIO | bytes, sha256: str) -> str | None:
        """The new version's id (empty without versioning), or `None` when the key is taken."""
        from botocore.exceptions import ClientError

        try:
            answer = self.client.put_object(
                Bucket=self.bucket,
                Key=self.name(key),
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

    def _create_in_parts(self, key: str, parts: Iterable[bytes], sha256: str) -> str | None:
        """As `_create`; what is not finished is taken back, as far as the server lets us."""
        from botocore.exceptions import BotoCoreError, ClientError

        if self._is_there(key):
            return None
        place: dict[str, Any] = {"Bucket": self.bucket, "Key": self.name(key)}
        begun = self.client.create_multipart_upload(**place, ChecksumAlgorithm="SHA256", **self._retention())
        upload = {**place, "UploadId": begun["UploadId"]}
        try:
            return self._send(upload, parts, sha256)
        except BaseException as error:
            with suppress(BotoCoreError, ClientError):
                self.client.abort_multipart_upload(**upload)
            if isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] == 412:
                return None
            raise

    def _send(self, upload: dict[str, Any], parts: Iterable[bytes], sha256: str) -> str:
        """Send the parts, each with its SHA-256, and have them put together if the whole is what was sealed."""
        whole, over_parts, sent = hashlib.sha256(), hashlib.sha256(), list[Any]()
        for number, part in enumerate(parts, 1):
            whole.update(part)
            over_parts.update(digest := hashlib.sha256(part).digest())
            checksum = base64.b64encode(digest).decode()
            answer = self.client.upload_part(**upload, PartNumber=number, Body=part, ChecksumSHA256=checksum)
            sent.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum})
        if whole.hexdigest() != sha256:
            told = f"{upload['Key']} is not what was sealed: its SHA-256 is {whole.hexdigest()}"
            raise StoreError(told, "seal the run again")
        self._whole[f"{base64.b64encode(over_parts.digest()).decode()}-{len(sent)}"] = sha256
        done = self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent}, IfNoneMatch="*")
        return done.get("VersionId", "")

    def _is_there(self, key: str) -> bool:
        """Whether the key is taken, as far as we may know: it spares sending much for nothing, and decides nothing."""
        from botocore.exceptions import ClientError

        try:
            self.client.head_object(Bucket=self.bucket, Key=self.name(key))
        except ClientError:
            return False
        return True

    def _bring(self, key: str, version: str | None, out: BinaryIO | None) -> str:
        assert_key(key)
        digest = hashlib.sha256()
        with s3_errors(self.url(key)):
            for piece in self._body(key, version).iter_chunks(durable.CHUNK):
                digest.update(piece)
                if out is not None:
                    out.write(piece)
        return digest.hexdigest()

    def _body(self, key: str, version: str | None) -> "StreamingBody":
        answer = self.client.get_object(Bucket=self.bucket, Key=self.name(key), **_pinned(version))
        self._assert_version(key, answer, version)
        return answer["Body"]

    def _assert_version(self, key: str, answer: Any, asked: str | None) -> None:
        """A bucket that keeps no versions may answer with what it has, whichever was asked for."""
        if asked and _version_id(answer) != asked:
            raise not_there(key, self.where)

    def _retention(self) -> dict[str, Any]:
        if (self.lock_days is None and not self.legal_hold) or not self._bucket_locks():
            return {}
        hold: dict[str, Any] = {"ObjectLockLegalHoldStatus": "ON"} if self.legal_hold else {}
        if self.lock_days is None:
            return hold
        until = self.now() + timedelta(days=self.lock_days)
        return hold | {"ObjectLockMode": self.lock_mode, "ObjectLockRetainUntilDate": until}

    def _bucket_locks(self) -> bool:
        """Whether the bucket has Object Lock; asked until it has, since it cannot be taken away."""
        from botocore.exceptions import ClientError

        if self.bucket in self._known:
            return True
        try:
            answer = self.client.get_object_lock_configuration(Bucket=self.bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ObjectLockConfigurationNotFoundError":
                return False
            raise
        if answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") != "Enabled":
            return False
        self._known.add(self.bucket)
        return True

    def _version(self, listed: Any, size: int | None) -> Version:
        return Version(
            self._key(listed["Key"]),
            _version_id(listed),
            listed["IsLatest"],
            size is None,
            listed["LastModified"],
            size or 0,
        )

    def _receipt(self, key: str, found: "HeadObjectOutputTypeDef") -> Receipt:
        return Receipt(
            key,
            self._sha256(key, found),
            found["ContentLength"],
            _version_id(found),
            found.get("ObjectLockMode"),
            found.get("ObjectLockRetainUntilDate"),
            found.get("ObjectLockLegalHoldStatus") == "ON",
        )

    def _sha256(self, key: str, found: "HeadObjectOutputTypeDef") -> str:
        """The server's own checksum; where it keeps none of the whole object, the digest of its bytes.

        Of what came in parts it keeps the checksum over theirs: who sent them knows which whole that is.
        """
        checksum = found.get("ChecksumSHA256", "")
        if checksum and "-" not in checksum:
            return base64.b64decode(checksum).hex()
        if checksum in self._whole:
            return self._whole[checksum]
        return self.digest(key, _version_id(found))

    def _key(self, name: str) -> str:
        return name.removeprefix(self.name(""))

    def url(self, key: str) -> str:
        """The object's address, in words for people."""
        return f"s3://{self.bucket}/{self.name(key)}"


def _version_id(answer: Any) -> str | None:
    """`null` is what a bucket without versions calls its one version."""
    version: str | None = answer.get("VersionId")
    return None if version == "null" else version


def _start(prefix: str, after: str) -> str:
    """A name to list from that leaves out no key after `after`, also where folders and not bytes give the order.

    SeaweedFS (4.48) has `a-b` after all of `a/`, though `-` comes before `/`: so a name is cut before the first sign
    that does, and by one sign more, which takes in a folder of exactly this name.
    """
    folder = prefix[: prefix.rfind("/") + 1]
    if not after.startswith(folder):
        return ""
    segment = re.split(r"[+,./-]", after.removeprefix(folder), maxsplit=1)[0]
    return folder + segment[:-1] if segment[:-1] else ""


def _pinned(version: str | None) -> dict[str, Any]:
    return {"VersionId": version} if version else {}
