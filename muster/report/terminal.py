"""The summary of a run on a terminal: what happened, in ten seconds.

Promises: nothing from the journal is taken as markup or as a terminal sequence; every verdict is a word and a sign
before it is a colour; a pipe, a dumb terminal and an ASCII-only one get the same words; the line that verifies the
bundle stands alone and is never wrapped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from muster.finding import Finding
from muster.quantity import format_seconds
from muster.report import ticklines, wording
from muster.report.activity import lap_lines, title_of
from muster.summary import Phase, Summary

_MOST_DETAIL = 6
_MOST_ADVICE = 3
_WIDEST = 120  # longer lines are harder to read, not easier
_NARROWEST = 40
_LONGEST = 400  # characters of one value; the report has all of it
_LONGEST_NAME = 24
_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", wording.NOT_ASKED: "dim"}
_BARS = {"load": "·", "recovery": "█", "verification": "▒", "undo": "░"}
_ASCII = str.maketrans("✓✕–·…━→↓↑▁▂▃▄▅▆▇█▒░’", "+x--~=>v^...::||#=.'")


def render_terminal(summary: Summary, console: Console, *, bundle: str, verify: str) -> None:
    """Print the summary; `bundle` is where the evidence lies, `verify` the command that verifies it."""
    sheet = _Sheet(console, max(_NARROWEST, min(console.width, _WIDEST)))
    told = wording.readable(summary)
    pictures = [*([_laps] if told.activity else []), *([_ticks] if told.ticks else [])]
    for part in (_headline, _measures, _phases, *pictures, _checks, *([_advice] if told.advice else [])):
        part(sheet, told)
        sheet.verbatim("")
    _evidence(sheet, told, wording.printable(bundle), wording.printable(verify))


@dataclass(frozen=True)
class _Sheet:
    """A console of a bounded width, in the characters that it can show."""

    console: Console
    width: int

    def text(self, value: str, style: str = "") -> Text:
        """A piece of text, shortened where it is a flood."""
        return Text(self._shown(wording.shortened(value, _LONGEST)), style)

    def fit(self, value: str, cells: int, style: str = "") -> Text:
        """Text in at most so many cells, with an ellipsis where it was cut."""
        if cell_len(value) > cells:
            value = set_cell_size(value, max(0, cells - 1)).rstrip() + "…"
        return self.text(value, style)

    def line(self, *pieces: Text, lead: Text | None = None, indent: int = 2) -> None:
        """A paragraph, wrapped to the width beside its lead."""
        margin = Text(" " * indent) + (lead or Text())
        for part in Text.assemble(*pieces).wrap(self.console, self.width - margin.cell_len, overflow="fold"):
            self._put(margin + part)
            margin = Text(" " * margin.cell_len)

    def row(self, cells: Sequence[Text], widths: Sequence[int]) -> None:
        """Cells that fit, beside each other, two spaces apart; a column without width is left out."""
        whole = Text("  ")
        for cell, width in zip(cells, widths, strict=True):
            if width:
                whole += cell + Text(" " * (width - cell.cell_len + 2))
        self._put(whole)

    def verbatim(self, value: str, style: str = "") -> None:
        """A line that a person copies: whole, whatever the width."""
        self._put(Text(self._shown(value), style))

    def _shown(self, value: str) -> str:
        if self.console.options.ascii_only:
            return value.translate(_ASCII).encode("ascii", "replace").decode()
        return value

    def _put(self, line: Text) -> None:
        line.rstrip()
        self.console.print(line, soft_wrap=True, highlight=False)


def _widths(rows: Sequence[Sequence[Text]]) -> list[int]:
    return [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]


def _signed(sheet: _Sheet, word: str) -> Text:
    return sheet.text(f"{wording.MARKS[word]} {word}", _STYLES[word])


def _headline(sheet: _Sheet, run: Summary) -> None:
    tone = wording.tone_of(run)
    style = _STYLES[tone]
    sheet.verbatim("")
    sheet.verbatim("━" * sheet.width, style)
    sheet.line(
        sheet.text(f"{wording.MARKS[tone]} {wording.ending_of(run).upper()}", f"bold {style}"),
        sheet.text(f"  {run.plan}", "bold"),
        sheet.text(f"  {run.kind} drill, {run.environment}, {wording.span_of(run)}"),
    )
    sheet.line(sheet.text(run.headline))
    if origin := " · ".join(_plain(label, value) for label, value in wording.origin_of(run)):
        sheet.line(sheet.text(origin, "dim"))
    sheet.verbatim("━" * sheet.width, style)


def _plain(label: str, value: str) -> str:
    """`slot 03:00`, but `approved by bob`: the value says it already."""
    return value if label == "Approval" else f"{label.lower()} {value}"


def _measures(sheet: _Sheet, run: Summary) -> None:
    rows = [
        (
            sheet.fit(measure.name, _LONGEST_NAME, "bold"),
            sheet.text(wording.measured_of(measure), "bold"),
            sheet.text(wording.objective_of(measure)),
            _signed(sheet, wording.word_of(measure.verdict)),
        )
        for measure in run.measures
    ]
    widths = _widths(rows)
    room = max(0, sheet.width - 2 - sum(width + 2 for width in widths))
    for measure, row in zip(run.measures, rows, strict=True):
        # A number without its conditions misleads: a note that does not fit beside it stands below, whole.
        fits = cell_len(measure.note) <= room
        sheet.row((*row, sheet.text(measure.note if fits else "", "dim")), (*widths, room))
        if not fits:
            sheet.line(sheet.text(measure.note, "dim"), indent=4)


def _phases(sheet: _Sheet, run: Summary) -> None:
    if not run.phases:
        sheet.line(sheet.text("No step was started."))
        return
    lanes = list(dict.fromkeys((*_BARS, *(p.lane for p in run.phases))))
    phases = sorted(run.phases, key=lambda p: (lanes.index(p.lane), p.start))
    before = ("", *(p.lane for p in phases))
    rows = [_phase(sheet, p, "" if p.lane == last else p.lane) for p, last in zip(phases, before, strict=False)]
    widths = _widths(rows)
    room = max(8, sheet.width - 4 - sum(width + 2 for width in widths if width))
    scale = room / (max(p.start + p.seconds for p in phases) or 1)
    for phase, row in zip(phases, rows, strict=True):
        sheet.row((*row, _bar(sheet, phase, scale, room)), (*widths, room))


def _phase(sheet: _Sheet, phase: Phase, heading: str) -> tuple[Text, ...]:
    state = "" if phase.state in {"succeeded", "undone"} else phase.state
    return (
        sheet.fit(heading, 12, "dim"),
        sheet.fit(phase.name, _LONGEST_NAME),
        sheet.text(format_seconds(phase.seconds).rjust(9)),
        sheet.fit(state, 10, _style_of(phase)),
    )


def _style_of(phase: Phase) -> str:
    ended = {"failed": "bold red", "succeeded": "cyan" if phase.lane == "recovery" else "", "undone": "dim"}
    return ended.get(phase.state, "yellow")


def _bar(sheet: _Sheet, phase: Phase, scale: float, room: int) -> Text:
    left = min(int(phase.start * scale), room - 1)
    length = min(max(1, ceil(phase.seconds * scale)), room - left)
    return sheet.text(" " * left + _BARS.get(phase.lane, "░") * length, _style_of(phase))


def _laps(sheet: _Sheet, run: Summary) -> None:
    """A line for each lap that is shown: how many cores were at work, and where work was lost, on one axis."""
    if run.activity is None:
        return
    heads = [sheet.fit(title_of(lap), sheet.width // 2) for lap in run.activity.laps]
    widths = _widths([(head,) for head in heads])
    room = max(8, sheet.width - 4 - widths[0])
    for head, (_, cells) in zip(heads, lap_lines(run.activity, room), strict=True):
        sheet.row((head, sheet.text(cells, "cyan")), (*widths, room))


def _ticks(sheet: _Sheet, run: Summary) -> None:
    """A line for each side: how many ticks it started when, with the watermarks between, and what went wrong below."""
    if run.ticks is None or not run.ticks.sides:
        return
    styles = {"side": "cyan", "marks": "bold", "wrong": "bold red"}
    heads = [sheet.fit(line.name, sheet.width // 2) for line in ticklines.lines_of(run.ticks, 1)]
    widths = _widths([(head,) for head in heads])
    room = max(8, sheet.width - 4 - widths[0])
    for head, line in zip(heads, ticklines.lines_of(run.ticks, room), strict=True):
        sheet.row((head, sheet.text(line.cells, styles[line.kind])), (*widths, room))


def _advice(sheet: _Sheet, run: Summary) -> None:
    sheet.line(sheet.text("What would have made it cheaper", "bold"))
    for each in run.advice[:_MOST_ADVICE]:
        sheet.line(sheet.text(each.seen, "dim"))
        sheet.line(sheet.text(each.advice), lead=sheet.text("→ "), indent=4)
    if len(run.advice) > _MOST_ADVICE:
        sheet.line(sheet.text(f"+{len(run.advice) - _MOST_ADVICE} more in the report", "dim"))


def _checks(sheet: _Sheet, run: Summary) -> None:
    sheet.line(sheet.text("Checks  ", "bold"), sheet.text(wording.counts_of(run)))
    findings = wording.asked(run)
    if findings:
        widths = _check_widths(sheet, findings)
        sheet.row([sheet.text(head, "dim") for head in ("", "", "expected", "seen")], widths)
        together = wording.unobserved(run) if len(wording.unobserved(run)) > 2 else ()
        for finding in findings:
            if finding not in together:
                _check(sheet, finding, widths)
        if together:
            names = sheet.text(f"not observed, so not judged: {', '.join(f.check for f in together)}")
            sheet.line(names, lead=_signed(sheet, "inconclusive") + sheet.text("  "))
    if quiet := wording.not_asked(run):
        sheet.line(sheet.text(f"not asked: {', '.join(f.check for f in quiet)}", "dim"))


def _check_widths(sheet: _Sheet, findings: Sequence[Finding]) -> tuple[int, int, int, int]:
    """Columns for verdict, check, expected and seen; the last two share what is left by what they need."""
    verdict, name, expected, seen = (
        max(map(cell_len, column))
        for column in zip(*((f"✓ {f.word}", f.check, f.expected, f.seen) for f in findings), strict=True)
    )
    name = min(name, _LONGEST_NAME)
    room = max(16, sheet.width - 2 - verdict - name - 6)
    expected = min(expected, max(room // 2, room - seen))
    return verdict, name, expected, room - expected


def _check(sheet: _Sheet, finding: Finding, widths: tuple[int, int, int, int]) -> None:
    """One line; where the check did not pass, also all that does not fit, the advice and the first details."""
    _, name, expected, seen = widths
    head = (_signed(sheet, finding.word), sheet.fit(finding.check, name, "bold"))
    fits = cell_len(finding.expected) <= expected and cell_len(finding.seen) <= seen
    if fits or finding.word == "pass":
        sheet.row((*head, sheet.fit(finding.expected, expected), sheet.fit(finding.seen, seen)), widths)
    else:
        sheet.row((*head, Text(), Text()), widths)
        sheet.line(sheet.text(finding.expected), lead=sheet.text("expected  ", "dim"), indent=6)
        sheet.line(sheet.text(finding.seen), lead=sheet.text("seen      ", "dim"), indent=6)
    if finding.advice:
        sheet.line(sheet.text(finding.advice, "bold"), lead=sheet.text("→ "), indent=6)
    for line in finding.detail[:_MOST_DETAIL]:
        sheet.line(sheet.fit(line, sheet.width - 6, "dim"), indent=6)
    if len(finding.detail) > _MOST_DETAIL:
        sheet.line(sheet.text(f"+{len(finding.detail) - _MOST_DETAIL} more in the report", "dim"), indent=6)


def _evidence(sheet: _Sheet, run: Summary, bundle: str, verify: str) -> None:
    sheet.line(sheet.text(wording.support_of(run)))
    if run.last_look:
        sheet.line(sheet.text(run.last_look, "dim"), lead=sheet.text("Readiness before: ", "dim"))
    sheet.line(sheet.text(run.last_proven, "dim"), lead=sheet.text("Last proven: ", "dim"))
    sheet.line(sheet.text("Evidence:"))
    sheet.verbatim(bundle)
    sheet.line(sheet.text("Verify it, with nothing but the bundle and the key:"))
    sheet.verbatim(verify, "bold")
