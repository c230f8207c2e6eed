"""Checks on the course of a drill of any kind: its steps came to their end, and nothing of them is left."""

from muster.finding import Finding, judge, unseen
from muster.journal import EventKind, History
from muster.plan import Plan
from muster.verdict import Verdict


def steps_ended(history: History, check: str, expected: str) -> Finding:
    """Every step came to its end; a step the drilled system failed is a failure, one the drill failed is not."""
    failure = history.failure()
    if failure is None:
        done = [e.step for e in history.of(EventKind.SUCCEEDED)]
        return (
            judge(check, True, expected, f"{len(done)} steps came to their end")
            if done
            else unseen(check, expected, "no step ran")
        )
    seen = f"step {failure.step}: {failure.body['message']}"
    if failure.body["cause"] == "system":
        return judge(check, False, expected, seen, failure.body["advice"])
    return Finding(
        check=check,
        verdict=Verdict.INCONCLUSIVE,
        expected=expected,
        seen=seen,
        advice=failure.body["advice"] or "mend what stopped the drill and run it again",
    )


def nothing_is_left(history: History, _plan: Plan) -> Finding:
    """Every step that started was undone."""
    expected = "no process, folder or socket of the drill is left"
    if not history.step_states():
        return Finding(check="left behind", verdict=None, expected=expected, seen="no step started")
    left = history.needs_undo()
    return judge("left behind", not left, expected, "nothing left" if not left else f"not undone: {', '.join(left)}",
                 f"run `muster undo run {history[0].run}`", tuple(left))  # fmt: skip
