"""`python -m bench.quiet --times 50`: healthy rehearsals one after another, in which nothing may speak up.

Promises: it works below one folder and deletes all of it; every healthy form of `muster prove failover` has its turn;
what failed, or was left in the dark, is told as it was seen.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.results import keep, machine, new_table, show
from flows.failover import DRILL
from flows.registry import open_target
from muster.prove import Bench, Form
from tasks.faults import failover


@dataclass(frozen=True)
class Turn:
    """One healthy rehearsal: how long it took, and what spoke up; nothing when it was quiet."""

    number: int
    form: str
    seconds: float
    spoke: str


def main(arguments: list[str]) -> int:
    """Rehearse, print, keep; the exit code is 0 when all were quiet."""
    parser = argparse.ArgumentParser(prog="python -m bench.quiet", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=50, help="rehearsals in all")
    parser.add_argument("--side-by-side", type=int, default=2)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the data goes")
    options = parser.parse_args(arguments)
    console, began = Console(), datetime.now(UTC)
    console.print(machine())
    turns = []
    with tempfile.TemporaryDirectory(prefix="mb-", dir=options.dir) as folder:
        for turn in rehearse(Path(folder) / "work", options.times, options.side_by_side):
            turns.append(turn)
            if turn.spoke:
                console.print(f"{turn.number}, {turn.form}: {turn.spoke}", style="bold red", markup=False)
    table = quiet_table(turns)
    show([table], console)
    data = [asdict(turn) for turn in turns]
    console.print(f"Kept in {keep(f'{began:%Y%m%dT%H%M%SZ}-quiet', began, [table], data)}, and beside it as JSON.")
    return 1 if any(turn.spoke for turn in turns) else 0


def rehearse(folder: Path, times: int, side_by_side: int) -> Iterator[Turn]:
    """The healthy forms in turn, each in a folder of its own, on copies of one pair."""
    healthy = [form for form in failover.FORMS if not form.is_planted]
    with failover.make_base(folder) as base, ThreadPoolExecutor(side_by_side) as pool:
        bench = Bench(DRILL, open_target, base, folder)

        def rehearse_once(number: int, form: Form) -> Turn:
            began = time.monotonic()
            row = bench.try_form(replace(form, name=f"{form.name}-{number}"))
            return Turn(number, form.name, time.monotonic() - began, row.note)

        yield from pool.map(rehearse_once, range(1, times + 1), islice(cycle(healthy), times))


def quiet_table(turns: list[Turn]) -> Table:
    """How many were quiet, by form."""
    quiet = sum(not turn.spoke for turn in turns)
    table = new_table(
        f"Healthy rehearsals: {quiet} of {len(turns)} were quiet", "rehearsal", "times", "quiet", "seconds"
    )
    for form in dict.fromkeys(turn.form for turn in turns):
        mine = [turn for turn in turns if turn.form == form]
        longest = max(turn.seconds for turn in mine)
        table.add_row(form, str(len(mine)), str(sum(not turn.spoke for turn in mine)), f"up to {longest:.1f}")
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
