"""The drill as its user runs it: `muster run PLAN --here`, a whole process from start to exit."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.measure import Finished, run
from bench.source import Source

MUSTER = Path(sys.executable).parent / "muster"
_REPOSITORY = Path(__file__).parents[1]
_PATIENCE = 1800.0


@dataclass(frozen=True)
class Measured:
    """One drill: wall seconds of the whole process, its own peak of memory, seconds of its phases, bytes looked at."""

    seconds: float
    peak_mb: float
    phases: dict[str, float]


class Installation:
    """A home of Muster with the demo's plan, pointed at one source."""

    def __init__(self, folder: Path, source: Source) -> None:
        self._folder = folder
        plan = yaml.safe_load((_REPOSITORY / "deployments/restore-embedded.yaml").read_text())
        plan |= {"name": "bench", "objectives": {"rto": "1h", "rpo": "1d"}, "time_limit": "1h"}
        plan["target"] = {
            "type": "embedded",
            "folder": str(source.folder),
            "system_identifier": source.system_identifier,
        }
        plan["restore"]["catalog"] = str(_REPOSITORY / "deployments/reference/shop.catalog")
        plans = folder / "plans"
        plans.mkdir(parents=True)
        (plans / "bench.yaml").write_text(yaml.safe_dump(plan))

    def muster(self, *arguments: str) -> Finished:
        """Run a command to its end; any exit but 0 is an error."""
        return run([MUSTER, *arguments], env=self._environment(), timeout=_PATIENCE)

    def drill(self) -> Measured:
        """Run the plan; a drill that does not pass is an error."""
        done = self.muster("run", "bench", "--here", "--json")
        phases = {p["name"]: p["seconds"] for p in json.loads(done.output)["phases"]}
        return Measured(done.seconds, done.peak_mb, phases)

    def bundle(self) -> Path:
        """A sealed bundle of one of its drills."""
        return next((self._folder / "store").rglob("*.tar.gz"))

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PREFECT_"))}
        return kept | {
            "MUSTER_HOME": str(self._folder / "home"),
            "MUSTER_PLANS": str(self._folder / "plans"),
            "MUSTER_STORE": str(self._folder / "store"),
        }
