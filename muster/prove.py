"""Negative controls: a drill is run against faults planted on purpose, and against healthy forms.

Promises: the drill that is proven is the product's own, its steps and its checks; a planted fault counts as caught only
when what must catch it did, whatever else was seen; a fault that could not be planted is not caught.
Idea: mutation testing (DeMillo, Lipton, Sayward 1978), with the drill as the test and the backup as the program.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from muster import __version__
from muster.clock import Clock, SystemClock
from muster.conduct import OpenTarget
from muster.drill import Context, Drill, Workspace
from muster.errors import UsageError
from muster.finding import Finding
from muster.journal import Event, EventKind, Journal
from muster.judging import brief_of, ending_of, judge
from muster.ledger import Proof, ProofRow
from muster.plan import Plan
from muster.saga import describe, run_steps, undo_steps
from muster.settings import Settings
from muster.verdict import Outcome, Verdict


@dataclass(frozen=True)
class Trial:
    """How one run of the drill ended: what its checks said, and what ended it early, if anything did."""

    outcome: Outcome
    findings: tuple[Finding, ...]
    ending: Mapping[str, str] = field(default_factory=dict)

    def saying(self, *verdicts: Verdict) -> tuple[Finding, ...]:
        """The findings of these verdicts."""
        return tuple(f for f in self.findings if f.verdict in verdicts)


class Catcher(Protocol):
    """What must notice a planted fault."""

    @property
    def name(self) -> str:
        """As the matrix shows it."""
        ...

    def catches(self, trial: Trial) -> bool:
        """Whether it did."""
        ...


@dataclass(frozen=True)
class Check:
    """A check must say `fail`; where `saying` is given, for that reason."""

    name: str
    saying: str = ""

    def catches(self, trial: Trial) -> bool:
        """Whether the check failed and named the reason in what it saw."""
        failed = (f for f in trial.saying(Verdict.FAIL) if f.check == self.name)
        return any(self.saying in "\n".join((f.seen, *f.detail)) for f in failed)


@dataclass(frozen=True)
class Doubt:
    """A check must say `inconclusive`, for the reason given, and the drill must not pass: nothing was shown."""

    check: str
    saying: str = ""

    @property
    def name(self) -> str:
        """The check, and what it must say."""
        return f"{self.check}: {Verdict.INCONCLUSIVE}"

    def catches(self, trial: Trial) -> bool:
        """Whether it did, and nothing was taken for a pass all the same."""
        doubted = (f for f in trial.saying(Verdict.INCONCLUSIVE) if f.check == self.check)
        return trial.outcome is not Outcome.PASSED and any(self.saying in f.seen for f in doubted)


@dataclass(frozen=True)
class Ending:
    """The drill itself must end early: with this outcome, in this step, for this reason."""

    outcome: Outcome
    step: str
    saying: str

    @property
    def name(self) -> str:
        """The outcome and the step."""
        return f"{self.outcome} in {self.step}"

    def catches(self, trial: Trial) -> bool:
        """Whether it ended so."""
        return (
            trial.outcome is self.outcome
            and trial.ending.get("step") == self.step
            and self.saying in trial.ending.get("message", "")
        )


def _unchanged(drill: Drill) -> Drill:
    return drill


@dataclass(frozen=True)
class Scene:
    """What a planter has set up: the plan to run, and what else is other than usual around the drill."""

    plan: Plan
    workspace: Path
    """The run's folder."""
    earlier: Mapping[str, Any] = field(default_factory=dict)
    """What the last pass remembered."""
    clock: Clock = field(default_factory=SystemClock)
    drill: Callable[[Drill], Drill] = _unchanged
    """A fault in the drill's own steps."""


@dataclass(frozen=True)
class Form:
    """One line of a catalogue: a planted fault, or a healthy form when nothing is to catch it."""

    name: str
    words: str
    plant: Callable[[Any, Path], AbstractContextManager[Scene]]
    """Sets the scene in a folder of its own, from the catalogue's pristine base."""
    caught_by: Catcher | None = None

    @property
    def is_planted(self) -> bool:
        """Whether it is a fault."""
        return self.caught_by is not None


@dataclass(frozen=True)
class Bench:
    """What the forms are tried with: the drill, its targets, and the pristine base in a folder where forms may live."""

    drill: Drill
    open_target: OpenTarget
    base: Any
    folder: Path
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when nothing more is to be tried: drills end before their next step, and undo what they did."""

    def try_form(self, form: Form) -> ProofRow:
        """Plant, run the drill, and decide. Nothing is raised: what went wrong is in the row."""
        folder = self.folder / form.name
        try:
            with form.plant(self.base, folder) as scene:
                trial = run_trial(scene.drill(self.drill), scene, self.open_target, self.stopping)
        except Exception as error:  # the others are still to be tried; this one counts as not caught
            return _row(form, is_right=False, note=f"it could not be tried: {type(error).__name__}: {error}")
        return decide(form, trial)


def decide(form: Form, trial: Trial) -> ProofRow:
    """A fault is right when its catcher caught it; a healthy form when nothing failed or stayed in the dark."""
    failed = tuple(f.check for f in trial.saying(Verdict.FAIL))
    if form.caught_by is not None:
        is_right = form.caught_by.catches(trial)
        caught = (form.caught_by.name,) if is_right and form.caught_by.name not in failed else ()
        return _row(form, is_right=is_right, caught_by=caught + failed, note="" if is_right else _seen(trial))
    is_right = trial.outcome is Outcome.PASSED and not trial.saying(Verdict.FAIL, Verdict.INCONCLUSIVE)
    return _row(form, is_right=is_right, caught_by=failed, note="" if is_right else _seen(trial))


def _row(form: Form, *, is_right: bool, caught_by: tuple[str, ...] = (), note: str = "") -> ProofRow:
    return ProofRow(
        form=form.name,
        planted=form.is_planted,
        must_catch=(form.caught_by.name,) if form.caught_by else (),
        caught_by=caught_by,
        is_right=is_right,
        note=note,
    )


def _seen(trial: Trial) -> str:
    """What the drill said, worst first, for whoever has to find out why."""
    said = [f"{f.check} {f.word}: {f.seen}" for v in (Verdict.FAIL, Verdict.INCONCLUSIVE) for f in trial.saying(v)]
    ending = f" in step {trial.ending['step']}: {trial.ending['message']}" if trial.ending else ""
    return "; ".join((f"the drill {trial.outcome}{ending}", *said[:4]))


class _Memory:
    """An event store that forgets: what a trial needs of a ledger."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def append_event(self, event: Event) -> None:
        self._events.append(event)

    def read_events(self, run: str) -> tuple[Event, ...]:
        return tuple(e for e in self._events if e.run == run)


def run_trial(drill: Drill, scene: Scene, open_target: OpenTarget, stopping: threading.Event) -> Trial:
    """Run the drill as the conductor does, from preflight to judgement; nothing is sealed."""
    plan, clock = scene.plan, scene.clock
    journal = Journal(plan.name, _Memory(), clock)
    journal.append(EventKind.OPENED, **brief_of(drill, plan, scene.earlier))
    context = _context(scene, journal, None, stopping)
    try:
        target = open_target(plan.target, Settings(home=scene.workspace))
        context = _context(scene, journal, target, stopping)
        run_steps(drill, context)
    except Exception as error:
        if journal.history.failure() is None:
            journal.append(EventKind.NOTED, ended_by=describe(error))
    context.background.abandon()
    undo_steps(drill, context)
    judged = judge(drill, plan, journal.history)
    return Trial(
        outcome=Outcome(judged["outcome"]),
        findings=tuple(Finding.model_validate(f) for f in judged["findings"]),
        ending=ending_of(journal.history) or {},
    )


def _context(scene: Scene, journal: Journal, target: Any, stopping: threading.Event) -> Context:
    return Context(
        plan=scene.plan,
        target=target,
        journal=journal,
        workspace=Workspace(scene.plan.name, scene.workspace),
        clock=scene.clock,
        deadline_ns=scene.clock.monotonic_ns() + int(scene.plan.time_limit.total_seconds() * 1e9),
        why_stop=lambda: "the proof was interrupted" if stopping.is_set() else "",
    )


def prove(
    kind: str,
    forms: Sequence[Form],
    bench: Bench,
    clock: Clock,
    *,
    side_by_side: int = 2,
    on_row: Callable[[ProofRow], None] = lambda _row: None,
    on_stop: Callable[[], None] = lambda: None,
) -> Proof:
    """Try every form, several side by side; `on_row` is told of each in the order in which they end.

    `on_stop` hears that the forms that run are being undone: from now on an interrupt would only do harm.
    """
    rows: list[ProofRow] = []
    with ThreadPoolExecutor(side_by_side, thread_name_prefix="prove") as pool:
        waiting: set[Future[ProofRow]] = {pool.submit(bench.try_form, form) for form in forms}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    rows.append(future.result())
                    on_row(rows[-1])
        except BaseException:
            on_stop()
            bench.stopping.set()
            pool.shutdown(cancel_futures=True)
            raise
    order = [form.name for form in forms]
    rows.sort(key=lambda row: order.index(row.form))
    return proof_of(kind, rows, clock)


def proof_of(kind: str, rows: Iterable[ProofRow], clock: Clock) -> Proof:
    """The matrix, counted."""
    matrix = tuple(rows)
    return Proof(
        kind=kind,
        at=clock.now(),
        planted=sum(row.planted for row in matrix),
        caught=sum(row.planted and row.is_right for row in matrix),
        healthy=sum(not row.planted for row in matrix),
        quiet=sum(not row.planted and row.is_right for row in matrix),
        matrix=matrix,
        muster_version=__version__,
    )


def is_proven(proof: Proof) -> bool:
    """Whether every planted fault was caught and every healthy form passed; nothing tried is nothing proven."""
    return bool(proof.matrix) and proof.caught == proof.planted and proof.quiet == proof.healthy


def pick(forms: tuple[Form, ...], only: list[str] | None) -> tuple[Form, ...]:
    """The forms of these names, all when none is named; an unknown name is a `UsageError`."""
    names = {form.name for form in forms}
    unknown = sorted(set(only or ()) - names)
    if unknown:
        raise UsageError(f"there is no form named {', '.join(unknown)}", f"the forms are {', '.join(sorted(names))}")
    return tuple(form for form in forms if not only or form.name in only)
