"""Who vouches for the log, as the policy names them."""

from evidence.timestamps import Authority
from evidence.witness import Witness
from muster.notary.policy import EvidencePolicy


def authorities_of(policy: EvidencePolicy) -> list[Authority]:
    """The time-stamp authorities. Raises `EvidenceError` when one cannot be asked as it is written."""
    return [Authority(one.name, one.url, one.certificates, one.policy) for one in policy.authorities]


def witnesses_of(policy: EvidencePolicy) -> list[Witness]:
    """The witnesses."""
    return [Witness(one.name, one.url, one.key) for one in policy.witnesses]
