"""Webhooks after the Standard Webhooks specification: a JSON body, and a signature over its very bytes.

Promises: every attempt at one message carries the same id; an answer of 2xx alone is a yes; redirects are not
followed, since they would lead the message where nobody sent it.
Source: standardwebhooks.com, "signature scheme", v1 (HMAC-SHA256).
"""

import base64
import binascii
import hmac
import json
import logging
from datetime import UTC, datetime

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from muster import __version__
from muster.notify.message import Message
from muster.notify.refusal import Patience, RouteRefuses

_PREFIX = "whsec_"
_SHORTEST = 24
"""Bytes of a secret, as the specification asks."""
_LATER = frozenset({408, 425, 429})
"""Answers other than 5xx that ask to come again."""

# It logs whole URLs, and an address can be all that guards a webhook.
logging.getLogger("httpx").setLevel(logging.WARNING)


class _Passing(RouteRefuses):
    """A refusal that may be over in a moment."""


def key_of(secret: str) -> bytes:
    """The key in a secret as the specification writes it: `whsec_` and base64."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(_PREFIX) or len(key) < _SHORTEST:
        raise RouteRefuses(f"its secret is not {_PREFIX} and the base64 of at least {_SHORTEST} bytes")
    return key


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """What `webhook-signature` holds; `timestamp` is in seconds since 1970."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode("ascii")


def post_webhook(url: str, secret: str, message: Message, patience: Patience) -> None:
    """Send it; raises `RouteRefuses`."""
    key = key_of(secret)
    body = json.dumps(
        {"type": message.event.value, "timestamp": message.at.astimezone(UTC).isoformat(), "data": message.data}
    ).encode()
    again = Retrying(
        stop=stop_after_attempt(patience.attempts),
        wait=wait_exponential(multiplier=0.25, max=patience.answer),
        retry=retry_if_exception_type(_Passing),
        reraise=True,
    )
    with httpx.Client(timeout=patience.answer, follow_redirects=False) as client:
        again(_attempt, client, url, key, message.id, body)


def _attempt(client: httpx.Client, url: str, key: bytes, message_id: str, body: bytes) -> None:
    timestamp = int(datetime.now(UTC).timestamp())  # of this attempt: receivers refuse old ones
    headers = {
        "content-type": "application/json",
        "user-agent": f"muster/{__version__}",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(key, message_id, timestamp, body),
    }
    try:
        status = client.post(url, content=body, headers=headers).status_code
    except httpx.TimeoutException:
        raise _Passing("it did not answer in time") from None
    except httpx.TransportError as error:
        raise _Passing(f"it cannot be reached ({type(error).__name__})") from None
    if 200 <= status < 300:
        return
    raise (_Passing if status >= 500 or status in _LATER else RouteRefuses)(f"it answered {status}")
