"""The deck for GitHub Actions: a step summary, and annotations that stand on the run's page.

Promises: nothing from a plan can end a workflow command or begin another; what is cut for GitHub's limits is counted.
Source: "Workflow commands for GitHub Actions" (docs.github.com): 1 MiB a step summary; 10 annotations of each level a
step are shown, the others are dropped in silence; escapes as in actions/toolkit `packages/core/src/command.ts`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from muster.deck.markdown import render_markdown
from muster.deck.model import Deck
from muster.deck.problems import Problem, problems_of
from muster.errors import UsageError

SUMMARY = "GITHUB_STEP_SUMMARY"
_ROOM = 1_000_000
_SHOWN = 10
_DATA = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))
_PROPERTY = (*_DATA, (":", "%3A"), (",", "%2C"))


def summary_file(environment: Mapping[str, str]) -> Path:
    """Where a step's summary goes; `UsageError` outside GitHub Actions."""
    if not environment.get(SUMMARY):
        raise UsageError(f"--github needs ${SUMMARY}, which GitHub Actions sets", "elsewhere use the other forms")
    return Path(environment[SUMMARY])


def step_summary(deck: Deck) -> str:
    """What is appended to the step's summary."""
    return f"## Resilience drills\n\n{render_markdown(deck, room=_ROOM, to_the_minute=True)}"


def annotations(deck: Deck) -> Iterator[str]:
    """Workflow commands, one a line: errors for broken promises, warnings for what is not shown."""
    problems = problems_of(deck)
    for level, is_urgent in (("error", True), ("warning", False)):
        yield from _level(level, [p for p in problems if p.is_urgent is is_urgent])


def _level(level: str, problems: list[Problem]) -> Iterator[str]:
    shown = problems if len(problems) <= _SHOWN else problems[: _SHOWN - 1]
    for problem in shown:
        yield _command(level, f"{problem.subject}: {problem.condition}", problem.words, problem.path)
    if rest := problems[len(shown) :]:
        yield _command(level, f"{len(rest):,} more drills", "the step summary lists them: " + _names(rest), "")


def _names(problems: list[Problem]) -> str:
    names = [problem.subject for problem in problems[:20]]
    return ", ".join(names) + (", ..." if len(problems) > len(names) else "")


def _command(level: str, title: str, words: str, path: str) -> str:
    properties = {"title": title} | ({"file": path} if path else {})
    told = ",".join(f"{name}={_escaped(value, _PROPERTY)}" for name, value in properties.items())
    return f"::{level} {told}::{_escaped(words, _DATA)}"


def _escaped(value: str, table: tuple[tuple[str, str], ...]) -> str:
    for character, code in table:
        value = value.replace(character, code)
    return value
