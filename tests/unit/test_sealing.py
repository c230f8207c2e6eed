"""What goes into a run's bundle beside its journal: logs redacted by whoever wrote them, exhibits as they are."""

import os
import tarfile
from pathlib import Path

import pytest
from test_report_samples import PASSED

from evidence.bundle import Sealed
from evidence.errors import SealError
from evidence.keys import ensure_key_pair, load_signer
from evidence.verify import verify
from muster.drill import Workspace
from muster.journal import Event, EventKind, History
from muster.sealing import seal_run
from muster.settings import Settings

EXHIBITS = {
    "history/w-0.log": os.urandom(48 * 100),
    "history/end.json": b"{}\n",
    "history/reads/verify-b.u64": b"\x01\0\0\0\0\0\0\0",
    "salvage/commits.txt": b"password=not-redacted\r\n",
    "empty": b"",
}
JUDGED = Event(
    run=PASSED.run,
    seq=0,
    kind=EventKind.JUDGED,
    at=PASSED.ended_at,
    mono_ns=0,
    body={"outcome": PASSED.outcome.value, "verdict": PASSED.verdict.value},
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(PASSED.run, tmp_path / "runs" / PASSED.run)
    for name, content in EXHIBITS.items():
        path = workspace.exhibits / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return workspace


def seal(workspace: Workspace, settings: Settings) -> Sealed:
    ensure_key_pair(settings.key_file)
    return seal_run(PASSED, History((JUDGED,)), workspace, load_signer(settings.key_file))


def exhibits_in(sealed: Sealed) -> dict[str, bytes]:
    """Name below the exhibits to content, as `tar` sees it."""
    with tarfile.open(sealed.path) as bundle:
        found = {m.name.partition("/data/exhibits/")[2]: bundle.extractfile(m) for m in bundle if m.isfile()}
        return {name: file.read() for name, file in found.items() if name and file}


def test_a_tree_of_exhibits_goes_in_as_it_is(workspace: Workspace, settings: Settings) -> None:
    sealed = seal(workspace, settings)
    assert exhibits_in(sealed) == EXHIBITS
    report = verify(sealed.path, settings.public_key_file)
    assert report.verdict == "pass", report


def test_sealing_again_gives_the_same_bytes(workspace: Workspace, settings: Settings) -> None:
    first = seal(workspace, settings)
    before = first.path.read_bytes()
    for path in workspace.exhibits.rglob("*"):
        os.utime(path, (1, 1))
    assert seal(workspace, settings).sha256 == first.sha256
    assert first.path.read_bytes() == before


def test_what_was_changed_or_added_is_seen(workspace: Workspace, settings: Settings) -> None:
    first = seal(workspace, settings).sha256
    (workspace.exhibits / "history/end.json").write_bytes(b'{"logs":{}}\n')
    second = seal(workspace, settings).sha256
    (workspace.exhibits / "history/one-more").touch()
    assert len({first, second, seal(workspace, settings).sha256}) == 3


def test_nothing_goes_in_by_a_link(workspace: Workspace, settings: Settings, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere"
    secret.mkdir()
    (secret / "key.pem").write_text("secret")
    (workspace.exhibits / "file").symlink_to(secret / "key.pem")
    (workspace.exhibits / "folder").symlink_to(secret)
    (workspace.exhibits / "nowhere").symlink_to(tmp_path / "nowhere")
    (workspace.exhibits / "history/self").symlink_to(workspace.exhibits / "history")
    os.mkfifo(workspace.exhibits / "pipe")
    assert exhibits_in(seal(workspace, settings)) == EXHIBITS


def test_a_run_without_exhibits_is_sealed(settings: Settings, tmp_path: Path) -> None:
    sealed = seal(Workspace(PASSED.run, tmp_path / "runs" / PASSED.run), settings)
    assert exhibits_in(sealed) == {}
    assert verify(sealed.path, settings.public_key_file).verdict == "pass"


def test_a_name_that_no_disk_may_have_is_refused_and_leaves_no_bundle(workspace: Workspace, settings: Settings) -> None:
    (workspace.exhibits / "two\nlines").touch()
    with pytest.raises(SealError, match="portable"):
        seal(workspace, settings)
    assert list(workspace.root.glob("*.tar.gz")) == []
