"""`muster run`: start a plan's drill, watch its journal, tell how it ended.

Promises: the drill runs through its Prefect deployment unless `--here`; Ctrl-C undoes and seals, whoever runs it; what
is shown comes from the journal, the record.
"""

import sys
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from muster.cli.actor import actor_of
from muster.cli.interrupts import Interrupts, terminated_as_interrupted
from muster.cli.watching import Watch, shown_progress
from muster.conduct import Conductor
from muster.errors import LeftBehind, UsageError
from muster.journal import EventKind, History
from muster.judging import summarise
from muster.ledger import Ledger, open_ledger
from muster.opening import Request
from muster.plan import Plan, find_plan
from muster.report.terminal import render_terminal
from muster.saga import Injection
from muster.settings import Settings
from muster.turns import turn
from muster.verdict import exit_code_of


@dataclass(frozen=True)
class Options:
    """The command line of `muster run`."""

    plan: str
    reason: str
    up: bool
    here: bool
    inject_error: str | None
    inject_kill: str | None
    compare: tuple[str, ...]
    who: str
    as_json: bool
    shadow_only: bool = False

    @property
    def injection(self) -> Injection | None:
        """The fault to plant in Muster itself."""
        if self.inject_kill:
            return Injection(self.inject_kill, "kill")
        return Injection(self.inject_error) if self.inject_error else None


def run(settings: Settings, options: Options) -> int:
    """Run the plan once; the exit code tells how it ended."""
    from flows.registry import conductor_of, drill_of

    plan = find_plan(settings.plans, options.plan).comparing(options.compare)
    _assert_steps_exist(options, [step.name for step in drill_of(plan.kind).steps])
    if options.shadow_only:
        from muster.cli.shadow import shadow_only

        return shadow_only(settings, plan, as_json=options.as_json)
    console = Console(stderr=options.as_json)
    with ExitStack() as stack:
        interrupts = stack.enter_context(terminated_as_interrupted())
        if options.up:
            from muster.cli.up import estate_up
            from tasks.estate.estate import parts_for

            stack.enter_context(estate_up(settings, console, parts=parts_for(str(plan.target["type"]))))
        ledger = stack.enter_context(open_ledger(settings.ledger_url))
        conductor = conductor_of(settings, ledger)
        watch = Watch(ledger, tuple(step.name for step in drill_of(plan.kind).steps))
        with nullcontext() if options.as_json else shown_progress(watch, console):
            opened = _Opened(watch, plan, console)
            if options.here:
                name = _run_here(conductor, plan, options, opened, interrupts, console)
            else:
                name = _deployed(settings, plan, options, opened)
                if ledger.run(name).outcome is None:  # its process was killed: what it left is finished here
                    conductor.finish(name)
        return _tell(conductor, ledger, name, options, console)


class _Opened:
    """Hears the run's name: it is watched from then on, and who has to approve it is told once."""

    def __init__(self, watch: Watch, plan: Plan, console: Console) -> None:
        self._watch, self._plan, self._console = watch, plan, console

    def __call__(self, run: str) -> None:
        asked = self._plan.approval
        if asked and run != self._watch.run:
            who = " or ".join(asked.by) or "anyone but you"
            self._console.print(f"It waits for approval by {who}: {_muster()} approve {run} --as NAME", soft_wrap=True)
        self._watch.follow(run)


def _run_here(
    conductor: Conductor, plan: Plan, options: Options, opened: _Opened, interrupts: Interrupts, console: Console
) -> str:
    by = actor_of(conductor.settings, options.who)
    request = Request(reason=options.reason, injection=options.injection, requested_by=by)
    until = datetime.now(UTC) + plan.time_limit
    with turn(
        conductor.settings, conductor.ledger, plan, until, lambda words: console.print(f"Waiting: {words}.")
    ) as no:
        return conductor.conduct(plan, request, on_open=opened, on_undo=interrupts.ignore, extra_stop=lambda: no).run


def _deployed(settings: Settings, plan: Plan, options: Options, opened: _Opened) -> str:
    from flows.remote import run_deployment

    if options.inject_kill:
        raise UsageError("--inject-kill needs --here", "it kills the process that runs the drill")
    by = actor_of(settings, options.who)
    return run_deployment(
        settings, plan, options.reason, options.inject_error, opened, requested_by=by, compare=options.compare
    )


def _tell(conductor: Conductor, ledger: Ledger, run: str, options: Options, console: Console) -> int:
    history = History(ledger.read_events(run))
    plan = Plan.recorded(history[0].body["plan"])
    summary = summarise(conductor.drill_of(plan.kind), plan, history.sealed_part())
    bundle = conductor.bundle_of(run)
    if bundle is None:
        raise LeftBehind(f"run {run} is not sealed yet", f"run `muster undo run {run}`")
    if options.as_json:
        print(summary.model_dump_json(indent=2))
    else:
        why = "" if history.of(EventKind.SENT) else _why_it_waits(conductor)
        bundle = conductor.bundle_of(run) or bundle  # sending moves it
        where = f"{shown(bundle)} (waits: {why})" if why else shown(bundle)
        render_terminal(summary, console, bundle=where, verify=f"{_muster()} verify {shown(bundle)}")
    return exit_code_of(summary.outcome, left_behind=bool(history.needs_undo()))


def _why_it_waits(conductor: Conductor) -> str:
    """Why bundles are not in store and log yet, found out by sending once more; empty when that went well."""
    waiting = conductor.send_waiting().waiting
    return waiting[0].why if waiting else ""


def shown(path: Path) -> str:
    """A path as short as it can be typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _muster() -> str:
    """How this very command can be typed from here."""
    program = Path(sys.argv[0])
    return shown(program.absolute()) if program.name == "muster" and program.exists() else "muster"


def _assert_steps_exist(options: Options, steps: list[str]) -> None:
    for step in (options.inject_error, options.inject_kill):
        if step is not None and step not in steps:
            raise UsageError(f"there is no step {step!r}", f"the steps are {', '.join(steps)}")
