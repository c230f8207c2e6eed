"""Faults in shuffle files: one that is gone, one whose bytes are wrong.

Spark keeps a map task's output in one `shuffle_*.data` file in the local folders of the worker that ran it. Its index,
in the same folder or one beside it, holds where each reduce task's block begins, and where the last one ends: numbers
of eight bytes, big-endian. Source: Spark's `IndexShuffleBlockResolver`, `DiskBlockManager`.
"""

import contextlib
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from muster.errors import StepError
from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.spark.faults.scene import Means, Scene
from tasks.targets.stressable import Moment

_FLIPPED = 64
"""Bytes in the middle of a block."""
_NUMBER = struct.Struct(">q")


def _lose(scene: Scene, moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    done = []
    for path in _data_files(scene, victims, moment):
        for gone in (path, _index_of(path)):
            gone.unlink(missing_ok=True)
        done.append(f"{path.name} on {path.parents[4].name} deleted, with its index")
    return _told(done)


def _corrupt(scene: Scene, moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    done = []
    for path in _data_files(scene, victims, moment):
        with contextlib.suppress(FileNotFoundError):  # Spark deletes what no job needs any more
            done.append(f"bytes in the middle of each of {_flip(path)} blocks of {path.name} flipped")
    return _told(done)


def _flip(path: Path) -> int:
    """Spoil every block, for what is read of it next; how many there are."""
    blocks = tuple(_blocks(path))
    with path.open("r+b") as file:
        for start, end in blocks:
            middle = max(start, (start + end - _FLIPPED) // 2)
            file.seek(middle)
            old = file.read(min(_FLIPPED, end - start))
            file.seek(middle)
            file.write(bytes(byte ^ 0xFF for byte in old))
    return len(blocks)


def _blocks(path: Path) -> Iterator[tuple[int, int]]:
    """Where each reduce task's bytes begin and end; those of a task that gets none are left out."""
    offsets = [number for (number,) in _NUMBER.iter_unpack(_index_of(path).read_bytes())]
    return ((start, end) for start, end in pairwise(offsets) if start < end)


def _index_of(path: Path) -> Path:
    name = path.with_suffix(".index").name
    return next(path.parent.parent.glob(f"*/{name}"), path.with_name(name))


def _data_files(scene: Scene, victims: tuple[Victim, ...], _moment: Moment) -> Iterator[Path]:
    """Every finished map output on the victims' workers: whatever is read next from there is hit."""
    for victim in victims:
        yield from sorted(scene.cluster.local_of(scene.worker(victim)).rglob("shuffle_*.data"))


def _told(done: list[str]) -> tuple[str, ...]:
    if not done:
        raise StepError("there was no shuffle file to damage", "aim the fault at the reduce stage")
    return (f"{len(done)} shuffle files damaged", *done[:5])


MEANS = {Fault.LOSE_SHUFFLE_FILE: Means(_lose), Fault.CORRUPT_SHUFFLE_BLOCK: Means(_corrupt)}
