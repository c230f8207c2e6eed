"""One small installation, as most unit tests need it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.ledger import Ledger, open_ledger
from muster.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An empty home, and a folder as its store."""
    return Settings(home=tmp_path / "home", store=str(tmp_path / "store"))


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """Its ledger, open."""
    with open_ledger(settings.ledger_url) as opened:
        yield opened
