"""`python -m bench.checker`: the set checker over millions of operations, beside reading the same bytes.

Promises: it works below one folder and deletes all of it; every measurement is a process of its own, so that its peak
of memory is its own; the floor is what numpy needs to read the same files and add up one of their columns.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.measure import Series, peak_mb, ratio, run, settle
from bench.results import keep, machine, new_table, show
from muster.failover.checker import Span, account
from muster.failover.history import RECORD, SEQUENCE_BITS, End, Kind, LogEnd, Session, read_log
from muster.failover.observations import SetRead
from muster.failover.series import series
from muster.failover.takeover import takeovers

SIZES = (1_000_000, 3_000_000, 10_000_000)
"""Operations: a call with its beginning and its end, 64 bytes."""
QUICK = (100_000,)
CONNECTIONS = 8
ALLOWED_SECONDS = 30.0
"""For the largest size."""
_OLD, _NEW = "a/1/1", "b/2/2"
_SERVERS = {_OLD: "a", _NEW: "b"}
_READS = 50_000
"""Of one id, in the log of one reader, at most."""
_LOST_EACH = 100


@dataclass(frozen=True)
class Judged:
    """One size: operations, bytes, and what it took."""

    operations: int
    megabytes: float
    floor: Series
    checker: Series
    takeover: Series
    timeline: Series
    peak_mb: float
    floor_peak_mb: float


def make_history(folder: Path, operations: int) -> None:
    """A takeover at half time that loses a hundred acknowledged writes of each connection."""
    folder.mkdir(parents=True)
    each, ends, present = operations // CONNECTIONS, {}, []
    sessions = []
    for connection in range(CONNECTIONS):
        name = f"w-{connection:03d}.log"
        numbers = np.arange(1, each + 1, dtype=np.uint64) | np.uint64(connection << SEQUENCE_BITS)
        records = np.zeros(2 * each, RECORD)
        records["kind"][::2], records["kind"][1::2] = Kind.INVOKE, Kind.OK
        records["kind"][1::2][999::1000] = Kind.INFO
        records["connection"] = connection
        records["session"] = np.repeat([1, 2], [each, each])
        records["id"] = np.repeat(numbers, 2)
        records["mono_ns"] = np.arange(2 * each, dtype=np.uint64) * np.uint64(100_000) + np.uint64(10**9)
        records["wall_ns"] = records["mono_ns"] + np.uint64(17 * 10**17)
        ends[name] = _write(folder / name, records)
        present.append(np.delete(numbers, np.s_[each // 2 - _LOST_EACH : each // 2]))
        sessions += [Session(log=name, session=n, mono_ns=0, server=s) for n, s in ((1, _OLD), (2, _NEW))]
    ends["r-b.log"] = _write(folder / "r-b.log", _reads(each))
    (folder / "sessions.jsonl").write_text("".join(s.model_dump_json() + "\n" for s in sessions), encoding="utf-8")
    (folder / "end.json").write_text(End(logs=ends).model_dump_json(), encoding="utf-8")
    np.concatenate(present).tofile(folder / "all.ids")


def _reads(each: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    asked = np.unique(np.linspace(1, each, _READS).astype(np.uint64))
    records = np.zeros(2 * len(asked), RECORD)
    records["kind"][::2], records["kind"][1::2] = Kind.READ_INVOKE, Kind.READ_PRESENT
    records["kind"][1::2][::7] = Kind.READ_ABSENT
    records["id"] = np.repeat(asked, 2)
    records["mono_ns"] = records["id"] * np.uint64(200_000) + np.uint64(2 * 10**9)
    records["mono_ns"][1::2] += np.uint64(1)
    records["wall_ns"] = records["mono_ns"] + np.uint64(17 * 10**17)
    return records


def _write(path: Path, records: np.ndarray[tuple[int], np.dtype[np.void]]) -> LogEnd:
    path.write_bytes(data := records.tobytes())
    return LogEnd(records=len(records), sha256=hashlib.sha256(data).hexdigest())


def _whole_reads(folder: Path) -> list[SetRead]:
    ids = (folder / "all.ids").stat().st_size // 8
    common = {"node": "b", "server": _NEW, "is_primary": True, "ids": ids, "file": "all.ids"}
    late = 10**18
    return [
        SetRead(stage=stage, invoked_ns=late + n, completed_ns=late + n, **common)  # type: ignore[arg-type]
        for n, stage in enumerate(("verify", "rejoin", "account"))
    ]


def _judge(folder: Path, operations: int) -> None:
    half = 10**9 + operations // CONNECTIONS * 100_000
    phases = [Span("before", 0, half), Span("away", half, 10**18)]
    found = account(folder, _whole_reads(folder), phases, _SERVERS, half)
    expected = (operations // CONNECTIONS * CONNECTIONS, True)
    if (found.total.attempts, found.is_whole) != expected or not 0 < found.total.lost <= _LOST_EACH * CONNECTIONS:
        raise AssertionError(f"the checker saw {found.total}")


def _floor(folder: Path, _operations: int) -> None:
    total = 0
    for path in sorted(folder.glob("*.log")):
        total += sum(int(chunk["mono_ns"].max()) for chunk in read_log(path))
    for _ in _whole_reads(folder):
        total += int(np.fromfile(folder / "all.ids", np.uint64).max())


def _take_over(folder: Path, operations: int) -> None:
    takeovers(folder, {_OLD}, {_NEW}, 10**9 + operations // CONNECTIONS * 100_000, "failover")


def _draw(folder: Path, _operations: int) -> None:
    series(folder, _SERVERS, _whole_reads(folder))


WORK: dict[str, Callable[[Path, int], None]] = {
    "floor": _floor,
    "checker": _judge,
    "takeover": _take_over,
    "timeline": _draw,
}


def _child(name: str, folder: Path, operations: int) -> None:
    """Do one thing, and say how long it took and how much memory the process had at most."""
    began = time.perf_counter()
    WORK[name](folder, operations)
    seconds = time.perf_counter() - began
    # Not getrusage: its peak begins with that of the process that forked us, which made the history.
    print(json.dumps([seconds, peak_mb(os.getpid())]))


def measure(folder: Path, operations: int, pairs: int) -> Judged:
    """Each thing in turn, `pairs` times."""
    make_history(folder, operations)
    settle()
    seconds: dict[str, list[float]] = {name: [] for name in WORK}
    peaks: dict[str, float] = dict.fromkeys(WORK, 0.0)
    for _ in range(pairs):
        for name in WORK:
            argv = [sys.executable, "-m", "bench.checker", "--child", name, str(folder), str(operations)]
            took, peak = json.loads(run(argv, timeout=600).output)
            seconds[name].append(took)
            peaks[name] = max(peaks[name], peak)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    floor, checker, takeover, timeline = (Series(tuple(seconds[name])) for name in WORK)
    return Judged(operations, size, floor, checker, takeover, timeline, peaks["checker"], peaks["floor"])


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    if arguments[:1] == ["--child"]:
        _child(arguments[1], Path(arguments[2]), int(arguments[3]))
        return 0
    parser = argparse.ArgumentParser(prog="python -m bench.checker", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small size and one pair: does it work?")
    parser.add_argument("--pairs", type=int, default=3, help="how often each is run in turn")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where the data goes")
    options = parser.parse_args(arguments)
    console, began, found = Console(), datetime.now(UTC), []
    console.print(machine())
    with tempfile.TemporaryDirectory(prefix="muster-bench-", dir=options.dir) as folder:
        for operations in QUICK if options.quick else SIZES:
            found.append(measure(Path(folder) / str(operations), operations, 1 if options.quick else options.pairs))
            shutil.rmtree(Path(folder) / str(operations))
    table = new_table(
        f"The set checker beside reading the same bytes, seconds (at most {ALLOWED_SECONDS:g} for the largest)",
        "operations", "files, MB", "read only", "checker", "checker / read", "takeover", "timeline", "peak memory, MB",
        "of which reading",
    )  # fmt: skip
    for each in found:
        times = (each.floor, each.checker, ratio(each.checker, each.floor), each.takeover, each.timeline)
        memory = (f"{each.peak_mb:.0f}", f"{each.floor_peak_mb:.0f}")
        table.add_row(f"{each.operations:,}", f"{each.megabytes:.0f}", *map(str, times), *memory)
    show((table,), console)
    written = keep(f"checker-{began:%Y%m%dT%H%M%SZ}", began, (table,), [asdict(each) for each in found])
    console.print(f"Kept in {written}, and beside it as JSON.")
    return 0 if found[-1].checker.median <= ALLOWED_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
