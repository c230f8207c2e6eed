"""Every restore target keeps the same promises: true backups, whole restores, nothing touched, nothing left.

A new target is a line in `OFFERS`. A part that is missing on this machine is a failure, not a skip.
"""

import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.registry import open_target
from flows.restore import DRILL
from muster.drill import Workspace
from muster.errors import UsageError
from muster.plan import Plan
from muster.prove import Scene, Trial, run_trial
from muster.settings import Settings
from muster.verdict import Outcome, Verdict
from tasks.targets.restorable import Restorable
from tests.contract.sources import ACCESS, BUCKET, DATABASE, SECRET, Sources, digest, made_sources

JUDGED = {
    "restored", "bytes", "rows", "canary", "amcheck", "page checksums", "sequences", "materialised views",
    "invalid indexes", "collations", "roles", "server version", "sql: customers", "isolation", "left behind",
}  # fmt: skip
JUDGED_PHYSICAL = JUDGED | {"wal", "reached", "identity"}


@dataclass(frozen=True)
class Place:
    """Where a copy of the backups lies: the plan's keys for it, and a digest of everything there."""

    keys: Mapping[str, Any]
    digest: Callable[[], str]


@dataclass(frozen=True)
class Offer:
    """What one target, in one form, offers the suite."""

    repository: Callable[[Sources], Path]
    """Its backups: copied for each test."""
    place: Callable[[Sources, Path, str], Place]
    """Where a copy is to be drilled: by its folder and a name that no other test uses."""
    victim: str
    """The largest file that fits is the one in which a byte is flipped ..."""
    caught_by: str
    """... and this check, or the restore itself, must say so."""
    major: int
    labels: Callable[[tuple[str, ...]], bool]
    chain: int
    physical: bool = True
    choice: Mapping[str, Any] | None = None


def embedded(sources: Sources, folder: Path, name: str) -> Place:
    keys = {"type": "embedded", "folder": str(folder), "system_identifier": sources.physical.system_identifier}
    return Place(keys, partial(digest, folder))


def dump(sources: Sources, folder: Path, name: str) -> Place:
    return Place({"type": "dump", "path": str(folder), "globals": "globals.sql"}, partial(digest, folder))


def dump_on_s3(sources: Sources, folder: Path, name: str) -> Place:
    sources.objects.upload(folder, name)
    keys = {
        "type": "dump",
        "path": f"s3://{BUCKET}/{name}",
        "globals": "globals.sql",
        "endpoint": sources.objects.endpoint,
        "credentials": "SHOP_BACKUPS",
    }
    return Place(keys, partial(sources.objects.digest, name))


def pgbackrest(sources: Sources, folder: Path, name: str) -> Place:
    keys = {**_stanza(sources), "config": str(sources.repository.config), "options": {"repo1-path": str(folder)}}
    return Place(keys, lambda: digest(folder) + digest(sources.repository.spool))


def pgbackrest_on_s3(sources: Sources, folder: Path, name: str) -> Place:
    sources.objects.upload(folder, name)
    config = folder.parent / "pgbackrest.conf"
    config.write_text(f"[global]\nrepo1-s3-key={ACCESS}\nrepo1-s3-key-secret={SECRET}\n", encoding="utf-8")
    config.chmod(0o600)
    options = {
        "repo1-type": "s3",
        "repo1-path": f"/{name}",
        "repo1-s3-bucket": BUCKET,
        "repo1-s3-endpoint": "localhost",
        "repo1-s3-region": "us-east-1",
        "repo1-s3-uri-style": "path",
        "repo1-storage-port": sources.objects.tls_port,
        "repo1-storage-ca-file": str(sources.objects.certificate),
    }
    keys = {**_stanza(sources), "config": str(config), "options": options}
    return Place(keys, partial(sources.objects.digest, name))


def _stanza(sources: Sources) -> dict[str, Any]:
    return {
        "type": "pgbackrest",
        "stanza": "shop",
        "references": str(sources.repository.references),
        "system_identifier": sources.repository.system_identifier,
    }


def _base_backups(victim: str, label: str, chain: int) -> Offer:
    named = {"choose": "named", "name": label}
    return Offer(
        lambda s: s.physical.folder, embedded, victim, "bytes", 18, {"full", "incr"}.issuperset, chain, choice=named
    )


def _dump(label: str, victim: str, caught_by: str, place: Callable[..., Place] = dump) -> Offer:
    named = {"choose": "named", "name": label}
    labels = {"custom.dump", "folder", "plain.sql", "plain.sql.gz"}.issuperset
    return Offer(lambda s: s.physical.dumps, place, victim, caught_by, 18, labels, 1, physical=False, choice=named)


def _repository(place: Callable[..., Place]) -> Offer:
    def full_and_incremental(labels: tuple[str, ...]) -> bool:
        full, incremental = labels
        return full.endswith("F") and incremental.startswith(f"{full}_") and incremental.endswith("I")

    victim = "backup/shop/*F/pg_data/base/*/*.gz"
    return Offer(lambda s: s.repository.path, place, victim, "bytes", 15, full_and_incremental, 2)


OFFERS = {
    "embedded-full": _base_backups("backups/full/base/*/*", "full", 1),
    "embedded-chain": _base_backups("backups/incr/base/*/*", "incr", 2),
    "dump-custom": _dump("custom.dump", "custom.dump", "bytes"),
    "dump-directory": _dump("folder", "folder/*.dat.gz", "bytes"),
    # A plain dump carries no checksum: that a byte is another one, only the rows can tell.
    "dump-plain": _dump("plain.sql", "plain.sql", "rows"),
    "dump-gzip": _dump("plain.sql.gz", "plain.sql.gz", "bytes"),
    "dump-directory-s3": _dump("folder", "folder/*.dat.gz", "bytes", dump_on_s3),
    "pgbackrest-posix": _repository(pgbackrest),
    "pgbackrest-s3": _repository(pgbackrest_on_s3),
}


@pytest.fixture(scope="module")
def sources():
    with made_sources() as made:
        yield made


@pytest.fixture(params=OFFERS)
def name(request):
    return request.param


@pytest.fixture
def offer(name):
    return OFFERS[name]


@pytest.fixture
def copy(sources, offer, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(offer.repository(sources), folder)
    return folder


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    monkeypatch.setenv("SHOP_BACKUPS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("SHOP_BACKUPS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def plan_of(offer: Offer, keys: Mapping[str, Any], **restore: Any) -> Plan:
    section = {
        "database": DATABASE,
        "canary": {"checksum_column": "checksum"},
        "roles": ["shop_app"],
        "server_major": offer.major,
        "sql": [{"name": "customers", "sql": "select count(*) from customers", "equals": 500}],
        **({"backup": offer.choice} if offer.choice else {}),
    }
    return Plan.model_validate(
        {
            "name": "contract",
            "kind": "restore",
            "environment": "test",
            "owner": "tests",
            "target": keys,
            "time_limit": "4m",
            "restore": section | restore,
        }
    )


def drill(plan: Plan, folder: Path) -> Trial:
    return run_trial(DRILL, Scene(plan, folder), open_target, threading.Event())


def said(trial: Trial, verdict: Verdict) -> set[str]:
    return {finding.check for finding in trial.saying(verdict)}


def flip_a_byte(folder: Path, pattern: str) -> None:
    victim = max(folder.glob(pattern), key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    at = len(content) // 2
    if victim.suffix == ".sql":
        at = content.index(b"\tCustomer 77\n") + 1  # a row's value, not the script around it
    content[at] ^= 1
    victim.write_bytes(content)


def test_backups_are_told_truly(sources, offer, name, copy):
    target = open_target(offer.place(sources, copy, f"{name}-told").keys, Settings())
    assert isinstance(target, Restorable)
    backups = target.backups()
    assert offer.labels(tuple(b.label for b in backups))
    assert [b.taken_at for b in backups] == sorted(b.taken_at for b in backups)
    for backup in backups:
        assert backup.form == ("physical" if offer.physical else "dump")
        assert backup.major == offer.major
        assert backup.bytes > 0
        assert backup.taken_at.utcoffset() is not None
        assert (backup.stop_lsn is not None) == offer.physical
        assert (backup.system_identifier is not None) == offer.physical
    wanted = (offer.choice or {}).get("name", backups[-1].label)
    chosen = next(b for b in backups if b.label == wanted)
    assert (len(chosen.chain), chosen.chain[-1]) == (offer.chain, wanted)
    assert (target.archive_end() is not None) == offer.physical
    assert target.references()


def test_a_healthy_backup_passes_and_nothing_is_touched_or_left(sources, offer, name, copy, tmp_path):
    place = offer.place(sources, copy, f"{name}-healthy")
    before = place.digest()
    trial = drill(plan_of(offer, place.keys), tmp_path / "run")
    assert trial.ending.get("message", "") == ""
    assert trial.outcome is Outcome.PASSED
    assert said(trial, Verdict.FAIL) | said(trial, Verdict.INCONCLUSIVE) == set()
    assert said(trial, Verdict.PASS) == (JUDGED_PHYSICAL if offer.physical else JUDGED)
    assert place.digest() == before
    assert not left_of(tmp_path / "run")


def test_a_flipped_byte_is_caught(sources, offer, name, copy, tmp_path):
    flip_a_byte(copy, offer.victim)
    place = offer.place(sources, copy, f"{name}-flipped")
    trial = drill(plan_of(offer, place.keys), tmp_path / "run")
    assert trial.outcome is Outcome.FAILED
    assert said(trial, Verdict.FAIL) & {offer.caught_by, "restored"}
    assert not left_of(tmp_path / "run")


def test_an_unknown_key_is_refused(sources, offer, name, copy):
    keys = offer.place(sources, copy, f"{name}-unknown").keys
    with pytest.raises(UsageError, match="nonsense"):
        open_target({**keys, "nonsense": 1}, Settings())


def test_missing_programs_are_told(sources, offer, name, copy, tmp_path):
    place = offer.place(sources, copy, f"{name}-programs")
    trial = drill(plan_of(offer, place.keys, postgres_bin="/nowhere/bin"), tmp_path / "run")
    assert (trial.outcome, trial.ending["step"]) == (Outcome.REFUSED, "choose")
    assert "no PostgreSQL server in /nowhere/bin" in trial.ending["message"]
    assert "restore.postgres_bin" in trial.ending["advice"]
    assert not left_of(tmp_path / "run")


def left_of(folder: Path) -> set[str]:
    """Processes, folders and sockets of a run that is over; its logs are evidence."""
    workspace = Workspace("contract", folder)
    running = {str(p.pid) for p in psutil.process_iter() if str(folder) in " ".join(_words(p))}
    return running | {str(path) for path in (workspace.scratch, workspace.sockets) if path.exists()}


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
