"""Whether a server serves: every connection is acknowledged by it, by it alone, and it holds what it must."""

from muster.drill import Context
from muster.errors import SystemFailure
from muster.failover.observations import Surveyed, Verified
from muster.failover.section import spec_of
from tasks.client.reading import read_set
from tasks.rehearsal.fencing import prove_fence
from tasks.rehearsal.load import await_acks
from tasks.rehearsal.scene import history_of, look, node_of, route_of, state_of
from tasks.routes.sampling import sample

_READ_SECONDS = 60.0


def verify_serving(context: Context, stage: str, serving: str, other: str) -> Verified:
    """Wait for the first write of every connection, then look at everything else."""
    spec = spec_of(context.plan)
    seen = look(context, stage)
    server = state_of(seen, serving).server
    if not server:
        raise SystemFailure(f"{serving} does not answer, though it was to serve", "see the target's own log")
    first = await_acks(context, server)
    context.observe(prove_fence(node_of(context, other), spec.client.table, stage, context.clock.monotonic_ns))
    if spec.route_samples:
        servers = {n.server: n.node for n in seen.nodes if n.server}
        context.observe(sample(route_of(context).client_dsn(), spec.route_samples, servers, stage))
    read_everywhere(context, seen, stage, serving)
    if not first:
        raise SystemFailure(f"no write was acknowledged by {serving}", "look at the route: clients do not reach it")
    return Verified(
        stage=stage,
        first_ack_ns=min(first.values()),
        all_acked_ns=max(first.values()),
        probe_error_seconds=spec.client.connections / spec.client.rate if spec.client.rate else 0.0,
    )


def read_everywhere(context: Context, seen: Surveyed, stage: str, serving: str) -> None:
    """The whole set from every server that answers, the serving one first: what it holds is the truth."""
    for state in sorted((n for n in seen.nodes if n.role != "unreachable"), key=lambda n: n.node != serving):
        context.observe(
            read_set(
                node_of(context, state.node),
                spec_of(context.plan).client.table,
                history_of(context),
                stage,
                is_primary=state.role == "primary",
                server=state.server,
                timeout=min(_READ_SECONDS, context.seconds_left),
            )
        )
