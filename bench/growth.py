"""`status`, `deck` and `gate` as plans and history grow: seconds, and whether history costs anything."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.ledgerdata import Drilled, fill_ledger
from bench.measure import Series, run
from muster.cards import card_of
from muster.ledger import open_ledger
from muster.plan import Plan, load_plan, load_plans
from muster.slots import due_after

MUSTER = Path(sys.executable).parent / "muster"
COMMANDS = {
    "status": ("status",),
    "deck": ("deck", "{folder}/deck.md"),
    "gate": ("gate", "--policy", "{folder}/plans/gate.yaml"),
}
_ENDS = (0, 1, 2)
"""`gate` tells by its exit code what it found; any of these is an answer."""
_PLAN = """\
name: {name}
kind: restore
environment: test
owner: team {team}
controls: ["SOC 2 A1.3", "NIST CP-9(1)"]
target:
  type: embedded
  folder: /srv/{name}
objectives:
  rto: 10m
  rpo: 1m
cadence:
  cron: "{minute} {hour} {day} * *"
restore:
  database: shop
"""


@dataclass(frozen=True)
class Growth:
    """One command over one ledger."""

    database: str
    plans: int
    runs: int
    command: str
    seconds: Series
    floor: Series
    """`python -c pass`, in turn with it."""


def write_plans(folder: Path, count: int) -> Sequence[Drilled]:
    """Plans that differ in name, target, owner and time."""
    folder.mkdir(parents=True)
    for number in range(count):
        name = f"plan-{number:05d}"
        times = {"minute": number % 60, "hour": 4 + number % 19, "day": 1 + number % 28}
        (folder / f"{name}.yaml").write_text(_PLAN.format(name=name, team=number % 40, **times), encoding="utf-8")
    (folder / "gate.yaml").write_text(Path("deployments/gate.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return [
        Drilled(path.stem, substance=card_of(load_plan(path)).substance) for path in sorted(folder.glob("plan-*.yaml"))
    ]


def measure_growth(url: str, database: str, folder: Path, plans: int, each: int, rounds: int) -> tuple[Growth, ...]:
    """Fill an empty ledger with `each` runs a plan, then ask every command in turn."""
    drilled = write_plans(folder / "plans", plans)
    runs = fill_ledger(url, drilled, each, datetime.now(UTC) - timedelta(days=1), apart=timedelta(days=30))
    _enroll(url, load_plans(folder / "plans"))
    env = {**os.environ, "MUSTER_HOME": str(folder / "home"), "MUSTER_PLANS": str(folder / "plans"),
           "MUSTER_LEDGER": url}  # fmt: skip
    (folder / "home").mkdir()
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    floor: list[float] = []
    for words in COMMANDS.values():
        _ask(words, folder, env)  # the first of all reads ten thousand files; from then on they are known
    for _ in range(rounds):
        floor.append(run([sys.executable, "-c", "pass"], timeout=60).seconds)
        for name, words in COMMANDS.items():
            taken[name].append(_ask(words, folder, env))
    series = {name: Series(tuple(values)) for name, values in taken.items()}
    return tuple(Growth(database, plans, runs, name, series[name], Series(tuple(floor))) for name in COMMANDS)


def _enroll(url: str, plans: Sequence[Plan]) -> None:
    """As the first round of the watch does."""
    with open_ledger(url) as ledger:
        known = {standing.plan: standing for standing in ledger.standings()}
        ledger.enroll({plan.name: due_after(plan.cadence, known[plan.name].pass_at or ledger.now()) for plan in plans})


def _ask(words: Sequence[str], folder: Path, env: dict[str, str]) -> float:
    argv = [str(MUSTER), *(word.format(folder=folder) for word in words)]
    return run(argv, env=env, timeout=600, ends=_ENDS).seconds
