"""`python -m bench.failover`: takeovers beside the bare floor, and beside what Patroni does by itself.

Promises: it works below one folder and deletes all of it; it judges ratios, never seconds.
"""

import argparse
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.patroni import PatroniTakeovers, measure_takeovers
from bench.results import keep, machine, new_table, show
from bench.takeover import CONNECTIONS, RATE, TARGET, Takeovers, compare_takeovers

_RTTS = (0, 80)
_TIMES, _QUICK_TIMES = 9, 2
_PATRONI_TIMES = 3


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.failover", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few takeovers on loopback: does it work?")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the data goes")
    options = parser.parse_args(arguments)
    console, began = Console(), datetime.now(UTC)
    console.print(machine())
    data: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="mb-", dir=options.dir) as folder:  # short: a socket's path is
        found = []
        for rtt_ms in _RTTS[:1] if options.quick else _RTTS:
            console.print(f"Taking over, {rtt_ms} ms between the regions.", style="dim")
            found.append(compare_takeovers(Path(folder), rtt_ms, _QUICK_TIMES if options.quick else _TIMES))
        tables = [takeovers_table(found)]
        data["takeovers"] = [asdict(each) for each in found]
        if not options.quick:
            console.print("Letting Patroni take over by itself.", style="dim")
            patroni = measure_takeovers(Path(folder) / "p", _PATRONI_TIMES)
            tables.append(_patroni(patroni))
            data["patroni"] = asdict(patroni)
    show(tables, console)
    console.print(f"Kept in {keep(f'{began:%Y%m%dT%H%M%SZ}-failover', began, tables, data)}, and beside it as JSON.")
    return 0


def takeovers_table(found: list[Takeovers]) -> Table:
    """Medians, lowest and highest in brackets, seconds."""
    table = new_table(
        f"A killed primary, {CONNECTIONS} connections, {RATE:g} writes/s, the longest gap of any connection, seconds",
        "between the regions",
        "link",
        "script",
        "Muster",
        "Muster / script",
        f"{TARGET} times",
    )
    for each in found:
        table.add_row(
            f"{each.rtt_ms} ms",
            each.form,
            _spread(each.floor),
            _spread(each.muster),
            f"{each.ratio:.2f}",
            "met" if each.ratio <= TARGET else "missed",
        )
    return table


def _patroni(found: PatroniTakeovers) -> Table:
    table = new_table(
        f"Patroni by itself, ttl {found.ttl}, loop_wait {found.loop_wait}, retry_timeout {found.retry_timeout}, s",
        "a killed leader",
        "a switchover",
    )
    table.add_row(_spread(found.kills), _spread(found.switchovers))
    return table


def _spread(values: tuple[float, ...]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
