"""How evidence is kept, from `deployments/evidence.yaml`: who seals, who vouches for the time, how long it is locked.

Promises: an unknown key is an error that names it; secrets are named by the variable that holds them, never given; a
file that is missing means the defaults: this installation seals for itself, and nobody else vouches for its times.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from evidence.verify import COSIGNATURE_NOTE
from evidence.witness.lines import parse_verifier_key
from muster.plan import Strict
from muster.strictyaml import read_model
from muster.webaddress import web_address

FILE = "evidence.yaml"
_NAME = r"^[a-z][a-z0-9-]{0,62}$"


def _a_pattern(value: str) -> str:
    try:
        if re.compile(value).fullmatch(""):
            raise ValueError("fits nothing at all, and so would be everywhere")
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return value


Pattern = Annotated[str, AfterValidator(_a_pattern)]
WebAddress = Annotated[str, AfterValidator(web_address)]


class AuthorityPolicy(Strict):
    """A time-stamping authority (RFC 3161) that vouches for the times of the log."""

    name: str = Field(pattern=_NAME)
    url: WebAddress
    certificates: Path
    """PEM file with the root certificates that its tokens have to lead to."""
    policy: str = Field(default="", pattern=r"^([0-9]+(\.[0-9]+)+)?$")
    """Object identifier of the policy that tokens have to be under; empty: whichever it gives."""


class WitnessPolicy(Strict):
    """A witness (C2SP tlog-witness) that cosigns heads of the log it has seen grow."""

    name: str = Field(pattern=_NAME)
    url: WebAddress
    key: str
    """Its verifier key, as C2SP signed-note writes it: `name+hash+key`."""

    @field_validator("key")
    @classmethod
    def _is_a_cosigner(cls, value: str) -> str:
        if parse_verifier_key(value, COSIGNATURE_NOTE) is None:
            raise ValueError("is no verifier key of type 4: copy the line that the witness shows when it starts")
        return value


class LockPolicy(Strict):
    """Object Lock of what is written, in a bucket that has it."""

    days: int | None = Field(default=None, ge=1, le=36_500)
    """Retention asked for with each object; without it, what `MUSTER_STORE_LOCK_DAYS` or the bucket says."""
    mode: Literal["COMPLIANCE", "GOVERNANCE"] = "COMPLIANCE"
    legal_hold: bool = False


class SignerPolicy(Strict):
    """A key that seals from outside: a key service or a hardware module."""

    uri: str = Field(pattern=r"^(awskms|gcpkms|azurekms|hv|hsm):.+")
    """As securesystemslib writes it, such as `awskms:alias/muster`."""
    public_key: Path
    """PEM file with its public half."""
    pin_env: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    """Name of the environment variable that holds the PIN of a hardware module."""


class EvidencePolicy(Strict):
    """What `deployments/evidence.yaml` says."""

    notary: Literal["here", "apart"] = "here"
    """`apart`: this installation only hands in what it sealed; `muster notary` enters it with keys of its own."""
    origin: str = Field(default="", pattern=r"^[^\s+]*$", max_length=100)
    """The log's name; default: made of its first key."""
    signer: SignerPolicy | None = None
    """What seals; default: the key in `MUSTER_SIGNING_KEY`, which signs the log in any case."""
    lock: LockPolicy = LockPolicy()
    withhold: tuple[Pattern, ...] = ()
    """What evidence shall not show: each match is replaced by a salted hash, and can be disclosed later."""
    authorities: tuple[AuthorityPolicy, ...] = ()
    witnesses: tuple[WitnessPolicy, ...] = ()

    @model_validator(mode="after")
    def _are_told_apart(self) -> Self:
        for what, names in (
            ("authorities", [one.name for one in self.authorities]),
            ("witnesses", [one.name for one in self.witnesses]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"two of the {what} have one name")
        return self


def read_policy(plans: Path) -> EvidencePolicy:
    """The policy beside these plans; the defaults when there is no file. Paths in it are relative to the file."""
    try:
        policy = read_model(plans / FILE, EvidencePolicy, "the policy", "docs/evidence.md")
    except FileNotFoundError:
        return EvidencePolicy()
    authorities = tuple(one.model_copy(update={"certificates": plans / one.certificates}) for one in policy.authorities)
    signer = policy.signer
    if signer:
        signer = signer.model_copy(update={"public_key": plans / signer.public_key})
    return policy.model_copy(update={"authorities": authorities, "signer": signer})
