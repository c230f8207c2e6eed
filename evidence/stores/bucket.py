"""What a bucket says of itself: its versions, its lock, its default retention.

Promise: nothing is changed, and who may not ask is told that it was not told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evidence.stores.s3 import S3Store
from evidence.stores.s3_wire import s3_errors


@dataclass(frozen=True)
class Bucket:
    """What a bucket says of itself; `None` where it does not tell."""

    versioning: str | None
    object_lock: bool | None
    default_retention: str | None


def ask_bucket(store: S3Store) -> Bucket:
    """What the bucket says of itself; who may not ask that is not told."""
    from botocore.exceptions import ClientError

    def told(question: Callable[[], Any]) -> Any:
        try:
            return question()
        except ClientError as error:
            is_none = error.response["Error"]["Code"] == "ObjectLockConfigurationNotFoundError"
            return {} if is_none else None

    with s3_errors(store.url("")):
        versioning = told(lambda: store.client.get_bucket_versioning(Bucket=store.bucket))
        lock = told(lambda: store.client.get_object_lock_configuration(Bucket=store.bucket))
    rule = (lock or {}).get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention", {})
    period = f"{rule['Days']} days" if "Days" in rule else f"{rule.get('Years')} years"
    return Bucket(
        None if versioning is None else versioning.get("Status", "never enabled"),
        None if lock is None else bool(lock),
        f"{rule.get('Mode')} for {period}" if rule else None,
    )
