"""The Markdown report of a run, for the bundle and for the Prefect artifact.

Promises: the same summary always gives the same text; it is GitHub-flavoured; nothing from the journal can become
a web link, HTML, an emphasis, a table cell or a block of its own.
"""

import re
from collections.abc import Iterable, Sequence

from muster.finding import Finding
from muster.quantity import format_seconds
from muster.report import activity, costs, ticklines, wording
from muster.report.traffic import words_of
from muster.summary import Summary

_MOST_DETAIL = 40
_LEGEND = (
    f"All laps on one axis; the higher, the more of an executor's cores at work; {activity.LOST} work that was lost,"
    f" {activity.IDLE} nothing to do."
)
_TICKS_LEGEND = (
    f"Both sides on one axis; the higher, the more ticks started; {ticklines.IDLE} no tick though the schedules were"
    f" its own; {ticklines.WRONG} missed, doubled, or started by the wrong side."
)
_ESCAPED = str.maketrans({c: f"\\{c}" for c in "\\`*_[]|~$"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_BARE_LINK = re.compile(r"(?i)(https?|ftp|www)([:.])")  # what a renderer would make a web link by itself


def render_markdown(summary: Summary) -> str:
    """The report as GitHub-flavoured Markdown."""
    told = wording.readable(summary)
    parts = (
        _head(told),
        _measures(told),
        _traffic(told),
        _activity(told),
        _ticks(told),
        _phases(told),
        _checks(told),
        _costs(told),
        _advice(told),
        _facts(told),
        _foot(told),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(run: Summary) -> str:
    sign, ending = wording.MARKS[wording.tone_of(run)], wording.ending_of(run).capitalize()
    title = f"# {sign} {ending}: {escaped(run.kind)} drill {escaped(run.plan)}"
    return f"{title}\n\n**{escaped(run.headline)}**\n\n{escaped(wording.support_of(run))}"


def _measures(run: Summary) -> str:
    rows = (
        (
            m.name,
            wording.measured_of(m),
            wording.objective_of(m).removeprefix("objective "),
            _signed(wording.word_of(m.verdict)),
            m.note,
        )
        for m in run.measures
    )
    return _table("## Measured against the objectives", ("", "measured", "objective", "verdict", "note"), rows)


def _traffic(run: Summary) -> str:
    return f"## What clients saw\n\n{escaped(words_of(run.traffic))}" if run.traffic else ""


def _activity(run: Summary) -> str:
    if run.activity is None:
        return ""
    lines = _fenced(activity.text_of(run.activity), "text")
    return f"## Tasks over time\n\n{escaped(activity.words_of(run.activity))}\n\n{lines}\n\n{escaped(_LEGEND)}"


def _ticks(run: Summary) -> str:
    if run.ticks is None:
        return ""
    told = f"{ticklines.words_of(run.ticks)} {ticklines.since_of(run.ticks)}"
    lines = _fenced(ticklines.text_of(run.ticks), "text")
    return f"## Ticks\n\n{escaped(told)}\n\n{lines}\n\n{escaped(_TICKS_LEGEND)}"


def _phases(run: Summary) -> str:
    rows = (
        (p.lane, p.name, format_seconds(p.start), format_seconds(p.seconds), p.state)
        for p in sorted(run.phases, key=lambda p: p.start)
    )
    return _table("## Phases", ("lane", "phase", "start", "took", "ended"), rows)


def _checks(run: Summary) -> str:
    rows = ((_signed(f.word), f.check, f.expected, f.seen) for f in wording.asked(run))
    parts = [
        _table(f"## Checks\n\n{wording.counts_of(run)}", ("verdict", "check", "expected", "seen"), rows),
        *(_more(f) for f in wording.asked(run) if f.advice or f.detail),
    ]
    if quiet := wording.not_asked(run):
        parts.append(f"Not asked for by the plan: {escaped(', '.join(f.check for f in quiet))}.")
    return "\n\n".join(part for part in parts if part)


def _more(finding: Finding) -> str:
    told = f"### {escaped(finding.check)}"
    if finding.advice:
        told += f"\n\nNext: {escaped(finding.advice)}"
    if finding.detail:
        told += f"\n\n{_fenced(finding.detail)}"
    return told


def _costs(run: Summary) -> str:
    if run.costs is None:
        return ""
    heads = ("", *(escaped(costs.head_of(column)) for column in run.costs.columns))
    rows = ((row.name, *(costs.words_of(amount, row.unit) for amount in row.amounts)) for row in run.costs.rows)
    return _table(f"## What it cost\n\n{escaped(costs.caption_of(run.costs))}", heads, rows)


def _advice(run: Summary) -> str:
    points = "\n".join(f"- {escaped(each.seen)} → {escaped(each.advice)}" for each in run.advice)
    return f"## What would have made it cheaper\n\n{points}" if points else ""


def _facts(run: Summary) -> str:
    rows = (
        *run.facts,
        ("Target", run.target),
        ("Environment", run.environment),
        ("Owner", run.owner),
        *wording.origin_of(run),
        ("Reason", run.reason),
        ("Opened", wording.moment(run.opened_at)),
        ("Ended", f"{wording.moment(run.ended_at)}, {wording.span_of(run)}"),
        ("Outcome", f"{run.outcome.value}, verdict {run.verdict.value}"),
        *((("Readiness before", run.last_look),) if run.last_look else ()),
        ("Last proven", run.last_proven),
        ("Plan SHA-256", run.plan_digest),
        ("Run", run.run),
    )
    return _table("## Facts", ("", ""), rows)


def _foot(run: Summary) -> str:
    return (
        f"Written by Muster {escaped(run.muster_version)} from the run's journal. The journal is the record; this page"
        " is one reading of it."
    )


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table under its title; nothing at all when there are no rows."""
    lines = [f"| {' | '.join(map(escaped, row))} |" for row in rows]
    head = (f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}")
    return "\n".join((f"{title}\n", *head, *lines)) if lines else ""


def _fenced(lines: Sequence[str], kind: str = "diff") -> str:
    """A block of lines as they are, in a fence longer than any run of backticks within."""
    shown = list(lines[:_MOST_DETAIL])
    longest = max((len(ticks) for line in shown for ticks in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    if len(lines) > _MOST_DETAIL:
        shown.append(f"+{len(lines) - _MOST_DETAIL} more in the HTML report")
    return "\n".join((f"{fence}{kind}", *shown, fence))


def _signed(word: str) -> str:
    return f"{wording.MARKS[word]} {word}"


def escaped(value: str) -> str:
    """Text that stays text, wherever it stands in a line."""
    return _BARE_LINK.sub(lambda m: f"{m[1]}&#{ord(m[2])};", value.strip().translate(_ESCAPED))
