"""The plans folder as cards, read in a moment: a plan file that did not change is not opened again.

Promises: the cards are those of the plans as they stand, or an error that names the broken one; a changed file is read
anew, a broken one is never passed over or served from memory; a cache that is missing, foreign or damaged costs time
and nothing else; importing this module costs neither pydantic nor a YAML parser.
"""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from muster import __version__
from muster.cards import PlanCard
from muster.errors import UnreadablePlans

_POLICIES = ("evidence.yaml", "gate.yaml", "routes.yaml")
"""`muster.plan.POLICIES` as file names: that module is what reading from the cache saves."""
_SETTLED = 2 * 10**9
"""Nanoseconds after which a file that is written again gets another time stamp on any file system (FAT: 2 s)."""

Stamp = tuple[int, int, int, int]
"""Times of change of content and of inode in nanoseconds, size, inode: what tells that a file is another one."""


class _Entry(NamedTuple):
    stamp: Stamp
    card: PlanCard


class _Scan(NamedTuple):
    path: str
    stamp: Stamp


def plan_cards(
    folder: Path, cache: Path, *, clock: Callable[[], int] = time.time_ns, code: str | None = None
) -> tuple[PlanCard, ...]:
    """The card of every plan in the folder, by name; the first broken plan is a `UsageError`.

    `cache` is the index file; it is written where its folder exists. `clock` counts nanoseconds as the file system
    does; `code` names what makes cards of plans (default: this installation), with another one nothing cached is used.
    """
    code = code if code is not None else _code()
    files = _scan(folder)
    known = _read(cache, folder, code)
    found: dict[str, PlanCard] = {}
    fresh: dict[str, _Entry] = {}
    try:
        for name, file in files.items():
            entry = known.get(name)
            if entry is not None and entry.stamp == file.stamp:
                found[name] = entry.card
                continue
            began = clock()
            found[name] = _card(folder, name)
            # As git does with a "racy" index: a file that was written just now may be written once more without
            # looking any different, so it is remembered only once its time stamps have settled.
            if max(file.stamp[:2]) < began - _SETTLED:
                fresh[name] = _Entry(file.stamp, found[name])
    finally:
        if fresh or len(known.keys() - files.keys()):
            kept = {name: entry for name, entry in known.items() if name in files and entry.stamp == files[name].stamp}
            _write(cache, folder, code, kept | fresh)
    return tuple(sorted(found.values()))


def _scan(folder: Path) -> dict[str, _Scan]:
    try:
        with os.scandir(folder) as entries:
            wanted = (e for e in entries if e.name.endswith(".yaml") and e.name not in _POLICIES)
            return dict(sorted((e.name, _Scan(e.path, _stamp(e))) for e in wanted))
    except OSError as error:
        raise UnreadablePlans(folder, error) from None


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    try:
        seen = entry.stat()
    except OSError:  # gone, or a link to nowhere: reading it will say so
        return (0, 0, -1, 0)
    return seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size, seen.st_ino


def _card(folder: Path, name: str) -> PlanCard:
    from muster.cards import card_of
    from muster.plan import find_plan

    return card_of(find_plan(folder, name.removesuffix(".yaml")), path=str(folder / name))


def _code() -> str:
    """Digest of what a card depends on beside its plan: another Muster, or one that is being worked on."""
    room = Path(__file__).parent
    sources = sorted({*room.glob("*.py"), *room.glob("cadence/*.py"), *room.glob("*/spec.py")})
    seen = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in sources]
    return sha256(repr((__version__, PlanCard._fields, seen)).encode()).hexdigest()


def _header(folder: Path, code: str) -> dict[str, str]:
    return {"folder": str(folder), "absolute": str(folder.absolute()), "code": code}


def _read(cache: Path, folder: Path, code: str) -> Mapping[str, _Entry]:
    try:
        content = json.loads(cache.read_bytes())
        if content["header"] != _header(folder, code):
            return {}
        return {name: _Entry(tuple(stamp), _thawed(card)) for name, stamp, card in content["plans"]}
    except (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError):
        return {}


def _thawed(values: list[Any]) -> PlanCard:
    card = PlanCard._make(values)
    return card._replace(controls=tuple(card.controls), notifications=tuple(card.notifications))


def _write(cache: Path, folder: Path, code: str, entries: Mapping[str, _Entry]) -> None:
    """Replace the cache in one go. Where that cannot be done the next reader is slower, and no worse off."""
    rows: Iterable[Any] = ((name, entry.stamp, entry.card) for name, entry in entries.items())
    text = json.dumps({"header": _header(folder, code), "plans": list(rows)}, separators=(",", ":"))
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(prefix=f".{cache.name}.", dir=cache.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(temporary).replace(cache)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
