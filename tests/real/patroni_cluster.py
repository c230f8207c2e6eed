"""A real Patroni cluster on this machine: etcd, and members that a test or a plan's hooks can kill, freeze and start.

Promises: everything lives below one folder and listens on loopback; what was started is found again by its records, so
that another process (a hook) can kill it; nothing is left running after `stop`.

By hand, from the repository's root:

    python -m tests.real.patroni_cluster up FOLDER           # stays in the foreground, prints a plan for it
    python -m tests.real.patroni_cluster hook FOLDER kill a  # or lose, freeze, thaw, start; in a plan without `a`
"""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil
import yaml

from muster.errors import StepError
from tasks import unprivileged
from tasks.estate.loopback import HOST, answers_http, free_ports, wait_until_ours
from tasks.postgres.binaries import wheel_binaries
from tasks.process import AT_ONCE, Identity, Processes

PATRONI = Path(sys.executable).parent / "patroni"
REGIONS = ("east", "west", "north")
TTL, LOOP_WAIT, RETRY_TIMEOUT = 20, 2, 3
"""Seconds. Patroni raises a `ttl` below 20 to 20."""
_PATIENCE = 90.0


@dataclass(frozen=True)
class Seat:
    """One member: where its PostgreSQL and its REST API listen."""

    name: str
    region: str
    port: int
    api_port: int

    @property
    def api(self) -> str:
        """Its REST API."""
        return f"http://{HOST}:{self.api_port}"

    @property
    def dsn(self) -> str:
        """Its PostgreSQL, which trusts loopback."""
        return f"host={HOST} port={self.port} user=postgres dbname=postgres"


class PatroniCluster:
    """etcd and the members of one scope, below a folder; made by the first object that opens the folder."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str] = ("a", "b"),
        scope: str = "rehearsed",
        *,
        etcds: int = 1,
        dcs: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.processes = Processes(self.folder / "records", self.folder / "logs")
        self._card = self.folder / "cluster.json"
        if not self._card.exists():
            self._plan_seats(names, scope, etcds)
        card = json.loads(self._card.read_text())
        self.scope: str = card["scope"]
        self.seats = tuple(Seat(**seat) for seat in card["seats"])
        self._etcd_ports: list[tuple[int, int]] = [(client, peer) for client, peer in card["etcd"]]
        self._dcs = dict(dcs or {})

    def start(self) -> None:
        """Start etcd, then the members; the first one is primary the first time, and all stream when it returns."""
        self._start_etcd()
        first, *others = self.seats
        self.start_member(first.name)
        wait(lambda: self.leader() is not None or self._has_run_before(), "a leader", self.log(first.name))
        for seat in others:
            self.start_member(seat.name)
        wait(self.is_whole, "every member to stream", self.log(first.name))

    def stop(self) -> None:
        """Nothing of it is left running."""
        self.processes.stop_all(signals=AT_ONCE)

    def seat(self, name: str) -> Seat:
        """The member of this name."""
        return next(s for s in self.seats if s.name == name)

    def log(self, name: str) -> Path:
        """Where a member talks, its PostgreSQL too."""
        return self.processes.logs / f"{name}.log"

    def start_member(self, name: str) -> None:
        """Make sure that the member's Patroni runs, which starts its PostgreSQL as whatever the cluster wants."""
        if name not in self.processes.alive():
            self._drop_stale_lock(name)
            argv = [PATRONI, self._write_config(name)]
            self.processes.start(name, argv, log=self.log(name).name, unprivileged=True)
        port = self.seat(name).api_port
        wait_until_ours(self.processes, name, port, lambda: self._answers(name), timeout=_PATIENCE)

    def kill(self, name: str) -> None:
        """Its machine dies: Patroni and PostgreSQL are gone at once, with no goodbye to the DCS.

        Backends end with their postmaster, but not frozen ones: those are ended one by one.
        """
        family = self._family(name)
        self.processes.stop(name, signals=AT_ONCE)
        for process in family:
            process.signal(signal.SIGKILL)
        wait(lambda: not any(process.is_alive() for process in family), f"the processes of {name} to end")

    def lose(self, name: str) -> None:
        """Its machine dies, and the DCS forgets it at once, as if `ttl` were over already."""
        self.kill(name)
        self.expire(name)

    def expire(self, name: str) -> None:
        """If the member holds the leader key, let the key's time be up."""
        key, client = f"/service/{self.scope}/leader", self._etcd_ports[0][0]
        answer = json.loads(self._etcdctl(client, "get", key, "--write-out=json"))
        for found in answer.get("kvs", ()):
            if base64.b64decode(found["value"]).decode() == name:
                self._etcdctl(client, "lease", "revoke", f"{found['lease']:x}")

    def freeze(self, name: str) -> None:
        """Its machine stands still: no process of it runs, and none is told."""
        for process in self._family(name):
            process.signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Its machine goes on, knowing of nothing."""
        for process in self._family(name):
            process.signal(signal.SIGCONT)

    def seen(self) -> dict[str, Any]:
        """`GET /cluster` of the first member that answers; empty when none does."""
        for seat in self.seats:
            try:
                answer = httpx.get(f"{seat.api}/cluster", timeout=3, trust_env=False)
            except httpx.HTTPError:
                continue
            if answer.status_code == httpx.codes.OK:
                return dict(answer.json())
        return {}

    def leader(self) -> str | None:
        """The member that holds the leader key and whose PostgreSQL runs."""
        leaders = [m["name"] for m in self.seen().get("members", ()) if m["role"] in {"leader", "standby_leader"}]
        if not leaders:
            return None
        try:
            answer = httpx.get(f"{self.seat(leaders[0]).api}/leader", timeout=3, trust_env=False)
        except httpx.HTTPError:
            return None
        return leaders[0] if answer.status_code == httpx.codes.OK and answer.json()["state"] == "running" else None

    def is_whole(self) -> bool:
        """Whether one member leads, and every other one streams from it."""
        members = self.seen().get("members", ())
        streaming = [m for m in members if m["state"] == "streaming" and m["role"] not in {"leader", "standby_leader"}]
        return self.leader() is not None and len(streaming) == len(self.seats) - 1

    def configure(self, changes: Mapping[str, Any]) -> None:
        """`PATCH /config`, and wait until every member has seen it where it shows, such as `pause`."""
        httpx.patch(f"{self.seats[0].api}/config", json=changes, timeout=10, trust_env=False).raise_for_status()

    def plan(self) -> dict[str, Any]:
        """A plan that rehearses the loss of this cluster's primary."""
        return {
            "name": "rehearsal-patroni",
            "kind": "failover",
            "description": "Lose the primary of a Patroni cluster, take over in the other region, and come home.",
            "environment": "demo",
            "owner": "platform team",
            "target": self.target(),
            "objectives": {"rto": "60s", "rpo": "10s"},
            "time_limit": "10m",
            "failover": {"scenario": "kill"},
        }

    def target(self) -> dict[str, Any]:
        """The target's keys in a plan."""
        return {
            "type": "patroni",
            "cluster": self.scope,
            "nodes": [
                {"name": s.name, "region": s.region, "dsn": s.dsn, "api": s.api, "data": str(self._data(s.name))}
                for s in self.seats
            ],
            "hooks": {
                "kill": self.hook("kill"),
                "freeze": self.hook("freeze"),
                "thaw": self.hook("thaw"),
                "fence": self.hook("kill"),
                "start": self.hook("start"),
            },
        }

    def hook(self, verb: str) -> list[str]:
        """The words of a command that does this to the member in `MUSTER_NODE`, wherever it is run."""
        return [sys.executable, str(Path(__file__).resolve()), "hook", str(self.folder), verb]

    def _plan_seats(self, names: Sequence[str], scope: str, etcds: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = iter(free_ports(self.folder, "patroni", 2 * (len(names) + etcds)))
        seats = [Seat(n, REGIONS[i], next(ports), next(ports)) for i, n in enumerate(names)]
        etcd = [(next(ports), next(ports)) for _ in range(etcds)]
        card = {"scope": scope, "seats": [asdict(s) for s in seats], "etcd": etcd}
        self._card.write_text(json.dumps(card))

    def _start_etcd(self) -> None:
        peers = ",".join(f"etcd{i}=http://{HOST}:{peer}" for i, (_, peer) in enumerate(self._etcd_ports))
        for i, (client, peer) in enumerate(self._etcd_ports):
            argv = [
                "etcd", f"--name=etcd{i}", f"--data-dir={self.folder / f'etcd{i}'}",
                f"--listen-client-urls=http://{HOST}:{client}", f"--advertise-client-urls=http://{HOST}:{client}",
                f"--listen-peer-urls=http://{HOST}:{peer}", f"--initial-advertise-peer-urls=http://{HOST}:{peer}",
                f"--initial-cluster={peers}", "--unsafe-no-fsync", "--logger=zap",
            ]  # fmt: skip
            if f"etcd{i}" not in self.processes.alive():
                self.processes.start(f"etcd{i}", argv, log=f"etcd{i}.log")
        for i, (client, _) in enumerate(self._etcd_ports):
            url = f"http://{HOST}:{client}/health"
            wait_until_ours(self.processes, f"etcd{i}", client, lambda url=url: answers_http(url), timeout=_PATIENCE)

    def _etcdctl(self, port: int, *words: str) -> bytes:
        argv = ["etcdctl", f"--endpoints=http://{HOST}:{port}", *words]
        env = os.environ | {"ETCDCTL_API": "3"}
        return subprocess.run(argv, env=env, capture_output=True, timeout=30, check=True).stdout

    def _answers(self, name: str) -> bool:
        try:
            return bool(httpx.get(f"{self.seat(name).api}/liveness", timeout=3, trust_env=False).status_code)
        except httpx.HTTPError:
            return False

    def _write_config(self, name: str) -> Path:
        seat, data = self.seat(name), self._data(name)
        config = {
            "scope": self.scope,
            "name": name,
            "restapi": {"listen": f"{HOST}:{seat.api_port}", "connect_address": f"{HOST}:{seat.api_port}"},
            "etcd3": {"hosts": [f"{HOST}:{client}" for client, _ in self._etcd_ports]},
            "bootstrap": {
                "dcs": {
                    "ttl": TTL,
                    "loop_wait": LOOP_WAIT,
                    "retry_timeout": RETRY_TIMEOUT,
                    "postgresql": {"use_pg_rewind": True, "use_slots": True},
                    **self._dcs,
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums", "no-sync"],
            },
            "postgresql": {
                "listen": f"{HOST}:{seat.port}",
                "connect_address": f"{HOST}:{seat.port}",
                "data_dir": str(data),
                "bin_dir": str(wheel_binaries().folder),
                "pgpass": str(data.with_name("pgpass")),
                "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": "replicator"}},
                "pg_hba": [f"host all all {HOST}/32 trust", f"host replication replicator {HOST}/32 trust"],
                "basebackup": [{"checkpoint": "fast"}, "no-sync"],
                "parameters": {"unix_socket_directories": "", "shared_buffers": "16MB", "max_wal_size": "256MB"},
            },
        }
        data.parent.mkdir(parents=True, exist_ok=True)
        path = data.with_name("patroni.yml")
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        unprivileged.hand_over(data.parent)
        return path

    def _data(self, name: str) -> Path:
        return self.folder / name / "data"

    def _has_run_before(self) -> bool:
        return all((self._data(s.name) / "PG_VERSION").exists() for s in self.seats)

    def _drop_stale_lock(self, name: str) -> None:
        """A killed server's lock file names a pid that is a zombie, or somebody else's by now."""
        if (postmaster := self._postmaster(name)) is None or not postmaster.is_alive():
            (self._data(name) / "postmaster.pid").unlink(missing_ok=True)

    def _postmaster(self, name: str) -> Identity | None:
        try:
            pid = int((self._data(name) / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return None
        found = Identity.of(pid)
        return found if found and str(self._data(name)) in " ".join(psutil.Process(pid).cmdline()) else None

    def _family(self, name: str) -> list[Identity]:
        """Patroni, its PostgreSQL (which is no child of it) and all their children, parents first."""
        leaders = [i for i in (self.processes.identity(name), self._postmaster(name)) if i and i.is_alive()]
        pids = [p for leader in leaders for p in (leader.pid, *_children(leader.pid))]
        return [found for pid in pids if (found := Identity.of(pid))]


def _children(pid: int) -> list[int]:
    try:
        return [p.pid for p in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def wait(is_there: Callable[[], bool], words: str, log: Path | None = None, seconds: float = _PATIENCE) -> None:
    """Wait, bounded, and say what was waited for in vain."""
    until = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() > until:
            said = "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log and log.exists() else ""
            raise StepError(f"waited in vain for {words}: {said}")
        time.sleep(0.1)


class Stays(Protocol):
    """What can be brought up by hand."""

    def start(self) -> None:
        """Bring it up."""

    def stop(self) -> None:
        """Nothing of it is left running."""

    def plan(self) -> dict[str, Any]:
        """A plan for it."""


def stay_up(cluster: Stays) -> None:
    """Until somebody interrupts it."""
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    try:
        cluster.start()
        print(yaml.safe_dump(cluster.plan(), sort_keys=False), flush=True)
        over.wait()
    finally:
        cluster.stop()


def _act(folder: Path, verb: str, node: str) -> None:
    cluster = PatroniCluster(folder)
    verbs: dict[str, Callable[[str], None]] = {
        "kill": cluster.kill,
        "lose": cluster.lose,
        "freeze": cluster.freeze,
        "thaw": cluster.thaw,
        "start": cluster.start_member,
    }
    verbs[verb](node)


def main(words: Sequence[str]) -> None:
    """`up FOLDER`, or `hook FOLDER kill|lose|freeze|thaw|start [NAME]`."""
    if words[0] == "up":
        stay_up(PatroniCluster(Path(words[1])))
    else:
        _act(Path(words[1]), words[2], words[3] if len(words) > 3 else os.environ["MUSTER_NODE"])


if __name__ == "__main__":
    main(sys.argv[1:])
