"""The failover rehearsal's checks: pure functions from the journal to findings.

Promises: none touches a system; what was not observed is `inconclusive`, never a pass; what the plan did not ask for
says so. A count of zero passes only where the client's history is whole: what nobody looked at was not seen to be well.
Each is shown to catch its planted fault by `muster prove failover`.
"""

from datetime import timedelta

from muster.course import nothing_is_left, steps_ended
from muster.failover.measuring import Loss, loss_of, takeover_of
from muster.failover.observations import (
    Accounting,
    Detected,
    FenceProof,
    Salvaged,
    Struck,
    Takeover,
    Tally,
)
from muster.failover.pairchecks import (
    clocks_agree,
    commit_waits_for_the_standby,
    extensions_are_alike,
    one_primary,
    redundancy_is_back,
    rejoined,
    route_leads_there,
    same_system,
    sequences_are_ahead,
    versions_fit,
)
from muster.failover.section import spec_of
from muster.failover.spec import Commit
from muster.finding import Finding, judge, not_asked, unseen
from muster.journal import History
from muster.plan import Plan
from muster.quantity import count_of, format_seconds
from muster.verdict import Verdict

_BEFORE = "before"
"""The phase of the accounting in which the standby was there as the plan's commit mode asks."""


def rehearsed(history: History, _plan: Plan) -> Finding:
    """Every step came to its end."""
    return steps_ended(history, "rehearsed", "the other region takes over, serves, and hands back")


def loss_is_detected(history: History, plan: Plan) -> Finding:
    """The loss of the primary was noticed as a monitor would, and not believed before it had lasted."""
    patience = spec_of(plan).detection.after.total_seconds()
    expected = "the loss of the primary is noticed"
    if spec_of(plan).scenario.is_planned:
        return _aside("detected", expected, "a planned switch has nothing to detect")
    detected, struck = history.result("detect", Detected), history.result("fault", Struck)
    if detected is None or struck is None:
        return unseen("detected", expected)
    after = format_seconds(max(0.0, (detected.detected_ns - struck.struck_ns) / 1e9))
    failed = (detected.detected_ns - (detected.first_failure_ns or detected.detected_ns)) / 1e9
    is_patient = not detected.probes or failed >= patience  # without a probe it was known, not found
    why = "" if is_patient else f"; probes had failed for {format_seconds(failed)}, not for {format_seconds(patience)}"
    return judge("detected", is_patient, expected, f"{after} after the fault: {detected.how}{why}",
                 "a detector that is too quick takes a hiccup for a loss")  # fmt: skip


def fence_holds(history: History, plan: Plan) -> Finding:
    """Every write to a fenced server was refused."""
    expected = "every write to the server that was replaced is refused"
    proofs = history.observed(FenceProof)
    if not proofs:
        if spec_of(plan).scenario.is_planned:
            return _aside("fence", expected, "a planned switch: no write was tried")
        return unseen("fence", expected, "no write was tried")
    told = tuple(f"{p.stage}: {p.node} {p.write}: {p.said}" for p in proofs)
    accepted = [p for p in proofs if p.write == "accepted"]
    open_ones = [p for p in {p.node: p for p in proofs}.values() if p.write == "unknown"]
    if accepted:
        return judge("fence", False, expected, f"{accepted[0].node} took a write at {accepted[0].stage}",
                     "two servers took writes: make the fence certain before anything is promoted", told)  # fmt: skip
    if open_ones:
        return unseen("fence", expected, f"the last write to {open_ones[0].node} hung, and may yet be done",
                      "fence so that a write is refused, not left hanging")  # fmt: skip
    return judge("fence", True, expected, f"{count_of(len(proofs), 'write', 'writes')} refused", detail=told)


def rto(history: History, plan: Plan) -> Finding:
    """Every client was served again within the objective."""
    return _served_in_time("rto", takeover_of(history, "failover"), plan.objectives.rto, "the plan has no RTO")


def failback_rto(history: History, plan: Plan) -> Finding:
    """Going home was within its own objective."""
    failback = spec_of(plan).failback
    if failback is None:
        return not_asked("failback rto", "clients are served again within the objective", "failover.failback")
    why = "the failback has no RTO"
    return _served_in_time("failback rto", takeover_of(history, "failback"), failback.rto, why)


def _served_in_time(check: str, takeover: Takeover | None, objective: timedelta | None, why_not: str) -> Finding:
    if objective is None:
        return _aside(check, "within the objective", why_not)
    expected = f"every connection served again within {format_seconds(objective.total_seconds())}"
    if takeover is None:
        return unseen(check, expected)
    if takeover.unserved:
        return judge(check, False, expected, _unserved(takeover), "look at the route and at the client's sessions")
    if takeover.max_seconds is None:
        return unseen(check, expected, "no connection was served both before and after")
    return judge(check, takeover.max_seconds <= objective.total_seconds(), expected,
                 f"the slowest of {count_of(len(takeover.gaps), 'connection', 'connections')} after"
                 f" {format_seconds(takeover.max_seconds)}",
                 "clients wait longer than promised: see which part of the takeover took it")  # fmt: skip


def rpo(history: History, plan: Plan) -> Finding:
    """What the takeover lost is within the objective; a planned one may lose nothing, whatever the plan says."""
    spec = spec_of(plan)
    objective = plan.objectives.rpo if not spec.scenario.is_planned else timedelta()
    if objective is None:
        return _aside("rpo", "within the objective", "the plan has no RPO")
    accounting = _accounting(history)
    losses = [loss_of(accounting, after_failback=False)] if accounting else []
    if accounting and spec.failback is None:  # nobody else answers for what is lost later
        losses.append(loss_of(accounting, after_failback=True))
    return _lost_within("rpo", accounting, losses, objective)


def failback_rpo(history: History, plan: Plan) -> Finding:
    """Going home lost no more than its own objective allows, beside what the takeover had lost."""
    failback = spec_of(plan).failback
    if failback is None:
        return not_asked("failback rpo", "going home loses nothing", "failover.failback")
    if failback.rpo is None:
        return _aside("failback rpo", "within the objective", "the failback has no RPO")
    accounting = _accounting(history)
    losses = [loss_of(accounting, after_failback=True)] if accounting else []
    return _lost_within("failback rpo", accounting, losses, failback.rpo)


def _lost_within(check: str, accounting: Accounting | None, worst: list[Loss | None], objective: timedelta) -> Finding:
    limit = objective.total_seconds()
    expected = f"at most {format_seconds(limit)} of acknowledged writes lost" if limit else "no acknowledged write lost"
    losses = [loss for loss in worst if loss is not None]
    if accounting is None or not losses:
        return unseen(check, expected, "" if accounting is None else "no primary was read whole")
    seconds, lost = max(loss.seconds for loss in losses), sum(loss.lost for loss in losses)
    acknowledged = max(loss.acknowledged for loss in losses)
    seen = f"{lost:,} of {acknowledged:,} acknowledged writes lost, {format_seconds(seconds)}"
    if not acknowledged:
        return unseen(check, expected, "no write was acknowledged before")
    is_met = seconds <= limit and (limit > 0 or not lost)
    return _if_whole(accounting, judge(check, is_met, expected, seen,
                     "a commit that waits for the standby loses nothing: see `failover.commit`"))  # fmt: skip


def every_write_is_accounted_for(history: History, _plan: Plan) -> Finding:
    """The client's history is whole, and each of its writes has its place."""
    expected = "every write of the client is accounted for"
    accounting = _accounting(history)
    if accounting is None:
        return unseen("accounted", expected)
    total = accounting.total
    if accounting.is_damaged:
        return judge("accounted", False, expected, f"the history is damaged: {accounting.why_not_whole}",
                     "something was cut out of the client's history, or put in")  # fmt: skip
    unserved = [t for t in (takeover_of(history, "failover"), takeover_of(history, "failback")) if t and t.unserved]
    if unserved:
        return judge("accounted", False, expected, f"{unserved[0].name}: {_unserved(unserved[0])}",
                     "look at the route and at the client's sessions")  # fmt: skip
    if why := _why_not_judged(accounting):
        return unseen("accounted", expected, why, "run it again: only a whole history can be judged")
    return judge("accounted", True, expected, _numbers(total))


def _why_not_judged(accounting: Accounting) -> str:
    total = accounting.total
    if not accounting.is_whole:
        return accounting.why_not_whole or "the history is not whole"
    if not total.attempts:
        return "nothing was tried"
    if not total.acknowledged:
        return "nothing was acknowledged"
    unread = total.acknowledged - total.recovered - total.lost
    return f"{count_of(unread, 'acknowledged write was', 'acknowledged writes were')} never read" if unread else ""


def _numbers(total: Tally) -> str:
    return (
        f"{total.attempts:,} tried: {total.acknowledged:,} acknowledged ({total.recovered:,} there,"
        f" {total.lost:,} lost), {total.failed:,} refused, {total.unknown:,} unknown"
        f" ({total.unknown_present:,} of them there)"
    )


def _unserved(takeover: Takeover) -> str:
    many = count_of(len(takeover.unserved), "connection was", "connections were")
    return f"{many} never served again: {', '.join(map(str, takeover.unserved[:10]))}"


def nothing_is_doubled(history: History, _plan: Plan) -> Finding:
    """No write is there more than once."""
    accounting = _accounting(history)
    bad = accounting.total.duplicated if accounting else 0
    ids = accounting.duplicated_ids if accounting else ()
    return _none_of("no duplicates", accounting, bad, "no write is there more than once", "there more than once",
                    "something repeats writes of which it does not know whether they were done", ids)  # fmt: skip


def nothing_is_resurrected(history: History, _plan: Plan) -> Finding:
    """No write that the takeover lost came back later."""
    accounting = _accounting(history)
    bad = accounting.total.resurrected if accounting else 0
    ids = accounting.resurrected_ids if accounting else ()
    return _none_of("nothing resurrected", accounting, bad, "what the takeover lost stays lost", "came back later",
                    "the old primary rejoined with log that had diverged: rewind or rebuild it", ids)  # fmt: skip


def nothing_is_unexpected(history: History, _plan: Plan) -> Finding:
    """Nothing is there that was never tried, or was refused."""
    accounting = _accounting(history)
    strange = accounting.unexpected if accounting else 0
    refused = accounting.total.failed_present if accounting else 0
    return _none_of("nothing unexpected", accounting, strange + refused,
                    "nothing is there that was never tried, or was refused",
                    f"there: {strange:,} never tried, {refused:,} refused",
                    "a write that was refused must not be done; see also `fence`")  # fmt: skip


def _none_of(
    check: str,
    accounting: Accounting | None,
    bad: int,
    expected: str,
    what: str,
    advice: str,
    ids: tuple[int, ...] = (),
) -> Finding:
    if accounting is None or not accounting.total.attempts:
        return unseen(check, expected, "" if accounting is None else "nothing was tried")
    if not accounting.stages:
        return unseen(check, expected, "no primary was read whole")
    seen = f"{count_of(bad, 'write', 'writes')} {what}" if bad else f"none of {accounting.total.attempts:,} writes"
    return _if_whole(accounting, judge(check, not bad, expected, seen, advice, tuple(f"id {n}" for n in ids)))


def reads_are_fresh(history: History, plan: Plan) -> Finding:
    """A primary shows what it acknowledged; under `remote_apply` so does its standby, while it has one."""
    spec, accounting = spec_of(plan), _accounting(history)
    applies = spec.commit is Commit.REMOTE_APPLY
    expected = f"the primary{' and its standby show' if applies else ' shows'} what was acknowledged"
    if spec.client.reads is None:
        return not_asked("reads", expected, "failover.client.reads")
    if accounting is None or not accounting.total.reads:
        return unseen("reads", expected, "" if accounting is None else "no read was answered")
    total = accounting.total
    before = [t for t in accounting.phases if t.phase == _BEFORE] or [total]
    broken = sum(t.stale_reads - t.stale_primary_reads for t in before) if applies else 0
    seen = f"{total.reads:,} reads, {total.stale_primary_reads:,} stale at the primary" + (
        f", {broken:,} at the standby before the fault" if applies else ""
    )
    elsewhere = total.stale_reads - total.stale_primary_reads - broken
    if elsewhere:
        seen += f"; {elsewhere:,} at a standby that promised nothing"
    return _if_whole(accounting, judge("reads", not total.stale_primary_reads and not broken, expected, seen,
                     "reads miss what was acknowledged: look at where they go, and at the commit mode"))  # fmt: skip


def tail_adds_up(history: History, plan: Plan) -> Finding:
    """The old primary's log beyond the fork holds at least what was lost."""
    expected = "the saved log of the old primary holds every lost write"
    salvaged, accounting = history.result("salvage", Salvaged), _accounting(history)
    if spec_of(plan).scenario.is_planned:
        return _aside("lost tail", expected, "a planned switch leaves nothing behind")
    loss = loss_of(accounting, after_failback=False) if accounting else None
    if salvaged is None or loss is None:
        return unseen("lost tail", expected)
    if salvaged.commits is None:
        return _aside("lost tail", expected, salvaged.why_not or "this target cannot look into that log")
    seen = f"{count_of(salvaged.commits, 'commit', 'commits')} beyond {salvaged.fork_lsn}, {loss.lost:,} writes lost"
    return judge("lost tail", loss.lost <= salvaged.commits, expected, seen,
                 "more is lost than the old primary had written beyond the fork: the accounting does not add up",
                 (salvaged.listed,) if salvaged.listed else ())  # fmt: skip


def _accounting(history: History) -> Accounting | None:
    return history.result("account", Accounting)


def _if_whole(accounting: Accounting, finding: Finding) -> Finding:
    """A failure stands; a pass needs the whole history."""
    if accounting.is_whole or finding.verdict is not Verdict.PASS:
        return finding
    return unseen(finding.check, finding.expected, f"the history is not whole; in what there is: {finding.seen}")


def _aside(check: str, expected: str, why: str) -> Finding:
    return Finding(check=check, verdict=None, expected=expected, seen=why)


CHECKS = (
    rehearsed,
    rto,
    rpo,
    failback_rto,
    failback_rpo,
    every_write_is_accounted_for,
    fence_holds,
    one_primary,
    nothing_is_doubled,
    nothing_is_resurrected,
    nothing_is_unexpected,
    reads_are_fresh,
    tail_adds_up,
    loss_is_detected,
    same_system,
    commit_waits_for_the_standby,
    sequences_are_ahead,
    route_leads_there,
    clocks_agree,
    extensions_are_alike,
    versions_fit,
    redundancy_is_back,
    rejoined,
    nothing_is_left,
)
