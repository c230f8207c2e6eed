"""The course of a stress drill: sessions and laps in their order, faults struck in the midst of them.

Promises: undisturbed laps begin only when the cluster has as many cores as the session began with; a fault strikes
when the job's own progress says so, and not after; what is hit is never more than the blast radius; a lap that
hangs is ended.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from muster.drill import Context
from muster.errors import Refusal, StepError, SystemFailure
from muster.quantity import format_seconds
from muster.spark.observations import Aim, ClusterSeen, Healed, Lap, Missed, Stress, Struck, Victim
from muster.spark.readiness import others_of
from muster.spark.section import spec_of
from muster.spark.spec import Expect, Fault, SparkSpec
from tasks.spark.aiming import aim_at, busiest, is_over, most_cached, reached
from tasks.spark.post import Told
from tasks.spark.scene import target_of, work_of
from tasks.spark.status import Executor, Stage
from tasks.spark.workloads.workload import open_workload
from tasks.targets.stressable import Moment, Session, Stressable, Work

_NAP = 0.05
_CAPACITY_SECONDS = 90.0
_COLD, _UNDISTURBED, _DISTURBED = "cold", "undisturbed", "disturbed"


@dataclass
class _Strike:
    """What became of a lap's fault so far."""

    aim: Aim
    struck: Struck | None = None
    since: float = 0.0
    healed: bool = False
    missed: str = ""


@dataclass
class Course:
    """Runs laps. Another one of the same run finds the session that goes on."""

    context: Context
    _session: Session | None = None
    _name: str = ""
    _cores: int = field(default=0)

    def first(self) -> Lap:
        """The first session: a cold lap that is not counted, and the first undisturbed one."""
        variant = self._spec.variants[0]
        self._open(variant, 0)
        return self._opening_laps(variant)

    def rest(self) -> Stress:
        """Every other lap, until all are run, or one shows that there is no use in going on; then the session ends."""
        laps = 0
        for variant, number, is_new in self._rounds():
            if is_new:
                self._end()
                self._open(variant, number)
                self._opening_laps(variant)
            elif number:
                self._attach(variant, 0)
                self._lap(_UNDISTURBED, variant)
            else:
                self._attach(variant, 0)
            lap = self._lap(_DISTURBED, variant)
            laps += 1
            if lap.state == "hung" or (lap.state == "failed") != (self._spec.expect is Expect.FAILURE):
                break
        self._end()
        return Stress(laps=laps, expect=self._spec.expect)

    def _end(self) -> None:
        """End the session of now in good order: only then is its event log whole."""
        if self._session is not None:
            self._session.end()
            self._session = None

    def _rounds(self) -> Iterator[tuple[str, int, bool]]:
        """Variant, number of its round, and whether it needs a session of its own."""
        for number in range(self._spec.repeats):
            for place, variant in enumerate(self._spec.variants):
                yield variant, number, bool(self._spec.compare) and (number, place) != (0, 0)

    def _opening_laps(self, variant: str) -> Lap:
        if self._spec.warm:
            self._lap(_COLD, variant)
        lap = self._lap(_UNDISTURBED, variant)
        aim = aim_at(self._stages(lap.group), variant, self._spec.fault.during)
        if aim is None:
            raise StepError(
                f"the job has no stage to aim at: none of {self._spec.fault.during!r}", "choose another `during`"
            )
        self.context.observe(aim)
        return lap

    def _lap(self, kind: str, variant: str) -> Lap:
        number = len(self.context.history.observed(Lap))
        if kind != _COLD:
            self._wait_for_capacity()
        group = f"muster-{self.context.workspace.run}-lap-{number}"
        words = f"{self.context.plan.name}: lap {number}, {kind}"
        self._running.begin(number, group, words, disturbed=kind == _DISTURBED)
        strike = _Strike(self._aim(variant)) if kind == _DISTURBED else None
        lap = self._watched(number, kind, variant, group, strike)
        self.context.observe(lap)
        if strike:
            self._close(strike, number)
        if kind != _DISTURBED and lap.state != "succeeded":
            raise SystemFailure(f"the job does not run undisturbed: {lap.error or lap.state}", "mend the job first")
        return lap

    def _watched(self, number: int, kind: str, variant: str, group: str, strike: _Strike | None) -> Lap:
        """Wait for the lap's end, and strike on the way.

        A lap whose driver was started again took from its first driver's beginning on, whatever the last one tells.
        """
        deadline = time.monotonic() + self._spec.lap_limit.total_seconds()
        began, before = _now_ms(), self._running.applications
        told: Told | None = None
        while told is None and time.monotonic() < deadline:
            if strike and not strike.missed:
                self._further(strike, number, group)
            self._work.seconds_left()
            time.sleep(_NAP)
            told = self._running.ended()
        if told is None:
            self._target.end_sessions(self._work)
            limit = format_seconds(self._spec.lap_limit.total_seconds())
            ended = {"state": "hung", "error": f"not ended within {limit}", "began_ms": began, "ended_ms": _now_ms(),
                     "seconds": (_now_ms() - began) / 1000}  # fmt: skip
        else:
            ended = told.model_dump(exclude={"number"}, exclude_none=True)
        applications, was_again = _of_the_lap(before, self._running.applications)
        if told is not None and was_again:
            ended |= {"began_ms": began, "seconds": (told.ended_ms - began) / 1000}
        of_the_lap = {
            "number": number,
            "kind": kind,
            "variant": variant,
            "question": open_workload(self._spec.workload).question,
            "group": group,
        }
        return Lap.model_validate({**of_the_lap, "applications": applications, **ended})

    def _further(self, strike: _Strike, number: int, group: str) -> None:
        """Strike when the moment has come; end what lasts when its time is over."""
        if strike.struck is None:
            self._try_to_strike(strike, number, group)
        elif self._is_to_end(strike):
            self._heal(strike, number)

    def _is_to_end(self, strike: _Strike) -> bool:
        until = strike.since + self._spec.fault.lasts.total_seconds()
        return self._spec.fault.type.lasts and not strike.healed and time.monotonic() >= until

    def _try_to_strike(self, strike: _Strike, number: int, group: str) -> None:
        stages = self._running.stages(group)
        if stages is None:
            return
        stage = reached(stages, strike.aim, self._spec.fault)
        if stage is None:
            if is_over(stages, strike.aim):
                strike.missed = f"stage {strike.aim.name!r} had ended before the moment came"
            return
        executors = self._running.executors()
        if executors is None:
            return
        moment = Moment(number, group, self._running.applications[-1], stage, executors)
        victims = victims_of(moment, self._spec.fault.type, self._spec.fault.victims)
        if not victims:
            return
        require_within(victims, self._target, self._work)
        at_ms = _now_ms()
        done = self._target.strike(moment, victims, self._work)
        done_ms, strike.since = _now_ms(), time.monotonic()
        strike.struck = Struck(
            lap=number, fault=self._spec.fault.type, group=group, stage=stage.id, stage_name=stage.name,
            tasks_done=stage.done, tasks=stage.tasks, at_ms=at_ms, done_ms=done_ms,
            victims=victims, done=done,
        )  # fmt: skip
        self.context.observe(strike.struck)

    def _close(self, strike: _Strike, number: int) -> None:
        """After a disturbed lap: bring back what is gone, or say that nothing was struck."""
        if strike.struck is None:
            why = strike.missed or "the job ended before the moment came"
            self.context.observe(Missed(lap=number, why=why))
        elif not strike.healed:
            self._heal(strike, number)

    def _heal(self, strike: _Strike, number: int) -> None:
        done = self._target.heal(self._work)
        strike.healed = True
        if done:
            self.context.observe(Healed(lap=number, at_ms=_now_ms(), done=done))

    def _wait_for_capacity(self) -> None:
        """As many cores as at the session's best; what does not come back in time is told by the checks."""
        deadline = time.monotonic() + _CAPACITY_SECONDS
        while time.monotonic() < deadline:
            executors = self._running.executors() or ()
            cores = sum(e.cores for e in executors if e.is_active)
            self._cores = max(self._cores, cores)
            if cores and cores >= self._cores:
                return
            self._work.seconds_left()
            time.sleep(_NAP)
        raise SystemFailure(
            f"the application has not regained its {self._cores} cores within {_CAPACITY_SECONDS:g} seconds",
            "look at the cluster: does it replace executors?",
        )

    def _open(self, variant: str, number: int) -> None:
        self._attach(variant, number)
        self._cores = 0

    def _attach(self, variant: str, number: int) -> None:
        name = f"{variant}-{number}"
        if self._session is None or self._name != name:
            settings = {key: _spark_word(value) for key, value in self._spec.settings[variant].items()}
            self._session = self._target.open_session(self._work, name, settings, self._target.data(self._work))
            self._name = name

    def _stages(self, group: str) -> tuple[Stage, ...]:
        return self._running.stages(group) or ()

    def _aim(self, variant: str) -> Aim:
        return next(aim for aim in reversed(self.context.history.observed(Aim)) if aim.variant == variant)

    @property
    def _running(self) -> Session:
        if self._session is None:
            raise StepError("no session is open")
        return self._session

    @property
    def _spec(self) -> SparkSpec:
        return spec_of(self.context.plan)

    @property
    def _target(self) -> Stressable:
        return target_of(self.context)

    @property
    def _work(self) -> Work:
        return work_of(self.context)


def _of_the_lap(before: tuple[str, ...], after: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """The applications that had a part in a lap, by those known when it began and now; whether some were added in it.

    A session whose laps have an application each knows another one then, and none more.
    """
    if before and after[: len(before)] == before:
        return after[len(before) - 1 :], len(after) > len(before)
    return after, False


def victims_of(moment: Moment, fault: Fault, count: int) -> tuple[Victim, ...]:
    """Whom a fault hits: executors at work first; workers by the executors on them."""
    match fault:
        case Fault.RESTART_MASTER:
            return (Victim(name="master"),)
        case Fault.KILL_DRIVER:
            return (Victim(name="driver"),)
        case Fault.KILL_SHUFFLE_SERVICE:
            return (Victim(name="shuffle service"),)
        case Fault.KILL_CACHED:
            return tuple(_executor_victim(e) for e in most_cached(moment.executors, count))
    if fault.hits_executors and fault not in {Fault.LOSE_SHUFFLE_FILE, Fault.CORRUPT_SHUFFLE_BLOCK}:
        chosen = busiest(moment.executors, count)
        return tuple(_executor_victim(e) for e in chosen) if len(chosen) == count else ()
    alive = busiest(moment.executors, len(moment.executors))
    hosts = list(dict.fromkeys(e.host for e in alive))
    wanted = hosts if fault is Fault.RESTART_WORKERS else hosts[:count]
    return tuple(
        Victim(name=f"worker at {host}", host=host, executors=tuple(e.id for e in alive if e.host == host))
        for host in wanted
    )


def _executor_victim(executor: Executor) -> Victim:
    return Victim(name=f"executor {executor.id}", host=executor.host, executors=(executor.id,))


def require_within(victims: tuple[Victim, ...], target: Stressable, work: Work) -> None:
    """Refuse what is beyond the blast radius, whatever the fault asked for."""
    radius, fault = work.spec.blast_radius, work.spec.fault.type
    if fault.reaches_others and not radius.others:
        _require_nobody_else(target.look("strike", work), work)
    if fault is Fault.RESTART_WORKERS and radius.last_worker:
        return
    hit = sum(len(v.executors) for v in victims)
    if hit > radius.executors:
        raise Refusal(
            f"{fault} would hit {hit} executors, blast_radius.executors is {radius.executors}", "raise it, or hit fewer"
        )
    if fault.hits_workers and not radius.last_worker:
        alive, hit_hosts = {w.host for w in target.look("strike", work).alive}, {v.host for v in victims}
        if unknown := sorted(hit_hosts - alive):
            raise Refusal(
                f"{fault} would hit {', '.join(unknown)}, which the cluster does not list as a worker that is alive:"
                " whether another would be left cannot be said",
                "see how the cluster names its hosts; `blast_radius.last_worker` allows it",
            )
        if not alive - hit_hosts:
            raise Refusal(f"{fault} would leave no worker", "`blast_radius.last_worker` allows it")


def _require_nobody_else(seen: ClusterSeen, work: Work) -> None:
    """Refuse what an application that is not ours would feel, and where nobody says whether there is one."""
    fault, others = work.spec.fault.type, others_of(seen, work.application)
    if others or seen.problems:
        who = f"would reach {', '.join(others)}" if others else f"could reach others: {'; '.join(seen.problems)}"
        raise Refusal(f"{fault} {who}", "run it when nothing else does; `blast_radius.others` allows it")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _spark_word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
