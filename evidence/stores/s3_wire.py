"""How a bucket is spoken to: a client of bounded patience, and its errors in our words.

Promises: every wait for the server ends; what a server could not answer now is `StoreUnreachable`, what it refused is
`StoreError`, what is not there is `NotThere`; links are signed by the newest scheme, which every region takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evidence.errors import StoreError, StoreUnreachable
from evidence.stores.store import NotThere

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@contextmanager
def s3_errors(url: str) -> Iterator[None]:
    """Say what boto3 raises in our words."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, IncompleteReadError

    try:
        yield
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
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
        signature_version="s3v4",
        s3={"addressing_style": "path"} if endpoint else {},
    )
    return boto3.session.Session(region_name="us-east-1" if endpoint else None).client(
        "s3",
        endpoint_url=endpoint or None,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=config,
    )
