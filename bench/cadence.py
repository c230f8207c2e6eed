"""`python -m bench.cadence`: how cadence grows: quick commands, claims, rollout, five years of slots.

Promises: it works below one folder and deletes all of it; it judges ratios and growth, never seconds.
"""

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from bench.claims import WORKERS, Claims, compare_claims
from bench.growth import Growth, measure_growth
from bench.results import keep, machine, new_table, show
from bench.rollout import Rollout, compare_rollouts
from bench.simulation import Simulated, simulate
from muster.ledger.glance import ALERTS, BEATS, HISTORY, PROVEN, STANDINGS, STOP
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.process import Processes

_SQLITE = ((1_000, 1), (1_000, 10), (1_000, 100))
_POSTGRES = ((10_000, 1), (10_000, 10), (10_000, 100))
"""Plans, and runs of each: up to 100,000 and a million."""
_QUICK = ((100, 5),)


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.cadence", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work?")
    parser.add_argument("--only", choices=["growth", "claims", "rollout", "years"], help="one of the four")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the data goes")
    options = parser.parse_args(arguments)
    console, began = Console(), datetime.now(UTC)
    console.print(machine())
    tables: list[Table] = []
    data: dict[str, object] = {}
    for name, measure in _MEASURES.items():
        if options.only in (None, name):
            console.print(f"Measuring {name}.", style="dim")
            with tempfile.TemporaryDirectory(prefix="muster-bench-", dir=options.dir) as folder:
                found, more = measure(Path(folder), options.quick)
            show(more, console)
            tables += more
            data[name] = found
    console.print(f"Kept in {keep(f'{began:%Y%m%dT%H%M%SZ}-cadence', began, tables, data)}, and beside it as JSON.")
    return 0


def _growth(folder: Path, quick: bool) -> tuple[object, list[Table]]:
    found: list[Growth] = []
    plans: list[str] = []
    for plan_count, each in _QUICK if quick else _SQLITE:
        place = folder / f"sqlite-{each}"
        url = f"sqlite:///{place}/ledger.sqlite"
        place.mkdir()
        found += measure_growth(url, "SQLite", place, plan_count, each, 2 if quick else 7)
        shutil.rmtree(place)
    with _server(folder) as dsn:
        for plan_count, each in _QUICK if quick else _POSTGRES:
            place = folder / f"postgres-{each}"
            place.mkdir()
            url = _database(dsn, f"ledger_{each}")
            found += measure_growth(url, "PostgreSQL", place, plan_count, each, 2 if quick else 7)
            plans = _query_plans(url)
            shutil.rmtree(place)
    return {"seconds": [asdict(g) for g in found], "query plans": plans}, [_growth_table(found), _plan_table(plans)]


def _query_plans(url: str) -> list[str]:
    """How PostgreSQL reads each thing that the commands show; none may scan `runs`."""
    asked = {"standings": STANDINGS, "proven": PROVEN, "alerts": ALERTS, "beats": BEATS, "stop": STOP,
             "history": HISTORY.replace(":plan", "'plan-00001'").replace(":limit", "50")}  # fmt: skip
    with psycopg.connect(url) as connection:
        read = {name: connection.execute(f"EXPLAIN (COSTS OFF) {query}").fetchall() for name, query in asked.items()}
    return [f"{name}: {' / '.join(line.strip() for (line,) in lines)}" for name, lines in read.items()]


def _claims(folder: Path, quick: bool) -> tuple[object, list[Table]]:
    slots, rounds = (10, 1) if quick else (100, 3)
    found = [compare_claims(f"sqlite:///{folder}/ledger.sqlite", "SQLite", slots, rounds)]
    with _server(folder, max_connections="400") as dsn:
        found.append(compare_claims(_database(dsn, "claims"), "PostgreSQL", slots, rounds))
    return [asdict(c) for c in found], [_claims_table(found)]


def _rollout(folder: Path, quick: bool) -> tuple[object, list[Table]]:
    found = compare_rollouts(folder, 20 if quick else 1000, 1)  # an hour
    return asdict(found), [_rollout_table(found)]


def _years(_folder: Path, quick: bool) -> tuple[object, list[Table]]:
    found = simulate(100 if quick else 2000, 1 if quick else 5)
    return asdict(found), [_years_table(found)]


_MEASURES = {"growth": _growth, "claims": _claims, "rollout": _rollout, "years": _years}


@contextlib.contextmanager
def _server(folder: Path, **settings: str) -> Iterator[str]:
    """A PostgreSQL of our own, as durable as it comes."""
    sockets = Path(tempfile.mkdtemp(prefix="mbch", dir="/tmp"))
    server = Server(wheel_binaries(), folder / "pg", sockets, Processes(folder / "ps", folder / "log"), "bench")
    try:
        server.init()
        server.start({"shared_buffers": "256MB", "max_wal_size": "4GB"} | settings)
        yield server.dsn()
    finally:
        server.stop("immediate")
        shutil.rmtree(sockets, ignore_errors=True)


def _database(dsn: str, name: str) -> str:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://postgres@/{name}?host={psycopg.conninfo.conninfo_to_dict(dsn)['host']}"


def _growth_table(found: list[Growth]) -> Table:
    table = new_table("Quick commands over plans and history, seconds",
                      "database", "plans", "runs", "command", "seconds", "python -c pass")  # fmt: skip
    for g in found:
        table.add_row(g.database, f"{g.plans:,}", f"{g.runs:,}", f"muster {g.command}", str(g.seconds), str(g.floor))
    return table


def _plan_table(plans: list[str]) -> Table:
    table = new_table("How PostgreSQL reads what they show", "query plan")
    for plan in plans:
        table.add_row(plan)
    return table


def _claims_table(found: list[Claims]) -> Table:
    table = new_table(f"Slots that {WORKERS} workers fight for, each for every one",
                      "database", "slots", "claimed twice", "not claimed", "claims a second", "bare inserts a second",
                      "claims / bare")  # fmt: skip
    for c in found:
        cells = (str(c.attempts_per_second), str(c.bare_per_second), str(c.ratio))
        table.add_row(c.database, f"{c.slots:,}", str(c.doubled), str(c.lost), *cells)
    return table


def _rollout_table(found: Rollout) -> Table:
    table = new_table("Deployments by `prefect deploy --all`, seconds",
                      "deployments", "load plans", "render", "deploy ours", "deploy bare", "ours / bare")  # fmt: skip
    cells = (str(found.load), str(found.render), str(found.ours), str(found.bare), str(found.ratio))
    table.add_row(f"{found.deployments:,}", *cells)
    return table


def _years_table(found: Simulated) -> Table:
    table = new_table("Slots under a fake clock", "plans", "years", "slots", "became", "lost", "twice", "seconds")
    became = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(found.outcomes.items()))
    cells = (became, str(found.lost), str(found.doubled), f"{found.seconds:.1f}")
    table.add_row(f"{found.plans:,}", f"{found.years:g}", f"{found.slots:,}", *cells)
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
