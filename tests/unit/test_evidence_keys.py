"""Keys: made once, private, pinned by their DER digest."""

import hashlib
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from evidence.errors import KeyProblem
from evidence.keys import ensure_key_pair, load_public, load_signer, public_key_of, public_path


def test_a_pair_is_made_once_and_the_private_half_is_private(tmp_path: Path) -> None:
    private = tmp_path / "keys" / "signing.pem"
    first = ensure_key_pair(private)
    content = private.read_bytes()
    assert ensure_key_pair(private) == first
    assert private.read_bytes() == content
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    assert sorted(p.name for p in private.parent.iterdir()) == ["signing.pem", "signing.pub"]


def test_the_key_id_is_what_openssl_and_sha256_say(tmp_path: Path) -> None:
    public = ensure_key_pair(tmp_path / "signing.pem")
    command = ["openssl", "pkey", "-pubin", "-in", str(tmp_path / "signing.pub"), "-outform", "DER"]
    der = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    assert public.key_id == hashlib.sha256(der).hexdigest()
    assert load_signer(tmp_path / "signing.pem").public_key.keyid == public.key_id


def test_signer_and_pinned_key_are_halves_of_one_pair(tmp_path: Path) -> None:
    public = ensure_key_pair(tmp_path / "a.pem")
    other = ensure_key_pair(tmp_path / "b.pem")
    signer = load_signer(tmp_path / "a.pem")
    signature = bytes.fromhex(signer.sign(b"message").signature)
    assert public_key_of(signer) == public == load_public(public_path(tmp_path / "a.pem"))
    assert public.verifies(signature, b"message")
    assert not public.verifies(signature, b"massage")
    assert not other.verifies(signature, b"message")


def test_many_at_once_make_one_pair(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure_key_pair(tmp_path / "k" / "signing.pem").key_id))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert load_public(tmp_path / "k" / "signing.pub").key_id == found[0]


def test_a_lost_public_half_is_written_again(tmp_path: Path) -> None:
    public = ensure_key_pair(tmp_path / "signing.pem")
    (tmp_path / "signing.pub").unlink()
    assert ensure_key_pair(tmp_path / "signing.pem") == public == load_public(tmp_path / "signing.pub")


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    private = tmp_path / "signing.pem"
    ensure_key_pair(private)
    load_signer(private)
    private.chmod(0o640)
    with pytest.raises(KeyProblem, match="read by others") as caught:
        load_signer(private)
    assert "chmod 600" in caught.value.advice


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_what_is_no_key_is_said_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyProblem):
        load_public(path)
    with pytest.raises(KeyProblem):
        load_signer(path)


def _made_by_openssl(folder: Path, curve: str) -> tuple[Path, Path]:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)

    private, public = folder / f"{curve}.pem", folder / f"{curve}.pub"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", str(private))
    openssl("pkey", "-in", str(private), "-pubout", "-out", str(public))
    return private, public


def test_a_key_on_p256_can_be_pinned_and_another_curve_not(tmp_path: Path) -> None:
    private, public = _made_by_openssl(tmp_path, "P-256")
    (tmp_path / "message").write_bytes(b"message")
    subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", private, "-out", tmp_path / "signature", tmp_path / "message"],
        check=True,
        timeout=30,
    )
    key = load_public(public)
    signature = (tmp_path / "signature").read_bytes()
    assert key.verifies(signature, b"message")
    assert not key.verifies(signature, b"massage")
    assert not key.verifies(b"no DER", b"message")
    with pytest.raises(KeyProblem, match="neither Ed25519 nor ECDSA on P-256"):
        load_public(_made_by_openssl(tmp_path, "P-384")[1])


def test_a_private_key_in_a_file_is_ed25519(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="not Ed25519"):
        load_signer(_made_by_openssl(tmp_path, "P-256")[0])


def test_a_missing_key_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="cannot read"):
        load_public(tmp_path / "none.pub")
