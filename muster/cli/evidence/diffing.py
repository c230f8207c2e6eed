"""`muster evidence diff`: what two packages, or two bundles, say otherwise. Neither is verified here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evidence import bag
from evidence.envelope import open_envelope
from evidence.statement import parse_object
from evidence.verify import PACKAGE_LIMITS, ArchiveDamaged, read_archive
from muster.errors import UsageError
from muster.report.wording import printable
from muster.verdict import ExitCode

_READ = {bag.ENVELOPE, f"{bag.PAYLOAD}population.json", f"{bag.PAYLOAD}controls.json"}


def diff(before: Path, after: Path, *, as_json: bool) -> int:
    """Print what changed, one a line; exits with 1 when something did."""
    old, new = _facts(before), _facts(after)
    changes = [
        {"what": name, "before": old.get(name), "after": new.get(name)}
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if as_json:
        print(json.dumps(changes, indent=2))
    else:
        for change in changes:
            print(printable(f"{change['what']}: {_shown(change['before'])} -> {_shown(change['after'])}"))
        if not changes:
            print("They say the same.")
    return ExitCode.FAIL if changes else ExitCode.PASS


def _facts(path: Path) -> dict[str, Any]:
    """What it says, as flat names and values that can be compared."""
    read: dict[str, bytes] = {}
    try:
        with path.open("rb") as source:
            for member in read_archive(source, PACKAGE_LIMITS):
                name = member.name.partition("/")[2]
                content = b"".join(member.pieces) if name in _READ else _pass_over(member.pieces)
                read |= {name: content} if name in _READ else {}
    except ArchiveDamaged as damage:
        raise UsageError(f"{path} cannot be read: {damage}", "`muster verify` says more") from damage
    opened = open_envelope(read.get(bag.ENVELOPE, b""))
    statement = (parse_object(opened.payload) if opened else None) or {}
    said = statement.get("predicate") or {}
    facts = dict(_of_run(said)) if "run" in said else dict(_of_package(said, read))
    if not facts:
        raise UsageError(f"{path} is neither a bundle nor a package", "name two files that end in .tar.gz")
    return facts


def _of_run(said: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("plan", "planDigest", "target", "outcome", "verdict", "approval"):
        yield name, said.get(name)
    for measure in said.get("measures", ()):
        yield f"measure {measure.get('name')}", measure.get("measured")
    for finding in said.get("findings", ()):
        yield f"check {finding.get('check')}", finding.get("verdict")


def _of_package(said: dict[str, Any], read: dict[str, bytes]) -> Iterator[tuple[str, Any]]:
    for name in ("release", "period", "population", "head"):
        yield name, said.get(name)
    population = parse_object(read.get(f"{bag.PAYLOAD}population.json", b"")) or {}
    for row in (*population.get("slots", ()), *population.get("late", ())):
        yield f"slot {row.get('plan')} {row.get('scheduledAt') or row.get('run')}", row.get("outcome")
    controls = parse_object(read.get(f"{bag.PAYLOAD}controls.json", b"")) or {}
    for row in controls.get("controls", ()):
        yield f"control {row.get('control')}", "supported" if row.get("supports") else "not shown"


def _pass_over(pieces: Iterator[bytes]) -> bytes:
    for _ in pieces:
        pass
    return b""


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else "nothing" if value is None else json.dumps(value, sort_keys=True)
