"""The `muster` command: what it can do, and where each command is carried out.

Promises: every command imports only what it needs, when it runs; every error is one clear message with the next move;
exit codes are those of `muster.verdict.ExitCode`.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from evidence.errors import EvidenceError
from muster import __version__
from muster.errors import MusterError
from muster.verdict import ExitCode

app = typer.Typer(
    name="muster",
    help="Resilience drills on a schedule, with proof.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
undo_app = typer.Typer(help="What dead runs left behind, and its removal.", no_args_is_help=True)
evidence_app = typer.Typer(help="Sealed evidence and its key.", no_args_is_help=True)
app.add_typer(undo_app, name="undo")
app.add_typer(evidence_app, name="evidence")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
PlanName = Annotated[str, typer.Argument(metavar="PLAN", help="A plan in deployments/, by name or path.")]


@app.command()
def run(
    plan: PlanName,
    reason: Annotated[str, typer.Option(help="Why it is run now; goes into the evidence.")] = "by hand",
    up: Annotated[
        bool, typer.Option("--up", help="Start the embedded estate for this run, and stop it after.")
    ] = False,
    here: Annotated[bool, typer.Option("--here", help="Run in this process, without Prefect.")] = False,
    inject_error: Annotated[str | None, typer.Option(metavar="STEP", help="Let this step fail.")] = None,
    inject_kill: Annotated[str | None, typer.Option(metavar="STEP", help="Die by SIGKILL in this step.")] = None,
    as_json: AsJson = False,
) -> int:
    """Run a plan's drill now, watch it, and read its summary."""
    from muster.cli.run import Options, run

    return run(_settings(), Options(plan, reason, up, here, inject_error, inject_kill, as_json))


@app.command()
def up(
    scale: Annotated[int | None, typer.Option(help="Orders in the demo shop; default about 30 MB of data.")] = None,
) -> int:
    """Keep the embedded estate in the foreground until Ctrl-C: Prefect and its UI, worker, database, object store."""
    from muster.cli.up import up

    return up(_settings(), scale=scale)


@app.command()
def doctor(as_json: AsJson = False) -> int:
    """Look at the machine, tools, disk, keys and plans: each is ok, or says what to do."""
    from muster.cli.doctor import doctor

    return doctor(_settings(), as_json=as_json)


@app.command()
def prove(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="The kind of drill, such as restore.")],
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only these faults or forms.")] = None,
    as_json: AsJson = False,
) -> int:
    """Run a drill against planted faults that it must catch, and healthy forms that must pass."""
    from muster.cli.prove import prove

    return prove(_settings(), kind, only, as_json=as_json)


@app.command()
def status(as_json: AsJson = False) -> int:
    """Show every plan with its last run and last pass."""
    from muster.cli.status import status

    return status(_settings(), as_json=as_json)


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A sealed bundle, .tar.gz.")],
    key: Annotated[Path | None, typer.Option(help="The pinned public key; default: this installation's.")] = None,
    as_json: AsJson = False,
) -> int:
    """Check a sealed bundle offline, by a pinned key."""
    from muster.cli.verify import verify

    return verify(bundle, key or _settings().public_key_file, as_json=as_json)


@app.command()
def reference(
    plan: PlanName,
    dsn_env: Annotated[str, typer.Option(help="Name of the variable that holds the source's DSN.")],
    output: Annotated[Path, typer.Option(help="Folder for the reference file.")],
    point: Annotated[str | None, typer.Option(help="Name of the restore point; default: from the time.")] = None,
    catalog: Annotated[
        Path | None, typer.Option(help="Also write the structure to this file, to be committed.")
    ] = None,
) -> int:
    """Take a reference in the source: fingerprints of every table at a named restore point."""
    from muster.cli.reference import reference

    return reference(_settings(), plan, dsn_env, output, point, catalog)


@undo_app.command("list")
def undo_list(as_json: AsJson = False) -> int:
    """List the runs that are not finished, and the steps that are not undone."""
    from muster.cli.undo import list_undos

    return list_undos(_settings(), as_json=as_json)


@undo_app.command("run")
def undo_run(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="One run; default: every run whose process died.")
    ] = None,
) -> int:
    """Undo, judge and seal what dead runs left."""
    from muster.cli.undo import run_undos

    return run_undos(_settings(), run)


@evidence_app.command("key")
def evidence_key(
    path: Annotated[bool, typer.Option("--path", help="Print only the public key's path.")] = False,
) -> int:
    """Show the public key that verifiers pin; it is made when there is none."""
    from muster.cli.verify import show_key

    return show_key(_settings(), only_path=path)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"muster {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Resilience drills on a schedule, with proof."""


def _settings() -> Any:
    from muster.settings import Settings

    return Settings.from_environment()


# Typer gives a wrong command line its own exit code 2, which means `inconclusive` here.
_WRONG_USAGE: Any = typer.BadParameter.__base__
_INTERRUPTED = 130  # what Typer makes of a Ctrl-C that reaches it


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: list[str]) -> int:
    """Carry out a command line; returns its exit code."""
    try:
        code = int(typer.main.get_command(app).main(arguments, prog_name="muster", standalone_mode=False) or 0)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        return code
    except _WRONG_USAGE as error:
        error.show()
        return ExitCode.USAGE
    except MusterError as error:
        typer.echo(f"muster: {error}", err=True)
        return error.exit_code
    except EvidenceError as error:
        typer.echo(f"muster: {error}", err=True)
        return ExitCode.USAGE
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("muster: interrupted\n  -> `muster undo list` shows what is left, if anything", err=True)
        return ExitCode.ABORTED
