"""The `muster` command: what it can do, and where each command is carried out.

Promises: every command imports only what it needs, when it runs; every error is one clear message with the next move;
exit codes are those of `muster.verdict.ExitCode`.
"""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from evidence.errors import EvidenceError
from muster import __version__
from muster.cli.evidence import app as evidence_app
from muster.cli.interrupts import Interrupts
from muster.cli.options import AsJson, PlanName, Who, settings
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
app.add_typer(undo_app, name="undo")
app.add_typer(evidence_app, name="evidence")
notify_app = typer.Typer(help="Where notifications go.", no_args_is_help=True)
app.add_typer(notify_app, name="notify")


class Away(StrEnum):
    """What a job does without the ledger: the values of `muster.guard.WhenAway`, which costs more to import."""

    RUN = "run"
    WAIT = "wait"


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
    compare: Annotated[
        list[str] | None, typer.Option(metavar="SETTINGS", help="Named settings of a Spark plan, to run in turn.")
    ] = None,
    shadow_only: Annotated[
        bool, typer.Option("--shadow-only", help="Of a cutover: touch nothing, and tell what would be missed.")
    ] = False,
    who: Who = "",
    as_json: AsJson = False,
) -> int:
    """Run a plan's drill now, watch it, and read its summary."""
    from muster.cli.run import Options, run

    compared = tuple(compare or ())
    options = Options(plan, reason, up, here, inject_error, inject_kill, compared, who, as_json, shadow_only)
    return run(settings(), options)


@app.command()
def up(
    scale: Annotated[int | None, typer.Option(help="Orders in the demo shop; default about 30 MB of data.")] = None,
    schedulers: Annotated[
        bool, typer.Option("--schedulers", help="Blue and green too, two more Prefect servers for cutover drills.")
    ] = False,
) -> int:
    """Keep the embedded estate in the foreground until Ctrl-C: Prefect and its UI, worker, database, object store."""
    from muster.cli.up import EVERY_PART, USUAL_PARTS, up

    return up(settings(), scale=scale, parts=EVERY_PART if schedulers else USUAL_PARTS)


@app.command()
def doctor(as_json: AsJson = False) -> int:
    """Look at the machine, tools, disk, keys and plans: each is ok, or says what to do."""
    from muster.cli.doctor import doctor

    return doctor(settings(), as_json=as_json)


@app.command()
def prove(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="The kind of drill, such as restore.")],
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only these faults or forms.")] = None,
    as_json: AsJson = False,
) -> int:
    """Run a drill against planted faults that it must catch, and healthy forms that must pass."""
    from muster.cli.prove import prove

    return prove(settings(), kind, only, as_json=as_json)


@app.command()
def status(
    plan: Annotated[str | None, typer.Argument(metavar="[PLAN]", help="One plan, with its trend.")] = None,
    history: Annotated[bool, typer.Option("--history", help="With PLAN: its runs, newest first.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every plan, however many there are.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show where every plan stands against its cadence, what is due next, and why."""
    from muster.cli.status import Options, status

    return status(settings(), Options(plan, history, everything, as_json))


@app.command()
def ready(
    plan: Annotated[str | None, typer.Argument(metavar="[PLAN]", help="One plan; default: all with a look.")] = None,
    who: Who = "",
    as_json: AsJson = False,
) -> int:
    """Look at targets now, harmlessly: is each ready for its drill, or the real thing? It proves nothing."""
    from muster.cli.ready import ready

    return ready(settings(), plan, who=who, as_json=as_json)


@app.command()
def calendar(
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write here; default: standard output.")] = None,
    days: Annotated[int, typer.Option(min=1, max=1830, help="How far ahead.")] = 366,
) -> int:
    """Write the due times of every plan as an iCalendar feed."""
    from muster.cli.calendar import calendar

    return calendar(settings(), output, days)


@app.command()
def deck(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Markdown file whose section to renew.")] = None,
    source: Annotated[Path | None, typer.Option(help="Draw this deck (JSON) instead of asking the ledger.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="The deck as JSON.")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="As JUnit XML, for any CI.")] = None,
    badges: Annotated[Path | None, typer.Option(metavar="DIR", help="SVG badges, one a plan and one of all.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="One page with plots.")] = None,
    github: Annotated[bool, typer.Option(help="GitHub step summary and annotations.")] = False,
    gitlab: Annotated[Path | None, typer.Option(metavar="FILE", help="GitLab code quality report.")] = None,
    comment: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Body of a pull request comment that is edited in place.")
    ] = None,
) -> int:
    """Write the health deck: every plan's last pass, age, state, RTO and RPO, and link to evidence."""
    from muster.cli.deck import Options, deck

    return deck(settings(), Options(file, source, json_file, junit, badges, html, github, gitlab, comment))


@app.command()
def gate(
    policy: Annotated[Path, typer.Option(help="What blocks and what warns.")] = Path("deployments/gate.yaml"),
    source: Annotated[Path | None, typer.Option(help="A deck as JSON, where the ledger cannot be reached.")] = None,
    as_json: AsJson = False,
) -> int:
    """Decide whether a release may go on: says why not, who owns it, and what to run."""
    from muster.cli.gate import gate

    return gate(settings(), policy, source, as_json=as_json)


@app.command()
def account(
    start: Annotated[bool, typer.Option("--start", help="Also start slots that are due and did not start.")] = False,
    as_json: AsJson = False,
) -> int:
    """Account for every slot up to now: the missed and the waived get their sealed record."""
    from muster.cli.account import account

    return account(settings(), start=start, as_json=as_json)


@app.command()
def tick(
    schedule: Annotated[str, typer.Argument(metavar="SCHEDULE", help="Its name, the same in every scheduler.")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND ...]", help="What to start when the tick is granted.")
    ] = None,
    at: Annotated[
        str,
        typer.Option(metavar="UTC", help="When it was due; `minute`: the minute that is passing; else MUSTER_TICK."),
    ] = "",
    holder: Annotated[str, typer.Option(metavar="NAME", help="The scheduler that asks; else MUSTER_HOLDER.")] = "",
    epoch: Annotated[int | None, typer.Option(help="An epoch of the holder's; default: its newest.")] = None,
    when_away: Annotated[
        Away | None,
        typer.Option(
            help="Without the ledger: `wait`, then be refused, or `run`, perhaps twice. Else MUSTER_WHEN_AWAY, `wait`."
        ),
    ] = None,
    patience: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="To ask a ledger that is away; default 60, or 5 to run."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Claim a tick before a job works: 0 granted, 4 refused. A doubled tick runs once, a fenced scheduler not."""
    from muster.cli.tick import Options, tick

    away = when_away.value if when_away else ""
    options = Options(schedule, at, holder, epoch, away, patience, tuple(command or ()), as_json)
    return tick(settings(), options)


@app.command()
def watch(
    once: Annotated[bool, typer.Option("--once", help="One round, as for cron.")] = False,
    every: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Time between rounds.")] = 60,
) -> int:
    """Watch cadence from outside the scheduler: account for slots, tell people, and be heard from."""
    from muster.cli.watch import watch

    return watch(settings(), once=once, every=every)


@app.command()
def notary(
    once: Annotated[bool, typer.Option("--once", help="One round, as for cron.")] = False,
    every: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Time between rounds.")] = 300,
    as_json: AsJson = False,
) -> int:
    """Enter what runners handed in, and have time-stamp authorities and witnesses vouch for the log."""
    from muster.cli.notary import notary

    return notary(settings(), once=once, every=every, as_json=as_json)


@app.command()
def witness(
    state: Annotated[Path, typer.Option(metavar="DIR", help="Its key, and the last head it saw of each log.")],
    name: Annotated[str, typer.Option(help="Such as example.org/witness.")],
    log: Annotated[list[str], typer.Option(metavar="VKEY", help="A log's key, as `evidence key --log` prints it.")],
    address: Annotated[str, typer.Option(metavar="HOST:PORT")] = "127.0.0.1:8470",
) -> int:
    """Watch that logs of others have one history, and cosign their heads. Run it where their writers have no rights."""
    from muster.cli.witness import witness

    return witness(state, name, log, address)


@app.command("stop-all")
def stop_all(
    reason: Annotated[str, typer.Option(help="Why; everyone who is stopped by it reads it.")],
    resume: Annotated[bool, typer.Option("--resume", help="Let drills run again.")] = False,
    who: Who = "",
    as_json: AsJson = False,
) -> int:
    """Throw the kill switch: running drills stop and are undone, no other starts until `--resume`."""
    from muster.cli.stop_all import stop_all

    return stop_all(settings(), reason, resume=resume, who=who, as_json=as_json)


@app.command()
def approve(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run that waits for approval, or its plan.")],
    deny: Annotated[bool, typer.Option("--deny", help="Say no: the run is refused.")] = False,
    note: Annotated[str, typer.Option(help="Goes into the evidence.")] = "",
    who: Who = "",
    as_json: AsJson = False,
) -> int:
    """Let a run that waits for approval go on. The approver is not the one who started it."""
    from muster.cli.approve import approve

    return approve(settings(), run, deny=deny, note=note, who=who, as_json=as_json)


@app.command()
def render(
    check: Annotated[bool, typer.Option("--check", help="Only say whether the file is what the plans say.")] = False,
    output: Annotated[Path, typer.Option(metavar="FILE")] = Path("prefect.yaml"),
) -> int:
    """Write prefect.yaml from the plans: deployments, schedules, parameters, limits."""
    from muster.cli.render import render

    return render(settings(), output, check=check)


@notify_app.command("test")
def notify_test(
    route: Annotated[str | None, typer.Argument(metavar="[ROUTE]", help="One route; default: every one.")] = None,
    as_json: AsJson = False,
) -> int:
    """Send a test message through the routes in deployments/routes.yaml; one that refuses is named."""
    from muster.cli.notify import notify_test

    return notify_test(settings(), route, as_json=as_json)


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A sealed bundle or package, .tar.gz.")],
    key: Annotated[Path | None, typer.Option(help="The pinned public key; default: this installation's.")] = None,
    proof: Annotated[Path | None, typer.Option(help="The bundle's .tlog-proof: is it in the log?")] = None,
    keyring: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Key statements: later keys, and revoked ones.")
    ] = None,
    receipt: Annotated[Path | None, typer.Option(help="The bundle's receipt: did the store hold it?")] = None,
    before: Annotated[
        Path | None, typer.Option(metavar="PACKAGE", help="An older package of the same log: written anew since?")
    ] = None,
    linked: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where bundles lie that the package only links to.")
    ] = None,
    tsa_cert: Annotated[list[Path] | None, typer.Option(help="A certificate of a time-stamp authority.")] = None,
    witness: Annotated[list[str] | None, typer.Option(metavar="VKEY", help="The key of a witness.")] = None,
    head: Annotated[list[Path] | None, typer.Option(help="A head of the log that was kept: is it still so?")] = None,
    as_json: AsJson = False,
) -> int:
    """Check a sealed bundle or package offline, by a pinned key."""
    from muster.cli.verify import Beside, verify

    lists = (tuple(tsa_cert or ()), tuple(witness or ()), tuple(head or ()))
    beside = Beside(proof, keyring, receipt, before, linked, *lists)
    return verify(bundle, key or settings().pinned_key_file, beside, as_json=as_json)


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

    return reference(settings(), plan, dsn_env, output, point, catalog)


@undo_app.command("list")
def undo_list(as_json: AsJson = False) -> int:
    """List the runs that are not finished, and the steps that are not undone."""
    from muster.cli.undo import list_undos

    return list_undos(settings(), as_json=as_json)


@undo_app.command("run")
def undo_run(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="One run; default: every run whose process died.")
    ] = None,
    gone: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="A part of its target that is lost for good (cutover: a or b); repeatable."),
    ] = None,
) -> int:
    """Undo, judge and seal what dead runs left."""
    from muster.cli.undo import run_undos

    return run_undos(settings(), run, gone or ())


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"muster {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Resilience drills on a schedule, with proof."""


# Typer gives a wrong command line its own exit code 2, which means `inconclusive` here.
_WRONG_USAGE: Any = typer.BadParameter.__base__
_INTERRUPTED = 130  # what Typer makes of a Ctrl-C that reaches it


def main() -> None:
    """Run the command line and exit with its code, whatever more is signalled while it is on its way out."""
    try:
        code = invoke(sys.argv[1:])
    except KeyboardInterrupt:  # a second one, while the first was told
        code = ExitCode.ABORTED
    Interrupts().ignore()
    sys.exit(code)


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
    except BrokenPipeError:  # whoever read our output has gone: `muster status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.INTERNAL
    except OSError as error:
        where = f"{error.filename} cannot be used: " if error.filename else ""
        typer.echo(
            f"muster: {where}{error.strerror or error}\n  -> look at the path, its rights, and the disk", err=True
        )
        return ExitCode.INTERNAL
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("muster: interrupted\n  -> `muster undo list` shows what is left, if anything", err=True)
        return ExitCode.ABORTED
