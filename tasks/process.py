"""Programs Muster starts, each found again by its own record even after a SIGKILL of Muster.

Promises: a program runs only once its record is on disk; a recycled pid is never signalled (identity is pid, start
ticks and boot id); whatever is stopped is stopped with all its descendants; no name is ever searched for.
A record outlives our death, not the machine's, so it needs no fsync: a reboot ends the processes too.
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil

from muster.errors import StepError
from tasks import unprivileged as unprivileged_start

Signals = tuple[tuple[signal.Signals, float], ...]
"""Signals to send in turn, each with the seconds to wait for the end."""

POLITE: Signals = ((signal.SIGINT, 30.0), (signal.SIGKILL, 5.0))
SOON: Signals = ((signal.SIGINT, 3.0), (signal.SIGKILL, 5.0))
AT_ONCE: Signals = ((signal.SIGKILL, 5.0),)
_CUT_SHORT: Signals = ((signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0))

_LINEAGE = "MUSTER_LINEAGE"
"""Environment variable with the tokens of a process and its ancestors: finds children whose parent died."""

# Whoever unlinks the intent decides: the child, which then runs, or a cleaner, after which the child cannot run. Each
# start has an intent of its own, and only who has won it touches the record: the child of a starter that was killed can
# come late, when the name is another's already.
_RECORD_THEN_EXEC = """
read -r stat < /proc/$$/stat && read -r boot < /proc/sys/kernel/random/boot_id || exit 125
token="${MUSTER_LINEAGE##*:}"
[ -e "$1.$token.intent" ] || exit 125
printf '%s %s %s\\n' "$token" "$boot" "$stat" > "$1.$token.claim" || exit 125
rm "$1.$token.intent" 2>/dev/null || { rm -f "$1.$token.claim"; exit 125; }
mv "$1.$token.claim" "$1.pid" || exit 125
shift; exec "$@"
"""
_INTENT, _CLAIM = ".intent", ".claim"
_TAIL = 4000  # bytes of a log that are shown
_ROUNDS = 5  # a tree can grow while it is felled


@dataclass(frozen=True)
class Completed:
    """A program that ran to its end. `output` is the tail of what it said, `log` the file with all of it."""

    returncode: int
    output: str
    log: Path


@dataclass(frozen=True)
class Started:
    """A server that was started; `log` is where it talks."""

    name: str
    pid: int
    log: Path


@dataclass(frozen=True)
class Identity:
    """One process for ever: a pid alone is reused, a pid with its start ticks and boot is not."""

    pid: int
    ticks: int
    boot: str

    @classmethod
    def parse(cls, boot: str, stat: str) -> "Identity":
        """From the boot id and a line of `/proc/PID/stat` (proc(5): field 22 is the start time in ticks)."""
        return cls(int(stat.split(" ", 1)[0]), int(stat.rpartition(")")[2].split()[19]), boot)

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """The process that has this pid now; `None` when there is none, or only its zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if stat.rpartition(")")[2].split()[0] in "ZX" else cls.parse(_boot_id(), stat)

    def is_alive(self) -> bool:
        """Whether this very process still runs. Zombies count as gone."""
        return self == Identity.of(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process is gone."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(frozen=True)
class _Record:
    """What is on disk about a program that runs: the token its descendants carry, and its process."""

    token: str
    leader: Identity


class Processes:
    """The programs of one run or estate. Safe to use from several threads."""

    def __init__(self, records: Path, logs: Path, secrets: Iterable[str] = ()) -> None:
        self.records = records
        self.logs = logs
        self._secrets = tuple(s for s in secrets if s)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        log: str,
        timeout: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        unprivileged: bool = False,
        network: Path | None = None,
        stdin: Path | None = None,
        stdout_path: Path | None = None,
        leaves_servers: bool = False,
        check: bool = True,
    ) -> Completed:
        """Run a program to its end, within `timeout` seconds; whatever goes wrong, it is not left running.

        `network` is a network namespace to run it in, such as `/proc/PID/ns/net`; that takes root.
        `leaves_servers`: what it has sent into the background when it ends well lives on, and past our own end too.
        A non-zero exit is a `StepError` with the program's last lines, unless `check` is false. A program that a signal
        ended has concluded nothing: that is a `StepError` in any case.
        """
        program = Path(argv[0]).name
        name = f"{_plain(program)}-{uuid4().hex[:8]}"
        path, start = self._open_log(log, argv)
        try:
            prefix = _prefix(unprivileged, network)
            child = self._spawn(name, argv, path, env, cwd, prefix, stdin, stdout_path, of_no_family=leaves_servers)
            returncode = child.wait(timeout)
            if leaves_servers and returncode == 0:
                self._forget(name)
        except subprocess.TimeoutExpired:
            raise StepError(
                f"{program} did not end within {timeout:g} seconds", f"see {path}; allow it more time"
            ) from None
        finally:
            self.stop(name, signals=_CUT_SHORT)
        output = self.tail(path, start)
        if returncode < 0 or (check and returncode != 0):
            raise StepError(f"{program} ended with {_ending(returncode)}: {_last_lines(output)}", f"see {path}")
        return Completed(returncode, output, path)

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        unprivileged: bool = False,
        network: Path | None = None,
    ) -> Started:
        """Start a server under a name of ours, in a network namespace if one is given; on record when this returns."""
        self._settle(name)
        if name in self.alive():
            raise StepError(f"{name} is already running, on record in {self.records}", "stop it first")
        path, _ = self._open_log(log, argv)
        child = self._spawn(name, argv, path, env, cwd, _prefix(unprivileged, network))
        while child.poll() is None and ((found := _record(self._pid(name))) is None or found.leader.pid != child.pid):
            time.sleep(0.002)
        return Started(name, child.pid, path)

    def exit_code(self, name: str) -> int | None:
        """How a server that this object started ended; `None` while it runs, or when another started it."""
        with self._lock:
            child = self._children.get(name)
        return child.poll() if child else None

    def stop(self, name: str, *, signals: Signals = POLITE) -> None:
        """Make sure that the program and its descendants are gone, then drop its record."""
        record = self._settle(name)
        if record is not None:
            for number, patience in signals:
                if number is not signal.SIGKILL:
                    record.leader.signal(number)
                    _wait_until_gone((record.leader,), patience)
            _kill_tree(record, signals[-1][1])
        self._forget(name)

    def close(self) -> None:
        """Start nothing any more, in whatever thread, and make sure that nothing on record is left."""
        with self._lock:
            self._closed = True
        self.stop_all()

    def end(self) -> None:
        """Start nothing any more, and end what this object started; what others started goes on."""
        with self._lock:
            self._closed = True
            mine = tuple(self._children)
        for name in mine:
            self.stop(name, signals=AT_ONCE)

    def stop_all(self, *, signals: Signals = SOON) -> None:
        """Make sure that nothing on record is left, whoever started it."""
        for name in self.names():
            self.stop(name, signals=signals)

    def names(self) -> tuple[str, ...]:
        """Every name on record, alive or not."""
        begun = {_name_of(path) for kind in (_INTENT, _CLAIM) for path in self.records.glob(f"*{kind}")}
        return tuple(sorted(begun | {path.stem for path in self.records.glob("*.pid")}))

    def alive(self) -> tuple[str, ...]:
        """The names on record whose process runs."""
        return tuple(name for name in self.names() if (found := self.identity(name)) and found.is_alive())

    def identity(self, name: str) -> Identity | None:
        """The process on record under this name, alive or not; `None` when there is none."""
        record = self._read(name)
        return record.leader if record else None

    def redact(self, text: str) -> str:
        """The text with every secret that a program was given replaced."""
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        return text

    def tail(self, log: Path, start: int = 0) -> str:
        """The last few kilobytes of a log from byte `start` on, redacted."""
        with log.open("rb") as file:
            cut = file.seek(0, os.SEEK_END) - _TAIL
            file.seek(max(start, cut))
            text = file.read().decode("utf-8", "replace")
        # A line cut in two could hold half a secret.
        return self.redact(text.partition("\n")[2] if cut > start else text)

    def _open_log(self, log: str, argv: Sequence[str | Path]) -> tuple[Path, int]:
        """The path of a log by its file name, and where this program's own words begin in it."""
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.logs / log
        with path.open("ab") as file:
            file.write(f"$ {' '.join(map(str, argv))}\n".encode())
        return path, path.stat().st_size

    def _spawn(
        self,
        name: str,
        argv: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None,
        cwd: Path | None,
        prefix: tuple[str, ...],
        stdin: Path | None = None,
        stdout_path: Path | None = None,
        *,
        of_no_family: bool = False,
    ) -> subprocess.Popen[bytes]:
        token = uuid4().hex
        self.records.mkdir(parents=True, exist_ok=True)
        base = str(self.records.absolute() / name)
        with (
            log.open("ab") as said,
            (stdin or Path(os.devnull)).open("rb") as source,
            (stdout_path or log).open("wb" if stdout_path else "ab") as sink,
            self._lock,
        ):
            if self._closed:
                raise StepError(f"{name} was not started: everything is being stopped")
            (self.records / f"{name}.{token}{_INTENT}").touch()
            child = subprocess.Popen(
                ["/bin/sh", "-c", _RECORD_THEN_EXEC, "sh", base, *prefix, *map(str, argv)],
                stdin=source,
                stdout=sink,
                stderr=said,
                cwd=cwd,
                env=_environment(token, env or {}, of_no_family),
                start_new_session=True,
            )
            self._children[name] = child
        return child

    def _settle(self, name: str) -> _Record | None:
        """Forbid every start that has not happened yet; the record of one that has."""
        for intent in self._starts(name, _INTENT):
            intent.unlink(missing_ok=True)
        return self._read(name)

    def _read(self, name: str) -> _Record | None:
        """The record of the program that runs under this name, else of one that ran."""
        claims = [_record(path) for path in self._starts(name, _CLAIM)]
        found = [record for record in (_record(self._pid(name)), *claims) if record]
        return next((record for record in found if record.leader.is_alive()), found[0] if found else None)

    def _forget(self, name: str) -> None:
        with self._lock:
            child = self._children.get(name)
        if child is not None:
            child.wait()
        for path in (*self._starts(name, _INTENT), *self._starts(name, _CLAIM)):
            path.unlink(missing_ok=True)
        self._pid(name).unlink(missing_ok=True)

    def _starts(self, name: str, kind: str) -> list[Path]:
        """The intents or claims of this name's starts."""
        return [path for path in self.records.glob(f"*{kind}") if _name_of(path) == name]

    def _pid(self, name: str) -> Path:
        return self.records / f"{name}.pid"


def _record(path: Path) -> _Record | None:
    try:
        token, boot, stat = path.read_text(encoding="utf-8").rstrip("\n").split(" ", 2)
    except (FileNotFoundError, ValueError):
        return None  # its start has not come so far
    return _Record(token, Identity.parse(boot, stat))


def _name_of(start: Path) -> str:
    """Whose start an intent or a claim is: their names end with the start's token."""
    return start.stem.rpartition(".")[0]


def _prefix(unprivileged: bool, network: Path | None) -> tuple[str, ...]:
    """The words before an argument list: the namespace is entered first, while we may."""
    inside = ("nsenter", f"--net={network}", "--") if network else ()
    return inside + (unprivileged_start.prefix() if unprivileged else ())


def _kill_tree(record: _Record, patience: float) -> None:
    """SIGKILL a process and all that descends from it.

    The leader is stopped first, so that it starts nothing new: a PostgreSQL postmaster restarts what is killed
    under it, and each of its backends is a session of its own, out of reach of a process group.
    """
    record.leader.signal(signal.SIGSTOP)
    for _ in range(_ROUNDS):
        doomed = (_descendants(record.leader) | _marked(record.token)) - {record.leader}
        if not doomed:
            break
        _kill(doomed, patience)
    _kill({record.leader}, patience)


def _kill(doomed: set[Identity], patience: float) -> None:
    for process in doomed:
        process.signal(signal.SIGKILL)
    _wait_until_gone(doomed, patience)
    survivors = sorted(p.pid for p in doomed if p.is_alive())
    if survivors:
        raise StepError(f"processes {survivors} survive SIGKILL", "they wait in the kernel: look at the disk they use")


def _descendants(leader: Identity) -> set[Identity]:
    try:
        children = psutil.Process(leader.pid).children(recursive=True) if leader.is_alive() else []
    except psutil.NoSuchProcess:
        return set()
    return {found for child in children if (found := Identity.of(child.pid))}


def _marked(token: str) -> set[Identity]:
    """Processes whose environment says that they descend from ours, though their parent may be gone."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and token.encode() in _environ_of(entry):
            found.add(Identity.of(int(entry.name)))
    return {process for process in found if process is not None}


def _environ_of(entry: Path) -> bytes:
    try:
        return (entry / "environ").read_bytes()
    except OSError:
        return b""


def _wait_until_gone(processes: Iterable[Identity], patience: float) -> None:
    deadline = time.monotonic() + patience
    pause = 0.002
    while any(p.is_alive() for p in processes) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _environment(token: str, extra: Mapping[str, str], of_no_family: bool) -> dict[str, str]:
    """Ours, without what would change which PostgreSQL or Prefect a tool talks to, or its language.

    One of no family is not ended with those who started us.
    """
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "PREFECT_", "LC_", "LANG"))}
    lineage = ":".join(filter(None, (None if of_no_family else ours.get(_LINEAGE), token)))
    return ours | {"LC_ALL": "C.UTF-8"} | dict(extra) | {_LINEAGE: lineage}


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


def _ending(returncode: int) -> str:
    return f"exit code {returncode}" if returncode >= 0 else f"signal {signal.Signals(-returncode).name}"


def _last_lines(output: str, count: int = 3) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " | ".join(lines[-count:]) or "it said nothing"
