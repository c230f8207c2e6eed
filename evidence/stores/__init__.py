"""Stores: where sealed bundles are kept for good, under keys."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from evidence.errors import StoreError
from evidence.stores.directory import DirectoryStore
from evidence.stores.s3 import S3Store
from evidence.stores.s3_wire import s3_client, s3_errors
from evidence.stores.store import READ_LIMIT, LockMode, NotThere, Receipt, Store, Version

__all__ = [
    "READ_LIMIT",
    "DirectoryStore",
    "LockMode",
    "NotThere",
    "Receipt",
    "S3Store",
    "Store",
    "Version",
    "open_store",
]


def open_store(
    location: str,
    endpoint: str = "",
    *,
    lock_days: int | None = None,
    lock_mode: LockMode = "COMPLIANCE",
    legal_hold: bool = False,
    credentials: tuple[str, str] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Store:
    """The store at a folder's path or `s3://bucket/prefix`.

    `endpoint` is the URL of an S3 server other than AWS; `lock_days`, `lock_mode` and `legal_hold` say how what is put
    is locked in a bucket with Object Lock; `credentials` are the access key's id and secret, without which boto3 looks
    in its usual places.
    """
    if not location.startswith("s3://"):
        return DirectoryStore(Path(location).expanduser().absolute())
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    if not bucket:
        raise StoreError(f"{location} names no bucket", "write s3://bucket/prefix")
    with s3_errors(location):
        client = s3_client(endpoint, credentials)
    return S3Store(client, bucket, prefix.strip("/"), lock_days, lock_mode, now, legal_hold)
