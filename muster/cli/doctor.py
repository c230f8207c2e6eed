"""`muster doctor`: looks at the machine and the installation; each line is ok, or says what to do.

Promise: it looks, and changes nothing.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evidence.errors import EvidenceError
from evidence.keys import load_public
from muster.errors import MusterError, UsageError
from muster.ledger.glance import glance
from muster.notify.routes import check_plan_routes, load_routes
from muster.plan import find_plan, load_plans, plan_files
from muster.quantity import format_bytes
from muster.settings import Settings
from muster.verdict import ExitCode
from tasks import unprivileged
from tasks.estate.card import read_card
from tasks.estate.loopback import HOST, free_ports
from tasks.estate.objects import weed
from tasks.postgres.binaries import every_installation, wheel_binaries
from tasks.spark.java import find_java, spark_home

_ROOM = 2 * 2**30
"""Bytes that the estate, its backups and one restore of the demo shop take at most."""


@dataclass(frozen=True)
class Line:
    """One thing looked at. `advice` is empty when it is ok."""

    name: str
    seen: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing has to be done."""
        return not self.advice


Look = Callable[[Settings], Iterator[Line]]


def doctor(settings: Settings, *, as_json: bool = False) -> int:
    """Look at everything; the exit code is 64 when anything has to be done."""
    lines = tuple(diagnose(settings))
    if as_json:
        print(json.dumps([{"ok": line.ok, **asdict(line)} for line in lines], indent=2))
    else:
        _show(lines, Console())
    return ExitCode.PASS if all(line.ok for line in lines) else ExitCode.USAGE


def diagnose(settings: Settings) -> Iterator[Line]:
    """Every line; a look that fails with an error of ours is a line with its advice."""
    for name, look in _LOOKS:
        try:
            yield from look(settings)
        except (MusterError, EvidenceError) as error:
            yield Line(name, error.message, error.advice or "see the message")


def _machine(_: Settings) -> Iterator[Line]:
    memory = format_bytes(psutil.virtual_memory().total)
    seen = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory}"
    yield Line("machine", seen, "" if sys.platform == "linux" else "Muster needs Linux: it reads /proc")
    right = sys.version_info >= (3, 11)
    yield Line("python", f"{platform.python_version()}, {sys.executable}", "" if right else "use Python 3.11 or newer")
    yield Line("prefect", metadata.version("prefect"))


def _postgres(_: Settings) -> Iterator[Line]:
    for binaries in every_installation():
        lacking = [t for t in ("pg_verifybackup", "pg_amcheck", "pg_waldump") if not (binaries.folder / t).exists()]
        seen = f"{binaries.version}, found in the {binaries.source}: {binaries.folder}"
        yield Line(f"postgresql {binaries.major}", seen + (f" (without {', '.join(lacking)})" if lacking else ""))
    wheel_binaries()
    prefix = unprivileged.prefix()
    yield Line("unprivileged start", f"by {prefix[0]}" if prefix else "not needed: not root")


def _tools(_: Settings) -> Iterator[Line]:
    yield Line("weed", _version_of(weed(), "version"))
    for tool, argument, purpose in (
        ("pgbackrest", "version", "only targets of type pgbackrest need it"),
        ("openssl", "version", "only checking an envelope by hand needs it"),
    ):
        found = shutil.which(tool)
        yield Line(tool, _version_of(Path(found), argument) if found else f"not installed; {purpose}")


def _spark(_: Settings) -> Iterator[Line]:
    try:
        java, home = find_java(), spark_home()
    except UsageError as error:
        yield Line("spark", f"{error.message}; only Spark drills that start here need it: {error.advice}")
        return
    yield Line("spark", f"{metadata.version('pyspark')}, {home}")
    yield Line("java", f"{java.version} of the {java.source}, {java.home}")


def _disk(settings: Settings) -> Iterator[Line]:
    folder = _existing(settings.root)
    free = shutil.disk_usage(folder).free
    enough = "" if free >= _ROOM else f"free {format_bytes(_ROOM)}, or set MUSTER_HOME to a bigger disk"
    yield Line("disk", f"{format_bytes(free)} free for {settings.root}", enough)
    writable = "" if os.access(folder, os.W_OK) else "make it writable, or set MUSTER_HOME to a folder of yours"
    yield Line("data directory", f"{settings.root}" + ("" if settings.root.exists() else " (not made yet)"), writable)


def _ports(settings: Settings) -> Iterator[Line]:
    ports = free_ports(settings.estate, "doctor", 6)
    yield Line("ports", f"free on {HOST}, such as {ports[0]}")


def _estate(settings: Settings) -> Iterator[Line]:
    card = read_card(settings)
    if card is None:
        yield Line("estate", "not up (`muster up` keeps it, `muster run --up` starts it for one run)")
        return
    dead = [part for part in ("shop", "objects", "scheduler") if getattr(card, part) is None]
    advice = f"{', '.join(dead)} died: stop `muster up` and start it again" if dead else ""
    yield Line("estate", f"up, kept by process {card.keeper.pid}", advice)


def _ledger(settings: Settings) -> Iterator[Line]:
    plans = [s for s in glance(settings.ledger_url).standings.values() if s.open_run or s.last_run]
    yield Line("ledger", f"{len(plans)} plan(s) have run" if plans else "empty, or not made yet")


def _keys(settings: Settings) -> Iterator[Line]:
    private, public = settings.key_file, settings.public_key_file
    if not private.exists():
        yield Line("signing key", f"none yet; the first run makes {private}")
        return
    closed = private.stat().st_mode & 0o077 == 0
    yield Line("signing key", str(private), "" if closed else f"others can read it: chmod 600 {private}")
    load_public(public)
    yield Line("public key", str(public))


def _store(settings: Settings) -> Iterator[Line]:
    yield Line("store", settings.store or "the embedded estate's bucket once there is one, else a folder")


def _plans(settings: Settings) -> Iterator[Line]:
    files = plan_files(settings.plans)
    if not files:
        yield Line("plans", f"none in {settings.plans.absolute()}", "go to the checkout, or set MUSTER_PLANS")
    for path in files:
        try:
            plan = find_plan(settings.plans, path.stem)
            yield Line(f"plan {path.stem}", f"{plan.kind} of {plan.target['type']}, {plan.environment}")
        except MusterError as error:
            yield Line(f"plan {path.stem}", error.message, error.advice)


def _routes(settings: Settings) -> Iterator[Line]:
    routes = load_routes(settings.plans)
    told = ", ".join(route.name for route in routes.all)
    yield Line("notifications", told or "nobody is told: there is no route in routes.yaml")
    for fault in check_plan_routes(load_plans(settings.plans), routes):
        yield Line("notifications", fault, "mend the plan's `notifications`, or add the route")


_LOOKS: tuple[tuple[str, Look], ...] = (
    ("machine", _machine),
    ("postgresql", _postgres),
    ("tools", _tools),
    ("spark", _spark),
    ("disk", _disk),
    ("ports", _ports),
    ("estate", _estate),
    ("ledger", _ledger),
    ("keys", _keys),
    ("store", _store),
    ("plans", _plans),
    ("notifications", _routes),
)


def _show(lines: tuple[Line, ...], console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    for line in lines:
        sign = Text("ok", "green") if line.ok else Text("do", "bold red")
        table.add_row(sign, Text(line.name), Text(line.seen, overflow="fold"))
        if line.advice:
            table.add_row("", "", Text(f"-> {line.advice}", "bold"))
    console.print(table)


def _version_of(program: Path, argument: str) -> str:
    try:
        said = subprocess.run([program, argument], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return f"{program} (does not tell its version)"
    match = re.search(r"\d+(\.\d+)+", said)
    return f"{match[0] if match else 'unknown version'}, {program}"


def _existing(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.exists())
