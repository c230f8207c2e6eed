"""Who may start a set of schedules: a table of transitions, and nothing else.

Promises (shown by trying every path through the table, `tests/unit/test_cutover_ownership.py`): never do both
schedulers start something; only the owner ever starts something; from every state the way to one scheduler that starts
everything is two transitions at most, and none of them waits for the other scheduler's consent; a scheduler that could
not be held is passed over only where nothing that it may start does any work.
"""

from dataclasses import dataclass
from enum import StrEnum

from muster.errors import StepError


class Side(StrEnum):
    """The two schedulers of a cutover."""

    A = "a"
    """Who has the schedules to begin with."""
    B = "b"

    @property
    def other(self) -> "Side":
        """The other one."""
        return Side.B if self is Side.A else Side.A


class Move(StrEnum):
    """What a drill or an undo may do."""

    HOLD = "hold"
    """The side starts nothing more."""
    OWN = "own"
    """The side's epoch begins, and the other one's ends at the watermark."""
    RELEASE = "release"
    """The side starts what is due."""


@dataclass(frozen=True)
class Standing:
    """Who owns the schedules by the ledger, and which schedulers start them."""

    owner: Side
    released: frozenset[Side]

    @property
    def is_safe(self) -> bool:
        """Nobody but the owner starts anything."""
        return self.released <= {self.owner}

    @property
    def is_served(self) -> bool:
        """Somebody starts them."""
        return bool(self.released)

    def after(self, move: Move, side: Side) -> "Standing":
        """The standing that a move leads to; a `StepError` where the table has no such move."""
        for allowed in _TABLE:
            if allowed.move is move and allowed.holds(self, side):
                return allowed.leads(self, side)
        raise StepError(
            f"{side} may not {move} while {self.owner} owns the schedules and"
            f" {' and '.join(sorted(self.released)) or 'nobody'} starts them",
            "hold whoever starts them first, then hand over",
        )


@dataclass(frozen=True)
class _Allowed:
    move: Move
    owner_is: bool | None
    """Whether the side must own the schedules; `None`: either way."""
    other_is_held: bool
    """Whether the other side must be held."""

    def holds(self, standing: Standing, side: Side) -> bool:
        owns = self.owner_is is None or (standing.owner is side) is self.owner_is
        return owns and not (self.other_is_held and side.other in standing.released)

    def leads(self, standing: Standing, side: Side) -> Standing:
        match self.move:
            case Move.HOLD:
                return Standing(standing.owner, standing.released - {side})
            case Move.OWN:
                return Standing(side, standing.released)
            case Move.RELEASE:
                return Standing(standing.owner, standing.released | {side})


_TABLE = (
    # move         the side owns them   the other side is held
    _Allowed(Move.HOLD, owner_is=None, other_is_held=False),
    _Allowed(Move.OWN, owner_is=None, other_is_held=True),
    _Allowed(Move.RELEASE, owner_is=True, other_is_held=True),
)


@dataclass(frozen=True)
class Unheld:
    """A scheduler that an undo could not hold, and all that is known of it."""

    owns: bool
    """Some of the schedules, by the ledger. It was held before it lost what it had."""
    has_begun: bool
    """Whether it was ever released: its copies are made held, and stay so."""
    starts: int | None
    """How many it says that it would start; `None`: it does not answer."""
    is_guarded: bool
    """Whether jobs claim: then what it starts beyond its epoch does no work."""
    is_gone: bool
    """Whether somebody who knows has said that it is lost for good."""

    @property
    def may_be_passed_over(self) -> bool:
        """Whether the other one may have the schedules beside it."""
        if self.starts:
            return False
        if not self.owns or not self.has_begun:
            return True
        return self.is_guarded and (self.is_gone or self.starts is not None)
