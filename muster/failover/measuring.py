"""What a rehearsal measured, put together from the journal: takeovers, losses, how the time was spent.

Promise: never a bare number; `conditions` says under which load, commit mode, link and detection it was measured.
"""

from dataclasses import dataclass
from statistics import median

from muster.failover.observations import (
    Accounting,
    Detected,
    Fenced,
    LagSeries,
    Load,
    NodeState,
    Promoted,
    Rejoined,
    Rerouted,
    Struck,
    Surveyed,
    Takeover,
    Verified,
)
from muster.failover.spec import FailoverSpec
from muster.journal import History
from muster.quantity import count_of, format_seconds

AFTER_TAKEOVER = frozenset({"verify", "salvage", "rejoin"})
"""Stages whose whole reads judge the takeover; later ones judge the failback too."""


def takeover_of(history: History, name: str) -> Takeover | None:
    """The takeover of this name, `failover` or `failback`."""
    return next((t for t in history.observed(Takeover) if t.name == name), None)


@dataclass(frozen=True)
class Loss:
    """What a takeover lost, by the whole read that misses the most."""

    node: str
    acknowledged: int
    lost: int
    seconds: float


def loss_of(accounting: Accounting, *, after_failback: bool) -> Loss | None:
    """The worst loss that the takeover, or the failback, brought; what the one lost is not told of the other again."""
    stages = [s for s in accounting.stages if (s.stage not in AFTER_TAKEOVER) == after_failback]
    losses = [
        Loss(s.node, s.acknowledged, s.newly_lost, s.newly_rpo_seconds)
        if after_failback
        else Loss(s.node, s.acknowledged, s.lost, s.rpo_seconds)
        for s in stages
    ]
    return max(losses, key=lambda loss: (loss.lost, loss.seconds), default=None)


def loss_of_takeover(accounting: Accounting, spec: FailoverSpec) -> Loss | None:
    """What the takeover answers for; where nobody goes home again, also for what is lost later."""
    loss = loss_of(accounting, after_failback=False)
    later = loss_of(accounting, after_failback=True) if spec.failback is None else None
    if loss is None or later is None:
        return loss or later
    node = later.node if later.lost else loss.node
    acknowledged = max(loss.acknowledged, later.acknowledged)
    return Loss(node, acknowledged, loss.lost + later.lost, max(loss.seconds, later.seconds))


@dataclass(frozen=True)
class Part:
    """One part of a takeover, in seconds."""

    name: str
    seconds: float


def parts_of(history: History) -> tuple[Part, ...]:
    """From the fault to the first write on the new primary, end to end; as far as the drill came."""
    struck = history.result("fault", Struck)
    if struck is None:
        return ()
    detected, fenced = history.result("detect", Detected), history.result("fence", Fenced)
    promoted, rerouted = history.result("promote", Promoted), history.result("reroute", Rerouted)
    verified = history.result("verify", Verified)
    first_ack_ns = verified.first_ack_ns if verified else None
    marks = (
        ("detect", detected.detected_ns if detected else None),
        ("fence", fenced.fenced_ns if fenced else None),
        ("promote", promoted.promoted_ns if promoted else None),
        ("reroute", rerouted.rerouted_ns if rerouted else None),
        ("first write", first_ack_ns),
    )
    parts, since = [], struck.struck_ns
    for name, at in marks:
        if at is None:
            break
        # Clients that find the new primary by themselves may be served before the promotion's own verb returns.
        until = min(at, first_ack_ns) if first_ack_ns is not None else at
        parts.append(Part(name, max(0.0, (until - since) / 1e9)))
        since = max(since, until)
    return tuple(parts)


def redundancy_lost_seconds(history: History) -> float | None:
    """From the fault until the old primary streamed again as a standby; `None` while it does not."""
    struck, rejoined = history.result("fault", Struck), history.result("rejoin", Rejoined)
    return (rejoined.rejoined_ns - struck.struck_ns) / 1e9 if struck and rejoined else None


def write_lag_seconds(history: History) -> float | None:
    """How long the standby took to say that it has what was sent, under load before the fault: the median of the
    samples taken meanwhile, else what was seen at the end. One look alone may fall into a moment with nothing sent."""
    load = history.result("steady", Load)
    sampled = [
        sample.write_lag_seconds
        for series in history.observed(LagSeries)
        for sample in series.samples
        if load and sample.write_lag_seconds is not None and load.from_ns <= sample.at_ns <= load.to_ns
    ]
    if sampled:
        return median(sampled)
    found = [n.write_lag_seconds for n in _seen_at(history, "steady") if n.role == "primary"]
    return next((lag for lag in found if lag is not None), None)


def replay_lag_bytes(history: History) -> int | None:
    """Log that the standby had and had not replayed, under load before the fault."""
    found = [n.replay_lag_bytes for n in _seen_at(history, "steady") if n.role == "standby"]
    return next((lag for lag in found if lag is not None), None)


def conditions(history: History, spec: FailoverSpec) -> str:
    """Load, commit mode, link and detection, in words."""
    if spec.scenario.is_planned:
        return load_of(history, spec)
    after = format_seconds(spec.detection.after.total_seconds())
    return f"{load_of(history, spec)}, believed after {after} of failed probes"


def load_of(history: History, spec: FailoverSpec) -> str:
    """Load, commit mode and link, in words: the conditions of a planned switch, which has nothing to detect."""
    load = f"{spec.client.rate:g} writes/s" if spec.client.rate else "as many writes as it takes"
    lag = write_lag_seconds(history)
    return ", ".join(
        (
            f"{load} on {count_of(spec.client.connections, 'connection', 'connections')}",
            f"commit {spec.commit}",
            f"standby's write lag {format_milliseconds(lag)}" if lag is not None else "write lag not seen",
        )
    )


def format_milliseconds(seconds: float) -> str:
    """Short spans, as links have them."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else format_seconds(seconds)


def _seen_at(history: History, stage: str) -> tuple[NodeState, ...]:
    return next((s.nodes for s in history.observed(Surveyed) if s.stage == stage), ())
