"""`muster deck`: the health deck in every form that was asked for, all of one reading.

Promises: every form shows the same moment; the Markdown page comes first, so that a page that cannot be renewed leaves
the rest unwritten; a deck is no gate, its exit code is 0 whatever it shows.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from muster.deck.files import append, renew_file, write_form
from muster.deck.markdown import render_markdown
from muster.deck.model import Deck
from muster.deck.section import renew
from muster.errors import UsageError
from muster.settings import Settings
from muster.verdict import ExitCode


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line; nothing at all asks for the deck in the terminal."""

    file: Path | None = None
    source: Path | None = None
    json_file: Path | None = None
    junit: Path | None = None
    badges: Path | None = None
    html: Path | None = None
    github: bool = False
    gitlab: Path | None = None
    comment: Path | None = None


def deck(settings: Settings, options: Options) -> int:
    """Read the deck, or take it from `source`, and write every form asked for."""
    summary = _summary_file() if options.github else None
    drawn = _from_file(options.source) if options.source else _from_ledger(settings)
    if options == Options(source=options.source):
        _show(drawn)
        return ExitCode.PASS
    if options.file:
        body = render_markdown(drawn)
        _tell(options.file, renew_file(options.file, lambda old: renew(old, body, str(options.file))))
    for path, render in _forms(options):
        if path is not None:
            _tell(path, write_form(path, render(drawn)))
    if options.badges:
        _write_badges(drawn, options.badges)
    if summary:
        _to_github(drawn, summary)
    return ExitCode.PASS


def _forms(options: Options) -> tuple[tuple[Path | None, Callable[[Deck], str]], ...]:
    return (
        (options.json_file, _json),
        (options.junit, _junit),
        (options.html, _html),
        (options.gitlab, _gitlab),
        (options.comment, _comment),
    )


def _json(drawn: Deck) -> str:
    from muster.deck.jsonform import write_json

    return write_json(drawn)


def _junit(drawn: Deck) -> str:
    from muster.deck.junit import render_junit

    return render_junit(drawn)


def _html(drawn: Deck) -> str:
    from muster.deck.html import render_html

    return render_html(drawn)


def _gitlab(drawn: Deck) -> str:
    from muster.deck.gitlab import render_code_quality

    return render_code_quality(drawn)


def _comment(drawn: Deck) -> str:
    from muster.deck.comment import render_comment

    return render_comment(drawn)


def _from_ledger(settings: Settings) -> Deck:
    from muster.deck.reading import read_deck

    return read_deck(settings)


def _from_file(path: Path) -> Deck:
    from muster.deck.jsonform import read_json

    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "write one by `muster deck --json FILE`") from None
    return read_json(content)


def _show(drawn: Deck) -> None:
    """Rich where a person looks; the bare Markdown into a pipe, which Rich would cut to a width."""
    if not sys.stdout.isatty():
        print(render_markdown(drawn), end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    # as an entity a line feed gets through Markdown's table to Rich, which leaves HTML out
    Console().print(Markdown(render_markdown(drawn, line_break="&#10;", to_the_minute=True)))


def _write_badges(drawn: Deck, folder: Path) -> None:
    from muster.deck.badges import MARK, PLANS, render_badges

    drawings = (folder / PLANS).glob("*.svg")
    known = [path.stem for path in drawings if MARK in path.read_text(encoding="utf-8", errors="replace")]
    changed = [write_form(folder / name, svg) for name, svg in render_badges(drawn, known).items()]
    _tell(folder, any(changed))


def _summary_file() -> Path:
    from muster.deck.github import summary_file

    return summary_file(os.environ)


def _to_github(drawn: Deck, summary: Path) -> None:
    from muster.deck.github import annotations, step_summary

    append(summary, step_summary(drawn))
    for line in annotations(drawn):
        print(line)


def _tell(path: Path, changed: bool) -> None:
    """On standard error: standard output may be one of the forms."""
    print(f"deck: {path} {'written' if changed else 'is as it was'}", file=sys.stderr)
