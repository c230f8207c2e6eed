"""Results as tables: printed, and written as Markdown and JSON.

Promise: what is written is what is printed.
"""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.fingerprints import Speed
from bench.restore import ALLOWANCE, TARGET, Restores
from bench.source import Source
from bench.startup import Start

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Sized:
    """Everything measured at one size."""

    source: Source
    restores: Restores
    speeds: tuple[Speed, ...]


@dataclass
class Results:
    """One run of the benchmarks, as far as it has come."""

    began: datetime
    sizes: list[Sized] = field(default_factory=list)
    starts: tuple[Start, ...] = ()

    def tables(self) -> tuple[Table, ...]:
        """Medians, the lowest and highest value in brackets."""
        return _restores(self.sizes), _phases(self.sizes), _speeds(self.sizes), _starts(self.starts)

    def write(self) -> Path:
        """Keep it in `bench/results/`; returns the Markdown's path."""
        return keep(f"{self.began:%Y%m%dT%H%M%SZ}", self.began, self.tables(), asdict(self))


def keep(name: str, began: datetime, tables: Iterable[Table], data: object) -> Path:
    """Write tables as Markdown and what they are made of as JSON; returns the Markdown's path."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.md"
    texts = [f"{machine()}, {began:%Y-%m-%d}", *map(markdown, tables)]
    path.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    path.with_suffix(".json").write_text(json.dumps(data, indent=1, default=str) + "\n", encoding="utf-8")
    return path


def machine() -> str:
    """The machine in general words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.system()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB of memory,"
        f" Python {platform.python_version()}"
    )


def started() -> Results:
    """Results with nothing in them yet."""
    return Results(datetime.now(UTC))


def _restores(sizes: list[Sized]) -> Table:
    table = new_table("Restore drill beside the bare commands, seconds",
                   "database", "log", "bare", "drill", "drill / bare", f"<= {TARGET:.2f} x + {ALLOWANCE:g} s",
                   "Muster's memory, MB")  # fmt: skip
    for size in sizes:
        found = size.restores
        table.add_row(
            size.source.size,
            f"{size.source.log_mb:.0f} MB",
            str(found.bare),
            str(found.drill),
            str(found.ratio),
            "met" if found.is_met else "missed",
            str(found.peak_mb),
        )
    return table


def _phases(sizes: list[Sized]) -> Table:
    table = new_table("Where the seconds go, medians", "database", "way", "phases, seconds")
    for size in sizes:
        for way, phases in (("bare", size.restores.bare_phases), ("drill", size.restores.drill_phases)):
            told = ", ".join(f"{name} {series.median:.1f}" for name, series in phases.items())
            table.add_row(size.source.size, way, told)
    return table


def _speeds(sizes: list[Sized]) -> Table:
    table = new_table("Row fingerprints beside COPY TO STDOUT through sha256sum, seconds",
                   "database", "table", "rows", "copy", "fingerprint", "times the speed of COPY")  # fmt: skip
    for size in sizes:
        for speed in size.speeds:
            cells = (str(speed.copy), str(speed.fingerprint), str(speed.ratio))
            table.add_row(size.source.size, speed.table, f"{speed.rows:,}", *cells)
    return table


def _starts(starts: tuple[Start, ...]) -> Table:
    table = new_table("Start of a command, seconds", "command", "seconds", "times python -c pass")
    for start in starts:
        table.add_row(start.command, str(start.seconds), str(start.ratio))
    return table


def new_table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")


def markdown(table: Table) -> str:
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    head, *rows = zip(*columns, strict=True)
    lines = [head, ["---"] * len(head), *rows]
    return f"**{table.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def show(tables: Iterable[Table], console: Console) -> None:
    """Print every table that has something in it."""
    for each in tables:
        if each.row_count:
            console.print(each, "")
