"""Timers and services in a folder, as jobs and schedules, and the other way round.

Promises: a timer with one `OnCalendar=` is a schedule, the service it starts is its job; directives that have no
place in either are kept in the job's own facts, to make it again here: `service`, and `timers` by schedule. A timer
that fires by anything but the calendar is unfit. How late systemd may start (`RandomizedDelaySec=` plus
`AccuracySec=`, a minute unless set) is the schedule's jitter. Source: systemd.timer(5).
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muster.cutover.schedule import Cut, Inventory, Job, Schedule, Unfit
from tasks.schedulers.notes import Note, read_note, schedule_name, slug_of, unwritable
from tasks.schedulers.systemd_rules import calendar_of, rule_of
from tasks.schedulers.systemd_text import (
    Directive,
    directives_of,
    read_environment,
    read_exec,
    seconds_of,
    unit_text,
    values,
    write_environment,
    write_exec,
)
from tasks.schedulers.untellable import Untellable

_ACCURACY, _EXACT = 60.0, 0.001
_UNTIMED = ("OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec")
_EVENTS = ("OnClockChange", "OnTimezoneChange")
_TIMER = {("Timer", key) for key in ("OnCalendar", "Persistent", "RandomizedDelaySec", "AccuracySec", "Unit")}
_SERVICE = {("Service", key) for key in ("ExecStart", "Environment", "User")}
_USUAL = {Directive("Install", "WantedBy", "timers.target"), Directive("Service", "Type", "oneshot")}


@dataclass(frozen=True)
class Timer:
    """A timer's file, and its service's."""

    file: Path
    directives: tuple[Directive, ...]
    note: Note
    service: str
    schedule: str
    """The name."""

    @property
    def unit(self) -> str:
        """As `systemctl` calls it."""
        return self.file.name

    @property
    def is_persistent(self) -> bool:
        """Whether it makes up for what it missed."""
        return _is_on(values(self.directives, "Timer", "Persistent"))

    @property
    def job(self) -> str:
        """The name: the note's, else the service's."""
        return self.note.name or self.service.removesuffix(".service")


def timers_in(folder: Path) -> tuple[Timer, ...]:
    """All of them, with the schedules' names."""
    found = [_timer(file) for file in sorted(folder.glob("*.timer")) if file.is_file()]
    per_job = Counter(timer.job for timer in found)
    return tuple(_named(timer, alone=per_job[timer.job] == 1) for timer in found)


def inventory_of(
    timers: Collection[Timer], active: Collection[str], stale: Collection[str], cut: Cut, zone: str
) -> Inventory:
    """Those of the cut; `active`, `stale`: units that would start something, that changed since they were read."""
    jobs: dict[str, Job] = {}
    schedules, unfit = [], []
    for timer in timers:
        bare = Job(name=timer.job, owner=timer.note.owner, tags=timer.note.tags)
        if not cut.takes(bare):
            continue
        try:
            if timer.unit in stale:
                raise Untellable("its file was changed since systemd read it: `systemctl daemon-reload`")
            schedule = _schedule(timer, active=timer.unit in active, zone=zone)
            _require_one(timer, timers)
            siblings = [other for other in timers if other.job == timer.job]
            jobs[timer.job] = _job(timer, bare, siblings)
        except Untellable as reason:
            unfit.append(Unfit(name=timer.schedule, reason=str(reason)))
        else:
            schedules.append(schedule)
    return Inventory(jobs=tuple(jobs.values()), schedules=tuple(schedules), unfit=tuple(unfit))


def files_of(job: Job, schedule: Schedule, *, zone: str, mark: str) -> Mapping[str, str]:
    """The two unit files, by their names."""
    slug = slug_of(schedule.name, job.name)
    note = Note(job.name, slug, job.owner, job.tags, mark)
    stem = f"{job.name}-{slug}" if slug else job.name
    own = [Directive(*parts) for parts in job.own.get("timers", {}).get(schedule.name, ())]
    timer = [
        *(d for d in own if d.section == "Unit"),
        Directive("Timer", "OnCalendar", calendar_of(schedule.rule, zone)),
        Directive("Timer", "AccuracySec", "1us"),
        *([Directive("Timer", "Persistent", "true")] if schedule.catch_up else []),
        *(
            [Directive("Timer", "RandomizedDelaySec", f"{schedule.jitter_seconds:g}s")]
            if schedule.jitter_seconds
            else []
        ),
        *([Directive("Timer", "Unit", f"{job.name}.service")] if slug else []),
        *(d for d in own if d.section != "Unit"),
        *(() if any(d.section == "Install" for d in own) else (Directive("Install", "WantedBy", "timers.target"),)),
    ]
    return {f"{stem}.timer": unit_text(str(note), timer), f"{job.name}.service": _service_text(job, mark)}


def mark_of(file: Path) -> str | None:
    """Whose mirror made it; `None`: it is not there."""
    return _note(file).mark if file.exists() else None


def _service_text(job: Job, mark: str) -> str:
    own = [Directive(*parts) for parts in job.own.get("service", ())]
    user = job.own.get("user")
    service = [
        *(d for d in own if d.section == "Unit"),
        *([] if values(own, "Service", "Type") else [Directive("Service", "Type", "oneshot")]),
        *([Directive("Service", "User", user)] if user else []),
        *(Directive("Service", "Environment", write_environment(*pair)) for pair in job.environment.items()),
        Directive("Service", "ExecStart", write_exec(job.command)),
        *(d for d in own if d.section != "Unit"),
    ]
    return unit_text(str(Note(job.name, "", job.owner, job.tags, mark)), service)


def _timer(file: Path) -> Timer:
    directives = tuple(directives_of(file))
    units = values(directives, "Timer", "Unit")
    service = units[-1] if units else f"{file.stem}.service"
    return Timer(file, directives, _note(file), service, "")


def _named(timer: Timer, *, alone: bool) -> Timer:
    slug = timer.note.slug or ("" if alone else timer.file.stem)
    return Timer(timer.file, timer.directives, timer.note, timer.service, schedule_name(timer.job, slug))


def _note(file: Path) -> Note:
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((note for note in map(read_note, lines) if note), Note())


def _require_one(timer: Timer, timers: Iterable[Timer]) -> None:
    others = [other for other in timers if other.job == timer.job and other is not timer]
    if any(other.schedule == timer.schedule for other in others):
        raise Untellable("several timers have this name")
    if any(other.service != timer.service for other in others):
        raise Untellable(f"other timers of {timer.job} start another service")


def _schedule(timer: Timer, *, active: bool, zone: str) -> Schedule:
    if "@" in timer.unit:
        raise Untellable("it is a template or made from one")
    given = {d.key: d.value for d in timer.directives if d.section == "Timer"}
    if found := [key for key in _UNTIMED if key in given]:
        raise Untellable(f"{', '.join(found)}: it counts from an event, and has no ticks")
    if found := [key for key in _EVENTS if _is_on([given.get(key, "no")])]:
        raise Untellable(f"{', '.join(found)}: it has no ticks")
    rules = values(timer.directives, "Timer", "OnCalendar")
    if len(rules) != 1:
        raise Untellable(f"it has {len(rules)} OnCalendar lines: give each a timer of its own")
    accuracy = seconds_of(given["AccuracySec"]) if "AccuracySec" in given else _ACCURACY
    spread = seconds_of(given.get("RandomizedDelaySec", "0"))
    return Schedule(
        name=timer.schedule,
        job=timer.job,
        rule=rule_of(rules[0], zone),
        active=active,
        catch_up=timer.is_persistent,
        jitter_seconds=spread + (accuracy if accuracy > _EXACT else 0),
    )


def _job(timer: Timer, bare: Job, siblings: Iterable[Timer]) -> Job:
    file = timer.file.with_name(timer.service)
    if not file.is_file():
        raise Untellable(f"{timer.service} is not in the folder of its timer")
    directives = directives_of(file)
    commands = values(directives, "Service", "ExecStart")
    if len(commands) != 1:
        raise Untellable(f"{timer.service} has {len(commands)} ExecStart lines")
    users = values(directives, "Service", "User")
    own: dict[str, Any] = {
        "user": users[-1] if users else None,
        "service": _rest(directives, _SERVICE),
        "timers": {sibling.schedule: rest for sibling in siblings if (rest := _rest(sibling.directives, _TIMER))},
    }
    return bare.model_copy(
        update={
            "command": read_exec(commands[0]),
            "environment": read_environment(values(directives, "Service", "Environment")),
            "concurrency": 1,
            "own": {key: value for key, value in own.items() if value},
        }
    )


def _is_on(given: list[str]) -> bool:
    return given[-1:] != [] and given[-1].lower() in {"1", "y", "yes", "t", "true", "on"}


def _rest(directives: Iterable[Directive], known: Collection[tuple[str, str]]) -> list[list[str]]:
    return [list(d) for d in directives if d[:2] not in known and d not in _USUAL]


def carried(schedule: Schedule, zone: str) -> Schedule | None:
    """What its timer would be read as, `active` aside; `None` where there can be none."""
    try:
        rule = rule_of(calendar_of(schedule.rule, zone), zone)
    except Untellable:
        return None
    return schedule.model_copy(update={"rule": rule, "parameters": {}})


def obstacles(job: Job, schedule: Schedule, zone: str) -> tuple[str, ...]:
    """Why there can be no timer for it, in words."""
    checks = {
        "it has no command": not job.command.strip(),
        "its command or environment has a line break": unwritable(job.command, *job.environment.values()),
        "its command is given standard input": "stdin" in job.own,
        "its name, owner or tags have a line break": unwritable(schedule.name, job.owner, *job.tags),
        f"{job.name!r} is no name for a unit": not re.fullmatch(r"[A-Za-z0-9:_.-]+", job.name),
    }
    try:
        calendar_of(schedule.rule, zone)
        rule = ""
    except Untellable as reason:
        rule = str(reason)
    return tuple(words for words, holds in {rule: bool(rule), **checks}.items() if holds)


def losses(job: Job, schedule: Schedule) -> tuple[str, ...]:
    """What a timer for it would not say, in words."""
    checks = {
        "parameters: a service has its environment alone": bool(job.parameters or schedule.parameters),
        "any number at once: systemd starts no second run while one is at work": job.concurrency is None,
        f"at most {job.concurrency} at once: systemd runs one": job.concurrency not in {None, 1},
        "catching up on each tick: systemd makes up for all of them with one run": schedule.catch_up,
    }
    return tuple(words for words, holds in checks.items() if holds)
