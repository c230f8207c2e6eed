"""The targets that the contract suite of `Promotable` runs over: one case each.

A case is a context manager that is given an empty folder, starts a real system of two regions in it (one primary, one
streaming standby), yields a `Subject`, and leaves nothing running. A new target is a function here and a line in
`CASES`. A system that is slow to start may be: it is started once for all tests, which leave it healthy, though perhaps
with the roles of its regions exchanged. A component that is missing on this machine is a failure, not a skip.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from muster.failover.spec import Scenario
from muster.settings import Settings
from tasks.process import Processes
from tasks.regions.pair import Pair
from tasks.targets.embedded_regions import open_target
from tasks.targets.patroni import open_target as open_patroni
from tasks.targets.patroni_clusters import open_target as open_patroni_clusters
from tasks.targets.promotable import Promotable
from tasks.targets.streaming import open_target as open_streaming
from tests.real.pair_hooks import hooks
from tests.real.patroni_cluster import PatroniCluster
from tests.real.patroni_clusters import PatroniClusters


@dataclass(frozen=True)
class Subject:
    """A system under contract."""

    target: Promotable
    scenarios: frozenset[Scenario]
    """What the target must say that it can be made to suffer, as it is configured here."""
    counts_salvage: bool = True
    """Whether it can look into a lost primary's log."""
    fails_over_by_itself: bool = False
    """A fence alone makes it choose another primary."""
    patience: float = 60.0
    """Seconds within which a verb, or the system by itself, has done what it must."""


Case = Callable[[Path], AbstractContextManager[Subject]]


@contextmanager
def embedded_regions(folder: Path) -> Iterator[Subject]:
    """The pair of the demo estate, over a link as good as this user may have."""
    sockets = Path(tempfile.mkdtemp(prefix="mreg", dir="/tmp"))  # sockets need a short path
    processes = Processes(folder / "processes", folder / "logs")
    pair = Pair(folder / "regions", sockets, processes)
    try:
        pair.start()
        keys: dict[str, object] = {"folder": str(pair.home), "link": {"rtt": "0s"}}
        yield Subject(open_target(keys, Settings(home=folder / "home")), frozenset(Scenario))
    finally:
        pair.stop()
        processes.close()
        shutil.rmtree(sockets)


@contextmanager
def streaming(folder: Path) -> Iterator[Subject]:
    """The same servers, known by their DSNs alone, with commands for what takes the machine."""
    sockets = Path(tempfile.mkdtemp(prefix="mstr", dir="/tmp"))
    processes = Processes(folder / "processes", folder / "logs")
    pair = Pair(folder / "regions", sockets, processes)
    named = ("fence", "rejoin", "revive", "salvage", "stop", "kill", "freeze", "thaw", "cut", "heal")
    try:
        made = pair.start()
        keys: dict[str, object] = {
            "system_identifier": made.system_identifier,
            "nodes": [node.model_dump() for node in pair.nodes()],
            "hooks": hooks(pair.home, *named),
            "clear_synchronous": True,
        }
        without = {Scenario.SLOW_LINK, Scenario.DISK_FULL}
        yield Subject(open_streaming(keys, Settings(home=folder / "home")), frozenset(Scenario) - without)
    finally:
        pair.stop()
        processes.close()
        shutil.rmtree(sockets)


@contextmanager
def patroni(folder: Path) -> Iterator[Subject]:
    """A cluster of two members; the DCS forgets a lost one at once, so that no `ttl` is waited for."""
    cluster = PatroniCluster(folder)
    try:
        cluster.start()
        named = {"kill": cluster.hook("lose"), "fence": cluster.hook("lose"), "start": cluster.hook("start")}
        target = open_patroni(cluster.target() | {"hooks": named}, Settings(home=folder / "home"))
        can = frozenset({Scenario.SWITCHOVER, Scenario.KILL, Scenario.REPLICA_BEHIND})
        yield Subject(target, can, fails_over_by_itself=True, patience=120)
    finally:
        cluster.stop()


@contextmanager
def patroni_clusters(folder: Path) -> Iterator[Subject]:
    """Two clusters of one member each; what is lost is fenced, and started, by commands that tell its DCS."""
    clusters = PatroniClusters(folder)
    try:
        clusters.start()
        target = open_patroni_clusters(clusters.target(), Settings(home=folder / "home"))
        can = frozenset({Scenario.SWITCHOVER, Scenario.KILL, Scenario.FREEZE, Scenario.REPLICA_BEHIND})
        yield Subject(target, can, patience=120)
    finally:
        clusters.stop()


CASES: Mapping[str, Case] = {
    "embedded-regions": embedded_regions,
    "streaming": streaming,
    "patroni": patroni,
    "patroni-clusters": patroni_clusters,
}
