"""Calls of `systemctl`, `systemd-analyze` and `journalctl`.

Promise: a call that does not answer in time, or fails, is a `StepError` with what it said. Source: systemctl(1),
systemd-analyze(1), journalctl(1); the journal's message ids are those of systemd's catalog.
"""

import json
import os
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from muster.cutover.schedule import CalendarRule, Stage
from muster.errors import StepError

_CALL_SECONDS = 60.0
_PROPERTIES = "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload"
_AT_ONCE = 500
_AT_REST = {"dead", "exited", "failed", "auto-restart"}
_ELAPSE = re.compile(r"(?:Next elapse|Iter\. #\d+): \w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")
_STAGES = {
    "7d4958e842da4a758f6c1cdc7b36dcc5": Stage.RUNNING,
    "39f53479d3a045ac8e11786248231fbf": Stage.RUNNING,
    "7ad2d189f7e94e70a38c781354912448": Stage.DONE,
    "d9b373ed55a64feb8242e02dbe79a49c": Stage.FAILED,
}


class State(NamedTuple):
    """What systemd says of a unit."""

    is_known: bool
    would_start: bool
    """Now, or after the next boot."""
    is_stale: bool
    """Its file was changed since systemd read it."""


class Run(NamedTuple):
    """A service at work."""

    run: str
    started: datetime


class Event(NamedTuple):
    """What the journal says of a service."""

    unit: str
    run: str
    at: datetime
    stage: Stage


class Systemctl:
    """The manager of the system, or of the user who runs Muster."""

    def __init__(self, scope: str) -> None:
        self._scope = ["--user"] if scope == "user" else []

    def version(self) -> str:
        """`StepError` when systemd does not answer."""
        return self.call("show", "--property=Version").strip().removeprefix("Version=")

    def states(self, units: Collection[str]) -> Mapping[str, State]:
        """Asked now."""
        if not units:
            return {}
        told = _blocks(self.call("show", f"--property={_PROPERTIES}", "--", *sorted(units)))
        return {
            block["Id"]: State(
                block["LoadState"] == "loaded",
                block["ActiveState"] in {"active", "activating", "reloading"}
                or block["UnitFileState"] in {"enabled", "enabled-runtime"},
                block["NeedDaemonReload"] == "yes",
            )
            for block in told
        }

    def runs(self, services: Collection[str]) -> Mapping[str, Run]:
        """Those that are at work now."""
        if not services:
            return {}
        properties = "--property=Id,SubState,InvocationID,InactiveExitTimestamp"
        return {
            block["Id"]: Run(
                block["InvocationID"], datetime.strptime(stamp, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
            )
            for block in _blocks(self.call("show", properties, "--", *sorted(services)))
            if block["SubState"] not in _AT_REST and (stamp := block["InactiveExitTimestamp"])
        }

    def call(self, *arguments: str) -> str:
        """What it prints."""
        return _output(["systemctl", *self._scope, "--no-ask-password", "--no-pager", *arguments])

    def events(self, services: Collection[str], after: datetime, until: datetime) -> list[Event] | None:
        """Starts and ends in the journal; `None` where there is none, or it begins later."""
        journal = ["journalctl", "--no-pager", "-o", "json"]
        if (begin := _begin(journal)) is None or begin > after:
            return None
        field, mine = ("USER_UNIT", [f"_UID={os.getuid()}"]) if self._scope else ("UNIT", [])
        window = [f"--since=@{after.timestamp():.6f}", f"--until=@{until.timestamp():.6f}"]
        units = [f"{field}={unit}" for unit in sorted(services)]
        found = []
        for record in _records(_output([*journal, *window, *mine, *units])):
            if (stage := _stage_of(record)) and field in record:
                found.append(Event(str(record[field]), _run_of(record), _moment(record), stage))
        return found


def ticks(rule: CalendarRule, after: datetime, until: datetime) -> Iterator[datetime]:
    """The due times in (after, until], by `systemd-analyze calendar`."""
    at = after
    while True:
        base = f"--base-time={at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        expression = f"{rule.expression} {rule.timezone}"
        said = _output(["systemd-analyze", "calendar", f"--iterations={_AT_ONCE}", base, expression])
        found = [datetime.strptime(m, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) for m in _ELAPSE.findall(said)]
        for at in found:
            if at > until:
                return
            if at > after:
                yield at
        if len(found) < _AT_ONCE:
            return


def last_tick(rule: CalendarRule, at: datetime) -> datetime | None:
    """The due time at this moment, or the last before it within a year."""
    for span in (timedelta(hours=2), timedelta(days=400)):
        if found := list(ticks(rule, at - span, at)):
            return found[-1]
    return None


def _blocks(shown: str) -> list[dict[str, str]]:
    """What `systemctl show` tells of each unit."""
    return [dict(line.partition("=")[::2] for line in b.splitlines()) for b in shown.strip().split("\n\n")]


def _begin(journal: Sequence[str]) -> datetime | None:
    """The journal's first moment."""
    try:
        with subprocess.Popen(journal, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as reading:
            first = reading.stdout.readline() if reading.stdout else ""
            reading.kill()
    except FileNotFoundError:
        return None
    return next((_moment(record) for record in _records(first)), None)


def _records(text: str) -> Iterator[Mapping[str, Any]]:
    for line in text.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def _stage_of(record: Mapping[str, Any]) -> Stage | None:
    """A service of `Type=oneshot` has finished when systemd calls it started."""
    stage = _STAGES.get(str(record.get("MESSAGE_ID")))
    return Stage.DONE if stage and str(record.get("MESSAGE")).startswith("Finished ") else stage


def _run_of(record: Mapping[str, Any]) -> str:
    return str(record.get("INVOCATION_ID") or record.get("USER_INVOCATION_ID") or "")


def _moment(record: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(int(record["__REALTIME_TIMESTAMP"]) / 1e6, UTC)


def _output(command: Sequence[str]) -> str:
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_CALL_SECONDS, check=False
        )
    except FileNotFoundError:
        raise StepError(f"there is no program {command[0]!r}", "install systemd, or use another scheduler") from None
    except subprocess.TimeoutExpired:
        raise StepError(f"{command[0]} did not answer in {_CALL_SECONDS:g} s", "see the machine's journal") from None
    if done.returncode:
        said = done.stderr.strip().replace("\n", "; ") or f"status {done.returncode}"
        raise StepError(f"{command[0]} failed: {said[:500]}", "run it by hand, as who runs Muster")
    return done.stdout
