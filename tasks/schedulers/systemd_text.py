"""The text of systemd's unit files: directives, commands, spans of time.

Promises: a folder's drop-ins (`NAME.timer.d/*.conf`) are read with their file. A command is what a shell would be
given; where systemd would put something else into it (`%`, `$`), it is untellable. Source: systemd.unit(5),
systemd.service(5), systemd.time(7).
"""

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.schedulers.untellable import Untellable

_SPANS = {
    1e-6: ("us", "usec", "µs"),
    1e-3: ("ms", "msec"),
    1: ("", "s", "sec", "second", "seconds"),
    60: ("m", "min", "minute", "minutes"),
    3600: ("h", "hr", "hour", "hours"),
    86400: ("d", "day", "days"),
    604800: ("w", "week", "weeks"),
}
_UNITS = {word: seconds for seconds, words in _SPANS.items() for word in words}
_DOUBLED = re.compile(r'%%|\$\$|\\\\|\\"')
"""What stands for one character, or for nothing but itself."""
_SHELL = ["/bin/sh", "-c"]
_SIMPLE = re.compile(r"/[A-Za-z0-9_@+=:,./-]*(?: [A-Za-z0-9_@+=:,./-]+)*")


class Directive(NamedTuple):
    """`Key=value`, and where it stands."""

    section: str
    key: str
    value: str


def directives_of(file: Path) -> list[Directive]:
    """Of a file and its drop-ins; an empty value takes away what was given before."""
    found: list[Directive] = []
    for path in (file, *sorted(file.with_name(f"{file.name}.d").glob("*.conf"))):
        for directive in _parsed(path.read_text(encoding="utf-8", errors="replace")):
            if directive.value:
                found.append(directive)
            else:
                found = [other for other in found if other[:2] != directive[:2]]
    return found


def values(directives: Iterable[Directive], section: str, key: str) -> list[str]:
    """All that a key was given."""
    return [d.value for d in directives if d.section == section and d.key == key]


def seconds_of(span: str) -> float:
    """A span such as `1min 30s`, in seconds."""
    parts = re.findall(r"([0-9.]+)\s*([a-zµ]*)", span)
    if not parts or re.sub(r"[0-9.]+\s*[a-zµ]*|\s", "", span) or any(unit not in _UNITS for _, unit in parts):
        raise Untellable(f"{span!r} is no span of time")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def read_exec(written: str) -> str:
    """The shell's command of an `ExecStart=`."""
    if re.match(r"[-@:+!]", written):
        raise Untellable(f"ExecStart={written!r} begins with a prefix, which only systemd understands")
    if re.search(r"[%$\\]", _DOUBLED.sub("", written)) or (
        "'" in written and "\\" in written and not _is_ours(written)
    ):
        raise Untellable(f"systemd puts something else into ExecStart={written!r}")
    try:
        words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(written)]
    except ValueError:
        raise Untellable(f"ExecStart={written!r} has an open quote") from None
    return words[2] if words[:2] == _SHELL and len(words) == 3 else shlex.join(words)


def write_exec(command: str) -> str:
    """The other way round: a plain program as it is, everything else through a shell."""
    return command if _SIMPLE.fullmatch(command) else f"{shlex.join(_SHELL)} {_quoted(command)}"


def read_environment(written: Iterable[str]) -> dict[str, str]:
    """The variables of `Environment=` lines."""
    found = {}
    for line in written:
        if re.search(r"[%\\]", _DOUBLED.sub("", line)):
            raise Untellable(f"systemd puts something else into Environment={line!r}")
        for word in shlex.split(line):
            name, _, value = word.partition("=")
            found[name] = value.replace("%%", "%")
    return found


def write_environment(name: str, value: str) -> str:
    """The other way round, for one."""
    return _quoted(f"{name}={value}", dollars=False)


def unit_text(note: str, directives: Sequence[Directive]) -> str:
    """A unit file with a note on top."""
    sections = dict.fromkeys(d.section for d in directives)
    parts = (
        f"\n[{section}]\n" + "".join(f"{d.key}={d.value}\n" for d in directives if d.section == section)
        for section in sections
    )
    return f"{note}\n" + "".join(parts)


def _parsed(text: str) -> list[Directive]:
    section, found = "", []
    lines = [line for line in text.split("\n") if not line.lstrip().startswith(("#", ";"))]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).split("\n"):
        if begun := re.fullmatch(r"\s*\[(.*)\]\s*", line):
            section = begun[1]
        elif "=" in line:
            key, _, value = line.partition("=")
            found.append(Directive(section, key.strip(), value.strip()))
    return found


def _is_ours(written: str) -> bool:
    """Whether it is in double quotes throughout, in which a shell and systemd agree on backslashes."""
    return written.startswith(f'{shlex.join(_SHELL)} "')


def _quoted(text: str, *, dollars: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text.replace("$", "$$") if dollars else text}"'
