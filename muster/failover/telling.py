"""How a failover rehearsal is told: its measures, phases and facts, all from the journal."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from muster.drill import Told
from muster.failover.checks import failback_rpo, failback_rto, rpo, rto
from muster.failover.measuring import (
    Loss,
    conditions,
    format_milliseconds,
    load_of,
    loss_of,
    loss_of_takeover,
    parts_of,
    redundancy_lost_seconds,
    replay_lag_bytes,
    takeover_of,
)
from muster.failover.observations import (
    Accounting,
    Cast,
    Detected,
    Fenced,
    Promoted,
    Rejoined,
    Rerouted,
    Salvaged,
    Struck,
    Takeover,
)
from muster.failover.section import spec_of
from muster.failover.spec import Failback
from muster.failover.traffic import traffic_of
from muster.identity import Identity
from muster.journal import EventKind, History
from muster.phases import phases_of
from muster.plan import Plan
from muster.quantity import count_of, format_bytes, format_seconds
from muster.summary import Measure, Phase

RECOVERY = ("detect", "fence", "prove-fence", "promote", "reroute")
_LOAD = ("client", "steady", "away", "steady-after")


def tell(history: History, plan: Plan) -> Told:
    """The rehearsal's part of a summary."""
    return Told(
        target=_target(history, plan),
        measures=_measures(history, plan),
        phases=phases_of(history, _placed),
        facts=tuple(_facts(history, plan)),
        traffic=traffic_of(history),
    )


def _placed(phase: Phase) -> Phase:
    """What clients waited for stands apart; RTO is what they saw, not a sum of steps, so no step counts towards it."""
    lane = "recovery" if phase.name in RECOVERY else "load" if phase.name in _LOAD else "verification"
    return phase.model_copy(update={"lane": lane, "counts": False})


def _target(history: History, plan: Plan) -> str:
    identity = history.latest(Identity)
    if identity is None:
        return f"{plan.target['type']}, which proved no identity"
    known = f"system identifier {identity.system_identifier}, " if identity.system_identifier else ""
    return f"{plan.target['type']}: {identity.description} ({known}{identity.proof})"


def _measures(history: History, plan: Plan) -> tuple[Measure, ...]:
    spec, accounting = spec_of(plan), history.result("account", Accounting)
    out, lost = takeover_of(history, "failover"), loss_of_takeover(accounting, spec) if accounting else None
    under = conditions(history, spec)
    measures = [
        Measure(
            name="RTO",
            measured=out.max_seconds if out else None,
            objective=_seconds(plan.objectives.rto),
            verdict=rto(history, plan).verdict,
            note=_joined(_median(out), _split(history), under),
        ),
        Measure(
            name="RPO",
            measured=lost.seconds if lost else None,
            objective=0.0 if spec.scenario.is_planned else _seconds(plan.objectives.rpo),
            verdict=rpo(history, plan).verdict,
            note=_joined(_lost(lost), under),
        ),
    ]
    if spec.failback:
        measures += _home_again(history, plan, spec.failback, accounting)
    return tuple(measures)


def _home_again(history: History, plan: Plan, failback: Failback, accounting: Accounting | None) -> list[Measure]:
    back = takeover_of(history, "failback")
    lost = loss_of(accounting, after_failback=True) if accounting else None
    under = load_of(history, spec_of(plan))
    return [
        Measure(
            name="Failback RTO",
            measured=back.max_seconds if back else None,
            objective=_seconds(failback.rto),
            verdict=failback_rto(history, plan).verdict,
            note=_joined(_median(back), "a planned switch home", under),
        ),
        Measure(
            name="Failback RPO",
            measured=lost.seconds if lost else None,
            objective=_seconds(failback.rpo),
            verdict=failback_rpo(history, plan).verdict,
            note=_joined(_lost(lost, " that were there before"), under),
        ),
    ]


def _joined(*words: str) -> str:
    return "; ".join(filter(None, words))


def _median(takeover: Takeover | None) -> str:
    if takeover is None:
        return ""
    left = len(takeover.unserved)
    unserved = f"{count_of(left, 'connection', 'connections')} never served again" if left else ""
    if takeover.median_seconds is None:
        return unserved
    served = count_of(len(takeover.gaps), "connection", "connections")
    told = f"the slowest of {served}, median {format_seconds(takeover.median_seconds)}"
    return f"{told}, {unserved}" if left else told


def _split(history: History) -> str:
    """The parts of the takeover; each a span between two moments of one clock."""
    parts = parts_of(history)
    return "from the fault: " + ", ".join(f"{p.name} {format_milliseconds(p.seconds)}" for p in parts) if parts else ""


def _lost(loss: Loss | None, which: str = "") -> str:
    if loss is None:
        return "no whole read of a primary"
    return f"{loss.lost:,} of {loss.acknowledged:,} acknowledged writes{which} missing on {loss.node}"


def _facts(history: History, plan: Plan) -> Iterator[tuple[str, str]]:
    spec = spec_of(plan)
    yield "scenario", f"{spec.scenario}, {'planned' if spec.scenario.is_planned else 'not planned'}"
    yield "load and promise", conditions(history, spec)
    if cast := history.result("survey", Cast):
        yield "regions", f"{cast.old} in {cast.regions[cast.old]} to {cast.new} in {cast.regions[cast.new]}"
    yield from _course(history)
    yield from _accounts(history)
    if opened := history.of(EventKind.OPENED):
        yield "machine", str(opened[0].body.get("machine", ""))


def _course(history: History) -> Iterator[tuple[str, str]]:
    """What was done, in the words of whoever did it."""
    if struck := history.result("fault", Struck):
        yield "fault", "; ".join(struck.done)
    if detected := history.result("detect", Detected):
        yield "detected", detected.how
    if fenced := history.result("fence", Fenced):
        yield "fenced", fenced.how
    if promoted := history.result("promote", Promoted):
        yield "promoted", f"{promoted.how}, timeline {promoted.timeline} at {promoted.lsn}"
    if rerouted := history.result("reroute", Rerouted):
        yield "rerouted", rerouted.how
    if salvaged := history.result("salvage", Salvaged):
        yield "divergent log", salvaged_words(salvaged)
    if rejoined := history.result("rejoin", Rejoined):
        yield "rejoined", f"by {rejoined.how}: {rejoined.why}"
    if (without := redundancy_lost_seconds(history)) is not None:
        yield "without redundancy", format_seconds(without)
    if (lag := replay_lag_bytes(history)) is not None:
        yield "replay lag before", format_bytes(lag)


def salvaged_words(salvaged: Salvaged) -> str:
    """What the old primary had written beyond the fork."""
    if salvaged.commits is None:
        return salvaged.why_not or "not looked at"
    kept = f", kept in {salvaged.kept}" if salvaged.kept else ""
    return f"{count_of(salvaged.commits, 'commit', 'commits')} beyond {salvaged.fork_lsn}{kept}"


def _accounts(history: History) -> Iterator[tuple[str, str]]:
    accounting = history.result("account", Accounting)
    if accounting is None:
        return
    total = accounting.total
    yield (
        "writes",
        (
            f"{total.attempts:,} tried: {total.acknowledged:,} acknowledged, {total.failed:,} refused,"
            f" {total.unknown:,} unknown ({total.unknown_present:,} of them there)"
        ),
    )
    yield "reads", f"{total.reads:,}, {total.stale_reads:,} stale, {total.stale_primary_reads:,} of those at a primary"
    out = takeover_of(history, "failover")
    if out and out.write_gap_seconds is not None:
        yield "write gap", f"{format_seconds(out.write_gap_seconds)} in which nobody was acknowledged"


def _seconds(duration: timedelta | None) -> float | None:
    return duration.total_seconds() if duration is not None else None


def remember(_history: History) -> dict[str, Any]:
    """Nothing: a rehearsal is judged by itself alone."""
    return {}


def brief(_plan: Plan) -> dict[str, Any]:
    """The machine the drill and its client ran on."""
    return {"machine": socket.gethostname()}


def sight(target: Any) -> dict[str, str]:
    """What the target is: which system, and which servers in which regions."""
    identifier = target.identify().system_identifier
    nodes = ",".join(sorted(f"{n.name}@{n.region}" for n in target.nodes()))
    return {"system_identifier": str(identifier), "nodes": nodes} if identifier else {}
