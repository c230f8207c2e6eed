"""How a check says what it found: passed or failed, not observed, not asked."""

from muster.finding import Finding
from muster.plan import Plan
from muster.restore.spec import RestoreSpec
from muster.verdict import Verdict

SHOWN = 40  # lines of detail kept in a finding


def spec_of(plan: Plan) -> RestoreSpec:
    """The plan's restore section; a plan of this kind always has one."""
    if plan.restore is None:
        raise ValueError(f"plan {plan.name} is no restore plan")
    return plan.restore


def judge(check: str, ok: bool, expected: str, seen: str, advice: str = "", detail: tuple[str, ...] = ()) -> Finding:
    """A pass or a fail; advice is for the fail only."""
    return Finding(
        check=check,
        verdict=Verdict.PASS if ok else Verdict.FAIL,
        expected=expected,
        seen=seen,
        advice="" if ok else advice,
        detail=detail[:SHOWN],
    )


def unseen(check: str, expected: str, why: str = "", advice: str = "") -> Finding:
    """Asked for and not observed."""
    return Finding(
        check=check,
        verdict=Verdict.INCONCLUSIVE,
        expected=expected,
        seen=f"not observed{': ' + why if why else ''}",
        advice=advice or "see which step failed, and why",
    )


def not_asked(check: str, expected: str, key: str) -> Finding:
    """The plan leaves this rung out; `key` is what would ask for it."""
    return Finding(check=check, verdict=None, expected=expected, seen=f"the plan does not ask (`{key}`)")
