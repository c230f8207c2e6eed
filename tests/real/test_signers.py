"""A key that never leaves its module: SoftHSM through PKCS #11, as a hardware module is used."""

import os
import subprocess
import sys

import pytest

from evidence.envelope import open_envelope, sign
from evidence.errors import KeyProblem
from evidence.keys import PublicKey
from evidence.signers import Place, open_signer
from evidence.statement import statement

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PAYLOAD = statement({"data/a": "a" * 64}, {"run": "r1"})
PIN = "4711"

# The module reads its configuration once a process, so what makes the key runs in one of its own.
MAKE_KEY = """
import sys, pkcs11
from pkcs11.util.ec import encode_named_curve_parameters, encode_ec_public_key
token = pkcs11.lib(sys.argv[1]).get_token(token_label="muster")
with token.open(rw=True, user_pin=sys.argv[2]) as session:
    parameters = session.create_domain_parameters(
        pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
    )
    public, _ = parameters.generate_keypair(
        store=True, label="seal", id=bytes([2]), public_template={pkcs11.Attribute.PRIVATE: False}
    )
    sys.stdout.buffer.write(encode_ec_public_key(public))
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> PublicKey:
    """A token with one key on P-256; its public half."""
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    os.environ["PYKCS11LIB"] = MODULE
    init = ["softhsm2-util", "--init-token", "--free", "--label", "muster", "--pin", PIN, "--so-pin", "0815"]
    subprocess.run(init, check=True, capture_output=True, timeout=60)
    made = subprocess.run(
        [sys.executable, "-c", MAKE_KEY, MODULE, PIN], check=True, capture_output=True, timeout=60
    ).stdout
    pem = subprocess.run(
        ["openssl", "pkey", "-pubin", "-inform", "DER"], input=made, check=True, capture_output=True, timeout=60
    ).stdout
    return PublicKey.from_pem(pem)


def test_a_hardware_module_seals(module: PublicKey) -> None:
    signer = open_signer(Place("hsm:2?label=muster", module, "HSM_PIN"), {"HSM_PIN": PIN})
    opened = open_envelope(sign(PAYLOAD, signer))
    assert opened is not None
    assert opened.is_signed_by(module)


@pytest.mark.parametrize(
    ("place", "environment", "said"),
    [
        ("hsm:2?label=muster", {}, "asks for a PIN"),
        ("hsm:2?label=muster", {"HSM_PIN": "0000"}, "did not sign"),
        ("hsm:3?label=muster", {"HSM_PIN": PIN}, "did not sign"),
        ("hsm:2?label=other", {"HSM_PIN": PIN}, "did not sign"),
    ],
)
def test_what_the_module_refuses_is_said_so(
    module: PublicKey, place: str, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(KeyProblem, match=said) as caught:
        sign(PAYLOAD, open_signer(Place(place, module, "HSM_PIN"), environment))
    assert caught.value.advice
    assert PIN not in str(caught.value)
