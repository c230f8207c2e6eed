"""A systemd of our own: a user's manager, as root, in a mount namespace where `/run` is the test's.

It reads unit files of its own home, and ends with whoever started it. A journal is kept beside it when asked for.
`systemctl` and `journalctl` are called in that namespace: elsewhere they do not believe that systemd is running.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

from muster.settings import Settings
from tasks.schedulers.systemd import Systemd, open_scheduler

_DAEMONS = Path("/lib/systemd")
_PATIENCE = 20.0
_UNWANTED = ("gpg-agent.socket", "pk-debconf-helper.socket")
"""Debian's own, that would start something."""


class Manager:
    """Up from `start` to `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.units = folder / "home/.config/systemd/user"
        for made in ("run/systemd/system", "run/systemd/journal", "runtime/systemd/user", "bin"):
            (folder / made).mkdir(parents=True)
        (folder / "runtime").chmod(0o700)
        for name in _UNWANTED:
            (folder / "runtime/systemd/user" / name).symlink_to("/dev/null")
        self.units.mkdir(parents=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "log"
        self._groups = _groups()

    @property
    def stamps(self) -> Path:
        """Where it notes when timers fired last."""
        return self._folder / "home/.local/share/systemd/timers"

    @property
    def variables(self) -> dict[str, str]:
        """By which `systemctl --user` and `journalctl` find it."""
        return {
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH'].removeprefix(str(self._folder / 'bin') + ':')}",
            "XDG_RUNTIME_DIR": str(self._folder / "runtime"),
            "HOME": str(self._folder / "home"),
            "XDG_CONFIG_HOME": str(self._folder / "home/.config"),
        }

    def start(self, *, journal: bool = False) -> None:
        """Up when it returns, or a failure that says why."""
        to = "journal" if journal else "console"
        inside = f"mount --bind {self._folder}/run /run\n"
        if journal:
            inside += f"setpriv --pdeathsig KILL {_DAEMONS}/systemd-journald &\n"
            inside += "until [ -S /run/systemd/journal/socket ]; do sleep 0.05; done\n"
        inside += f"exec {_DAEMONS}/systemd --user --log-target={to} --log-level=info"
        argv = ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*argv, "bash", "-ec", inside], env=os.environ | self.variables, stdout=log, stderr=log
            )
        for name in ("systemctl", "journalctl"):
            program = self._folder / "bin" / name
            enter = f"nsenter --target {self._process.pid} --mount"
            program.write_text(f'#!/bin/sh\nexec {enter} {shutil.which(name)} "$@"\n', encoding="utf-8")
            program.chmod(0o755)
        until = time.monotonic() + _PATIENCE
        while not (self._folder / "runtime/systemd/private").exists():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < until, self._log.read_text()
            time.sleep(0.02)
        self.systemctl("is-system-running", "--wait", "--quiet")

    def close(self) -> None:
        """Its services and itself are gone."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self.systemctl("exit")
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_PATIENCE)
        for group in sorted(_groups() - self._groups, reverse=True):
            with suppress(OSError):  # another manager's, or a job's that has not ended
                group.rmdir()

    @contextmanager
    def found(self) -> Iterator[None]:
        """It is what `systemctl --user` means."""
        with patch.dict(os.environ, self.variables):
            yield

    def scheduler(self) -> Systemd:
        """Muster's, to be called while it is `found`."""
        return open_scheduler({"scope": "user", "unit_path": str(self.units), "timezone": "UTC"}, Settings())

    def systemctl(self, *arguments: str) -> None:
        """By hand."""
        subprocess.run(
            [self._folder / "bin/systemctl", "--user", *arguments], env=os.environ | self.variables, check=True
        )


def _groups() -> set[Path]:
    """Control groups beside ours, in which a manager puts its services."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    roots = {"name=systemd": "/sys/fs/cgroup/systemd", "": "/sys/fs/cgroup"}
    ours = [Path(f"{roots[name]}{path}") for _, name, path in lines if name in roots]
    found = (group for root in ours for ends in ("*.slice", "*.scope") for group in root.glob(ends))
    return {inner for group in found for inner in (group, *(p for p in group.rglob("*") if p.is_dir()))}
