"""`python -m bench`: every benchmark, at three sizes up to about 2 GB; minutes, not seconds.

Promises: it works below one folder and deletes all of it; it asks for the room first; it judges ratios, never seconds.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from bench.drill import Installation
from bench.fingerprints import compare_fingerprints
from bench.restore import compare_restores
from bench.results import Results, Sized, machine, show, started
from bench.source import drop_data, make_source
from bench.startup import compare_starts

SIZES = (100_000, 1_000_000, 4_000_000)
"""Orders in the demo shop; half a kilobyte of database each."""
QUICK = (20_000,)
_ROOM = 4_000
"""Bytes of disk an order takes at most: shop, its log and archive, two backups, a restored copy."""


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    options = _options(arguments)
    console, results = Console(), started()
    options.dir.mkdir(parents=True, exist_ok=True)
    needed, free = max(options.sizes) * _ROOM / 1e9, shutil.disk_usage(options.dir).free / 1e9
    console.print(f"{machine()}; up to {needed:.1f} GB of disk are used below {options.dir}, {free:.0f} GB are free.")
    if free < needed:
        console.print("Not enough: name a larger disk with --dir, or smaller --sizes.", style="red")
        return 1
    with tempfile.TemporaryDirectory(prefix="muster-bench-", dir=options.dir) as folder:
        for orders in options.sizes:
            _measure(Path(folder) / str(orders), orders, options, results, console)
            show(results.tables(), console)
            written = results.write()
    console.print(f"Kept in {written}, and beside it as JSON.")
    return 0


def _measure(folder: Path, orders: int, options: argparse.Namespace, results: Results, console: Console) -> None:
    console.print(f"Making a shop of {orders:,} orders and its backups.", style="dim")
    source = make_source(folder / "source", orders)
    installation = Installation(folder, source)
    console.print(f"Fingerprinting its {source.size}.", style="dim")
    speeds = compare_fingerprints(source, folder / "sockets", options.pairs)
    drop_data(source)
    console.print(f"Restoring it {options.pairs} times by hand and by drill, in turn.", style="dim")
    restores = compare_restores(source, installation, folder, options.pairs)
    results.sizes.append(Sized(source, restores, speeds))
    if not results.starts:
        results.starts = compare_starts(installation, options.rounds)
    shutil.rmtree(folder)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small size and one pair: does it work?")
    parser.add_argument("--sizes", type=int, nargs="+", help="orders in the demo shop, the smallest first")
    parser.add_argument("--pairs", type=int, help="how often each pair is run in turn (default 3)")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the data goes")
    options = parser.parse_args(arguments)
    options.sizes = options.sizes or (QUICK if options.quick else SIZES)
    options.pairs = options.pairs or (1 if options.quick else 3)
    options.rounds = 2 if options.quick else 10
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
