"""The log beside vectors that others published: `tests/golden/log/SOURCE.md` names them."""

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from evidence.log.heads import checkpoint_text, sign_note
from evidence.log.tiles import WIDTH, Edge, edge_widths, entries_key, tile_key
from evidence.log.tree import consistency_proof, inclusion_proof, root_at
from evidence.verify import (
    Checkpoint,
    check_consistency,
    check_inclusion,
    leaf_hash,
    node_hash,
    note_key_id,
    note_signed_by,
    parse_checkpoint,
    parse_note,
)
from tests.unit.paper_log import naive_root

GOLDEN = Path(__file__).parents[1] / "golden" / "log"


FROM_NOTHING = {
    "additional/size1-is-zero-and-size2-is-not-zero",
    "additional/sizes-are-equal-zero-and-proof-is-empty",
}
"""RFC 6962 does not say whether the empty tree begins every tree: this source refuses it always, the other never."""


@cache
def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def raw(values: list[str]) -> tuple[bytes, ...]:
    return tuple(map(bytes.fromhex, values))


class Leaves:
    """A tree that computes each subtree's hash from the leaves."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves

    def __call__(self, height: int, index: int) -> bytes:
        span = 1 << height
        piece = self.leaves[index * span : (index + 1) * span]
        assert len(piece) == span, "asked for a subtree that is not full"
        return naive_root(piece)


EIGHT = [bytes.fromhex(leaf) for leaf in golden("transparency-dev")["leaves"]]
LETTERS = [case["leaf"].encode() for case in golden("cctv")["tree"]]


@pytest.mark.parametrize("source", ["transparency-dev", "certificate-transparency"])
def test_leaves_and_nodes_hash_as_published(source: str) -> None:
    for case in golden(source)["leafHashes"]:
        assert leaf_hash(bytes.fromhex(case["leaf"])).hex() == case["hash"]
    for case in golden(source)["nodeHashes"]:
        assert node_hash(bytes.fromhex(case["left"]), bytes.fromhex(case["right"])).hex() == case["hash"]


def test_every_root_and_node_of_the_reference_tree_is_as_published() -> None:
    published = golden("transparency-dev")
    assert [root_at(size, Leaves(EIGHT)).hex() for size in range(9)] == published["rootsBySize"]
    for height, row in enumerate(published["nodesByLevel"]):
        assert [Leaves(EIGHT)(height, index).hex() for index in range(len(row))] == row
    edge = Edge(0, {})
    for size, leaf in enumerate(EIGHT, 1):
        edge, _ = edge.grow([leaf_hash(leaf)])
        assert edge.root.hex() == published["rootsBySize"][size]


def test_every_root_over_letters_is_as_published() -> None:
    for size, case in enumerate(golden("cctv")["tree"], 1):
        assert leaf_hash(case["leaf"].encode()).hex() == case["leafHash"]
        assert root_at(size, Leaves(LETTERS)).hex() == case["root"]


def test_inclusion_proofs_are_made_as_published() -> None:
    for case in golden("certificate-transparency")["inclusion"]:
        assert inclusion_proof(case["index"], case["size"], Leaves(EIGHT)) == raw(case["proof"])
    for source, leaves in (("transparency-dev", EIGHT), ("cctv", LETTERS)):
        cases = [case for case in golden(source)["inclusion"] if case["holds"] and case["size"] <= len(leaves)]
        compared = 0
        for case in cases:
            if leaf_hash(leaves[case["index"]]).hex() == case["leaf"]:
                assert inclusion_proof(case["index"], case["size"], Leaves(leaves)) == raw(case["proof"])
                compared += 1
        assert compared >= 4


def test_consistency_proofs_are_made_as_published() -> None:
    for case in golden("certificate-transparency")["consistency"]:
        assert consistency_proof(case["old"], case["new"], Leaves(EIGHT)) == raw(case["proof"])
    for source, leaves in (("transparency-dev", EIGHT), ("cctv", LETTERS)):
        compared = 0
        for case in golden(source)["consistency"]:
            if case["holds"] and root_at(case["new"], Leaves(leaves)).hex() == case["newRoot"]:
                assert consistency_proof(case["old"], case["new"], Leaves(leaves)) == raw(case["proof"])
                compared += 1
        assert compared >= 4


@pytest.mark.parametrize(("source", "at_least"), [("transparency-dev", 98), ("cctv", 8)])
def test_published_inclusion_proofs_hold_or_fail_as_said(source: str, at_least: int) -> None:
    cases = golden(source)["inclusion"]
    assert len(cases) >= at_least
    for case in cases:
        found = check_inclusion(
            case["index"], case["size"], bytes.fromhex(case["leaf"]), raw(case["proof"]), bytes.fromhex(case["root"])
        )
        assert found == case["holds"], case["case"]


@pytest.mark.parametrize(("source", "at_least"), [("transparency-dev", 98), ("cctv", 20)])
def test_published_consistency_proofs_hold_or_fail_as_said(source: str, at_least: int) -> None:
    cases = golden(source)["consistency"]
    assert len(cases) >= at_least
    for case in cases:
        roots = _root(case["oldRoot"]), _root(case["newRoot"])
        if case["case"] not in FROM_NOTHING:
            found = check_consistency(case["old"], case["new"], *roots, raw(case["proof"]))
            assert found == case["holds"], case["case"]


def _root(value: str) -> bytes:
    """A root; where a case has a short text that says "don't care", a root of its own for that text."""
    root = bytes.fromhex(value)
    return leaf_hash(root) if root.startswith(b"don't care") else root


@pytest.mark.parametrize("case", golden("notes")["signed"], ids=lambda case: case["name"])
def test_notes_are_signed_and_checked_as_published(case: dict[str, Any]) -> None:
    note = parse_note(case["note"].encode())
    assert note is not None
    assert note.text.decode() == case["text"]
    if case["seed"]:
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(case["seed"]))
        public = private.public_key().public_bytes_raw()
        assert sign_note(case["text"], case["name"], CryptoSigner(private)) == case["note"].encode()
        assert note_signed_by(note, case["name"], public)
    if case["verifierKey"]:
        name, key_id, key = case["verifierKey"].split("+", 2)
        public = base64.b64decode(key)[1:]
        assert note_key_id(name, 1, public).hex() == key_id
        assert note_signed_by(note, name, public)
        assert not note_signed_by(note, f"{name}x", public)


@pytest.mark.parametrize("case", golden("notes")["checkpoints"], ids=lambda case: case["from"])
def test_checkpoints_are_written_as_published(case: dict[str, Any]) -> None:
    checkpoint = Checkpoint(case["origin"], case["size"], bytes.fromhex(case["root"]))
    assert checkpoint_text(checkpoint) == case["text"]
    assert parse_checkpoint(case["text"].encode()) == checkpoint


@pytest.mark.parametrize("case", golden("tiles")["paths"], ids=lambda case: case["path"])
def test_tiles_are_named_as_published(case: dict[str, Any]) -> None:
    assert tile_key(5, case["number"], case["width"]) == f"tile/5/{case['path']}"
    assert entries_key(case["number"], case["width"]) == f"tile/entries/{case['path']}"


@pytest.mark.parametrize("case", golden("tiles")["trees"], ids=lambda case: str(case["size"]))
def test_a_tree_has_the_tiles_that_the_specification_counts(case: dict[str, Any]) -> None:
    assert {str(level): width for level, _, width in edge_widths(case["size"])} == case["partial"]
    _, made = Edge(0, {}).grow([bytes(32)] * case["size"])
    full: dict[str, int] = {}
    partial: dict[str, int] = {}
    for key, tile in made:
        level = key.split("/")[1]
        if len(tile.hashes) == WIDTH:
            full[level] = full.get(level, 0) + 1
        else:
            assert level not in partial
            partial[level] = len(tile.hashes)
    assert (full, partial) == (case["full"], case["partial"])
