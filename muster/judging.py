"""Judging a run by its journal alone: findings, verdict and outcome, and the summary that people are told.

Promises: the same journal gives the same judgement and the same summary; a check that breaks has shown nothing;
journals of earlier versions are told with what they hold.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from muster import approval
from muster.drill import Check, Drill
from muster.finding import Finding, verdict_of
from muster.journal import EventKind, History
from muster.plan import Plan
from muster.saga import Cause
from muster.summary import Summary
from muster.unrun import UNRUN, headline_of_unrun, is_unrun, outcome_of_unrun
from muster.verdict import Outcome, Verdict, outcome_of


def brief_of(drill: Drill, plan: Plan, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """What judging a run needs from its opening: the plan, the steps there are, and facts from outside the run."""
    return {
        "plan": plan.model_dump(mode="json"),
        "steps": [step.name for step in drill.steps],
        "earlier": dict(earlier),
        **drill.brief(plan),
    }


def judge(drill: Drill, plan: Plan, history: History) -> dict[str, Any]:
    """The body of `judged`: every finding, the worst verdict, and the outcome."""
    findings = tuple(f for check in _checks(drill, plan, history) for f in _findings(check, history, plan))
    verdict = verdict_of(findings)
    return {
        "outcome": _outcome(history, verdict).value,
        "verdict": verdict.value,
        "findings": [f.model_dump(mode="json") for f in findings],
    }


def _checks(drill: Drill, plan: Plan, history: History) -> tuple[Check, ...]:
    if is_unrun(history):
        return UNRUN.checks
    return (approval.approval, *drill.checks) if approval.requires_approval(plan) else drill.checks


def _findings(check: Check, history: History, plan: Plan) -> tuple[Finding, ...]:
    try:
        found = check(history, plan)
    except Exception as error:  # a check that breaks has shown nothing
        name = getattr(check, "__name__", "check").replace("_", " ")
        found = Finding(
            check=name,
            verdict=Verdict.INCONCLUSIVE,
            expected="the check can read the journal",
            seen=f"{type(error).__name__}: {error}",
            advice="this is a defect in Muster: please report it with the bundle",
        )
    return found if isinstance(found, tuple) else (found,)


def _outcome(history: History, verdict: Verdict) -> Outcome:
    """How the run ended: refused or aborted where the drill itself did not come to its end."""
    if is_unrun(history):
        return outcome_of_unrun(history)
    ending = ending_of(history)
    if ending is None or ending["cause"] == Cause.SYSTEM:
        return outcome_of(verdict)
    return Outcome.REFUSED if ending["cause"] == Cause.REFUSED else Outcome.ABORTED


def ending_of(history: History) -> Mapping[str, str] | None:
    """What ended the run early: a failed step, an interrupt, a dead process; `None` when it came to its end."""
    if failure := history.failure():
        return {**failure.body, "step": failure.step}
    for event in history.of(EventKind.NOTED):
        if "ended_by" in event.body:
            return {**event.body["ended_by"], "step": ""}
    done = {event.step for event in history.of(EventKind.SUCCEEDED)}
    missing = [step for step in history[0].body["steps"] if step not in done]
    if not missing:
        return None
    return {
        "cause": Cause.DRILL,
        "error": "died",
        "message": "the process that ran the drill died",
        "advice": "run it again",
        "step": missing[0],
    }


def summarise(drill: Drill, plan: Plan, history: History) -> Summary:
    """Everything people are told of a judged run, from its journal alone."""
    opened, judged = history[0], history[-1]
    told = (UNRUN if is_unrun(history) else drill).tell(history, plan)
    scheduled_at = opened.body.get("scheduled_at")
    findings = tuple(Finding.model_validate(f) for f in judged.body["findings"])
    outcome = Outcome(judged.body["outcome"])
    return Summary(
        run=opened.run,
        plan=plan.name,
        plan_digest=opened.body["plan_digest"],
        kind=plan.kind,
        environment=plan.environment.value,
        owner=plan.owner,
        controls=plan.controls,
        target=told.target,
        reason=opened.body["reason"],
        opened_at=opened.at,
        ended_at=judged.at,
        outcome=outcome,
        verdict=Verdict(judged.body["verdict"]),
        headline=_headline(outcome, findings, history),
        measures=told.measures,
        phases=told.phases,
        findings=findings,
        facts=told.facts,
        traffic=told.traffic,
        activity=told.activity,
        ticks=told.ticks,
        costs=told.costs,
        advice=told.advice,
        last_proven=opened.body["last_proven"],
        muster_version=opened.body["muster"],
        scheduled_at=datetime.fromisoformat(scheduled_at) if scheduled_at else None,
        substance=opened.body.get("substance", ""),
        trigger=opened.body.get("trigger", ""),
        flow_run=opened.body.get("flow_run", ""),
        requested_by=opened.body.get("requested_by", ""),
        last_look=opened.body.get("last_look", ""),
        approval=approval.words_of(history),
    )


def _headline(outcome: Outcome, findings: tuple[Finding, ...], history: History) -> str:
    if is_unrun(history):
        return headline_of_unrun(history)
    ending = ending_of(history)
    if ending and ending["cause"] != Cause.SYSTEM:
        where = f" in step {ending['step']}" if ending["step"] else ""
        return f"The drill was {outcome.value}{where}: {ending['message']}."
    worst = next((f for v in (Verdict.FAIL, Verdict.INCONCLUSIVE) for f in findings if f.verdict is v), None)
    if worst is None:
        passed = sum(f.verdict is Verdict.PASS for f in findings)
        return f"All {passed} checks that the plan asks for passed."
    return f"{worst.check}: {worst.seen}."
