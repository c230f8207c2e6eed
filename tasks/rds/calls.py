"""Calls of an AWS API, RDS first: bounded, waited for with an end, and their errors in our words.

Promises: nothing is asked of AWS before a verb needs it; a request that changes something is sent once by us (botocore
repeats what AWS throttled); a poll that is throttled, or has no answer, is asked again later.
Source: Amazon RDS API Reference, "Common Errors" and the errors of each action.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from tenacity import RetryError, Retrying, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed

from muster.errors import StepError, SystemFailure
from muster.quantity import format_seconds

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient

T = TypeVar("T")
Clients = Callable[[str], "RDSClient"]
"""AWS region to a client for it."""
SecondsLeft = Callable[[], float]

CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 4})
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"})
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "ExpiredToken",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
    }
)
_MISSING = frozenset({"GlobalClusterNotFoundFault", "DBClusterNotFoundFault", "DBInstanceNotFound"})
_NOT_NOW = frozenset({"InvalidGlobalClusterStateFault", "InvalidDBClusterStateFault", "InvalidDBInstanceState"})


class Throttled(StepError):
    """AWS wants fewer requests."""


class Unreachable(StepError):
    """AWS does not answer, in this region at least."""


class Missing(StepError):
    """There is nothing of this name."""


class NotNow(SystemFailure):
    """The service does not do this to what it is asked of, in the state that it is in."""


@cache
def client_of(region: str) -> "RDSClient":
    """A client for a region. Made once: its model takes a while to load, and nobody should wait for that twice."""
    return boto3.client("rds", region_name=region, config=CONFIG)


def region_of(arn: str) -> str:
    """The AWS region in an ARN: `arn:aws:rds:REGION:ACCOUNT:db:NAME`."""
    return arn.split(":")[3]


def name_of(arn: str) -> str:
    """The identifier in an ARN."""
    return arn.rpartition(":")[2]


@contextmanager
def calling(action: str, service: str = "rds") -> Iterator[None]:
    """What AWS answers to an action in our words; both names as they are in a policy, before and behind the colon."""
    right = f"{service}:{action}"
    try:
        yield
    except ClientError as error:
        raise _error(right, error) from None
    except (HTTPClientError, NoConnection) as error:
        raise Unreachable(f"{right} has no answer: {error}", "see the network, and the health of the region") from None
    except BotoCoreError as error:
        raise StepError(f"{right} was not sent: {error}", "see AWS credentials and the settings of boto3") from None


def wait_for(
    ask: Callable[[], T | None], words: str, left: SecondsLeft, *, at_most: float, every: float, of: str = "RDS"
) -> T:
    """Ask again every so many seconds until there is an answer; a `SystemFailure` after `at_most` seconds."""

    def nap(seconds: float) -> None:
        time.sleep(min(seconds, left()))

    again = Retrying(
        retry=retry_if_result(lambda answer: answer is None) | retry_if_exception_type((Throttled, Unreachable)),
        stop=stop_after_delay(at_most),
        wait=wait_fixed(every),
        sleep=nap,
    )
    try:
        answer: T = again(ask)  # type: ignore[assignment]
    except RetryError:
        raise SystemFailure(
            f"waited {format_seconds(at_most)} in vain for {words}", f"see the events of {of} in the AWS console"
        ) from None
    return answer


def _error(right: str, error: ClientError) -> StepError:
    found = error.response["Error"]
    code, said = found.get("Code", ""), found.get("Message", "")
    words = f"{right}: {code}: {said}"
    if code in _THROTTLED:
        return Throttled(words, "AWS wants fewer requests: see who else calls its API, then run again")
    if code in _DENIED:
        return StepError(words, f"give the role that Muster runs as the right {right}, and valid credentials")
    if code in _MISSING:
        return Missing(words, "mend the names and the regions in the plan's target")
    if code in _NOT_NOW:
        return NotNow(words, "see its state in the AWS console: only what is available can be acted on")
    return StepError(words, "see the API reference of the service for this error")
