"""A bucket in memory that does what Amazon documents, and no server here does: for suites that run over it too.

Unlike SeaweedFS it gives back the checksum it proved, lists by bytes in pages, and knows who may bypass governance.
A subclass lies. Source: Amazon S3 API Reference (PutObject, HeadObject, DeleteObject, PutObjectRetention,
ListObjectVersions), and the User Guide, "Locking objects with Object Lock".
"""

import base64
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from threading import RLock
from typing import Any

from botocore.exceptions import ClientError
from botocore.response import StreamingBody


def error(status: int, code: str) -> ClientError:
    """What boto3 raises."""
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Paper")


@dataclass
class Kept:
    """A version of an object, or a delete marker."""

    name: str
    version: str
    body: bytes | None
    at: datetime
    mode: str | None = None
    until: datetime | None = None
    hold: bool = False
    checksum: str | None = None
    """Over the checksums of its parts, if it came in parts."""


@dataclass
class PaperS3:
    """One bucket behind the methods of boto3's client that stores use."""

    locks: bool = True
    may_bypass: bool = False
    page: int = 1000
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    kept: list[Kept] = field(default_factory=list)
    """In the order of their coming."""
    numbers: Iterator[int] = field(default_factory=count)
    uploads: dict[str, tuple[dict[str, Any], dict[int, bytes]]] = field(default_factory=dict)
    """In parts, begun and not finished."""
    busy: Any = field(default_factory=RLock)

    def get_object_lock_configuration(self, **_: Any) -> dict[str, Any]:
        if not self.locks:
            raise error(404, "ObjectLockConfigurationNotFoundError")
        return {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}

    def get_bucket_versioning(self, **_: Any) -> dict[str, Any]:
        return {"Status": "Enabled"}

    def put_object(self, *, Key: str, Body: Any, **more: Any) -> dict[str, Any]:
        body = Body if isinstance(Body, bytes) else Body.read()
        if more.get("ChecksumSHA256", _checksum(body)) != _checksum(body):
            raise error(400, "BadDigest")
        with self.busy:
            newest = self.newest(Key)
            if "IfNoneMatch" in more and newest is not None and newest.body is not None:
                raise error(412, "PreconditionFailed")
            mode, until = more.get("ObjectLockMode"), more.get("ObjectLockRetainUntilDate")
            hold = more.get("ObjectLockLegalHoldStatus") == "ON"
            if (mode or hold) and not self.locks:
                raise error(400, "InvalidRequest")
            return {"VersionId": self.keep(Key, body, mode, until, hold).version}

    def create_multipart_upload(self, *, Bucket: str, Key: str, ChecksumAlgorithm: str, **asked: Any) -> dict[str, Any]:
        assert (bool(Bucket and Key), ChecksumAlgorithm) == (True, "SHA256")
        number = f"upload-{next(self.numbers)}"
        self.uploads[number] = (asked, {})
        return {"UploadId": number}

    def upload_part(
        self, *, UploadId: str, PartNumber: int, Body: bytes, ChecksumSHA256: str, **_: Any
    ) -> dict[str, Any]:
        if ChecksumSHA256 != _checksum(Body):
            raise error(400, "BadDigest")
        self.uploads[UploadId][1][PartNumber] = Body
        return {"ETag": f"{UploadId}-{PartNumber}"}

    def complete_multipart_upload(
        self, *, Key: str, UploadId: str, MultipartUpload: Any, **more: Any
    ) -> dict[str, Any]:
        asked, sent = self.uploads[UploadId]
        parts = [sent[one["PartNumber"]] for one in MultipartUpload["Parts"]]
        made = self.put_object(Key=Key, Body=b"".join(parts), **asked, **more)
        over_parts = _checksum(b"".join(hashlib.sha256(part).digest() for part in parts))
        self.find(Key, made["VersionId"]).checksum = f"{over_parts}-{len(parts)}"
        del self.uploads[UploadId]
        return made

    def abort_multipart_upload(self, *, UploadId: str, **_: Any) -> dict[str, Any]:
        if self.uploads.pop(UploadId, None) is None:
            raise error(404, "NoSuchUpload")
        return {}

    def head_object(self, *, Key: str, VersionId: str | None = None, **_: Any) -> dict[str, Any]:
        found = self.find(Key, VersionId)
        assert found.body is not None
        answer: dict[str, Any] = {
            "ContentLength": len(found.body),
            "VersionId": found.version,
            "ChecksumSHA256": found.checksum or _checksum(found.body),
        }
        if found.mode:
            answer |= {"ObjectLockMode": found.mode, "ObjectLockRetainUntilDate": found.until}
        return answer | ({"ObjectLockLegalHoldStatus": "ON" if found.hold else "OFF"} if self.locks else {})

    def get_object(self, *, Key: str, VersionId: str | None = None, **_: Any) -> dict[str, Any]:
        found = self.find(Key, VersionId)
        assert found.body is not None
        return {"VersionId": found.version, "Body": StreamingBody(io.BytesIO(found.body), len(found.body))}

    def delete_object(
        self,
        *,
        Key: str,
        VersionId: str | None = None,
        BypassGovernanceRetention: bool = False,
        **_: Any,
    ) -> dict[str, Any]:
        if VersionId is None:
            return {"DeleteMarker": True, "VersionId": self.keep(Key, None).version}
        found = self.find(Key, VersionId)
        if found.hold or self.is_locked(found, bypass=BypassGovernanceRetention):
            raise error(403, "AccessDenied")
        self.kept.remove(found)
        return {"VersionId": VersionId}

    def delete_objects(self, *, Delete: Any, **more: Any) -> dict[str, Any]:
        errors = []
        for one in Delete["Objects"]:
            try:
                self.delete_object(**one, **more)
            except ClientError as refusal:
                errors.append(one | refusal.response["Error"])
        return {"Errors": errors}

    def put_object_retention(
        self,
        *,
        Key: str,
        Retention: Any,
        VersionId: str | None = None,
        BypassGovernanceRetention: bool = False,
        **_: Any,
    ) -> dict[str, Any]:
        if not self.locks:
            raise error(400, "InvalidRequest")
        found = self.find(Key, VersionId)
        mode, until = Retention.get("Mode"), Retention.get("RetainUntilDate")
        is_longer = until and found.until and until >= found.until and mode == found.mode
        if not is_longer and self.is_locked(found, bypass=BypassGovernanceRetention):
            raise error(403, "AccessDenied")
        found.mode, found.until = mode, until
        return {}

    def put_object_legal_hold(
        self,
        *,
        Key: str,
        LegalHold: Any,
        VersionId: str | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        self.find(Key, VersionId).hold = LegalHold["Status"] == "ON"
        return {}

    def get_paginator(self, name: str) -> "_Pages":
        return _Pages(self, name)

    def newest(self, name: str) -> Kept | None:
        return next((one for one in reversed(self.kept) if one.name == name), None)

    def find(self, name: str, version: str | None) -> Kept:
        if version is None:
            found = self.newest(name)
        else:
            found = next((one for one in self.kept if (one.name, one.version) == (name, version)), None)
        if found is None or (version is None and found.body is None):
            raise error(404, "NoSuchVersion" if version else "NoSuchKey")
        if found.body is None:
            raise error(405, "MethodNotAllowed")
        return found

    def keep(self, name: str, body: bytes | None, mode: Any = None, until: Any = None, hold: bool = False) -> Kept:
        made = Kept(name, f"v{next(self.numbers)}", body, self.clock(), mode, until, hold)
        self.kept.append(made)
        return made

    def is_locked(self, found: Kept, *, bypass: bool) -> bool:
        if found.until is None or found.until <= self.clock():
            return False
        return found.mode == "COMPLIANCE" or not (bypass and self.may_bypass)


@dataclass
class _Pages:
    bucket: PaperS3
    name: str

    def paginate(
        self,
        *,
        Prefix: str = "",
        StartAfter: str = "",
        Delimiter: str = "",
        **_: Any,
    ) -> Iterator[dict[str, Any]]:
        names = sorted({one.name for one in self.bucket.kept if one.name.startswith(Prefix) and one.name > StartAfter})
        if self.name == "list_objects_v2":
            found = [{"Key": name} for name in names if (one := self.bucket.newest(name)) and one.body is not None]
            return self._split("Contents", found)
        folders = {_folder(name, Prefix) for name in names if Delimiter in name[len(Prefix) :]} if Delimiter else set()
        here = [name for name in names if _folder(name, Prefix) not in folders]
        rows = [self._row(one) for name in here for one in reversed(self.bucket.kept) if one.name == name]
        versions = [row for row in rows if "Size" in row]
        markers = [row for row in rows if "Size" not in row]
        prefixes = [{"Prefix": folder} for folder in sorted(folders)]
        return iter(
            (
                *self._split("Versions", versions),
                *self._split("DeleteMarkers", markers),
                *self._split("CommonPrefixes", prefixes),
            )
        )

    def _row(self, one: Kept) -> dict[str, Any]:
        row = {"Key": one.name, "VersionId": one.version, "LastModified": one.at}
        row["IsLatest"] = one is self.bucket.newest(one.name)
        return row if one.body is None else row | {"Size": len(one.body)}

    def _split(self, title: str, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for at in range(0, len(rows), self.bucket.page):
            yield {title: rows[at : at + self.bucket.page]}


def _checksum(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _folder(name: str, prefix: str) -> str:
    return prefix + name[len(prefix) :].partition("/")[0] + "/"
