"""Two PostgreSQL servers in two regions: `a` in the east and `b` in the west, a wide-area link between them.

Promises: a pair is complete or absent; which server is primary is on disk alone, and a start changes it for none; a
fenced server is started by `rejoin` and `revive` only; servers listen on the link for each other, and on unix sockets
for clients, who are outside both regions, so that a dead link does not cut them off; every verb is safe to repeat,
from any process.
"""

import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from psycopg.conninfo import make_conninfo

from muster.errors import StepError, SystemFailure
from muster.failover.observations import Node, Promoted, Rejoined
from muster.quantity import format_seconds
from tasks import unprivileged
from tasks.estate.loopback import free_ports
from tasks.link.link import Condition, Form, Link, best_form
from tasks.postgres.binaries import Binaries, wheel_binaries
from tasks.postgres.lsn import lsn_value
from tasks.postgres.server import Server
from tasks.process import AT_ONCE, Processes
from tasks.regions import making, rejoining, replication, tree
from tasks.regions.patience import SecondsLeft, countdown, wait_until
from tasks.regions.records import Fence, Made, Records, Running
from tasks.regions.timeline import is_standby_on_disk, read_control, timeline_on_disk

DATABASE = "app"
REPLICATOR = "replicator"
_LINK = "link"
_STOP_SECONDS = 60.0
_LEAVE_SECONDS = 8.0
_TURN_SECONDS = 20.0
"""For a server that starts or shuts down to be there, or gone."""
_KEEP_UP_SECONDS = 30.0
"""A standby that lost its connection notices that after 10 s, and has to come back and catch up."""
_RECEIPT_SECONDS = 3.0
"""A primary that shut down in good order had the standby's word for all of its log: more than that will not come."""
_PATIENCE = 120.0
"""For a verb whose caller sets no limit of its own."""

_SETTINGS = {
    "wal_level": "replica",
    "wal_log_hints": "on",
    "hot_standby": "on",
    "hot_standby_feedback": "on",
    "wal_keep_size": "64MB",
    "max_slot_wal_keep_size": "512MB",
    "max_wal_size": "256MB",
    "summarize_wal": "off",
    "wal_retrieve_retry_interval": "200ms",
    "wal_sender_timeout": "10s",
    "wal_receiver_timeout": "10s",
}
"""Of both. What changes as roles change is not here, since these are out of reach of ALTER SYSTEM."""

_IMPATIENT = "keepalives_idle=2 keepalives_interval=1 keepalives_count=5 tcp_user_timeout=10000"
"""A tool that only waits for data would not notice for hours that the link has died."""

_HBA = f"""local all all trust
local replication all trust
host replication {REPLICATOR} all scram-sha-256
host postgres {REPLICATOR} all scram-sha-256
"""


class Pair:
    """The two servers below `home`, their sockets below `sockets` (short, ours alone)."""

    NAMES: ClassVar = ("a", "b")
    REGIONS: ClassVar[Mapping[str, str]] = {"a": "east", "b": "west"}

    def __init__(
        self,
        home: Path,
        sockets: Path,
        processes: Processes,
        *,
        binaries: Binaries | None = None,
        form: Form | None = None,
    ) -> None:
        self.home = home.absolute()
        self.sockets = sockets.absolute()
        self.processes = processes
        self.records = Records(self.home)
        self._binaries = binaries or wheel_binaries()
        running = self.records.running()
        self._ports = running.ports if running else {}
        self._asked_form = form
        self._form: Form = form or (running.form if running else best_form())

    @classmethod
    def open(cls, home: Path) -> "Pair | None":
        """The pair that was started below this folder, by whatever process; `None` when none was."""
        running = Records(home).running()
        if running is None:
            return None
        return cls(home, running.sockets, Processes(running.records, running.logs), form=running.form)

    @property
    def link(self) -> Link:
        """The way between the regions."""
        if not self._ports:
            self._ports = self._free_ports()
        return Link(self.sockets / _LINK, self.processes, self._ports, self._form)

    def server(self, name: str) -> Server:
        """One of the two, running or not; started by `start_server` only."""
        link, server = self.link, self._bare_server(name)
        server.port = link.ports[name]
        server.network = link.network(name) if link.is_alive() else None
        return server

    def address_of(self, name: str, seen_from: str) -> str:
        """How a tool that runs in the region of `seen_from` connects to the server: over the link."""
        return f"{self._conninfo(name, seen_from)} dbname=postgres {_IMPATIENT}"

    def peer(self, name: str) -> str:
        """The other one."""
        return next(other for other in self.NAMES if other != name)

    def nodes(self) -> tuple[Node, ...]:
        """Both, as clients reach them."""
        return tuple(Node(name=n, region=self.REGIONS[n], dsn=self.server(n).dsn(DATABASE)) for n in self.NAMES)

    def make(self) -> Made:
        """Make sure that there is a pair: `a` by initdb, `b` from it by a base backup. One cut short is made anew."""
        made = self.records.made()
        if made is not None and all(map(self._is_kept, self.NAMES)):
            return made
        self.records.write_made(None)
        for name in self.NAMES:
            shutil.rmtree(self._bare_server(name).data, ignore_errors=True)
            self.records.write_fence(name, None)
        self.home.mkdir(parents=True, exist_ok=True)
        password = self._password()
        a, b = (self._bare_server(name) for name in self.NAMES)
        made = making.make(a, b, DATABASE, REPLICATOR, password)
        self.records.write_made(made)
        return made

    def start(self, condition: Condition | None = None, seconds_left: SecondsLeft | None = None) -> Made:
        """Bring the pair up as it was last: link, primary, standby streaming. What a dead keeper left half is mended.

        The pair must not run. Of two servers that would both take writes, the one of the older timeline rejoins.
        """
        left = seconds_left or countdown(_PATIENCE)
        made = self.make()
        self._form, self._ports = self._asked_form or best_form(), self._free_ports()
        link = self.link
        link.start(condition or Condition())
        self.records.write_running(
            Running(
                sockets=self.sockets,
                records=self.processes.records,
                logs=self.processes.logs,
                ports=dict(self._ports),
                form=link.form,
            )
        )
        primary = self._primary_on_disk()
        self.records.write_fence(primary, None)
        self.start_server(primary)
        self.rejoin(self.peer(primary), primary, left)
        return made

    def stop(self) -> None:
        """Make sure that neither server runs, nor the link. The primary first: its log reaches the standby."""
        for name in sorted(self.NAMES, key=lambda n: is_standby_on_disk(self._bare_server(n))):
            tree.thaw(self.processes, self._process(name))
            self._bare_server(name).stop("fast", timeout=_LEAVE_SECONDS)
        self.link.stop()
        self.records.write_running(None)

    @property
    def process_names(self) -> tuple[str, ...]:
        """What is on record while the pair is up."""
        return (*map(self._process, self.NAMES), _LINK)

    def is_running(self, name: str) -> bool:
        """Whether its process lives, frozen or not."""
        return self._process(name) in self.processes.alive()

    def kill(self, name: str) -> str:
        """SIGKILL to the postmaster and its backends, at once. Says what was done."""
        if not self.is_running(name):
            self.processes.stop(self._process(name), signals=AT_ONCE)
            return f"{name} was not running"
        pid = self._bare_server(name).pid()
        self.processes.stop(self._process(name), signals=AT_ONCE)
        return f"{name}: SIGKILL to postmaster {pid} and its backends"

    def freeze(self, name: str) -> str:
        """SIGSTOP to the postmaster and its backends."""
        return f"{name}: SIGSTOP to {tree.freeze(self.processes, self._process(name))} processes"

    def is_frozen(self, name: str) -> bool:
        """Whether it is stopped by SIGSTOP."""
        return tree.is_frozen(self.processes, self._process(name))

    def thaw(self, name: str) -> int:
        """Let it go on; how many of its processes had been frozen."""
        return tree.thaw(self.processes, self._process(name))

    def fill_disk(self, name: str) -> str:
        """The server may write to no file any more, as on a full disk."""
        count = tree.forbid_writing(self.processes, self._process(name))
        return f"{name}: no room to write for {count} processes (RLIMIT_FSIZE 0)"

    def free_disk(self, name: str) -> int:
        """Take `fill_disk` back; how many processes had no room."""
        return tree.allow_writing(self.processes, self._process(name))

    def fence(self, name: str) -> str:
        """It takes no write any more: killed, and marked on disk: only `rejoin` and `revive` start it again."""
        if self.records.fence(name) is None:
            self.records.write_fence(name, Fence.FENCED)
        return f"{self.kill(name)}; marked as fenced, so that it is not started again"

    def start_server(self, name: str, *, wait: bool = True) -> None:
        """Make sure that a server that is not fenced runs, in the role that it had."""
        if self.records.fence(name) is not None:
            raise StepError(f"{name} is fenced", "rejoin it to the primary, or revive it if there is none")
        if self._stays_up(name):
            return
        self.link.start()
        self.server(name).start(self._settings(name), wait=wait)

    def mend_link(self, condition: Condition) -> tuple[str, ...]:
        """The link is up, in this condition, and both servers are on it. Says what was mended."""
        link = self.link
        if not link.is_alive():
            link.start(condition)
            return ("the link was dead, and is up again", *self._move_to_link())
        if link.state() == condition:
            return ()
        link.set(condition)
        return (f"the link is back at {format_seconds(condition.rtt_seconds)} round trip",)

    def _move_to_link(self) -> tuple[str, ...]:
        """Start servers again whose network namespace died with the link; the others never noticed."""
        lost = [name for name in self.NAMES if self.is_running(name) and not self._is_on_link(name)]
        for name in lost:
            self._bare_server(name).stop("fast", timeout=_LEAVE_SECONDS)
            self.start_server(name)
        return tuple(f"{name} was started again, on the new link" for name in lost)

    def _is_on_link(self, name: str) -> bool:
        network = self.link.network(name)
        own = Path(f"/proc/{self._bare_server(name).pid()}/ns/net")
        return network is None or network.readlink() == own.readlink()

    def revive(self, name: str) -> str:
        """It runs as it last did, and is not fenced any more. Refused beside another server that takes writes."""
        if self.records.fence(name) is Fence.UNFINISHED:
            raise StepError(f"{name} was being rebuilt, its data is not whole", f"rejoin {name} to the primary")
        peer = self.server(self.peer(name))
        if not is_standby_on_disk(self._bare_server(name)) and self._takes_writes(peer):
            raise StepError(f"{peer.name} takes writes, {name} would too", f"rejoin {name} to it instead")
        was_fenced = self.records.fence(name) is not None
        self.records.write_fence(name, None)
        if self._stays_up(name):
            return "it runs"
        self.start_server(name)
        role = "standby" if is_standby_on_disk(self._bare_server(name)) else "primary"
        return f"started as {role}{', not fenced any more' if was_fenced else ''}"

    def promote(self, name: str, seconds_left: SecondsLeft | None = None) -> Promoted:
        """The server takes writes. Nobody waits for a standby until one has rejoined it."""
        left, server = seconds_left or countdown(_PATIENCE), self.server(name)
        try:
            done = replication.promote(server, left, at_most=min(_PATIENCE, left()))
        except StepError as error:
            left()
            raise SystemFailure(f"{name} was not promoted: {error.message}", f"see {server.log}") from error
        return Promoted(
            node=name,
            promoted_ns=time.monotonic_ns(),
            timeline=done.position.timeline,
            lsn=done.position.lsn,
            how="pg_promote" if done.was_standby else "it was primary already",
        )

    def switch(
        self, old: str, new: str, seconds_left: SecondsLeft | None = None, tools: Processes | None = None
    ) -> Promoted:
        """Planned: `old` shuts down in good order, and once `new` has all of its log it is promoted, and followed."""
        left = seconds_left or countdown(_PATIENCE)
        if replication.is_standby(self.server(new)):
            self._hand_over(old, new, left)
        promoted = self.promote(new, left)
        self.rejoin(old, new, left, tools)
        return promoted

    def rejoin(
        self, name: str, primary: str, seconds_left: SecondsLeft | None = None, tools: Processes | None = None
    ) -> Rejoined:
        """The server streams from the primary, caught up, and synchronous commits wait for it again."""
        left = seconds_left or countdown(_PATIENCE)
        how, why = rejoining.rejoin(self, name, primary, left, tools or self.processes)
        return Rejoined(node=name, how=how, why=why, rejoined_ns=time.monotonic_ns())

    def _hand_over(self, old: str, new: str, left: SecondsLeft) -> None:
        """Stop `old` once `new` keeps up, and prove that `new` has all of its log; else `old` serves on."""
        server, standby = self._bare_server(old), self.server(new)
        try:
            if self._stays_up(old):
                self._wait_until_keeping_up(old, new, left)
            server.stop("fast", timeout=min(_STOP_SECONDS, left()))
            control = read_control(server)
            if not control.is_clean:
                raise StepError(f"{old} did not shut down in good order: {control.state}")
            wait_until(
                lambda: lsn_value(replication.received_lsn(standby)) > lsn_value(control.checkpoint_lsn),
                f"{new} to receive {old}'s shutdown checkpoint at {control.checkpoint_lsn}",
                left,
                at_most=_RECEIPT_SECONDS,
            )
        except StepError as error:
            self.start_server(old)
            raise SystemFailure(
                f"{old} cannot hand over: {error.message}", "look at the link and the standby"
            ) from None

    def _wait_until_keeping_up(self, old: str, new: str, left: SecondsLeft) -> None:
        server = self.server(old)
        mark = replication.write_mark(server)
        words = f"{new} to apply {old}'s log up to {mark}"
        wait_until(lambda: replication.is_caught_up(server, new, mark), words, left, at_most=_KEEP_UP_SECONDS)

    def _is_kept(self, name: str) -> bool:
        """Whether its data is there, or is being made anew from the other's."""
        return self._bare_server(name).data.exists() or self.records.fence(name) is Fence.UNFINISHED

    def _stays_up(self, name: str) -> bool:
        """Whether it runs, and is not on its way out: one that starts or shuts down is waited for, unless frozen."""
        until = time.monotonic() + _TURN_SECONDS
        while self.is_running(name):
            if self.is_frozen(name) or self.server(name).is_ready() or time.monotonic() > until:
                return True
            time.sleep(0.02)
        return False

    def _primary_on_disk(self) -> str:
        """Who is to take writes: of two that would, the one of the newer timeline; its data must be whole."""
        fit = [n for n in self.NAMES if self.records.fence(n) is not Fence.UNFINISHED]
        primaries = [n for n in fit if not is_standby_on_disk(self._bare_server(n))]
        if not primaries:
            raise StepError(f"neither server in {self.home} is a primary", f"remove {self.home}: it is made anew")
        return max(primaries, key=lambda n: timeline_on_disk(self._bare_server(n)))

    def _takes_writes(self, server: Server) -> bool:
        return replication.answers(server) and not replication.is_standby(server)

    def _bare_server(self, name: str) -> Server:
        """The server without its part in the pair: to be made, stopped or looked at on disk."""
        server = Server(
            self._binaries,
            self.home / name,
            self.sockets / name,
            self.processes,
            self._process(name),
        )
        server.configure({"cluster_name": name})
        return server

    def _free_ports(self) -> dict[str, int]:
        return dict(zip(self.NAMES, free_ports(self.home, "regions", len(self.NAMES)), strict=True))

    def _password(self) -> str:
        """The replicator's, made at random with the pair and kept where only we can read it."""
        if not self._passfile.exists():
            line = f"*:*:*:{REPLICATOR}:{secrets.token_hex(16)}"
            with os.fdopen(os.open(self._passfile, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(f"{line}\n")
        unprivileged.hand_over(self._passfile)
        return self._passfile.read_text(encoding="utf-8").strip().rpartition(":")[2]

    @property
    def _passfile(self) -> Path:
        return self.home / "passfile"

    def _hba(self, name: str) -> Path:
        """Who may connect: through the socket, and over the link the replicator with its password."""
        path = self.sockets / name / "pair_hba.conf"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(_HBA, encoding="utf-8")
        unprivileged.hand_over(self.sockets)
        return path

    def _process(self, name: str) -> str:
        return f"region-{name}"

    def _settings(self, name: str) -> dict[str, str]:
        """The peer is the only primary there can be; of a primary, the settings of a standby are not looked at."""
        return {
            **_SETTINGS,
            "hba_file": str(self._hba(name)),
            "listen_addresses": self.link.listen_address(name),
            "primary_conninfo": self._conninfo(self.peer(name), seen_from=name),
            "primary_slot_name": name,
        }

    def _conninfo(self, of: str, seen_from: str) -> str:
        host, port = self.link.address(of, seen_from=seen_from)
        return make_conninfo(
            host=host,
            port=port,
            user=REPLICATOR,
            passfile=str(self._passfile),
            application_name=seen_from,
            connect_timeout=5,
        )
