"""Whether a pair is fit to fail over: pure, from what its servers said of themselves.

The drill's preflight and the continuous probe judge alike: what would make a rehearsal meaningless would make the
real thing a gamble. Nothing seen is inconclusive, never ready.
"""

from collections.abc import Iterable

from muster.failover.observations import Cast, NodeState, Slot, Surveyed
from muster.failover.spec import Commit, FailoverSpec
from muster.finding import Finding, judge, unseen
from muster.quantity import format_bytes, format_seconds

_SAME_MAJOR = 10_000


def cast_of(seen: Surveyed) -> Cast | None:
    """Who plays which part: the one primary, and a standby that streams.

    In another region before the same, then one for which commits wait before one for which they do not.

    `None` when there is not exactly one primary, or no such standby.
    """
    primaries = seen.with_role("primary")
    if len(primaries) != 1:
        return None
    old = primaries[0]
    streaming = [n for n in seen.with_role("standby") if n.receiving_from]
    if not streaming:
        return None
    new = min(streaming, key=lambda n: (n.region == old.region, not waits_for(old, n), n.node))
    return Cast(old=old.node, new=new.node, regions={n.node: n.region for n in seen.nodes})


def waits_for(primary: NodeState, standby: NodeState) -> bool:
    """Whether the primary's synchronous commits wait for this standby.

    A standby calls itself what it likes; where all that stream are synchronous, so is this one.
    """
    names = {standby.node, standby.server.rsplit("/", 2)[0]}
    return bool(names & set(primary.sync_standbys)) or (
        bool(primary.standbys) and set(primary.standbys) <= set(primary.sync_standbys)
    )


def findings_of(seen: Surveyed, spec: FailoverSpec) -> tuple[Finding, ...]:
    """Every aspect of readiness as a finding."""
    unreachable = seen.with_role("unreachable")
    complaints = "; ".join(f"{n.node}: {n.complaint}" for n in unreachable)
    expected, advice = "every server answers", "start what is down, or mend the way to it"
    if len(unreachable) == len(seen.nodes):  # it may as well be us who are cut off
        return (unseen("reachable", expected, complaints, advice), _roles(seen))
    said = complaints or f"{len(seen.nodes)} servers answer"
    reach = judge("reachable", not unreachable, expected, said, advice)
    cast = cast_of(seen)
    if cast is None:
        return (reach, _roles(seen))
    old, new = _named(seen, cast.old), _named(seen, cast.new)
    alive = [n for n in seen.nodes if n.role != "unreachable"]
    return (
        reach,
        _roles(seen),
        _identity(alive),
        _timelines(old, new),
        _lag(new, spec),
        _slots(old),
        _sync(old, new, spec),
        _rewind(alive),
        _versions(alive),
        _extensions(alive, spec),
        _clocks(alive, spec),
        _disk(alive, spec),
        _sequences(old),
    )


def _named(seen: Surveyed, name: str) -> NodeState:
    return next(n for n in seen.nodes if n.node == name)


def _roles(seen: Surveyed) -> Finding:
    expected = "one primary, and a standby that streams from it"
    primaries, standbys = seen.with_role("primary"), seen.with_role("standby")
    if not primaries and not standbys:
        return unseen("roles", expected, "no server answers")
    words = ", ".join(f"{n.node} is {n.role}" + _stream(n) for n in seen.nodes)
    return judge("roles", cast_of(seen) is not None, expected, words, "look at replication before anything else")


def _stream(node: NodeState) -> str:
    if node.role != "standby":
        return ""
    return f", streaming from {node.receiving_from}" if node.receiving_from else ", streaming from nobody"


def _identity(nodes: list[NodeState]) -> Finding:
    found = sorted({n.system_identifier for n in nodes})
    return judge("identity", len(found) == 1, "all are of one system", f"system identifier {', '.join(found)}",
                 "these servers are not of one cluster")  # fmt: skip


def _timelines(old: NodeState, new: NodeState) -> Finding:
    return judge("timelines", old.timeline == new.timeline, "primary and standby are on one timeline",
                 f"{old.node} on {old.timeline}, {new.node} on {new.timeline}",
                 "the standby follows another history: rebuild it")  # fmt: skip


def _lag(new: NodeState, spec: FailoverSpec) -> Finding:
    limit = spec.ready.max_lag.total_seconds()
    expected = f"replay at most {format_seconds(limit)} behind"
    if new.replay_lag_seconds is None:
        return unseen("lag", expected, "the standby has replayed nothing yet")
    seen = f"{format_seconds(max(0.0, new.replay_lag_seconds))}, {format_bytes(new.replay_lag_bytes or 0)} behind"
    return judge("lag", new.replay_lag_seconds <= limit, expected, seen, "the standby does not keep up")


def _slots(old: NodeState) -> Finding:
    expected = "the log that the standby needs is kept"
    slots = [s for s in old.slots if s.wal_status is not None]  # one that was never used holds nothing back
    if slots:
        kept = ", ".join(f"{s.name} ({s.wal_status}, {format_bytes(max(0, s.retained_bytes or 0))})" for s in slots)
        bad = [complaint for s in slots if (complaint := _complaint_about(s))]
        return judge("log kept", not bad, expected, "; ".join(bad) or f"slots {kept}",
                     "drop slots without a standby; rebuild standbys whose slot is lost")  # fmt: skip
    keep = old.settings.get("wal_keep_size", "0")
    return judge("log kept", keep not in {"0", "0MB"}, expected, f"no slot, wal_keep_size {keep}",
                 "give the standby a replication slot, or set wal_keep_size")  # fmt: skip


def _complaint_about(slot: Slot) -> str:
    if slot.wal_status == "lost":
        return f"{slot.name} is lost"
    if slot.wal_status == "unreserved":
        return f"{slot.name} is about to be lost"
    return "" if slot.active else f"{slot.name} is used by nobody and fills the disk"


def _sync(old: NodeState, new: NodeState, spec: FailoverSpec) -> Finding:
    expected = f"commits wait for the standby as {spec.commit} says"
    if spec.commit is Commit.ASYNCHRONOUS:
        return Finding(check="synchronous", verdict=None, expected=expected, seen="the plan commits asynchronously")
    names = old.settings.get("synchronous_standby_names", "")
    is_waited_for = waits_for(old, new)
    return judge("synchronous", is_waited_for, expected,
                 f"{new.node} is {'a' if is_waited_for else 'no'} synchronous standby"
                 f" (synchronous_standby_names {names!r})",
                 "set synchronous_standby_names on the primary, or plan for `commit: asynchronous`")  # fmt: skip


def _rewind(nodes: Iterable[NodeState]) -> Finding:
    unfit = [n.node for n in nodes
             if n.settings.get("wal_log_hints") != "on" and n.settings.get("data_checksums") != "on"]  # fmt: skip
    return judge("rewind", not unfit, "the old primary can be rewound (wal_log_hints or data checksums)",
                 f"neither on {', '.join(unfit)}" if unfit else "it can",
                 "set wal_log_hints = on: without it a lost primary has to be rebuilt")  # fmt: skip


def _versions(nodes: list[NodeState]) -> Finding:
    found = sorted({n.version_num for n in nodes})
    majors = {v // _SAME_MAJOR for v in found}
    words = ", ".join(f"{v // _SAME_MAJOR}.{v % _SAME_MAJOR}" for v in found)
    return judge("versions", len(majors) == 1, "one major version", f"PostgreSQL {words}", "bring both to one version")


def _extensions(nodes: list[NodeState], spec: FailoverSpec) -> Finding:
    expected = f"present and alike: {', '.join(spec.extensions)}" if spec.extensions else "extensions are alike"
    problems = []
    for name in sorted({*spec.extensions, *(e for n in nodes for e in n.extensions)}):
        found = {n.node: n.extensions.get(name, "missing") for n in nodes}
        if len(set(found.values())) > 1 or (name in spec.extensions and "missing" in found.values()):
            problems.append(f"{name}: {', '.join(f'{version} on {where}' for where, version in found.items())}")
    return judge("extensions", not problems, expected, "; ".join(problems[:3]) or f"{len(nodes[0].extensions)} alike",
                 "install the same extensions in both regions", tuple(problems))  # fmt: skip


def _clocks(nodes: list[NodeState], spec: FailoverSpec) -> Finding:
    limit = spec.ready.max_clock_offset.total_seconds()
    expected = f"every region's clock within {format_seconds(limit)} of ours"
    known = [n for n in nodes if n.clock_offset_seconds is not None]
    offsets = {n.node: n.clock_offset_seconds or 0.0 for n in known}
    if not offsets:
        return unseen("clocks", expected)
    doubt = {n.node: (n.round_trip_seconds or 0.0) / 2 for n in known}  # how wrong a slow answer can make it look
    far = {name: offset for name, offset in offsets.items() if abs(offset) - doubt[name] > limit}
    shown = far or {"at most": max(offsets.values(), key=abs)}
    return judge("clocks", not far, expected, ", ".join(f"{name} {offset:+.3f} s" for name, offset in shown.items()),
                 "look at time synchronisation: times in logs and tokens would mislead")  # fmt: skip


def _disk(nodes: list[NodeState], spec: FailoverSpec) -> Finding:
    expected = f"at least {spec.ready.min_free:.0%} of each disk is free"
    known = {n.node: n.free_share for n in nodes if n.free_share is not None}
    if not known:
        return Finding(check="disk", verdict=None, expected=expected, seen="the disks cannot be seen from here")
    low = [f"{name} {share:.0%}" for name, share in known.items() if share < spec.ready.min_free]
    return judge("disk", not low, expected, ", ".join(low) or ", ".join(f"{n} {s:.0%}" for n, s in known.items()),
                 "free some space: a takeover writes more log, not less")  # fmt: skip


def _sequences(old: NodeState) -> Finding:
    expected = "no sequence is behind its column"
    if old.sequences_unseen:
        return unseen(
            "sequences",
            expected,
            old.sequences_unseen,
            "let the role of the DSN read them (`pg_read_all_data`), and index what they feed",
        )
    return judge("sequences", not old.sequences_behind, expected,
                 "; ".join(old.sequences_behind[:3]) or "none is", "set them ahead of their columns",
                 old.sequences_behind)  # fmt: skip
