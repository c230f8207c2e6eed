"""Two real Patroni clusters of one member each, each with an etcd of its own; `b` is a standby cluster of `a` at first.

Promises: as `patroni_cluster`. What a hook changes in a DCS it changes with `patronictl`, as its owner would.

By hand, from the repository's root: `python -m tests.real.patroni_clusters up FOLDER` stays in the foreground and
prints a plan.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg

from muster.errors import StepError
from tasks.estate.loopback import HOST
from tests.real.patroni_cluster import PATRONI, PatroniCluster, Seat, stay_up, wait

REGIONS = {"a": "east", "b": "west"}


class PatroniClusters:
    """Both clusters, below a folder; made by the first object that opens the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._clusters: dict[str, PatroniCluster] = {}
        for name, other in (("a", "b"), ("b", "a")):
            dcs: dict[str, Any] = {"slots": {slot_for(other): {"type": "physical"}}}
            if name == "b":
                dcs["standby_cluster"] = self.section("a")
            cluster = PatroniCluster(self.folder / name, (f"{name}1",), f"orders-{name}", dcs=dcs)
            self._clusters[name] = cluster

    def start(self) -> None:
        """Start both, and wait until one streams from the other."""
        for cluster in self._clusters.values():
            cluster.start()
        wait(self.is_whole, "one cluster to stream from the other", self.log("b"))

    def stop(self) -> None:
        """Nothing of them is left running."""
        for cluster in self._clusters.values():
            cluster.stop()

    def start_cluster(self, name: str, standby: Mapping[str, Any] | bool | None = True) -> None:
        """Make sure that the cluster's member runs; its DCS says beforehand what it is to be, `True`: as before."""
        if not isinstance(standby, bool):
            self.tell(name, standby)
        self._clusters[name].start_member(self.seat(name).name)

    def kill(self, name: str) -> None:
        """Its region dies, but for the DCS."""
        self._clusters[name].kill(self.seat(name).name)

    def freeze(self, name: str) -> None:
        """Its region stands still."""
        self._clusters[name].freeze(self.seat(name).name)

    def thaw(self, name: str) -> None:
        """Its region goes on."""
        self._clusters[name].thaw(self.seat(name).name)

    def tell(self, name: str, standby: Mapping[str, Any] | None) -> None:
        """Change in the DCS what the cluster is, whether its Patroni runs or not."""
        config = self.data(name).with_name("patroni.yml")
        argv = [str(PATRONI.with_name("patronictl")), "-c", str(config), "edit-config", "--apply", "-", "--force"]
        said = subprocess.run(argv, input=json.dumps({"standby_cluster": standby}), text=True, capture_output=True,
                              timeout=60, check=False)  # fmt: skip
        if said.returncode:
            raise StepError(f"patronictl: {said.stderr}")

    def configure(self, name: str, changes: Mapping[str, Any]) -> None:
        """`PATCH /config`."""
        self._clusters[name].configure(changes)

    def config(self, name: str) -> dict[str, Any]:
        """`GET /config`."""
        return dict(httpx.get(f"{self.seat(name).api}/config", timeout=5, trust_env=False).json())

    def section(self, name: str) -> dict[str, Any]:
        """What a standby cluster of this one holds as `standby_cluster`."""
        other = next(n for n in REGIONS if n != name)
        return {"host": HOST, "port": self.seat(name).port, "primary_slot_name": slot_for(other)}

    def seat(self, name: str) -> Seat:
        """The member of the cluster."""
        return self._clusters[name].seats[0]

    def log(self, name: str) -> Path:
        """Where the member talks."""
        return self._clusters[name].log(self.seat(name).name)

    def data(self, name: str) -> Path:
        """Its data directory."""
        return Path(str(self._clusters[name].target()["nodes"][0]["data"]))

    def role(self, name: str) -> str:
        """What its leader says that it is."""
        return str(httpx.get(f"{self.seat(name).api}/patroni", timeout=5, trust_env=False).json().get("role"))

    def setting(self, name: str, setting: str) -> str:
        """A setting of its leader's server, as it holds now."""
        return str(self._ask(name, f"show {setting}"))

    def primary(self) -> str | None:
        """The only cluster that takes writes."""
        found = [name for name in REGIONS if self._is_primary(name)]
        return found[0] if len(found) == 1 else None

    def is_whole(self) -> bool:
        """Whether one cluster takes writes, and the other streams from it."""
        primary = self.primary()
        return primary is not None and self._streams(primary)

    def plan(self) -> dict[str, Any]:
        """A plan that rehearses the loss of the primary's region."""
        return {
            "name": "rehearsal-patroni-clusters",
            "kind": "failover",
            "description": "Lose the region of a Patroni cluster, promote its standby cluster, and come home.",
            "environment": "demo",
            "owner": "platform team",
            "target": self.target(),
            "objectives": {"rto": "60s", "rpo": "10s"},
            "time_limit": "10m",
            "failover": {"scenario": "kill"},
        }

    def target(self) -> dict[str, Any]:
        """The target's keys in a plan."""
        clusters = [
            {
                "name": name,
                "region": region,
                "scope": self._clusters[name].scope,
                "dsn": self.seat(name).dsn,
                "api": self.seat(name).api,
                "host": HOST,
                "port": self.seat(name).port,
                "slot": self.section(name)["primary_slot_name"],
                "data": str(self.data(name)),
            }
            for name, region in REGIONS.items()
        ]
        named = ("fence", "start", "kill", "freeze", "thaw")
        return {"type": "patroni-clusters", "clusters": clusters, "hooks": {verb: self.hook(verb) for verb in named}}

    def hook(self, verb: str) -> list[str]:
        """The words of a command that does this to the cluster in `MUSTER_NODE`, wherever it is run."""
        return [sys.executable, str(Path(__file__).resolve()), "hook", str(self.folder), verb]

    def _is_primary(self, name: str) -> bool:
        try:
            return not self._ask(name, "select pg_is_in_recovery()")
        except psycopg.Error:
            return False

    def _streams(self, primary: str) -> bool:
        try:
            return bool(self._ask(primary, "select count(*) from pg_stat_replication where state = 'streaming'"))
        except psycopg.Error:
            return False

    def _ask(self, name: str, question: str) -> Any:
        with psycopg.connect(self.seat(name).dsn, autocommit=True, connect_timeout=3) as connection:
            row = connection.execute(question.encode()).fetchone()
        return row[0] if row else None


def slot_for(name: str) -> str:
    """The slot that the other cluster keeps for this one."""
    return f"cluster_{name}"


def _act(folder: Path, verb: str) -> None:
    """What a hook does; its last word on the cluster is in the DCS before anything is started."""
    clusters, name = PatroniClusters(folder), os.environ["MUSTER_NODE"]
    said = os.environ.get("MUSTER_STANDBY_CLUSTER", "")
    if verb == "fence":
        clusters.kill(name)
        clusters.tell(name, json.loads(said))
    elif verb == "start":
        clusters.start_cluster(name, json.loads(said) if said else True)
    elif verb == "wake":
        clusters.start_cluster(name)
    else:
        {"kill": clusters.kill, "freeze": clusters.freeze, "thaw": clusters.thaw}[verb](name)


def main(words: Sequence[str]) -> None:
    """`up FOLDER`, or `hook FOLDER kill|fence|freeze|thaw|start|wake` for the cluster in `MUSTER_NODE`."""
    if words[0] == "up":
        stay_up(PatroniClusters(Path(words[1])))
    else:
        _act(Path(words[1]), words[2])


if __name__ == "__main__":
    main(sys.argv[1:])
