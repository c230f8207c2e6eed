"""The lines of a crontab: what they start, and the same file with some of them held, released, added or gone.

Promises: every line that is not ours to change stays byte for byte, in its place. A held line is a comment to cron:
our mark, and the line as it was. A mirrored schedule is a paragraph: its note, its own environment, its line.
Source: crontab(5); what Debian's cron 3.0 does with `%`, backslashes, quotes and long lines was tried.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import PurePath

from tasks.schedulers.notes import Note, read_note, schedule_name

HELD = "#muster-held# "
LONGEST = 998
"""Bytes of a command that cron takes."""
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_VARIABLE = re.compile(r"""[ \t]*("[^"]+"|'[^']+'|[^\s="']+)[ \t]*=[ \t]*("[^"]*"|'[^']*'|[^\s"'].*?)[ \t]*""")
_WHEN = r"[ \t]*(?P<when>@\w+|(?:[^\s@#]\S*[ \t]+){4}\S+)"
_FORMS = {
    "user": re.compile(_WHEN + r"[ \t]+(?P<user>)(?P<command>\S.*)"),
    "system": re.compile(_WHEN + r"[ \t]+(?P<user>\S+)[ \t]+(?P<command>\S.*)"),
}
_PIECE = re.compile(r"\\.|%|[^\\%]+|\\$", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """A line that starts something, or would."""

    begin: int
    """The first line of its paragraph, counted from 0: its note's, where there is one."""
    line: int
    """Its own."""
    text: str
    """As cron would read it, without our mark and the line's end."""
    note: Note
    when: str = ""
    """Five fields, or a word such as `@daily`; empty: cron cannot read it."""
    user: str = ""
    """The user column."""
    written: str = ""
    """The command as it stands there."""
    environment: Mapping[str, str] = field(default_factory=dict)
    is_held: bool = False
    schedule: str = ""
    """The name, set once all lines are known."""

    @property
    def job(self) -> str:
        """The name of what it starts: the note's, else one made of the command, the same as long as that stays."""
        return self.note.name or _derived(self.written or self.text, self.user)


def entries_of(text: str, form: str) -> tuple[Entry, ...]:
    """Every line that starts something, held ones too, with its schedule's name."""
    found, begun, note = [], None, Note()
    environment: dict[str, str] = {}
    for number, raw in enumerate(lines_of(text)):
        line = raw.removesuffix("\n")
        is_held = line.startswith(HELD)
        line = line.removeprefix(HELD)
        variable = None if is_held else _VARIABLE.fullmatch(line)
        if variable:
            environment[_bare(variable[1])] = _bare(variable[2])
        elif line.lstrip().startswith("#"):
            if said := read_note(line):
                begun, note = number, said
        else:
            if line.strip():
                match = _FORMS[form].fullmatch(line)
                parts = match.groupdict() if match else {"when": "", "user": "", "command": ""}
                parts["written"] = parts.pop("command")
                start = number if begun is None else begun
                found.append(Entry(start, number, line, note, **parts, environment=dict(environment), is_held=is_held))
            begun, note = None, Note()
    return _named(found)


def lines_of(text: str) -> list[str]:
    """With their ends; only a line feed ends one."""
    return _LINE.findall(text)


def with_held(text: str, form: str, schedules: Collection[str], *, held: bool) -> str:
    """The same file, with these schedules' lines held, or not."""
    lines = lines_of(text)
    for entry in entries_of(text, form):
        if entry.schedule in schedules and entry.is_held != held:
            line = lines[entry.line]
            lines[entry.line] = HELD + line if held else line.removeprefix(HELD)
    return "".join(lines)


def without(text: str, form: str, jobs: Collection[str], mark: str) -> str:
    """The same file, without what a mirror of this mark made of these jobs."""
    lines = lines_of(text)
    for entry in entries_of(text, form):
        if entry.note.mark == mark and entry.job in jobs:
            lines[entry.begin : entry.line + 1] = [""] * (entry.line + 1 - entry.begin)
    return "".join(lines)


def paragraph(entry: Entry) -> str:
    """The lines of a mirrored schedule, held; `entry` needs no numbers."""
    variables = [f"{_quoted(name)}={_quoted(value)}\n" for name, value in entry.environment.items()]
    columns = [entry.when, *([entry.user] if entry.user else []), entry.written]
    return f"{entry.note}\n{''.join(variables)}{HELD}{' '.join(columns)}\n"


def environment_at_end(text: str) -> dict[str, str]:
    """What a line added to the file would be given."""
    matches = (_VARIABLE.fullmatch(line.removesuffix("\n")) for line in lines_of(text))
    return {_bare(match[1]): _bare(match[2]) for match in matches if match}


def read_command(written: str) -> tuple[str, str | None]:
    """What the shell is given, and its standard input, of a command with cron's percent signs."""
    parts, current = [], ""
    for piece in _PIECE.findall(written):
        if piece == "%":
            parts.append(current)
            current = ""
        else:
            current += "%" if piece == "\\%" else piece
    parts.append(current)
    return parts[0], "\n".join(parts[1:]) if len(parts) > 1 else None


def write_command(command: str, given: str | None) -> str:
    """The other way round; whether it can be read back is the caller's to see."""
    written = command.replace("%", "\\%")
    return written if given is None else f"{written}%{given.replace('%', chr(92) + '%').replace(chr(10), '%')}"


def reads_back_variable(name: str, value: str) -> bool:
    """Whether cron would read the variable as it is."""
    match = _VARIABLE.fullmatch(f"{_quoted(name)}={_quoted(value)}")
    return match is not None and (_bare(match[1]), _bare(match[2])) == (name, value)


def _named(found: list[Entry]) -> tuple[Entry, ...]:
    per_job = Counter(entry.job for entry in found)
    return tuple(
        replace(entry, schedule=schedule_name(entry.job, entry.note.slug or _slug(entry, per_job[entry.job])))
        for entry in found
    )


def _slug(entry: Entry, count: int) -> str:
    return "" if count == 1 else sha256(entry.when.encode()).hexdigest()[:6]


def _derived(command: str, user: str) -> str:
    word = PurePath((command.split() or ["line"])[0]).name
    digest = sha256(f"{user}\0{command}".encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', word).strip('-') or 'line'}-{digest}"


def _bare(text: str) -> str:
    return text[1:-1] if text[0] in "\"'" else text


def _quoted(text: str) -> str:
    """In quotes, where cron would take it for something else without."""
    if re.fullmatch(r"[^\s=\"']+", text):
        return text
    return f"'{text}'" if '"' in text else f'"{text}"'
