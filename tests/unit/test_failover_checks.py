"""Every check of the failover rehearsal, on journals made by hand: it passes, fails, stays in the dark, or steps aside.

A journal here is that of a healthy rehearsal with something changed; a case names what was changed and what one check
must then say. What `None` is put for did not happen.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from muster.failover.checks import CHECKS
from muster.failover.observations import (
    Accounting,
    Cast,
    Detected,
    FailedBack,
    FenceProof,
    Gap,
    NodeState,
    Promoted,
    Rejoined,
    RouteSampled,
    Salvaged,
    StageLoss,
    Struck,
    Surveyed,
    Takeover,
    Tally,
)
from muster.finding import Finding
from muster.identity import Identity
from muster.journal import EventKind, History, Journal, Observation
from muster.plan import Plan
from muster.verdict import Verdict

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = 10**9
PASS, FAIL, DARK, ASIDE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, None


@dataclass
class Clock:
    ticks: Any = field(default_factory=itertools.count)

    def now(self) -> datetime:
        return AT

    def monotonic_ns(self) -> int:
        return next(self.ticks) * SECOND


class Memory:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def append_event(self, event: Any) -> None:
        self.events.append(event)

    def read_events(self, run: str) -> tuple[Any, ...]:
        return tuple(self.events)


def plan(rto: str | None = "5s", rpo: str | None = "0s", **failover: Any) -> Plan:
    return Plan.model_validate(
        {"name": "unit", "kind": "failover", "environment": "test", "owner": "tests", "target": {"type": "paper"},
         "objectives": {"rto": rto, "rpo": rpo}, "failover": {"scenario": "kill", **failover}}
    )  # fmt: skip


def node(name: str, role: str, **changes: Any) -> NodeState:
    known = {} if role == "unreachable" else {
        "system_identifier": "7", "server": f"{name}/1/1", "version_num": 180001, "clock_offset_seconds": 0.002,
        "round_trip_seconds": 0.001, "extensions": {"plpgsql": "1.0", "pgcrypto": "1.4"},
    }  # fmt: skip
    if role == "standby":
        known["receiving_from"] = "elsewhere:5432"
    return NodeState.model_validate(
        {"node": name, "region": f"region-{name}", "asked_at": AT, "role": role, **known, **changes}
    )


def seen(stage: str, old: str, new: str, **changes: Mapping[str, Any]) -> Surveyed:
    """A survey of `a` and `b` in their roles, with changes of one node or the other."""
    roles = {"a": old, "b": new}
    return Surveyed(stage=stage, nodes=tuple(node(n, role, **changes.get(n, {})) for n, role in roles.items()))


def proof(stage: str, node: str = "a", write: str = "refused") -> FenceProof:
    return FenceProof.model_validate({"stage": stage, "node": node, "write": write, "said": "read-only", "asked_ns": 1})


def sample(stage: str, failed: int = 0, **reached: int) -> RouteSampled:
    return RouteSampled(stage=stage, asked=200, reached=reached, failed=failed)


def takeover(name: str, seconds: float | None = 1.0, unserved: tuple[int, ...] = ()) -> Takeover:
    gap = [] if seconds is None else [Gap(connection=0, last_ack_ns=0, first_ack_ns=int(seconds * SECOND))]
    return Takeover(
        name=name, gaps=tuple(gap), unserved=unserved, median_seconds=seconds, max_seconds=seconds,
        write_gap_seconds=seconds,
    )  # fmt: skip


def loss(stage: str, node: str = "b", lost: int = 0, seconds: float = 0.0, **newly: Any) -> StageLoss:
    return StageLoss(stage=stage, node=node, acknowledged=1000, lost=lost, rpo_seconds=seconds, **newly)


STAGES = (loss("verify"), loss("rejoin"), loss("verify-again", "a"), loss("account", "a"))
WELL = {"attempts": 1010, "acknowledged": 1000, "recovered": 1000, "failed": 6, "unknown": 4, "reads": 50}


def accounting(
    *, stages: tuple[StageLoss, ...] = STAGES, before: Mapping[str, int] | None = None, total: Any = (), **changes: Any
) -> Accounting:
    counts = {**WELL, **dict(total)}
    phases = (Tally(phase="before", reads=20, **dict(before or {})),)
    return Accounting.model_validate(
        {"is_whole": True, "is_damaged": False, "total": Tally(phase="total", **counts), "phases": phases,
         "stages": stages, "unexpected": 0, **changes}
    )  # fmt: skip


def partial(**changes: Any) -> Accounting:
    return accounting(is_whole=False, why_not_whole="the client was killed", **changes)


HEALTHY: dict[str, Observation] = {
    "identity": Identity(description="a pair", system_identifier="7", proof="asked"),
    "at survey": seen("survey", "primary", "standby", a={"sync_standbys": ("b",), "standbys": ("b",)}),
    "survey": Cast(old="a", new="b", regions={"a": "east", "b": "west"}),
    "at steady": seen("steady", "primary", "standby", a={"sync_standbys": ("b",), "standbys": ("b",)}),
    "fault": Struck(scenario="kill", struck_ns=10 * SECOND, done=("killed",)),
    "detect": Detected(
        detected_ns=11 * SECOND, first_failure_ns=10 * SECOND, probes=9, interval_seconds=0.1, after_seconds=1.0,
        how="nine probes failed",
    ),
    "proof at prove-fence": proof("prove-fence"),
    "promote": Promoted(node="b", promoted_ns=12 * SECOND, timeline=2, lsn="0/1", how="pg_promote"),
    "at verify": seen("verify", "unreachable", "primary"),
    "proof at verify": proof("verify"),
    "route at verify": sample("verify", b=200),
    "salvage": Salvaged(node="a", fork_lsn="0/1", commits=3),
    "rejoin": Rejoined(node="a", how="rewind", why="its log had diverged", rejoined_ns=30 * SECOND),
    "at rejoin": seen("rejoin", "standby", "primary"),
    "failback": FailedBack(node="a", asked_ns=40 * SECOND, switched_ns=41 * SECOND, timeline=3, how="switch"),
    "at verify-again": seen("verify-again", "primary", "standby"),
    "proof at verify-again": proof("verify-again", "b"),
    "route at verify-again": sample("verify-again", a=200),
    "at steady-after": seen("steady-after", "primary", "standby"),
    "failover": takeover("failover"),
    "home again": takeover("failback"),
    "account": accounting(),
}  # fmt: skip
STEPS = ("survey", "fault", "detect", "promote", "salvage", "rejoin", "failback", "account")


def history(changes: Mapping[str, Observation | None] | None = None) -> History:
    """The healthy rehearsal with some of it replaced, left out, or added at the end."""
    journal = Journal("run", Memory(), Clock())
    journal.append(EventKind.OPENED)
    for name, value in {**HEALTHY, **(changes or {})}.items():
        if value is None:
            continue
        if name in STEPS:
            journal.append(EventKind.STARTED, name)
            journal.append(EventKind.SUCCEEDED, name, result=value.model_dump(mode="json"))
        else:
            journal.observe(value)
    for name in STEPS:
        if name in journal.history.step_states():
            journal.append(EventKind.UNDO_STARTED, name)
            journal.append(EventKind.UNDONE, name)
    return journal.history


def judged(name: str, history: History, plan: Plan) -> Finding:
    findings = [found for check in CHECKS for found in [check(history, plan)]]
    return next(f for f in findings if f.check == name)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_healthy_rehearsal_is_quiet(check: Any) -> None:
    everything = plan(commit="remote_apply", extensions=["pgcrypto"], failback={"rto": "5s"})
    finding = check(history(), everything)
    assert finding.verdict is PASS, finding


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_empty_journal_passes_nothing(check: Any) -> None:
    nothing = Journal("run", Memory(), Clock())
    nothing.append(EventKind.OPENED)
    everything = plan(commit="remote_apply", extensions=["pgcrypto"], failback={"rto": "5s"})
    verdict = check(nothing.history, everything).verdict
    assert verdict is (None if check.__name__ == "nothing_is_left" else DARK)


def test_every_check_has_its_name() -> None:
    names = [check(history(), plan()).check for check in CHECKS]
    assert names == [
        "rehearsed", "rto", "rpo", "failback rto", "failback rpo", "accounted", "fence", "one primary",
        "no duplicates", "nothing resurrected", "nothing unexpected", "reads", "lost tail", "detected", "identity",
        "commit mode", "sequences", "route", "clocks", "extensions", "versions", "redundancy", "rejoined",
        "left behind",
    ]  # fmt: skip


Changes = dict[str, Observation | None]


def at(stage: str, old: str = "primary", new: str = "standby", **changes: Mapping[str, Any]) -> Changes:
    return {f"at {stage}": seen(stage, old, new, **changes)}


def taken(**changes: Mapping[str, Any]) -> Changes:
    return at("verify", "unreachable", "primary", **changes)


def acc(**changes: Any) -> Changes:
    return {"account": accounting(**changes)}


def part(**changes: Any) -> Changes:
    return {"account": partial(**changes)}


def lossy(*stages: StageLoss) -> Changes:
    return acc(stages=stages)


def stale(before: int = 0, **total: int) -> Changes:
    return acc(total={"stale_reads": 7, **total}, before={"stale_reads": before})


NO_PROOF = dict.fromkeys(["proof at prove-fence", "proof at verify", "proof at verify-again"])
NO_ROUTE = dict.fromkeys(["route at verify", "route at verify-again"])
NOT_SAMPLED = RouteSampled(stage="verify", asked=0, reached={}, failed=0)
BLIND = Salvaged(node="a", fork_lsn=None, commits=None, why_not="no access")
GONE = loss("verify", lost=79, seconds=1.9)
CRYPTO = plan(extensions=["pgcrypto"])
NOTHING = dict.fromkeys(WELL, 0)
KILL, PLANNED, APPLY = plan(), plan(scenario="switchover"), plan(commit="remote_apply")
SLACK, NO_OBJECTIVES = plan(rpo="2s"), plan(rto=None, rpo=None, failback={"rpo": None})
STAY = plan(failback=None)
PATIENT = plan(detection={"after": "2s"})
KNOWN = Detected(
    detected_ns=11 * SECOND, first_failure_ns=10 * SECOND, probes=0, interval_seconds=0, after_seconds=0,
    how="the link is dead",
)  # fmt: skip
HOME_IN_2S = plan(failback={"rto": "2s", "rpo": "2s"})

CASES: tuple[tuple[str, Plan, Mapping[str, Observation | None], Verdict | None, str], ...] = (
    ("identity", KILL, taken(b={"system_identifier": "8"}), FAIL, "7, 8"),
    ("identity", KILL, {"identity": Identity(description="", system_identifier="9", proof="")}, FAIL, "system 7"),
    ("identity", KILL, {"identity": Identity(description="", proof="")}, PASS, "system 7"),
    ("identity", KILL, {"identity": None}, DARK, "not observed"),
    ("commit mode", KILL, {}, ASIDE, "failover.commit"),
    ("commit mode", APPLY, at("survey", a={"standbys": ("b",)}), FAIL, "nobody"),
    ("commit mode", APPLY, at("survey", a={"sync_standbys": ("w",), "standbys": ("w",)}), PASS, "waits for w"),
    ("commit mode", APPLY, at("survey", a={"sync_standbys": ("c",), "standbys": ("b", "c")}), FAIL, "waits for c"),
    ("commit mode", APPLY, at("survey", a={"sync_standbys": ("w",), "standbys": ("w", "c")}, b={"server": "w/1/1"}),
        PASS, "waits for w"),
    ("commit mode", APPLY, at("steady", a={"standbys": ("b",)}), FAIL, "steady: a waits for nobody"),
    ("commit mode", APPLY, at("steady", a={"settings": {"synchronous_standby_names": "*"}}), PASS, "survey: a waits"),
    ("commit mode", APPLY, at("steady", a={"sync_standbys": ("c",), "standbys": ("b", "c")}), FAIL, "waits for c"),
    ("commit mode", APPLY, {"at steady": None}, PASS, "waits for b"),
    ("commit mode", APPLY, {"at survey": None}, DARK, "not observed"),
    ("detected", KILL, {}, PASS, "1.0 s after the fault"),
    ("detected", PATIENT, {}, FAIL, "failed for 1.0 s, not for 2.0 s"),
    ("detected", PATIENT, {"detect": KNOWN}, PASS, "the link is dead"),
    ("detected", PLANNED, {"detect": None}, ASIDE, "planned"),
    ("detected", KILL, {"detect": None}, DARK, "not observed"),
    ("fence", KILL, {"proof at verify": proof("verify", write="accepted")}, FAIL, "a took a write at verify"),
    ("fence", PLANNED, {"proof at verify": proof("verify", write="accepted")}, FAIL, "a took a write at verify"),
    ("fence", KILL, {"proof at prove-fence": proof("prove-fence", write="unknown")}, PASS, "3 writes refused"),
    ("fence", KILL, {"proof at verify": proof("verify", write="unknown")}, DARK, "a hung"),
    ("fence", KILL, {"proof at verify-again": proof("verify-again", "b", "unknown")}, DARK, "b hung"),
    ("fence", KILL, NO_PROOF, DARK, "no write"),
    ("fence", PLANNED, NO_PROOF, ASIDE, "planned"),
    ("one primary", KILL, at("verify", "primary", "primary"), FAIL, "a and b are primaries"),
    ("one primary", KILL, at("verify", "primary", "standby"), FAIL, "a is primary, not b"),
    ("one primary", KILL, at("steady-after", "standby", "primary"), FAIL, "b is primary, not a"),
    ("one primary", KILL, at("steady", "standby", "primary"), FAIL, "steady: b is primary, not a"),
    ("one primary", KILL, acc(old_acks_after_promotion=4), FAIL, "4 writes acknowledged"),
    ("one primary", KILL, part(old_acks_after_promotion=1), FAIL, "1 write acknowledged"),
    ("one primary", KILL, part(), DARK, "whole history"),
    ("one primary", KILL, {"account": None}, DARK, "not observed"),
    ("one primary", STAY, {"failback": FailedBack(node="b", asked_ns=1, switched_ns=1, timeline=0, how="stays"),
        **at("verify-again", "standby", "primary"), **at("steady-after", "standby", "primary")}, PASS, "surveys"),
    ("rto", KILL, {"failover": takeover("failover", 5.0)}, PASS, "after 5.0 s"),
    ("rto", KILL, {"failover": takeover("failover", 5.001)}, FAIL, "the slowest of 1 connection"),
    ("rto", KILL, {"failover": takeover("failover", 1.0, (3,))}, FAIL, "1 connection was never served again: 3"),
    ("rto", KILL, {"failover": takeover("failover", None)}, DARK, "no connection"),
    ("rto", KILL, {"failover": None}, DARK, "not observed"),
    ("rto", NO_OBJECTIVES, {}, ASIDE, "no RTO"),
    ("rpo", KILL, lossy(loss("verify", lost=1), *STAGES[1:]), FAIL, "1 of 1,000"),
    ("rpo", SLACK, lossy(GONE, *STAGES[1:]), PASS, "79 of 1,000"),
    ("rpo", SLACK, lossy(loss("verify", lost=79, seconds=2.1), *STAGES[1:]), FAIL, "2.1 s"),
    ("rpo", SLACK, part(stages=(loss("verify", lost=9, seconds=2.1),)), FAIL, "2.1 s"),
    ("rpo", SLACK, part(), DARK, "not whole"),
    ("rpo", SLACK, lossy(*STAGES[2:]), DARK, "no primary was read"),
    ("rpo", NO_OBJECTIVES, {}, ASIDE, "no RPO"),
    ("rpo", plan(rpo=None, scenario="switchover"), lossy(loss("verify", lost=1)), FAIL, "1 of"),
    ("rpo", KILL, lossy(*STAGES[:2], loss("account", "a", 5, newly_lost=5)), PASS, "0 of"),
    ("rpo", STAY, lossy(*STAGES[:2], loss("account", "b", 5, newly_lost=5)), FAIL, "5 of"),
    ("rpo", KILL, {"account": None}, DARK, "not observed"),
    ("failback rto", KILL, {}, ASIDE, "no RTO"),
    ("failback rto", STAY, {}, ASIDE, "failover.failback"),
    ("failback rto", HOME_IN_2S, {"home again": takeover("failback", 1.9)}, PASS, "1.9 s"),
    ("failback rto", HOME_IN_2S, {"home again": takeover("failback", 2.1)}, FAIL, "2.1 s"),
    ("failback rto", HOME_IN_2S, {"home again": None}, DARK, "not observed"),
    ("failback rpo", STAY, {}, ASIDE, "failover.failback"),
    ("failback rpo", NO_OBJECTIVES, {}, ASIDE, "no RPO"),
    ("failback rpo", KILL, lossy(GONE, loss("account", "a", 79)), PASS, "0 of"),
    ("failback rpo", KILL, lossy(loss("account", "a", 80, newly_lost=1)), FAIL, "1 of"),
    ("failback rpo", HOME_IN_2S, lossy(loss("account", "a", 80, newly_lost=1, newly_rpo_seconds=1.0)), PASS, "1 of"),
    ("failback rpo", KILL, lossy(*STAGES[:2]), DARK, "no primary was read"),
    ("accounted", KILL, {}, PASS, "1,010 tried: 1,000 acknowledged (1,000 there, 0 lost), 6 refused, 4 unknown"),
    ("accounted", KILL, part(), DARK, "the client was killed"),
    ("accounted", KILL, acc(is_whole=False, is_damaged=True, why_not_whole="w-000.log is cut"), FAIL, "w-000.log is"),
    ("accounted", KILL, acc(total=NOTHING), DARK, "nothing was tried"),
    ("accounted", KILL, acc(total={"acknowledged": 0, "recovered": 0}), DARK, "nothing was acknowledged"),
    ("accounted", KILL, acc(total={"recovered": 998, "lost": 1}), DARK, "1 acknowledged write was never read"),
    ("accounted", KILL, {"home again": takeover("failback", 1.0, (0, 2))}, FAIL, "failback: 2 connections were never"),
    ("accounted", KILL, {"account": None}, DARK, "not observed"),
    ("no duplicates", KILL, acc(total={"duplicated": 2}, duplicated_ids=(5, 6)), FAIL, "2 writes"),
    ("no duplicates", KILL, part(total={"duplicated": 1}), FAIL, "1 write there more than once"),
    ("no duplicates", KILL, part(), DARK, "not whole"),
    ("no duplicates", KILL, acc(stages=()), DARK, "no primary was read whole"),
    ("no duplicates", KILL, acc(total=NOTHING), DARK, "nothing was tried"),
    ("nothing resurrected", KILL, acc(total={"resurrected": 3}), FAIL, "3 writes came back"),
    ("nothing resurrected", KILL, part(), DARK, "not whole"),
    ("nothing unexpected", KILL, acc(unexpected=1), FAIL, "1 never tried, 0 refused"),
    ("nothing unexpected", KILL, acc(total={"failed_present": 2}), FAIL, "0 never tried, 2 refused"),
    ("nothing unexpected", KILL, part(), DARK, "not whole"),
    ("reads", plan(client={"reads": None}), {}, ASIDE, "failover.client.reads"),
    ("reads", KILL, acc(total={"reads": 0}), DARK, "no read was answered"),
    ("reads", KILL, stale(7, stale_primary_reads=1), FAIL, "1 stale at the primary"),
    ("reads", KILL, stale(7), PASS, "7 at a standby that promised nothing"),
    ("reads", APPLY, stale(7), FAIL, "7 at the standby before the fault"),
    ("reads", APPLY, stale(0), PASS, "7 at a standby that promised nothing"),
    ("reads", APPLY, acc(total={"stale_reads": 7}, phases=()), FAIL, "7 at the standby"),
    ("reads", KILL, part(), DARK, "not whole"),
    ("sequences", KILL, taken(b={"sequences_behind": ("s",)}), FAIL, "1 is behind"),
    ("sequences", KILL, at("steady", a={"sequences_behind": ("s",)}), PASS, "none is"),
    ("sequences", KILL, {"promote": None}, DARK, "not observed"),
    ("route", plan(route_samples=0), {}, ASIDE, "failover.route_samples"),
    ("route", KILL, {"route at verify": sample("verify", b=198, a=2)}, FAIL, "verify: 2 reached a, of 400"),
    ("route", KILL, {"route at verify": sample("verify", **{"b": 199, "": 1})}, FAIL, "a server nobody knows"),
    ("route", KILL, {"route at verify": sample("verify", 3, b=197)}, FAIL, "3 reached nobody"),
    ("route", KILL, {"route at verify": sample("verify", b=190)}, FAIL, "10 reached nobody"),
    ("route", KILL, {"route at verify-again": sample("verify-again", b=200)}, FAIL, "verify-again: 200 reached b"),
    ("route", KILL, NO_ROUTE, DARK, "no connection was tried"),
    ("route", KILL, {"route at verify": NOT_SAMPLED}, DARK, "no connection was tried"),
    ("clocks", KILL, at("steady", b={"clock_offset_seconds": -3600.0}), FAIL, "b is off by 60 m"),
    ("clocks", KILL, at("steady", b={"clock_offset_seconds": 1.4, "round_trip_seconds": 1.0}), PASS, "at most"),
    ("clocks", KILL, acc(clock_steps_seconds=3600.0), FAIL, "the client's own clock is off by 60 m"),
    ("clocks", KILL, {"account": None}, PASS, "at most"),
    ("extensions", KILL, {}, ASIDE, "failover.extensions"),
    ("extensions", plan(extensions=["postgis"]), {}, FAIL, "postgis: missing on a, missing on b"),
    ("extensions", CRYPTO, at("survey", b={"extensions": {"pgcrypto": "1.3"}}), FAIL, "1.4 on a, 1.3 on b"),
    ("extensions", CRYPTO, at("survey", "primary", "unreachable"), DARK, "not observed"),
    ("versions", KILL, at("survey", b={"version_num": 170006}), FAIL, "17.6, 18.1"),
    ("versions", KILL, at("survey", b={"version_num": 180003}), PASS, "18.1, 18.3"),
    ("versions", KILL, {"at survey": None}, DARK, "not observed"),
    ("redundancy", KILL, {}, PASS, "b streams; there was none for 20.0 s"),
    ("redundancy", KILL, at("steady-after", b={"receiving_from": ""}), FAIL, "nobody streams"),
    ("redundancy", KILL, at("steady-after", "primary", "unreachable"), FAIL, "nobody streams"),
    ("redundancy", KILL, {"at steady-after": None}, DARK, "not observed"),
    ("rejoined", KILL, {}, PASS, "a is standby, by rewind: its log had diverged"),
    ("rejoined", KILL, at("rejoin", "primary", "primary"), FAIL, "a is primary"),
    ("rejoined", KILL, {"rejoin": None}, DARK, "not observed"),
    ("lost tail", KILL, lossy(loss("verify", lost=3)), PASS, "3 commits beyond 0/1, 3 writes lost"),
    ("lost tail", KILL, lossy(loss("verify", lost=4)), FAIL, "4 writes lost"),
    ("lost tail", KILL, {"salvage": BLIND}, ASIDE, "no access"),
    ("lost tail", KILL, {"salvage": None}, DARK, "not observed"),
    ("lost tail", PLANNED, {"salvage": None}, ASIDE, "planned"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("check", "asked", "changes", "verdict", "told"),
    [pytest.param(*case, id=f"{at}-{case[0]}-{case[3]}") for at, case in enumerate(CASES)],
)
def test_a_check(
    check: str, asked: Plan, changes: Mapping[str, Observation | None], verdict: Verdict | None, told: str
) -> None:
    finding = judged(check, history(changes), asked)
    assert (finding.verdict, told in finding.seen) == (verdict, True), finding


def test_a_step_that_fails_and_one_that_is_not_undone() -> None:
    journal = Journal("run", Memory(), Clock())
    journal.append(EventKind.OPENED)
    journal.append(EventKind.STARTED, "promote")
    journal.append(EventKind.FAILED, "promote", cause="system", error="E", message="it stays a standby", advice="look")
    failed = judged("rehearsed", journal.history, plan())
    assert (failed.verdict, failed.seen) == (FAIL, "step promote: it stays a standby")
    assert judged("left behind", journal.history, plan()).verdict is FAIL


def test_what_was_found_is_told_in_detail() -> None:
    changed = {"account": accounting(total={"duplicated": 2}, duplicated_ids=(5, 6))}
    assert judged("no duplicates", history(changed), plan()).detail == ("id 5", "id 6")
