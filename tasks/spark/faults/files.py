"""Faults in shuffle files: one that is gone, one whose bytes are wrong.

Spark keeps a map task's output in one `shuffle_*.data` file with an index beside it, in the local folders of the worker
that ran it. Source: Spark's `IndexShuffleBlockResolver`.
"""

from collections.abc import Iterator
from pathlib import Path

from muster.errors import StepError
from muster.spark.observations import Victim
from muster.spark.spec import Fault
from tasks.spark.faults.scene import Means, Scene
from tasks.targets.stressable import Moment

_FLIPPED = 64
"""Bytes in the middle of the file."""


def _lose(scene: Scene, moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    done = []
    for path in _data_files(scene, victims, moment):
        for gone in (path, path.with_suffix(".index")):
            gone.unlink(missing_ok=True)
        done.append(f"{path.name} on {path.parents[4].name} deleted, with its index")
    return _told(done)


def _corrupt(scene: Scene, moment: Moment, victims: tuple[Victim, ...]) -> tuple[str, ...]:
    done = []
    for path in _data_files(scene, victims, moment):
        with path.open("r+b") as file:
            middle = path.stat().st_size // 2
            file.seek(middle)
            old = file.read(_FLIPPED)
            file.seek(middle)
            file.write(bytes(byte ^ 0xFF for byte in old))
        done.append(f"{len(old)} bytes in the middle of {path.name} flipped")
    return _told(done)


def _data_files(scene: Scene, victims: tuple[Victim, ...], _moment: Moment) -> Iterator[Path]:
    """Every finished map output on the victims' workers: whatever is read next from there is hit."""
    for victim in victims:
        yield from sorted(scene.cluster.local_of(scene.worker(victim)).rglob("shuffle_*.data"))


def _told(done: list[str]) -> tuple[str, ...]:
    if not done:
        raise StepError("there was no shuffle file to damage", "aim the fault at the reduce stage")
    return (f"{len(done)} shuffle files damaged", *done[:5])


MEANS = {Fault.LOSE_SHUFFLE_FILE: Means(_lose), Fault.CORRUPT_SHUFFLE_BLOCK: Means(_corrupt)}
