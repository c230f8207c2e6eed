"""What cron's log tells of its starts.

Promises: a start is laid to the schedule whose command and user the line names, and, where several have these, to
one that was due; its tick is the minute in which it was logged. A log that begins later than what is asked for says
nothing: `None`, not "nothing was started". Of a run whose end is not logged its process says whether it is at work;
where no end ever is, nobody knows what became of it. Source: the lines of Debian's cron, seen at each of its log
levels; it logs a command without what follows an unescaped `%`.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import psutil
from cronsim import CronSim

from muster.cutover.schedule import Firing, Stage
from muster.errors import StepError
from tasks.schedulers.cron_rules import rule_of
from tasks.schedulers.crontab_lines import Entry, read_command
from tasks.schedulers.untellable import Untellable

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\S+|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) ")
_LINE = re.compile(r"CRON\[(?P<pid>\d+)\]: \((?P<user>[^)]*)\) (?P<what>CMD|END|error) \((?P<text>.*)\)\s*$")
_BIRTH_SECONDS = 30.0
"""How long before its line in the log, or after it by clocks set, cron's process may have begun."""
_MINUTE = timedelta(minutes=1)
_ENDS = {"END": Stage.DONE, "error": Stage.FAILED}


@dataclass(frozen=True)
class Watched:
    """The lines whose starts are looked for."""

    entries: Sequence[Entry]
    owner: str
    """Whose crontab it is, where lines have no user column; empty: unknown."""
    zone: str

    def schedule_of(self, user: str, command: str, at: datetime, taken: frozenset[str]) -> str | None:
        """Which one was started so, of those that were not yet at this minute."""
        fitting = [e for e in self.entries if _logged(e) == command and user in {e.user or self.owner or user}]
        due = [e for e in fitting if len(fitting) == 1 or self._is_due(e, at)]
        return next((e.schedule for e in due if e.schedule not in taken), None)

    def _is_due(self, entry: Entry, at: datetime) -> bool:
        try:
            expression = rule_of(entry.when, self.zone).expression
        except Untellable:
            return False
        here = at.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        return bool(next(CronSim(expression, here - _MINUTE)) == here)


def firings(log: Path, watched: Watched, after: datetime, until: datetime) -> tuple[Firing, ...] | None:
    """Of ticks in (after, until], from this log and the one that was rotated last, if it is there uncompressed."""
    said = _read(log, watched)
    if said.begin is None or said.begin > after:
        return None
    return tuple(_as_it_is(firing, said) for firing in said.starts if after < firing.at <= until)


def _as_it_is(firing: Firing, said: "_Said") -> Firing:
    if firing.stage.is_over:
        return firing
    if _lives(firing):
        return firing.model_copy(update={"stage": Stage.RUNNING})
    return firing if said.tells_ends else firing.model_copy(update={"stage": Stage.BEGUN})


def alive(log: Path, watched: Watched) -> tuple[Firing, ...] | None:
    """Starts that are not over: cron's own process for each, which the log names, lives as long as the run."""
    said = _read(log, watched)
    if said.begin is None:
        return None
    return tuple(
        firing.model_copy(update={"stage": Stage.RUNNING})
        for firing in said.starts
        if not firing.stage.is_over and _lives(firing)
    )


def _lives(firing: Firing) -> bool:
    try:
        born = psutil.Process(int(firing.run.partition(" ")[0])).create_time()
    except psutil.NoSuchProcess:
        return False
    return firing.started is not None and abs(born - firing.started.timestamp()) < _BIRTH_SECONDS


class _Said(NamedTuple):
    """A log that was read."""

    begin: datetime | None
    """Its first moment."""
    starts: Collection[Firing]
    tells_ends: bool
    """Whether any run's end is in it: cron's log level decides that."""


def _read(log: Path, watched: Watched) -> _Said:
    begin, found, tells_ends = None, dict[tuple[str, datetime], Firing](), False
    running: dict[str, tuple[str, datetime]] = {}
    for moment, line in _lines(log, watched.zone):
        begin = begin or moment
        match = _LINE.search(line)
        if match is None:
            continue
        tells_ends = tells_ends or match["what"] == "END"
        if match["what"] == "CMD":
            if firing := _firing(match, moment, watched, found.keys()):
                key = running[match["pid"]] = firing.schedule, firing.at
                found[key] = firing
        elif (key := running.get(match["pid"], ("", moment))) in found and not found[key].stage.is_over:
            found[key] = found[key].model_copy(update={"stage": _ENDS[match["what"]], "ended": moment})
    return _Said(begin, found.values(), tells_ends)


def _firing(
    match: re.Match[str], moment: datetime, watched: Watched, found: Collection[tuple[str, datetime]]
) -> Firing | None:
    at = moment.replace(second=0, microsecond=0)
    command = re.sub(r"^\[\d+\] ", "", match["text"])
    taken = frozenset(schedule for schedule, tick in found if tick == at)
    schedule = watched.schedule_of(match["user"], command, at, taken)
    run = f"{match['pid']} at {moment:%Y-%m-%dT%H:%M:%SZ}"
    return Firing(schedule=schedule, at=at, run=run, stage=Stage.TAKEN, started=moment) if schedule else None


def _lines(log: Path, zone: str) -> Iterator[tuple[datetime, str]]:
    """With their moments, in order."""
    for path in (log.with_name(f"{log.name}.1"), log):
        try:
            with path.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    if match := _STAMP.match(line):
                        yield _moment(match[1], zone), line
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StepError(f"cron's log {path} cannot be read: {error.strerror}", "see its rights") from None


def _moment(stamp: str, zone: str) -> datetime:
    """The traditional stamp has no year: it is the latest that is not in the future."""
    if stamp[0].isdigit():
        return datetime.fromisoformat(stamp).astimezone(UTC)
    now = datetime.now(ZoneInfo(zone))
    for year in (now.year, now.year - 1):
        try:
            moment = datetime.strptime(f"{year} {stamp}", "%Y %b %d %H:%M:%S").replace(tzinfo=now.tzinfo)
        except ValueError:
            continue
        if moment <= now + timedelta(days=1):
            return moment.astimezone(UTC)
    return datetime.min.replace(tzinfo=UTC)


def _logged(entry: Entry) -> str:
    """The command as cron logs it: bytes beyond ASCII in octal."""
    command = read_command(entry.written)[0].encode(errors="surrogateescape")
    return "".join(_shown(byte) for byte in command)


def _shown(byte: int) -> str:
    if byte < 32:
        return f"^{chr(byte + 64)}"
    return chr(byte) if byte < 127 else "^?" if byte == 127 else f"\\{byte:03o}"
