"""The restore drill beside the bare commands, in turn, on the same backups; with it, Muster's own memory."""

from dataclasses import dataclass
from pathlib import Path

from bench.bare import Bare
from bench.drill import Installation
from bench.measure import Series, ratio, settle
from bench.source import Source

TARGET = 1.10
ALLOWANCE = 3.0
"""Seconds that the drill may take on top: an interpreter, a ledger and a sealed bundle, whatever the size."""


@dataclass(frozen=True)
class Restores:
    """Both ways of one source, pair by pair."""

    bare: Series
    drill: Series
    peak_mb: Series
    bare_phases: dict[str, Series]
    drill_phases: dict[str, Series]

    @property
    def ratio(self) -> Series:
        """Drill to bare."""
        return ratio(self.drill, self.bare)

    @property
    def is_met(self) -> bool:
        """At most `TARGET` times the bare commands, and `ALLOWANCE`."""
        return self.drill.median <= TARGET * self.bare.median + ALLOWANCE


def compare_restores(source: Source, installation: Installation, folder: Path, pairs: int) -> Restores:
    """Bare, drill, bare, drill, ..."""
    by_hand, drills = [], []
    installation.muster("undo", "list")  # makes the ledger
    for _ in range(pairs):
        settle()
        by_hand.append(Bare(source, folder / "bare").run())
        settle()
        drills.append(installation.drill())
    return Restores(
        bare=Series(tuple(sum(phases.values()) for phases in by_hand)),
        drill=Series(tuple(drill.seconds for drill in drills)),
        peak_mb=Series(tuple(drill.peak_mb for drill in drills)),
        bare_phases=_by_phase(by_hand),
        drill_phases=_by_phase([drill.phases for drill in drills]),
    )


def _by_phase(runs: list[dict[str, float]]) -> dict[str, Series]:
    return {name: Series(tuple(run[name] for run in runs)) for name in runs[0]}
