"""A finding: what one check expected, what it saw, and what to do about the difference."""

from pydantic import BaseModel, ConfigDict

from muster.verdict import Verdict, worst


class Finding(BaseModel):
    """The result of one check. `verdict` is `None` when the plan did not ask for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str
    verdict: Verdict | None
    expected: str
    seen: str
    advice: str = ""
    detail: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """How the finding is shown: the verdict, or `not asked`."""
        return self.verdict.value if self.verdict else "not asked"


SHOWN = 40
"""Lines of detail that a finding keeps."""


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
    """The plan leaves this out; `key` is what would ask for it."""
    return Finding(check=check, verdict=None, expected=expected, seen=f"the plan does not ask (`{key}`)")


def verdict_of(findings: tuple[Finding, ...]) -> Verdict:
    """The worst verdict of the checks that were asked for; `inconclusive` when none was."""
    return worst(f.verdict for f in findings if f.verdict is not None)
