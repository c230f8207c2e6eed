"""The `failover:` section of a plan: what goes wrong, under which load and promise, and how clients are rerouted."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from muster.quantity import Duration


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scenario(StrEnum):
    """What goes wrong. Only `switchover` is planned: both regions live, and nothing may be lost."""

    SWITCHOVER = "switchover"
    KILL = "kill"
    """The primary dies at once."""
    FREEZE = "freeze"
    """The primary stops answering, and comes back later: the zombie."""
    PARTITION = "partition"
    """The link between the regions dies; both live, and clients reach both."""
    PARTITION_THEN_KILL = "partition-then-kill"
    SLOW_LINK = "slow-link"
    """The link gets slow and lossy, then the primary is taken out by a switchover in the midst of it."""
    REPLICA_BEHIND = "replica-behind"
    """Replay stands still on the standby, then the primary dies."""
    DISK_FULL = "disk-full"
    """The primary has no room left to write."""

    @property
    def is_planned(self) -> bool:
        """Whether the old primary takes part in its own replacement: a switchover, which may lose nothing."""
        return self in {Scenario.SWITCHOVER, Scenario.SLOW_LINK}


class Commit(StrEnum):
    """What an acknowledged write has reached. PostgreSQL's `synchronous_commit` has other words for two of them."""

    ASYNCHRONOUS = "asynchronous"
    REMOTE_WRITE = "remote_write"
    REMOTE_FLUSH = "remote_flush"
    REMOTE_APPLY = "remote_apply"

    @property
    def setting(self) -> str:
        """Value of `synchronous_commit` in the client's sessions."""
        return {"asynchronous": "local", "remote_flush": "on"}.get(self.value, self.value)


class ClientSpec(_Strict):
    """The load of the independent client."""

    connections: int = Field(default=4, ge=1, le=256)
    rate: float | None = Field(default=400.0, gt=0)
    """Writes a second, all connections together; `null`: as fast as it goes."""
    timeout: Duration = Field(default="2s", validate_default=True, gt=timedelta())
    """A call that has not returned by then is given up on, and unknown."""
    reads: Duration | None = Field(default="50ms", validate_default=True)
    """Between two reads of a fresh id, at each region in turn; `null`: no reads but those of whole sets."""
    table: str = Field(default="muster_rehearsal", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    """Made in the target's database, dropped at the end."""


class Detection(_Strict):
    """How the loss of the primary is noticed: a probe every `interval`, believed after failing for `after`."""

    interval: Duration = Field(default="100ms", validate_default=True, gt=timedelta())
    after: Duration = Field(default="1s", validate_default=True, ge=timedelta())


class Degraded(_Strict):
    """What `slow-link` makes of the link."""

    rtt: Duration = Field(default="300ms", validate_default=True)
    loss: float = Field(default=0.01, ge=0, lt=1)
    """Share of packets lost."""
    mbytes_per_second: float | None = Field(default=None, gt=0)


class Failback(_Strict):
    """Coming home again, a planned switchover with objectives of its own."""

    rto: Duration | None = None
    rpo: Duration | None = Field(default="0s", validate_default=True)


class Ready(_Strict):
    """What the standby must be like for the drill to start, and for the readiness probe to say `ready`."""

    max_lag: Duration = Field(default="10s", validate_default=True)
    """Replay lag."""
    max_clock_offset: Duration = Field(default="1s", validate_default=True)
    """Between a region's clock and ours."""
    min_free: float = Field(default=0.05, ge=0, le=1)
    """Share of each region's disk that must be free."""
    every: Duration = Field(default="5m", validate_default=True, gt=timedelta())
    """How often the readiness probe looks."""


class FailoverSpec(_Strict):
    """Everything a failover plan can ask for."""

    scenario: Scenario
    commit: Commit = Commit.ASYNCHRONOUS
    client: ClientSpec = ClientSpec()
    detection: Detection = Detection()
    steady: Duration = Field(default="5s", validate_default=True, gt=timedelta())
    """Load before the fault, and after everything."""
    fault_lasts: Duration = Field(default="3s", validate_default=True)
    """How long the link is dead, or replay stands still, before the primary is lost or taken out."""
    away: Duration = Field(default="10s", validate_default=True)
    """Load on the region that took over, before the old one is brought back."""
    slow_link: Degraded = Degraded()
    reroute: Mapping[str, Any] = Field(default={"type": "libpq"})
    """`type` names a file in `tasks/routes/`; the other keys are that route's own, checked by it."""
    failback: Failback | None = Failback()
    """`null`: stay away; the old primary still rejoins, as standby."""
    route_samples: int = Field(default=200, ge=0)
    """Connections opened through the route after it was changed: every one must reach the new primary."""
    extensions: tuple[str, ...] = ()
    """Must be there, of the same version, on both sides."""
    ready: Ready = Ready()

    @model_validator(mode="after")
    def _reroute_has_a_type(self) -> "FailoverSpec":
        if "type" not in self.reroute:
            raise ValueError("reroute needs a key 'type'")
        return self
