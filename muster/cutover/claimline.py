"""The claim in front of a command line: `muster tick NAME ... -- work`, or `muster tick NAME ... && work`. Pure.

Promises: what is left without it is what the shell would have run after a grant; a claim that stands elsewhere in a
command is told, never cut out.
"""

import re
from typing import NamedTuple

_IN_FRONT = re.compile(
    r"\s*(?:MUSTER_\w+=\S*\s+)*(?:[^\s;&|()]*/)?muster\s+tick\s"
    r"(?P<words>(?:\$\([^()\n]*\)|[^;&|()\n])*?)(?:\s--\s+|\s*&&\s*)(?P<work>\S.*)",
    re.DOTALL,
)
_ANYWHERE = re.compile(r"(?:^|[\s;&|(/])muster\s+tick\s")
_OPTION = r"(?:^|\s)--{}[\s=]+(['\"]?)(?P<value>[^\s'\"]+)\1"


class Claimed(NamedTuple):
    """A command line, taken apart."""

    work: str
    """Without the claim in front."""
    schedule: str
    """Whose tick it claims; empty where that cannot be read."""
    holder: str
    """What the claim says of `--holder`, `--when-away` and `--patience`; empty where it says nothing."""
    when_away: str
    patience: str
    is_inside: bool
    """Whether the work makes a claim of its own still."""


def read_claim(command: str) -> Claimed:
    """Take the claim off a command line."""
    found = _IN_FRONT.fullmatch(command)
    work, words = (found["work"], found["words"]) if found else (command, "")
    holder, when_away, patience = (_said(words, option) for option in ("holder", "when-away", "patience"))
    first = words.split(maxsplit=1)[0].strip("'\"") if words.strip() else ""
    schedule = "" if first.startswith("-") or "$" in first else first
    return Claimed(work, schedule, holder, when_away, patience, _ANYWHERE.search(work) is not None)


def _said(words: str, option: str) -> str:
    found = re.search(_OPTION.format(option), words)
    return found["value"] if found else ""
