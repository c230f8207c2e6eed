"""Target `embedded-regions`: two regions of one small database on this machine, with a wide-area link between them.

The demo estate keeps such a pair; `make` one of your own with `tasks.regions.pair` and name its folder.
"""

from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from muster.drill import Workspace
from muster.errors import Refusal, StepError
from muster.failover.observations import Node, Promoted, Rejoined, Salvaged
from muster.failover.spec import Scenario
from muster.identity import Identity
from muster.quantity import Duration, format_seconds
from muster.settings import Settings
from tasks.estate.card import REGIONS_FOLDER, read_card
from tasks.link.link import Condition
from tasks.regions import replication
from tasks.regions.pair import Pair
from tasks.regions.patience import pause
from tasks.regions.salvage import Shelf, salvage
from tasks.targets.promotable import Work

_CONNECT_SECONDS = 2.0
_SALVAGE_SECONDS = 120.0


class LinkSpec(BaseModel):
    """What the link between the regions is like when nothing is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rtt: Duration = Field(default=timedelta(milliseconds=20), ge=timedelta())
    loss: float = Field(default=0.0, ge=0, le=0.9)
    """Share of packets lost."""
    mbytes_per_second: float | None = Field(default=None, ge=0.01)

    @property
    def condition(self) -> Condition:
        """The same for the link."""
        return Condition(self.rtt.total_seconds(), self.loss, self.mbytes_per_second)


class Spec(BaseModel):
    """The target's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = "embedded-regions"
    folder: Path | None = None
    """Holds the pair; default: the one that `muster up` keeps."""
    link: LinkSpec = LinkSpec()


class Target:
    """The pair that runs in a folder."""

    def __init__(self, spec: Spec, settings: Settings) -> None:
        self._normal = spec.link.condition
        self._is_kept = True
        if spec.folder is None:
            self._pair, self._is_kept = _pair_of_estate(settings)
        else:
            self._pair = _pair_in(spec.folder)

    def identify(self) -> Identity:
        """Every server that lives is asked; what is made of one that is down, its data says."""
        if not self._is_kept:  # an undo, which does not ask, may still bring it to a good state
            raise _not_up()
        made = self._pair.records.made()
        if made is None:
            raise Refusal(f"the pair in {self._pair.home} is not complete", "start it again: it is made anew")
        asked = [server for name in Pair.NAMES if replication.answers(server := self._pair.server(name))]
        if not asked:
            raise Refusal("neither region answers", "restart the estate: `muster up` mends it")
        if found := {replication.system_identifier(server) for server in asked} - {made.system_identifier}:
            raise Refusal(
                f"a server of system {found.pop()} answers for the pair of {made.system_identifier}",
                "restart the estate: `muster up`",
            )
        return Identity(
            description="the embedded regions, east and west",
            system_identifier=made.system_identifier,
            proof=f"{' and '.join(server.data.name for server in asked)} asked",
        )

    def nodes(self) -> tuple[Node, ...]:
        """`a` in the east, `b` in the west."""
        return self._pair.nodes()

    def scenarios(self) -> frozenset[Scenario]:
        """All of them."""
        return frozenset(Scenario)

    def strike(self, scenario: Scenario, old: str, new: str, work: Work) -> tuple[str, ...]:
        """What is planned needs no fault, but for the slow link."""
        match scenario:
            case Scenario.SWITCHOVER:
                return ()
            case Scenario.KILL:
                return (self._pair.kill(old),)
            case Scenario.FREEZE:
                return (self._pair.freeze(old),)
            case Scenario.PARTITION:
                return (self._cut(work),)
            case Scenario.PARTITION_THEN_KILL:
                return (self._cut(work), self._pair.kill(old))
            case Scenario.SLOW_LINK:
                return (self._degrade(work),)
            case Scenario.REPLICA_BEHIND:
                return (self._hold_replay(new, work), self._pair.kill(old))
            case Scenario.DISK_FULL:
                return (self._pair.fill_disk(old),)

    def heal(self, work: Work) -> tuple[str, ...]:
        """Nobody frozen, room to write, the link as the plan wants it, replay going on."""
        done = []
        for name in Pair.NAMES:
            if count := self._pair.thaw(name):
                done.append(f"{name}: {count} processes go on (SIGCONT)")
            if count := self._pair.free_disk(name):
                done.append(f"{name}: {count} processes have room to write again")
        done += self._pair.mend_link(self._normal)
        for name in Pair.NAMES:
            server = self._pair.server(name)
            if replication.answers(server) and replication.resume_replay(server):
                done.append(f"{name}: replay goes on")
        return tuple(done)

    def fence(self, node: str, work: Work) -> str:
        """Killed, frozen or not, and marked on disk."""
        return self._pair.fence(node)

    def promote(self, node: str, work: Work) -> Promoted:
        """`pg_promote`; what the node has received it applies first."""
        return self._pair.promote(node, work.seconds_left)

    def switch(self, old: str, new: str, work: Work) -> Promoted:
        """A fast shutdown of `old`, proof that `new` has all of it, promotion; `old` follows."""
        return self._pair.switch(old, new, work.seconds_left, work.processes)

    def salvage(self, old: str, new: str, work: Work) -> Salvaged:
        """`pg_waldump` from the fork on; the log itself stays on this machine."""
        if self._pair.is_running(old):
            raise StepError(f"{old} still runs: its log has no end yet", "fence it first")
        return salvage(
            self._pair.server(old),
            self._pair.server(new),
            _shelf(work.workspace),
            work.processes,
            min(_SALVAGE_SECONDS, work.seconds_left()),
        )

    def rejoin(self, node: str, primary: str, work: Work) -> Rejoined:
        """It follows as it is, or after `pg_rewind`, or after a new base backup over the link."""
        return self._pair.rejoin(node, primary, work.seconds_left, work.processes)

    def revive(self, node: str, work: Work) -> str:
        """Started in the role that its data directory says."""
        return self._pair.revive(node)

    def connect_seconds(self) -> float:
        """Sockets of this machine answer at once; a server that does not in this time is frozen."""
        return _CONNECT_SECONDS

    def _cut(self, work: Work) -> str:
        self._pair.link.cut()
        pause(work.spec.fault_lasts.total_seconds(), work.seconds_left)
        return f"the link between the regions is cut, and was so for {_words(work.spec.fault_lasts)}"

    def _degrade(self, work: Work) -> str:
        slow = work.spec.slow_link
        self._pair.link.set(Condition(slow.rtt.total_seconds(), slow.loss, slow.mbytes_per_second))
        return f"the link is at {_words(slow.rtt)} round trip and loses {slow.loss:.1%}"

    def _hold_replay(self, new: str, work: Work) -> str:
        replication.pause_replay(self._pair.server(new))
        pause(work.spec.fault_lasts.total_seconds(), work.seconds_left)
        return f"{new}: replay stands still, and did so for {_words(work.spec.fault_lasts)}"


def _pair_of_estate(settings: Settings) -> tuple[Pair, bool]:
    """The pair that `muster up` keeps, or what one that was killed left running; whether somebody keeps it."""
    card = read_card(settings)
    if card is not None and card.regions is not None:
        return _pair_in(card.regions.home), True
    left = Pair.open(settings.estate / REGIONS_FOLDER)
    if left is None or not any(map(left.is_running, Pair.NAMES)):
        raise _not_up()
    return left, False


def _pair_in(folder: Path) -> Pair:
    pair = Pair.open(folder)
    if pair is None:
        raise Refusal(f"no pair of regions runs in {folder}", "start it, or leave `folder` out and run `muster up`")
    return pair


def _not_up() -> Refusal:
    return Refusal("the embedded regions are not up", "start them with `muster up`, or run with `--up`")


def _shelf(workspace: Workspace) -> Shelf:
    return Shelf(exhibits=workspace.exhibits, kept=workspace.kept)


def _words(span: timedelta) -> str:
    return format_seconds(span.total_seconds())


def open_target(keys: dict[str, object], settings: Settings) -> Target:
    """The target of a plan."""
    return Target(Spec.model_validate(keys), settings)
