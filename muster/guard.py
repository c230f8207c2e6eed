"""The guard of a job: it claims its tick before it works, so that a doubled tick runs once and a fenced scheduler not.

Promises: of all claims of a tick one is granted, whichever scheduler, process or thread it comes from; a claim whose
answer was lost is looked up, not guessed; what happens while the ledger is away was decided before, and is told;
importing this costs neither SQLAlchemy nor Prefect.
"""

import functools
import inspect
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from uuid import uuid4

from muster.errors import MusterError, Refusal, UsageError
from muster.ledger.claiming import (
    DUPLICATE,
    FENCED,
    GRANTED,
    Claimed,
    claim_on_postgres,
    claim_on_sqlite,
    forget_refusal,
    own_claim,
    text_of,
    tick_key,
)
from muster.ledger.direct import LedgerAway, direct

AWAY = "away"
TICK = "MUSTER_TICK"
"""The variable that says which tick a job serves, where its arguments do not."""

_LOG = logging.getLogger(__name__)
_WORDS = {
    DUPLICATE: "it was claimed before",
    FENCED: "its schedule is another scheduler's",
    AWAY: "the ledger is away",
}
Job = TypeVar("Job", bound=Callable[..., Any])


class WhenAway(StrEnum):
    """What a job does when the ledger gives no answer."""

    RUN = "run"
    """It works without a claim: rather twice than not at all."""
    WAIT = "wait"
    """It waits, and is refused when patience ends: rather not at all than twice."""


PATIENCE = {WhenAway.RUN: 5.0, WhenAway.WAIT: 60.0}
"""Seconds for which a ledger that is away is asked again."""


class Grant(NamedTuple):
    """Whether the job may work; true in a condition if so."""

    granted: bool
    why: str
    """`granted`, `duplicate`, `fenced` or `away`."""
    at: datetime | None
    """When, on the ledger's clock; `None` when it is away."""

    def __bool__(self) -> bool:
        return self.granted

    @property
    def words(self) -> str:
        """Why not, for people."""
        return _WORDS.get(self.why, "")


class TickRefused(Refusal):
    """The job may not work on this tick: `grant` says why."""

    def __init__(self, schedule: str, tick: datetime, grant: Grant) -> None:
        super().__init__(
            f"the tick of {schedule} at {told(tick)} is refused: {grant.words}",
            "nothing is to be done, unless the tick's work was not done by whoever has it",
        )
        self.grant = grant


class Guard:
    """Claims ticks for one scheduler, over one kept connection; safe to share between threads, and after a fork."""

    def __init__(
        self,
        url: str,
        holder: str = "",
        when_away: WhenAway = WhenAway.WAIT,
        *,
        patience: float | None = None,
        by: str = "",
        is_one_run: bool = False,
    ) -> None:
        """`holder` is the scheduler that starts the job; `by` says who claims (default: host and pid).

        With `is_one_run`, `by` is the words of one run, and what it claimed before it is granted again: a run that is
        tried once more meets no claim but its own.
        """
        self.holder = holder
        self.when_away = WhenAway(when_away)
        self.patience = PATIENCE[self.when_away] if patience is None else patience
        self._by = by
        self._is_one_run = is_one_run
        self._ledger = direct(url)
        self._claim = claim_on_postgres if self._ledger.is_postgres else claim_on_sqlite

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back; the next claim opens another."""
        self._ledger.close()

    def claim(self, schedule: str, tick: datetime, *, epoch: int | None = None) -> Grant:
        """Claim a tick. Raises `UsageError` when the address leads to no ledger, whatever `when_away` says."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, stop_all
        from tenacity import wait_random_exponential as wait

        tick_key(schedule, tick)
        whoever = self._by or f"{socket.gethostname()}/{os.getpid()}"
        by = whoever if self._is_one_run else f"{whoever}/{uuid4().hex}"
        values = {"schedule": schedule, "at": tick, "holder": self.holder, "epoch": epoch, "by": by}
        # Twice at least: a kept connection may have died long ago, with a server that is back since.
        stop = stop_all(stop_after_delay(self.patience), stop_after_attempt(2))
        again = retry_if_exception_type(LedgerAway)
        try:
            for attempt in Retrying(stop=stop, wait=wait(multiplier=0.1, max=1), retry=again, reraise=True):
                with attempt:
                    claimed = self._once(values, self._is_one_run or attempt.retry_state.attempt_number > 1)
        except LedgerAway as error:
            return self._without(schedule, tick, error)
        return Grant(*claimed)

    def _once(self, values: dict[str, Any], is_again: bool) -> Claimed:
        """An answer that was lost may have been a yes: the claim's own words say whether a row is ours.

        Asked before claiming again, and after: what was lost may have been on its way still.
        """
        if is_again and (found := self._own(values)):
            return found
        claimed = self._ledger.ask(lambda execute: self._claim(execute, values))
        if not (is_again and claimed.why == DUPLICATE and (found := self._own(values))):
            return claimed
        with suppress(MusterError):  # it may lack the right, and is granted all the same
            self._ledger.ask(lambda execute: forget_refusal(execute, values, self._ledger.is_postgres))
        return found

    def _own(self, values: dict[str, Any]) -> Claimed | None:
        at = self._ledger.ask(lambda execute: own_claim(execute, values, self._ledger.is_postgres))
        return None if at is None else Claimed(True, GRANTED, at)

    def _without(self, schedule: str, tick: datetime, error: LedgerAway) -> Grant:
        may = self.when_away is WhenAway.RUN
        what = "works without a claim, and may not be the only one" if may else "does not work"
        _LOG.warning("muster: %s at %s %s: %s", schedule, told(tick), what, error.message)
        return Grant(may, AWAY, None)


class Guarded:
    """What `guarded` gives: a decorator, and a context manager."""

    def __init__(self, schedule: str, tick: datetime | None, guard: Callable[[], Guard]) -> None:
        self._schedule = schedule
        self._tick = tick
        self._guard = guard

    def __enter__(self) -> Grant:
        tick = self._tick or tick_of_environment()
        grant = self._guard().claim(self._schedule, tick)
        if not grant:
            raise TickRefused(self._schedule, tick, grant)
        return grant

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """What the job raises is the job's."""

    def __call__(self, job: Job) -> Job:
        """Let the job be called on ticks that were claimed. An async one waits for the answer in a thread."""
        parameters = inspect.signature(job)

        def may(args: Any, kwargs: Any) -> bool:
            given = parameters.bind_partial(*args, **kwargs).arguments.get("tick")
            tick = given or self._tick or tick_of_environment()
            grant = self._guard().claim(self._schedule, tick)
            if not grant:
                _LOG.warning("muster: %s at %s is not run: %s", self._schedule, told(tick), grant.words)
            return grant.granted

        if inspect.iscoroutinefunction(job):

            @functools.wraps(job)
            async def claimed_before(*args: Any, **kwargs: Any) -> Any:
                import asyncio  # a claim from a shell does without

                return await job(*args, **kwargs) if await asyncio.to_thread(may, args, kwargs) else None

            return claimed_before  # type: ignore[return-value]

        @functools.wraps(job)
        def claimed_first(*args: Any, **kwargs: Any) -> Any:
            return job(*args, **kwargs) if may(args, kwargs) else None

        return claimed_first  # type: ignore[return-value]


def guarded(
    schedule: str,
    *,
    tick: datetime | None = None,
    url: str = "",
    holder: str = "",
    when_away: WhenAway | None = None,
    patience: float | None = None,
) -> Guarded:
    """Let a job work only on a tick that it claimed.

    As a decorator, a refused job is not called: the call returns `None`, and the log says why. In a `with` statement,
    where the body cannot be left out, it raises `TickRefused`. The tick is the job's argument `tick`, else `tick` here,
    else `MUSTER_TICK`; ledger, holder and `when_away` are `MUSTER_LEDGER`, `MUSTER_HOLDER` and `MUSTER_WHEN_AWAY` (else
    `wait`) unless they are said.
    """
    return Guarded(schedule, tick, lambda: _kept(url, holder, when_away, patience))


@functools.cache
def _kept(url: str, holder: str, when_away: WhenAway | None, patience: float | None) -> Guard:
    """One connection for all jobs of a process that are guarded alike."""
    said: str = when_away or ""
    if not (url and holder and said):
        from muster.settings import Settings

        settings = Settings.from_environment()
        url, holder, said = url or settings.ledger_url, holder or settings.holder, said or settings.when_away
    return Guard(url, holder, WhenAway(said or WhenAway.WAIT), patience=patience)


def tick_of_environment() -> datetime:
    """The tick that `MUSTER_TICK` names."""
    if not (text := os.environ.get(TICK)):
        raise UsageError(
            "nobody said which tick this is", f"pass `tick`, or set {TICK} to a time such as 2026-03-01T04:05Z"
        )
    return moment_of_text(text)


def moment_of_text(text: str) -> datetime:
    """An ISO 8601 time with its offset from UTC; `minute` for the minute that is passing, on this machine's clock."""
    if text == "minute":
        return datetime.now(UTC).replace(second=0, microsecond=0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UsageError(f"{text!r} is no time with an offset from UTC", "write it like 2026-03-01T04:05Z")
    return moment.astimezone(UTC)


def told(tick: datetime) -> str:
    """A tick for people and programs: UTC, no more digits than it has."""
    return text_of(tick).replace(".000000", "").replace("+00:00", "Z")
