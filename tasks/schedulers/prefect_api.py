"""Prefect's REST API as far as a cutover needs it: deployments, runs, work pools, a page at a time.

Promises: a call that changes nothing, or means the same when made twice, is repeated while the server is busy or away,
for `patience` and no longer; whatever goes wrong is one sentence that names the server; no proxy of the environment is
used; a key is taken from the environment and never told.
Source: Prefect 3.8, `/docs` of a running server. A filter returns 200 rows at most, a deletion takes 50 runs.
"""

import os
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, model_validator
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from muster.errors import Refusal, StepError, UsageError
from muster.quantity import Duration

PAGE = 200
DELETED_AT_ONCE = 50
_MANY_IDS = 150
"""Ids in one filter: SQLite binds a limited number of values to a statement."""
_TURNED_BACK = 20
"""Times in a row that a page is read again without a row that is new: rows that move are caught up with sooner."""
_CALL_SECONDS = 20.0
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE})


class Address(BaseModel):
    """Where a server or workspace answers, and as whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api: str = ""
    """URL of the API: `http://host:4200/api`, or that of a Cloud workspace."""
    profile: str = ""
    """In place of `api`: a profile of Prefect's own file."""
    profiles: Path = Path("~/.prefect/profiles.toml")
    key_env: str = ""
    """Name of the environment variable that holds an API key."""
    auth_env: str = ""
    """Name of the one that holds `user:password`, where the server asks for that."""
    patience: Duration = Field(default="30s", validate_default=True, gt=timedelta())
    """How long a server that is busy or away is waited for."""

    @model_validator(mode="after")
    def _says_where(self) -> "Address":
        if bool(self.api) == bool(self.profile):
            raise ValueError("name the server by either 'api' or 'profile'")
        return self


class Api:
    """One server. Safe to use from several threads."""

    def __init__(self, address: Address, transport: httpx.BaseTransport | None = None) -> None:
        self.url, key = _where(address)
        if httpx.URL(self.url).userinfo:
            raise UsageError("the URL of a Prefect server holds a password", "keep it in the variable of `auth_env`")
        user, _, password = _secret(address.auth_env).partition(":") if address.auth_env else ("", "", "")
        self._secrets = tuple(said for said in (key, password) if said)
        self._patience = address.patience.total_seconds()
        self._client = httpx.Client(
            base_url=self.url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            auth=(user, password) if address.auth_env else None,
            timeout=min(_CALL_SECONDS, self._patience),
            trust_env=False,
            transport=transport,
        )

    def get(self, path: str) -> Any:
        """What is there; `None` where nothing is."""
        answer = self._ask("GET", path)
        return None if answer.status_code == HTTPStatus.NOT_FOUND else self._content(answer, path)

    def post(self, path: str, body: object) -> Any:
        """A filter, or a creation that means the same when made twice."""
        return self._content(self._ask("POST", path, body), path)

    def patch(self, path: str, body: object) -> None:
        """Change it."""
        self._content(self._ask("PATCH", path, body), path)

    def delete(self, path: str) -> None:
        """Make sure that it is gone."""
        answer = self._ask("DELETE", path)
        if answer.status_code != HTTPStatus.NOT_FOUND:
            self._content(answer, path)

    def pages(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Every row of a filter, once. Pages overlap by a row: where that is missing, others moved up unseen.

        A `StepError` where they never come to overlap: what is read then is not all of it.
        """
        seen: set[str] = set()
        offset = turned = 0
        while True:
            page = self.post(path, {**body, "limit": PAGE, "offset": offset})
            if offset and (not page or page[0]["id"] not in seen):
                turned += 1
                if turned > _TURNED_BACK:
                    raise StepError(f"{self.url} answers {path} with pages that do not fit together", "see its log")
                offset = max(0, offset - PAGE + 1)
                continue
            new = [row for row in page if row["id"] not in seen]
            turned = 0 if new else turned
            yield from new
            seen.update(row["id"] for row in page)
            if len(page) < PAGE:
                return
            offset += PAGE - 1

    def clock(self) -> datetime | None:
        """The server's own clock to the second, by the date of an answer."""
        said = self._ask("GET", "health").headers.get("date")
        return parsedate_to_datetime(said).astimezone(UTC) if said else None

    def _ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        tries = Retrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_delay(self._patience),
            wait=wait_random_exponential(multiplier=0.2, max=3),
            reraise=True,
        )
        try:
            return tries(self._once, method, path, body)
        except httpx.HTTPStatusError as error:
            raise StepError(f"{self.url} stays busy: {error.response.status_code}", "look at the server") from None
        except httpx.HTTPError as error:
            raise StepError(
                f"the Prefect server at {self.url} does not answer: {str(error) or type(error).__name__}",
                "start it, or correct its address in the plan",
            ) from None

    def _once(self, method: str, path: str, body: object) -> httpx.Response:
        answer = self._client.request(method, path, json=body)
        if answer.status_code in _BUSY:
            answer.raise_for_status()
        return answer

    def _content(self, answer: httpx.Response, path: str) -> Any:
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise Refusal(
                f"{answer.request.url.host} does not let us in ({answer.status_code})", "check key and rights"
            )
        if not answer.is_success:  # to be sent elsewhere is no answer either
            said = answer.text
            for secret in self._secrets:
                said = said.replace(secret, "***")
            raise StepError(f"Prefect refused {answer.request.method} {path}: {answer.status_code} {said[:300]}")
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise StepError(
                f"{answer.request.url} answered with something that is no JSON", "is this the address of the API?"
            ) from None


def batches(ids: Sequence[str], size: int = _MANY_IDS) -> Iterator[list[str]]:
    """So many at a time as one filter takes."""
    source = iter(ids)
    while batch := list(islice(source, size)):
        yield batch


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, httpx.TransportError) or (
        isinstance(error, httpx.HTTPStatusError) and error.response.status_code in _BUSY
    )


def _where(address: Address) -> tuple[str, str]:
    key = _secret(address.key_env) if address.key_env else ""
    if not address.profile:
        return address.api, key
    path = address.profiles.expanduser()
    try:
        profile = tomllib.loads(path.read_text())["profiles"][address.profile]
        return str(profile["PREFECT_API_URL"]), key or str(profile.get("PREFECT_API_KEY", ""))
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        raise UsageError(
            f"{path} has no profile {address.profile!r} with a PREFECT_API_URL", "see `prefect profile ls`"
        ) from None


def _secret(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise UsageError(f"the environment variable {name} is not set", "it holds what the Prefect server asks for")
    return value
