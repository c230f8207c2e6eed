"""A crontab's lines as jobs and schedules, and the other way round.

Promises: a job's command is what the shell is given, without cron's percent signs; the user column and the standard
input are kept in the job's own facts, `user` and `stdin`. What one line cannot say for sure is unfit: CRON_TZ, for
one, sets the clock of some crons, and means nothing to Debian's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from muster.cutover.schedule import Cut, Inventory, Job, Schedule, Unfit
from muster.errors import Refusal
from tasks.schedulers.cron_rules import fields_of, rule_of
from tasks.schedulers.crontab_lines import (
    LONGEST,
    Entry,
    entries_of,
    environment_at_end,
    lines_of,
    paragraph,
    read_command,
    reads_back_variable,
    with_held,
    write_command,
)
from tasks.schedulers.notes import Note, slug_of, unwritable
from tasks.schedulers.untellable import Untellable


def inventory_of(entries: Sequence[Entry], cut: Cut, zone: str) -> Inventory:
    """Those of the cut."""
    jobs: dict[str, Job] = {}
    schedules, unfit = [], []
    faults = _faults(entries)
    for entry in entries:
        if not cut.takes(_job(entry)):
            continue
        try:
            if fault := faults.get(entry.schedule) or _fault(entry):
                raise Untellable(fault)
            rule = rule_of(entry.when, zone)
        except Untellable as reason:
            unfit.append(Unfit(name=entry.schedule, reason=str(reason)))
            continue
        job = jobs.setdefault(entry.job, _job(entry))
        schedules.append(Schedule(name=entry.schedule, job=job.name, rule=rule, active=not entry.is_held))
    return Inventory(jobs=tuple(jobs.values()), schedules=tuple(schedules), unfit=tuple(dict.fromkeys(unfit)))


def obstacles(job: Job, schedule: Schedule, *, zone: str, user: str | None) -> tuple[str, ...]:
    """Why there can be no line for it, in words. `user`: who would run it; empty where nobody is named."""
    command = write_command(job.command, job.own.get("stdin"))
    checks = {
        "it has no command": not job.command.strip(),
        "its command has a line break, or a backslash before a percent sign": unwritable(command)
        or read_command(command) != (job.command, job.own.get("stdin"))
        or job.command != job.command.lstrip(),
        f"its command is longer than {LONGEST} bytes": len(command.encode(errors="replace")) > LONGEST,
        "nobody is named to run it": user == "",
        "its name, owner or tags have a line break": unwritable(schedule.name, job.owner, *job.tags),
        **{
            f"its environment has {name!r}, which cron cannot write": unwritable(name, value)
            or not reads_back_variable(name, value)
            for name, value in job.environment.items()
        },
    }
    try:
        fields_of(schedule.rule, zone)
        rule = ""
    except Untellable as reason:
        rule = str(reason)
    return tuple(words for words, holds in {rule: bool(rule), **checks}.items() if holds)


def carried(schedule: Schedule, zone: str) -> Schedule | None:
    """What its line would be read as, `active` aside; `None` where there can be none."""
    try:
        rule = rule_of(fields_of(schedule.rule, zone), zone)
    except Untellable:
        return None
    return Schedule(name=schedule.name, job=schedule.job, rule=rule, active=schedule.active)


def losses(job: Job, schedule: Schedule, *, user: str | None) -> tuple[str, ...]:
    """What a line for it would not say, in words. `user`: who would run it, where that is settled."""
    own = job.own.get("user")
    checks = {
        "parameters: cron gives a command its environment alone": bool(job.parameters or schedule.parameters),
        f"at most {job.concurrency} at once: cron starts a run whether or not others are at work": job.concurrency
        is not None,
        "catching up: cron makes up for nothing": schedule.catch_up,
        f"starts spread over {schedule.jitter_seconds:g} s: cron starts all at once": schedule.jitter_seconds > 0,
        f"it runs as {own}: here as {user or 'whoever owns the crontab'}": own is not None and own != user,
    }
    return tuple(words for words, holds in checks.items() if holds)


def entry_of(job: Job, schedule: Schedule, *, zone: str, user: str, mark: str) -> Entry:
    """The line for it; there are no obstacles."""
    note = Note(job.name, slug_of(schedule.name, job.name), job.owner, job.tags, mark)
    written = write_command(job.command, job.own.get("stdin"))
    when = fields_of(schedule.rule, zone)
    return Entry(0, 0, "", note, when, user, written, job.environment, is_held=True, schedule=schedule.name)


def with_mirror(text: str, form: str, wanted: Sequence[Entry], where: str) -> str:
    """The same file with these as well, held; what stands there already as it should be stays in its place."""
    present = {entry.schedule: entry for entry in entries_of(text, form)}
    jobs = {entry.job for entry in wanted}
    foreign = sorted({e.job for e in present.values() if e.job in jobs and e.note.mark != wanted[0].note.mark})
    if foreign:
        raise Refusal(
            f"{where} has {', '.join(foreign)} already, not made by this mirror",
            "rename one of the two, or remove those lines: after a cutover for good they are the old ones, held",
        )
    stale = [present[e.schedule] for e in wanted if e.schedule in present and not _alike(present[e.schedule], e)]
    lines = lines_of(text)
    for entry in stale:
        lines[entry.begin : entry.line + 1] = [""] * (entry.line + 1 - entry.begin)
    kept = "".join(lines)
    added = [e for e in wanted if e.schedule not in present or present[e.schedule] in stale]
    return _added(with_held(kept, form, {e.schedule for e in wanted}, held=True), added, where)


def _added(text: str, added: Sequence[Entry], where: str) -> str:
    """At the end, where variables set above reach; in front of them, where the job has none."""
    front, end = "", ""
    given = environment_at_end(text)
    for entry in sorted(added, key=lambda entry: len(entry.environment)):
        if set(given) <= set(entry.environment):
            end += paragraph(entry)
            given.update(entry.environment)
        elif not entry.environment:
            front += paragraph(entry)
        else:
            surplus = ", ".join(sorted(set(given) - set(entry.environment)))
            raise Refusal(
                f"{where} sets {surplus}, which {entry.job} is not to have: cron cannot unset a variable",
                "give it a file of its own in /etc/cron.d",
            )
    return front + text + end


def _alike(present: Entry, wanted: Entry) -> bool:
    return all(
        getattr(present, name) == getattr(wanted, name) for name in ("note", "when", "user", "written")
    ) and dict(present.environment) == dict(wanted.environment)


def _faults(entries: Sequence[Entry]) -> Mapping[str, str]:
    """Of schedules that several lines are, or whose lines tell of different jobs."""
    lines = Counter(entry.schedule for entry in entries)
    faults = {name: "several lines have this name" for name, count in lines.items() if count > 1}
    first: dict[str, Entry] = {}
    for entry in entries:
        if _facts(first.setdefault(entry.job, entry)) != _facts(entry):
            fault = f"other lines of {entry.job} have another command, user, environment, owner or tags"
            faults |= {e.schedule: fault for e in entries if e.job == entry.job}
    return faults


def _fault(entry: Entry) -> str:
    if not entry.when:
        return f"cron cannot read {entry.text.strip()!r}"
    if unwritable(entry.written, *entry.environment.values()):
        return "it holds bytes that are no text"
    if "CRON_TZ" in entry.environment:
        return "CRON_TZ is set above it: some crons go by it, Debian's does not"
    return ""


def _facts(entry: Entry) -> tuple[object, ...]:
    return entry.written, entry.user, dict(entry.environment), entry.note.owner, entry.note.tags


def _job(entry: Entry) -> Job:
    command, given = read_command(entry.written)
    own = {"user": entry.user or None, "stdin": given}
    return Job(
        name=_text(entry.job),
        command=_text(command),
        environment={_text(name): _text(value) for name, value in entry.environment.items()},
        tags=entry.note.tags,
        owner=entry.note.owner,
        own={key: _text(value) for key, value in own.items() if value is not None},
    )


def _text(text: str) -> str:
    """Text for certain, whatever bytes it came from."""
    return text.encode(errors="surrogateescape").decode(errors="replace")
