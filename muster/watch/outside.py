"""What the watch asks over HTTP: the scheduler's health, and whoever raises the alarm when the watch falls silent.

Promises: every question has an end; an answer is yes, or a reason in words that hold no address.
"""

import logging

import httpx
from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_fixed

TIMEOUT = 5.0
"""Seconds for one answer."""
_ATTEMPTS = 3
_BETWEEN = 1.0

# A ping's address is all that guards it, and this library logs whole addresses.
logging.getLogger("httpx").setLevel(logging.WARNING)


def why_unhealthy(api: str, *, attempts: int = _ATTEMPTS, timeout: float = TIMEOUT) -> str:
    """Why a Prefect API, such as `http://127.0.0.1:4200/api`, is not healthy; nothing when it is.

    Asked several times: a loaded server is slow to answer, and that is no reason to wake anybody.
    """
    return _insist(f"{api.rstrip('/')}/health", attempts, timeout)


def ping(url: str, *, went_well: bool, attempts: int = _ATTEMPTS, timeout: float = TIMEOUT) -> str:
    """Tell a dead man's switch how the round went; why it did not hear, or nothing.

    A failure goes to `/fail` under the URL, as healthchecks.io has it.
    """
    address = httpx.URL(url)
    if not went_well:
        address = address.copy_with(path=address.path.rstrip("/") + "/fail")
    return _insist(str(address), attempts, timeout)


def _insist(url: str, attempts: int, timeout: float) -> str:
    again = Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait_fixed(_BETWEEN),
        retry=retry_if_result(bool),
        retry_error_callback=lambda state: str(state.outcome.result()) if state.outcome else "",
    )
    return str(again(_ask, url, timeout))


def _ask(url: str, timeout: float) -> str:
    try:
        status = httpx.get(url, timeout=timeout, follow_redirects=True).status_code
    except httpx.TimeoutException:
        return "it did not answer in time"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"it cannot be reached ({type(error).__name__})"
    return "" if 200 <= status < 300 else f"it answered {status}"
