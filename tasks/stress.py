"""The verbs of a Spark stress drill, and their undos.

Promises: nothing is started before the cluster proved fit; a fault strikes by the job's own progress, and only what
the plan's blast radius allows, never an application that is not ours; every lap's result is digested where it lies;
whatever happens, faults are ended and nothing of the run is left.
"""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muster.drill import Context
from muster.errors import MusterError, Refusal
from muster.finding import Finding
from muster.plan import Plan
from muster.spark import readiness
from muster.spark.eventlog import public_events, read_log, settings_that_matter
from muster.spark.laps import landing, measure
from muster.spark.observations import Accounting, ClusterSeen, Known, Lap, Provided, Stress, Struck
from muster.spark.section import spec_of
from muster.verdict import Verdict
from tasks.spark.course import Course
from tasks.spark.scene import EVENTS, processes_of, target_of, work_of
from tasks.spark.session import PREFIX
from tasks.spark.workloads.workload import open_workload
from tasks.targets.stressable import Stressable

_NAP = 0.2


def survey_cluster(context: Context) -> ClusterSeen:
    """Who is there, and whether a drill can begin; every reason against it at once."""
    spec, target = spec_of(context.plan), target_of(context)
    context.observe(target.identify())
    if spec.fault.type not in target.faults():
        can = ", ".join(sorted(target.faults())) or "nothing"
        raise Refusal(f"this target cannot be made to suffer {spec.fault.type}: it can {can}", "choose another fault")
    seen = target.look("survey")
    against = [f for f in readiness.findings_of(seen, spec) if f.verdict in {Verdict.FAIL, Verdict.INCONCLUSIVE}]
    if against:
        raise Refusal(
            "the cluster is not fit for a drill: " + "; ".join(f"{f.check}: {f.seen}" for f in against),
            against[0].advice or "look at the cluster",
        )
    return seen


def know_answer(context: Context) -> Known:
    """What is right, before Spark is asked anything."""
    workload = open_workload(spec_of(context.plan).workload)
    return Known(
        question=workload.question,
        basis=workload.basis,
        answer=workload.answer(),
        compared=workload.compared,
        not_compared=workload.not_compared,
    )


def provide_cluster(context: Context) -> Provided:
    """The cluster takes applications."""
    return target_of(context).provide(work_of(context))


def run_undisturbed(context: Context) -> Lap:
    """The job on a healthy cluster: what every other lap is compared with."""
    return Course(context).first()


def run_disturbed(context: Context) -> Stress:
    """Pairs of laps, one of each disturbed."""
    return Course(context).rest()


def settle(context: Context) -> ClusterSeen:
    """Faults are ended, our application is gone, and the cluster is as it was."""
    target, work = target_of(context), work_of(context)
    target.end_sessions(work)
    target.heal(work)
    before = context.result("survey", ClusterSeen)
    deadline = time.monotonic() + min(work.spec.settle.total_seconds(), work.seconds_left())
    while True:
        seen = target.look("settle", work)
        is_back = len(seen.alive) >= len(before.alive) and work.application not in seen.applications
        if is_back or time.monotonic() > deadline:
            return seen
        work.seconds_left()
        time.sleep(_NAP)


def account(context: Context) -> Accounting:
    """Read the event logs: what each lap cost, and whether each fault landed."""
    logs, kept, spark = {}, {}, ""
    settings: dict[str, Mapping[str, str]] = {}
    folder = context.workspace.exhibits / EVENTS
    laps, said = context.history.observed(Lap), _said_by_drivers(context)
    for path in sorted(target_of(context).events(work_of(context))):
        with path.open(encoding="utf-8") as lines:
            log = read_log(lines)
        logs[log.application] = log
        spark = log.spark or spark
        with path.open("rb") as whole:
            kept[_keep(path, folder, log.application)] = hashlib.file_digest(whole, "sha256").hexdigest()
    for lap in laps:
        found = [logs[name] for name in lap.applications if name in logs]
        context.observe(measure(lap, found))
        for log in found:
            settings[lap.variant] = settings_that_matter(log)
        for struck in context.history.observed(Struck):
            if struck.lap == lap.number:
                context.observe(landing(struck, lap, found, said))
    return Accounting(logs=kept, laps=len(laps), settings=settings, spark=spark)


def _said_by_drivers(context: Context) -> list[str]:
    """The lines of the drivers' own logs; none where drivers ran elsewhere."""
    logs = sorted(context.workspace.logs.glob(f"{PREFIX}*.log"))
    return [line for log in logs for line in log.read_text("utf-8", "replace").splitlines()]


def _keep(path: Path, folder: Path, application: str) -> str:
    """The log's events that are judged, as an exhibit."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{application or path.name}.jsonl"
    with path.open(encoding="utf-8") as lines, (folder / name).open("w", encoding="utf-8") as kept:
        kept.writelines(f"{line}\n" for line in public_events(lines))
    return f"{EVENTS}/{name}"


def end_application(context: Context) -> None:
    """Make sure that no driver, no application and no data of this run is left."""
    if isinstance(context.target, MusterError):
        processes_of(context).stop_all()
        raise context.target
    work = work_of(context)
    context.target.end_sessions(work)
    context.target.drop_data(work)


def end_faults(context: Context) -> None:
    """Make sure that no fault of this run lasts."""
    target_of(context).heal(work_of(context))


def release_cluster(context: Context) -> None:
    """Make sure that nothing that was started is left."""
    if isinstance(context.target, MusterError):
        processes_of(context).stop_all()
        raise context.target
    context.target.release(work_of(context))


def ready(target: Stressable, plan: Plan) -> tuple[Finding, ...]:
    """A harmless look: would the cluster take a drill now?"""
    return readiness.findings_of(target.look("ready"), spec_of(plan))


def brief(plan: Plan) -> dict[str, Any]:
    """The workload's keys are checked before anything is on record."""
    open_workload(spec_of(plan).workload)
    return {}
