"""A notary whose own key was ended appends nothing more, also while it runs; whoever took its place goes on."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evidence.audit import audit
from evidence.errors import KeyProblem, StoreUnreachable
from evidence.keyring import EVERY_ROLE, Action, Role
from evidence.keys import PublicKey, public_key_of
from evidence.log.heads import parse_head
from evidence.notary import Hands, Notary, read_keyring
from evidence.statement import PredicateType
from evidence.stores import Store
from evidence.vault import Vault
from tests.unit.test_evidence_notary import (
    Clock,
    DyingAt,
    Interrupted,
    Make,
    assert_entered,
    backlog_of,
    bundle,
    in_memory,
    notary_of,
    signer,
    store,
)

__all__ = ["bundle", "signer", "store"]


def assert_heads_count(store: Store) -> None:
    """Each head was signed by a key that counted at the last entry under it."""
    keyring = read_keyring(store)
    assert keyring is not None
    for key in store.keys("log/heads/"):
        head = parse_head(store.read(key))
        assert head is not None
        assert head.is_signed_by(keyring.trusted(Role.LOG, head.size - 1)), key


def enter_or_refuse(open_notary: Callable[[], Notary], backlog: list[tuple[str, Path]]) -> str:
    """Why the notary refused, if it did."""
    try:
        assert open_notary().enter_all(backlog) == {}
    except KeyProblem as problem:
        return problem.message
    return ""


SEALS = frozenset({Role.SEAL, Role.SUBMIT})
CASES = [
    (("one",), ("two",), EVERY_ROLE, "seal"),
    (("seal", "log"), ("seal2", "log"), SEALS, "seal"),
    (("seal", "log"), ("seal", "log2"), frozenset({Role.LOG}), "log"),
]


@pytest.mark.parametrize("action", [Action.REVOKE, Action.RETIRE])
@pytest.mark.parametrize(("before", "since", "roles", "role"), CASES, ids=["its only key", "what seals", "the log's"])
def test_a_notary_whose_key_was_ended_while_it_ran_appends_nothing_more(
    store: Store,
    signer: Make,
    bundle: Make,
    before: tuple[str, ...],
    since: tuple[str, ...],
    roles: frozenset[Role],
    role: str,
    action: Action,
) -> None:
    clock = Clock()
    old = notary_of(store, *map(signer, before), now=clock)
    (fresh,) = set(since) - set(before)
    (ended,) = set(before) - set(since)
    first, second, third = backlog_of(store, bundle, 1, 2, 3)
    old.admit_runner(public_key_of(signer()), "the runner, which seals what is entered here")
    old.enter(*first)
    old.admit(signer(fresh), roles, "as planned")
    assert old.enter_all([second]) == {}, "an admission of another ends nothing"
    new = notary_of(store, *map(signer, since), now=clock)
    new.end(action, public_key_of(signer(ended)), "a laptop was lost")
    size, keys = new.log.view().size, store.keys()
    told = (
        f"does not let the key {public_key_of(signer(ended)).key_id[:16]} {role} here any more: it was {action.value}d"
    )
    attempts: list[Callable[[], object]] = [
        lambda: old.enter(*third),
        lambda: old.enter_all([third]),
        lambda: old.record(PredicateType.PROBE, {"canaries/1": "0" * 64}, {"worm": False}),
        lambda: old.admit(signer("friend"), EVERY_ROLE, "to stay"),
        lambda: old.end(Action.REVOKE, public_key_of(signer(fresh)), "in return"),
        lambda: notary_of(store, *map(signer, before), now=clock),
    ]
    for attempt in attempts:
        with pytest.raises(KeyProblem, match=told) as caught:
            attempt()
        assert f"from entry {size} of the log on" in caught.value.message
        assert "muster evidence keys" in caught.value.advice
    assert (store.keys(), new.log.view().size) == (keys, size)
    assert new.enter_all([third]) == {}
    assert_entered(store, new.log, [key for key, _ in (first, second, third)])
    assert_heads_count(store)


@pytest.mark.parametrize(("before", "since", "roles", "role"), CASES, ids=["its only key", "what seals", "the log's"])
def test_a_key_that_is_revoked_in_the_middle_of_a_batch_signs_nothing_after_that(
    signer: Make,
    bundle: Make,
    before: tuple[str, ...],
    since: tuple[str, ...],
    roles: frozenset[Role],
    role: str,
) -> None:
    """Revoked before any operation: the batch is in the log whole before the revocation, or not at all."""
    (fresh,) = set(since) - set(before)
    (ended,) = set(before) - set(since)
    endings: set[int] = set()
    for at in range(1, 300):
        store, clock = in_memory(), Clock()
        backlog = backlog_of(store, bundle, 1, 2)
        beginning = notary_of(store, *map(signer, before), now=clock)
        beginning.admit_runner(public_key_of(signer()), "the runner, which seals what is entered here")
        beginning.admit(signer(fresh), roles, "as planned")
        came: list[Notary] = []

        def between(store: Store = store, clock: Clock = clock, came: list[Notary] = came) -> None:
            came.append(notary_of(store, *map(signer, since), now=clock))
            came[0].end(Action.REVOKE, public_key_of(signer(ended)), "stolen")

        old: Any = Interrupted(store, at, between)
        told = enter_or_refuse(lambda old=old, clock=clock: notary_of(old, *map(signer, before), now=clock), backlog)
        assert f"{role} here any more" in told or not told
        assert_heads_count(store)
        if not came:
            assert endings == {0, 2}
            return
        kinds = [entry.kind for entry in came[0].log.view().entries()]
        assert kinds.count("run") in {0, 2}
        assert kinds[-1] == "record", "nothing came after the revocation"
        endings.add(kinds.count("run"))
    pytest.fail("it never came to its end")


def test_a_key_that_is_admitted_and_signs_meanwhile_is_no_alarm(signer: Make, bundle: Make) -> None:
    """Before any operation of one notary, or of one who audits, another admits a key, which enters a bundle."""
    for at in range(1, 300):
        store, clock = in_memory(), Clock()
        first, second = backlog_of(store, bundle, 1, 2)
        notary_of(store, signer(), now=clock).enter(*first)
        came: list[Notary] = []

        def between(store: Store = store, clock: Clock = clock, came: list[Notary] = came, new: Any = second) -> None:
            notary_of(store, signer(), now=clock).admit(signer("fresh"), EVERY_ROLE, "as planned")
            came.append(notary_of(store, signer("fresh"), now=clock))
            came[0].enter(*new)

        watched: Any = Interrupted(store, at, between)
        notary = notary_of(watched, signer(), now=clock)
        notary.record(PredicateType.PROBE, {"canaries/1": "0" * 64}, {"worm": False})
        vault = Vault.open(watched, public_key_of(signer()))
        assert audit(watched, partial(vault.keys_now, Role.SEAL), entries=vault.entries, deep=True).findings == ()
        if not came:
            assert at > 30
            return
        assert_entered(store, came[0].log, [first[0], second[0]])
        assert_heads_count(store)
    pytest.fail("it never came to its end")


def test_who_may_not_sign_here_does_not_finish_what_another_began(store: Store, signer: Make, bundle: Make) -> None:
    """A head by its key would be a fork to everybody else."""
    (handed,) = backlog_of(store, bundle, 1)
    with pytest.raises(StoreUnreachable):
        notary_of(DyingAt(store, f"log/heads/{2:020d}"), signer()).enter(*handed)
    keys = store.keys()
    with pytest.raises(KeyProblem, match="does not let"):
        notary_of(store, signer("stranger"))
    assert store.keys() == keys
    notary = notary_of(store, signer())
    assert notary.enter_all([handed]) == {}
    assert_entered(store, notary.log, [handed[0]])
    assert_heads_count(store)


def test_a_key_in_use_logs_its_own_end_only_where_it_still_counts(store: Store, signer: Make, bundle: Make) -> None:
    notary = notary_of(store, signer())
    own: PublicKey = public_key_of(signer())
    notary.enter(*backlog_of(store, bundle, 1)[0])
    keys = store.keys()
    for index in (0, 1, 2):
        with pytest.raises(KeyProblem, match="could not log its own end") as caught:
            notary.end(Action.REVOKE, own, "stolen", index)
        assert "muster evidence rotate" in caught.value.advice
    assert store.keys() == keys
    notary.end(Action.REVOKE, own, "no drills here any more")
    assert notary.log.view().size == 3
    with pytest.raises(KeyProblem, match="it was revoked from entry 3"):
        notary.enter(*backlog_of(store, bundle, 2)[0])
    assert_heads_count(store)


def test_heads_by_a_key_that_was_admitted_meanwhile_are_no_alarm(store: Store, signer: Make, bundle: Make) -> None:
    clock, seal = Clock(), signer("seal")
    old = notary_of(store, seal, signer("log"), now=clock)
    old.admit_runner(public_key_of(signer()), "the runner, which seals what is entered here")
    old.admit(signer("log2"), frozenset({Role.LOG}), "as planned")
    beside = Notary(store, Hands(seal, signer("log")), now=clock, where="a folder")
    new = Notary(store, Hands(seal, signer("log2")), now=clock, where="a folder")
    first, second = backlog_of(store, bundle, 1, 2)
    new.enter(*first)
    assert old.enter_all([second]) == {}
    assert_entered(store, beside.log, [first[0], second[0]])
    assert_heads_count(store)
