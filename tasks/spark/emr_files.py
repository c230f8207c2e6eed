"""A run's folder in S3, as both sides of an EMR drill reach it.

Promises: only what is below the run's own prefix is listed, read or deleted; a file that is not there is no error.
Source: Amazon S3 API Reference.
"""

from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from muster.errors import StepError
from tasks.rds.calls import calling
from tasks.spark.emr_api import S3, Clients

_MISSING = frozenset({"NoSuchKey", "404"})
_BATCH = 1000
_CHUNK = 2**20
_MARKER = "_$folder$"
"""How EMR's own file system marks a folder, beside it."""


class S3Shelf:
    """The folder `s3://BUCKET/PREFIX`."""

    def __init__(self, uri: str, clients: Clients) -> None:
        self._uri = uri
        self._bucket, _, self._prefix = uri.removeprefix("s3://").partition("/")
        self._clients = clients

    @property
    def uri(self) -> str:
        """As Spark names it."""
        return self._uri

    def read(self, name: str) -> bytes | None:
        """An object; `None` when there is none."""
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}")
        except ClientError as error:
            if error.response["Error"].get("Code") in _MISSING:
                return None
            with calling("GetObject", S3):
                raise
        return bytes(answer["Body"].read())

    def write(self, name: str, content: bytes) -> None:
        """An object, in the place of one that is there."""
        with calling("PutObject", S3):
            self._s3.put_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}", Body=content)

    def names(self, folder: str) -> tuple[str, ...]:
        """Objects below a folder, relative to it; folders' own markers left out."""
        start = f"{self._prefix}/{folder}/"
        keys = [key.removeprefix(start) for key in self._keys(start)]
        return tuple(name for name in keys if name and not name.endswith(("/", _MARKER)))

    def fetch(self, folder: str, into: Path) -> tuple[Path, ...]:
        """What is directly in a folder, but what is hidden, as files on this machine."""
        into.mkdir(parents=True, exist_ok=True)
        found = []
        for name in self.names(folder):
            if "/" in name or name.startswith("."):
                continue
            path = into / name
            with calling("GetObject", S3), path.open("wb") as file:
                answer = self._s3.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{folder}/{name}")
                file.writelines(answer["Body"].iter_chunks(_CHUNK))
            found.append(path)
        return tuple(found)

    def drop(self) -> None:
        """Make sure that nothing of it is left. A bucket that keeps versions keeps them."""
        ours = [key for key in self._keys(self._prefix) if self._is_ours(key)]
        for start in range(0, len(ours), _BATCH):
            batch = [{"Key": key} for key in ours[start : start + _BATCH]]
            with calling("DeleteObject", S3):
                answer = self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": batch, "Quiet": True})
            if errors := answer.get("Errors"):
                raise StepError(
                    f"s3://{self._bucket}/{errors[0]['Key']} was not deleted: {errors[0].get('Message', '')}",
                    f"give Muster the right s3:DeleteObject, or: aws s3 rm --recursive {self._uri}",
                )

    def _is_ours(self, key: str) -> bool:
        """A prefix alone would reach into the folder of another run whose name begins with this one's."""
        return key.startswith(f"{self._prefix}/") or key == f"{self._prefix}{_MARKER}"

    def _keys(self, prefix: str) -> list[str]:
        with calling("ListBucket", S3):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return [str(item["Key"]) for page in pages for item in page.get("Contents", ())]

    @property
    def _s3(self) -> Any:
        return self._clients(S3)
