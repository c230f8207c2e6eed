"""Whether a cluster would take a drill now: what the survey refuses for, and what the readiness look says."""

from muster.finding import Finding, judge, unseen
from muster.spark.observations import ClusterSeen
from muster.spark.spec import SparkSpec


def findings_of(seen: ClusterSeen, spec: SparkSpec) -> tuple[Finding, ...]:
    """Every reason for and against."""
    return (_reachable(seen), _workers(seen, spec), _others(seen, spec), _capacity(seen, spec), _disk(seen, spec))


def others_of(seen: ClusterSeen, ours: str = "") -> tuple[str, ...]:
    """Names of applications that are not `ours`."""
    return tuple(sorted(name for name in seen.applications if name != ours))


def _reachable(seen: ClusterSeen) -> Finding:
    return judge("reachable", not seen.problems, "the cluster answers, and takes applications",
                 "; ".join(seen.problems) or f"{seen.manager} answers", "start it, or mend its address")  # fmt: skip


def _workers(seen: ClusterSeen, spec: SparkSpec) -> Finding:
    wanted = spec.ready.workers
    if spec.fault.type.hits_workers and not spec.blast_radius.last_worker:
        wanted = max(wanted, spec.fault.victims + 1)
    count = len(seen.alive)
    return judge("workers", count >= wanted, f"at least {wanted} workers take work", f"{count} do",
                 "start workers, or make the fault smaller: no drill takes the last worker unless"
                 " `blast_radius.last_worker` says so")  # fmt: skip


def _others(seen: ClusterSeen, spec: SparkSpec) -> Finding:
    fault, found = spec.fault.type, others_of(seen)
    expected = f"no other application runs that {fault} would reach"
    if seen.problems:
        return unseen("others", expected, "nobody says what runs there")
    said = f"{', '.join(found[:3])}{' and others' if found[3:] else ''} run there" if found else "none runs"
    if not fault.reaches_others or spec.blast_radius.others:
        why = "the plan allows it" if fault.reaches_others else f"{fault} hits our application alone"
        return Finding(check="others", verdict=None, expected=expected, seen=f"{said}; {why}")
    return judge("others", not found, expected, said,
                 "wait until they have ended, or hit executors; `blast_radius.others` allows it")  # fmt: skip


def _capacity(seen: ClusterSeen, spec: SparkSpec) -> Finding:
    cores, memory = sum(w.cores_free for w in seen.alive), sum(w.memory_free for w in seen.alive)
    expected = f"{spec.ready.cores} cores and {spec.ready.memory} MiB are free"
    if not seen.alive:
        return unseen("capacity", expected, "no worker is alive")
    return judge("capacity", cores >= spec.ready.cores and memory >= spec.ready.memory, expected,
                 f"{cores} cores and {memory} MiB", "wait until other applications have ended")  # fmt: skip


def _disk(seen: ClusterSeen, spec: SparkSpec) -> Finding:
    expected = f"at least {spec.ready.min_free:.0%} of the disk is free"
    if seen.free_share is None:
        return Finding(check="disk", verdict=None, expected=expected, seen="this target cannot see it")
    return judge("disk", seen.free_share >= spec.ready.min_free, expected, f"{seen.free_share:.0%}", "make room")
