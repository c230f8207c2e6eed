"""Signers that hold their key elsewhere: a key service or a hardware module, named by a URI.

Promises: a signature that the public key beside the URI does not verify is refused where it is made; no secret is read
from anywhere but the environment variable that is named; a client library that is missing is said so.
The URIs, and the libraries behind them, are those of securesystemslib: `awskms:`, `gcpkms:`, `azurekms:`, `hv:`
(HashiCorp Vault) and `hsm:` (PKCS #11). Only the last is proven here, with SoftHSM; AWS KMS against its API model.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evidence.errors import KeyProblem
from evidence.keys import PublicKey

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so

SCHEMES: Final = ("awskms", "gcpkms", "azurekms", "hv", "hsm")


@dataclass(frozen=True)
class Place:
    """Where a key is: its URI, its public half, and the variable that holds the PIN if it needs one."""

    uri: str
    public: PublicKey
    pin_env: str = ""


def open_signer(place: Place, environment: Mapping[str, str] = os.environ) -> "Signer":
    """The signer at a place. Raises `KeyProblem`, with what to install, set or mend."""
    from securesystemslib.exceptions import UnsupportedLibraryError
    from securesystemslib.signer import Signer, SSlibKey  # type: ignore[attr-defined]  # re-exported without saying so

    scheme = place.uri.partition(":")[0]
    if scheme not in SCHEMES:
        raise KeyProblem(f"{place.uri!r} names no signer", f"begin it with one of {', '.join(SCHEMES)}")
    key = SSlibKey.from_crypto(place.public.key, place.public.key_id)

    def pin(_: str) -> str:
        value = environment.get(place.pin_env, "") if place.pin_env else ""
        if not value:
            raise KeyProblem(f"{place.uri} asks for a PIN", "name the variable that holds it in 'pin_env', and set it")
        return value

    try:
        return Signer.from_priv_key_uri(place.uri, key, pin)
    except UnsupportedLibraryError as error:
        raise KeyProblem(f"{place.uri} cannot be used: {error}", "install what docs/keys.md names for it") from error
    except KeyProblem:
        raise
    except Exception as error:  # each service's library raises its own kinds
        raise KeyProblem(f"{place.uri} cannot be opened: {error}", "check the URI, the credentials, the key") from error
