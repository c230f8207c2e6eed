"""A small real estate's backups, made once per test process: full, incremental, archive, reference."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from muster.settings import Settings
from tasks.estate.estate import Estate, Part

MUSTER = Path(sys.executable).parent / "muster"
ORDERS = 300


@dataclass(frozen=True)
class Backups:
    """A folder with `backups/`, `archive/` and `references/`, and whose they are."""

    folder: Path
    system_identifier: str


@dataclass(frozen=True)
class Home:
    """One installation of Muster with one plan, and its command line."""

    root: Path
    settings: Settings
    plan: str

    def environment(self, **more: str) -> dict[str, str]:
        """The variables that the command line runs with."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PREFECT_"))},
            "MUSTER_HOME": str(self.settings.home),
            "MUSTER_PLANS": str(self.settings.plans),
            "MUSTER_STORE": self.settings.store,
            **({"MUSTER_LEDGER": self.settings.ledger} if self.settings.ledger else {}),
            **more,
        }

    def muster(
        self, *arguments: str, timeout: float = 120, variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        env = self.environment(**(variables or {}))
        return subprocess.run(
            [MUSTER, *arguments], env=env, capture_output=True, text=True, timeout=timeout, check=False
        )

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command; the caller ends it."""
        return subprocess.Popen(
            [MUSTER, *arguments], env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def processes(self) -> list[str]:
        """Command lines of living processes that work in this installation."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if str(self.settings.home) in line:
                found.append(line)
        return found


@pytest.fixture(scope="session")
def backups(tmp_path_factory: pytest.TempPathFactory) -> Backups:
    """Backups of a shop that is not up any more: what a restore drill finds after a loss."""
    settings = Settings(home=tmp_path_factory.mktemp("source"))
    estate = Estate(settings, (Part.SHOP,), orders=ORDERS)
    try:
        card = estate.start()
        estate.back_up()
    finally:
        estate.stop()
    assert card.shop
    return Backups(settings.estate, card.shop.system_identifier)


@pytest.fixture
def home(tmp_path: Path, backups: Backups) -> Home:
    """An installation with the demo's plan pointed at these backups, and a folder as its store."""
    plan = yaml.safe_load(Path("deployments/restore-embedded.yaml").read_text())
    plan["name"] = "restore-test"
    plan["target"] = {
        "type": "embedded",
        "folder": str(backups.folder),
        "system_identifier": backups.system_identifier,
    }
    plan["objectives"] = {"rto": "10m", "rpo": "1d"}
    plans = tmp_path / "plans"
    plans.mkdir()
    (plans / "restore-test.yaml").write_text(yaml.safe_dump(plan))
    settings = Settings(home=tmp_path / "home", plans=plans, store=str(tmp_path / "store"))
    return Home(tmp_path, settings, "restore-test")
