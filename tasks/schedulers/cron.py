"""Scheduler `cron`: one crontab, a user's or one with a user column, such as `/etc/crontab` or a file in `/etc/cron.d`.

A line is held by turning it into a comment, all of a cutover's lines in one write; released by taking that away. A
comment in front of a line, `# muster: name=orders owner=data tags=a,b`, names what cron has no place for.
Promises: other lines, comments and their order stay byte for byte; a table that somebody else changes between reading
and writing is not overwritten; `hold` returns when cron has either started a tick or will not.
Traps: cron cannot be asked what it will do, and makes up for nothing. It reads a table at second 1 of a minute: no
verb writes from half a second before the full minute to 3 s after, but waits.
"""

import pwd
import re
import socket
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from muster.cutover.schedule import Cut, Dialect, Firing, Inventory, Job, Schedule, Tick
from muster.errors import Refusal, StepError
from muster.identity import Identity
from muster.settings import Settings
from tasks.schedulers.cron_log import Watched, alive, firings
from tasks.schedulers.crontab_jobs import carried, entry_of, inventory_of, losses, obstacles, with_mirror
from tasks.schedulers.crontab_lines import Entry, entries_of, with_held, without
from tasks.schedulers.crontab_store import FileTable, Table, UserTable, change
from tasks.schedulers.scheduler import Reach
from tasks.schedulers.zones import is_zone, machine_zone

_SPOOL = "crontabs"


class Spec(BaseModel):
    """The scheduler's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["cron"] = "cron"
    file: Path | None = None
    """The table as a file; it need not be there yet."""
    user: str = ""
    """Whose table, kept by `crontab`; instead of `file`."""
    form: Literal["user", "system"] = "user"
    """Whether its lines have a user column."""
    run_as: str = ""
    """The user column of mirrored jobs that come without a user."""
    timezone: str = ""
    """The clock that cron goes by; default: this machine's."""
    log: Path | None = None
    """Where cron's starts are logged; without it there is no history."""

    @field_validator("timezone")
    @classmethod
    def _known(cls, zone: str) -> str:
        if zone and not is_zone(zone):
            raise ValueError(f"there is no time zone {zone!r}")
        return zone

    @model_validator(mode="after")
    def _one_table(self) -> "Spec":
        if (self.file is None) == (not self.user):
            raise ValueError("name either a file or a user")
        if self.form == "system" and self.user:
            raise ValueError("a user's crontab has no user column")
        if self.run_as and self.form == "user":
            raise ValueError("run_as is for form: system")
        return self


class Crontab:
    """One table."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._zone = spec.timezone or machine_zone()
        mode = 0o644 if spec.form == "system" else 0o600
        self._table: Table = FileTable(spec.file, mode) if spec.file else UserTable(spec.user)

    @property
    def dialect(self) -> Dialect:
        """Debian's cron."""
        return Dialect.CRON

    def identify(self) -> Identity:
        """The table is read; `Refusal` for one that cron would pass over."""
        if self._spec.file:
            _refuse_unread(self._spec.file)
        try:
            text = self._table.read()
        except StepError as error:
            raise Refusal(error.message, error.advice) from None
        self._refuse_unfinished(text)
        found = len(entries_of(text, self._spec.form))
        return Identity(
            description=f"cron on {socket.gethostname()}: {self._table}, on the clock of {self._zone}",
            system_identifier=f"cron {socket.gethostname()} {self._table}",
            proof=f"read: {found} line{'s' * (found != 1)} that start something",
        )

    def now(self) -> datetime | None:
        """This machine's clock."""
        return datetime.now(UTC)

    def inventory(self, cut: Cut) -> Inventory:
        """Every line of the cut; those that we hold are inactive, other comments are nothing."""
        return inventory_of(self._entries(), cut, self._zone)

    def untold(self, job: Job, schedule: Schedule) -> tuple[str, ...]:
        """What stands in the way of a line for it, and what the line would not say."""
        user = self._user_of(job)
        lost = losses(job, schedule, user=user if self._spec.form == "system" else self._owner() or None)
        return (*obstacles(job, schedule, zone=self._zone, user=user), *lost)

    def carried(self, schedule: Schedule) -> Schedule | None:
        """Five fields on cron's clock, and nothing else."""
        return carried(schedule, self._zone)

    def gate_of(self, job: Job) -> str:
        """Each line is held by itself."""
        return ""

    def objection(self, jobs: Sequence[Job], schedules: Sequence[Schedule], mark: str) -> str:
        """What there can be no lines for, and what stands there and is not ours."""
        try:
            text, wanted = self._table.read(), self._wanted(jobs, schedules, mark)
            self._refuse_unfinished(text)
            if wanted:
                with_mirror(text, self._spec.form, wanted, str(self._table))
        except Refusal as refusal:
            return refusal.message
        return ""

    def _wanted(self, jobs: Sequence[Job], schedules: Sequence[Schedule], mark: str) -> list[Entry]:
        by_name = {job.name: job for job in jobs}
        pairs = [(by_name[schedule.job], schedule) for schedule in schedules]
        for job, schedule in pairs:
            if found := obstacles(job, schedule, zone=self._zone, user=self._user_of(job)):
                raise Refusal(f"cron cannot have {schedule.name}: {'; '.join(found)}", "change it, or leave it out")
        return [
            entry_of(job, schedule, zone=self._zone, user=self._user_of(job) or "", mark=mark)
            for job, schedule in pairs
        ]

    def mirror(self, jobs: Sequence[Job], schedules: Sequence[Schedule], reach: Reach) -> None:
        """A paragraph each. `Refusal` where there can be none, or what stands there is not ours."""
        if wanted := self._wanted(jobs, schedules, reach.mark):
            self._change(lambda text: with_mirror(text, self._spec.form, wanted, str(self._table)), reach)

    def remove(self, jobs: Collection[str], reach: Reach) -> None:
        """Their paragraphs, environment too. A run at work is not touched."""
        self._change(lambda text: without(text, self._spec.form, jobs, reach.mark), reach)

    def arm(self, schedules: Collection[str], reach: Reach) -> None:
        """Nothing to do: a release is one write."""

    def release(self, schedules: Collection[str], reach: Reach) -> None:
        """One write for all."""
        if missing := sorted(set(schedules) - {entry.schedule for entry in self._entries()}):
            raise StepError(f"{self._table} has no {', '.join(missing)}", "mirror it first, or put the line back")
        self._change(lambda text: with_held(text, self._spec.form, schedules, held=False), reach)

    def hold(self, schedules: Collection[str], reach: Reach) -> None:
        """One write for all."""
        self._change(lambda text: with_held(text, self._spec.form, schedules, held=True), reach)

    def rest(self, schedules: Collection[str], reach: Reach) -> None:
        """Nothing to do: cron makes no runs ahead."""

    def released(self, schedules: Collection[str]) -> frozenset[str]:
        """Read anew."""
        return frozenset(e.schedule for e in self._entries() if not e.is_held and e.schedule in schedules)

    def next_ticks(self, schedules: Sequence[Schedule], after: datetime, until: datetime) -> tuple[Tick, ...] | None:
        """Cron cannot be asked."""
        return None

    def history(self, schedules: Collection[str], after: datetime, until: datetime) -> tuple[Firing, ...] | None:
        """From its log, if the plan names it and it reaches back far enough."""
        if self._spec.log is None:
            return None
        entries = [entry for entry in self._entries() if entry.schedule in schedules]
        return firings(self._spec.log, Watched(entries, self._owner(), self._zone), after, until)

    def at_work(self, schedules: Collection[str]) -> tuple[Firing, ...] | None:
        """Starts in the log whose process is alive; `None` without a log."""
        if self._spec.log is None:
            return None
        entries = [entry for entry in self._entries() if entry.schedule in schedules]
        return alive(self._spec.log, Watched(entries, self._owner(), self._zone))

    def drop(self, ticks: Collection[Tick], reach: Reach) -> None:
        """Nothing to do: cron makes no runs ahead."""

    def start(self, ticks: Collection[Tick], reach: Reach) -> frozenset[Tick]:
        """Cron makes up for nothing."""
        return frozenset()

    def _entries(self) -> tuple[Entry, ...]:
        return entries_of(self._table.read(), self._spec.form)

    def _change(self, edit: Any, reach: Reach) -> None:
        def whole(text: str) -> str:
            self._refuse_unfinished(text)
            return str(edit(text))

        change(self._table, whole, reach.seconds_left)

    def _refuse_unfinished(self, text: str) -> None:
        if text and not text.endswith("\n"):
            raise Refusal(f"{self._table} does not end with a line break: cron ignores it", "add one")

    def _user_of(self, job: Job) -> str | None:
        """The user column; `None` where there is none."""
        return str(job.own.get("user") or self._spec.run_as) if self._spec.form == "system" else None

    def _owner(self) -> str:
        """Whose table it is; empty where lines say so themselves, or nothing does."""
        if self._spec.file and self._spec.file.parent.name == _SPOOL:
            return self._spec.file.name
        return self._spec.user


def open_scheduler(keys: dict[str, Any], settings: Settings) -> Crontab:  # noqa: ARG001
    """The scheduler of a plan."""
    return Crontab(Spec.model_validate(keys))


def _refuse_unread(path: Path) -> None:
    """What cron would not read, by its place or rights. Source: cron(8)."""
    place = path.parent.name
    if place == "cron.d" and not re.fullmatch(r"[A-Za-z0-9_-]+", path.name):
        raise Refusal(f"cron reads no file of the name {path.name} in cron.d", "use letters, digits, _ and - alone")
    if not path.exists():
        return
    mode, owner = path.stat().st_mode, path.stat().st_uid
    if place == "cron.d" and (mode & 0o022 or owner):
        raise Refusal(f"cron ignores {path}: it must be root's, and writable for nobody else", "chown and chmod it")
    if place == _SPOOL and (mode & 0o777 != 0o600 or pwd.getpwuid(owner).pw_name != path.name):
        raise Refusal(f"cron ignores {path}: it must belong to {path.name}, with mode 600", "chown and chmod it")
