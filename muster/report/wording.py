"""How a run is put into words: the same in HTML, in Markdown and on the terminal.

Promises: whatever a journal holds comes out as printable single lines; the gravest check is told first, those
that were not asked for last; a run "supports" a control or "does not show" it, never more.
"""

import re
import unicodedata
from datetime import datetime
from typing import Any

from muster.finding import Finding
from muster.quantity import format_seconds
from muster.summary import Measure, Summary
from muster.verdict import Outcome, Verdict, outcome_of, worst

NOT_ASKED = "not asked"
MARKS = {"pass": "✓", "fail": "✕", "inconclusive": "?", NOT_ASKED: "–"}
"""A sign beside each word, so that no verdict is told by colour alone."""

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, erase
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, ...: titles, links
    r"|\x1b[ -/]*[0-~]",  # everything shorter
    re.DOTALL,
)
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # with the bidi overrides and lone surrogates


def printable(text: str) -> str:
    """One printable line: terminal sequences are dropped, line breaks and tabs become a space, the rest `\\ufffd`."""
    text = re.sub(r"\r\n|[\r\n\t\v\f\u2028\u2029]", " ", _ESCAPES.sub("", text))
    return "".join("\ufffd" if unicodedata.category(c) in _UNPRINTABLE else c for c in text)


def readable(summary: Summary) -> Summary:
    """The same summary with every string in it `printable`: the one door through which reports let text in."""
    return Summary.model_validate(_each_string_printable(summary.model_dump()))


def _each_string_printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_each_string_printable(key): _each_string_printable(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_each_string_printable(item) for item in value)
    return value


def word_of(verdict: Verdict | None) -> str:
    """The verdict in a word; `not asked` when there is none."""
    return verdict.value if verdict else NOT_ASKED


def ending_of(summary: Summary) -> str:
    """The one word for the whole run: its verdict, or its outcome where the run did not come to its end."""
    return summary.verdict.value if summary.outcome is outcome_of(summary.verdict) else summary.outcome.value


def tone_of(summary: Summary) -> str:
    """The verdict whose sign and colour the ending wears: what did not come to its end is never a pass."""
    if summary.outcome is outcome_of(summary.verdict):
        return summary.verdict.value
    return worst((summary.verdict, Verdict.INCONCLUSIVE)).value


def support_of(summary: Summary) -> str:
    """What the run says about the plan's controls."""
    if not summary.controls:
        return "The plan names no controls."
    said = (
        "supports these controls" if summary.outcome is Outcome.PASSED else "does not show what these controls ask for"
    )
    return f"This run {said}: {', '.join(summary.controls)}."


def asked(summary: Summary) -> tuple[Finding, ...]:
    """The checks that were judged, the gravest first, otherwise in the drill's order."""
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    return tuple(f for verdict in order for f in summary.findings if f.verdict is verdict)


def unobserved(summary: Summary) -> tuple[Finding, ...]:
    """The checks that could not be judged, since the drill ended before what they need was observed."""
    return tuple(f for f in summary.findings if f.verdict is Verdict.INCONCLUSIVE and f.seen.startswith("not observed"))


def not_asked(summary: Summary) -> tuple[Finding, ...]:
    """The checks for which the plan did not ask."""
    return tuple(f for f in summary.findings if f.verdict is None)


def counts_of(summary: Summary) -> str:
    """How many checks ended how: `1 fail · 12 pass · 3 not asked`."""
    words = [f.word for f in (*asked(summary), *not_asked(summary))]
    return " · ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words)) or "none was judged"


def measured_of(measure: Measure) -> str:
    """The measured quantity in words."""
    return "not measured" if measure.measured is None else format_seconds(measure.measured)


def objective_of(measure: Measure) -> str:
    """The objective in words."""
    return "no objective" if measure.objective is None else f"objective {format_seconds(measure.objective)}"


def moment(at: datetime) -> str:
    """A wall time to the second, with its zone."""
    return f"{at:%Y-%m-%d %H:%M:%S} {at.tzname() or ''}".rstrip()


def elapsed_of(summary: Summary) -> str:
    """From opened to ended, by the wall clock."""
    return format_seconds(max(0.0, (summary.ended_at - summary.opened_at).total_seconds()))


_UNRUN = frozenset({Outcome.MISSED, Outcome.WAIVED})


def span_of(summary: Summary) -> str:
    """How long the run took, or that there was none."""
    return "never started" if summary.outcome in _UNRUN else f"took {elapsed_of(summary)}"


def origin_of(summary: Summary) -> tuple[tuple[str, str], ...]:
    """Label and value: the slot, who asked for the run, who approved it; what the journal does not hold is left out."""
    slot = moment(summary.scheduled_at) if summary.scheduled_at else ""
    asked = "Recorded by" if summary.outcome in _UNRUN else "Asked for by"
    rows = (("Slot", slot), (asked, _asked_by(summary)), ("Approval", summary.approval))
    return tuple((label, value) for label, value in rows if value)


def _asked_by(summary: Summary) -> str:
    if summary.requested_by:
        return f"{summary.requested_by} ({summary.trigger})"
    return f"the {summary.trigger}" if summary.trigger in {"schedule", "watch"} else summary.trigger


def shortened(text: str, length: int) -> str:
    """At most `length` characters, with an ellipsis where something is missing."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
