"""Whether a pair is fit to fail over, from surveys made by hand: a fit one is quiet, and each fault has its finding."""

from typing import Any

import pytest

from muster.failover.observations import NodeState, Slot, Surveyed
from muster.failover.readiness import cast_of, findings_of
from muster.failover.spec import FailoverSpec
from muster.finding import Finding, verdict_of
from muster.verdict import Verdict
from tests.unit.test_failover_checks import node

PASS, FAIL, DARK, ASIDE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, None
FIT: dict[str, Any] = {
    "timeline": 3,
    "settings": {
        "wal_log_hints": "on",
        "data_checksums": "on",
        "synchronous_standby_names": "*",
        "wal_keep_size": "0",
    },
    "free_share": 0.5,
}


def spec(**keys: Any) -> FailoverSpec:
    return FailoverSpec.model_validate({"scenario": "kill", "commit": "remote_apply", **keys})


def slot(name: str = "b", *, active: bool = True, retained: int | None = 4096, status: str | None = "reserved") -> Slot:
    return Slot(name=name, active=active, retained_bytes=retained, wal_status=status)


def primary(name: str = "a", **changes: Any) -> NodeState:
    known = {**FIT, "sync_standbys": ("b",), "standbys": ("b",), "slots": (slot(),)}
    return node(name, "primary", **{**known, **changes})


def standby(name: str = "b", **changes: Any) -> NodeState:
    known = {**FIT, "replay_lag_seconds": 0.0, "replay_lag_bytes": 0}
    return node(name, "standby", **{**known, **changes})


def gone(name: str) -> NodeState:
    return node(name, "unreachable", complaint="connection refused")


def seen(*nodes: NodeState) -> Surveyed:
    return Surveyed(stage="survey", nodes=nodes)


def pair(a: dict[str, Any] | None = None, b: dict[str, Any] | None = None) -> Surveyed:
    """A fit pair, with changes of the primary `a` and of its standby `b`."""
    return seen(primary(**(a or {})), standby(**(b or {})))


def settings(**changes: str) -> dict[str, Any]:
    return {"settings": {**FIT["settings"], **changes}}


def slots(*found: Slot) -> Surveyed:
    return pair({"slots": found})


ASYNCHRONOUS = {"commit": "asynchronous"}
NO_HINTS = settings(wal_log_hints="off", data_checksums="off")
NOBODY = {"sync_standbys": (), **settings(synchronous_standby_names="")}
UNASKED = {"sequences_unseen": "permission denied for table accounts"}
SOME_SLOT, SPARE_SLOT = slot("c", active=False), slot("c", active=False, retained=None, status=None)

CASES: tuple[tuple[str, Surveyed, dict[str, Any], Verdict | None, str], ...] = (
    ("reachable", seen(primary(), standby(), gone("c")), {}, FAIL, "c: connection refused"),
    ("reachable", seen(gone("a"), gone("b")), {}, DARK, "a: connection refused; b: connection refused"),
    ("reachable", seen(), {}, DARK, "not observed"),
    ("roles", seen(gone("a"), gone("b")), {}, DARK, "no server answers"),
    ("roles", seen(gone("a"), standby()), {}, FAIL, "a is unreachable, b is standby"),
    ("roles", seen(standby("a"), standby()), {}, FAIL, "a is standby"),
    ("roles", seen(primary(), primary("b")), {}, FAIL, "a is primary, b is primary"),
    ("roles", pair(b={"receiving_from": ""}), {}, FAIL, "b is standby, streaming from nobody"),
    ("roles", seen(primary(), gone("b")), {}, FAIL, "b is unreachable"),
    ("identity", pair(b={"system_identifier": "8"}), {}, FAIL, "7, 8"),
    ("timelines", pair(b={"timeline": 2}), {}, FAIL, "a on 3, b on 2"),
    ("lag", pair(b={"replay_lag_seconds": 9.9}), {}, PASS, "9.9 s"),
    ("lag", pair(b={"replay_lag_seconds": 10.5, "replay_lag_bytes": 2048}), {}, FAIL, "10.5 s, 2.0 KiB behind"),
    ("lag", pair(b={"replay_lag_seconds": 10.5}), {"ready": {"max_lag": "1m"}}, PASS, "10.5 s"),
    ("lag", pair(b={"replay_lag_seconds": -0.5}), {}, PASS, "0.00 s"),
    ("lag", pair(b={"replay_lag_seconds": None}), {}, DARK, "replayed nothing"),
    ("log kept", slots(slot(status="extended")), {}, PASS, "b (extended, 4.0 KiB)"),
    ("log kept", slots(slot(active=False, status="lost")), {}, FAIL, "b is lost"),
    ("log kept", slots(slot(status="unreserved")), {}, FAIL, "b is about to be lost"),
    ("log kept", slots(slot(), SOME_SLOT), {}, FAIL, "c is used by nobody"),
    ("log kept", slots(slot(), SPARE_SLOT), {}, PASS, "slots b"),
    ("log kept", slots(SPARE_SLOT), {}, FAIL, "no slot, wal_keep_size 0"),
    ("log kept", slots(), {}, FAIL, "no slot, wal_keep_size 0"),
    ("log kept", pair({"slots": (), **settings(wal_keep_size="64")}), {}, PASS, "wal_keep_size 64"),
    ("synchronous", pair(NOBODY), {}, FAIL, "b is no synchronous standby (synchronous_standby_names '')"),
    ("synchronous", pair(NOBODY), ASYNCHRONOUS, ASIDE, "asynchronously"),
    ("synchronous", pair({"sync_standbys": ("w",), "standbys": ("w",)}), {}, PASS, "b is a synchronous standby"),
    ("synchronous", pair({"sync_standbys": ("c",), "standbys": ("b", "c")}), {}, FAIL, "b is no synchronous"),
    ("rewind", pair(b=NO_HINTS), {}, FAIL, "neither on b"),
    ("rewind", pair(settings(wal_log_hints="off"), settings(data_checksums="off")), {}, PASS, "it can"),
    ("versions", pair(b={"version_num": 170006}), {}, FAIL, "PostgreSQL 17.6, 18.1"),
    ("versions", pair(b={"version_num": 180003}), {}, PASS, "PostgreSQL 18.1, 18.3"),
    ("extensions", pair(), {"extensions": ["postgis"]}, FAIL, "postgis: missing on a, missing on b"),
    ("extensions", pair(), {"extensions": ["pgcrypto"]}, PASS, "2 alike"),
    ("extensions", pair(b={"extensions": {"plpgsql": "1.0"}}), {}, FAIL, "pgcrypto: 1.4 on a, missing on b"),
    ("extensions", pair(b={"extensions": {"plpgsql": "1.0", "pgcrypto": "1.3"}}), {}, FAIL, "1.4 on a, 1.3 on b"),
    ("clocks", pair(b={"clock_offset_seconds": -3600.0}), {}, FAIL, "b -3600.000 s"),
    ("clocks", pair(b={"clock_offset_seconds": 1.4, "round_trip_seconds": 1.0}), {}, PASS, "at most +1.400 s"),
    ("clocks", pair({"clock_offset_seconds": None}, {"clock_offset_seconds": None}), {}, DARK, "not observed"),
    ("disk", pair(b={"free_share": 0.04}), {}, FAIL, "b 4%"),
    ("disk", pair({"free_share": None}), {}, PASS, "b 50%"),
    ("disk", pair({"free_share": None}, {"free_share": None}), {}, ASIDE, "cannot be seen"),
    ("sequences", pair({"sequences_behind": ("s stands at 1, t.id at 9",)}), {}, FAIL, "s stands at 1"),
    ("sequences", pair(UNASKED), {}, DARK, "permission denied for table accounts"),
)  # fmt: skip


def finding_of(name: str, survey: Surveyed, keys: dict[str, Any]) -> Finding:
    return next(f for f in findings_of(survey, spec(**keys)) if f.check == name)


@pytest.mark.parametrize(
    ("check", "survey", "keys", "verdict", "told"),
    [pytest.param(*case, id=f"{at}-{case[0]}-{case[3]}") for at, case in enumerate(CASES)],
)
def test_a_finding(check: str, survey: Surveyed, keys: dict[str, Any], verdict: Verdict | None, told: str) -> None:
    finding = finding_of(check, survey, keys)
    assert (finding.verdict, told in finding.seen) == (verdict, True), finding
    assert bool(finding.advice) == (verdict in {FAIL, DARK}), "the next move is told where one is needed, only there"


def test_a_fit_pair_is_quiet() -> None:
    findings = findings_of(pair(), spec(extensions=["pgcrypto"]))
    assert {f.check: f.verdict for f in findings} == dict.fromkeys([
        "reachable", "roles", "identity", "timelines", "lag", "log kept", "synchronous", "rewind", "versions",
        "extensions", "clocks", "disk", "sequences",
    ], PASS)  # fmt: skip


@pytest.mark.parametrize(
    ("survey", "verdict"),
    [
        pytest.param(seen(gone("a"), gone("b")), DARK, id="nobody-answers"),
        pytest.param(seen(gone("a"), standby()), FAIL, id="no-primary"),
        pytest.param(seen(primary(), primary("b")), FAIL, id="two-primaries"),
        pytest.param(pair(b={"receiving_from": ""}), FAIL, id="no-stream"),
    ],
)
def test_without_a_cast_nothing_more_is_judged(survey: Surveyed, verdict: Verdict) -> None:
    findings = findings_of(survey, spec())
    assert cast_of(survey) is None
    assert [f.check for f in findings] == ["reachable", "roles"]
    assert verdict_of(findings) is verdict


def at(name: str, region: str, **changes: Any) -> NodeState:
    return standby(name, region=region, **changes)


def test_the_standby_of_another_region_takes_over() -> None:
    survey = seen(at("a1", "east"), primary("a2", region="east"), at("b1", "west"))
    cast = cast_of(survey)
    assert cast is not None
    assert (cast.old, cast.new) == ("a2", "b1")
    assert cast.regions == {"a1": "east", "a2": "east", "b1": "west"}


def test_within_one_region_a_standby_is_better_than_none() -> None:
    survey = seen(primary(region="east"), at("b", "east"), at("c", "west", receiving_from=""))
    cast = cast_of(survey)
    assert cast is not None
    assert cast.new == "b"


def test_of_two_in_another_region_the_one_that_commits_wait_for_takes_over() -> None:
    leader = primary(region="east", sync_standbys=("c",), standbys=("b", "c", "d"))
    survey = seen(leader, at("b", "west"), at("c", "west"), at("d", "east"))
    cast = cast_of(survey)
    assert cast is not None
    assert cast.new == "c"
    assert finding_of("synchronous", survey, {}).verdict is PASS


def test_three_healthy_members_are_quiet_and_a_lost_third_is_told_by_its_slot() -> None:
    members = {"standbys": ("b", "c"), "slots": (slot(), slot("c"))}
    whole = findings_of(seen(primary(**members), standby(), standby("c")), spec())
    assert verdict_of(whole) is PASS, whole
    left = seen(primary(slots=(slot(), SOME_SLOT)), standby(), gone("c"))
    told = {f.check: f for f in findings_of(left, spec()) if f.verdict is FAIL}
    assert set(told) == {"reachable", "log kept"}
    assert "c is used by nobody and fills the disk" in told["log kept"].seen
