"""Which stage a fault is aimed at, and whether the moment has come: by the job's own progress, never by a clock."""

from collections.abc import Sequence
from math import ceil

from muster.spark.observations import Aim
from muster.spark.spec import During, FaultSpec
from tasks.spark.status import Executor, Stage, first_attempts


def aim_at(stages: tuple[Stage, ...], variant: str, during: During) -> Aim | None:
    """The stage that is meant, among those that an undisturbed lap ran; `None` when it ran none of that kind."""
    ran = first_attempts(stages)
    ordinal = _ordinal(ran, during)
    if ordinal is None:
        return None
    stage = ran[ordinal]
    return Aim(variant=variant, during=during, ordinal=ordinal, name=stage.name, tasks=stage.tasks, stages=len(ran))


def _ordinal(ran: Sequence[Stage], during: During) -> int | None:
    places = list(range(len(ran)))
    match during:
        case During.FIRST:
            found = places[:1]
        case During.LAST:
            found = places[-1:]
        case During.MAP:
            found = _greatest(places, [s.shuffle_write for s in ran])
        case During.REDUCE:
            found = _greatest(places, [s.shuffle_read for s in ran])
    return found[0] if found else None


def _greatest(places: list[int], sizes: list[int]) -> list[int]:
    best = max(places, key=sizes.__getitem__, default=None)
    return [] if best is None or not sizes[best] else [best]


def reached(stages: tuple[Stage, ...], aim: Aim, fault: FaultSpec) -> Stage | None:
    """The stage that is aimed at, once it runs and so many of its tasks have ended; `None` before and after."""
    ran = first_attempts(stages)
    if len(ran) <= aim.ordinal:
        return None
    stage = ran[aim.ordinal]
    return stage if stage.is_active and stage.done >= ceil(fault.after * stage.tasks) else None


def is_over(stages: tuple[Stage, ...], aim: Aim) -> bool:
    """Whether the stage that is aimed at has ended."""
    ran = first_attempts(stages)
    return len(ran) > aim.ordinal and ran[aim.ordinal].status in {"COMPLETE", "FAILED"}


def busiest(executors: Sequence[Executor], count: int) -> tuple[Executor, ...]:
    """Executors at work first, the others after them; those that are gone are left out."""
    alive = [e for e in executors if e.is_active]
    return tuple(sorted(alive, key=lambda e: (-e.active_tasks, int(e.id) if e.id.isdigit() else 0))[:count])


def most_cached(executors: Sequence[Executor], count: int) -> tuple[Executor, ...]:
    """Executors that hold cached blocks, those with most of them first."""
    holding = [e for e in executors if e.is_active and e.cached_bytes]
    return tuple(sorted(holding, key=lambda e: -e.cached_bytes)[:count])
