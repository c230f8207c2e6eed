"""The keys of a `patroni-clusters` target in a plan, and what can be done with those that are there."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from muster.failover.spec import Scenario
from muster.quantity import Duration
from tasks.hooks import Hook
from tasks.patroni.api import Access
from tasks.servers import ServerKeys


class Hooks(BaseModel):
    """What only the owner of the machines can do; each is safe to repeat.

    `fence` and `start` are told by `MUSTER_STANDBY_CLUSTER` what the cluster's DCS must hold as `standby_cluster` from
    then on, in JSON: a section, or `null` for a cluster that is to take writes; empty: as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fence: Hook | None = None
    """The cluster `MUSTER_NODE`, of which no API answers, takes no write any more, whatever becomes of it."""
    start: Hook | None = None
    """The DCS of `MUSTER_NODE` says what it must, and then its Patroni runs."""
    kill: Hook | None = None
    freeze: Hook | None = None
    thaw: Hook | None = None
    cut: Hook | None = None
    heal: Hook | None = None
    slow: Hook | None = None
    fill: Hook | None = None
    free: Hook | None = None

    def given(self) -> Iterator[tuple[str, Hook]]:
        """Those that the plan names."""
        for name in type(self).model_fields:
            if (hook := getattr(self, name)) is not None:
                yield name, hook


NEEDED: Mapping[Scenario, tuple[str, ...]] = {
    Scenario.SWITCHOVER: (),
    Scenario.KILL: ("fence", "kill", "start"),
    Scenario.FREEZE: ("fence", "freeze", "thaw", "start"),
    Scenario.PARTITION: ("fence", "cut", "heal", "start"),
    Scenario.PARTITION_THEN_KILL: ("fence", "cut", "heal", "kill", "start"),
    Scenario.SLOW_LINK: ("slow", "heal"),
    Scenario.REPLICA_BEHIND: ("fence", "kill", "start"),
    Scenario.DISK_FULL: ("fence", "fill", "free", "start"),
}
"""The hooks without which a scenario cannot be made, or not be ended: whoever is lost must be fenced unreached."""


class ClusterKeys(ServerKeys):
    """One of the two clusters, under one address for all of it: a member's, or one that follows its leader."""

    scope: str
    api: str = Field(pattern=r"^https?://")
    """The leader's REST API, such as http://10.0.0.1:8008."""
    host: str
    """Where the other cluster reaches this one's leader."""
    port: int = Field(default=5432, gt=0, lt=65536)
    slot: str | None = None
    """The permanent physical slot that this cluster keeps for the other."""
    restore_command: str | None = None
    """Of this cluster while it is the standby."""
    data: Path | None = None
    """Its leader's data directory, where that is on Muster's machine: then the log that it lost can be saved."""

    def following(self, other: "ClusterKeys") -> dict[str, Any]:
        """What `standby_cluster` holds while this one follows the other; the keys of `patronictl demote-cluster`."""
        section = {
            "host": other.host,
            "port": other.port,
            "primary_slot_name": other.slot,
            "restore_command": self.restore_command,
        }
        return {key: value for key, value in section.items() if value is not None}


class Spec(BaseModel):
    """The target's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: str = "patroni-clusters"
    clusters: tuple[ClusterKeys, ...] = Field(min_length=2, max_length=2)
    system_identifier: str | None = None
    """What `pg_control_system()` says, as a further proof."""
    access: Access = Access()
    hooks: Hooks = Hooks()
    connect_timeout: Duration = Field(default=timedelta(seconds=3), gt=timedelta())

    @property
    def scenarios(self) -> frozenset[Scenario]:
        """Those that the hooks suffice for."""
        given = {name for name, _ in self.hooks.given()}
        return frozenset(scenario for scenario, needed in NEEDED.items() if given.issuperset(needed))
