"""SIGKILL before every write from sealing to the package: what is there by then verifies, and asking again ends it."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from package_paper import AUGUST, JULY, Paper
from test_package_gather import Q3, PaperLedger

from evidence import durable
from evidence.bundle import seal
from evidence.errors import EvidenceError
from evidence.keys import ensure_key_pair, load_public, load_signer
from evidence.log import Entry
from evidence.notary import Hands, Notary, proof_key
from evidence.outbox import Outbox, Sent
from evidence.receipts import receipt_key
from evidence.stores import DirectoryStore
from evidence.vault import Vault
from evidence.verify import Given, check, load_key
from muster.notary.policy import EvidencePolicy
from muster.notary.rounds import go_round
from muster.package import making
from muster.package.gather import Sources
from muster.package.releasing import package_release

pytestmark = pytest.mark.timeout(900)
"""Hundreds of processes, each a moment of work."""
NOW = datetime.fromisoformat("2026-10-05T03:00:00+00:00")
KEY = "shop/shop-1.tar.gz"
PACKAGE = "packages/v1-2026-Q3.tar.gz"
CHANGES = frozenset({"os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.chmod"})
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing that it wrote, on disk or not: only a power cut would."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def killed_before_write(number: int, act: Callable[[], object]) -> bool:
    """Run `act` in a child that is killed right before its n-th change to a disk; whether it was."""
    child = os.fork()
    if not child:
        countdown = iter(range(number, -1, -1))

        def watch(event: str, told: tuple[object, ...]) -> None:
            is_write = event == "open" and isinstance(told[2], int) and told[2] & WRITES
            if (event in CHANGES or is_write) and next(countdown, 0) == 0:
                os.kill(os.getpid(), 9)

        try:
            sys.addaudithook(watch)
            act()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, -9}
    return code == -9


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is killed cannot clear up: its temporary folders are made where the test's are."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


class Home:
    """An installation on paper: a key, an outbox and a store in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, folder / "keys" / "signing.pem"
        self.outbox, self.store = Outbox(folder / "outbox"), DirectoryStore(folder / "store")

    @property
    def pinned(self) -> Path:
        return self.key.with_suffix(".pub")

    def notary(self) -> Notary:
        signer = load_signer(self.key)
        return Notary(self.store, Hands(signer, signer), now=lambda: NOW, where="a store", seen=self.folder / "seen")

    def close(self) -> None:
        """Seal a run, keep it in the outbox, send it, enter it: in the steps and the order of `muster.closing`."""
        if self.outbox.path_of(KEY) is None:
            ended = (NOW - timedelta(minutes=5)).isoformat()
            predicate = {"run": "shop-1", "plan": "shop", "outcome": "passed", "scheduledAt": ended, "endedAt": ended}
            destination = self.folder / "sealing" / "shop-1.tar.gz"
            sealed = seal({"a": b"1"}, predicate, load_signer(self.key), destination, {})
            self.outbox.add(sealed, KEY)
            sealed.path.unlink()
        self.outbox.flush(self.store, self._enter)

    def package(self) -> None:
        """As `muster evidence package`: what was handed in is entered, and the package made, kept and entered."""
        go_round(self.notary(), EvidencePolicy())
        ledger = PaperLedger(clock=NOW)
        vault = Vault.open(self.store, load_public(self.pinned))
        sources = Sources(vault, ledger, ())  # type: ignore[arg-type]
        made = package_release(sources, "v1", Q3, load_signer(self.key), self.folder / "out")
        self.store.put(PACKAGE, made.path, made.sha256)
        self.notary().enter(PACKAGE, made.path)

    def holds_package(self) -> bool:
        return self.store.head(PACKAGE) is not None

    def runs(self) -> list[str]:
        """Those whose bundles the store holds, in the order of their due times."""
        return [Path(key).name.removesuffix(".tar.gz") for key in self.store.keys("orders/")]

    def entries(self) -> list[Entry]:
        return list(Vault.open(self.store, load_public(self.pinned)).entries())

    def assert_sound(self) -> None:
        """Whatever stands under a final name verifies: bundles, proofs, receipts and packages."""
        for path in self._final():
            report = check(path, self._given(path))
            assert report.verdict == "pass", (path, report)

    def _enter(self, sent: Sequence[Sent]) -> dict[str, str]:
        problems = self.notary().enter_all((one.receipt.key, one.path) for one in sent)
        return {key: str(problem) for key, problem in problems.items()}

    def _final(self) -> Iterator[Path]:
        for path in sorted(self.folder.rglob("*.tar.gz")):
            if not any(part.startswith(".") for part in path.relative_to(self.folder).parts):
                yield path

    def _given(self, path: Path) -> Given:
        root = self.store.root
        key = path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
        proof, receipt = root / proof_key(key), root / receipt_key(key)
        keyring = root / "keys"
        return Given(
            load_key(self.pinned),
            proof=proof if key and proof.is_file() else None,
            receipt=receipt if key and receipt.is_file() else None,
            keyring=keyring if key and any(keyring.glob("*.json")) else None,
        )


def test_killed_anywhere_from_the_seal_to_the_log_the_next_one_ends_it(tmp_path: Path) -> None:
    number, killed = 0, True
    ensure_key_pair(tmp_path / "keys" / "signing.pem")
    while killed:
        home = Home(tmp_path / f"h{number}")
        shutil.copytree(tmp_path / "keys", home.folder / "keys")
        killed = killed_before_write(number, home.close)
        home.assert_sound()
        home.close()
        home.assert_sound()
        assert home.outbox.waiting() == ()
        assert [entry.fields.get("run") for entry in home.entries()] == [None, "shop-1"], "entered once"
        assert home.store.read(proof_key(KEY))
        number += 1
    assert number > 60, "the kill points were not reached"


@pytest.fixture
def quarter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A store in which one run is entered and another handed in, before its package is made."""
    monkeypatch.setattr(making, "render_pdf", lambda *_: b"%PDF")  # drawn hundreds of times, and no verifier reads it
    home = Home(tmp_path / "base")
    ensure_key_pair(home.key)
    paper = Paper(home.folder)
    for due in (JULY, AUGUST):
        key = paper.run("orders", due)
        home.store.put(key, paper.bundles[key], durable.sha256_of(paper.bundles[key]))
        if due == JULY:
            go_round(home.notary(), EvidencePolicy())
    shutil.rmtree(home.folder / "bundles")
    return home


def test_killed_anywhere_in_making_and_entering_a_package_the_next_one_ends_it(quarter: Home, tmp_path: Path) -> None:
    """The round that a package begins with is cut short too; it enters what an earlier one left in the store."""
    number, killed = 0, True
    while killed:
        home = Home(tmp_path / f"h{number}")
        shutil.copytree(quarter.folder, home.folder)
        killed = killed_before_write(number, home.package)
        home.assert_sound()
        if home.holds_package():
            with pytest.raises(EvidenceError, match="is in the log already"):
                home.package()
        else:
            home.package()
        home.assert_sound()
        said = [(entry.kind, entry.fields.get("run", entry.fields.get("name"))) for entry in home.entries()[1:]]
        assert said == [("run", run) for run in home.runs()] + [("package", "v1-2026-Q3")], "each once"
        shutil.rmtree(home.folder)
        number += 1
    assert number > 100, "the kill points were not reached"
