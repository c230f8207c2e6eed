"""Airflow's REST API v2 as far as a cutover needs it: DAGs, their runs, task instances, a page at a time.

Promises: every call means the same when made twice, and is repeated while Airflow is busy or away, for `timeout` and no
longer; whatever goes wrong is one sentence that names the server; no proxy of the environment is used; password and
token are read from the environment and never told.
Traps: a page is cut to `[api] maximum_page_limit` rows without a word, whatever was asked for; a token that ran out is
status 401, a wrong one 403, as missing rights are; two writers at once may get status 500, "Database error"; the
clock in an answer's head has whole seconds.
Source: Airflow 3.3, `/docs` of a running server; the routes under `airflow/api_fastapi/core_api`.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, model_validator
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from muster.errors import Refusal, StepError, UsageError
from muster.quantity import Duration

PAGE = 100
_CALL_SECONDS = 20.0
_ROOT = "/api/v2/"
_DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_BUSY = frozenset({429, 500, 502, 503, 504})


class Address(BaseModel):
    """Where an Airflow answers, and as whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    """Where its web server is: `https://airflow.internal:8080`, without `/api/v2`."""
    username: str = ""
    password_env: str = ""
    """Name of the environment variable that holds the password; a token is asked for with it (`/auth/token`)."""
    token_env: str = ""
    """In place of both: name of the one that holds a token."""
    timeout: Duration = Field(default="30s", validate_default=True, gt=timedelta())
    """How long an Airflow that is busy or away is waited for."""

    @model_validator(mode="after")
    def _says_who(self) -> "Address":
        if bool(self.username) != bool(self.password_env):
            raise ValueError("'username' and 'password_env' (the name of a variable) go together")
        if bool(self.username) == bool(self.token_env):
            raise ValueError("say who asks by either 'username' and 'password_env' or 'token_env'")
        return self


class Api:
    """One Airflow. Safe to use from several threads."""

    def __init__(
        self,
        address: Address,
        transport: httpx.BaseTransport | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.url = address.url.rstrip("/")
        self._address, self._environment = address, environment
        self._token, self._lock = "", threading.Lock()
        self._patience = address.timeout.total_seconds()
        self._client = httpx.Client(
            base_url=self.url, timeout=min(_CALL_SECONDS, self._patience), trust_env=False, transport=transport
        )

    def get(self, path: str, **params: str | int) -> dict[str, Any] | None:
        """What is there; `None` where nothing is."""
        answer = self._ask("GET", path, params=params)
        return None if answer.status_code == HTTPStatus.NOT_FOUND else self._content(answer)

    def pages(self, path: str, **params: str | int) -> Iterator[dict[str, Any]]:
        """Every row of a list."""
        offset = 0
        while True:
            page = self._content(self._ask("GET", path, params={**params, "limit": PAGE, "offset": offset}))
            yield from (rows := _rows(page))
            offset += len(rows)
            if not rows or offset >= page["total_entries"]:
                return

    def found(self, path: str, body: Mapping[str, object]) -> Iterator[dict[str, Any]]:
        """Every row that a filter finds."""
        offset = 0
        while True:
            asked = {**body, "page_limit": PAGE, "page_offset": offset}
            page = self._content(self._ask("POST", path, json=asked))
            yield from (rows := _rows(page))
            offset += len(rows)
            if not rows or offset >= page["total_entries"]:
                return

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any] | None:
        """Make it; `None` where one like it is there already."""
        answer = self._ask("POST", path, json=body)
        return None if answer.status_code == HTTPStatus.CONFLICT else self._content(answer)

    def patch(self, path: str, body: Mapping[str, object]) -> dict[str, Any] | None:
        """Change it, and see what it is then; `None` where nothing is."""
        answer = self._ask("PATCH", path, json=body)
        return None if answer.status_code == HTTPStatus.NOT_FOUND else self._content(answer)

    def delete(self, path: str) -> bool:
        """Make sure that it is gone; false where Airflow says that it is at work and stays."""
        answer = self._ask("DELETE", path)
        if answer.status_code == HTTPStatus.CONFLICT:
            return False
        if answer.status_code != HTTPStatus.NOT_FOUND:
            self._content(answer)
        return True

    def clock(self) -> datetime | None:
        """Its own clock to the second, by the date of an answer."""
        said = self._ask("GET", "version").headers.get("date")
        return parsedate_to_datetime(said).astimezone(UTC) if said else None

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self._patiently(method, _ROOT + path, **more)
        if answer.status_code in _DENIED and self._address.username:
            with self._lock:
                self._token = ""
            answer = self._patiently(method, _ROOT + path, **more)
        return answer

    def _patiently(self, method: str, path: str, **more: Any) -> httpx.Response:
        tries = Retrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_delay(self._patience),
            wait=wait_random_exponential(multiplier=0.2, max=3),
            reraise=True,
        )
        try:
            return tries(self._once, method, path, **more)
        except httpx.HTTPStatusError as error:
            said = f"{error.response.status_code} {error.response.text[:300]}"
            raise StepError(f"{self.url} stays busy or broken: {said}", "see the log of its API server") from None
        except httpx.HTTPError as error:
            raise StepError(
                f"Airflow at {self.url} does not answer: {str(error) or type(error).__name__}",
                "start its API server, or correct its url in the plan",
            ) from None

    def _once(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._bearer()}"}
        return _settled(self._client.request(method, path, headers=headers, **more))

    def _bearer(self) -> str:
        if self._address.token_env:
            return self._secret(self._address.token_env)
        with self._lock:
            if not self._token:
                self._token = self._log_in()
            return self._token

    def _log_in(self) -> str:
        who = {"username": self._address.username, "password": self._secret(self._address.password_env)}
        answer = _settled(self._client.post("/auth/token", json=who))
        return str(self._content(answer).get("access_token", ""))

    def _secret(self, name: str) -> str:
        if value := self._environment.get(name, ""):
            return value
        raise UsageError(f"the environment variable {name} is not set", "it holds what Airflow asks for")

    def _content(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code in _DENIED:
            raise Refusal(f"{self.url} does not let us in ({answer.status_code})", "check the account and its rights")
        what = f"{answer.request.method} {answer.request.url.path}"
        if not answer.is_success:
            raise StepError(f"Airflow refused {what}: {answer.status_code} {answer.text[:300]}", "see Airflow's log")
        try:
            told = answer.json() if answer.content else {}
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise StepError(f"{what}: {self.url} answers with no JSON object", "is this the url of an Airflow 3?")
        return told


def dag_path(dag: str, rest: str = "") -> str:
    """The path of a DAG, and of what belongs to it."""
    return f"dags/{quote(dag, safe='')}{rest}"


def run_path(dag: str, run: str) -> str:
    """The path of a DAG's run."""
    return dag_path(dag, f"/dagRuns/{quote(run, safe='')}")


def _rows(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    return next((rows for rows in page.values() if isinstance(rows, list)), [])


def _settled(answer: httpx.Response) -> httpx.Response:
    if answer.status_code in _BUSY:
        answer.raise_for_status()
    return answer


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, httpx.TransportError) or (
        isinstance(error, httpx.HTTPStatusError) and error.response.status_code in _BUSY
    )
