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


def verdict_of(findings: tuple[Finding, ...]) -> Verdict:
    """The worst verdict of the checks that were asked for; `inconclusive` when none was."""
    return worst(f.verdict for f in findings if f.verdict is not None)
