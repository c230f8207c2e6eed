"""RTO and RPO of a restore, measured from the journal and judged against the plan's objectives."""

from datetime import timedelta

from muster.finding import Finding, judge, unseen
from muster.journal import History
from muster.plan import Plan
from muster.quantity import count_of, format_seconds
from muster.restore.observations import CanaryState, SourceMark
from muster.restore.section import spec_of
from muster.restore.timing import recovery_seconds


def rto_is_met(history: History, plan: Plan) -> Finding:
    """The time to recover is within the objective."""
    objective = plan.objectives.rto
    until = plan.objectives.rto_until
    measured = recovery_seconds(history, until)
    if objective is None:
        return Finding(check="rto", verdict=None, expected="within the objective", seen="the plan has no RTO")
    expected = f"{until} within {format_seconds(objective.total_seconds())}"
    if measured.complete:
        return judge("rto", measured.seconds <= objective.total_seconds(), expected,
                     format_seconds(measured.seconds), "recovery is slower than promised: see the phases")  # fmt: skip
    if measured.seconds > objective.total_seconds():
        return judge("rto", False, expected, f"not recovered after {format_seconds(measured.seconds)}",
                     "recovery is slower than promised: see the phases")  # fmt: skip
    return unseen("rto", expected, f"the drill ended after {format_seconds(measured.seconds)}")


def rpo_is_met(history: History, plan: Plan) -> Finding:
    """What a loss of the source at the drill's start would have cost is within the objective."""
    objective = plan.objectives.rpo
    if objective is None:
        return Finding(check="rpo", verdict=None, expected="within the objective", seen="the plan has no RPO")
    expected = f"at most {format_seconds(objective.total_seconds())} lost"
    if spec_of(plan).recovery.to != "end":
        return Finding(check="rpo", verdict=None, expected=expected,
                       seen="the plan recovers to a chosen point, not to the end")  # fmt: skip
    lost = recovery_point(history)
    if lost is None:
        return unseen("rpo", expected, "no canary was recovered or none is known of the source")
    span, commits = lost
    words = format_seconds(span.total_seconds()) + (
        f", {count_of(commits, 'canary', 'canaries')}" if commits is not None else ""
    )
    return judge("rpo", span <= objective, expected, f"{words} lost", "archive more often, or look at the archiver")


def recovery_point(history: History) -> tuple[timedelta, int | None] | None:
    """Time and canaries between the newest recovered and the newest written; `None` when either is unknown."""
    mark = history.latest(SourceMark)
    state = next((c for c in history.observed(CanaryState) if c.stage == "target"), None)
    if mark is None or state is None or state.newest_at is None:
        return None
    newest = mark.written_at or mark.seen_at
    commits = None
    if mark.canary_id is not None and state.newest_id is not None:
        commits = max(0, mark.canary_id - state.newest_id)
    return max(timedelta(0), newest - state.newest_at), commits
