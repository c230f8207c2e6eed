"""Patroni's REST API: what a member says of itself and of its cluster, and the few things it can be asked to do.

Promises: every call is bounded and made once, never repeated; a request for a handover that is not done says why in
one sentence, with the next move; a proxy of the environment is never used.
Traps: a member that lost the DCS closes `/cluster` without an answer; `/cluster` shows a dead member as it last was
until `ttl` is over; `/config` holds only what was set, the rest is Patroni's default; status 200 of a switchover may
name another member than the one that was asked for.
Source: Patroni 4 documentation, "REST API", "Dynamic configuration"; `patroni/api.py`.
"""

import os
import ssl
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from muster.errors import MusterError, StepError, SystemFailure, UsageError

_CONNECT_SECONDS = 2.0
_READ_SECONDS = 5.0
_LEADS = frozenset({"leader", "standby_leader"})


class Access(BaseModel):
    """What the API asks of us, if anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    username: str | None = None
    password: str | None = None
    """Name of the environment variable that holds it."""
    ca: Path | None = None
    """Certificates that the members' own are signed by; default: those of this system."""
    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "Access":
        if (self.username is None) != (self.password is None):
            raise ValueError("'username' and 'password' (the name of a variable) go together")
        return self


class _Answer(BaseModel):
    """A part of what Patroni answers: keys that nobody here asks for are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Member(_Answer):
    """One member, as the DCS knows it."""

    name: str
    role: str
    state: str
    timeline: int | None = None
    lag: int | str | None = None
    """Bytes behind; `unknown` of one that says nothing."""

    @property
    def leads(self) -> bool:
        """Whether it holds the leader key."""
        return self.role in _LEADS

    @property
    def is_synchronous(self) -> bool:
        """Whether Patroni keeps it as synchronous standby."""
        return self.role in {"sync_standby", "quorum_standby"}


class Scheduled(_Answer):
    """A switchover that somebody planned."""

    at: str


class Cluster(_Answer):
    """`GET /cluster`: read from the DCS when it is asked for."""

    scope: str
    members: tuple[Member, ...]
    is_paused: bool = Field(default=False, alias="pause")
    scheduled_switchover: Scheduled | None = None

    @property
    def leader(self) -> Member | None:
        """Who holds the leader key."""
        return next((m for m in self.members if m.leads), None)

    def member(self, name: str) -> Member | None:
        """The member of this name, unless the DCS has forgotten it."""
        return next((m for m in self.members if m.name == name), None)


class _Self(_Answer):
    name: str
    scope: str
    version: str


class Status(_Answer):
    """`GET /patroni`: a member of itself."""

    state: str
    role: str = ""
    """`primary`, `standby_leader`, `replica`. Left out when its PostgreSQL does not answer."""
    system_identifier: str = Field(default="", alias="database_system_identifier")
    started: datetime | None = Field(default=None, alias="postmaster_start_time")
    is_paused: bool = Field(default=False, alias="pause")
    itself: _Self = Field(alias="patroni")


class _PostgresConfig(_Answer):
    use_pg_rewind: bool = False


class Config(_Answer):
    """`GET /config`, with Patroni's own defaults for what is not set. Times are in seconds."""

    ttl: int = 30
    loop_wait: int = 10
    retry_timeout: int = 10
    synchronous_mode: bool | str = False
    postgresql: _PostgresConfig = _PostgresConfig()
    standby_cluster: Mapping[str, Any] | None = None

    @property
    def words(self) -> str:
        """What decides how long a takeover takes."""
        return f"ttl {self.ttl} s, loop_wait {self.loop_wait} s, retry_timeout {self.retry_timeout} s"

    @property
    def is_standby(self) -> bool:
        """Whether this is a standby cluster, or about to be one."""
        return bool(self.standby_cluster)

    @property
    def is_synchronous(self) -> bool:
        """Whether Patroni itself keeps `synchronous_standby_names`."""
        return str(self.synchronous_mode).lower() in {"true", "on", "quorum"}

    @property
    def patience(self) -> float:
        """Seconds in which Patroni must have acted upon a loss: the key runs out, a cycle sees it, retries end."""
        return self.ttl + 2 * (self.loop_wait + self.retry_timeout)

    @property
    def handover_seconds(self) -> float:
        """How long Patroni itself may watch a handover before it answers, and some more."""
        return 2 * max(10, self.loop_wait) + 2 * self.retry_timeout + 10


A = TypeVar("A", bound=_Answer)


class NoAnswer(StepError):
    """A member's API does not answer, or cannot reach the DCS."""


class Api:
    """One member's REST API. `transport` takes the place of the network."""

    def __init__(
        self, name: str, url: str, access: Access | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self._access = access or Access()
        self._transport = transport

    def status(self) -> Status:
        """What the member says of itself."""
        return self._read(Status, "/patroni")

    def cluster(self) -> Cluster:
        """What the DCS says of the cluster, through this member."""
        return self._read(Cluster, "/cluster")

    def config(self) -> Config:
        """The cluster's settings."""
        return self._read(Config, "/config")

    def is_alive(self) -> bool:
        """Whether the member's Patroni answers at all."""
        try:
            return bool(self._ask("GET", "/liveness", seconds=_CONNECT_SECONDS).status_code)
        except NoAnswer:
            return False

    def in_words(self) -> str:
        """What the member says of itself."""
        try:
            status = self.status()
        except NoAnswer:
            return f"{self.name}'s Patroni does not answer"
        return f"{self.name}'s server is {status.state}{f' as {status.role}' if status.role else ''}"

    def switch_over(self, leader: str, candidate: str, seconds: float) -> str:
        """Ask the leader to hand over to the candidate, and wait for Patroni's word on it."""
        return self._hand_over("switchover", {"leader": leader, "candidate": candidate}, seconds)

    def fail_over(self, candidate: str, seconds: float) -> str:
        """Ask for the candidate to take over, whatever has become of the leader."""
        return self._hand_over("failover", {"candidate": candidate}, seconds)

    def reinitialize(self) -> None:
        """Throw the member's data away and copy the leader's, even in the midst of another action."""
        answer = self._ask("POST", "/reinitialize", {"force": True})
        if answer.status_code != httpx.codes.OK:
            raise self._denied(answer) or SystemFailure(
                f"{self.name} is not reinitialized: {_words(answer)}", "see Patroni's log on this member"
            )

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change the cluster's settings; `None` takes one out."""
        answer = self._ask("PATCH", "/config", dict(changes))
        if answer.status_code != httpx.codes.OK:
            raise self._denied(answer) or SystemFailure(
                f"the settings of the cluster are not changed (status {answer.status_code}): {_words(answer)}",
                "somebody else changes them now, or the DCS does not answer: see Patroni's log",
            )

    def _hand_over(self, verb: str, body: Mapping[str, str], seconds: float) -> str:
        answer = self._ask("POST", f"/{verb}", body, seconds)
        error = self._denied(answer) or _handover_error(verb, body["candidate"], answer)
        if error:
            raise error
        return _words(answer)

    def _read(self, model: type[A], path: str) -> A:
        answer = self._ask("GET", path)
        if answer.status_code != httpx.codes.OK:
            raise self._denied(answer) or NoAnswer(
                f"{self.name} answers {path} with status {answer.status_code}: {_words(answer)}",
                "see whether its Patroni reaches the DCS",
            )
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            raise UsageError(
                f"{self.url}{path} does not answer as Patroni does ({error.error_count()} keys are not there or wrong)",
                f"mend the key 'api' of the node {self.name}",
            ) from None

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, seconds: float = _READ_SECONDS
    ) -> httpx.Response:
        timeout = httpx.Timeout(seconds, connect=_CONNECT_SECONDS)
        try:
            return self._client.request(method, path, json=body, timeout=timeout)
        except httpx.ConnectError as error:
            raise NoAnswer(f"{self.name}: {self.url} cannot be reached: {error}", "start its Patroni") from None
        except httpx.HTTPError as error:
            words = str(error) or type(error).__name__
            raise NoAnswer(f"{self.name}: {self.url}{path} gives no answer: {words}", "see Patroni's log") from None

    def _denied(self, answer: httpx.Response) -> MusterError | None:
        if answer.status_code not in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            return None
        return UsageError(
            f"{self.name}: {self.url} does not let us in (status {answer.status_code}): {_words(answer)}",
            "set target.access (username, password, certificate) to what `restapi` in patroni.yml asks for",
        )

    @cached_property
    def _client(self) -> httpx.Client:
        # Members may sit behind anything, but never behind the proxy for the world outside.
        return httpx.Client(
            base_url=self.url,
            auth=self._credentials(),
            verify=self._trust() if self.url.startswith("https:") else True,
            transport=self._transport,
            trust_env=False,
        )

    def _credentials(self) -> tuple[str, str] | None:
        if self._access.username is None or self._access.password is None:
            return None
        password = os.environ.get(self._access.password)
        if not password:
            raise UsageError(
                f"the environment variable {self._access.password} is not set",
                "set it to the password of Patroni's REST API",
            )
        return self._access.username, password

    def _trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._access.ca)
        if self._access.certificate:
            context.load_cert_chain(self._access.certificate, self._access.key)
        return context


def _handover_error(verb: str, candidate: str, answer: httpx.Response) -> MusterError | None:
    """Why a handover is not done, by status and words; `None` when it is."""
    said, status = _words(answer), answer.status_code
    if status == httpx.codes.OK:
        if "instead of" in said:
            return SystemFailure(
                f"another member than {candidate} took over: {said}", "see Patroni's log for why it could not"
            )
        return None
    if status == httpx.codes.ACCEPTED:
        return StepError(f"the {verb} is only scheduled: {said}", "cancel it with `patronictl flush`")
    if status == httpx.codes.PRECONDITION_FAILED:
        return SystemFailure(f"the {verb} to {candidate} is not possible: {said}", _advice(said))
    if status == httpx.codes.CONFLICT:
        return SystemFailure(
            f"the {verb} to {candidate} met another change of the cluster (status 409): {said}",
            "see who else changes it: `patronictl history`",
        )
    if status == httpx.codes.SERVICE_UNAVAILABLE:
        return SystemFailure(
            f"the {verb} to {candidate} did not succeed: {said}",
            "see Patroni's log on both members: the candidate may lag, or the DCS not answer",
        )
    return StepError(f"Patroni answers the {verb} with status {status}: {said}", "see Patroni's log on the leader")


def _advice(said: str) -> str:
    """The next move after status 412, by what Patroni complains of (`is_failover_possible` in its api.py)."""
    if "leader name" in said:
        return "somebody else moved the leader meanwhile: see `patronictl history`"
    if "sync_standby" in said:
        return "in synchronous mode only the synchronous standby may take over: wait until the candidate is it"
    if "does not exist" in said:
        return "start the candidate's Patroni, or name another node"
    return "look at the candidate: it must be reachable, without the tag `nofailover`, and not far behind"


def _words(answer: httpx.Response) -> str:
    return " ".join(answer.text.split())[:300] or answer.reason_phrase
