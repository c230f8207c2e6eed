"""The Spark stress drill's checks: pure functions from the journal to findings.

Promises: none touches a system; what was not observed is `inconclusive`, never a pass; a fault that was not seen to
land makes the drill inconclusive, however right the answer is. Each is shown to catch its planted fault by `muster
prove spark`.
"""

from collections.abc import Sequence
from datetime import timedelta

from muster.course import nothing_is_left, steps_ended
from muster.finding import Finding, judge, not_asked, unseen
from muster.journal import History
from muster.plan import Plan
from muster.quantity import count_of, format_seconds
from muster.spark.digest import Answer, differences
from muster.spark.measuring import (
    Spread,
    counted,
    known,
    landing_in,
    laps_of,
    measured,
    noticed,
    pairs_of,
    regained,
    spread_of,
)
from muster.spark.observations import ClusterSeen, Known, Lap, LapMeasured, Missed, Struck
from muster.spark.section import spec_of
from muster.spark.spec import Expect, Fault, SparkSpec
from muster.spark.trend import trend

_NO_PAIR = "no disturbed lap has an answer and an undisturbed one beside it that was as warm"
_WARM = "leave `warm` on, or ask for `repeats`"


def stressed(history: History, _plan: Plan) -> Finding:
    """Every step came to its end."""
    return steps_ended(history, "stressed", "the job runs undisturbed and disturbed, and is accounted for")


def ended_as_expected(history: History, plan: Plan) -> Finding:
    """Every disturbed lap ended as the plan expects: with an answer, or loudly without one."""
    spec = spec_of(plan)
    fails = spec.expect is Expect.FAILURE
    expected = "the job fails under the fault, and says so" if fails else "the job comes to its end under the fault"
    laps = laps_of(history, "disturbed")
    if not laps:
        return unseen("ended", expected, "no disturbed lap ended")
    wrong = [lap for lap in laps if lap.state != ("failed" if fails else "succeeded")]
    if wrong:
        lap = wrong[0]
        why = f": {lap.error}" if lap.error else ""
        return judge("ended", False, expected, f"lap {lap.number} {lap.state}{why}", _why_it_ended(lap, fails))
    seen = f"{count_of(len(laps), 'disturbed lap', 'disturbed laps')} {laps[0].state}"
    return _nothing_looks_complete(laps, expected, seen) if fails else judge("ended", True, expected, seen)


def _nothing_looks_complete(laps: Sequence[Lap], expected: str, seen: str) -> Finding:
    """A job that failed is loud only if what it left behind does not look like a result: somebody must have looked."""
    looked = {lap.number: lap.inspection.output for lap in laps if lap.inspection and lap.inspection.output}
    if complete := [number for number, output in looked.items() if output.is_marked_complete]:
        return judge("ended", False, expected, f"lap {complete[0]} failed, and its output is marked complete",
                     "whoever reads the output takes it for whole")  # fmt: skip
    if unread := [lap.number for lap in laps if lap.number not in looked]:
        return unseen("ended", expected, f"lap {unread[0]} failed, and what it left behind was not looked at",
                      "see the driver's log: its result could not be read")  # fmt: skip
    return judge("ended", True, expected, f"{seen}, and no output is marked complete")


def _why_it_ended(lap: Lap, fails: bool) -> str:
    if lap.state == "hung":
        return "find what it waits for in the driver's log: a master that cannot recover, an executor that is frozen"
    if fails:
        return "the limit that the plan counts on was not reached: see spark.task.maxFailures"
    return "see spark.task.maxFailures and spark.stage.maxConsecutiveAttempts, and the driver's log"


def answer_is_right(history: History, plan: Plan) -> Finding:
    """Every lap gave the answer that is known to be right."""
    expected, laps, right = "every lap gives the same, right answer", _judged(history, plan), known(history)
    if right is None or not laps:
        return unseen("answer", expected)
    if right.basis == "invariant":
        return Finding(check="answer", verdict=None, expected=expected,
                       seen=right.not_compared or "only the job's own rule is asked")  # fmt: skip
    truth = _truth(right, laps)
    if truth is None:
        return unseen("answer", expected, "there is no undisturbed lap to compare with")
    disturbed = [lap for lap in laps if lap.kind == "disturbed"]
    if not disturbed and spec_of(plan).expect is Expect.SUCCESS:
        return unseen("answer", expected, "no disturbed lap has a result")
    unread = [lap for lap in laps if lap.inspection is None]
    told, wrong = [], 0
    for lap in laps:
        found = differences(truth, lap.inspection.answer) if lap.inspection else ()
        wrong += bool(found)
        told += [f"lap {lap.number} ({lap.kind}): {words}" for words in found[:8]]
    if wrong:
        return judge("answer", False, expected, f"{wrong} of {len(laps)} laps are wrong: {told[0]}",
                     "the job loses, doubles or changes rows when work is done again: look for operations whose result"
                     " depends on the order of rows, and sinks that are not idempotent", tuple(told))  # fmt: skip
    if unread:
        return unseen("answer", expected, f"lap {unread[0].number}: {unread[0].error or 'its result was not read'}")
    basis = "by mathematics, without Spark" if right.basis == "mathematics" else "by the first undisturbed lap"
    return judge("answer", True, expected, f"{len(laps)} laps, {truth.whole.rows:,} rows each, known {basis}")


def _judged(history: History, plan: Plan) -> list[Lap]:
    """Laps that must have an answer: those that are to fail have none."""
    fails = spec_of(plan).expect is Expect.FAILURE
    return [lap for lap in counted(history) if lap.state == "succeeded" and not (fails and lap.kind == "disturbed")]


def _truth(right: Known, laps: Sequence[Lap]) -> Answer | None:
    if right.basis == "mathematics":
        return right.answer
    return next((lap.inspection.answer for lap in laps if lap.kind == "undisturbed" and lap.inspection), None)


def laps_are_comparable(history: History, plan: Plan) -> Finding:
    """Every lap, the answer, and the last pass's baseline are of the same question."""
    expected = "every lap ran the same job, of the same scale and seed"
    right, laps = known(history), counted(history)
    if right is None or not laps:
        return unseen("comparable", expected)
    others = [lap for lap in laps if lap.question != right.question]
    if others:
        return judge("comparable", False, expected, f"lap {others[0].number} ran {others[0].question.words}, the answer"
                     f" is of {right.question.words}", "answers of different questions cannot be compared")  # fmt: skip
    earlier = history[0].body.get("earlier", {}).get("baseline")
    if right.basis == "baseline" and earlier and earlier["question"] == right.question.model_dump(mode="json"):
        truth, then = _truth(right, _judged(history, plan)), Answer.model_validate(earlier["answer"])
        if truth is not None and (found := differences(then, truth)):
            return judge("comparable", False, expected, f"the baseline is not that of the last pass: {found[0]}",
                         "the same question had another answer then: the data or the job changed", found)  # fmt: skip
    return judge("comparable", True, expected, f"{len(laps)} laps of {right.question.words}")


def digests_add_up(history: History, _plan: Plan) -> Finding:
    """Each digest is whole: its parts are the sum of it."""
    expected = "the parts of every digest add up to the whole"
    found = [(lap.number, lap.inspection.answer) for lap in counted(history) if lap.inspection]
    if not found:
        return unseen("digest", expected)
    wrong = [number for number, answer in found if not answer.adds_up]
    return judge("digest", not wrong, expected,
                 f"that of lap {wrong[0]} does not" if wrong else f"{len(found)} digests",
                 "a part of the digest was lost on its way: run it again")  # fmt: skip


def output_is_complete(history: History, plan: Plan) -> Finding:
    """What was written is all there, is marked complete, and nothing else is there."""
    expected = "each output is complete, and nothing extra is in it"
    looked = [
        (lap, lap.inspection.output) for lap in _judged(history, plan) if lap.inspection and lap.inspection.output
    ]
    if not looked:
        if any(lap.inspection for lap in _judged(history, plan)):
            return Finding(check="output", verdict=None, expected=expected, seen="the job writes no files")
        return unseen("output", expected)
    told = []
    for lap, output in looked:
        told += [f"lap {lap.number}: {name} does not belong there" for name in output.extra]
        told += [f"lap {lap.number}: {name} is missing" for name in output.missing]
        if not output.is_marked_complete:
            told.append(f"lap {lap.number}: it is not marked complete")
    files = sum(output.files for _, output in looked)
    return judge("output", not told, expected, told[0] if told else f"{files:,} files in {len(looked)} outputs",
                 "the committer left it so: see spark.sql.sources.commitProtocolClass and"
                 " mapreduce.fileoutputcommitter.algorithm.version", tuple(told))  # fmt: skip


def result_is_sound(history: History, plan: Plan) -> Finding:
    """What the job itself promises of its result: order, exactly once, an invariant of the team's own."""
    expected = "the result keeps what the job promises of it"
    laps = [lap for lap in _judged(history, plan) if lap.inspection]
    if not laps:
        return unseen("sound", expected)
    told = tuple(f"lap {lap.number}: {p}" for lap in laps if lap.inspection for p in lap.inspection.problems)
    return judge("sound", not told, expected, told[0] if told else f"{len(laps)} results looked at",
                 "see what the job does when a part of it is done again", told)  # fmt: skip


def faults_landed(history: History, plan: Plan) -> Finding:
    """Each fault was seen to hit the stage that it was aimed at. One that hit nothing proves nothing."""
    fault = spec_of(plan).fault
    expected = f"{fault.type} is seen to land in the {fault.during} stage, in every disturbed lap"
    laps = laps_of(history, "disturbed")
    if not laps:
        return unseen("landed", expected, "no disturbed lap ended")
    missed = {m.lap: m.why for m in history.observed(Missed)}
    told = []
    for lap in laps:
        found = landing_in(history, lap.number)
        if found is None or not found.landed:
            why = missed.get(lap.number) or (found.seen if found else "the event log was not read")
            return unseen("landed", expected, f"lap {lap.number}: {why}",
                          "a longer job, more partitions or an earlier `after` gives it more time")  # fmt: skip
        told.append(f"lap {lap.number}: {found.seen}")
    return judge("landed", True, expected, f"in {count_of(len(laps), 'lap', 'laps')}: {told[0]}", detail=tuple(told))


def undisturbed_laps_are(history: History, _plan: Plan) -> Finding:
    """Nothing was lost in the laps that others are compared with."""
    expected = "no executor and no task is lost in an undisturbed lap"
    laps = laps_of(history, "undisturbed")
    seen = [(lap, m) for lap in laps if (m := measured(history, lap.number))]
    if not seen:
        return unseen("undisturbed", expected)
    cut = [m for _, m in seen if not m.log_is_whole and m.why_not_whole and not m.cost.tasks]
    if cut or len(seen) < len(laps):
        return unseen("undisturbed", expected, cut[0].why_not_whole if cut else "an event log was not read")
    bad = [(lap, m) for lap, m in seen if m.executors_lost or m.cost.tasks_failed]
    if bad:
        lap, m = bad[0]
        what = m.executors_lost[0] if m.executors_lost else f"{m.cost.tasks_failed} tasks failed"
        return unseen("undisturbed", expected, f"lap {lap.number} was disturbed by something else: {what}",
                      "run it again; if it stays so, the cluster is not healthy without us")  # fmt: skip
    return judge("undisturbed", True, expected, f"{count_of(len(laps), 'lap', 'laps')}, nothing lost")


def rto(history: History, plan: Plan) -> Finding:
    """The answer came no later than promised."""
    objective, expected = plan.objectives.rto, "the answer comes within the objective"
    if objective is None:
        return Finding(check="rto", verdict=None, expected=expected, seen="the plan has no RTO")
    expected = f"the answer comes at most {_words(objective)} later than undisturbed"
    spec = spec_of(plan)
    delays = spread_of([pair.delay for pair in pairs_of(history, spec.judged)])
    if delays is None:
        return unseen("rto", expected, _NO_PAIR, _WARM)
    seen = f"{format_seconds(delays.most)} at the most, of {count_of(delays.count, 'pair', 'pairs')}"
    return judge("rto", delays.most <= objective.total_seconds(), expected, seen + _with(spec),
                 "see what was done again, and which setting would have made it cheaper")  # fmt: skip


def slowdown(history: History, plan: Plan) -> Finding:
    """A loss costs no more than so many times an undisturbed run."""
    limit = spec_of(plan).slowdown
    if limit is None:
        return not_asked("slowdown", "a disturbed lap takes not much longer", "spark.slowdown")
    expected = f"a disturbed lap takes at most {limit:g} times an undisturbed one (median)"
    spec = spec_of(plan)
    found = spread_of([pair.slowdown for pair in pairs_of(history, spec.judged)])
    if found is None:
        return unseen("slowdown", expected, _NO_PAIR, _WARM)
    return judge("slowdown", found.median <= limit, expected, slowdown_words(found) + _with(spec),
                 "see what was done again, and which setting would have made it cheaper")  # fmt: skip


def _with(spec: SparkSpec) -> str:
    """Which settings a promise of time was held to, where several were run."""
    return f", with {spec.judged}" if len(spec.variants) > 1 else ""


def slowdown_words(found: Spread) -> str:
    """Median and spread."""
    if found.count == 1:
        return f"{found.median:.2f} times (1 pair)"
    return f"{found.median:.2f} times ({found.least:.2f} to {found.most:.2f}, {found.count} pairs)"


def loss_is_noticed(history: History, plan: Plan) -> Finding:
    """Spark knew of the loss in time."""
    spec = spec_of(plan)
    return _within("noticed", "the loss is noticed", noticed(history, spec.judged), spec, spec.notice, "spark.notice",
                   "see spark.network.timeout and spark.executor.heartbeatInterval")  # fmt: skip


def capacity_is_back(history: History, plan: Plan) -> Finding:
    """As many cores as before were there again in time."""
    spec = spec_of(plan)
    return _within("regained", "as many cores as before are there again", regained(history, spec.judged), spec,
                   spec.regain, "spark.regain",
                   "see how the cluster replaces executors, and how long it takes")  # fmt: skip


def _within(
    check: str, what: str, found: Spread | None, spec: SparkSpec, limit: timedelta | None, key: str, advice: str
) -> Finding:
    if limit is None:
        return not_asked(check, f"{what} in time", key)
    expected = f"{what} within {_words(limit)}"
    if found is None:
        return unseen(check, expected, "never in some lap, as far as its event log goes")
    return judge(check, found.most <= limit.total_seconds(), expected,
                 f"after {format_seconds(found.most)} at the most{_with(spec)}", advice)  # fmt: skip


def blast_radius_is_kept(history: History, plan: Plan) -> Finding:
    """No more was hit than the plan allows, and nothing that is not ours."""
    radius, fault = spec_of(plan).blast_radius, spec_of(plan).fault.type
    expected = (
        f"at most {radius.executors} executors and {radius.workers} workers are hit at once, all of our application"
    )
    struck = history.observed(Struck)
    if fault is Fault.RESTART_WORKERS:
        expected = "every worker is hit, as the plan allows, and nothing else"
    if not struck:
        return unseen("blast radius", expected, "nothing was struck")
    most = max(sum(len(v.executors) for v in s.victims) for s in struck)
    workers = max(len(s.victims) for s in struck) if fault.hits_workers else 0
    lost = _lost_beside(history, struck)
    ok = fault is Fault.RESTART_WORKERS or (most <= radius.executors and workers <= radius.workers)
    seen = f"{count_of(most, 'executor', 'executors')}, {count_of(workers, 'worker', 'workers')}"
    if lost:
        return judge("blast radius", False, expected, f"{seen}, and {lost[0]}",
                     "something was lost that was not aimed at: a cascade, or somebody else's fault", lost)  # fmt: skip
    return judge("blast radius", ok, expected, seen, "the drill hit more than it may: please report it")


def _lost_beside(history: History, struck: Sequence[Struck]) -> tuple[str, ...]:
    """Executors that were lost in a disturbed lap, though nothing was aimed at them."""
    told = []
    for strike in struck:
        found: LapMeasured | None = measured(history, strike.lap)
        hit = {name for victim in strike.victims for name in victim.executors}
        if found is None or strike.fault in {Fault.KILL_DRIVER, Fault.RESTART_MASTER}:
            continue
        told += [f"lap {strike.lap}: {words}" for words in found.executors_lost if words.split()[1] not in hit]
    return tuple(told)


def cluster_is_as_before(history: History, _plan: Plan) -> Finding:
    """As many workers as before, and no application of ours."""
    expected = "the cluster is as the drill found it"
    before, after = history.result("survey", ClusterSeen), history.result("settle", ClusterSeen)
    if before is None or after is None:
        return unseen("as before", expected)
    ours = [name for name in after.applications if history[0].run in name]
    seen = f"{len(after.alive)} of {len(before.alive)} workers take work" + (", our application runs" if ours else "")
    return judge("as before", len(after.alive) >= len(before.alive) and not ours, expected, seen,
                 "start what is missing", after.problems)  # fmt: skip


def logs_are_whole(history: History, plan: Plan) -> Finding:
    """The event logs hold every lap to its end."""
    expected = "the event log of every lap is there, and whole"
    found = history.observed(LapMeasured)
    laps = counted(history)
    if not found or len(found) < len(laps):
        return unseen("event log", expected)
    killed = _killed(plan, laps)
    cut = [m for m in found if not m.log_is_whole and (m.logs_missing or not m.logs_cut or set(m.logs_cut) - killed)]
    if cut:
        return unseen("event log", expected, f"lap {cut[0].number}: {cut[0].why_not_whole}",
                      "what is not in the log cannot be judged: run it again")  # fmt: skip
    ended_so = sum(not m.log_is_whole for m in found)
    told = f", {ended_so} of them up to where the application was killed" if ended_so else ""
    return judge("event log", True, expected, f"{len(found)} laps{told}")


def _killed(plan: Plan, laps: Sequence[Lap]) -> set[str]:
    """Applications that could not write their log's end: their driver was killed by the fault, or they hung."""
    names = {name for lap in laps if lap.state == "hung" for name in lap.applications}
    if spec_of(plan).fault.type is Fault.KILL_DRIVER:
        names |= {name for lap in laps if lap.kind == "disturbed" for name in lap.applications[:-1]}
    return names


def recovery_holds(history: History, plan: Plan) -> Finding:
    """The recovery got no worse than the last passes allow."""
    return trend(history, plan)


def _words(span: timedelta) -> str:
    return format_seconds(span.total_seconds())


CHECKS = (
    stressed,
    answer_is_right,
    ended_as_expected,
    faults_landed,
    rto,
    slowdown,
    loss_is_noticed,
    capacity_is_back,
    output_is_complete,
    result_is_sound,
    laps_are_comparable,
    digests_add_up,
    undisturbed_laps_are,
    blast_radius_is_kept,
    recovery_holds,
    logs_are_whole,
    cluster_is_as_before,
    nothing_is_left,
)
