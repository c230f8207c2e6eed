"""From the client's history and the whole reads to the numbers that are judged."""

from muster.drill import Context
from muster.failover.checker import Span, account
from muster.failover.observations import (
    Accounting,
    Cast,
    ClientStarted,
    FailedBack,
    Promoted,
    SetRead,
    Struck,
    Surveyed,
    Verified,
)
from muster.failover.series import series
from muster.failover.takeover import takeovers
from muster.journal import History
from tasks.rehearsal.scene import history_of

_BIN_SECONDS = 0.25


def account_for_all(context: Context, cast: Cast) -> Accounting:
    """Judge the history, and observe the takeovers and the timeline beside it."""
    folder, history = history_of(context), context.history
    servers = {n.server: n.node for seen in history.observed(Surveyed) for n in seen.nodes if n.server}
    promoted = context.result("promote", Promoted)
    reads = history.observed(SetRead)
    spans = spans_of(history, context.clock.monotonic_ns())
    accounting = account(folder, reads, spans, servers, promoted.promoted_ns)
    of = {name: {server for server, node in servers.items() if node == name} for name in (cast.old, cast.new)}
    struck, failed_back = context.result("fault", Struck), context.result("failback", FailedBack)
    until = failed_back.asked_ns
    context.observe(takeovers(folder, of[cast.old], of[cast.new], struck.struck_ns, "failover", until))
    if failed_back.node == cast.old:
        context.observe(takeovers(folder, of[cast.new], of[cast.old], failed_back.asked_ns, "failback", None))
    context.observe(series(folder, servers, reads, _BIN_SECONDS))
    return accounting


def spans_of(history: History, now_ns: int) -> tuple[Span, ...]:
    """The phases in which writes are counted, end to end."""
    client, struck = history.result("client", ClientStarted), history.result("fault", Struck)
    taken, failed_back = history.result("verify", Verified), history.result("failback", FailedBack)
    home = history.result("verify-again", Verified)
    marks = [
        ("before", client.began_ns if client else None),
        ("takeover", struck.struck_ns if struck else None),
        ("away", taken.first_ack_ns if taken else None),
        ("failback", failed_back.asked_ns if failed_back else None),
        ("after", home.first_ack_ns if home else None),
    ]
    known = [(name, at) for name, at in marks if at is not None]
    ends = [at for _, at in known[1:]] + [now_ns]
    return tuple(Span(name, at, max(at, end)) for (name, at), end in zip(known, ends, strict=True))
