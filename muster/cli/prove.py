"""`muster prove`: run a drill against planted faults, show which it caught, and keep that in the ledger.

Promises: the last line says it in numbers; the exit code is 0 only when every planted fault was caught and every
healthy form passed; a part of the catalogue is never recorded as proof of the whole; no process and no folder is left.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from muster.cli.interrupts import Interrupts, terminated_as_interrupted
from muster.clock import SystemClock
from muster.drill import Drill
from muster.errors import StepError, UsageError
from muster.ledger import Proof, ProofRow, open_ledger
from muster.prove import Bench, Form, is_proven, pick
from muster.prove import prove as prove_forms
from muster.settings import Settings
from muster.verdict import ExitCode

_WIDE = 110  # columns; docs/negative-controls.md has the words for narrower terminals
_COLUMNS = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
_VERDICTS = {(True, True): "caught", (True, False): "NOT CAUGHT", (False, True): "passed", (False, False): "NOT PASSED"}
"""By whether a fault was planted, and whether all is right."""


def prove(settings: Settings, kind: str, only: list[str] | None, *, as_json: bool, drill: Drill | None = None) -> int:
    """Try the catalogue of a kind of drill, or some of its forms. `drill` is tried in place of the product's own."""
    catalogue = _catalogue(kind)
    forms: tuple[Form, ...] = pick(catalogue.FORMS, only)
    console = Console(stderr=as_json)
    try:
        with terminated_as_interrupted() as interrupts, own_folder(settings) as folder:
            proof = _try(catalogue, kind, forms, drill, folder, console, interrupts)
    except KeyboardInterrupt:
        raise StepError("the proof was interrupted", "nothing of it is left or recorded: run it again") from None
    if not only and drill is None:
        with open_ledger(settings.ledger_url) as ledger:
            ledger.record_proof(proof)
    if as_json:
        print(proof.model_dump_json(indent=2))
    else:
        _tell(proof, forms, console)
    return ExitCode.PASS if is_proven(proof) else ExitCode.FAIL


def _catalogue(kind: str) -> ModuleType:
    module = f"tasks.faults.{kind}"
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise UsageError(
            f"there is no catalogue of faults for {kind!r}", "try `muster prove restore`, `failover` or `spark`"
        ) from None


@contextmanager
def own_folder(settings: Settings) -> Iterator[Path]:
    """A folder for one proof; what a killed one left is removed first, its processes with it."""
    from tasks.faults.leftovers import claim, remove_dead

    parent = settings.root / "prove"
    parent.mkdir(parents=True, exist_ok=True)
    remove_dead(parent)
    folder = Path(tempfile.mkdtemp(dir=parent))
    claim(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _try(
    catalogue: ModuleType,
    kind: str,
    forms: tuple[Form, ...],
    drill: Drill | None,
    folder: Path,
    console: Console,
    interrupts: Interrupts,
) -> Proof:
    from flows.registry import drill_of, open_target

    with Progress(*_COLUMNS, console=console, transient=True) as progress:
        bar = progress.add_task(f"making {catalogue.BASE}", total=len(forms))

        def show(row: ProofRow) -> None:
            progress.advance(bar)
            progress.update(bar, description=row.form)
            if not row.is_right:
                progress.console.print(Text(f"✕ {_failure(row)}", "bold red"))

        with catalogue.make_base(folder / "work") as base:
            bench = Bench(drill or drill_of(kind), open_target, base, folder / "work")
            at_once = getattr(catalogue, "SIDE_BY_SIDE", 2)
            return prove_forms(
                kind, forms, bench, SystemClock(), side_by_side=at_once, on_row=show, on_stop=interrupts.ignore
            )


def _tell(proof: Proof, forms: tuple[Form, ...], console: Console) -> None:
    words = {form.name: form.words for form in forms}
    console.print(_matrix(proof, words, with_words=console.width >= _WIDE))
    for row in proof.matrix:
        if not row.is_right:
            console.print(Text(f"\n{_failure(row)}: {words[row.form]}.\n  {row.note}"))
    console.print(
        f"\nprove {proof.kind}: {proof.caught} of {proof.planted} planted faults caught,"
        f" {proof.quiet} of {proof.healthy} healthy forms passed",
        style="green" if is_proven(proof) else "bold red",
        highlight=False,
        soft_wrap=True,
    )


def _failure(row: ProofRow) -> str:
    return f"{row.form} was not caught by {row.must_catch[0]}" if row.planted else f"{row.form} did not pass"


def _matrix(proof: Proof, words: dict[str, str], *, with_words: bool) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("form", no_wrap=True)
    for head in ("what it is", "must be caught by", "caught by", "verdict")[0 if with_words else 1 :]:
        table.add_column(head, no_wrap=head == "verdict")
    for row in proof.matrix:
        style = "green" if row.is_right else "bold red"
        caught = ", ".join(row.caught_by) or ("nothing" if row.planted else "")
        verdict = Text(_VERDICTS[row.planted, row.is_right], style)
        told = (words[row.form],) if with_words else ()
        table.add_row(row.form, *told, ", ".join(row.must_catch), caught, verdict)
    return table
