"""The verbs of a failover rehearsal, and their undos.

Promises: nothing is done before the pair proved fit; the old primary is fenced, and the fence proven, before another is
promoted; every moment that is judged is taken where it happens; whatever is half done, the undo leads to one primary.
"""

from muster.drill import Context
from muster.errors import Refusal, StepError, SystemFailure
from muster.failover import readiness
from muster.failover.observations import (
    Accounting,
    Cast,
    ClientStarted,
    Detected,
    FailedBack,
    Fenced,
    FenceProof,
    GoodState,
    Load,
    Promoted,
    Rejoined,
    Rerouted,
    Salvaged,
    Struck,
    Verified,
)
from muster.failover.section import spec_of
from muster.failover.spec import Scenario
from muster.finding import Finding
from muster.journal import EventKind, RunState
from muster.plan import Plan
from muster.quantity import format_seconds
from muster.verdict import Verdict
from tasks.client.table import create_table, drop_table
from tasks.postgres.survey import survey
from tasks.rehearsal.accounting import account_for_all
from tasks.rehearsal.fencing import prove_fence
from tasks.rehearsal.lag import NAME as LAG
from tasks.rehearsal.lag import start_sampling
from tasks.rehearsal.load import run_load, start_load, stop_load
from tasks.rehearsal.probing import detect_loss
from tasks.rehearsal.scene import HISTORY, cast_of, look, node_of, processes_of, route_of, target_of, work_of
from tasks.rehearsal.settling import Intent, Settling
from tasks.rehearsal.verifying import read_everywhere, verify_serving
from tasks.targets.promotable import Promotable

_LASTING = {Scenario.PARTITION, Scenario.PARTITION_THEN_KILL, Scenario.REPLICA_BEHIND}
"""Their fault lasts a while before anything is taken out."""


def survey_pair(context: Context) -> Cast:
    """Who is who, and whether a rehearsal can begin; every reason against it at once."""
    spec, target = spec_of(context.plan), target_of(context)
    context.observe(target.identify())
    if spec.scenario not in target.scenarios():
        can = ", ".join(sorted(target.scenarios())) or "nothing"
        raise Refusal(f"this target cannot be made to suffer {spec.scenario}: it can {can}", "choose another scenario")
    if spec.failback is not None and Scenario.SWITCHOVER not in target.scenarios():
        raise Refusal(
            "this target has no planned switch, so there is no way home", "plan `failback: null`, or see its docs"
        )
    route_of(context).check()
    seen = look(context, "survey")
    against = [f for f in readiness.findings_of(seen, spec) if f.verdict in {Verdict.FAIL, Verdict.INCONCLUSIVE}]
    cast = readiness.cast_of(seen)
    if against or cast is None:
        raise Refusal(
            "the pair is not fit to fail over: " + "; ".join(f"{f.check}: {f.seen}" for f in against),
            against[0].advice if against else "look at replication",
        )
    return cast


def start_client(context: Context) -> ClientStarted:
    """Make the client's table, and begin to write."""
    spec, cast = spec_of(context.plan), cast_of(context)
    old, new = node_of(context, cast.old), node_of(context, cast.new)
    create_table(old.dsn, spec.client.table)
    start_sampling(context, (old, new))
    began = context.clock.monotonic_ns()
    return ClientStarted(
        pid=start_load(context, (old, new)),
        connections=spec.client.connections,
        rate=spec.client.rate,
        commit=spec.commit,
        folder=HISTORY,
        began_ns=began,
    )


def hold_steady(context: Context) -> Load:
    """Load on a healthy pair: what everything after is compared with."""
    load = run_load(context, "steady", spec_of(context.plan).steady.total_seconds())
    look(context, "steady")
    if not load.acknowledged:
        raise SystemFailure("no write was acknowledged before the fault", "look at the client's sessions and the route")
    return load


def strike(context: Context) -> Struck:
    """Let it happen."""
    spec, cast = spec_of(context.plan), cast_of(context)
    before = context.clock.monotonic_ns()
    done = target_of(context).strike(spec.scenario, cast.old, cast.new, work_of(context))
    return Struck(
        scenario=spec.scenario,
        struck_ns=context.clock.monotonic_ns() if spec.scenario in _LASTING else before,
        done=done or ("nothing breaks: this is planned",),
    )


def detect(context: Context) -> Detected:
    """Notice the loss as a monitor would. A planned switch, or a dead link between two that live, is known."""
    spec, now_ns = spec_of(context.plan), context.clock.monotonic_ns
    if spec.scenario.is_planned:
        return _known(context, "nothing to detect: it is planned")
    if spec.scenario is Scenario.PARTITION:
        return _known(context, f"the link was dead for {format_seconds(spec.fault_lasts.total_seconds())}")
    return detect_loss(node_of(context, cast_of(context).old), spec.detection, lambda: context.seconds_left, now_ns)


def _known(context: Context, how: str) -> Detected:
    return Detected(
        detected_ns=context.clock.monotonic_ns(),
        first_failure_ns=context.result("fault", Struck).struck_ns,
        probes=0,
        interval_seconds=0,
        after_seconds=0,
        how=how,
    )


def fence(context: Context) -> Fenced:
    """The old primary takes no write any more. In a planned switch it steps down by itself, and is fenced by that."""
    old = cast_of(context).old
    if spec_of(context.plan).scenario.is_planned:
        how = "it hands over by itself"
    else:
        how = target_of(context).fence(old, work_of(context))
    return Fenced(node=old, fenced_ns=context.clock.monotonic_ns(), how=how)


def prove_fenced(context: Context) -> FenceProof:
    """A write to the old primary must fail, before anyone else takes writes: if it does not, nobody else may."""
    spec, old = spec_of(context.plan), cast_of(context).old
    if spec.scenario.is_planned:
        return FenceProof(
            stage="prove-fence",
            node=old,
            write="refused",
            said="not tried yet: it serves until it hands over",
            asked_ns=context.clock.monotonic_ns(),
        )
    proof = prove_fence(node_of(context, old), spec.client.table, "prove-fence", context.clock.monotonic_ns)
    context.observe(proof)
    if proof.write == "accepted":
        raise SystemFailure(
            f"{old} took a write after it was fenced, so nobody else is promoted",
            "two servers would take writes: make the fence certain",
        )
    return proof


def promote(context: Context) -> Promoted:
    """The new primary takes writes."""
    cast, target, work = cast_of(context), target_of(context), work_of(context)
    if spec_of(context.plan).scenario.is_planned:
        return target.switch(cast.old, cast.new, work)
    return target.promote(cast.new, work)


def reroute(context: Context) -> Rerouted:
    """Clients reach the new primary."""
    return _send_clients_to(context, cast_of(context).new)


def verify(context: Context) -> Verified:
    """Every connection is served by the new primary, which holds what it must."""
    cast = cast_of(context)
    return verify_serving(context, "verify", serving=cast.new, other=cast.old)


def run_away(context: Context) -> Load:
    """Load on the region that took over, alone."""
    return run_load(context, "away", spec_of(context.plan).away.total_seconds())


def salvage(context: Context) -> Salvaged:
    """End the fault: the zombie comes back, and still must not write. Then save what it had written beyond the fork."""
    spec, cast, target, work = spec_of(context.plan), cast_of(context), target_of(context), work_of(context)
    target.heal(work)
    context.observe(prove_fence(node_of(context, cast.old), spec.client.table, "salvage", context.clock.monotonic_ns))
    look(context, "salvage")
    if spec.scenario.is_planned:
        return Salvaged(node=cast.old, fork_lsn=None, commits=None, why_not="a planned switch leaves nothing behind")
    return target.salvage(cast.old, cast.new, work)


def rejoin(context: Context) -> Rejoined:
    """The old primary is a standby of the new one, and has all that it has.

    It must still refuse: a fence that powers a server off cannot be proven before it is back.
    """
    spec, cast = spec_of(context.plan), cast_of(context)
    rejoined = target_of(context).rejoin(cast.old, cast.new, work_of(context))
    context.observe(prove_fence(node_of(context, cast.old), spec.client.table, "rejoin", context.clock.monotonic_ns))
    read_everywhere(context, look(context, "rejoin"), "rejoin", cast.new)
    return rejoined


def fail_back(context: Context) -> FailedBack:
    """Home again, planned."""
    spec, cast = spec_of(context.plan), cast_of(context)
    asked = context.clock.monotonic_ns()
    if spec.failback is None:
        return FailedBack(node=cast.new, asked_ns=asked, switched_ns=asked, timeline=0, how="the plan stays away")
    promoted = target_of(context).switch(cast.new, cast.old, work_of(context))
    _send_clients_to(context, cast.old)
    return FailedBack(
        node=cast.old,
        asked_ns=asked,
        switched_ns=promoted.promoted_ns,
        timeline=promoted.timeline,
        how=promoted.how,
    )


def verify_again(context: Context) -> Verified:
    """As after the takeover: every connection is served, by the primary of now."""
    cast, failed_back = cast_of(context), context.result("failback", FailedBack)
    other = cast.new if failed_back.node == cast.old else cast.old
    return verify_serving(context, "verify-again", serving=failed_back.node, other=other)


def steady_after(context: Context) -> Load:
    """Load on a healthy pair again."""
    load = run_load(context, "steady-after", spec_of(context.plan).steady.total_seconds())
    look(context, "steady-after")
    return load


def account(context: Context) -> Accounting:
    """Stop the client, read every row everywhere, and account for every write."""
    cast, serving = cast_of(context), context.result("failback", FailedBack).node
    stop_load(context)
    context.background.finish(LAG, context.seconds_left)
    read_everywhere(context, look(context, "account"), "account", serving)
    return account_for_all(context, cast)


def end_client(context: Context) -> None:
    """Make sure that no client runs, and that its table is gone from the primary."""
    _end_processes(context)
    target = target_of(context)
    primaries = survey(target.nodes(), "undo", target.connect_seconds()).with_role("primary")
    if not primaries:
        raise StepError("no server takes writes, so the rehearsal's table is still there", "start the primary")
    for node in primaries:
        drop_table(node_of(context, node.node).dsn, spec_of(context.plan).client.table)


def settle(context: Context) -> None:
    """Make sure that there is one primary, with its standby, and that clients reach it."""
    cast = context.history.result("survey", Cast)
    if cast is None or _is_settled(context):
        return
    _end_processes(context)  # no tool of a drill that died may work on what is mended now
    settling = Settling(target_of(context), route_of(context), work_of(context), _intent(context, cast))
    state = settling.settle()
    if context.history.run_state() is RunState.OPEN:  # an undo that is tried again finds its run sealed already
        context.observe(state)


def ready(target: Promotable, plan: Plan) -> tuple[Finding, ...]:
    """A harmless look: would the pair take a failover now? Needs no client and no fault."""
    seen = survey(target.nodes(), "ready", target.connect_seconds())
    return readiness.findings_of(seen, spec_of(plan))


def _end_processes(context: Context) -> None:
    stop_load(context)
    processes_of(context).stop_all()


def _intent(context: Context, cast: Cast) -> Intent:
    """Who was last meant to serve, by the steps that started."""
    spec, history = spec_of(context.plan), context.history
    states = history.step_states()
    if "promote" not in states:
        return Intent(old=cast.old, new=cast.new, heir=cast.old)
    is_saved = spec.scenario.is_planned or history.result("salvage", Salvaged) is not None
    unsaved = "" if is_saved else cast.old
    taken: Promoted | FailedBack | None
    if "failback" in states and spec.failback is not None:
        heir, is_planned, taken = cast.old, True, history.result("failback", FailedBack)
    else:
        heir, is_planned, taken = cast.new, spec.scenario.is_planned, history.result("promote", Promoted)
    return Intent(
        old=cast.old,
        new=cast.new,
        heir=heir,
        is_begun=True,
        is_planned=is_planned,
        timeline=taken.timeline if taken else 0,
        is_followed=taken is not None and (is_planned or history.result("rejoin", Rejoined) is not None),
        unsaved=unsaved,
    )


def _is_settled(context: Context) -> bool:
    """Whether an undo of this run has settled already, after everything that could have unsettled it."""
    newest = [e for e in context.history if e.kind in {EventKind.STARTED, EventKind.OBSERVED}]
    settled = [e for e in newest if e.kind is EventKind.OBSERVED and e.body["type"] == GoodState.__name__]
    return bool(settled) and not any(e.kind is EventKind.STARTED and e.seq > settled[-1].seq for e in newest)


def _send_clients_to(context: Context, node: str) -> Rerouted:
    work = work_of(context)
    how = route_of(context).point_to(node, work.seconds_left, work.processes)
    return Rerouted(node=node, rerouted_ns=context.clock.monotonic_ns(), how=how)
