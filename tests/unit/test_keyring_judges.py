"""Writer and verifier read keyrings by rules of their own: on chains that anybody could sign they say the same."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner, SSlibKey

from evidence import verify
from evidence.envelope import sign
from evidence.keyring import Action, Keyring, KeyringBroken, Role
from evidence.keys import PublicKey, public_key_of
from evidence.statement import PredicateType, statement, utc

AT = utc(datetime(2026, 11, 26, 5, tzinfo=UTC))
INDEXES = (0, 1, 4, 5, 9, 12)


def _signer(seed: int) -> Any:
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    public = PublicKey(key.public_key())
    return CryptoSigner(key, SSlibKey.from_crypto(key.public_key(), public.key_id, "ed25519"))


SIGNERS = [_signer(seed) for seed in range(1, 5)]


@dataclass(frozen=True)
class Step:
    """A statement that somebody writes, by right or not."""

    action: Action
    about: int
    by: tuple[int, ...]
    roles: frozenset[Role]
    from_index: int


def written(step: Step, number: int, previous: str | None) -> bytes:
    key = public_key_of(SIGNERS[step.about])
    body = {
        "action": step.action.value,
        "at": AT,
        "fromIndex": step.from_index,
        "key": key.pem.decode(),
        "keyId": key.key_id,
        "number": number,
        "previous": previous,
        "reason": "",
        "roles": sorted(step.roles) if step.action is Action.ADMIT else [],
    }
    subject = {f"{key.key_id}.pub": verify.sha256(key.pem)}
    return sign(statement(subject, body, PredicateType.KEY), *(SIGNERS[one] for one in step.by))


steps = st.builds(
    Step,
    st.sampled_from([Action.ADMIT, Action.ADMIT, Action.RETIRE, Action.REVOKE]),
    st.integers(0, 3),
    st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True).map(tuple),
    st.sets(st.sampled_from(list(Role)), min_size=1).map(frozenset),
    st.sampled_from([0, 5, 10]),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(steps, max_size=12))
def test_both_take_and_refuse_the_same(wanted: list[Step]) -> None:
    ours = Keyring()
    ours = ours.extended(written(Step(Action.ADMIT, 0, (0,), frozenset(Role), 0), 0, None))
    first = verify.parse_key(public_key_of(SIGNERS[0]).pem.decode())
    assert first is not None
    theirs = verify.read_keyring(ours.envelopes, first, verify.default_judge)
    for step in wanted:
        envelope = written(step, len(ours.statements), ours.statements[-1].digest)
        try:
            longer = ours.extended(envelope)
        except KeyringBroken:
            longer = None
        try:
            theirs = verify._extended(theirs, envelope, verify.default_judge)
            taken = True
        except (verify.KeyringBroken, verify.NotTrusted):
            taken = False
        assert taken == (longer is not None), step
        ours = longer or ours
    for index in INDEXES:
        for role in Role:
            trusted = {key.key_id for key in ours.trusted(role, index)}
            assert trusted == {key_id for key_id in theirs.tenures if _may(theirs, key_id, role, index)}


def _may(ring: verify.Keyring, key_id: str, role: Role, index: int) -> bool:
    try:
        ring.assert_valid(key_id, (role.value,), index)
    except verify.NotTrusted:
        return False
    return True
