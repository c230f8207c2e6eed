"""Every path through the table of who may start schedules: never both, and never far from somebody."""

from collections import deque
from itertools import product

import pytest

from muster.cutover.ownership import Move, Side, Standing, Unheld
from muster.errors import StepError

START = Standing(owner=Side.A, released=frozenset({Side.A}))
MOVES = tuple(product(Move, Side))


def reachable() -> dict[Standing, list[tuple[Move, Side, Standing]]]:
    """Every standing that any sequence of moves leads to, however a drill, an undo and a crash may mix them."""
    found: dict[Standing, list[tuple[Move, Side, Standing]]] = {}
    waiting = deque([START])
    while waiting:
        standing = waiting.popleft()
        if standing in found:
            continue
        found[standing] = []
        for move, side in MOVES:
            try:
                after = standing.after(move, side)
            except StepError:
                continue
            found[standing].append((move, side, after))
            waiting.append(after)
    return found


def test_nothing_reachable_has_both_or_anybody_but_the_owner_at_work() -> None:
    standings = reachable()
    assert len(standings) == 4  # each owner, at work or held
    assert all(standing.is_safe for standing in standings)
    assert all(len(standing.released) <= 1 for standing in standings)


def test_from_everywhere_both_sides_are_two_allowed_moves_from_serving_without_the_other() -> None:
    standings = reachable()
    for standing in standings:
        if standing.is_served:
            continue
        for home in Side:
            after = standing.after(Move.OWN, home).after(Move.RELEASE, home)
            assert after == Standing(home, frozenset({home}))


@pytest.mark.parametrize(
    ("standing", "move", "side"),
    [
        (START, Move.RELEASE, Side.B),
        (START, Move.OWN, Side.B),
        (Standing(Side.A, frozenset()), Move.RELEASE, Side.B),
        (Standing(Side.B, frozenset({Side.B})), Move.OWN, Side.A),
        (Standing(Side.B, frozenset({Side.B})), Move.RELEASE, Side.A),
    ],
    ids=str,
)
def test_what_would_break_that_is_refused(standing: Standing, move: Move, side: Side) -> None:
    with pytest.raises(StepError, match=f"{side} may not {move}"):
        standing.after(move, side)


def test_a_side_that_could_not_be_held_is_passed_over_only_where_nothing_of_it_works() -> None:
    """Every case: one that is or may be at work, and is no longer fenced or gone by word, stops an undo."""
    passed, either = {}, (False, True)
    for owns, begun, starts, guarded, gone in product(either, either, (None, 0, 2), either, either):
        unheld = Unheld(owns=owns, has_begun=begun, starts=starts, is_guarded=guarded, is_gone=gone)
        passed[owns, begun, starts, guarded, gone] = unheld.may_be_passed_over
    assert not any(may for (_, _, starts, _, _), may in passed.items() if starts), "it says that it starts something"
    held = {case: may for case, may in passed.items() if not case[2]}
    assert all(may for (owns, begun, *_), may in held.items() if not (owns and begun)), "it was held, or never released"
    left = {case[2:]: may for case, may in held.items() if case[0] and case[1]}
    assert {case for case, may in left.items() if may} == {(0, True, False), (0, True, True), (None, True, True)}


def test_a_table_that_let_a_held_side_be_passed_over_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from muster.cutover import ownership

    careless = tuple(ownership._Allowed(row.move, row.owner_is, other_is_held=False) for row in ownership._TABLE)
    monkeypatch.setattr(ownership, "_TABLE", careless)
    assert not all(standing.is_safe for standing in reachable())
