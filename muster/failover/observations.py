"""What a failover rehearsal measures: results of its steps and facts observed on the way.

Promises: no row of anybody's data is in here; every moment is in nanoseconds of this machine's monotonic clock
(`CLOCK_MONOTONIC`, one for all its processes), beside wall time where people read it.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from muster.journal import Observation

Role = Literal["primary", "standby", "unreachable"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Node(_Part):
    """One database server of the target, in its region. `dsn` holds no secret: those come from the environment."""

    name: str
    region: str
    dsn: str
    """How the drill and the client reach this very server, past any route."""


class Slot(_Part):
    """A replication slot of a server."""

    name: str
    active: bool
    retained_bytes: int | None
    """Log that it holds back."""
    wal_status: str | None
    """`pg_replication_slots.wal_status`: `lost` means that its standby can never catch up."""


class NodeState(Observation):
    """What one server answered when it was asked; of an unreachable one only the name and the complaint are known."""

    node: str
    region: str
    asked_at: datetime
    role: Role
    complaint: str = ""
    system_identifier: str = ""
    server: str = ""
    """Tells this server process from any other: `cluster_name/start in microseconds since 1970/timeline`."""
    timeline: int = 0
    version_num: int = 0
    lsn: str = ""
    """Written position of a primary, replayed position of a standby."""
    receiving_from: str = ""
    """A standby's `pg_stat_wal_receiver` host and port; empty when it streams from nobody."""
    replay_lag_seconds: float | None = None
    replay_lag_bytes: int | None = None
    """Of a standby, against the newest position it received."""
    write_lag_seconds: float | None = None
    """Of a primary under load: how long its standby took to say that it has what was sent; a round trip and a write."""
    sync_standbys: tuple[str, ...] = ()
    """Of a primary: application names of standbys whose `sync_state` is sync or quorum."""
    standbys: tuple[str, ...] = ()
    """Of a primary: application names of all that stream from it."""
    slots: tuple[Slot, ...] = ()
    settings: dict[str, str] = Field(default_factory=dict)
    """`wal_log_hints`, `data_checksums`, `synchronous_standby_names`, `max_slot_wal_keep_size`, `wal_keep_size`, ..."""
    extensions: dict[str, str] = Field(default_factory=dict)
    """Installed extension and its version, in the database of the DSN."""
    sequences_behind: tuple[str, ...] = ()
    """Sequences whose next value is not above their column's greatest."""
    sequences_unseen: str = ""
    """Why the sequences of a primary could not be asked; empty when they were."""
    clock_offset_seconds: float | None = None
    """The server's clock minus ours, taken at the middle of the call."""
    round_trip_seconds: float | None = None
    free_share: float | None = None
    """Share of the disk under the data directory that is free; `None` when this target cannot see it."""


class Surveyed(Observation):
    """Every node at one moment. `stage` is the step that looked."""

    stage: str
    nodes: tuple[NodeState, ...]

    def with_role(self, role: Role) -> tuple[NodeState, ...]:
        """The nodes of this role."""
        return tuple(n for n in self.nodes if n.role == role)


class Cast(Observation):
    """Result of `survey`: who plays which part. `old` is primary when the drill starts, `new` is to take over."""

    old: str
    new: str
    regions: dict[str, str]
    """Node to region."""
    problems: tuple[str, ...] = ()
    """What speaks against a failover, in words; with any, the drill is refused."""


class ClientStarted(Observation):
    """Result of `client`: the load, and where its history is."""

    pid: int
    connections: int
    rate: float | None
    commit: str
    folder: str
    """Where its history is, below the run's exhibits."""
    began_ns: int


class Load(Observation):
    """Result of `steady`, `away` and `steady-after`: what the client did from `from_ns` to `to_ns`."""

    stage: str
    from_ns: int
    to_ns: int
    acknowledged: int
    failed: int
    unknown: int
    median_seconds: float | None
    p99_seconds: float | None


class Struck(Observation):
    """Result of `fault`."""

    scenario: str
    struck_ns: int
    """The moment from which the old primary serves no longer, or is asked to hand over: RTO is split from here."""
    done: tuple[str, ...]


class Detected(Observation):
    """Result of `detect`: when the loss was believed. A planned scenario has nothing to detect."""

    detected_ns: int
    first_failure_ns: int | None
    probes: int
    interval_seconds: float
    after_seconds: float
    how: str


class Fenced(Observation):
    """Result of `fence`."""

    node: str
    fenced_ns: int
    how: str


class FenceProof(Observation):
    """A write to the old primary that had to fail. `unknown` proves nothing: a write that hangs may yet be done."""

    stage: str
    node: str
    write: Literal["refused", "accepted", "unknown"]
    said: str
    asked_ns: int


class Promoted(Observation):
    """Result of `promote`."""

    node: str
    promoted_ns: int
    timeline: int
    lsn: str
    how: str


class Rerouted(Observation):
    """Result of `reroute`."""

    node: str
    rerouted_ns: int
    how: str


class RouteSampled(Observation):
    """Connections opened through the route, and which server each reached."""

    stage: str
    asked: int
    reached: dict[str, int]
    """Node to count; `""` is a server that no survey knows."""
    failed: int


class Verified(Observation):
    """Result of `verify` and `verify-again`: the new primary acknowledges writes of every connection."""

    stage: str
    first_ack_ns: int
    """When the first write was acknowledged there."""
    all_acked_ns: int
    """When every connection had one."""
    probe_error_seconds: float
    """How far the client's own pace can make these moments late."""


class Salvaged(Observation):
    """Result of `salvage`: what the old primary had written beyond the fork, saved before it is rewound."""

    node: str
    fork_lsn: str | None
    commits: int | None
    """Divergent commits by `pg_waldump`; `None` when this target cannot look into that log."""
    ended_at: str = ""
    """Where the old primary's log ends."""
    listed: str = ""
    """File below the run's exhibits that names the divergent commits, and nobody's data."""
    kept: str = ""
    """Folder on this machine with the raw log, which may hold data and is no evidence."""
    kept_sha256: tuple[str, ...] = ()
    """Digest of each file in it, in order of name."""
    why_not: str = ""


class Rejoined(Observation):
    """Result of `rejoin`: how the old primary became a standby again."""

    node: str
    how: Literal["rewind", "rebuild", "follow", "service"]
    """`follow`: its log had not diverged; `service`: the vendor does it and does not say how."""
    why: str
    rejoined_ns: int


class FailedBack(Observation):
    """Result of `failback`; `asked_ns` is when the planned switch was asked for."""

    node: str
    asked_ns: int
    switched_ns: int
    timeline: int
    how: str


class SetRead(Observation):
    """The whole set of ids read from one node: `file` below the client's history folder (see `history`)."""

    stage: str
    node: str
    server: str
    is_primary: bool
    invoked_ns: int
    completed_ns: int
    ids: int
    """Rows, duplicates and all."""
    file: str


class LagSample(_Part):
    """Replay lag of the standby at one moment."""

    at_ns: int
    bytes: int | None
    """`None`: it could not be asked."""
    write_lag_seconds: float | None = None
    """As the primary knows it; `None`: it could not be asked, or nothing was on its way just then."""


class LagSeries(Observation):
    """Replay lag over the rehearsal."""

    samples: tuple[LagSample, ...]


class Gap(_Part):
    """One connection's gap: its last acknowledgement by the one server and its first by the next."""

    connection: int
    last_ack_ns: int
    first_ack_ns: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.first_ack_ns - self.last_ack_ns) / 1e9


class Takeover(Observation):
    """How long clients were without, as they saw it. `name` is `failover` or `failback`."""

    name: str
    gaps: tuple[Gap, ...]
    unserved: tuple[int, ...]
    """Connections that were never acknowledged again."""
    median_seconds: float | None
    max_seconds: float | None
    write_gap_seconds: float | None
    """Longest time in which nobody was acknowledged at all."""


class Tally(_Part):
    """What became of the writes that were invoked in one phase, and of the reads made in it."""

    phase: str
    attempts: int = 0
    acknowledged: int = 0
    failed: int = 0
    unknown: int = 0
    """Neither acknowledged nor refused: the call hung, or the connection died in it."""
    recovered: int = 0
    """Acknowledged, and there in the last whole read of the primary."""
    lost: int = 0
    """Acknowledged, and not there."""
    unknown_present: int = 0
    unknown_absent: int = 0
    failed_present: int = 0
    """Refused, and there all the same."""
    resurrected: int = 0
    """Absent from the new primary after the takeover, and there in a later whole read of a primary."""
    duplicated: int = 0
    """There more than once."""
    reads: int = 0
    stale_reads: int = 0
    """Did not see a write that had been acknowledged before the read began, though it is there in the end."""
    stale_primary_reads: int = 0
    """Stale reads answered by the primary of the moment."""


class StageLoss(_Part):
    """One whole read of a primary: acknowledged before it, and missing in it."""

    stage: str
    node: str
    acknowledged: int
    lost: int
    rpo_seconds: float
    """From the acknowledgement of the oldest missing write to the last one of the server that had acknowledged it."""
    newly_lost: int = 0
    """Of the lost, those that no whole read of a primary before this one missed: a failback's own loss."""
    newly_rpo_seconds: float = 0.0


class Accounting(Observation):
    """Every write accounted for: the checker's result over the client's history and the whole reads."""

    is_whole: bool
    """The history is complete: every file ended as its writer says."""
    is_damaged: bool
    """The writer's end record and the file disagree: something was cut out of the history, or put in."""
    why_not_whole: str = ""
    total: Tally
    phases: tuple[Tally, ...]
    stages: tuple[StageLoss, ...]
    unexpected: int
    """There, though nobody ever tried to write it."""
    lost_ids: tuple[int, ...] = ()
    """The first hundred."""
    resurrected_ids: tuple[int, ...] = ()
    duplicated_ids: tuple[int, ...] = ()
    clock_steps_seconds: float = 0.0
    """The furthest that the wall clock of the client moved away from its monotonic one."""
    old_acks_after_promotion: int = 0
    """Writes acknowledged by a server of an older timeline after the new primary had acknowledged one: split brain."""


class Bin(_Part):
    """One column of the timeline."""

    at_ns: int
    acknowledged: dict[str, int]
    """Node to acknowledgements."""
    unknown: int
    failed: int
    lost: int
    """Of the acknowledgements in this column, those of writes that were lost."""


class Series(Observation):
    """Throughput over the rehearsal, for the timeline."""

    bin_seconds: float
    bins: tuple[Bin, ...]


class GoodState(Observation):
    """Where the undo left the target: `home` is as the drill found it, `away` with the two regions' parts exchanged."""

    state: Literal["home", "away"]
    primary: str
    done: tuple[str, ...]
