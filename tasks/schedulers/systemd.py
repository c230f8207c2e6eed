"""Scheduler `systemd`: the timers of one folder of unit files, and the manager that runs them.

A timer is held by `systemctl disable --now`, all of a cutover's timers in one call, so that it starts nothing now and
nothing after a boot; released by `enable --now`.
Tested with a user's manager and its journal; not yet proven with the one that booted the machine (`scope: system`),
which takes the same calls.
Promises: what a timer does is read from its file and drop-ins in that folder; files that systemd has not read again
since they changed are unfit. Every verb asks systemd afterwards.
Traps: a timer with `Persistent=true` would make up for what it missed as soon as it is enabled; it is made to forget
that (`systemctl clean --what=state`). A unit elsewhere, in `/usr/lib/systemd` for one, is not in the folder and is
nobody's to hand over.
"""

import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from evidence.durable import write
from muster.cutover.schedule import CalendarRule, Cut, Dialect, Firing, Inventory, Job, Schedule, Tick
from muster.errors import Refusal, StepError, SystemFailure
from muster.identity import Identity
from muster.settings import Settings
from tasks.schedulers.scheduler import Reach
from tasks.schedulers.systemd_calls import State, Systemctl, ticks
from tasks.schedulers.systemd_history import at_work, firings
from tasks.schedulers.systemd_units import (
    Timer,
    carried,
    files_of,
    inventory_of,
    losses,
    mark_of,
    obstacles,
    timers_in,
)
from tasks.schedulers.zones import is_zone, machine_zone


class Spec(BaseModel):
    """The scheduler's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["systemd"] = "systemd"
    scope: Literal["user", "system"] = "system"
    """Whose manager."""
    unit_path: Path | None = None
    """The folder of the unit files; default: `/etc/systemd/system`, or the user's `~/.config/systemd/user`."""
    timezone: str = ""
    """The clock of expressions without a zone; default: this machine's."""

    @field_validator("timezone")
    @classmethod
    def _known(cls, zone: str) -> str:
        if zone and not is_zone(zone):
            raise ValueError(f"there is no time zone {zone!r}")
        return zone

    @property
    def folder(self) -> Path:
        """Where unit files are."""
        user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd/user"
        return self.unit_path or (user if self.scope == "user" else Path("/etc/systemd/system"))


class Systemd:
    """One manager, and one folder."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._zone = spec.timezone or machine_zone()
        self._systemctl = Systemctl(spec.scope)

    @property
    def dialect(self) -> Dialect:
        """systemd's."""
        return Dialect.SYSTEMD

    def identify(self) -> Identity:
        """systemd is asked for its version, the folder is read."""
        if not self._spec.folder.is_dir():
            raise Refusal(f"systemd: there is no folder {self._spec.folder}", "mend unit_path")
        try:
            version = self._systemctl.version()
        except StepError as error:
            raise Refusal(error.message, error.advice) from None
        found = len(timers_in(self._spec.folder))
        return Identity(
            description=f"systemd {version} ({self._spec.scope}) on {socket.gethostname()}: {self._spec.folder}",
            system_identifier=f"systemd {self._spec.scope} {socket.gethostname()} {self._spec.folder.resolve()}",
            proof=f"asked for its version; {found} timer{'s' * (found != 1)} read",
        )

    def now(self) -> datetime | None:
        """This machine's clock."""
        return datetime.now(UTC)

    def inventory(self, cut: Cut) -> Inventory:
        """Every timer of the folder. Without a running systemd a timer is active that is enabled in the folder."""
        timers = timers_in(self._spec.folder)
        try:
            states = self._systemctl.states([timer.unit for timer in timers])
        except StepError:
            states = {timer.unit: State(True, self._is_wanted(timer), False) for timer in timers}
        active = {unit for unit, state in states.items() if state.would_start}
        stale = {unit for unit, state in states.items() if state.is_stale}
        return inventory_of(timers, active, stale, cut, self._zone)

    def untold(self, job: Job, schedule: Schedule) -> tuple[str, ...]:
        """What stands in the way of a timer for it, and what the timer would not say."""
        return (*obstacles(job, schedule, self._zone), *losses(job, schedule))

    def carried(self, schedule: Schedule) -> Schedule | None:
        """A calendar expression; parameters are left out."""
        return carried(schedule, self._zone)

    def gate_of(self, job: Job) -> str:
        """Each timer is held by itself."""
        return ""

    def objection(self, jobs: Sequence[Job], schedules: Sequence[Schedule], mark: str) -> str:
        """What there can be no files for, and what stands there and is not ours."""
        try:
            self._files(jobs, schedules, mark)
        except Refusal as refusal:
            return refusal.message
        return ""

    def _files(self, jobs: Sequence[Job], schedules: Sequence[Schedule], mark: str) -> dict[str, str]:
        by_name = {job.name: job for job in jobs}
        files: dict[str, str] = {}
        for schedule in schedules:
            job = by_name[schedule.job]
            if found := obstacles(job, schedule, self._zone):
                raise Refusal(f"systemd cannot have {schedule.name}: {'; '.join(found)}", "change it, or leave it out")
            files |= files_of(job, schedule, zone=self._zone, mark=mark)
        self._refuse_foreign(files, by_name, mark)
        return files

    def mirror(self, jobs: Sequence[Job], schedules: Sequence[Schedule], reach: Reach) -> None:
        """Two files each. `Refusal` where there can be none, or what stands there is not ours."""
        files = self._files(jobs, schedules, reach.mark)
        reach.seconds_left()
        for name, text in files.items():
            self._write(self._spec.folder / name, text)
        self._systemctl.call("daemon-reload")
        timers = self._timers([schedule.name for schedule in schedules])
        unknown = [unit for unit, state in self._states(timers).items() if not state.is_known or state.is_stale]
        if unknown:
            raise SystemFailure(f"systemd does not know {', '.join(unknown)}", f"see that it reads {self._spec.folder}")
        self.hold([timer.schedule for timer in timers], reach)

    def remove(self, jobs: Collection[str], reach: Reach) -> None:
        """Timers first, then their files."""
        ours = [t for t in timers_in(self._spec.folder) if t.job in jobs and t.note.mark == reach.mark]
        if not ours:
            return
        self.hold([timer.schedule for timer in ours], reach)
        services = {timer.file.with_name(timer.service) for timer in ours}
        for file in (*(timer.file for timer in ours), *services):
            if mark_of(file) == reach.mark:
                file.unlink()
        self._systemctl.call("daemon-reload")
        if left := [unit for unit, state in self._states(ours).items() if state.is_known]:
            raise SystemFailure(f"systemd still knows {', '.join(left)}", "see `systemctl cat` of them")

    def arm(self, schedules: Collection[str], reach: Reach) -> None:
        """Nothing to do: a release is one call."""

    def release(self, schedules: Collection[str], reach: Reach) -> None:
        """One call for all; before it, timers that would catch up forget when they fired last."""
        persistent = [timer for timer in self._timers(schedules) if timer.is_persistent]
        held = [unit for unit, state in self._states(persistent).items() if not state.would_start]
        if held:
            self._systemctl.call("clean", "--what=state", "--", *sorted(held))
        self._order("enable", schedules, reach, lambda state: state.would_start)

    def hold(self, schedules: Collection[str], reach: Reach) -> None:
        """One call for all."""
        self._order("disable", schedules, reach, lambda state: not state.would_start)

    def rest(self, schedules: Collection[str], reach: Reach) -> None:
        """Nothing to do: systemd makes no runs ahead."""

    def released(self, schedules: Collection[str]) -> frozenset[str]:
        """Those that systemd calls active or enabled."""
        timers = [timer for timer in timers_in(self._spec.folder) if timer.schedule in schedules]
        states = self._states(timers)
        return frozenset(timer.schedule for timer in timers if states[timer.unit].would_start)

    def next_ticks(self, schedules: Sequence[Schedule], after: datetime, until: datetime) -> tuple[Tick, ...] | None:
        """By `systemd-analyze calendar`, rule by rule; a rule that systemd has no words for is `None`, too."""
        rules = [(schedule.name, carried(schedule, self._zone)) for schedule in schedules]
        if any(found is None for _, found in rules):
            return None
        told = [(name, found.rule) for name, found in rules if found and isinstance(found.rule, CalendarRule)]
        due = (Tick(name, at) for name, rule in told for at in ticks(rule, after, until))
        return tuple(sorted(due, key=lambda tick: (tick.at, tick.schedule)))

    def history(self, schedules: Collection[str], after: datetime, until: datetime) -> tuple[Firing, ...] | None:
        """From the journal, if there is one and it reaches back far enough."""
        timers = [timer for timer in timers_in(self._spec.folder) if timer.schedule in schedules]
        told = {schedule.name: schedule for schedule in self.inventory(Cut()).schedules}
        late = max((told[t.schedule].jitter_seconds for t in timers if t.schedule in told), default=0)
        events = self._systemctl.events(
            {timer.service for timer in timers}, after, until + timedelta(seconds=late + 60)
        )
        if events is None:
            return None
        watched: dict[str, list[Schedule]] = {}
        for timer in timers:
            watched.setdefault(timer.service, []).extend(filter(None, [told.get(timer.schedule)]))
        return firings(events, watched, after, until)

    def at_work(self, schedules: Collection[str]) -> tuple[Firing, ...] | None:
        """Services that systemd calls running; a run is laid to the last tick before it."""
        timers = {t.schedule: t for t in timers_in(self._spec.folder) if t.schedule in schedules}
        runs = self._systemctl.runs({timer.service for timer in timers.values()})
        told = [s for s in self.inventory(Cut()).schedules if s.name in timers]
        pairs = ((run, [s for s in told if timers[s.name].service == service]) for service, run in runs.items())
        return tuple(firing for run, started_by in pairs for firing in [at_work(run, started_by)] if firing)

    def drop(self, ticks: Collection[Tick], reach: Reach) -> None:
        """Nothing to do: systemd makes no runs ahead."""

    def start(self, ticks: Collection[Tick], reach: Reach) -> frozenset[Tick]:
        """A service cannot be told which tick it serves."""
        return frozenset()

    def _order(self, verb: str, schedules: Collection[str], reach: Reach, is_done: Callable[[State], bool]) -> None:
        timers = self._timers(schedules) if verb == "enable" else self._timers(schedules, must=False)
        todo = [unit for unit, state in self._states(timers).items() if not is_done(state)]
        reach.seconds_left()
        if todo:
            self._systemctl.call(verb, "--now", "--", *sorted(todo))
        if undone := [unit for unit, state in self._states(timers).items() if not is_done(state)]:
            raise SystemFailure(
                f"systemctl {verb} --now said nothing, and did not do it: {', '.join(undone)}",
                f"see `systemctl status {undone[0]}`",
            )

    def _states(self, timers: Collection[Timer]) -> Mapping[str, State]:
        return self._systemctl.states([timer.unit for timer in timers])

    def _timers(self, schedules: Collection[str], *, must: bool = True) -> list[Timer]:
        found = [timer for timer in timers_in(self._spec.folder) if timer.schedule in schedules]
        missing = sorted(set(schedules) - {timer.schedule for timer in found})
        if must and missing:
            raise StepError(f"systemd: {self._spec.folder} has no timer for {', '.join(missing)}", "mirror it first")
        return found

    def _refuse_foreign(self, files: Collection[str], jobs: Collection[str], mark: str) -> None:
        there = {name for name in files if mark_of(self._spec.folder / name) not in {None, mark}}
        there |= {t.unit for t in timers_in(self._spec.folder) if t.job in jobs and t.note.mark != mark}
        if there:
            raise Refusal(
                f"systemd has {', '.join(sorted(there))} already, not made by this mirror", "rename one of the two"
            )

    def _write(self, file: Path, text: str) -> None:
        try:
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                write(file, text.encode())
        except OSError as error:
            raise StepError(f"systemd: {file} cannot be written: {error.strerror}", "see the folder's rights") from None

    def _is_wanted(self, timer: Timer) -> bool:
        return (self._spec.folder / "timers.target.wants" / timer.unit).is_symlink()


def open_scheduler(keys: dict[str, Any], settings: Settings) -> Systemd:  # noqa: ARG001
    """The scheduler of a plan."""
    return Systemd(Spec.model_validate(keys))
