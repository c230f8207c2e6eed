"""How a rehearsal is measured and told: every number with its conditions, and nothing that was not seen."""

from collections.abc import Mapping

import pytest

from muster.failover.measuring import loss_of, parts_of
from muster.failover.observations import (
    Accounting,
    Bin,
    FailedBack,
    Fenced,
    LagSample,
    LagSeries,
    Load,
    Node,
    Promoted,
    Rerouted,
    Series,
    Struck,
    Verified,
)
from muster.failover.telling import sight, tell
from muster.journal import EventKind, History, Journal, Observation
from muster.plan import Plan
from muster.summary import Measure
from tests.unit.test_failover_checks import (
    DARK,
    FAIL,
    GONE,
    HEALTHY,
    KILL,
    PASS,
    PLANNED,
    SECOND,
    STAY,
    Clock,
    Memory,
    accounting,
    loss,
    plan,
    seen,
    takeover,
)

Made = Mapping[str, Observation | None]
FIRST_ACK = 13_400_000_000
STEADY = seen("steady", "primary", "standby", a={"write_lag_seconds": 0.0204}, b={"replay_lag_bytes": 2048})
SERIES = Series(
    bin_seconds=0.25,
    bins=(
        Bin(at_ns=2 * SECOND, acknowledged={"a": 50}, unknown=1, failed=2, lost=3),
        Bin(at_ns=2 * SECOND + SECOND // 4, acknowledged={"b": 40}, unknown=0, failed=0, lost=0),
    ),
)
LAG = LagSeries(samples=(LagSample(at_ns=2 * SECOND, bytes=7), LagSample(at_ns=3 * SECOND, bytes=None)))
WALK: dict[str, Observation] = {
    **{name: HEALTHY[name] for name in ("identity", "at survey", "survey")},
    "at steady": STEADY,
    "fault": Struck(scenario="kill", struck_ns=10 * SECOND, done=("a: SIGKILL",)),
    "detect": HEALTHY["detect"],
    "fence": Fenced(node="a", fenced_ns=11_500_000_000, how="marked as fenced"),
    "promote": Promoted(node="b", promoted_ns=12 * SECOND, timeline=2, lsn="0/1", how="pg_promote"),
    "reroute": Rerouted(node="b", rerouted_ns=12_250_000_000, how="clients try both"),
    "verify": Verified(stage="verify", first_ack_ns=FIRST_ACK, all_acked_ns=14 * SECOND, probe_error_seconds=0.01),
    **{name: HEALTHY[name] for name in ("salvage", "rejoin", "failback", "at steady-after")},
    "failover": takeover("failover", 3.5),
    "home again": takeover("failback", 0.5),
    "series": SERIES,
    "lag": LAG,
    "account": accounting(),
}
STEPS = (
    "survey", "fault", "detect", "fence", "promote", "reroute", "verify", "salvage", "rejoin", "failback", "account",
)  # fmt: skip


def walk(changes: Made | None = None, upto: str = "account") -> History:
    """A rehearsal, step by step up to one, in which it ends if that is not the last; and its undo."""
    journal = Journal("run", Memory(), Clock())
    journal.append(EventKind.OPENED, machine="here")
    for name, value in {**WALK, **(changes or {})}.items():
        is_step = name in STEPS or isinstance(value, Load)
        if is_step:
            journal.append(EventKind.STARTED, name)
        if name == upto != "account":
            journal.append(EventKind.FAILED, name, cause="system", error="E", message="it broke", advice="look")
            break
        if value is None:
            continue
        if is_step:
            journal.append(EventKind.SUCCEEDED, name, result=value.model_dump(mode="json"))
        else:
            journal.observe(value)
    for step in journal.history.needs_undo():
        journal.append(EventKind.UNDO_STARTED, step)
        journal.append(EventKind.UNDONE, step)
    return journal.history


def measures(history: History, asked: Plan = KILL) -> dict[str, Measure]:
    return {measure.name: measure for measure in tell(history, asked).measures}


def facts(history: History, asked: Plan = KILL) -> dict[str, str]:
    return dict(tell(history, asked).facts)


def counted(*stages: object, **changes: object) -> Made:
    return {"account": accounting(stages=stages, **changes)}  # type: ignore[arg-type]


def test_a_whole_rehearsal_is_measured() -> None:
    told = measures(walk(), plan(failback={"rto": "2s"}))
    assert {name: (m.measured, m.objective, m.verdict) for name, m in told.items()} == {
        "RTO": (3.5, 5.0, PASS),
        "RPO": (0.0, 0.0, PASS),
        "Failback RTO": (0.5, 2.0, PASS),
        "Failback RPO": (0.0, 0.0, PASS),
    }


@pytest.mark.parametrize("name", ["RTO", "RPO", "Failback RTO", "Failback RPO"])
def test_no_number_is_bare(name: str) -> None:
    asked = plan(commit="remote_apply", client={"connections": 3, "rate": 250}, detection={"after": "700ms"})
    note = measures(walk(), asked)[name].note
    for condition in ("250 writes/s on 3 connections", "commit remote_apply", "standby's write lag 20.4 ms"):
        assert condition in note
    assert ("believed after 0.70 s of failed probes" in note) == (not name.startswith("Failback"))


def test_what_was_not_seen_of_the_conditions_is_said() -> None:
    note = measures(walk({"at steady": None}), plan(client={"rate": None}))["RTO"].note
    assert "as many writes as it takes on 4 connections, commit asynchronous, write lag not seen" in note


def test_the_lag_is_what_was_sampled_under_the_steady_load_alone() -> None:
    load = Load(
        stage="steady", from_ns=SECOND, to_ns=9 * SECOND, acknowledged=1, failed=0, unknown=0,
        median_seconds=None, p99_seconds=None,
    )  # fmt: skip
    took = ((load.from_ns - 1, 9.0), (load.from_ns, 0.005), (load.from_ns + 1, None), (load.to_ns, 0.007))
    series = LagSeries(samples=tuple(LagSample(at_ns=at, bytes=0, write_lag_seconds=lag) for at, lag in took))
    note = measures(walk({"steady": load, "lag": series, "at steady": None}), plan())["RTO"].note
    assert "standby's write lag 6.0 ms" in note


def test_a_planned_switch_has_no_detection_and_may_lose_nothing_whatever_the_plan_says() -> None:
    asked = plan(scenario="switchover", rpo="10s")
    told = measures(walk(counted(GONE)), asked)
    assert "believed" not in told["RTO"].note
    assert (told["RPO"].measured, told["RPO"].objective, told["RPO"].verdict) == (1.9, 0.0, FAIL)


def test_the_rto_is_that_of_the_slowest_connection() -> None:
    note = measures(walk())["RTO"].note
    assert note.startswith("the slowest of 1 connection, median 3.5 s; from the fault: detect 1.0 s, fence 500.0 ms")
    left = measures(walk({"failover": takeover("failover", 3.5, (1, 2))}))["RTO"]
    assert "2 connections never served again" in left.note
    assert left.verdict is FAIL
    never = measures(walk({"failover": takeover("failover", None, (1, 2, 3))}))["RTO"]
    assert (never.measured, never.verdict) == (None, FAIL)
    assert never.note.startswith("3 connections never served again; ")


def late(**changes: object) -> Made:
    return {"verify": Verified.model_validate(WALK["verify"].model_dump() | changes)}


PLANNED_MOMENTS: Made = {
    "detect": WALK["detect"].model_copy(update={"detected_ns": 10 * SECOND + 1}),
    "fence": Fenced(node="a", fenced_ns=10 * SECOND + 2, how="it hands over by itself"),
}


@pytest.mark.parametrize(
    ("changes", "first_ack_ns"),
    [
        pytest.param({}, FIRST_ACK, id="after the reroute"),
        pytest.param(late(first_ack_ns=12_100_000_000), 12_100_000_000, id="before the reroute"),
        pytest.param(late(first_ack_ns=11_900_000_000), 11_900_000_000, id="before the promotion returned"),
        pytest.param(PLANNED_MOMENTS, FIRST_ACK, id="planned"),
    ],
)
def test_the_parts_of_a_takeover_add_up(changes: Made, first_ack_ns: int) -> None:
    parts = parts_of(walk(changes))
    assert [part.name for part in parts] == ["detect", "fence", "promote", "reroute", "first write"]
    assert all(part.seconds >= 0 for part in parts)
    assert sum(part.seconds for part in parts) == pytest.approx((first_ack_ns - 10 * SECOND) / 1e9)


def test_the_parts_go_as_far_as_the_rehearsal() -> None:
    assert [part.name for part in parts_of(walk(upto="promote"))] == ["detect", "fence"]
    assert parts_of(walk(upto="fault")) == ()


def test_a_loss_is_told_by_the_read_that_misses_the_most() -> None:
    told = measures(walk(counted(loss("verify", lost=70, seconds=1.7), GONE, loss("account", "a", 79))))
    assert (told["RPO"].measured, told["RPO"].verdict) == (1.9, FAIL)
    assert told["RPO"].note.startswith("79 of 1,000 acknowledged writes missing on b; ")
    assert (told["Failback RPO"].measured, told["Failback RPO"].verdict) == (0.0, PASS), "it lost no more"


def test_the_failback_answers_for_its_own_loss_alone() -> None:
    later = loss("account", "a", 84, 9.0, newly_lost=5, newly_rpo_seconds=0.2)
    told = measures(walk(counted(GONE, later)))
    assert told["RPO"].note.startswith("79 of 1,000")
    assert (told["Failback RPO"].measured, told["Failback RPO"].verdict) == (0.2, FAIL)
    assert told["Failback RPO"].note.startswith("5 of 1,000 acknowledged writes that were there before missing on a")


def test_without_a_failback_the_takeover_answers_for_all() -> None:
    later = loss("account", "b", 80, 9.0, newly_lost=1, newly_rpo_seconds=0.2)
    stays = {"failback": FailedBack(node="b", asked_ns=1, switched_ns=1, timeline=0, how="stays"), "home again": None}
    told = measures(walk({**counted(GONE, later), **stays}), STAY)
    assert set(told) == {"RTO", "RPO"}
    assert (told["RPO"].measured, told["RPO"].verdict) == (1.9, FAIL)
    assert told["RPO"].note.startswith("80 of 1,000")
    only_later = measures(walk({**counted(loss("verify"), later), **stays}), STAY)["RPO"]
    assert (only_later.measured, only_later.verdict) == (0.2, FAIL)
    assert only_later.note.startswith("1 of 1,000 acknowledged writes missing on b")


def test_what_was_counted_is_what_the_verdict_says() -> None:
    """Measure and check look at the same losses: one that the check judges is never told as zero."""
    for asked in (KILL, STAY, PLANNED):
        for stages in ((GONE,), (loss("verify"), loss("account", "b", 3, 1.0, newly_lost=3, newly_rpo_seconds=1.0))):
            rpo = measures(walk(counted(*stages)), asked)["RPO"]
            assert (rpo.verdict is FAIL) == bool(rpo.measured)


def test_an_accounting_without_a_read_has_no_rpo() -> None:
    told = measures(walk(counted()))
    assert (told["RPO"].measured, told["RPO"].verdict) == (None, DARK)
    assert told["RPO"].note.startswith("no whole read of a primary; ")
    assert isinstance(WALK["account"], Accounting)
    assert loss_of(accounting(stages=()), after_failback=True) is None


@pytest.mark.parametrize("step", STEPS[1:-1])
def test_a_run_that_ended_early_tells_what_it_has_and_nothing_else(step: str) -> None:
    history = walk(upto=step)
    told = tell(history, KILL)
    assert all(m.measured is None and m.verdict in {DARK, None} for m in told.measures)
    assert told.traffic is None
    assert next(p for p in told.phases if p.name == step).state == "failed"
    known = dict(told.facts)
    labels = {
        "fault": "fault", "detect": "detected", "fence": "fenced", "promote": "promoted", "reroute": "rerouted",
        "salvage": "divergent log", "rejoin": "rejoined",
    }  # fmt: skip
    done = STEPS[: STEPS.index(step)]
    assert {label for label in labels.values() if label in known} == {labels[s] for s in done if s in labels}
    assert ("without redundancy" in known) == ("rejoin" in done)
    assert not {"writes", "reads", "write gap"} & set(known)


def test_a_refused_run_tells_its_intent_alone() -> None:
    journal = Journal("run", Memory(), Clock())
    journal.append(EventKind.OPENED, machine="here")
    told = tell(journal.history, KILL)
    assert told.target == "paper, which proved no identity"
    assert told.phases == ()
    assert [label for label, _ in told.facts] == ["scenario", "load and promise", "machine"]
    assert all(m.measured is None for m in told.measures)


def test_facts_are_told_in_the_words_of_whoever_acted() -> None:
    told = facts(walk())
    assert told["scenario"] == "kill, not planned"
    assert told["regions"] == "a in east to b in west"
    assert (told["fault"], told["fenced"], told["rerouted"]) == ("a: SIGKILL", "marked as fenced", "clients try both")
    assert told["promoted"] == "pg_promote, timeline 2 at 0/1"
    assert told["divergent log"] == "3 commits beyond 0/1"
    assert told["rejoined"] == "by rewind: its log had diverged"
    assert (told["without redundancy"], told["replay lag before"]) == ("20.0 s", "2.0 KiB")
    assert told["writes"].startswith("1,010 tried: 1,000 acknowledged, 6 refused, 4 unknown")
    assert told["write gap"].startswith("3.5 s")
    assert facts(walk(), PLANNED)["scenario"] == "switchover, planned"


def test_phases_stand_in_their_lanes_and_none_counts() -> None:
    phases = tell(walk(), KILL).phases
    lanes = {phase.name: phase.lane for phase in phases}
    assert {lanes[name] for name in ("detect", "fence", "promote", "reroute")} == {"recovery"}
    assert {lanes[name] for name in ("survey", "fault", "verify", "account")} == {"verification"}
    assert not any(phase.is_counted for phase in phases)


def test_the_traffic_stands_on_the_axis_of_the_phases() -> None:
    history = walk()
    traffic = tell(history, KILL).traffic
    assert traffic is not None
    origin = history.of(EventKind.STARTED)[0].mono_ns / 1e9
    first, second = traffic.columns
    assert (first.start, second.start) == (2 - origin, 2.25 - origin)
    assert (first.acknowledged, first.unknown, first.failed, first.lost) == ({"a": 50}, 1, 2, 3)
    assert traffic.servers == ("a", "b")
    assert [(mark.name, mark.at + origin) for mark in traffic.marks] == [
        ("kill", 10), ("promoted", 12), ("served again", 13.4), ("redundant again", 30), ("failback", 40),
    ]  # fmt: skip
    assert [sample.bytes for sample in traffic.lag] == [7, None]


def test_a_plan_that_stays_away_has_no_mark_of_a_way_home() -> None:
    stays = FailedBack(node="b", asked_ns=1, switched_ns=1, timeline=0, how="stays")
    traffic = tell(walk({"failback": stays}), STAY).traffic
    assert traffic is not None
    assert "failback" not in {mark.name for mark in traffic.marks}


def test_a_client_that_tried_nothing_has_no_traffic() -> None:
    assert tell(walk({"series": Series(bin_seconds=0.25, bins=())}), KILL).traffic is None
    assert tell(walk({"series": None}), KILL).traffic is None


class _Paper:
    """A target as far as a sighting asks it."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier

    def identify(self) -> Observation:
        return HEALTHY["identity"].model_copy(update={"system_identifier": self._identifier})

    def nodes(self) -> tuple[Node, ...]:
        return (Node(name="b", region="west", dsn=""), Node(name="a", region="east", dsn=""))


def test_a_target_that_cannot_prove_what_it_is_is_not_sighted() -> None:
    assert sight(_Paper("7")) == {"system_identifier": "7", "nodes": "a@east,b@west"}
    assert sight(_Paper("")) == {}
