"""Faults in the stress drill's own steps, or behind its back while one of them is about to begin."""

import signal
import time
from collections.abc import Mapping
from typing import Any

from muster.drill import Context
from muster.plan import Plan
from muster.spark.digest import Answer
from muster.spark.observations import Known, Victim
from muster.spark.section import spec_of
from muster.spark.trend import subject_of
from tasks.spark.cluster import Cluster
from tasks.spark.post import Told
from tasks.spark.scene import processes_of, target_of, work_of
from tasks.spark.workloads.workload import open_workload
from tasks.stress import know_answer
from tasks.targets.stressable import Moment, Session, Work

_SECONDS = 30.0
_NAP = 0.05
_BEYOND = 0.4
"""Seconds that are more than two clocks may differ by."""


def strike_nothing(context: Context) -> None:
    """Faults are reported, and not carried out."""

    def strike(_moment: Moment, victims: tuple[Victim, ...], _work: Work) -> tuple[str, ...]:
        return tuple(f"{victim.name}: SIGKILL" for victim in victims)

    target_of(context).strike = strike  # type: ignore[method-assign, assignment]


def strike_too_late(context: Context) -> None:
    """The fault strikes when the job is over."""
    target = target_of(context)
    carry_out = target.strike

    def strike(moment: Moment, victims: tuple[Victim, ...], work: Work) -> tuple[str, ...]:
        def later() -> None:
            time.sleep(_SECONDS / 3)
            carry_out(moment, victims, work)

        context.background.start("late", later, end=lambda: None)
        return tuple(f"{victim.name}: SIGKILL" for victim in victims)

    target.strike = strike  # type: ignore[method-assign]


def strike_in_the_next_stage(context: Context) -> None:
    """The fault is begun in the stage it was aimed at, and carried out in the next one."""
    target = target_of(context)
    opened, carry_out = target.open_session, target.strike
    sessions: list[Session] = []

    def open_session(work: Work, name: str, settings: Mapping[str, str], data: str) -> Any:
        sessions.append(opened(work, name, settings, data))
        return sessions[-1]

    def strike(moment: Moment, victims: tuple[Victim, ...], work: Work) -> tuple[str, ...]:
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            active = {s.id for s in sessions[-1].stages(moment.group) or () if s.is_active}
            if active and moment.stage.id not in active:
                break
            time.sleep(_NAP)
        time.sleep(_BEYOND)
        return carry_out(moment, victims, work)

    target.open_session, target.strike = open_session, strike  # type: ignore[method-assign]


def strike_others_too(context: Context) -> None:
    """The fault takes every executor, and reports the one it was aimed at."""
    target = target_of(context)
    carry_out = target.strike

    def strike(moment: Moment, victims: tuple[Victim, ...], work: Work) -> tuple[str, ...]:
        everyone = tuple(Victim(name=f"executor {e.id}", host=e.host, executors=(e.id,)) for e in moment.executors)
        carry_out(moment, everyone, work)
        return tuple(f"{victim.name}: SIGKILL" for victim in victims)

    target.strike = strike  # type: ignore[method-assign]


def ask_of_another_scale(context: Context) -> Known:
    """The answer is that of ten times as many rows."""
    keys = dict(spec_of(context.plan).workload)
    larger = open_workload({**keys, "rows": keys["rows"] * 10})
    return know_answer(context).model_copy(update={"question": larger.question, "answer": larger.answer()})


class _Cutting:
    """A session that loses a part of every digest."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def ended(self) -> Told | None:
        """As told, but for one part."""
        told = self._session.ended()
        if told is None or told.inspection is None:
            return told
        answer = told.inspection.answer
        cut = Answer(whole=answer.whole, parts=dict(list(answer.parts.items())[1:]))
        return told.model_copy(update={"inspection": told.inspection.model_copy(update={"answer": cut})})


def cut_digests(context: Context) -> None:
    """A part of every digest is lost between driver and drill."""
    target = target_of(context)
    opened = target.open_session

    def open_session(work: Work, name: str, settings: Mapping[str, str], data: str) -> Any:
        return _Cutting(opened(work, name, settings, data))

    target.open_session = open_session  # type: ignore[method-assign]


def kill_in_the_undisturbed(context: Context) -> None:
    """Somebody else kills an executor while the undisturbed lap runs."""
    target = target_of(context)
    opened = target.open_session

    def open_session(work: Work, name: str, settings: Mapping[str, str], data: str) -> Any:
        session = opened(work, name, settings, data)
        cluster: Cluster = target._cluster(work)  # type: ignore[attr-defined]

        def kill() -> None:
            deadline = time.monotonic() + _SECONDS
            while time.monotonic() < deadline:
                busy = [e for e in session.executors() or () if e.is_active and e.active_tasks]
                if busy and (process := cluster.executor_of(session.applications[-1], busy[0].id)):
                    process.signal(signal.SIGKILL)
                    return
                time.sleep(_NAP)

        context.background.start("killer", kill, end=lambda: None)
        return session

    target.open_session = open_session  # type: ignore[method-assign]


def kill_a_worker_for_good(context: Context) -> None:
    """A worker dies when all seems over, and nobody starts it again."""
    processes_of(context).stop("spark-worker-1")


def cut_event_logs(context: Context) -> None:
    """The second half of every event log is gone."""
    target, work = target_of(context), work_of(context)
    target.end_sessions(work)
    for path in target.events(work):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[: len(lines) // 2]), encoding="utf-8")


def lose_event_logs(context: Context) -> None:
    """No event log is there."""
    target, work = target_of(context), work_of(context)
    for path in target.events(work):
        path.unlink()


def recovered_at_once(plan: Plan) -> Mapping[str, Any]:
    """The last passes lost no time at all."""
    return {"of": subject_of(spec_of(plan)), "delays": [0.0, 0.0, 0.0]}


def was_different(plan: Plan) -> Mapping[str, Any]:
    """The last pass had another baseline for the same question."""
    workload = open_workload(spec_of(plan).workload)
    answer = {"whole": {"rows": 1, "xor": "0" * 16, "sum": "0", "damaged": 0}, "parts": {}}
    return {"baseline": {"question": workload.question.model_dump(mode="json"), "answer": answer}}
