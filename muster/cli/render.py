"""`muster render`: prefect.yaml, written from the plans or held against them.

Promise: the file is replaced in one step, or left as it is.
"""

import difflib
from itertools import islice
from pathlib import Path

import typer

from muster.errors import UsageError
from muster.plan import load_plans
from muster.prefectfile import prefect_file
from muster.settings import Settings
from muster.verdict import ExitCode

_MOST_LINES = 40


def render(settings: Settings, output: Path, *, check: bool) -> int:
    """Write the file; with `check`, only say whether it is what the plans say (1 when it is not)."""
    wanted = prefect_file(load_plans(settings.plans))
    if check:
        return _check(output, wanted)
    if _read(output) != wanted:
        _replace(output, wanted)
        typer.echo(f"{output}: written from {settings.plans}; `prefect deploy --all` deploys it")
    else:
        typer.echo(f"{output}: as the plans say")
    return ExitCode.PASS


def _check(output: Path, wanted: str) -> int:
    found = _read(output)
    if found == wanted:
        typer.echo(f"{output}: as the plans say")
        return ExitCode.PASS
    told = difflib.unified_diff(found.splitlines(), wanted.splitlines(), str(output), "the plans", lineterm="", n=1)
    typer.echo("\n".join(islice(told, _MOST_LINES)))
    typer.echo(f"{output} is not what the plans say\n  -> edit the plans, then run `muster render`", err=True)
    return ExitCode.FAIL


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "check the file and its permissions") from None


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}", "check the folder and its permissions") from None
