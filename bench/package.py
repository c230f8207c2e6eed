"""`python -m bench.package`: a release package of 10,000 small runs; seconds and memory, beside `tar | sha256sum`.

Promises: the runs are sealed and logged before the clock starts; the package is made in a process of its own, whose
peak of memory is its own; at a tenth of the runs too, so that growth shows.
"""

import argparse
import pickle
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import Finished, Series, run, settle
from bench.results import keep, machine, new_table
from evidence.keys import load_signer
from muster.cadence.spec import Cadence
from muster.package.inputs import PackageInputs
from muster.package.making import make_package
from tests.unit.package_paper import Q3, Paper, card, standing

DAYS = (Q3.end - Q3.start).days
DAILY = Cadence(cron="0 3 * * *")
SINCE = datetime(2026, 6, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Packaged:
    """One size, measured several times in turn."""

    runs: int
    megabytes: float
    """Of all bundles."""
    package: Series
    """Seconds."""
    tar: Series
    """Seconds of `tar | sha256sum` over the same bundles."""
    peak_mb: Series
    package_megabytes: float


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    options = _options(arguments)
    if options.inputs:
        return _child(options.inputs, options.dir)
    began, console = datetime.now(UTC), Console()
    console.print(machine())
    sizes: list[Packaged] = []
    with tempfile.TemporaryDirectory(prefix="muster-bench-", dir=options.dir) as folder:
        for runs in (options.runs // 10, options.runs):
            console.print(f"Sealing {runs:,} runs.", style="dim")
            inputs = make_inputs(Path(folder) / str(runs), runs)
            sizes.append(measure(Path(folder), inputs, options.rounds))
            shutil.rmtree(Path(folder) / str(runs))
    table = _table(sizes)
    console.print(table)
    console.print(f"Kept in {keep(f'{began:%Y%m%dT%H%M%SZ}-package', began, [table], [asdict(s) for s in sizes])}")
    return 0


def make_inputs(folder: Path, runs: int) -> Path:
    """So many runs, sealed and logged: daily ones of as many plans as that takes. A file with the inputs."""
    plans = [f"restore-{number:04d}" for number in range(-(-runs // DAYS))]
    paper, count = Paper(folder), 0
    for day in range(DAYS):
        due = Q3.start + timedelta(days=day, hours=3)
        for plan in plans[: runs - count]:
            paper.run(plan, due, "passed" if (count + 1) % 50 else "failed", cadence=DAILY, padding=2_000)
            count += 1
    paper.record("end.dsse.json", Q3.end + timedelta(days=3))
    inputs = paper.inputs(
        plans=[card(plan, DAILY) for plan in plans], standings=[standing(plan, DAILY, SINCE) for plan in plans]
    )
    path = folder / "inputs"
    path.write_bytes(pickle.dumps(inputs))
    return path


def measure(folder: Path, inputs: Path, rounds: int) -> Packaged:
    """The package and the raw limit, in turn."""
    made: list[Finished] = []
    tars: list[float] = []
    bundles = inputs.parent / "bundles"
    for _ in range(rounds):
        settle()
        tars.append(run(["sh", "-c", f"tar -cf - -C {bundles} . | sha256sum"], timeout=600).seconds)
        settle()
        command = [sys.executable, "-m", "bench.package", "--inputs", inputs, "--dir", folder / "out"]
        made.append(run(list(map(str, command)), timeout=1_800))
    files = [path for path in bundles.rglob("*.tar.gz")]
    return Packaged(
        runs=len(files),
        megabytes=sum(path.stat().st_size for path in files) / 1e6,
        package=Series(tuple(float(each.output) for each in made)),
        tar=Series(tuple(tars)),
        peak_mb=Series(tuple(each.peak_mb for each in made)),
        package_megabytes=next((folder / "out").glob("*.tar.gz")).stat().st_size / 1e6,
    )


def _child(path: Path, out: Path) -> int:
    """Make the package; prints the seconds. Reading the inputs is not counted."""
    inputs: PackageInputs = pickle.loads(path.read_bytes())
    signer = load_signer(path.parent / "keys" / "signing.pem")
    began = time.perf_counter()
    make_package(replace(inputs, release="bench"), signer, out)
    print(time.perf_counter() - began)
    return 0


def _table(sizes: list[Packaged]) -> Table:
    columns = ("runs", "bundles", "package", "package, s", "tar | sha256sum, s", "peak memory, MB")
    table = new_table("A release package, seconds and memory", *columns)
    for size in sizes:
        table.add_row(
            f"{size.runs:,}",
            f"{size.megabytes:.0f} MB",
            f"{size.package_megabytes:.0f} MB",
            str(size.package),
            str(size.tar),
            str(size.peak_mb),
        )
    return table


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.package", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000, help="how many runs")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the data goes")
    parser.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
