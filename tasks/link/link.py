"""An emulated wide-area link between two sides: delayed, lossy, slow or cut, on command.

Promises: up when `start` returns, gone with all it made when `stop` returns; found again by its records after our
death; killed, it is a cut, and `start` mends it for the programs that went on running on both sides.

Two forms. `namespaces` (root): each side is a network namespace of its own with an address of its own, and every
packet between them passes a process of ours. `proxy` (anybody): both sides are on loopback, and reach each other
through a TCP proxy; see `tasks.link.proxy` for what it can only imitate.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

from muster.errors import StepError, UsageError
from tasks.estate.loopback import HOST, free_ports
from tasks.link import control
from tasks.link.condition import Condition as Condition
from tasks.link.control import Counts as Counts
from tasks.link.tunnel import ADDRESSES
from tasks.process import AT_ONCE, Identity, Processes

Form = Literal["namespaces", "proxy"]

_DOORS = "doors.json"
_UP_WITHIN = 60.0
_LONGEST_SOCKET = 107
"""Bytes of `sun_path`, unix(7), without its closing zero."""
_HOLD = ("unshare", "--net", "--", "sleep", "infinity")
_PROBE = ("unshare", "--net", "--", "ip", "tuntap", "add", "dev", "probe", "mode", "tun")


@cache
def best_form() -> Form:
    """`namespaces` where this machine and this user can have them, else `proxy`. Probed once a process."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        return "proxy"
    works = subprocess.run(_PROBE, capture_output=True, timeout=10, check=False).returncode == 0
    return "namespaces" if works else "proxy"


class Link:
    """Two sides, their names and the TCP port of the server of each; one process between them.

    `folder` (short, ours alone) holds the control socket and the condition. Its name is the name of the link's
    processes too: two links with the same `processes` need folders of different names.
    """

    def __init__(self, folder: Path, processes: Processes, ports: Mapping[str, int], form: Form | None = None) -> None:
        if len(ports) != 2:
            raise UsageError(f"a link has two sides, not {len(ports)}", "name two sides with their servers' ports")
        self.folder = folder.absolute()
        self.processes = processes
        self.ports = dict(ports)
        self.form: Form = form or best_form()
        self._sides = tuple(ports)
        if len(bytes(self.folder / control.SOCKET)) > _LONGEST_SOCKET:
            raise UsageError(f"the link's folder {self.folder} has too long a path", "choose a shorter MUSTER_HOME")

    def start(self, condition: Condition | None = None) -> None:
        """Make sure that the link is up, in this condition if one is given, else as it was (a new one: perfect).

        Programs that run in a namespace, and their connections, survive a dead carrier. When the namespace itself has
        died they are beyond help: it is made anew, and they must be started again.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.is_alive():
            self._wait_until_up()  # whoever started it may have died meanwhile
            if condition is not None:
                self.set(condition)
            return
        self.processes.stop(self._name, signals=AT_ONCE)
        control.record(self.folder, condition or control.recorded(self.folder) or Condition())
        words = self._proxy() if self.form == "proxy" else self._tunnel()
        argv = [sys.executable, "-m", *words]
        self.processes.start(self._name, argv, log=self._log.name)
        self._wait_until_up()

    def stop(self) -> None:
        """Make sure that nothing is left of it: no process, no device, no namespace that a server does not hold."""
        for name in (self._name, *map(self._holder, self._sides)):
            self.processes.stop(name, signals=AT_ONCE)
        for kept in (control.SOCKET, control.CONDITION, _DOORS):
            for file in self.folder.glob(f"{kept}*"):
                file.unlink(missing_ok=True)

    def network(self, side: str) -> Path | None:
        """The network namespace for this side's programs; `None` with the proxy, where that is ours."""
        self._port(side)
        if self.form == "proxy":
            return None
        holder = self._namespace(side)
        if holder is None:
            raise StepError(f"the link at {self.folder} is down: side {side} has no network", "start the link")
        return _net_of(holder)

    def listen_address(self, side: str) -> str:
        """Where this side's server has to listen (`listen_addresses`)."""
        self._port(side)
        return HOST if self.form == "proxy" else ADDRESSES[self._sides.index(side)]

    def address(self, of: str, seen_from: str) -> tuple[str, int]:
        """Host and port by which one side reaches the server of the other: the same until the link is stopped."""
        if of == seen_from or self.form == "namespaces":
            self._port(seen_from)
            return self.listen_address(of), self._port(of)
        try:
            doors: dict[str, int] = json.loads((self.folder / _DOORS).read_bytes())
        except FileNotFoundError:
            raise StepError(f"the link at {self.folder} was never started", "start the link") from None
        return HOST, doors[of]

    def set(self, condition: Condition) -> None:
        """Another condition, in force when this returns."""
        control.tell(self.folder, condition)

    def cut(self) -> None:
        """Let nothing through any more; neither side is told."""
        self.set(replace(self.state(), is_cut=True))

    def heal(self) -> None:
        """End a cut; all else stays as it was."""
        self.set(replace(self.state(), is_cut=False))

    def state(self) -> Condition:
        """The condition in force, asked of the running link."""
        return control.ask(self.folder).condition

    def counts(self) -> Counts:
        """What it has carried and lost, asked of the running link."""
        return control.ask(self.folder).counts

    def is_alive(self) -> bool:
        """Whether every process of the link runs."""
        held = self.form == "proxy" or all(map(self._namespace, self._sides))
        return held and self._name in self.processes.alive()

    @property
    def _name(self) -> str:
        return self.folder.name

    @property
    def _log(self) -> Path:
        return self.processes.logs / f"{self._name}.log"

    def _holder(self, side: str) -> str:
        return f"{self._name}-{side}"

    def _port(self, side: str) -> int:
        if side not in self.ports:
            raise UsageError(f"the link has no side {side}", f"name one of {', '.join(self._sides)}")
        return self.ports[side]

    def _proxy(self) -> list[str]:
        """The command of the proxy: a door for each side's server, on the ports that it had before."""
        path = self.folder / _DOORS
        if not path.exists():
            ports = free_ports(self.folder, "link", 2)
            partial = path.with_name(f"{_DOORS}.partial")
            partial.write_text(json.dumps(dict(zip(self._sides, ports, strict=True))), encoding="utf-8")
            partial.replace(path)
        doors = json.loads(path.read_bytes())
        return ["tasks.link.proxy", str(self.folder), *(f"{doors[side]}:{self.ports[side]}" for side in self._sides)]

    def _tunnel(self) -> list[str]:
        """The command of the tunnel, once both namespaces are there."""
        holders = [self._namespace(side) or self._hold(side) for side in self._sides]
        return ["tasks.link.tunnel", str(self.folder), *(str(_net_of(holder)) for holder in holders)]

    def _namespace(self, side: str) -> Identity | None:
        """The process that holds this side's namespace; `None` when there is none, or it has none yet."""
        holder = self.processes.identity(self._holder(side))
        return holder if holder and holder.is_alive() and _is_apart(holder) else None

    def _hold(self, side: str) -> Identity:
        """A new namespace, held by a process of its own: no name in /run/netns outlives us."""
        name = self._holder(side)
        self.processes.stop(name, signals=AT_ONCE)
        self.processes.start(name, _HOLD, log=self._log.name)
        deadline = time.monotonic() + _UP_WITHIN
        while (holder := self._namespace(side)) is None:
            if name not in self.processes.alive() or time.monotonic() > deadline:
                raise self._down(f"has no network namespace for side {side}")
            time.sleep(0.005)
        return holder

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + _UP_WITHIN
        while True:
            try:
                control.ask(self.folder)
            except StepError:
                if self._name not in self.processes.alive() or time.monotonic() > deadline:
                    raise self._down("did not come up") from None
                time.sleep(0.01)
            else:
                return

    def _down(self, how: str) -> StepError:
        said = [line for line in self.processes.tail(self._log).splitlines() if line.strip()]
        return StepError(f"the link at {self.folder} {how}: {' | '.join(said[-3:])}", f"see {self._log}")


def _net_of(process: Identity) -> Path:
    return Path(f"/proc/{process.pid}/ns/net")


def _is_apart(process: Identity) -> bool:
    """Whether a process has left our network namespace."""
    try:
        return _net_of(process).readlink() != Path("/proc/self/ns/net").readlink()
    except FileNotFoundError:
        return False
