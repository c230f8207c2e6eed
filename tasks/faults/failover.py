"""The failover rehearsal's catalogue: what is planted, and what must catch it.

A row is a fault when something must catch it, else a healthy form, which must pass with nothing failed and nothing
left in the dark.
"""

from collections.abc import Mapping
from typing import Any

from muster.prove import Check, Ending, Form
from muster.verdict import Outcome
from tasks.faults import failover_pair as pair
from tasks.faults import failover_steps as steps
from tasks.faults.altering import each, first, instead, leaving
from tasks.faults.failover_base import pristine_pair
from tasks.faults.failover_proxy import Lie
from tasks.faults.failover_routes import failing, haproxy, has_haproxy, pooler
from tasks.faults.failover_stage import rehearsal
from tasks.faults.faketime import has_faketime

make_base = pristine_pair
BASE = "two regions of one database"
"""What `make_base` makes, in words."""

_ASYNC: Mapping[str, Any] = {"commit": "asynchronous"}
_BEYOND: Mapping[str, Any] = {"scenario": "partition-then-kill", "fault_lasts": "2s"}
"""The primary goes on beyond a dead link for long enough that clients on a busy machine write something there."""
_LOSSY: Mapping[str, Any] = {**_BEYOND, **_ASYNC}
"""Clients are acknowledged what never left the region that dies."""
_ANY_LOSS = {"rpo": "1m"}
_STAY: Mapping[str, Any] = {"failback": None}


def _unfit(saying: str) -> Ending:
    return Ending(Outcome.REFUSED, "survey", saying)


# fmt: off
TAKEOVER = (
    Form("unfenced", "no fence: the old primary goes on taking writes beyond a dead link",
         rehearsal(scenario="partition", route=pooler(), drill=instead("fence", steps.do_not_fence), **_STAY),
         Check("fence")),
    Form("unfenced-zombie", "a fenced primary that something starts again beside the new one",
         rehearsal(drill=first("verify", steps.start_the_old_primary), **_STAY), Check("one primary")),
    Form("outdated-replica", "an outdated copy promoted in the place of the replica",
         rehearsal(drill=each(first("steady", steps.copy_standby), first("promote", steps.put_back_the_copy)), **_STAY),
         Check("rpo")),
    Form("empty-replica", "another cluster, rebuilt empty, promoted in the place of the replica",
         rehearsal(pair.lay_stranger, drill=first("promote", steps.put_stranger), **_STAY), Check("identity")),
    Form("sequence-behind", "a sequence that was not carried over",
         rehearsal(drill=first("verify", steps.set_sequence_back), **_STAY), Check("sequences")),
    Form("hasty-detector", "a detector that believes the first failed probe",
         rehearsal(drill=instead("detect", steps.believe_at_once), **_STAY), Check("detected")),
)

COMMIT = (
    Form("asynchronous-claim", "an asynchronous replica under the claim of remote_apply",
         rehearsal(pair.commit_alone), _unfit("synchronous: b is no synchronous standby")),
    Form("asynchronous-later", "a primary that stops waiting for its replica once the drill has begun",
         rehearsal(drill=first("client", steps.commit_alone), **_BEYOND, **_STAY), Check("rpo")),
    Form("archiver-waited-for", "commits that wait for a receiver of the log, and not for the replica",
         rehearsal(commit="remote_flush", drill=first("client", steps.commit_with_an_archiver), **_STAY),
         Check("commit mode", "waits for archiver")),
    Form("stale-standby", "a replica that shows less than remote_apply promises",
         rehearsal(scenario="switchover", **_STAY,
                   drill=each(first("steady", steps.hold_replay), first("fault", steps.go_on_replaying))),
         Check("reads", "at the standby before the fault")),
)

CLIENTS = (
    Form("early-acknowledgement", "a pooler that acknowledges writes before it hands them on",
         rehearsal(route=pooler(Lie.EARLY), **_STAY), Check("rpo")),
    Form("blind-retry", "a pooler that repeats writes without knowing what became of them",
         rehearsal(route=pooler(Lie.REPEAT), **_STAY), Check("no duplicates")),
    Form("refused-but-done", "a pooler that reports writes as refused that were done",
         rehearsal(route=pooler(Lie.REFUSE), **_STAY), Check("nothing unexpected", " 0 never tried")),
    Form("stray-route", "a route that leads 1 % of connections to the old primary",
         rehearsal(scenario="switchover", route=pooler(Lie.STRAY), route_samples=100, **_STAY), Check("route")),
    Form("failing-route", "a route whose command fails",
         rehearsal(route=failing, **_STAY), Check("rehearsed", "step reroute")),
    Form("locked-table", "a primary that takes no writes before anything was done to it",
         rehearsal(drill=first("steady", steps.lock_table)), Check("rehearsed", "no write was acknowledged")),
)

HOME = (
    Form("lost-log", "an old primary whose log was wiped before it could be saved",
         rehearsal(objectives=_ANY_LOSS, drill=first("salvage", steps.wipe_log), **_LOSSY, **_STAY),
         Check("lost tail")),
    Form("missed-rewind", "an old primary that was not rewound, its lost writes back after the failback",
         rehearsal(objectives=_ANY_LOSS, drill=instead("rejoin", steps.start_as_it_is), **_LOSSY),
         Check("nothing resurrected")),
    Form("rejoined-as-primary", "an old primary that rejoins as a primary",
         rehearsal(drill=instead("rejoin", steps.start_as_it_is), **_STAY), Check("rejoined")),
    Form("lost-tail", "a failback that promotes the home region without the other's last writes",
         rehearsal(objectives=_ANY_LOSS, drill=instead("failback", steps.lose_the_tail), **_ASYNC),
         Check("failback rpo")),
    Form("no-redundancy", "a replica that dies when all seems over",
         rehearsal(drill=first("steady-after", steps.kill_standby), **_ASYNC, **_STAY), Check("redundancy")),
)

EVIDENCE = (
    Form("truncated-history", "a client's log cut after the client had ended",
         rehearsal(drill=first("account", steps.cut_history), **_STAY), Check("accounted", "damaged")),
    Form("foreign-rows", "rows that no client of the rehearsal wrote",
         rehearsal(drill=first("account", steps.write_as_nobody), **_STAY),
         Check("nothing unexpected", "1 never tried")),
    Form("stepped-client-clock", "the client's clock set an hour ahead",
         rehearsal(drill=first("client", steps.start_client_with_a_stepping_clock), **_STAY),
         Check("clocks", "the client's own clock")),
    Form("failing-undo", "a drill that does not undo a step",
         rehearsal(drill=leaving("client"), **_STAY), Check("left behind")),
)

CLOCKS = (
    Form("stepped-server-clock", "the clock of one server set an hour ahead while the drill runs",
         rehearsal(start=pair.clock_ahead(0), drill=first("client", steps.step_server_clock), **_STAY),
         Check("clocks", "b is off by")),
    Form("server-clock-ahead", "the clock of one server an hour ahead",
         rehearsal(start=pair.clock_ahead(3600)), _unfit("clocks: b +3600")),
)

UNFIT = (
    Form("missing-extension", "an extension that the plan counts on and the servers do not have",
         rehearsal(extensions=["postgis"]), Check("extensions")),
    Form("standby-down", "a replica that does not run", rehearsal(pair.stop_standby), _unfit("reachable: b")),
    Form("standby-behind", "a replica too far behind",
         rehearsal(pair.lag_behind, ready={"min_free": 0, "max_lag": "1ms"}, **_ASYNC), _unfit("lag: ")),
    Form("idle-slot", "a slot that keeps the log for nobody",
         rehearsal(pair.keep_log_for_nobody), _unfit("nobody is used by nobody")),
    Form("sequence-behind-before", "a sequence behind its column before anything began",
         rehearsal(pair.set_sequence_back), _unfit("sequences: ")),
    Form("full-disks", "less room than the plan wants to be free",
         rehearsal(ready={"min_free": 1}), _unfit("disk: ")),
    Form("another-cluster", "servers of another cluster than the pair is known to be",
         rehearsal(pair.record_another), _unfit("answers for the pair of")),
)

PROMISES = (
    Form("slow-takeover", "a takeover slower than its objective",
         rehearsal(objectives={"rto": "10ms"}, **_STAY), Check("rto")),
    Form("slow-failback", "a failback slower than its objective",
         rehearsal(failback={"rto": "10ms", "rpo": "0s"}), Check("failback rto")),
    Form("lost-too-much", "more lost by asynchronous commit than the objective allows",
         rehearsal(objectives={"rpo": "100ms"}, **_LOSSY, **_STAY), Check("rpo")),
)

HEALTHY = (
    Form("switchover", "a planned switch, and home again", rehearsal(scenario="switchover")),
    Form("kill", "the primary killed", rehearsal(scenario="kill")),
    Form("freeze", "the primary frozen, and thawed later", rehearsal(scenario="freeze")),
    Form("partition", "the link cut between two that live", rehearsal(scenario="partition")),
    Form("partition-then-kill", "the link cut, then the primary killed", rehearsal(scenario="partition-then-kill")),
    Form("slow-link", "a switch over a slow, lossy link", rehearsal(scenario="slow-link")),
    Form("replica-behind", "the replica's replay held, then the primary killed", rehearsal(scenario="replica-behind")),
    Form("disk-full", "the primary without room to write", rehearsal(scenario="disk-full")),
    Form("asynchronous", "the primary killed, losses within the objective",
         rehearsal(scenario="kill", objectives=_ANY_LOSS, **_ASYNC)),
    Form("asynchronous-partition", "the link cut, then the primary killed, losses within the objective",
         rehearsal(objectives=_ANY_LOSS, **_LOSSY)),
    Form("remote-write", "the primary killed under remote_write", rehearsal(scenario="kill", commit="remote_write")),
    Form("remote-flush", "the primary killed under remote_flush", rehearsal(scenario="kill", commit="remote_flush")),
    Form("stay-away", "the primary killed, no failback", rehearsal(scenario="kill", **_STAY)),
    Form("pooler", "clients behind a pooler that keeps its word",
         rehearsal(scenario="kill", route=pooler(), route_samples=100)),
)

HEALTHY_HAPROXY = (
    Form("haproxy", "clients behind HAProxy", rehearsal(scenario="kill", route=haproxy, route_samples=100)),
)
# fmt: on

GROUPS: Mapping[str, tuple[Form, ...]] = {
    "The takeover": TAKEOVER,
    "What a commit waits for": COMMIT,
    "Between clients and servers": CLIENTS,
    "The way home": HOME,
    "The drill and its evidence": EVIDENCE,
    "The clock of a server, where libfaketime is installed": CLOCKS,
    "A pair that is not fit": UNFIT,
    "What the plan promises, failing over": PROMISES,
    "Healthy rehearsals": HEALTHY,
    "A healthy rehearsal, where HAProxy is installed": HEALTHY_HAPROXY,
}
_NOT_HERE = (*(() if has_faketime() else CLOCKS), *(() if has_haproxy() else HEALTHY_HAPROXY))
FORMS = tuple(form for group in GROUPS.values() for form in group if form not in _NOT_HERE)
