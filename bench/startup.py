"""How soon a command answers, beside an interpreter that does nothing, in turn."""

import sys
from dataclasses import dataclass

from bench.drill import Installation
from bench.measure import Series, ratio, run


@dataclass(frozen=True)
class Start:
    """Wall seconds of one command."""

    command: str
    seconds: Series
    ratio: Series
    """To `python -c pass`."""


def compare_starts(installation: Installation, rounds: int) -> tuple[Start, ...]:
    """`--help`, `status` and `verify`, after the same installation has drilled."""
    commands = {"--help": ("--help",), "status": ("status",), "verify": ("verify", str(installation.bundle()))}
    nothing: list[float] = []
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        nothing.append(run([sys.executable, "-c", "pass"], timeout=60).seconds)
        for name, words in commands.items():
            taken[name].append(installation.muster(*words).seconds)
    floor = Series(tuple(nothing))
    starts = ((name, Series(tuple(values))) for name, values in taken.items())
    return (
        Start("python -c pass", floor, ratio(floor, floor)),
        *(Start(f"muster {name}", series, ratio(series, floor)) for name, series in starts),
    )
