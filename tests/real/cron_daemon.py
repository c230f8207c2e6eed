"""A cron of our own: Debian's, as root in a mount namespace where tables, pid file and `/dev/log` are those of a test.

Promise: nothing of the machine's own cron is read or written.
"""

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

INSIDE = """
set -e
for node in null zero full random urandom tty; do touch dev/$node; mount --bind /dev/$node dev/$node; done
mkdir -p dev/shm; mount --bind /dev/shm dev/shm
mount --rbind dev /dev
mount --bind run /run
mount --bind crontabs /var/spool/cron/crontabs
mount --bind cron.d /etc/cron.d
mount --bind crontab /etc/crontab
"""


class Daemon:
    """A cron of our own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.out = folder, folder / "log", folder / "out"
        for name in ("dev", "run", "crontabs", "cron.d"):
            (folder / name).mkdir()
        (folder / "crontabs").chmod(0o1730)
        shutil.chown(folder / "crontabs", group="crontab")
        for name in ("crontab", "out", "log"):
            (folder / name).touch()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "dev/log"))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self._process: subprocess.Popen[str] | None = None

    def run(self, command: str, *arguments: str, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start a shell's command where our tables are the machine's; it needs root."""
        argv = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]
        argv += ["bash", "-c", INSIDE + command, "bash", *arguments]
        return subprocess.Popen(
            argv,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=environment,
        )

    def start(self, level: int = 15) -> None:
        """Up when it returns, or a failure that says why. `level` says what it logs: Debian's own is 1."""
        self._process = self.run('exec cron -f -L "$1"', str(level))
        wait_until(lambda: "Running @reboot jobs" in self.log.read_text() or self._has_ended(), 20)
        assert not self._has_ended(), self._process.stdout and self._process.stdout.read()

    def close(self) -> None:
        """Nothing is left."""
        if self._process:
            self._process.kill()  # it is cron itself: unshare and the shell were replaced by it
            self._process.wait(10)
        self._socket.close()
        shutil.rmtree(self.folder)

    def lines(self) -> list[str]:
        """What jobs wrote."""
        return self.out.read_text().splitlines()

    def _has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _listen(self) -> None:
        """As a syslog daemon would."""
        while True:
            try:
                said = self._socket.recv(9000).decode(errors="replace").partition(">")[2]
            except OSError:
                return
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"{said[:15]} here{said[15:].rstrip()}\n")


@contextmanager
def cron_daemon() -> Iterator[Daemon]:
    """In a short folder, with nothing left afterwards."""
    made = Daemon(Path(tempfile.mkdtemp(prefix="mcron", dir="/tmp")))
    try:
        yield made
    finally:
        made.close()


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
