"""The summary of a run on a terminal: what happened, in ten seconds.

Promises: nothing from the journal is taken as markup or as a terminal sequence; every verdict is a word and a sign
before it is a colour; a pipe, a dumb terminal and an ASCII-only one get the same words; the line that verifies the
bundle stands alone and is never wrapped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from muster.finding import Finding
from muster.quantity import format_seconds
from muster.report import wording
from muster.summary import Phase, Summary
from muster.verdict import Verdict

_MOST_DETAIL = 6
_WIDEST = 120  # longer lines are harder to read, not easier
_LONGEST = 400  # characters of one value; the report has all of it
_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", wording.NOT_ASKED: "dim"}
_BARS = {"recovery": "█", "verification": "▒", "undo": "░"}
_ASCII = str.maketrans(
    {"✓": "+", "✕": "x", "–": "-", "·": "-", "…": "~", "━": "=", "→": ">", "█": "#", "▒": "=", "░": ".", "’": "'"}
)


def render_terminal(summary: Summary, console: Console, *, bundle: str, verify: str) -> None:
    """Print the summary; `bundle` is where the evidence lies, `verify` the command that verifies it."""
    sheet = _Sheet(console, min(console.width, _WIDEST))
    told = wording.readable(summary)
    for part in (_headline, _measures, _phases, _checks):
        part(sheet, told)
        sheet.gap()
    _evidence(sheet, told, wording.printable(bundle), wording.printable(verify))


@dataclass(frozen=True)
class _Sheet:
    """A console of a bounded width, in the characters that it can show."""

    console: Console
    width: int

    def text(self, value: str, style: str = "", *, wrap: bool = False) -> Text:
        """A piece of text in characters the console has; what does not wrap is cut where it is put."""
        if self.console.options.ascii_only:
            value = value.translate(_ASCII).encode("ascii", "replace").decode()
        return Text(value, style, no_wrap=not wrap, overflow="fold" if wrap else "crop", end="")

    def fit(self, value: str, cells: int, style: str = "") -> Text:
        """Text in at most so many cells, with an ellipsis where it was cut."""
        if cell_len(value) > cells:
            value = set_cell_size(value, max(0, cells - 1)).rstrip() + "…"
        return self.text(value, style)

    def line(self, *pieces: Text, indent: int = 2) -> None:
        """One line, or one paragraph where its pieces may wrap."""
        whole = Text.assemble(*pieces, overflow="fold")
        self.console.print(Padding(whole, (0, 0, 0, indent)), width=self.width, highlight=False)

    def row(self, cells: Sequence[Text], widths: Sequence[int]) -> None:
        """Cells beside each other, two spaces apart, each in its own width."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        for width in widths:
            grid.add_column(width=width)
        grid.add_row(*cells)
        self.console.print(Padding(grid, (0, 0, 0, 2), expand=False), width=self.width, highlight=False)

    def verbatim(self, value: str, style: str = "") -> None:
        """A line that a person copies: whole, whatever the width."""
        self.console.print(self.text(value, style), soft_wrap=True, highlight=False)

    def gap(self) -> None:
        """An empty line."""
        self.console.print()


def _signed(sheet: _Sheet, word: str) -> Text:
    return sheet.text(f"{wording.MARKS[word]} {word}", _STYLES[word])


def _headline(sheet: _Sheet, run: Summary) -> None:
    tone = wording.tone_of(run)
    style = _STYLES[tone]
    sheet.gap()
    sheet.verbatim("━" * sheet.width, style)
    sheet.line(
        sheet.text(f"{wording.MARKS[tone]} {wording.ending_of(run).upper()}", f"bold {style}"),
        sheet.text(f"  {run.plan}", "bold"),
        sheet.text(f"  {run.kind} drill, {run.environment}, took {wording.elapsed_of(run)}"),
    )
    sheet.line(sheet.text(wording.shortened(run.headline, _LONGEST), wrap=True))
    sheet.verbatim("━" * sheet.width, style)


def _measures(sheet: _Sheet, run: Summary) -> None:
    for measure in run.measures:
        cells = (
            sheet.fit(measure.name, 12, "bold"),
            sheet.text(wording.measured_of(measure), "bold"),
            sheet.text(wording.objective_of(measure)),
            _signed(sheet, wording.word_of(measure.verdict)),
            sheet.fit(measure.note, sheet.width - 69, "dim"),
        )
        sheet.row(cells, (12, 12, 20, 14, sheet.width - 69))


def _phases(sheet: _Sheet, run: Summary) -> None:
    end = max((p.start + p.seconds for p in run.phases), default=0.0)
    if not run.phases:
        sheet.line(sheet.text("No step was started."))
    for lane in dict.fromkeys((*_BARS, *(p.lane for p in run.phases))):
        for first, phase in _firsts(sorted((p for p in run.phases if p.lane == lane), key=lambda p: p.start)):
            _phase(sheet, phase, end, lane if first else "")


def _firsts(phases: Sequence[Phase]) -> Iterator[tuple[bool, Phase]]:
    return ((n == 0, phase) for n, phase in enumerate(phases))


def _phase(sheet: _Sheet, phase: Phase, end: float, heading: str) -> None:
    room = sheet.width - 66
    scale = room / end if end else 0.0
    left = min(int(phase.start * scale), room - 1)
    bar = _BARS.get(phase.lane, "░") * min(max(1, ceil(phase.seconds * scale)), room - left)
    state = "" if phase.state in {"succeeded", "undone"} else phase.state
    style = "red" if state == "failed" else "yellow" if state else "cyan" if phase.lane == "recovery" else "dim"
    cells = (
        sheet.fit(heading, 12, "dim"),
        sheet.fit(phase.name, 24),
        sheet.text(format_seconds(phase.seconds).rjust(9)),
        sheet.text(" " * left + bar, style),
        sheet.fit(state, 9, style),
    )
    sheet.row(cells, (12, 24, 9, room, 9))


def _checks(sheet: _Sheet, run: Summary) -> None:
    sheet.line(sheet.text("Checks  ", "bold"), sheet.text(wording.counts_of(run)))
    findings = wording.asked(run)
    verdict = max((len(f.word) + 2 for f in findings), default=0)
    name = min(24, max((cell_len(f.check) for f in findings), default=0))
    half = (sheet.width - 2 - verdict - name - 8) // 2
    if findings:
        heads = ("", "", "expected", "seen")
        sheet.row([sheet.text(head, "dim") for head in heads], (verdict, name, half, half))
    for finding in findings:
        _check(sheet, finding, (verdict, name, half, half))
    if quiet := wording.not_asked(run):
        names = wording.shortened(", ".join(f.check for f in quiet), _LONGEST)
        sheet.line(sheet.text(f"not asked: {names}", "dim", wrap=True))


def _check(sheet: _Sheet, finding: Finding, widths: tuple[int, int, int, int]) -> None:
    """One line where the check passed; otherwise all that was expected and seen, the advice, the first details."""
    _, name, half, _ = widths
    values = (finding.expected, finding.seen)
    if finding.verdict is Verdict.PASS:
        cells = [sheet.fit(value, half) for value in values]
    else:
        cells = [sheet.text(wording.shortened(value, _LONGEST), wrap=True) for value in values]
    sheet.row((_signed(sheet, finding.word), sheet.fit(finding.check, name, "bold"), *cells), widths)
    if finding.advice:
        sheet.line(sheet.text(f"→ {wording.shortened(finding.advice, _LONGEST)}", "bold", wrap=True), indent=6)
    for line in finding.detail[:_MOST_DETAIL]:
        sheet.line(sheet.fit(line, sheet.width - 6, "dim"), indent=6)
    if len(finding.detail) > _MOST_DETAIL:
        sheet.line(sheet.text(f"+{len(finding.detail) - _MOST_DETAIL} more in the report", "dim"), indent=6)


def _evidence(sheet: _Sheet, run: Summary, bundle: str, verify: str) -> None:
    sheet.line(sheet.text(wording.shortened(wording.support_of(run), _LONGEST), wrap=True))
    sheet.line(sheet.text(f"Last proven: {wording.shortened(run.last_proven, _LONGEST)}", "dim", wrap=True))
    sheet.line(sheet.text("Evidence:"))
    sheet.verbatim(bundle)
    sheet.line(sheet.text("Verify it, with nothing but the bundle and the key:"))
    sheet.verbatim(verify, "bold")
