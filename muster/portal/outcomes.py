"""Every word for how a slot ended, the gravest first, and the colour each wears."""

from muster.report.wording import NOT_ASKED
from muster.verdict import Outcome, Verdict

UNSEALED = "unsealed"
"""Stands for the outcome of a slot that has no sealed record."""
UNKNOWN = "unknown"
"""Stands for an outcome that Muster does not know."""

_FAIL, _INCONCLUSIVE, _NEITHER = Verdict.FAIL.value, Verdict.INCONCLUSIVE.value, NOT_ASKED.replace(" ", "-")
TONES = {
    UNSEALED: _FAIL,
    Outcome.MISSED.value: _FAIL,
    Outcome.FAILED.value: _FAIL,
    UNKNOWN: _FAIL,
    Outcome.ABORTED.value: _INCONCLUSIVE,
    Outcome.REFUSED.value: _INCONCLUSIVE,
    Outcome.INCONCLUSIVE.value: _INCONCLUSIVE,
    Outcome.WAIVED.value: _NEITHER,
    Outcome.PASSED.value: Verdict.PASS.value,
}
"""The verdict whose colour an outcome wears; its shape is its own, `mark-OUTCOME` in the page."""
OUTCOMES = tuple(TONES)
"""Where several slots share a cell of the calendar, the first of these is shown."""
