"""The stress drill's catalogue: what is planted, and what must catch it.

A row is a fault when something must catch it, else a healthy form, which must pass with nothing failed and nothing
left in the dark.
"""

from collections.abc import Mapping
from typing import Any

from muster.prove import Check, Doubt, Ending, Form
from muster.verdict import Outcome
from tasks.faults import spark_steps as steps
from tasks.faults.altering import first, instead, leaving
from tasks.faults.spark_stage import JOBS, job, nothing_but_a_folder, stress

make_base = nothing_but_a_folder
BASE = "a folder for clusters"
"""What `make_base` makes, in words."""

_SORT: Mapping[str, Any] = {"type": "terasort", "rows": 60_000, "partitions": 8}
_ONE_CHANCE: Mapping[str, Any] = {
    "workload": job("lasts"),
    "target": {"cores": 2},
    "settings": {"plain": {"spark.task.maxFailures": 1}},
}
"""A job that fails at the first task that is lost. On either core of an executor tasks end at different times: Spark
does not count a task as failed that it had only just sent, and one ends, and the next is sent, when the fault strikes.
"""
_TWO_DRIVERS = "4m"
"""The limit of a lap in which a second driver is started, on a machine that has other things to do."""
_FREEZE: Mapping[str, Any] = {"type": "freeze-executor", "lasts": "8s"}


_MARK = "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs"


def _unfit(saying: str) -> Ending:
    return Ending(Outcome.REFUSED, "survey", saying)


# fmt: off
ANSWERS = (
    Form("dropped-partition", "a job that yields nothing for a partition that is done again",
         stress(workload=job("drops")), Check("answer", "rows, not")),
    Form("doubled-rows", "a sink that is not idempotent: what a lost executor had written is written again beside it",
         stress(workload=job("appends")), Check("answer", "(+")),
    Form("other-values", "a job whose partition differs when it is computed again",
         stress(workload=job("differs")), Check("answer", "not the same")),
    Form("broken-invariant", "a result that breaks the team's own rule",
         stress(workload=job("well", "shift", invariant=f"{JOBS}:invariant")), Check("sound", "the ids add up to")),
    Form("partial-file", "a task that leaves a partial file in the output when it is done again",
         stress(workload=job("leaves")), Check("output", "does not belong there")),
    Form("unmarked-output", "a committer that does not mark its output complete",
         stress(settings={"plain": {_MARK: False}}), Check("output", "not marked complete")),
)

ENDS = (
    Form("fails-anyway", "a job that fails without any fault",
         stress(workload=job("fails")), Check("stressed", "does not run undisturbed")),
    Form("one-attempt", "a job that fails at its first lost task, though it is to survive it",
         stress(**_ONE_CHANCE), Check("ended", "failed")),
    Form("survives-anyway", "a job that survives, though the plan counts on its failure",
         stress(expect="failure"), Check("ended", "succeeded")),
    Form("complete-anyway", "a job that fails, as the plan expects, and leaves a part of its output marked complete",
         stress(expect="failure", **{**_ONE_CHANCE, "workload": job("lasts", "truncate")}),
         Check("ended", "marked complete")),
    Form("hangs", "a job that does not end once it was disturbed",
         stress(workload=job("hangs"), lap_limit="75s"), Check("ended", "hung")),
)

AIM = (
    Form("hit-nothing", "a fault that is reported, and hit nothing",
         stress(drill=first("stress", steps.strike_nothing)), Doubt("landed", "the event log holds nothing")),
    Form("master-stayed", "a master that is reported dead, and never was",
         stress(fault={"type": "restart-master", "lasts": "2s"}, drill=first("stress", steps.strike_nothing)),
         Doubt("landed")),
    Form("hit-too-late", "a fault that strikes after the job",
         stress(drill=first("stress", steps.strike_too_late)), Doubt("landed")),
    Form("hit-next-stage", "a slow hook: the fault is there only when the stage it was aimed at has ended",
         stress(workload={**_SORT, "rows": 400_000}, fault={"during": "map", "after": 0.1},
                drill=first("stress", steps.strike_in_the_next_stage)), Doubt("landed", "had ended before")),
    Form("hit-others-too", "a fault that takes more than it was aimed at",
         stress(drill=first("stress", steps.strike_others_too)), Check("blast radius", "and lap")),
    Form("disturbed-by-others", "an executor that somebody else kills in the undisturbed lap",
         stress(drill=first("baseline", steps.kill_in_the_undisturbed)), Doubt("undisturbed", "by something else")),
)

EVIDENCE = (
    Form("other-scale", "an answer of another scale",
         stress(workload=_SORT, drill=instead("answer", steps.ask_of_another_scale)),
         Check("comparable", "the answer is of")),
    Form("other-baseline", "a baseline that is not that of the last pass",
         stress(earlier=steps.was_different), Check("comparable", "not that of the last pass")),
    Form("cut-digest", "a digest of which a part was lost",
         stress(drill=first("baseline", steps.cut_digests)), Check("digest")),
    Form("cut-log", "an event log of which the second half is gone",
         stress(drill=first("account", steps.cut_event_logs)), Doubt("event log", "was cut")),
    Form("lost-log", "an event log that is not there",
         stress(drill=first("account", steps.lose_event_logs)), Doubt("event log", "is not there")),
    Form("worker-lost", "a worker that dies when all seems over",
         stress(settle="3s", drill=first("settle", steps.kill_a_worker_for_good)),
         Check("as before", "1 of 2 workers")),
    Form("failing-undo", "a drill that does not undo a step", stress(drill=leaving("baseline")), Check("left behind")),
)

PROMISES = (
    Form("late-answer", "an answer later than its objective",
         stress(objectives={"rto": "1s"}, warm=True, fault=_FREEZE), Check("rto")),
    Form("late-driver", "an answer that is late since its driver was killed and started again",
         stress(objectives={"rto": "1s"}, warm=True, fault={"type": "kill-driver"}, lap_limit=_TWO_DRIVERS),
         Check("rto")),
    Form("too-slow", "a lap that takes longer than it may",
         stress(slowdown=1.01, warm=True, fault=_FREEZE), Check("slowdown")),
    Form("noticed-late", "a loss that is noticed later than it may be", stress(notice="1ms"), Check("noticed")),
    Form("regained-late", "cores that come back later than they may", stress(regain="1ms"), Check("regained")),
    Form("got-worse", "a recovery that got worse than in the last passes",
         stress(earlier=steps.recovered_at_once, warm=True, fault=_FREEZE), Check("trend")),
)

UNFIT = (
    Form("too-few-workers", "a cluster with fewer workers than the drill wants",
         stress(ready={"min_free": 0, "workers": 3}), _unfit("workers: 2 do")),
    Form("last-worker", "a fault that would take the last worker",
         stress(target={"workers": 1}, ready={"min_free": 0, "workers": 1},
                fault={"type": "kill-worker", "during": "reduce"}), _unfit("workers: 1 do")),
    Form("no-room", "a cluster without the memory that the drill wants",
         stress(ready={"min_free": 0, "memory": 10**7}), _unfit("capacity: ")),
)

HEALTHY = (
    Form("kill-executor", "an executor killed while it reduces", stress()),
    Form("kill-in-map", "an executor killed while it maps",
         stress(workload={**_SORT, "rows": 400_000}, fault={"during": "map", "after": 0.1})),
    Form("terasort", "a sort, an executor killed while it reduces",
         stress(workload={**_SORT, "rows": 400_000}, warm=True, objectives={"rto": "2m"}, slowdown=50.0)),
    Form("kill-worker", "a worker killed with its executor", stress(fault={"type": "kill-worker", "after": 0.2})),
    Form("restart-master", "the master killed, and started again",
         stress(fault={"type": "restart-master", "lasts": "2s"})),
    Form("kill-driver", "the driver killed, and started again",
         stress(fault={"type": "kill-driver"}, lap_limit=_TWO_DRIVERS)),
    Form("freeze-executor", "an executor frozen for a while", stress(fault={"type": "freeze-executor", "lasts": "3s"})),
    Form("fails-loudly", "a job that fails, as the plan expects", stress(expect="failure", **_ONE_CHANCE)),
)
# fmt: on

GROUPS: Mapping[str, tuple[Form, ...]] = {
    "What comes out": ANSWERS,
    "How the job ends": ENDS,
    "What was hit": AIM,
    "The drill and its evidence": EVIDENCE,
    "What the plan promises, under stress": PROMISES,
    "A cluster that is not fit": UNFIT,
    "Healthy stress drills": HEALTHY,
}
FORMS = tuple(form for group in GROUPS.values() for form in group)
