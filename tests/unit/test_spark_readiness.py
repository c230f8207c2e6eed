"""Whether a cluster would take a drill now, and why not: each reason for itself, and what the survey does with it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from spark_paper import Clock, Memory, cluster, plan, workers

from muster.drill import Context, Workspace
from muster.errors import Refusal
from muster.finding import Finding
from muster.identity import Identity
from muster.journal import EventKind, Journal
from muster.spark.observations import ClusterSeen
from muster.spark.readiness import findings_of
from muster.spark.section import spec_of
from muster.spark.spec import Fault
from muster.verdict import Verdict
from tasks import stress

OURS_ALONE = frozenset({Fault.KILL_EXECUTOR, Fault.KILL_CACHED, Fault.KILL_DRIVER, Fault.FREEZE_EXECUTOR,
                        Fault.OUT_OF_MEMORY, Fault.LOSE_SHUFFLE_FILE, Fault.CORRUPT_SHUFFLE_BLOCK})  # fmt: skip


def found(seen: ClusterSeen, **spark: Any) -> dict[str, Finding]:
    return {each.check: each for each in findings_of(seen, spec_of(plan(**spark)))}


def test_a_cluster_that_is_fit_has_no_reason_against_it() -> None:
    verdicts = {each.verdict for each in found(cluster("ready", free_share=0.5)).values()}
    assert verdicts == {Verdict.PASS, None}


@pytest.mark.parametrize(
    ("changes", "spark", "check", "words"),
    [
        ({"problems": ("the master is STANDBY",)}, {}, "reachable", "STANDBY"),
        ({"workers": workers(1)}, {}, "workers", "1 do"),
        ({}, {"fault": {"type": "kill-worker"}, "ready": {"workers": 1, "cores": 99}}, "capacity", "4 cores"),
        ({"free_share": 0.01}, {}, "disk", "1%"),
        ({"applications": ("etl",)}, {"fault": {"type": "kill-worker"}}, "others", "etl run there"),
    ],
)
def test_each_reason_against_it_is_told(changes: dict[str, Any], spark: dict[str, Any], check: str, words: str) -> None:
    told = found(cluster("ready", **changes), **spark)[check]
    assert told.verdict is Verdict.FAIL
    assert words in told.seen


@pytest.mark.parametrize("fault", Fault)
def test_who_else_runs_there_matters_to_a_fault_that_they_would_feel(fault: Fault) -> None:
    spark: dict[str, Any] = {"fault": {"type": fault}, "blast_radius": {"last_worker": True}}
    told = found(cluster("ready", applications=("etl", "bi")), **spark)["others"]
    assert told.verdict is (None if fault in OURS_ALONE else Verdict.FAIL)
    assert "bi, etl run there" in told.seen
    assert found(cluster("ready"), **spark)["others"].verdict is not Verdict.FAIL
    allowed = {**spark, "blast_radius": {"last_worker": True, "others": True}}
    assert found(cluster("ready", applications=("etl",)), **allowed)["others"].verdict is None


def test_where_nobody_says_who_runs_there_it_is_not_taken_for_nobody() -> None:
    told = found(cluster("ready", problems=("no answer",)), fault={"type": "kill-worker"})["others"]
    assert told.verdict is Verdict.INCONCLUSIVE


class Target:
    """A cluster on which others may run."""

    def __init__(self, *applications: str) -> None:
        self.seen = cluster("survey", applications=applications, free_share=0.5)

    def identify(self) -> Identity:
        return Identity(description="paper", proof="it said so")

    def faults(self) -> frozenset[Fault]:
        return frozenset(Fault)

    def look(self, stage: str, work: Any = None) -> ClusterSeen:
        return self.seen


def survey(folder: Path, target: Target, **spark: Any) -> ClusterSeen:
    journal = Journal("run", Memory(), Clock())
    of = plan(**spark)
    journal.append(EventKind.OPENED, plan=of.model_dump(mode="json"), steps=[], earlier={})
    clock: Any = SimpleNamespace(monotonic_ns=lambda: 0)
    context = Context(plan=of, target=target, journal=journal, workspace=Workspace("run", folder), clock=clock,
                      deadline_ns=10**12)  # fmt: skip
    return stress.survey_cluster(context)


def test_the_survey_refuses_to_disturb_others(tmp_path: Path) -> None:
    fault = {"type": "restart-master"}
    with pytest.raises(Refusal, match="others: etl run there"):
        survey(tmp_path, Target("etl"), fault=fault)
    assert survey(tmp_path, Target(), fault=fault)
    assert survey(tmp_path, Target("etl"), fault=fault, blast_radius={"others": True})
    assert survey(tmp_path, Target("etl")), "an executor of ours is nobody else's"
