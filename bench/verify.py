"""`python -m bench.verify`: sealing and verifying a bundle, beside `sha256sum` of the same bytes; seconds and memory.

Promises: all work on one file, in turn, each in a process of its own; the file does not compress, and is in the
machine's memory for all of them alike. Sealing ends when the bundle is on the disk, so the disk's own speed is told.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import Finished, Series, ratio, run, settle
from bench.results import keep, machine, new_table
from evidence import verify
from evidence.bundle import seal
from evidence.keys import ensure_key_pair, load_signer

SIZES = (10, 100, 1000, 4000)
"""Megabytes."""
_WRITE_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Sealing:
    """One size, measured several times in turn; seconds, and the peak of memory in MB."""

    megabytes: int
    sha256sum: Series
    openssl: Series
    disk: Series
    """Writing as many bytes and waiting until they are on the disk."""
    seal: Series
    verify: Series
    seal_mb: Series
    verify_mb: Series


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    options = _options(arguments)
    if options.child:
        return _child(options.child, options.dir)
    began, console = datetime.now(UTC), Console()
    console.print(machine())
    sizes: list[Sealing] = []
    with tempfile.TemporaryDirectory(prefix="muster-bench-", dir=options.dir) as folder:
        ensure_key_pair(Path(folder) / "signing.pem")
        for megabytes in options.sizes:
            console.print(f"{megabytes:,} MB.", style="dim")
            sizes.append(measure(Path(folder), megabytes, options.rounds))
    table = _table(sizes)
    console.print(table)
    console.print(f"Kept in {keep(f'{began:%Y%m%dT%H%M%SZ}-verify', began, [table], [asdict(s) for s in sizes])}")
    return 0


def measure(folder: Path, megabytes: int, rounds: int) -> Sealing:
    """Everything at one size, in turn."""
    with (folder / "payload").open("wb") as out:
        for _ in range(megabytes):
            out.write(os.urandom(_WRITE_AT_ONCE))
    found: dict[str, list[Finished]] = {name: [] for name in ("sha256sum", "openssl", "disk", "seal", "verify")}
    for _ in range(rounds):
        for name, results in found.items():
            settle()
            results.append(run(_command(name, folder), timeout=1_800))
    seconds = {name: Series(tuple(map(_seconds, results))) for name, results in found.items()}
    peaks = {f"{n}_mb": Series(tuple(each.peak_mb for each in found[n])) for n in ("seal", "verify")}
    return Sealing(megabytes, **seconds, **peaks)


def _command(name: str, folder: Path) -> list[str]:
    payload = str(folder / "payload")
    if name == "sha256sum":
        return ["sha256sum", payload]
    if name == "openssl":
        return ["openssl", "dgst", "-sha256", payload]
    return [sys.executable, "-m", "bench.verify", "--child", name, "--dir", str(folder)]


def _seconds(finished: Finished) -> float:
    """What a child says of itself: without its start, which costs a small file more than all the rest."""
    try:
        return float(finished.output)
    except ValueError:
        return finished.seconds


def _child(what: str, folder: Path) -> int:
    signer = load_signer(folder / "signing.pem")
    began = time.perf_counter()
    if what == "seal":
        seal({"payload": folder / "payload"}, {"run": "bench"}, signer, folder / "bench.tar.gz", {})
    elif what == "verify":
        assert verify.verify(folder / "bench.tar.gz", folder / "signing.pub").verdict == "pass"
    else:
        _write(folder / "payload", folder / "copy")
    print(time.perf_counter() - began)
    return 0


def _write(source: Path, copy: Path) -> None:
    with source.open("rb") as payload, copy.open("wb") as out:
        while piece := payload.read(_WRITE_AT_ONCE):
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    copy.unlink()


def _table(sizes: list[Sealing]) -> Table:
    columns = (
        *("size", "sha256sum, s", "openssl dgst, s", "copy to disk, s", "seal, s", "verify, s"),
        *("seal / sha256sum", "verify / sha256sum", "verify / openssl", "seal, MB", "verify, MB"),
    )
    table = new_table("Speed beside hashing alone (above 1 is faster), and memory", *columns)
    for size in sizes:
        ratios = (
            ratio(size.sha256sum, size.seal),
            ratio(size.sha256sum, size.verify),
            ratio(size.openssl, size.verify),
        )
        seconds = (size.sha256sum, size.openssl, size.disk, size.seal, size.verify)
        table.add_row(f"{size.megabytes:,} MB", *map(str, (*seconds, *ratios, size.seal_mb, size.verify_mb)))
    return table


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.verify", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="MB", help="megabytes to seal")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the data goes")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
