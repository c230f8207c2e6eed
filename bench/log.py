"""`python -m bench.log`: how fast the transparency log takes entries, how fast it proves them, how much it keeps.

Promises: it works below one folder and deletes all of it; every append is durable when it returns; what is compared
is run in turn.
"""

import argparse
import hashlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.table import Table
from securesystemslib.signer import CryptoSigner

from bench.measure import Series, peak_mb, ratio, settle, timed
from bench.results import keep, machine, new_table, show
from evidence.keys import PublicKey
from evidence.log import Bundle, Draft, Log, Reader, run_draft
from evidence.stores import DirectoryStore
from evidence.verify import (
    check_inclusion,
    leaf_hash,
    note_signed_by,
    parse_checkpoint,
    parse_note,
    parse_tlog_proof,
    root_of,
)

_ORIGIN = "example.org/log"
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_ASKED_A_SECOND, _ASKED_FIND_MS, _ASKED_CHECK_MS = 10_000, 5, 1


@dataclass(frozen=True)
class Appends:
    """Entries appended to a folder, a second; the same bytes only hashed; as many files only written and synced."""

    entries: int
    batch: int
    files: int
    appended: Series
    hashed: Series
    written: Series


@dataclass(frozen=True)
class Proofs:
    """Milliseconds to find and to check a proof in a log of so many entries."""

    entries: int
    built_a_second: float
    newest: Series
    cold: Series
    warm: Series
    checked: Series
    hashes: int
    memory_mb: float


@dataclass(frozen=True)
class Storage:
    """Bytes and objects an entry, on average over `entries` of them, appended in batches of one size."""

    batch: int
    entries: int
    entry: float
    total: float
    parts: dict[str, float]
    objects: float


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.log", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work?")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the data goes, 2 GB")
    options = parser.parse_args(arguments)
    console, began = Console(), datetime.now(UTC)
    console.print(machine())
    entries, rounds, large, some = (500, 2, 5_000, 64) if options.quick else (10_000, 5, 1_000_000, 1024)
    with tempfile.TemporaryDirectory(prefix="muster-bench-", dir=options.dir) as name:
        folder = Path(name)
        appends = [_appends(folder / str(batch), entries, batch, rounds) for batch in (256, 4096)]
        storage = [_storage(folder / f"store-{batch}", some, batch) for batch in (1, 16, 256)]
        show(tables := [_appends_table(appends), _storage_table(storage)], console)
        console.print(f"Making a log of {large:,} entries.", style="dim")
        proofs = _proofs(folder / "large", large, 50 if options.quick else 300)
        tables.append(_proofs_table(proofs))
        show(tables[-1:], console)
    data = {"appends": [asdict(a) for a in appends], "storage": [asdict(s) for s in storage], "proofs": asdict(proofs)}
    console.print(f"Kept in {keep(f'log-{began:%Y%m%dT%H%M%SZ}', began, tables, data)}, and beside it as JSON.")
    return 0


def _appends(folder: Path, entries: int, batch: int, rounds: int) -> Appends:
    appended, hashed, written = [], [], []
    sizes: list[int] = []
    for number in range(rounds):
        drafts = _drafts(number * entries, entries)
        store = DirectoryStore(folder / f"log-{number}")
        log = _log(store)
        settle()
        seconds = timed(lambda log=log, drafts=drafts: _append(log, drafts, batch))
        appended.append(entries / seconds)
        contents = [entry.content for entry in log.view().entries()]
        hashed.append(entries / timed(lambda contents=contents: root_of(map(leaf_hash, contents))))
        sizes = [len(store.read(key)) for key in store.keys("log/")]
        settle()
        bare = folder / f"bare-{number}"
        written.append(entries / timed(lambda bare=bare, sizes=sizes: _write(bare, sizes)))
    return Appends(entries, batch, len(sizes), *(Series(tuple(of)) for of in (appended, hashed, written)))


def _append(log: Log, drafts: Sequence[Draft], batch: int) -> None:
    for at in range(0, len(drafts), batch):
        log.append(drafts[at : at + batch])


def _write(folder: Path, sizes: Sequence[int]) -> None:
    """The least that keeps as many files of these sizes: each written and synced, and its folder synced."""
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    for number, size in enumerate(sizes):
        with (folder / str(number)).open("wb") as out:
            out.write(bytes(size))
            out.flush()
            os.fsync(out.fileno())
        os.fsync(handle)
    os.close(handle)


def _storage(folder: Path, entries: int, batch: int) -> Storage:
    store = DirectoryStore(folder)
    log = _log(store)
    _append(log, _drafts(0, entries), batch)
    parts = dict.fromkeys(("batches", "entries", "hashes", "heads"), 0.0)
    keys = store.keys()
    for key in keys:
        part = "entries" if "/entries/" in key else "hashes" if "/tile/" in key else key.split("/")[1]
        parts[part] += len(store.read(key)) / entries
    mean = sum(len(entry.content) for entry in log.view().entries()) / entries
    return Storage(batch, entries, mean, sum(parts.values()), parts, len(keys) / entries)


def _proofs(folder: Path, entries: int, count: int) -> Proofs:
    store, began = DirectoryStore(folder), time.perf_counter()
    log = _log(store)
    for at in range(0, entries, 40_000):
        log.append(_drafts(at, min(40_000, entries - at)))
    built = entries / (time.perf_counter() - began)
    reader = Reader(store, _ORIGIN, [_PUBLIC])
    choose = random.Random(7)
    view = reader.view()
    newest, cold, warm, checked, hashes = [], [], [], [], 0
    for _ in range(count):
        index = choose.randrange(entries)
        newest.append(1000 * timed(reader.newest))
        cold.append(1000 * timed(lambda index=index: reader.view(entries).prove(index)))
        warm.append(1000 * timed(lambda: view.prove(choose.randrange(entries))))
        content = view.prove(index)
        checked.append(1000 * timed(lambda content=content: _check(content)))
        hashes = len(_check(content))
    series = (Series(tuple(of)) for of in (newest, cold, warm, checked))
    return Proofs(entries, built, *series, hashes, peak_mb(os.getpid()))


def _check(content: bytes) -> tuple[bytes, ...]:
    """All that shows an entry to be in the log: its proof, and the signature of the head."""
    proof = parse_tlog_proof(content)
    note = parse_note(proof.checkpoint) if proof else None
    head = parse_checkpoint(note.text) if note else None
    if (
        proof is None
        or note is None
        or head is None
        or not note_signed_by(note, _ORIGIN, _PUBLIC.key.public_bytes_raw())
    ):
        raise RuntimeError("the proof cannot be read")
    if not check_inclusion(proof.index, head.size, leaf_hash(proof.extra), proof.hashes, head.root):
        raise RuntimeError("the proof does not hold")
    return proof.hashes


_PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
_PUBLIC = PublicKey(_PRIVATE.public_key())


def _log(store: DirectoryStore) -> Log:
    return Log(store, _ORIGIN, CryptoSigner(_PRIVATE), now=lambda: datetime.now(UTC))


def _drafts(start: int, count: int) -> list[Draft]:
    return [_draft(number) for number in range(start, start + count)]


def _draft(number: int) -> Draft:
    """A run as drills seal them."""
    run = f"20260101T000000Z-{number:08d}"
    digest = hashlib.sha256(run.encode()).hexdigest()
    return run_draft(
        bundle=Bundle(f"restore-shop-primary/{run}.tar.gz", digest, 100_000 + number),
        envelope=digest,
        outcome="passed",
        plan="restore-shop-primary",
        receipt=digest,
        run=run,
        scheduled_at=_BEGAN + timedelta(minutes=number),
        slot=digest,
    )


def _appends_table(found: list[Appends]) -> Table:
    table = new_table(f"Entries appended to a folder, a second (asked: {_ASKED_A_SECOND:,})",
                      "entries", "in batches of", "files", "appended", "only hashed", "files only written and synced",
                      "appended / written", "asked")  # fmt: skip
    for a in found:
        cells = (str(a.appended), str(a.hashed), str(a.written), str(ratio(a.appended, a.written)))
        met = "met" if a.appended.median >= _ASKED_A_SECOND else "missed"
        table.add_row(f"{a.entries:,}", f"{a.batch:,}", f"{a.files:,}", *cells, met)
    return table


def _storage_table(found: list[Storage]) -> Table:
    table = new_table("Kept for each entry, bytes",
                      "in batches of", "the entry itself", "batches", "entry bundles", "hashes", "heads", "all",
                      "objects an entry")  # fmt: skip
    for s in found:
        parts = (f"{s.parts[part]:,.0f}" for part in ("batches", "entries", "hashes", "heads"))
        table.add_row(f"{s.batch:,}", f"{s.entry:,.0f}", *parts, f"{s.total:,.0f}", f"{s.objects:.2f}")
    return table


def _proofs_table(p: Proofs) -> Table:
    asked = f"found in {_ASKED_FIND_MS}, checked in {_ASKED_CHECK_MS}"
    table = new_table(f"A proof in a large log, milliseconds (asked: {asked})",
                      "entries", "appended a second", "newest head found", "proof found under it",
                      "found in an open view", "checked", "hashes", "memory, MB", "asked")  # fmt: skip
    met = "met" if p.cold.median <= _ASKED_FIND_MS and p.checked.median <= _ASKED_CHECK_MS else "missed"
    times = map(str, (p.newest, p.cold, p.warm, p.checked))
    table.add_row(f"{p.entries:,}", f"{p.built_a_second:,.0f}", *times, str(p.hashes), f"{p.memory_mb:.0f}", met)
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
