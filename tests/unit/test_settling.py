"""The undo of a rehearsal over servers of paper: from every half-done state to one primary, never by way of two."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.drill import Workspace
from muster.errors import MusterError, StepError, SystemFailure
from muster.failover.observations import GoodState, Node, NodeState, Promoted, Rejoined, Salvaged, Surveyed
from muster.failover.spec import FailoverSpec
from tasks.process import Processes
from tasks.rehearsal import settling
from tasks.rehearsal.settling import Intent, Settling, followers_of
from tasks.targets.promotable import Promotable, Work

NOWHERE = Path("/nowhere")


@dataclass
class Paper:
    """A server as its disk and its process make it."""

    disk: str = "standby"
    """What it starts as: `primary` or `standby`; `broken`: it does not start."""
    is_up: bool = True
    timeline: int = 1
    changes_in: int = 0
    """Looks until it is, by itself, what it is about to be: a start, or a promotion, that is under way."""
    is_fenced: bool = False
    is_whole: bool = True
    upstream: str = ""
    wrote_alone: bool = False
    is_out_of_reach: bool = False
    """It hung, and was given up."""

    @property
    def takes_writes(self) -> bool:
        return self.is_up and self.disk == "primary" and not self.changes_in

    @property
    def may_take_writes(self) -> bool:
        """Now, or by itself in a moment."""
        return self.takes_writes or self.changes_in > 0


@dataclass
class PaperPair:
    """A target of paper. It complains when a verb would make a second primary, or throw away what is newer."""

    servers: dict[str, Paper]
    promotes: str = ""
    """Who is being promoted, and will be primary after `changes_in` looks."""
    has_all: bool = True
    """Whether the standby has all that a primary wrote that stopped in good order."""
    calls: list[str] = field(default_factory=list)

    def look(self, *_: object) -> Surveyed:
        for name, server in self.servers.items():
            if server.changes_in:
                server.changes_in -= 1
                if not server.changes_in and self.promotes == name:
                    self._raise(name)
        return Surveyed(stage="undo", nodes=tuple(self._state(name) for name in self.servers))

    def _state(self, name: str) -> NodeState:
        server = self.servers[name]
        is_pending = self.promotes == name and server.changes_in
        role = server.disk if server.is_up and (is_pending or not server.changes_in) else "unreachable"
        followers = [n for n, s in self.servers.items() if s.is_up and s.upstream == name]
        return NodeState.model_validate(
            {
                "node": name,
                "region": name,
                "asked_at": "2026-01-01T00:00:00Z",
                "role": role,
                "timeline": server.timeline,
                "receiving_from": server.upstream if role == "standby" else "",
                "standbys": followers if role == "primary" else [],
            }
        )

    def _raise(self, name: str) -> None:
        server = self.servers[name]
        self.promotes = "" if self.promotes == name else self.promotes
        server.disk, server.timeline, server.upstream, server.changes_in = "primary", server.timeline + 1, "", 0

    def _other(self, name: str) -> str:
        return next(other for other in self.servers if other != name)

    def _nobody_beside(self, name: str) -> None:
        other = self.servers[self._other(name)]
        assert not other.may_take_writes, f"{name} would be a second primary: {self.calls}"

    # --- the verbs ---

    def heal(self, _work: Work) -> tuple[str, ...]:
        self.calls.append("heal")
        return ()

    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(name=name, region=name, dsn="") for name in self.servers)

    def connect_seconds(self) -> float:
        return 0.0

    def fence(self, name: str, _work: Work) -> str:
        self.calls.append(f"fence {name}")
        server = self.servers[name]
        server.is_out_of_reach = server.changes_in > 0
        server.is_up, server.is_fenced, server.changes_in, server.upstream = False, True, 0, ""
        self.promotes = "" if self.promotes == name else self.promotes
        return "killed"

    def promote(self, name: str, _work: Work) -> Promoted:
        self.calls.append(f"promote {name}")
        server = self.servers[name]
        assert server.is_up
        assert self.promotes == name or not server.changes_in
        self._nobody_beside(name)
        if server.disk == "standby":
            self._raise(name)
        return Promoted(node=name, promoted_ns=0, timeline=server.timeline, lsn="0/0", how="paper")

    def switch(self, old: str, new: str, work: Work) -> Promoted:
        self.calls.append(f"switch {old} {new}")
        server = self.servers[old]
        if self.servers[new].disk == "standby" and not (self.has_all and not server.changes_in):
            if not server.is_fenced and server.is_whole and server.disk != "broken":
                self._nobody_beside(old)
                server.is_up, server.changes_in = True, 0
            raise SystemFailure(f"{old} cannot hand over")
        server.is_up = False
        promoted = self.promote(new, work)
        self.rejoin(old, new, work)
        return promoted

    def salvage(self, old: str, _new: str, _work: Work) -> Salvaged:
        self.calls.append(f"salvage {old}")
        assert not self.servers[old].is_up
        self.servers[old].wrote_alone = False
        return Salvaged(node=old, fork_lsn="0/1", commits=3, kept="kept")

    def rejoin(self, name: str, primary: str, _work: Work) -> Rejoined:
        self.calls.append(f"rejoin {name} {primary}")
        server, leader = self.servers[name], self.servers[primary]
        assert leader.takes_writes
        assert not server.takes_writes
        is_readable = server.disk != "broken" and not server.is_out_of_reach
        assert server.timeline <= leader.timeline or not is_readable, "what is newer is thrown away"
        assert not server.wrote_alone, "what it wrote alone is thrown away unsaved"
        self.servers[name] = Paper(timeline=leader.timeline, upstream=primary)
        return Rejoined(node=name, how="rewind", why="paper", rejoined_ns=0)

    def revive(self, name: str, _work: Work) -> str:
        self.calls.append(f"revive {name}")
        server = self.servers[name]
        if not server.is_whole or server.disk == "broken":
            raise StepError(f"{name} does not start")
        if server.changes_in:
            return "it runs"
        if server.disk == "primary":
            self._nobody_beside(name)
        server.is_up, server.is_fenced = True, False
        return f"started as {server.disk}"


class PaperRoute:
    def __init__(self) -> None:
        self.leads_to = ""

    def point_to(self, node: str, *_: object) -> str:
        self.leads_to = node
        return ""


class PaperTime:
    """Goes on by seconds with every nap."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, _seconds: float) -> None:
        self._now += 5.0


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "time", PaperTime())


class Settled(Settling):
    """Looks at paper."""

    def _look(self) -> Surveyed:
        return cast(PaperPair, self.target).look()


def settle(pair: PaperPair, intent: Intent) -> GoodState:
    spec = FailoverSpec.model_validate({"scenario": "kill"})
    work = Work(Workspace("run", NOWHERE), Processes(NOWHERE, NOWHERE), spec, lambda: 600.0, lambda: 0)
    route = PaperRoute()
    good = Settled(cast(Promotable, pair), cast(Any, route), work, intent).settle()
    assert route.leads_to == good.primary
    other = next(name for name in pair.servers if name != good.primary)
    assert pair.servers[good.primary].takes_writes
    assert pair.servers[other] == Paper(timeline=pair.servers[good.primary].timeline, upstream=good.primary)
    assert good.state == ("home" if good.primary == intent.old else "away")
    return good


BEFORE = Intent(old="a", new="b", heir="a")
TAKING = Intent(old="a", new="b", heir="b", is_begun=True)
TAKEN = replace(TAKING, timeline=2)
REJOINED = replace(TAKEN, is_followed=True)
GOING_HOME = Intent(old="a", new="b", heir="a", is_begun=True, is_planned=True)
HOME_AGAIN = replace(GOING_HOME, timeline=3, is_followed=True)

LEADS, FOLLOWS, STANDS = Paper("primary"), Paper(upstream="a"), Paper()
DEAD, FENCED = Paper("primary", is_up=False), Paper("primary", is_up=False, is_fenced=True)
AWAY, AWAY_DEAD = Paper("primary", timeline=2), Paper("primary", is_up=False, timeline=2)
BEHIND, BEHIND_DEAD = Paper(timeline=2, upstream="b"), Paper(timeline=2, is_up=False)
REBUILDING = Paper(is_up=False, is_fenced=True, is_whole=False)
BROKEN = Paper("broken", is_up=False)
RECOVERING, HANGING = Paper("primary", changes_in=12), Paper("primary", changes_in=10**9)
PROMOTING = Paper(changes_in=4)

STATES: dict[str, tuple[Intent, Paper, Paper, str]] = {
    "nothing happened": (BEFORE, LEADS, FOLLOWS, "a"),
    "the primary was killed": (BEFORE, DEAD, STANDS, "a"),
    "the primary recovers from a crash": (BEFORE, RECOVERING, STANDS, "a"),
    "the primary hangs, and nobody knows what it will do": (BEFORE, HANGING, STANDS, "b"),
    "the old primary hangs, and the other is to be promoted": (TAKING, HANGING, STANDS, "b"),
    "somebody took over by hand": (BEFORE, DEAD, AWAY, "b"),
    "taken over, and started as a standby since": (TAKEN, DEAD, BEHIND_DEAD, "b"),
    "the primary does not start again": (BEFORE, BROKEN, STANDS, "b"),
    "fenced": (BEFORE, FENCED, STANDS, "a"),
    "both killed before the takeover": (BEFORE, DEAD, Paper(is_up=False), "a"),
    "about to be promoted": (TAKING, FENCED, STANDS, "b"),
    "being promoted": (TAKING, FENCED, PROMOTING, "b"),
    "being promoted, and killed": (TAKING, FENCED, Paper(is_up=False), "a"),
    "the fence did not hold, nobody was promoted": (TAKING, LEADS, STANDS, "a"),
    "a switch cut short with all of the log": (replace(TAKING, is_planned=True), DEAD, STANDS, "b"),
    "being promoted, and it hangs": (TAKING, FENCED, HANGING, "a"),
    "taken over": (TAKEN, FENCED, AWAY, "b"),
    "two primaries": (TAKEN, LEADS, AWAY, "b"),
    "two primaries, the new one killed": (TAKEN, LEADS, AWAY_DEAD, "b"),
    "both killed after the takeover": (TAKEN, FENCED, AWAY_DEAD, "b"),
    "a rebuild cut short": (TAKEN, REBUILDING, AWAY, "b"),
    "a rebuild cut short, and the new one killed": (TAKEN, REBUILDING, AWAY_DEAD, "b"),
    "rejoined": (REJOINED, BEHIND, AWAY, "b"),
    "rejoined, and both killed": (REJOINED, BEHIND_DEAD, AWAY_DEAD, "b"),
    "rejoined, and the new primary is gone": (REJOINED, BEHIND_DEAD, BROKEN, "a"),
    "rejoined, and the new primary hangs": (REJOINED, BEHIND, replace(HANGING, timeline=2), "a"),
    "on the way home, nothing done": (GOING_HOME, BEHIND, AWAY, "b"),
    "on the way home, handed over": (GOING_HOME, replace(BEHIND, upstream=""), AWAY_DEAD, "a"),
    "on the way home, being promoted": (GOING_HOME, Paper(timeline=2, changes_in=4), AWAY_DEAD, "a"),
    "on the way home, both killed": (GOING_HOME, BEHIND_DEAD, AWAY_DEAD, "b"),
    "home again, nobody follows": (HOME_AGAIN, Paper("primary", timeline=3), AWAY_DEAD, "a"),
    "home again, both killed": (HOME_AGAIN, Paper("primary", timeline=3, is_up=False), BEHIND_DEAD, "a"),
}


@pytest.mark.parametrize("name", list(STATES))
def test_a_half_done_state(name: str) -> None:
    intent, a, b, primary = STATES[name]
    pair = PaperPair({"a": replace(a), "b": replace(b)})
    pair.promotes = next((n for n, s in pair.servers.items() if s.changes_in and s.disk == "standby"), "")
    assert settle(pair, intent).primary == primary
    assert settle(pair, intent).primary == primary, "settled again, it is as it was"


def test_a_hand_over_that_would_lose_something_is_taken_back() -> None:
    pair = PaperPair({"a": replace(DEAD), "b": replace(STANDS)}, has_all=False)
    good = settle(pair, replace(TAKING, is_planned=True))
    assert good.primary == "a"
    assert any("could not hand over" in words for words in good.done)


def test_who_has_come_home_is_not_asked_to_take_over_again() -> None:
    pair = PaperPair({"a": Paper(timeline=3), "b": replace(AWAY_DEAD)}, has_all=False)
    assert settle(pair, HOME_AGAIN).primary == "a"


def test_what_a_lost_primary_wrote_alone_is_saved_before_it_is_rewound() -> None:
    pair = PaperPair({"a": replace(FENCED, wrote_alone=True), "b": replace(AWAY)})
    good = settle(pair, replace(TAKEN, unsaved="a"))
    assert pair.calls.index("salvage a") < pair.calls.index("rejoin a b")
    assert "3 commits of a beyond the fork saved in kept" in good.done


def test_nothing_is_saved_of_a_primary_that_stays() -> None:
    pair = PaperPair({"a": replace(FENCED, wrote_alone=True), "b": replace(STANDS, is_up=False)})
    assert settle(pair, replace(TAKING, unsaved="a")).primary == "a"
    assert not any(call.startswith("salvage") for call in pair.calls)


def test_a_rejoin_cut_short_after_the_standby_streamed_is_finished() -> None:
    pair = PaperPair({"a": replace(BEHIND), "b": replace(AWAY)})
    good = settle(pair, TAKEN)
    assert "rejoin a b" in pair.calls  # slots, and who commits wait for, are its last act
    assert good.done == ()


def test_a_healthy_pair_is_left_as_it_is() -> None:
    pair = PaperPair({"a": replace(LEADS), "b": replace(FOLLOWS)})
    settle(pair, BEFORE)
    assert pair.calls == ["heal", "rejoin b a"]


@pytest.mark.parametrize("b", [BROKEN, replace(HANGING, timeline=2)], ids=["gone", "hangs"])
@pytest.mark.parametrize("a", [FENCED, LEADS], ids=["fenced", "zombie"])
def test_who_lacks_what_was_written_since_is_not_put_in_the_place_of_who_has_it(a: Paper, b: Paper) -> None:
    pair = PaperPair({"a": replace(a), "b": replace(b)})
    with pytest.raises(SystemFailure, match="a lacks what was written") as caught:
        settle(pair, TAKEN)
    assert "start b" in caught.value.advice
    assert pair.servers["a"].is_up == a.is_up
    assert not any(call.startswith("rejoin") for call in pair.calls)


def test_nobody_left_to_serve_is_told() -> None:
    pair = PaperPair({"a": replace(BROKEN), "b": replace(BROKEN)})
    with pytest.raises(SystemFailure, match="neither a nor b") as caught:
        settle(pair, TAKING)
    assert "by hand" in caught.value.advice


def test_a_standby_of_another_timeline_follows_nobody() -> None:
    pair = PaperPair({"a": replace(LEADS), "b": replace(FOLLOWS, timeline=2)})
    assert followers_of(pair.look(), "a") == ()
    pair = PaperPair({"a": replace(LEADS), "b": replace(FOLLOWS)})
    assert followers_of(pair.look(), "a") == ("b",)


# --- from whatever is reached ---


def drilled(step: str, is_planned: bool, is_under_way: bool) -> tuple[Intent, PaperPair]:
    """A drill over paper that died after `step`; `is_under_way`: in the midst of its promotion."""
    pair = PaperPair({"a": replace(LEADS), "b": replace(FOLLOWS)})
    a, b = pair.servers.values()

    def begun(heir: str, planned: bool) -> Intent:
        return Intent(old="a", new="b", heir=heir, is_begun=True, is_planned=planned)

    if step == "fault":
        return BEFORE, pair
    pair.servers["a"] = replace(DEAD, is_fenced=not is_planned)
    b.upstream = ""
    if step == "fence":
        return BEFORE, pair
    if step == "promote" and is_under_way:
        b.changes_in, pair.promotes = 3, "b"
        return begun("b", is_planned), pair
    if step == "promote":
        return begun("b", is_planned), pair
    pair.servers["b"] = b = replace(AWAY)
    if step == "away":
        return replace(begun("b", is_planned), timeline=2), pair
    if step == "rejoin":
        pair.servers["a"] = replace(REBUILDING) if is_under_way else replace(BEHIND)
        return replace(begun("b", is_planned), timeline=2, is_followed=not is_under_way), pair
    pair.servers["a"], pair.servers["b"] = a, b = replace(BEHIND, upstream=""), replace(AWAY_DEAD)
    if step == "failback":
        if is_under_way:
            a.changes_in, pair.promotes = 3, "a"
        return begun("a", True), pair
    pair.servers["a"] = Paper("primary", timeline=3)
    pair.servers["b"] = replace(BEHIND_DEAD, timeline=3)
    return replace(begun("a", True), timeline=3, is_followed=True), pair


def befall(pair: PaperPair, accidents: dict[str, str]) -> None:
    """What else happens to the servers before anybody undoes it."""
    for name, accident in accidents.items():
        server = pair.servers[name]
        if accident == "killed" or (accident == "broken" and server.is_whole):
            server.is_up, server.changes_in, server.upstream = False, 0, ""
            pair.promotes = "" if pair.promotes == name else pair.promotes
            server.disk = "broken" if accident == "broken" else server.disk
        elif accident == "recovers" and server.is_up and server.disk == "primary":
            server.changes_in = 2
    for server in pair.servers.values():  # nobody streams from the dead
        if server.upstream and not pair.servers[server.upstream].is_up:
            server.upstream = ""


STEPS = ["fault", "fence", "promote", "away", "rejoin", "failback", "home"]
ACCIDENTS = st.sampled_from(["none", "killed", "recovers", "broken"])


@settings(max_examples=400, deadline=None)
@given(
    step=st.sampled_from(STEPS),
    is_planned=st.booleans(),
    is_under_way=st.booleans(),
    accidents=st.fixed_dictionaries({"a": ACCIDENTS, "b": ACCIDENTS}),
    has_all=st.booleans(),
)
def test_from_whatever_is_reached_the_end_is_one_primary(
    step: str, is_planned: bool, is_under_way: bool, accidents: dict[str, str], has_all: bool
) -> None:
    intent, pair = drilled(step, is_planned, is_under_way)
    pair.has_all = has_all or bool(pair.promotes)  # else nobody would have been promoted
    befall(pair, accidents)
    sound = {name: s.timeline for name, s in pair.servers.items() if s.disk != "broken" and s.is_whole}
    is_lost = intent.heir not in sound and intent.timeline > 0 and not intent.is_followed
    if not sound or is_lost:
        with pytest.raises(MusterError):
            settle(pair, intent)
        assert not any(call.startswith("rejoin") for call in pair.calls)
        return
    good = settle(pair, intent)
    assert pair.servers[good.primary].timeline >= max(sound.values())
    assert settle(pair, intent).primary == good.primary
