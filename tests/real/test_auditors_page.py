"""The auditors' page, run as a stranger would: every command on it, with public tools alone."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import evidence.verify
from evidence.bundle import seal
from evidence.keys import ensure_key_pair, load_signer
from evidence.stores import open_store
from tests.real.timestamp_authority import Reply, TimestampAuthority, serving

PAGE = Path(__file__).parents[2] / "docs" / "auditors.md"
MUSTER = str(Path(sys.executable).with_name("muster"))
NOW = datetime.now(UTC).replace(microsecond=0)
YEAR = f"{NOW:%Y}"


def muster(home: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "MUSTER_STORE": str(home / "store")}
    done = subprocess.run([MUSTER, *arguments], cwd=home, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def hand_in(home: Path, number: int) -> str:
    run, key = f"shop-{number}", home / ".muster" / "keys" / "signing.pem"
    ensure_key_pair(key)
    at = (NOW - timedelta(minutes=10 - number)).isoformat()
    said = {"run": run, "plan": "shop", "outcome": "passed", "scheduledAt": at, "endedAt": at, "kind": "restore"}
    sealed = seal({"note.txt": b"a run of the shop"}, said, load_signer(key), home / f"{run}.tar.gz", {})
    return open_store(str(home / "store")).put(f"shop/{run}.tar.gz", sealed.path, sealed.sha256).key


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an auditor has: two packages, a run with its proof, the pinned key, an authority's root, verify.py."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("auditor")
    (home / "deployments").mkdir()
    authority = TimestampAuthority(home / "tsa")
    with serving(lambda query: Reply(authority.reply(query))) as tsa:
        (home / "deployments" / "evidence.yaml").write_text(
            f"authorities: [{{name: one, url: '{tsa.url}', certificates: {authority.root}}}]\n"
        )
        for name, number in (("OLDER", 1), ("NAME", 2)):
            key = hand_in(home, number)
            muster(home, "evidence", "package", "--release", name, "--period", YEAR, "--output", str(folder))
    muster(home, "evidence", "pull", "shop-2", "--output", str(folder / "pulled"))
    shutil.copy(folder / "pulled" / key, folder / "shop-2.tar.gz")
    shutil.copy(folder / "pulled" / "proofs" / f"{key}.tlog-proof", folder / "RUN.tar.gz.tlog-proof")
    shutil.copytree(folder / "pulled" / "keys", folder / "keys")
    shutil.copy(home / ".muster" / "keys" / "signing.pub", folder / "pinned.pub")
    shutil.copy(authority.root, folder / "authority.pem")
    shutil.copy(evidence.verify.__file__, folder / "verify.py")
    return folder


def blocks() -> dict[str, str]:
    """The page's commands, by their first line; what follows `## Without` is one session."""
    found = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    by_hand = next(number for number, block in enumerate(found) if block.startswith("tar "))
    sessions = [*found[:by_hand], "".join(found[by_hand:])]
    return {block.splitlines()[0]: block for block in sessions}


def carry_out(block: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Nothing of ours is on the path: a shell, a system's Python, openssl."""
    for name in ("NAME", "OLDER"):
        block = re.sub(rf"\b{name}\b(?!\+)", f"{name}-{YEAR}", block)
    block = block.replace("RUN.tar.gz ", "shop-2.tar.gz ")
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("first_line", list(blocks()))
def test_every_command_on_the_page_does_what_it_says(given: Path, first_line: str) -> None:
    done = carry_out(blocks()[first_line], given)
    assert done.returncode == 0, done.stdout + done.stderr
    if "verify.py" in first_line:
        assert "PASS" in done.stdout
    if first_line.startswith("tar "):
        assert "Signature Verified Successfully" in done.stdout
        assert "the chain is whole" in done.stdout


def test_the_commands_catch_a_changed_package(given: Path, tmp_path: Path) -> None:
    forged = tmp_path / "given"
    shutil.copytree(given, forged)
    shutil.rmtree(forged / f"NAME-{YEAR}", ignore_errors=True)
    unpacked = tmp_path / "unpacked"
    shutil.unpack_archive(given / f"NAME-{YEAR}.tar.gz", unpacked, filter="data")
    entries = unpacked / f"NAME-{YEAR}" / "data" / "log" / "entries.jsonl"
    entries.write_text(entries.read_text().replace('"outcome":"passed"', '"outcome":"failed"', 1))
    pack = ["tar", "-czf", str(forged / f"NAME-{YEAR}.tar.gz"), "-C", str(unpacked), f"NAME-{YEAR}"]
    subprocess.run(pack, check=True, timeout=60)
    found = {first: carry_out(block, forged).returncode for first, block in blocks().items() if "NAME" in block}
    assert found
    assert 0 not in found.values()


def test_an_older_package_is_the_beginning_of_the_newer_and_not_the_other_way(given: Path) -> None:
    command = ["/usr/bin/python3", "verify.py", f"OLDER-{YEAR}.tar.gz", "--key", "pinned.pub"]
    turned = [*command, "--before", f"NAME-{YEAR}.tar.gz", "--json"]
    done = subprocess.run(turned, cwd=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] == "fail"
