"""The comment that tells what a crontab or a unit file has no place for: `# muster: name=orders owner=data tags=a,b`.

Promises: values are quoted as a shell would, and come back as they were; a comment that cannot be read is a comment.
"""

import shlex
from dataclasses import dataclass

_BEGIN = "# muster:"


@dataclass(frozen=True)
class Note:
    """What the comment says."""

    name: str = ""
    """The job's."""
    slug: str = ""
    """Which of the job's schedules this is, where it has several."""
    owner: str = ""
    tags: tuple[str, ...] = ()
    mark: str = ""
    """Whose mirror made what follows; empty: it was here before."""

    def __str__(self) -> str:
        values = {
            "mark": self.mark,
            "name": self.name,
            "slug": self.slug,
            "owner": self.owner,
            "tags": ",".join(self.tags),
        }
        return " ".join([_BEGIN, *(f"{key}={shlex.quote(value)}" for key, value in values.items() if value)])


def read_note(line: str) -> Note | None:
    """What a line says, where it is such a comment."""
    if not line.strip().startswith(_BEGIN):
        return None
    try:
        words = shlex.split(line.strip().removeprefix(_BEGIN))
    except ValueError:
        return None
    pairs = dict(word.split("=", 1) for word in words if "=" in word)
    known = {key: pairs.get(key, "") for key in ("name", "slug", "owner", "mark")}
    return Note(**known, tags=tuple(filter(None, pairs.get("tags", "").split(","))))


def schedule_name(job: str, slug: str) -> str:
    """As both schedulers of a cutover know it."""
    return f"{job}#{slug}" if slug else job


def slug_of(schedule: str, job: str) -> str:
    """The other way round."""
    return schedule.removeprefix(job).removeprefix("#")


def unwritable(*texts: str) -> bool:
    """Whether one of them has a line break, or is no text that a file could hold."""
    return any("\n" in text or "\r" in text or "\0" in text or not _is_text(text) for text in texts)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
