"""Options that several commands share, and the settings they all read."""

from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Who = Annotated[str, typer.Option("--as", metavar="NAME", help="Who asks; default: the user of this process.")]
PlanName = Annotated[str, typer.Argument(metavar="PLAN", help="A plan in deployments/, by name or path.")]


def settings() -> Any:
    """The settings of this installation; read when a command runs, since importing them costs time."""
    from muster.settings import Settings

    return Settings.from_environment()
