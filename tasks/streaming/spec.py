"""The keys of a `streaming` target in a plan, and what can be done with those that are there."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from muster.failover.spec import Scenario
from muster.quantity import Duration
from tasks.hooks import Hook
from tasks.servers import ServerKeys
from tasks.streaming.roles import Right


class Hooks(BaseModel):
    """What only the owner of the machines can do. Each is a `tasks.hooks.Hook`, safe to repeat."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fence: Hook
    """`MUSTER_NODE` takes no write any more, whatever becomes of it, until `rejoin` or `revive`; reached or not."""
    rejoin: Hook
    """`MUSTER_NODE` runs as standby of `MUSTER_NEW`, no longer fenced. Its last line may begin with `rewind`, `rebuild`
    or `follow`, and a reason after a colon."""
    promote: Hook | None = None
    """`MUSTER_NEW` takes writes; default: `pg_promote`."""
    switchover: Hook | None = None
    """Everything a planned switch takes, from `MUSTER_OLD` to `MUSTER_NEW`; default: `stop`, and promotion."""
    stop: Hook | None = None
    """`MUSTER_NODE` is shut down in good order (fast), and stays down until `rejoin` or `revive`."""
    revive: Hook | None = None
    """`MUSTER_NODE` runs as whatever it last was, no longer fenced."""
    salvage: Hook | None = None
    """Saves what `MUSTER_NODE`, which is down, wrote beyond `MUSTER_FORK` (empty: unknown) into the folder
    `MUSTER_KEEP`, and may list those commits in the file `MUSTER_LISTED`, which is evidence and must hold nobody's
    data. The last line that it prints is how many commits they are."""
    kill: Hook | None = None
    freeze: Hook | None = None
    thaw: Hook | None = None
    cut: Hook | None = None
    """The link between the regions is dead, while clients reach both."""
    heal: Hook | None = None
    """The link is as ever."""
    slow: Hook | None = None
    """The link is as bad as `MUSTER_RTT_MS`, `MUSTER_LOSS` (a share) and `MUSTER_MBYTES_PER_SECOND` say."""
    fill: Hook | None = None
    """`MUSTER_NODE` has no room left to write."""
    free: Hook | None = None

    def given(self) -> Iterator[tuple[str, Hook]]:
        """Those that the plan names."""
        for name in type(self).model_fields:
            if (hook := getattr(self, name)) is not None:
                yield name, hook

    @property
    def can_switch(self) -> bool:
        """Whether a planned switch can be made."""
        return self.switchover is not None or self.stop is not None


NEEDED: Mapping[Scenario, tuple[str, ...]] = {
    Scenario.SWITCHOVER: (),
    Scenario.KILL: ("kill",),
    Scenario.FREEZE: ("freeze", "thaw"),
    Scenario.PARTITION: ("cut", "heal"),
    Scenario.PARTITION_THEN_KILL: ("cut", "heal", "kill"),
    Scenario.SLOW_LINK: ("slow", "heal"),
    Scenario.REPLICA_BEHIND: ("kill",),
    Scenario.DISK_FULL: ("fill", "free"),
}
"""The hooks without which a scenario cannot be made, or not be ended. Planned ones also take a planned switch."""


class Spec(BaseModel):
    """The target's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: str = "streaming"
    nodes: tuple[ServerKeys, ...] = Field(min_length=2, max_length=2)
    hooks: Hooks
    system_identifier: str | None = Field(default=None, pattern=r"^[0-9]+$")
    """As `pg_controldata` shows it (in quotes: YAML would make a number of it); proved before anything is done."""
    clear_synchronous: bool = False
    """Let the promoted server wait for nobody (`synchronous_standby_names`, ALTER SYSTEM) until the other is back."""
    connect: Duration = Field(default="3s", validate_default=True, ge=timedelta(seconds=2))
    """How long an attempt to connect may take before it counts as failed."""
    catch_up: Duration = Field(default="5m", validate_default=True, gt=timedelta())
    """How long a server that rejoined may take to stream and to apply what it has missed."""

    @property
    def scenarios(self) -> frozenset[Scenario]:
        """Those that the hooks suffice for."""
        given = {name for name, _ in self.hooks.given()}
        return frozenset(
            scenario
            for scenario, needed in NEEDED.items()
            if given.issuperset(needed) and (self.hooks.can_switch or not scenario.is_planned)
        )

    @property
    def rights(self) -> frozenset[Right]:
        """What the role of the DSNs must be granted beyond `pg_monitor`."""
        wanted = {
            Right.PROMOTE: self.hooks.promote is None,
            Right.CHECKPOINT: self.hooks.switchover is None and self.hooks.stop is not None,
            Right.REPLAY: Scenario.REPLICA_BEHIND in self.scenarios,
            Right.SYNCHRONOUS: self.clear_synchronous,
        }
        return frozenset(right for right, is_wanted in wanted.items() if is_wanted)
