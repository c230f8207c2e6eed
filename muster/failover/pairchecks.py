"""Checks on the pair of servers, from what surveys and the route said: pure, journal in, finding out. See `checks`."""

from collections.abc import Iterator
from typing import TypeVar

from muster.failover.measuring import redundancy_lost_seconds
from muster.failover.observations import (
    Accounting,
    Cast,
    FailedBack,
    NodeState,
    Promoted,
    Rejoined,
    RouteSampled,
    Surveyed,
)
from muster.failover.readiness import waits_for
from muster.failover.section import spec_of
from muster.failover.spec import Commit
from muster.finding import Finding, judge, not_asked, unseen
from muster.identity import Identity
from muster.journal import EventKind, History, Observation
from muster.plan import Plan
from muster.quantity import count_of, format_seconds

_MAJOR = 10_000
_SWITCHES = ("promote", "failback")
_BEFORE_THE_FAULT = ("survey", "steady")
"""Stages that look while the standby is as the plan's commit mode asks."""

Obs = TypeVar("Obs", bound=Observation)


def same_system(history: History, _plan: Plan) -> Finding:
    """All servers are, and stay, of the one system that the target proved to be."""
    identity = history.latest(Identity)
    found = {n.system_identifier for s in history.observed(Surveyed) for n in _alive(s) if n.system_identifier}
    proved = identity.system_identifier if identity else None
    expected = f"every server is of system {proved}" if proved else "every server is of one system"
    if identity is None or not found:
        return unseen("identity", expected)
    return judge("identity", found == {proved or min(found)}, expected, f"system {', '.join(sorted(found))}",
                 "a server of another cluster took part: find out how it came there")  # fmt: skip


def commit_waits_for_the_standby(history: History, plan: Plan) -> Finding:
    """Where the plan promises more than asynchronous commit, the standby was synchronous when it began, and stayed."""
    commit = spec_of(plan).commit
    expected = f"a commit waits for the standby ({commit})"
    if commit is Commit.ASYNCHRONOUS:
        return not_asked("commit mode", expected, "failover.commit")
    cast, before = history.result("survey", Cast), [_survey(history, stage) for stage in _BEFORE_THE_FAULT]
    looks = [(seen, primary) for seen in before if seen for primary in seen.with_role("primary")]
    if cast is None or not looks or looks[0][0].stage != _BEFORE_THE_FAULT[0]:
        return unseen("commit mode", expected)
    alone = [(seen, primary) for seen, primary in looks if not _is_waited_for(cast.new, seen, primary)]
    seen, primary = next(iter(alone), looks[0])
    asked = primary.settings.get("synchronous_standby_names", "")
    return judge("commit mode", not alone, expected,
                 f"{seen.stage}: {primary.node} waits for {', '.join(primary.sync_standbys) or 'nobody'}"
                 f" (synchronous_standby_names {asked!r})",
                 "set synchronous_standby_names on the primary, or plan for `commit: asynchronous`")  # fmt: skip


def _is_waited_for(standby: str, seen: Surveyed, primary: NodeState) -> bool:
    state = next((n for n in seen.nodes if n.node == standby), None)
    # Under load one that is connecting anew is no breach: commits wait until somebody is there.
    is_coming = seen.stage != "survey" and bool(primary.settings.get("synchronous_standby_names"))
    return (state is not None and waits_for(primary, state)) or (is_coming and not primary.sync_standbys)


def one_primary(history: History, _plan: Plan) -> Finding:
    """There is never a second primary, nor another than was meant; and none of an older timeline serves anybody."""
    expected = "there is one primary at most, the one that was meant"
    looks = [(seen, meant) for seen, meant in _with_primary(history, Surveyed) if seen.stage != "survey"]
    accounting = history.result("account", Accounting)
    problems = []
    for seen, meant in looks:
        found = [n.node for n in seen.with_role("primary")]
        if len(found) > 1:
            problems.append(f"{seen.stage}: {' and '.join(found)} are primaries")
        elif found and meant and found != [meant]:
            problems.append(f"{seen.stage}: {found[0]} is primary, not {meant}")
    if accounting and accounting.old_acks_after_promotion:
        problems.append(
            f"{count_of(accounting.old_acks_after_promotion, 'write', 'writes')} acknowledged by a server of an older"
            " timeline after a newer one had begun"
        )
    if not problems and (not looks or accounting is None or not accounting.is_whole):
        return unseen("one primary", expected, "no survey, or no whole history, to tell by")
    return judge("one primary", not problems, expected,
                 problems[0] if problems else f"{count_of(len(looks), 'survey', 'surveys')}, none with another",
                 "split brain: what one of them took is lost; see `fence`", tuple(problems))  # fmt: skip


def sequences_are_ahead(history: History, _plan: Plan) -> Finding:
    """The new primary's sequences were carried over."""
    expected = "no sequence of a new primary is behind its column"
    promoted = next((e.seq for e in history.of(EventKind.SUCCEEDED) if e.step == "promote"), None)
    after = [] if promoted is None else [
        Surveyed.model_validate(e.body["value"]) for e in history.of(EventKind.OBSERVED)
        if e.body["type"] == Surveyed.__name__ and e.seq > promoted
    ]  # fmt: skip
    primaries = [(s.stage, n) for s in after for n in s.with_role("primary")]
    if not primaries:
        return unseen("sequences", expected)
    behind = tuple(dict.fromkeys(f"{n.node}: {name}" for _, n in primaries for name in n.sequences_behind))
    unasked = next((f"{n.node}: {n.sequences_unseen}" for _, n in primaries if n.sequences_unseen), "")
    if unasked and not behind:
        return unseen(
            "sequences",
            expected,
            unasked,
            "let the role of the DSN read them (`pg_read_all_data`), and index what they feed",
        )
    return judge("sequences", not behind, expected,
                 f"{count_of(len(behind), 'is', 'are')} behind" if behind else
                 f"none is, at {count_of(len(primaries), 'look', 'looks')}",
                 "set them ahead of their columns before clients collide", behind)  # fmt: skip


def route_leads_there(history: History, plan: Plan) -> Finding:
    """After each change of the route, every connection through it reaches the server that was meant."""
    expected = "every connection through the route reaches the new primary"
    if not spec_of(plan).route_samples:
        return not_asked("route", expected, "failover.route_samples")
    samples = list(_with_primary(history, RouteSampled))
    asked = sum(s.asked for s, _ in samples)
    if not asked or any(not s.asked for s, _ in samples):
        return unseen("route", expected, "no connection was tried")
    problems = []
    for sample, meant in samples:
        strays = {node: count for node, count in sample.reached.items() if node != meant and count}
        problems += [f"{sample.stage}: {count:,} reached {node or 'a server nobody knows'}"
                     for node, count in sorted(strays.items())]  # fmt: skip
        missing = sample.asked - sum(sample.reached.values())
        if failed := max(sample.failed, missing):
            problems.append(f"{sample.stage}: {failed:,} reached nobody")
    return judge("route", not problems, expected,
                 f"{problems[0]}, of {asked:,}" if problems else f"all of {asked:,}",
                 "some clients are sent elsewhere: look at every part of the route", tuple(problems))  # fmt: skip


def clocks_agree(history: History, plan: Plan) -> Finding:
    """No server's clock, nor the client's, was far off at any time."""
    limit = spec_of(plan).ready.max_clock_offset.total_seconds()
    expected = f"every clock within {format_seconds(limit)} of ours, all the time"
    offsets = [
        (abs(n.clock_offset_seconds) - (n.round_trip_seconds or 0.0) / 2, f"{s.stage}: {n.node}")
        for s in history.observed(Surveyed) for n in s.nodes if n.clock_offset_seconds is not None
    ]  # fmt: skip
    accounting = history.result("account", Accounting)
    if accounting and accounting.total.attempts:
        offsets.append((accounting.clock_steps_seconds, "the client's own clock"))
    if not offsets:
        return unseen("clocks", expected)
    far = tuple(f"{who} is off by {format_seconds(off)}" for off, who in offsets if off > limit)
    worst, who = max(offsets)
    return judge("clocks", not far, expected,
                 far[0] if far else f"{format_seconds(max(0.0, worst))} at most ({who})",
                 "look at time synchronisation: times in logs and tokens would mislead", far)  # fmt: skip


def extensions_are_alike(history: History, plan: Plan) -> Finding:
    """Every extension that the plan names is on both sides, in one version."""
    wanted, seen = spec_of(plan).extensions, _survey(history, "survey")
    expected = f"on both sides, of one version: {', '.join(wanted)}" if wanted else "extensions are alike"
    if not wanted:
        return not_asked("extensions", expected, "failover.extensions")
    alive = _alive(seen) if seen else ()
    if len(alive) < 2:
        return unseen("extensions", expected)
    problems = []
    for name in wanted:
        versions = {n.node: n.extensions.get(name, "missing") for n in alive}
        if len(set(versions.values())) > 1 or "missing" in versions.values():
            problems.append(f"{name}: " + ", ".join(f"{version} on {node}" for node, version in versions.items()))
    return judge("extensions", not problems, expected, problems[0] if problems else "alike",
                 "install the same extensions in both regions", tuple(problems))  # fmt: skip


def versions_fit(history: History, _plan: Plan) -> Finding:
    """Both sides run one major version."""
    expected, seen = "one major version of PostgreSQL", _survey(history, "survey")
    found = sorted({n.version_num for n in _alive(seen) if n.version_num}) if seen else []
    if not found:
        return unseen("versions", expected)
    told = ", ".join(f"{v // _MAJOR}.{v % _MAJOR}" for v in found)
    return judge("versions", len({v // _MAJOR for v in found}) == 1, expected, told, "bring both to one version")


def redundancy_is_back(history: History, _plan: Plan) -> Finding:
    """When all is over a standby streams again; how long there was none is told."""
    expected, seen = "a standby streams again", _survey(history, "steady-after")
    if seen is None:
        return unseen("redundancy", expected)
    streaming = [n.node for n in seen.with_role("standby") if n.receiving_from]
    without = redundancy_lost_seconds(history)
    told = f"; there was none for {format_seconds(without)}" if without is not None else ""
    return judge("redundancy", bool(streaming), expected,
                 (f"{', '.join(streaming)} streams" if streaming else "nobody streams") + told,
                 "the next failure finds no standby: rebuild it now")  # fmt: skip


def rejoined(history: History, _plan: Plan) -> Finding:
    """The old primary came back as a standby; how is told."""
    expected = "the old primary is a standby of the new one"
    result, seen = history.result("rejoin", Rejoined), _survey(history, "rejoin")
    state = next((n for n in seen.nodes if result and n.node == result.node), None) if seen else None
    if result is None or state is None:
        return unseen("rejoined", expected)
    how = f"by {result.how}: {result.why}" if result.why else f"by {result.how}"
    return judge("rejoined", state.role == "standby", expected,
                 f"{result.node} is {state.role}, {how}", "rebuild it from the primary")  # fmt: skip


def _with_primary(history: History, model: type[Obs]) -> Iterator[tuple[Obs, str | None]]:
    """Observations of one type, each with the node that was meant to be primary; `None` while that changes."""
    meant: str | None = None
    for event in history:
        if event.kind is EventKind.STARTED and event.step in _SWITCHES:
            meant = None
        elif event.kind is EventKind.SUCCEEDED and event.step == "survey":
            meant = Cast.model_validate(event.body["result"]).old
        elif event.kind is EventKind.SUCCEEDED and event.step == "promote":
            meant = Promoted.model_validate(event.body["result"]).node
        elif event.kind is EventKind.SUCCEEDED and event.step == "failback":
            meant = FailedBack.model_validate(event.body["result"]).node
        elif event.kind is EventKind.OBSERVED and event.body["type"] == model.__name__:
            yield model.model_validate(event.body["value"]), meant


def _survey(history: History, stage: str) -> Surveyed | None:
    """The last survey of a stage."""
    return next((s for s in reversed(history.observed(Surveyed)) if s.stage == stage), None)


def _alive(seen: Surveyed) -> tuple[NodeState, ...]:
    return tuple(n for n in seen.nodes if n.role != "unreachable")
