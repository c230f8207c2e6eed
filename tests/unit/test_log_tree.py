"""Roots and proofs of every tree up to a few hundred entries, and of some large ones."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.log.tiles import WIDTH, Edge, Tile, edge_widths
from evidence.log.tree import EMPTY_ROOT, consistency_proof, inclusion_proof, root_at
from evidence.verify import check_consistency, check_inclusion, leaf_hash, node_hash, root_of
from tests.unit.paper_log import naive_root

SIZES = 300
LEAVES = [f"leaf {number}".encode() for number in range(SIZES)]


class Rows:
    """Every full subtree of a tree, row by row."""

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self.rows = [list(hashes)]
        while len(row := self.rows[-1]) > 1:
            self.rows.append([node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)])

    def __call__(self, height: int, index: int) -> bytes:
        return self.rows[height][index]


ROWS = Rows([leaf_hash(leaf) for leaf in LEAVES])
ROOTS = [root_at(size, ROWS) for size in range(SIZES + 1)]


def test_every_root_is_the_one_that_the_rfc_defines() -> None:
    assert [naive_root(LEAVES[:size]) for size in range(SIZES + 1)] == ROOTS
    assert [root_of(ROWS.rows[0][:size]) for size in range(SIZES + 1)] == ROOTS
    assert EMPTY_ROOT == ROOTS[0] == hashlib.sha256(b"").digest()


def test_every_inclusion_proof_verifies_and_is_as_short_as_can_be() -> None:
    for size in range(1, SIZES + 1):
        for index in range(size):
            proof = inclusion_proof(index, size, ROWS)
            assert check_inclusion(index, size, ROWS(0, index), proof, ROOTS[size])
            assert len(proof) <= (size - 1).bit_length()


def test_every_consistency_proof_verifies() -> None:
    for size in range(SIZES + 1):
        for old in range(size + 1):
            proof = consistency_proof(old, size, ROWS)
            assert check_consistency(old, size, ROOTS[old], ROOTS[size], proof)
            assert len(proof) <= (size or 1).bit_length() + 1


@given(st.data())
def test_no_wrong_inclusion_proof_verifies(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, SIZES))
    index = data.draw(st.integers(0, size - 1))
    proof = list(inclusion_proof(index, size, ROWS))
    other = data.draw(st.integers(0, SIZES - 1).filter(lambda number: number != index))
    assert not check_inclusion(index, size, ROWS(0, other), proof, ROOTS[size])
    assert not check_inclusion(other, size, ROWS(0, index), proof, ROOTS[size])
    assert not check_inclusion(index, size, ROWS(0, index), proof, ROOTS[size - 1])
    for wrong in _wrong(data, proof):
        assert not check_inclusion(index, size, ROWS(0, index), wrong, ROOTS[size])


@pytest.mark.parametrize("size", [0, 1, 7])
def test_the_empty_tree_has_one_root(size: int) -> None:
    """It begins every tree, but what is no hash of nothing is no root of it, however often it is named."""
    assert check_consistency(0, size, EMPTY_ROOT, ROOTS[size], ())
    for other in (ROOTS[1], bytes(32), b"\xff" * 32):
        assert not check_consistency(0, size, other, ROOTS[size], ())
        assert not check_consistency(0, size, other, other, ())
    assert not check_consistency(0, 0, EMPTY_ROOT, ROOTS[1], ())
    assert not check_consistency(0, size, EMPTY_ROOT, ROOTS[size], (EMPTY_ROOT,))


@given(st.data())
def test_no_wrong_consistency_proof_verifies(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, SIZES))
    old = data.draw(st.integers(1, size - 1))
    proof = list(consistency_proof(old, size, ROWS))
    other = data.draw(st.integers(1, SIZES).filter(lambda number: number not in (old, size)))
    assert not check_consistency(old, size, ROOTS[other], ROOTS[size], proof)
    assert not check_consistency(old, size, ROOTS[old], ROOTS[other], proof)
    assert not check_consistency(old, size, ROOTS[size], ROOTS[old], proof)
    for wrong in _wrong(data, proof):
        assert not check_consistency(old, size, ROOTS[old], ROOTS[size], wrong)


def _wrong(data: st.DataObject, proof: list[bytes]) -> list[list[bytes]]:
    """A bit flipped, a hash lost, one too many, two exchanged."""
    at = data.draw(st.integers(0, max(len(proof) - 1, 0)))
    extra = data.draw(st.binary(min_size=32, max_size=32))
    wrong = [[*proof[:at], extra, *proof[at:]], [*proof, extra]]
    if proof:
        bit = data.draw(st.integers(0, 255))
        flipped = (int.from_bytes(proof[at], "big") ^ 1 << bit).to_bytes(32, "big")
        wrong += [[*proof[:at], flipped, *proof[at + 1 :]], [*proof[:at], *proof[at + 1 :]]]
    if len(proof) > 1:
        wrong.append([proof[1], proof[0], *proof[2:]])
    return wrong


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_a_tree_that_grows_in_any_steps_has_the_same_tiles(steps: list[int]) -> None:
    hashes = [leaf_hash(str(number).encode()) for number in range(sum(steps))]
    edge, kept = Edge(0, {}), {}
    for step in steps:
        edge, made = edge.grow(hashes[edge.size : edge.size + step])
        for key, tile in made:
            assert kept.setdefault(key, tile.content) == tile.content
        assert edge.root == root_of(hashes[: edge.size])
        assert {level: len(tile.hashes) for level, tile in edge.tiles.items()} == {
            level: width for level, _, width in edge_widths(edge.size)
        }
    whole, made = Edge(0, {}).grow(hashes)
    assert (whole.root, whole.tiles) == (edge.root, edge.tiles)
    assert {key: tile.content for key, tile in made}.items() <= kept.items()


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 70_000])
def test_a_tree_of_three_levels_of_tiles(size: int) -> None:
    hashes = [leaf_hash(str(number).encode()) for number in range(size)]
    edge, _ = Edge(0, {}).grow(hashes[:65_400])
    edge, _ = edge.grow(hashes[65_400:])
    assert edge.root == root_of(hashes)
    rows = Rows(hashes)
    for index in (0, 255, 256, 65_279, size - 1):
        assert check_inclusion(index, size, hashes[index], inclusion_proof(index, size, rows), edge.root)
    for old in (1, 256, 65_279, 65_535, size):
        proof = consistency_proof(old, size, rows)
        assert check_consistency(old, size, root_of(hashes[:old]), edge.root, proof)


def test_a_tile_is_read_only_at_its_width() -> None:
    tile = Tile(tuple(ROWS.rows[0][:5]))
    assert Tile.parse(tile.content, 5) == tile
    assert Tile.parse(tile.content, 4) is None
    assert Tile.parse(tile.content[:-1], 5) is None
    full = Tile(tuple(ROWS.rows[0][:WIDTH]))
    assert full.root == ROOTS[WIDTH]
